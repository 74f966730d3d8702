"""Any number of labels per row."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tunery.data.cells import BadCell, flag_of, names_of
from tunery.data.draw import row_generator
from tunery.data.metrics import (
    Bools,
    Counts,
    Floats,
    areas,
    best_threshold,
    binary_cross_entropy,
    finite,
    matching_threshold,
    mean_areas,
    sigmoid,
)
from tunery.data.rows import Example
from tunery.data.task import LabelReader, Logits, Targets, TaskView, Thresholds
from tunery.errors import DataError, did_you_mean
from tunery.schema.data import Data
from tunery.schema.results import Prediction
from tunery.schema.task import HeadSpec, MultilabelTask

UNTUNED = 0.5
FEW: Final = 25
"""Positive rows from which a label has a threshold of its own. With fewer, the recall by which it would be chosen has a
standard error above a tenth (0.5 / sqrt(25), where it is one half), which is more than a better threshold gains."""
FOLDS: Final = 5
"""Parts of the validation rows, each judged by thresholds of the others."""


class MultilabelView(TaskView):
    """One sigmoid per label; a label is given from its threshold on."""

    def __init__(self, labels: Sequence[str], *, threshold: float | None = None) -> None:
        super().__init__(labels)
        self._fixed = threshold

    @classmethod
    def build(cls, spec: MultilabelTask, *, labels: Sequence[str]) -> "MultilabelView":
        return cls(labels, threshold=None if spec.threshold == "tuned" else spec.threshold)

    @staticmethod
    def label_reader(data: Data) -> LabelReader:
        if isinstance(data.labels, str):
            return _one_column(data.labels, separator=data.label_separator)
        return _flag_columns(data.labels)

    def head(self) -> HeadSpec:
        return HeadSpec(labels=self.labels, problem="multi_label")

    def targets(self, examples: Sequence[Example]) -> Targets:
        position = {label: index for index, label in enumerate(self.labels)}
        result = np.zeros((len(examples), len(self.labels)), dtype=np.float32)
        for row, example in enumerate(examples):
            for label in example.labels:
                if label not in position:
                    raise DataError(f"label {label!r} is unknown to the model; {did_you_mean(label, position)}")
                result[row, position[label]] = 1.0
        return result

    def calibrate(self, logits: Logits, targets: Targets) -> Thresholds | None:
        """One threshold per label with the highest F1; all equal where the config fixes the number.

        Labels with fewer than 25 positive rows share one, by which they are given together as often as they are true;
        where all of them have fewer than that, it is found over all labels.
        """
        if self._fixed is not None:
            return (self._fixed,) * len(self.labels)
        truth = targets > 0
        return _tuned(sigmoid(finite(logits)), truth, few=truth.sum(axis=0) < FEW)

    def tuned_metrics(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """Each fifth of the rows, drawn at random, is judged by thresholds that were tuned on the other four."""
        thresholds = self.calibrate(logits, targets)
        if self._fixed is not None:
            return self.metrics(logits, targets, thresholds=thresholds)
        probabilities, truth = sigmoid(finite(logits)), targets > 0
        few = truth.sum(axis=0) < FEW
        fold = row_generator(0, epoch=0, row=0, purpose="folds").permutation(len(truth)) % FOLDS
        given = np.zeros_like(truth)
        for number in range(FOLDS):
            own, others = fold == number, fold != number
            given[own] = self._given(probabilities[own], _tuned(probabilities[others], truth[others], few=few))
        return self._judged(logits, targets, given=given, thresholds=thresholds)

    def metrics(self, logits: Logits, targets: Targets, *, thresholds: Thresholds | None) -> dict[str, Any]:
        """As in scikit-learn, F1 macro is taken over all labels; one that is neither true nor given counts 0."""
        given = self._given(sigmoid(finite(logits)), self._cuts(thresholds))
        return self._judged(logits, targets, given=given, thresholds=thresholds)

    def _judged(
        self, logits: Logits, targets: Targets, *, given: Bools, thresholds: Thresholds | None
    ) -> dict[str, Any]:
        z, truth, cuts = finite(logits), targets > 0, self._cuts(thresholds)
        counts = Counts(hits=(given & truth).sum(axis=0), given=given.sum(axis=0), actual=truth.sum(axis=0))
        each = [areas(z[:, k], truth[:, k]) for k in range(len(self.labels))]
        detail = counts.per_label(self.labels)
        for label, cut, pair in zip(self.labels, cuts, each, strict=True):
            roc, precision = pair or (None, None)
            detail[label].update(roc_auc=roc, pr_auc=precision, threshold=cut)
        return {
            **counts.averages(np.ones(len(self.labels), dtype=np.bool_)),
            "subset_accuracy": float((given == truth).all(axis=1).mean()),
            **mean_areas(each),
            "loss": float(binary_cross_entropy(z, targets).mean()),
            "per_label": detail,
        }

    def row_losses(self, logits: Logits, targets: Targets) -> Floats:
        result: Floats = binary_cross_entropy(finite(logits), targets).mean(axis=1)
        return result

    def decide(self, logits: Logits, *, thresholds: Thresholds | None) -> list[Prediction]:
        probabilities = sigmoid(finite(logits))
        given = self._given(probabilities, self._cuts(thresholds))
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

    @staticmethod
    def label_columns(prediction: Prediction, data: Data) -> dict[str, Any]:
        if isinstance(data.labels, str):
            return {"labels": list(prediction.labels)}
        return {label: int(label in prediction.labels) for label in prediction.probabilities}

    def _cuts(self, thresholds: Thresholds | None) -> Thresholds:
        return thresholds or (self._fixed or UNTUNED,) * len(self.labels)

    def _given(self, probabilities: Floats, thresholds: Thresholds) -> Bools:
        result: Bools = probabilities >= np.array(thresholds)
        return result


def _tuned(probabilities: Floats, truth: Bools, *, few: Bools) -> Thresholds:
    """A threshold for each label; one for all labels that have `few` positive rows (labels,)."""
    pool = few if truth[:, few].sum() >= FEW else np.ones_like(few)
    shared = matching_threshold(probabilities[:, pool].ravel(), truth[:, pool].ravel(), otherwise=UNTUNED)
    own = (best_threshold(probabilities[:, k], truth[:, k], otherwise=shared) for k in np.flatnonzero(~few))
    result = np.full(len(few), shared)
    result[~few] = list(own)
    return tuple(result.tolist())


def _one_column(column: str, *, separator: str) -> LabelReader:
    def read(row: dict[str, Any]) -> tuple[str, ...]:
        try:
            return names_of(row.get(column), separator=separator)
        except BadCell as problem:
            raise BadCell(f"column {column!r} {problem}") from None

    return LabelReader(columns=(("data.labels", column),), read=read)


def _flag_columns(columns: Sequence[str]) -> LabelReader:
    def flag(row: dict[str, Any], column: str) -> bool:
        try:
            return flag_of(row.get(column))
        except BadCell as problem:
            raise BadCell(f"column {column!r} {problem}") from None

    def read(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(column for column in columns if flag(row, column))

    return LabelReader(columns=tuple(("data.labels", column) for column in columns), read=read)
