"""Ways to find the thresholds of a multilabel task, on halves of the validation rows of goemotions; test is not read.

    python benchmarks/thresholds.py --data ../shared/data/goemotions --train 2000

A TF-IDF model is fitted to some training rows, and calibrated and given thresholds on some rows of one half of
validation; the other half is scored. Printed are the mean differences to the rule before this one, by which all labels
with fewer than 25 rows shared a threshold, with their standard errors over the halves.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tunery.baselines.targets import LinearTargets
from tunery.baselines.text_model import fit_text_model
from tunery.data.calibration import calibrated, fit_calibration
from tunery.data.metrics import Bools, Floats, best_threshold, matching_threshold, sigmoid
from tunery.schema.config.decision import GlobalThreshold, PerLabelThreshold
from tunery.tasks.thresholds import FEW, FITS, UNTUNED, shrunk, threshold_groups

Rule = Callable[[Floats, Bools], Floats]
SIZES = {100: 40, 300: 40, 1000: 40, 2713: 20}
"""Rows that thresholds are found on, and how often."""


def one_for_few(probabilities: Floats, is_true: Bools) -> Floats:
    """The rule before."""
    own, few = threshold_groups(is_true.sum(axis=0))
    pool = few if is_true[:, few].sum() >= FEW else range(is_true.shape[1])
    shared = matching_threshold(probabilities[:, pool].ravel(), is_true[:, pool].ravel(), otherwise=UNTUNED)
    thresholds = np.full(is_true.shape[1], shared)
    for k in own:
        thresholds[k] = best_threshold(probabilities[:, k], is_true[:, k], otherwise=shared)
    return thresholds


def shrunk_to_global(probabilities: Floats, is_true: Bools) -> Floats:
    """The highest F1 of each label, shrunk to that of all decisions together."""
    together = best_threshold(probabilities.ravel(), is_true.ravel(), otherwise=UNTUNED)
    columns = zip(probabilities.T, is_true.T, strict=True)
    own = np.array([best_threshold(*column, otherwise=together) for column in columns])
    return shrunk(own, together, is_true.sum(axis=0))


def found_by(spec: Any) -> Rule:
    """A choice of `task.threshold`."""
    return lambda p, is_true: FITS[type(spec)](spec, [str(k) for k in range(p.shape[1])], p, is_true)


RULES: dict[str, Rule] = {
    "per_label": found_by(PerLabelThreshold()),
    "all shrunk to the global one": shrunk_to_global,
    "global": found_by(GlobalThreshold()),
}


def scores(given: Bools, is_true: Bools) -> tuple[float, float]:
    """F1 macro and micro."""
    hits, total = (given & is_true).sum(axis=0), given.sum(axis=0) + is_true.sum(axis=0)
    return float(np.mean(2 * hits / np.maximum(total, 1))), float(2 * hits.sum() / total.sum())


def main() -> None:
    """Fit, split, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=int, default=2000, help="training rows of the TF-IDF model")
    given = parser.parse_args()
    train, validation = (
        [json.loads(line) for line in (given.data / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "validation")
    )
    some = [train[row] for row in np.random.default_rng(0).permutation(len(train))[: given.train]]
    labels = sorted({label for row in some for label in row["labels"]})
    targets, is_true = (
        np.array([[label in row["labels"] for label in labels] for row in rows]) for rows in (some, validation)
    )
    wanted = LinearTargets("multi_label", targets.astype(np.float32), len(labels))
    model = fit_text_model([row["text"] for row in some], wanted, seed=0)
    logits = model([row["text"] for row in validation]).astype(np.float64)
    for size, halves in SIZES.items():
        gains: dict[str, list[Floats]] = {name: [] for name in RULES}
        for seed in range(halves):
            order = np.random.default_rng(seed).permutation(len(logits))
            half, rest = order[: len(order) // 2][:size], order[len(order) // 2 :]
            fitted = fit_calibration("temperature", logits[half], is_true[half].astype(np.float64), "multi_label")
            p = sigmoid(calibrated(logits, fitted.calibration))
            before = np.array(scores(p[rest] >= one_for_few(p[half], is_true[half]), is_true[rest]))
            for name, rule in RULES.items():
                gains[name].append(np.array(scores(p[rest] >= rule(p[half], is_true[half]), is_true[rest])) - before)
        for name, each in gains.items():
            mean, error = 100 * np.mean(each, axis=0), 100 * np.std(each, axis=0, ddof=1) / np.sqrt(halves)
            shown = ", ".join(f"{m:+.2f} ({e:.2f})" for m, e in zip(mean, error, strict=True))
            print(f"{size:5} rows  {name:30} macro, micro F1 in points: {shown}", flush=True)


if __name__ == "__main__":
    main()
