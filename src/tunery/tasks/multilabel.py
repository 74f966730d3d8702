"""Any number of labels per row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tunery.data.checks.check import NAMED, Check, Subject, counts_of
from tunery.data.checks.label_checks import LABEL_CHECKS
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import (
    Counts,
    Floats,
    areas,
    binary_cross_entropy,
    finite,
    mean_areas,
)
from tunery.data.reading.labels import several_labels
from tunery.data.row_table import Array, RowTable
from tunery.errors import enumerated
from tunery.schema.config.data import Data
from tunery.schema.config.decision import GlobalThreshold, PerLabelThreshold
from tunery.schema.config.task import MultilabelTask
from tunery.schema.results.finding import Finding
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import SIGMOID, Combiner
from tunery.tasks.decisions import AnyLabels, Decided
from tunery.tasks.labels import LabelTask, Numbers, indicators
from tunery.tasks.task import FittedThreshold, State
from tunery.tasks.thresholds import FEW, threshold_groups


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
            f"fewer ({shown}): their scores say little, and their "
            "thresholds are pulled to what they share. Give validation more rows",
        )


class Multilabel(LabelTask):
    """One sigmoid per label; a label is given from its threshold on."""

    checks: ClassVar[Sequence[Check]] = (*LABEL_CHECKS, few_positives)
    state_keys: ClassVar[tuple[str, ...]] = AnyLabels.state_keys
    combiner: ClassVar[Combiner | None] = SIGMOID
    decisions: AnyLabels

    @classmethod
    def build(cls, spec: MultilabelTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Multilabel":
        decisions = AnyLabels(labels, threshold=spec.threshold, calibration=spec.calibration, costs=spec.costs)
        return cls(labels, decisions)

    @staticmethod
    def reader(spec: MultilabelTask, data: Data) -> RowReader:
        return several_labels(data)

    def numbers(self, examples: Sequence[Example]) -> Numbers:
        return indicators(examples, self.labels)

    def _metrics(self, raw: Floats, decided: Decided, truth: RowTable, state: State | None) -> dict[str, Any]:
        targets = truth["labels"]
        is_true, given, thresholds = targets > 0, decided.given, self.decisions.thresholds(state)
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
            "loss": float(binary_cross_entropy(raw, targets).mean()),
            "per_label": detail,
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Plain sigmoid cross-entropy, the mean over the labels."""
        losses: Array = binary_cross_entropy(finite(answers["logits"]), truth["labels"]).mean(axis=1)
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """Every label from its threshold on."""
        logits = finite(answers["logits"])
        decided = self.decisions.decide(logits, state)
        probabilities, confidence = self.decisions.probabilities(logits, state), self.decisions.confidence(decided)
        names = np.array(self.labels, dtype=object)
        return [
            Prediction(
                label=None,
                labels=tuple(names[mask]),
                confidence=sure,
                probabilities=dict(zip(self.labels, row, strict=True)),
            )
            for mask, sure, row in zip(decided.given, confidence.tolist(), probabilities.tolist(), strict=True)
        ]

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        if isinstance(data.labels, str):
            return {"labels": prediction.labels}
        return {label: int(label in prediction.labels) for label in prediction.probabilities}

    @staticmethod
    def fitted_thresholds(spec: MultilabelTask, metrics: Mapping[str, Any]) -> Sequence[FittedThreshold]:
        """That of each label with enough rows, and what the others share where they have enough together."""
        per_label = [*metrics["per_label"].items()]
        own, few = threshold_groups(np.array([row["support"] for _, row in per_label]))
        if spec.costs is not None or not isinstance(spec.threshold, PerLabelThreshold | GlobalThreshold):
            return ()
        groups = [*([label] for label in own), *([few] if few else [])]
        if isinstance(spec.threshold, GlobalThreshold):
            groups = [[*range(len(per_label))]]
        thresholds = (_fitted(dict(per_label[label] for label in group)) for group in groups)
        return [threshold for threshold in thresholds if threshold.support >= FEW]

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Sigmoid cross-entropy of the frequencies of the labels, the mean over the labels."""
        shares = [count / split.rows for count in split.labels.values() if 0 < count < split.rows]
        terms = (share * math.log(share) + (1 - share) * math.log1p(-share) for share in shares)
        return -sum(terms) / len(metrics["per_label"])

    def raw_thresholds(self, state: State) -> tuple[float, ...]:
        return self.decisions.raw_thresholds(state)


def _fitted(per_label: Mapping[str, Mapping[str, Any]]) -> FittedThreshold:
    """The threshold of some labels, from their metrics: the mean over the rows that have them."""
    rows = per_label.values()
    support, given = (sum(row[key] for row in rows) for key in ("support", "predicted"))
    hits = sum(row["f1"] * (row["support"] + row["predicted"]) / 2 for row in rows)
    mean = sum(row["threshold"] * row["support"] for row in rows) / max(support, 1)
    return FittedThreshold(tuple(per_label), mean, 2 * hits / max(support + given, 1), support)
