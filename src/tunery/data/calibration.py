"""Logits become logits whose probabilities are as often right as they say: one temperature for all labels, or a scale
and a bias for each (Guo et al. 2017, arXiv 1706.04599, section 4.2). Nothing here changes which of two rows is more
likely to have a label."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tunery.data.metrics import Floats, binary_cross_entropy, cross_entropy, log_softmax, sigmoid
from tunery.data.splitting import FOLDS, fold_of_rows

Problem = Literal["single_label", "multi_label"]
Targets = npt.NDArray[Any]
"""int64 (rows,) for a single label, 0 and 1 (rows, labels) for several."""
Calibration = Mapping[str, Any]
"""`temperature`, or `scale` and `bias`, each (labels,): plain data for records and cards."""

_BINS: Final = 15
_SHARPEST, _FLATTEST = 20.0, 0.05
"""Bounds of 1 / temperature: where rows are told apart without an error, no temperature is low enough."""
_STEPS: Final = 50
_SMALL: Final = 1e-10


class Fitted(NamedTuple):
    """What is fitted to some rows, and what it makes of them without the advantage of that."""

    calibration: Calibration | None
    """None: each part of the rows, calibrated as the others say, has no lower loss than as it is."""
    out_of_fold: Floats
    """The logits, each part calibrated as the others say; as they are where `calibration` is None."""


def calibrated(logits: Floats, calibration: Calibration | None) -> Floats:
    """(rows, labels) in and out."""
    if calibration is None:
        return logits
    if "temperature" in calibration:
        return logits / float(calibration["temperature"])
    scaled: Floats = logits * np.array(calibration["scale"]) + np.array(calibration["bias"])
    return scaled


def uncalibrated(logits: Floats, calibration: Calibration | None) -> Floats:
    """The other way round."""
    if calibration is None:
        return logits
    if "temperature" in calibration:
        return logits * float(calibration["temperature"])
    raw: Floats = (logits - np.array(calibration["bias"])) / np.array(calibration["scale"])
    return raw


def fit_calibration(method: str, logits: Floats, targets: Targets, problem: Problem) -> Fitted:
    """Fit to rows that the model was not trained on.

    Args:
        method: `temperature`, `vector`, or `none`.
    """
    if method == "none" or len(logits) < 2 * FOLDS:
        return Fitted(None, logits)
    fold, out_of_fold = fold_of_rows(len(logits)), logits.copy()
    for number in range(FOLDS):
        part, others = fold == number, fold != number
        out_of_fold[part] = calibrated(logits[part], _fit(method, logits[others], targets[others], problem))
    if mean_loss(out_of_fold, targets, problem) >= mean_loss(logits, targets, problem):
        return Fitted(None, logits)
    return Fitted(_fit(method, logits, targets, problem), out_of_fold)


def mean_loss(logits: Floats, targets: Targets, problem: Problem) -> float:
    """Log loss, the mean over rows, and over labels where there may be several."""
    loss = cross_entropy if problem == "single_label" else binary_cross_entropy
    return float(loss(logits, targets).mean())


def probabilities_of(logits: Floats, problem: Problem) -> Floats:
    """(rows, labels) in and out."""
    return np.exp(log_softmax(logits)) if problem == "single_label" else sigmoid(logits)


def quality(logits: Floats, targets: Targets, problem: Problem) -> dict[str, Any]:
    """How good probabilities are: `loss`; `brier`, their mean squared error, of a single label summed over the labels
    (Brier 1950, Monthly Weather Review 78); `ece`, the mean gap between them and how often they are right over 15 equal
    bins (Guo et al. 2017, equation 3), of a single label that of the answer; `bins`: rows, mean probability, and share
    that is right, of each bin that has any."""
    p = probabilities_of(logits, problem)
    if problem == "single_label":
        is_true = np.zeros_like(p)
        is_true[np.arange(len(p)), targets] = 1.0
        said, right = p.max(axis=1), p.argmax(axis=1) == targets
        brier = float(np.square(p - is_true).sum(axis=1).mean())
    else:
        said, right = p.ravel(), np.asarray(targets > 0).ravel()
        brier = float(np.square(said - right).mean())
    number = np.clip(np.ceil(said * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    count, sure, share = (np.bincount(number, weights=w, minlength=_BINS) for w in (np.ones_like(said), said, right))
    some = count > 0
    bins = np.stack([count[some], sure[some] / count[some], share[some] / count[some]], axis=1)
    return {
        "loss": mean_loss(logits, targets, problem),
        "brier": brier,
        "ece": float(np.abs(sure - share).sum() / len(said)),
        "bins": [[int(rows), probability, is_right] for rows, probability, is_right in bins.tolist()],
    }


def _fit(method: str, logits: Floats, targets: Targets, problem: Problem) -> Calibration:
    sharpness = _sharpness(logits, targets, problem)
    if method == "temperature":
        return {"temperature": 1 / sharpness}
    labels = logits.shape[1]

    def loss(values: Floats) -> tuple[float, Floats]:
        scale, bias = values[:labels], values[labels:]
        scaled = logits * scale + bias
        error = probabilities_of(scaled, problem)
        if problem == "single_label":
            error[np.arange(len(error)), targets] -= 1.0
        else:
            error = (error - targets) / labels
        slope = np.concatenate([(error * logits).mean(axis=0), error.mean(axis=0)])
        return mean_loss(scaled, targets, problem), slope

    start = np.concatenate([np.full(labels, sharpness), np.zeros(labels)])
    bounds = [(_FLATTEST, _SHARPEST)] * labels + [(-_SHARPEST, _SHARPEST)] * labels
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return {"scale": found[:labels].tolist(), "bias": found[labels:].tolist()}


def _sharpness(logits: Floats, targets: Targets, problem: Problem) -> float:
    """The number that logits are multiplied by for the lowest loss, which is convex in it: Newton's method, within
    bounds that close in."""
    low, high, sharpness = _FLATTEST, _SHARPEST, 1.0
    for _ in range(_STEPS):
        slope, curve = _derivatives(sharpness, logits, targets, problem)
        low, high = (sharpness, high) if slope < 0 else (low, sharpness)
        wanted = sharpness - slope / curve if curve > 0 else high if slope < 0 else low
        new = wanted if low <= wanted <= high else (low + high) / 2
        if abs(new - sharpness) <= _SMALL * sharpness:
            break
        sharpness = new
    return sharpness


def _derivatives(sharpness: float, logits: Floats, targets: Targets, problem: Problem) -> tuple[float, float]:
    """First and second derivative of the mean loss by the sharpness."""
    p = probabilities_of(sharpness * logits, problem)
    if problem == "single_label":
        mean = (p * logits).sum(axis=1)
        slope = mean - logits[np.arange(len(logits)), targets]
        return float(slope.mean()), float(((p * logits**2).sum(axis=1) - mean**2).mean())
    return float(((p - targets) * logits).mean()), float((p * (1 - p) * logits**2).mean())
