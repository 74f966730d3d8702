"""Probabilities that are as often right as they say."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tunery.data.calibration import (
    Problem,
    calibrated,
    fit_calibration,
    mean_loss,
    probabilities_of,
    quality,
    uncalibrated,
)

PROBLEMS: list[Problem] = ["single_label", "multi_label"]


def drawn(problem: Problem, *, rows: int = 4000, sharpness: float = 1.0, seed: int = 0) -> tuple[Any, Any]:
    """Logits, and targets drawn from their probabilities; then the logits times the sharpness."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(scale=2.0, size=(rows, 4))
    p = probabilities_of(logits, problem)
    if problem == "single_label":
        return logits * sharpness, (p.cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1).clip(max=3)
    return logits * sharpness, (draw.random(p.shape) < p).astype(np.float32)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_the_lowest_loss(problem: Problem, sharpness: float) -> None:
    logits, targets = drawn(problem, sharpness=sharpness)
    found = fit_calibration("temperature", logits, targets, problem)
    best = minimize_scalar(lambda t: mean_loss(logits / t, targets, problem), bounds=(0.05, 20), method="bounded").x
    temperature = 1.0 if found.calibration is None else found.calibration["temperature"]
    assert temperature == pytest.approx(best, rel=0.05 if found.calibration is None else 1e-3)
    assert temperature == pytest.approx(sharpness, rel=0.06)
    assert mean_loss(found.out_of_fold, targets, problem) <= mean_loss(logits, targets, problem)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_calibrated_already_is_left_as_it_is(problem: Problem) -> None:
    outcomes = [fit_calibration("temperature", *drawn(problem, rows=300, seed=seed), problem) for seed in range(20)]
    assert sum(fitted.calibration is None for fitted in outcomes) >= 10  # a temperature near 1 may lower it by chance
    for fitted in outcomes:
        assert fitted.calibration is None or fitted.calibration["temperature"] == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_scale_and_a_bias_for_each_label_undo_what_was_done_to_each(problem: Problem) -> None:
    logits, targets = drawn(problem, rows=20_000)
    scale, bias = np.array([0.5, 2.0, 1.0, 1.5]), np.array([1.0, -1.0, 0.0, 0.5])
    found = fit_calibration("vector", logits * scale + bias, targets, problem)
    assert found.calibration is not None
    told = calibrated(logits * scale + bias, found.calibration)
    assert np.abs(probabilities_of(told, problem) - probabilities_of(logits, problem)).max() < 0.06
    assert quality(told, targets, problem)["ece"] < 0.02
    assert np.allclose(uncalibrated(told, found.calibration), logits * scale + bias)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_rows_without_an_error_and_few_rows(problem: Problem) -> None:
    logits, _ = drawn(problem, rows=100)
    targets = logits.argmax(axis=1) if problem == "single_label" else (logits > 0).astype(np.float32)
    sure = fit_calibration("temperature", logits, targets, problem)
    assert sure.calibration is not None and 0.05 <= sure.calibration["temperature"] < 0.5
    for method in ("temperature", "vector"):
        assert fit_calibration(method, logits[:9], targets[:9], problem).calibration is None
    assert fit_calibration("none", logits, targets, problem).calibration is None


def test_the_quality_of_probabilities_by_their_definitions() -> None:
    logits, targets = drawn("single_label", rows=500, sharpness=2.0)
    found, p = quality(logits, targets, "single_label"), probabilities_of(logits, "single_label")
    assert found["brier"] == pytest.approx(((p - np.eye(4)[targets]) ** 2).sum(axis=1).mean())
    gap = 0.0
    for low in np.arange(15) / 15:
        inside = (p.max(axis=1) > low) & (p.max(axis=1) <= low + 1 / 15)
        if inside.any():
            gap += inside.mean() * abs(p.max(axis=1)[inside].mean() - (p.argmax(axis=1) == targets)[inside].mean())
    assert found["ece"] == pytest.approx(gap)
    assert sum(rows for rows, _, _ in found["bins"]) == 500
    logits, targets = drawn("multi_label", rows=500, sharpness=2.0)
    found, p = quality(logits, targets, "multi_label"), probabilities_of(logits, "multi_label")
    assert found["brier"] == pytest.approx(((p - targets) ** 2).mean())
    assert sum(rows for rows, _, _ in found["bins"]) == 2000
