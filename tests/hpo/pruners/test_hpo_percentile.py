"""The percentile pruner and its place for equals, against optuna's own."""

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.pruners import BasePruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunery.hpo.pruners.hyperband import Hyperband
from tunery.hpo.pruners.percentile import PercentileWithTies

CURVES = st.lists(st.sampled_from([0.1, 0.5, 0.6, 1.0]), min_size=1, max_size=4)
"""Few scores, so that most are equal to others."""
DIRECTIONS = st.sampled_from(["maximize", "minimize"])


def known(curves: list[list[float]], direction: str) -> optuna.Study:
    """A study of completed trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=direction)
    for curve in curves:
        study.add_trial(create_trial(value=curve[-1], intermediate_values=dict(enumerate(curve, start=1))))
    return study


def running(study: optuna.Study, curve: list[float]) -> FrozenTrial:
    """One more trial after the last epoch of `curve`."""
    values = dict(enumerate(curve, start=1))
    study.add_trial(create_trial(state=TrialState.RUNNING, intermediate_values=values))
    return study.trials[-1]


def test_the_best_is_never_stopped_for_being_one_of_many() -> None:
    study = known([[1.0], [1.0], [1.0], [1.0], [0.6]], "maximize")
    pruner = PercentileWithTies(25.0, startup_trials=4, warmup_epochs=0)
    assert not pruner.prune(study, running(study, [1.0]))
    assert pruner.prune(study, running(study, [0.6]))


@given(
    curves=st.lists(CURVES, max_size=8),
    curve=CURVES,
    direction=DIRECTIONS,
    percentile=st.sampled_from([0.0, 25.0, 50.0, 75.0, 100.0]),
    startup=st.integers(0, 5),
    warmup=st.integers(0, 3),
)
def test_stops_what_optuna_stops_and_low_equals_where_something_is_better(
    curves: list[list[float]], curve: list[float], direction: str, percentile: float, startup: int, warmup: int
) -> None:
    study = known(curves, direction)
    trial = running(study, curve)
    stopped = PercentileWithTies(percentile, startup_trials=startup, warmup_epochs=warmup).prune(study, trial)
    by_optuna = PercentilePruner(percentile, startup, warmup + 1).prune(study, trial)
    assert stopped or not by_optuna
    if stopped and not by_optuna:
        sign = 1 if direction == "maximize" else -1
        best = max(sign * value for value in curve)
        others = [sign * other[len(curve) - 1] for other in curves if len(other) >= len(curve)]
        better, equals = sum(other > best for other in others), others.count(best)
        assert better > 0 and equals > 0 and better + equals / 2 > percentile / 100 * len(others)
        assert len(curves) >= startup and len(curve) > warmup


@given(curves=st.lists(CURVES, max_size=8), curve=CURVES, direction=DIRECTIONS)
def test_no_pruner_stops_an_equal_of_the_best(curves: list[list[float]], curve: list[float], direction: str) -> None:
    study = known(curves, direction)
    choose = max if direction == "maximize" else min
    best = choose(value for known_curve in [*curves, curve] for value in known_curve)
    pruners: list[BasePruner] = [
        *(PercentileWithTies(percentile, startup_trials=0, warmup_epochs=0) for percentile in (1.0, 25.0, 50.0)),
        SuccessiveHalvingPruner(1, 2),
        Hyperband(least=1, most=4, factor=2),
    ]
    for pruner in pruners:
        assert not pruner.prune(study, running(study, [*curve[:-1], best]))
