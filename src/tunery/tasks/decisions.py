"""Which labels a row gets, from its logits: they are calibrated, and then there are thresholds, or what errors cost.

What is fitted, the *state*, comes from logits and true labels of the same rows alone: `calibration`, what makes
probabilities of logits where it is no plain softmax or sigmoid (`data/calibration.py`); `thresholds`, the probability
per label from which it is given; and `abstention`, what to expect of the rows below and from a confidence on
(`abstention_curve`), of rows decided out of fold.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np

from tunery.data.calibration import (
    Fitted,
    Targets,
    calibrated,
    fit_calibration,
    probabilities_of,
    uncalibrated,
)
from tunery.data.metrics import Bools, Floats, abstention_curve, sigmoid
from tunery.data.ranking import top_two_margin
from tunery.data.splitting import FOLDS, fold_of_rows
from tunery.schema.config.decision import (
    AtLeastThreshold,
    CalibrationMethod,
    CostMatrix,
    Costs,
    FixedThreshold,
    Threshold,
)
from tunery.tasks.of_labels import matrix_of, values_of
from tunery.tasks.task import State
from tunery.tasks.thresholds import FITS, UNTUNED, fixed_thresholds, require_known, thresholds_of_costs


class Decided(NamedTuple):
    """What is told of some rows."""

    logits: Floats
    """After calibration, (rows, labels)."""
    given: Bools
    """Which labels are given, (rows, labels)."""


class Decisions(ABC):
    """From logits to labels."""

    problem: ClassVar[Literal["single_label", "multi_label"]]
    state_keys: ClassVar[tuple[str, ...]]

    def __init__(self, labels: Sequence[str], calibration: CalibrationMethod) -> None:
        self._labels = tuple(labels)
        self._calibration = calibration

    def fit(self, logits: Floats, targets: Targets) -> State:
        """The state that some rows give."""
        decided, columns = self.out_of_fold(logits, targets), np.arange(len(self._labels))
        is_true = targets > 0 if targets.ndim == 2 else targets[:, None] == columns
        curve = abstention_curve(self.confidence(decided), (decided.given == is_true).all(axis=1))
        return {**self._fit(logits, targets), "abstention": curve}

    @abstractmethod
    def _fit(self, logits: Floats, targets: Targets) -> State:
        """The state without that."""

    @abstractmethod
    def out_of_fold(self, logits: Floats, targets: Targets) -> Decided:
        """The same rows, each fifth of them, drawn at random, decided by what the other four give."""

    @abstractmethod
    def decide(self, logits: Floats, state: State | None) -> Decided:
        """Rows with what was fitted before."""

    @abstractmethod
    def thresholds(self, state: State | None) -> Floats:
        """Probabilities from which labels are given, (labels,)."""

    @abstractmethod
    def cost(self, given: Bools, targets: Targets) -> float | None:
        """Mean cost of a row; None where nothing says what errors cost."""

    @abstractmethod
    def confidence(self, decided: Decided) -> Floats:
        """Probability that a decision is right, of a row with several that of the least certain one, (rows,)."""

    @abstractmethod
    def margins(self, logits: Floats, state: State | None) -> Floats:
        """How far a decision is from another one, from 0 to 1, (rows,)."""

    def probabilities(self, logits: Floats, state: State | None) -> Floats:
        """As they are told, (rows, labels)."""
        return probabilities_of(calibrated(logits, (state or {}).get("calibration")), self.problem)

    def _fitted(self, logits: Floats, targets: Targets) -> Fitted:
        return fit_calibration(self._calibration, logits, targets, self.problem)


@final
class OneLabel(Decisions):
    """The most probable label, or the one with the lowest expected cost, from its threshold on where there are any."""

    problem: ClassVar[Literal["single_label", "multi_label"]] = "single_label"
    state_keys: ClassVar[tuple[str, ...]] = ("calibration", "abstention")

    def __init__(
        self, labels: Sequence[str], *, calibration: CalibrationMethod = "none", costs: CostMatrix | None = None
    ) -> None:
        super().__init__(labels, calibration)
        self._costs = None if costs is None else matrix_of(costs, self._labels, path="task.costs")

    def _fit(self, logits: Floats, targets: Targets) -> State:
        """The calibration; null where nothing is better."""
        return {"calibration": self._fitted(logits, targets).calibration}

    def out_of_fold(self, logits: Floats, targets: Targets) -> Decided:
        """Costs are given, so the calibration alone is that of the other rows."""
        return self._decided(self._fitted(logits, targets).out_of_fold, self.thresholds(None))

    def decide(self, logits: Floats, state: State | None) -> Decided:
        """Thresholds are asked of the label that is told."""
        return self._decided(calibrated(logits, (state or {}).get("calibration")), self.thresholds(state))

    def cost(self, given: Bools, targets: Targets) -> float | None:
        """That of the label that is told."""
        return None if self._costs is None else float(self._costs[targets, given.argmax(axis=1)].mean())

    def confidence(self, decided: Decided) -> Floats:
        """Of the label that is told; of the most probable one where none is."""
        p = probabilities_of(decided.logits, self.problem)
        none = ~decided.given.any(axis=1, keepdims=True)
        sure: Floats = np.where(decided.given | none, p, 0.0).max(axis=1)
        return sure

    def margins(self, logits: Floats, state: State | None) -> Floats:
        """Between the two most probable labels."""
        return top_two_margin(self.probabilities(logits, state))

    def thresholds(self, state: State | None) -> Floats:
        """0: a label is told of every row, unless a caller says from which probability on."""
        return np.array((state or {}).get("thresholds", [0.0] * len(self._labels)))

    def _decided(self, logits: Floats, thresholds: Floats) -> Decided:
        probabilities = probabilities_of(logits, self.problem)
        merit = logits if self._costs is None else -(probabilities @ self._costs)
        is_told = merit.argmax(axis=1)[:, None] == np.arange(len(self._labels))
        return Decided(logits, is_told & (probabilities >= thresholds))


@final
class AnyLabels(Decisions):
    """Each label from its threshold on."""

    problem: ClassVar[Literal["single_label", "multi_label"]] = "multi_label"
    state_keys: ClassVar[tuple[str, ...]] = ("thresholds", "calibration", "abstention")

    def __init__(
        self,
        labels: Sequence[str],
        *,
        threshold: Threshold,
        calibration: CalibrationMethod = "none",
        costs: Costs | None = None,
    ) -> None:
        super().__init__(labels, calibration)
        self._threshold, self._costs = threshold, costs
        self._known = None if costs is None else thresholds_of_costs(costs, self._labels)
        if isinstance(threshold, FixedThreshold):
            self._known = fixed_thresholds(threshold, self._labels)
        elif isinstance(threshold, AtLeastThreshold):
            require_known(threshold, self._labels)

    def _fit(self, logits: Floats, targets: Targets) -> State:
        """The calibration, then thresholds of what it makes of these rows."""
        calibration = self._fitted(logits, targets).calibration
        probabilities = self.probabilities(logits, {"calibration": calibration})
        return {"thresholds": self._thresholds(probabilities, targets > 0).tolist(), "calibration": calibration}

    def out_of_fold(self, logits: Floats, targets: Targets) -> Decided:
        """Each fifth with calibration and thresholds of the other four."""
        told, is_true = self._fitted(logits, targets).out_of_fold, np.asarray(targets > 0)
        probabilities, fold = sigmoid(told), fold_of_rows(len(logits))
        given = np.zeros_like(is_true)
        for number in range(FOLDS):
            part, others = fold == number, fold != number
            given[part] = probabilities[part] >= self._thresholds(probabilities[others], is_true[others])
        return Decided(told, given)

    def decide(self, logits: Floats, state: State | None) -> Decided:
        """Where nothing was fitted, from one half on, or from what a config says."""
        told = calibrated(logits, (state or {}).get("calibration"))
        return Decided(told, sigmoid(told) >= self.thresholds(state))

    def cost(self, given: Bools, targets: Targets) -> float | None:
        """The sum over the labels."""
        if self._costs is None:
            return None
        is_true = targets > 0
        missed, wrong = (values_of(value, self._labels, path="task.costs") for _, value in self._costs)
        return float(((is_true & ~given) @ missed + (given & ~is_true) @ wrong).mean())

    def confidence(self, decided: Decided) -> Floats:
        """Of giving a label, or of not giving it."""
        p = sigmoid(decided.logits)
        sure: Floats = np.where(decided.given, p, 1 - p).min(axis=1)
        return sure

    def margins(self, logits: Floats, state: State | None) -> Floats:
        """Between the probability of a label and its threshold, of the label where it is least."""
        margin: Floats = np.abs(self.probabilities(logits, state) - self.thresholds(state)).min(axis=1)
        return margin

    def thresholds(self, state: State | None) -> Floats:
        """What was fitted, or is known; else one half."""
        if state is not None:
            return np.array(state["thresholds"], dtype=np.float64)
        return np.full(len(self._labels), UNTUNED) if self._known is None else self._known

    def raw_thresholds(self, state: State) -> tuple[float, ...]:
        """Those of probabilities before calibration, at which the same labels are given."""
        thresholds = np.clip(self.thresholds(state), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        logits = np.log(thresholds) - np.log1p(-thresholds)
        return tuple(sigmoid(uncalibrated(logits, state.get("calibration"))).tolist())

    def _thresholds(self, probabilities: Floats, is_true: Bools) -> Floats:
        if self._known is not None:
            return self._known
        return FITS[type(self._threshold)](self._threshold, self._labels, probabilities, is_true)
