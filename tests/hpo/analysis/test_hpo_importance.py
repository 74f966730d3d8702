"""Importance: what optuna says where it can, and what must be so by construction."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from tunery.hpo.analysis.fanova import single_shares
from tunery.hpo.analysis.importance import importances

LR = FloatDistribution(1e-5, 1e-1, log=True)
R = IntDistribution(1, 16)
NAME = CategoricalDistribution(("a", "b", "c"))
SPACE: dict[str, BaseDistribution] = {"lr": LR, "r": R, "name": NAME}
Params = dict[str, Any]


def draw(count: int, *, seed: int = 0) -> list[Params]:
    rng = np.random.default_rng(seed)
    return [
        {"lr": float(10 ** rng.uniform(-5, -1)), "r": int(rng.integers(1, 17)), "name": str(rng.choice(list("abc")))}
        for _ in range(count)
    ]


def study_of(
    params: Sequence[Params], value: Callable[[Params], Any], *, directions: Sequence[str] = ("minimize",)
) -> optuna.Study:
    study = optuna.create_study(directions=directions)
    for one in params:
        distributions = {path: SPACE.get(path, FloatDistribution(0, 1)) for path in one}
        found = value(one)
        values = list(found) if isinstance(found, tuple) else [found]
        study.add_trial(create_trial(params=one, distributions=distributions, values=values))
    return study


def shares(study: optuna.Study, evaluator: str) -> dict[str, float]:
    return {one.path: one.share for one in importances(study)[evaluator]}


def by_lr(params: Params) -> float:
    return abs(math.log10(params["lr"]) + 3) + 0.01 * params["r"]


def test_ped_anova_is_optunas_own_where_all_trials_have_all_parameters() -> None:
    study = study_of(draw(80), by_lr)
    found = importances(study)["ped_anova"]
    assert {one.path: one.share for one in found} == pytest.approx(get_param_importances(study))
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert found[0].path == "lr" and {one.trials for one in found} == {80}
    assert sum(one.share for one in found) == pytest.approx(1)


def test_fanova_agrees_with_optunas_on_evenly_spaced_parameters() -> None:
    params = [{"x": p["r"] / 16, "y": math.log10(p["lr"]) / 4 + 1.25, "z": n / 150} for n, p in enumerate(draw(150))]
    study = study_of(params, lambda p: 3 * p["x"] + p["y"])
    theirs = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    assert shares(study, "fanova") == pytest.approx(theirs, abs=0.01)


def test_fanova_of_a_sum_is_the_share_of_each_variance() -> None:
    grid = np.array([(x, y, z) for x in range(8) for y in range(8) for z in range(4)], dtype=float)
    bounds = np.array([(-0.5, 7.5), (-0.5, 7.5), (-0.5, 3.5)])
    found = single_shares(grid, 2 * grid[:, 0] + grid[:, 1], bounds=bounds)
    assert found == pytest.approx([0.8, 0.2, 0.0], abs=0.02)
    together = single_shares(
        grid, (grid[:, 0] > 3.5) * 1.0 + (grid[:, 1] > 3.5) - 2 * (grid[:, 0] > 3.5) * (grid[:, 1] > 3.5), bounds=bounds
    )
    assert together == pytest.approx([0, 0, 0], abs=0.05)  # exclusive or: neither explains anything alone


def test_a_logarithmic_range_counts_by_its_logarithm() -> None:
    """Half of the decades make the difference: half of the draws, yet a hundredth of the plain range."""
    study = study_of(draw(400), lambda p: float(p["lr"] < 1e-3) + 0.3 * (p["name"] == "a"))
    assert shares(study, "fanova")["lr"] == pytest.approx(0.25 / (0.25 + 0.09 * 2 / 9), abs=0.05)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_the_first_of_several_objectives_is_the_one_and_its_direction_counts(direction: str, sign: int) -> None:
    params = draw(120)
    alone = study_of(params, by_lr)
    several = study_of(params, lambda p: (sign * by_lr(p), float(p["r"])), directions=(direction, "minimize"))
    assert importances(several) == importances(alone)


def test_conditional_parameters_are_weighed_and_only_shared_ones_are_compared_by_fanova() -> None:
    params = [{**one, **({"a.drop": n % 7 / 7} if one["name"] == "a" else {})} for n, one in enumerate(draw(200))]
    study = study_of(params, lambda p: p.get("a.drop", 1.0))
    found = {one.path: one for one in importances(study)["ped_anova"]}
    assert found["a.drop"].trials == sum("a.drop" in one for one in params) < 200
    assert found["a.drop"].share > found["lr"].share
    assert set(shares(study, "fanova")) == {"lr", "r", "name"}


def test_what_has_one_value_few_trials_or_no_value_is_left_out() -> None:
    params = [{**one, "r": 4, **({"rare": n / 40} if n < 9 else {})} for n, one in enumerate(draw(40))]
    study = study_of(params, by_lr)
    study.add_trial(create_trial(params={}, distributions={}, state=TrialState.FAIL))
    study.add_trial(create_trial(params={"lr": 1e-3}, distributions={"lr": LR}, value=math.inf))
    for evaluator in ("ped_anova", "fanova"):
        assert set(shares(study, evaluator)) == {"lr", "name"}
    assert importances(study_of(draw(9), by_lr)) == {}
    assert importances(study_of(draw(40), lambda p: 0.5)) == {}


def test_of_many_trials_the_same_ones_are_drawn() -> None:
    most = {"ped_anova": 60, "fanova": 50}
    study = study_of(draw(300), by_lr)
    found = importances(study, most_trials=most)
    assert found == importances(study, most_trials=most)
    assert {one.trials for told in found.values() for one in told} == {300}
    assert [told[0].path for told in found.values()] == ["lr", "lr"]
