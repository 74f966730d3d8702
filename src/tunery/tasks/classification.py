"""Exactly one label per row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tunery.data.calibration import calibrated
from tunery.data.checks.check import Check
from tunery.data.checks.label_checks import LABEL_CHECKS
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import (
    Counts,
    Floats,
    areas,
    confusion_matrix,
    cross_entropy,
    finite,
    matthews,
    mean_areas,
    one_against_rest,
)
from tunery.data.ranking import top_two_margin
from tunery.data.reading.labels import one_label
from tunery.data.row_table import Array, RowTable
from tunery.errors import DataError, did_you_mean
from tunery.schema.config.data import Data
from tunery.schema.config.task import ClassificationTask
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import SOFTMAX, Combiner
from tunery.tasks.labels import LabelTask, Numbers
from tunery.tasks.task import State


class Classification(LabelTask):
    """Softmax over the labels; the most probable one is the answer."""

    checks: ClassVar[Sequence[Check]] = LABEL_CHECKS
    combiner: ClassVar[Combiner | None] = SOFTMAX
    state_keys: ClassVar[tuple[str, ...]] = ("calibration",)
    problem: ClassVar[Literal["single_label", "multi_label"]] = "single_label"

    @classmethod
    def build(cls, spec: ClassificationTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Classification":
        return cls(labels, calibration=spec.calibration)

    @staticmethod
    def reader(spec: ClassificationTask, data: Data) -> RowReader:
        return one_label(data)

    def numbers(self, examples: Sequence[Example]) -> Numbers:
        position = {label: index for index, label in enumerate(self.labels)}
        if bad := next((e.labels for e in examples if len(e.labels) != 1 or e.labels[0] not in position), None):
            raise DataError(f"label {bad[0]!r} is unknown to the model; {did_you_mean(bad[0], self.labels)}")
        return np.array([position[example.labels[0]] for example in examples], dtype=np.int64)

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """What makes probabilities of logits; null where nothing is better."""
        return {"calibration": self.fitted(answers, truth).calibration}

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Each fifth of the rows, drawn at random, is scored with the calibration that the other four give."""
        return self._metrics(finite(answers["logits"]), self.fitted(answers, truth).out_of_fold, truth)

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Areas are one label against the rest, averaged over the labels.

        As in scikit-learn, F1 macro is taken over the labels that are true or given somewhere in these rows. `loss` is
        of the logits as they are, whatever the calibration.
        """
        logits = finite(answers["logits"])
        return self._metrics(logits, calibrated(logits, (state or {}).get("calibration")), truth)

    def _metrics(self, raw: Floats, z: Floats, truth: RowTable) -> dict[str, Any]:
        targets = truth["labels"]
        confusion = confusion_matrix(targets, z.argmax(axis=1), labels=len(self.labels))
        counts = Counts(hits=np.diag(confusion), given=confusion.sum(axis=0), actual=confusion.sum(axis=1))
        odds = one_against_rest(raw)
        return {
            **counts.averages(counts.given + counts.actual > 0),
            "accuracy": float(counts.hits.sum() / len(targets)),
            "mcc": matthews(confusion),
            **mean_areas([areas(odds[:, k], targets == k) for k in range(len(self.labels))]),
            **self.calibration_metrics(raw, z, truth),
            "loss": float(cross_entropy(raw, targets).mean()),
            "per_label": counts.per_label(self.labels),
            "confusion_matrix": confusion.tolist(),
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Plain cross-entropy."""
        return cross_entropy(finite(answers["logits"]), truth["labels"])

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The most probable label, from its threshold on."""
        probabilities = self.probabilities(answers, state)
        best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        thresholds = np.array((state or {}).get("thresholds", [0.0] * len(self.labels)))
        given = confidence >= thresholds[best]
        return [
            Prediction(
                label=self.labels[index] if is_given else None,
                labels=(self.labels[index],) if is_given else (),
                confidence=sure,
                probabilities=dict(zip(self.labels, row, strict=True)),
            )
            for index, is_given, sure, row in zip(best, given, confidence.tolist(), probabilities.tolist(), strict=True)
        ]

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """Between the two most probable labels."""
        return top_two_margin(self.probabilities(answers, state))

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        return {"label": prediction.label}

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Cross-entropy of the frequencies of the labels."""
        shares = [count / split.rows for count in split.labels.values() if count > 0]
        return -sum(share * math.log(share) for share in shares)
