"""Any number of labels per row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tunery.data.calibration import Fitted, calibrated, uncalibrated
from tunery.data.checks.check import NAMED, Check, Subject, counts_of
from tunery.data.checks.label_checks import LABEL_CHECKS
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import (
    Bools,
    Counts,
    Floats,
    areas,
    binary_cross_entropy,
    finite,
    mean_areas,
    sigmoid,
)
from tunery.data.reading.labels import several_labels
from tunery.data.row_table import Array, RowTable
from tunery.data.splitting import FOLDS, fold_of_rows
from tunery.errors import enumerated
from tunery.schema.config.data import Data
from tunery.schema.config.task import CalibrationMethod, MultilabelTask
from tunery.schema.results.finding import Finding
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import SIGMOID, Combiner
from tunery.tasks.labels import LabelTask, Numbers, indicators
from tunery.tasks.task import FittedThreshold, State
from tunery.tasks.thresholds import FEW, UNTUNED, threshold_groups, tuned_thresholds


def few_positives(subject: Subject) -> Iterator[Finding]:
    """Labels that too few rows of validation have."""
    counts = counts_of(subject.splits.validation)
    labels = [*(subject.labels or counts_of(subject.splits.train))]
    few = sorted((label for label in labels if counts[label] < FEW), key=lambda label: (counts[label], label))
    if few:
        shown = enumerated([f"{label!r} {counts[label]}" for label in few], NAMED)
        yield Finding(
            level="warning",
            code="few_positives",
            split="validation",
            count=len(few),
            message=f"a label should have at least {FEW} rows in validation, but {len(few):,} of {len(labels):,} have "
            f"fewer ({shown}): their scores say little, and with "
            "`task.threshold: tuned` they share one threshold. Give validation more rows",
        )


class Multilabel(LabelTask):
    """One sigmoid per label; a label is given from its threshold on."""

    checks: ClassVar[Sequence[Check]] = (*LABEL_CHECKS, few_positives)
    state_keys: ClassVar[tuple[str, ...]] = ("thresholds", "calibration")
    combiner: ClassVar[Combiner | None] = SIGMOID
    problem: ClassVar[Literal["single_label", "multi_label"]] = "multi_label"

    def __init__(
        self, labels: Sequence[str], *, threshold: float | None = None, calibration: CalibrationMethod = "none"
    ) -> None:
        super().__init__(labels, calibration=calibration)
        self._fixed = threshold

    @classmethod
    def build(cls, spec: MultilabelTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Multilabel":
        threshold = None if spec.threshold == "tuned" else spec.threshold
        return cls(labels, threshold=threshold, calibration=spec.calibration)

    @staticmethod
    def reader(spec: MultilabelTask, data: Data) -> RowReader:
        return several_labels(data)

    def numbers(self, examples: Sequence[Example]) -> Numbers:
        return indicators(examples, self.labels)

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """The calibration, and one threshold per label with the highest F1; all equal where the config fixes them.

        Labels with fewer than 25 positive rows share one, by which they are given together as often as they are true;
        where all of them have fewer than that, it is found over all labels.
        """
        return self._state(self.fitted(answers, truth), answers, truth)

    def _state(self, fitted: Fitted, answers: RowTable, truth: RowTable) -> State:
        calibration = fitted.calibration
        if self._fixed is not None:
            return {**self.state_at(self._fixed), "calibration": calibration}
        is_true, probabilities = truth["labels"] > 0, self.probabilities(answers, {"calibration": calibration})
        own, shared = threshold_groups(is_true.sum(axis=0))
        thresholds = tuned_thresholds(probabilities, is_true, own=own, shared=shared)
        return {"thresholds": thresholds.tolist(), "calibration": calibration}

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Each fifth of the rows, drawn at random, is scored with what was fitted to the other four."""
        raw, told = finite(answers["logits"]), self.fitted(answers, truth)
        state = self._state(told, answers, truth)
        probabilities, is_true = sigmoid(told.out_of_fold), truth["labels"] > 0
        if self._fixed is not None:
            given = probabilities >= self._fixed
            return self._metrics(raw, told.out_of_fold, truth, given=given, thresholds=self._thresholds(state))
        own, shared = threshold_groups(is_true.sum(axis=0))
        fold = fold_of_rows(len(is_true))
        given = np.zeros_like(is_true)
        for number in range(FOLDS):
            part, others = fold == number, fold != number
            thresholds = tuned_thresholds(probabilities[others], is_true[others], own=own, shared=shared)
            given[part] = probabilities[part] >= thresholds
        return self._metrics(raw, told.out_of_fold, truth, given=given, thresholds=self._thresholds(state))

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """As in scikit-learn, F1 macro is taken over all labels; one that is neither true nor given counts 0."""
        thresholds, raw = self._thresholds(state), finite(answers["logits"])
        told = calibrated(raw, (state or {}).get("calibration"))
        return self._metrics(raw, told, truth, given=sigmoid(told) >= thresholds, thresholds=thresholds)

    def _metrics(self, raw: Floats, z: Floats, truth: RowTable, *, given: Bools, thresholds: Floats) -> dict[str, Any]:
        targets = truth["labels"]
        is_true = targets > 0
        counts = Counts(hits=(given & is_true).sum(axis=0), given=given.sum(axis=0), actual=is_true.sum(axis=0))
        each = [areas(raw[:, k], is_true[:, k]) for k in range(len(self.labels))]
        detail = counts.per_label(self.labels)
        for label, threshold, pair in zip(self.labels, thresholds.tolist(), each, strict=True):
            roc, precision = pair or (None, None)
            detail[label].update(roc_auc=roc, pr_auc=precision, threshold=threshold)
        return {
            **counts.averages(np.ones(len(self.labels), dtype=np.bool_)),
            "subset_accuracy": float((given == is_true).all(axis=1).mean()),
            **mean_areas(each),
            **self.calibration_metrics(raw, z, truth),
            "loss": float(binary_cross_entropy(raw, targets).mean()),
            "per_label": detail,
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Plain sigmoid cross-entropy, the mean over the labels."""
        losses: Array = binary_cross_entropy(finite(answers["logits"]), truth["labels"]).mean(axis=1)
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """Every label from its threshold on."""
        probabilities = self.probabilities(answers, state)
        given = probabilities >= self._thresholds(state)
        confidence = np.where(given, probabilities, 1 - probabilities).min(axis=1)
        names = np.array(self.labels, dtype=object)
        return [
            Prediction(
                label=None,
                labels=tuple(names[mask]),
                confidence=sure,
                probabilities=dict(zip(self.labels, row, strict=True)),
            )
            for mask, sure, row in zip(given, confidence.tolist(), probabilities.tolist(), strict=True)
        ]

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """Between the probability of a label and its threshold, of the label where it is least."""
        margin: Floats = np.abs(self.probabilities(answers, state) - self._thresholds(state)).min(axis=1)
        return margin

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        if isinstance(data.labels, str):
            return {"labels": prediction.labels}
        return {label: int(label in prediction.labels) for label in prediction.probabilities}

    @staticmethod
    def fitted_thresholds(spec: MultilabelTask, metrics: Mapping[str, Any]) -> Sequence[FittedThreshold]:
        """That of each label with enough rows, and the one that the others share where they have enough together."""
        if spec.threshold != "tuned":
            return ()
        per_label = [*metrics["per_label"].items()]
        own, shared = threshold_groups(np.array([row["support"] for _, row in per_label]))
        groups = [*([label] for label in own), *([shared] if shared else [])]
        thresholds = (_fitted(dict(per_label[label] for label in group)) for group in groups)
        return [threshold for threshold in thresholds if threshold.support >= FEW]

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Sigmoid cross-entropy of the frequencies of the labels, the mean over the labels."""
        shares = [count / split.rows for count in split.labels.values() if 0 < count < split.rows]
        terms = (share * math.log(share) + (1 - share) * math.log1p(-share) for share in shares)
        return -sum(terms) / len(metrics["per_label"])

    def raw_thresholds(self, state: State) -> tuple[float, ...]:
        thresholds = np.clip(self._thresholds(state), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        logits = np.log(thresholds) - np.log1p(-thresholds)
        return tuple(sigmoid(uncalibrated(logits, state.get("calibration"))).tolist())

    def _thresholds(self, state: State | None) -> Floats:
        """(labels,)"""
        if state is None:
            return np.full(len(self.labels), UNTUNED if self._fixed is None else self._fixed)
        return np.array(state["thresholds"], dtype=np.float64)


def _fitted(per_label: Mapping[str, Mapping[str, Any]]) -> FittedThreshold:
    """The threshold of some labels, from their metrics."""
    rows = per_label.values()
    support, given = (sum(row[key] for row in rows) for key in ("support", "predicted"))
    hits = sum(row["f1"] * (row["support"] + row["predicted"]) / 2 for row in rows)
    f1 = 2 * hits / max(support + given, 1)
    return FittedThreshold(tuple(per_label), next(iter(rows))["threshold"], f1, support)
