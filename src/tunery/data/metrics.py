"""Numbers from logits and targets, all in float64, none of them warning or overflowing on extreme logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tunery.errors import NonFiniteLoss

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def finite(logits: npt.NDArray[Any]) -> Floats:
    """The logits in float64.

    Raises:
        NonFiniteLoss: where one of them is NaN or infinite.
    """
    wide = np.asarray(logits, dtype=np.float64)
    if bad := int(np.count_nonzero(~np.isfinite(wide))):
        raise NonFiniteLoss(f"logits must be finite, but {bad} of {wide.size} are not; try a lower optim.lr")
    return wide


def log_softmax(logits: Floats) -> Floats:
    """Log probabilities over the labels; (rows, labels) in and out."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def sigmoid(logits: Floats) -> Floats:
    """Probability of each label on its own."""
    small = np.exp(-np.abs(logits))
    result: Floats = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return result


def cross_entropy(logits: Floats, targets: Ints) -> Floats:
    """Negative log probability of each row's true label, (rows,). targets: (rows,)."""
    result: Floats = -log_softmax(logits)[np.arange(len(targets)), targets]
    return result


def binary_cross_entropy(logits: Floats, targets: npt.NDArray[Any]) -> Floats:
    """Logistic loss of each row and label, (rows, labels). targets: (rows, labels) of 0 and 1."""
    result: Floats = np.maximum(logits, 0.0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return result


def one_against_rest(logits: Floats) -> Floats:
    """Log odds of each label against all others under softmax; (rows, labels) in and out.

    There are no ties where probabilities round to 0 or 1. Odds that are equal by the logits are equal to the last bit,
    so that rows tie which should: whatever order the labels have, the same numbers are added in the same order.
    """
    rows, labels = logits.shape
    if labels == 1:
        return np.zeros_like(logits)
    order = np.argsort(logits, axis=1, kind="stable")
    ranked = np.take_along_axis(logits, order, axis=1)
    top, second = ranked[:, -1:], ranked[:, -2:-1]
    powers = np.exp(ranked - top)
    edge = np.zeros((rows, 1))
    below = np.cumsum(np.hstack([edge, powers[:, :-1]]), axis=1)
    above = np.cumsum(np.hstack([edge, powers[:, :0:-1]]), axis=1)[:, ::-1]
    is_first = np.diff(ranked, axis=1, prepend=np.inf) != 0  # of logits that are equal
    first = np.maximum.accumulate(np.where(is_first, np.arange(labels), 0), axis=1)
    odds = ranked - top
    odds[:, :-1] -= np.log(np.take_along_axis(below + above, first[:, :-1], axis=1))
    # beside the top logit the others may vanish, so that they are compared with the second one
    alone = top - second - np.log(np.exp(ranked[:, :-1] - second).sum(axis=1, keepdims=True))
    odds[:, -1:] = np.where(top > second, alone, odds[:, -2:-1])
    result = np.empty_like(odds)
    np.put_along_axis(result, order, odds, axis=1)
    return result


def confusion_matrix(targets: Ints, guesses: Ints, *, labels: int) -> Ints:
    """Row: true label, column: given label; (labels, labels)."""
    flat = np.bincount(targets * labels + guesses, minlength=labels * labels)
    return flat.reshape(labels, labels).astype(np.int64)


def matthews(confusion: Ints) -> float:
    """Matthews correlation for any number of labels (Gorodkin 2004); 0 where it is undefined."""
    counts = confusion.astype(np.float64)
    rows, actual, given = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    covariance = np.trace(counts) * rows - actual @ given
    spread = np.sqrt(rows**2 - given @ given) * np.sqrt(rows**2 - actual @ actual)
    return float(covariance / spread) if spread > 0 else 0.0


@dataclass(frozen=True)
class Counts:
    """Per label: how often it was given rightly, given at all, and true; each (labels,)."""

    hits: Ints
    given: Ints
    actual: Ints

    @property
    def precision(self) -> Floats:
        """Share of right ones among the given; 0 where it was never given."""
        return _ratio(self.hits, self.given)

    @property
    def recall(self) -> Floats:
        """Share of found ones among the true; 0 where it is never true."""
        return _ratio(self.hits, self.actual)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; 0 where it is undefined."""
        return _ratio(2 * self.hits, self.given + self.actual)

    def averages(self, counted: Bools) -> dict[str, float]:
        """F1 three ways. The macro average is taken over the `counted` labels (labels,)."""
        micro = _ratio(2 * self.hits.sum(keepdims=True), (self.given + self.actual).sum(keepdims=True))
        return {
            "f1_macro": float(self.f1[counted].mean()) if counted.any() else 0.0,
            "f1_micro": float(micro[0]),
            "f1_weighted": float(self.f1 @ self.actual / max(int(self.actual.sum()), 1)),
        }

    def per_label(self, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Precision, recall, F1, and how many rows have the label and got it, under each label's name."""
        shares = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        columns: dict[str, npt.NDArray[Any]] = {**shares, "support": self.actual, "predicted": self.given}
        return {label: {key: values[k].item() for key, values in columns.items()} for k, label in enumerate(labels)}


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def operating_points(scores: Floats, truth: Bools) -> tuple[Floats, Ints, Ints]:
    """Every distinct way to cut (rows,) scores: the lowest score given, rows given, and hits among them."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return ranked[ends], ends + 1, np.cumsum(truth[order])[ends]


def areas(scores: Floats, truth: Bools) -> tuple[float, float] | None:
    """Area under the ROC curve, and average precision, of one label; None where all rows or none have it."""
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return None
    _, given, hits = operating_points(scores, truth)
    gained = np.diff(hits, prepend=0)
    wrong = np.diff(given - hits, prepend=0)
    # trapezoids: rows with equal scores count half
    roc = float(wrong @ (hits - gained / 2)) / (positives * (len(truth) - positives))
    return roc, float(gained @ (hits / given)) / positives


def mean_areas(each: Sequence[tuple[float, float] | None]) -> dict[str, float | None]:
    """ROC AUC and PR AUC averaged over the labels that have them; None where none has."""
    defined = [pair for pair in each if pair is not None]
    if not defined:
        return {"roc_auc": None, "pr_auc": None}
    roc, precision = np.mean(defined, axis=0).tolist()
    return {"roc_auc": roc, "pr_auc": precision}


MOST_GIVEN: Final = 2
"""How many times as often as it is true a tuned threshold may give a label."""


def best_threshold(probabilities: Floats, truth: Bools, *, otherwise: float) -> float:
    """The cut between two neighbouring probabilities with the highest F1; `otherwise` where no row has the label.

    All cuts are tried that give the label to at most twice as many rows as have it: F1 alone is highest, for a label
    that the model cannot tell, where every row gets it (Lipton, Elkan & Naryanaswamy 2014, section 5). Among equally
    good ones the cut nearest one half is taken.
    """
    positives = int(truth.sum())
    if not positives:
        return otherwise
    cuts, given, hits = _cuts(probabilities, truth)
    f1 = np.where(given <= MOST_GIVEN * positives, 2 * hits / (given + positives), -1.0)
    best = np.flatnonzero(f1 == f1.max())
    return float(cuts[best[np.abs(cuts[best] - 0.5).argmin()]])


def matching_threshold(probabilities: Floats, truth: Bools, *, otherwise: float) -> float:
    """The cut that gives labels as often as they are true, or as nearly as can be; `otherwise` where none is true.

    The proportional cut of Yang 2001, "A study of thresholding strategies for text categorization".
    """
    if not truth.any():
        return otherwise
    cuts, given, _ = _cuts(probabilities, truth)
    return float(cuts[np.abs(given - truth.sum()).argmin()])


NEVER: Final = float(np.nextafter(1.0, 2.0))
"""A threshold that no probability reaches."""


def target_threshold(
    probabilities: Floats, truth: Bools, *, metric: Literal["precision", "recall"], least: float
) -> float:
    """Of the cuts whose precision or recall is at least so much, the one at which the other of the two is highest, of
    equally good ones that with more of the first; `NEVER` where there is none, or no row has the label."""
    cuts, given, hits = _cuts(probabilities, truth)
    precision, recall = _ratio(hits, given), _ratio(hits, np.full(len(hits), truth.sum()))
    reached, other = (precision, recall) if metric == "precision" else (recall, precision)
    fitting = np.flatnonzero((reached >= least) & (given > 0))
    if not len(fitting):
        return NEVER
    return float(cuts[max(fitting, key=lambda cut: (other[cut], reached[cut]))])


def _cuts(probabilities: Floats, truth: Bools) -> tuple[Floats, Ints, Ints]:
    """Every distinct way to cut (rows,) probabilities, fewest rows first: the cut, rows given, and hits among them.

    A cut is the middle of its gap. The first is above all probabilities and gives none.
    """
    lowest, given, hits = operating_points(probabilities, truth)
    above, below = np.append(np.nextafter(1.0, 2.0), lowest), np.append(lowest, 0.0)
    middle = below + (above - below) / 2
    cuts = np.where(middle > below, middle, above)
    return cuts, np.append(0, given), np.append(0, hits)


_POINTS: Final = 50


def abstention_curve(confidence: Floats, is_right: Bools) -> list[list[float]]:
    """What to expect where a model abstains below a confidence: `[confidence, share of rows below it, share of the
    other rows that are right]` at up to 50 confidences that rows have, ascending, the lowest among them (El-Yaniv &
    Wiener 2010, "On the foundations of noise-free selective classification", call it risk and coverage).

    Args:
        confidence: (rows,)
        is_right: (rows,)
    """
    order = np.argsort(confidence, kind="stable")
    ranked, right = confidence[order], np.cumsum(is_right[order][::-1])[::-1]
    first = np.flatnonzero(np.diff(ranked, prepend=-1.0))
    some = first[np.unique(np.linspace(0, len(first) - 1, min(_POINTS, len(first))).astype(np.int64))]
    shares = zip(ranked[some], some / len(ranked), right[some] / (len(ranked) - some), strict=True)
    return [[float(number) for number in row] for row in shares]
