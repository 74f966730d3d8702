"""Exactly one label per row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

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
from tunery.data.reading.labels import one_label
from tunery.data.row_table import Array, RowTable
from tunery.errors import DataError, did_you_mean
from tunery.schema.config.data import Data
from tunery.schema.config.task import ClassificationTask
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import SOFTMAX, Combiner
from tunery.tasks.decisions import Decided, OneLabel
from tunery.tasks.labels import LabelTask, Numbers
from tunery.tasks.task import State


class Classification(LabelTask):
    """Softmax over the labels; the most probable one is the answer, or the one with the lowest expected cost."""

    checks: ClassVar[Sequence[Check]] = LABEL_CHECKS
    combiner: ClassVar[Combiner | None] = SOFTMAX
    state_keys: ClassVar[tuple[str, ...]] = OneLabel.state_keys

    @classmethod
    def build(cls, spec: ClassificationTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Classification":
        return cls(labels, OneLabel(labels, calibration=spec.calibration, costs=spec.costs))

    @staticmethod
    def reader(spec: ClassificationTask, data: Data) -> RowReader:
        return one_label(data)

    def numbers(self, examples: Sequence[Example]) -> Numbers:
        position = {label: index for index, label in enumerate(self.labels)}
        if bad := next((e.labels for e in examples if len(e.labels) != 1 or e.labels[0] not in position), None):
            raise DataError(f"label {bad[0]!r} is unknown to the model; {did_you_mean(bad[0], self.labels)}")
        return np.array([position[example.labels[0]] for example in examples], dtype=np.int64)

    def _metrics(self, raw: Floats, decided: Decided, truth: RowTable, state: State | None) -> dict[str, Any]:
        targets = truth["labels"]
        confusion = confusion_matrix(targets, decided.given.argmax(axis=1), labels=len(self.labels))
        counts = Counts(hits=np.diag(confusion), given=confusion.sum(axis=0), actual=confusion.sum(axis=1))
        odds = one_against_rest(raw)
        return {
            **counts.averages(counts.given + counts.actual > 0),
            "accuracy": float(counts.hits.sum() / len(targets)),
            "mcc": matthews(confusion),
            **mean_areas([areas(odds[:, k], targets == k) for k in range(len(self.labels))]),
            "loss": float(cross_entropy(raw, targets).mean()),
            "per_label": counts.per_label(self.labels),
            "confusion_matrix": confusion.tolist(),
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Plain cross-entropy."""
        return cross_entropy(finite(answers["logits"]), truth["labels"])

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The label that is told, from its threshold on."""
        logits = finite(answers["logits"])
        decided = self.decisions.decide(logits, state)
        probabilities, sure = self.decisions.probabilities(logits, state), self.decisions.confidence(decided)
        names = [tuple(np.array(self.labels, dtype=object)[given]) for given in decided.given]
        return [
            Prediction(
                label=told[0] if told else None,
                labels=told,
                confidence=confidence,
                probabilities=dict(zip(self.labels, row, strict=True)),
            )
            for told, confidence, row in zip(names, sure.tolist(), probabilities.tolist(), strict=True)
        ]

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        return {"label": prediction.label}

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Cross-entropy of the frequencies of the labels."""
        shares = [count / split.rows for count in split.labels.values() if count > 0]
        return -sum(share * math.log(share) for share in shares)
