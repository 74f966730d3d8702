"""The rule: what stays of which run, at which eviction level."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.direction import Direction
from tunery.schema.results.run import CheckpointRecord
from tunery.store.retention import Keep, Level, RunState, retained

NOTHING = Keep()


def epoch(step: int, kind: str = "best", value: float = 0.5) -> CheckpointRecord:
    return CheckpointRecord.model_validate(
        {"kind": kind, "step": step, "epoch": step / 10, "digest": f"{step:064}", "bytes": 10, "value": value}
    )


def trial(value: float | None, *, status: str = "completed", step: int = 10, loss: float | None = None) -> RunState:
    return RunState(status, value, loss, (epoch(step),), ())  # type: ignore[arg-type]


def keep(
    *runs: RunState,
    level: int = 0,
    direction: Direction = "maximize",
    rule: Checkpoint | None = None,
    candidates: int = 0,
) -> list[Keep]:
    return retained(runs, rule or Checkpoint(), candidates=candidates, direction=direction, level=Level(level))


def kept_trials(
    *runs: RunState, level: int = 0, direction: Direction = "maximize", candidates: int = 0, **rule: int
) -> list[int]:
    given = Checkpoint.model_validate(rule)
    keeps = keep(*runs, level=level, direction=direction, rule=given, candidates=candidates)
    return [number for number, found in enumerate(keeps) if found.records]


@pytest.mark.parametrize("status", ["pruned", "failed"])
def test_a_trial_that_did_not_complete_keeps_nothing_however_good_it_was(status: str) -> None:
    assert keep(trial(0.9, status=status), trial(0.1)) == [NOTHING, Keep((epoch(10),))]


def test_the_best_trials_keep_their_best_epoch_in_both_directions() -> None:
    runs = [trial(0.2), trial(0.5), trial(0.9), trial(0.4), trial(None)]
    assert kept_trials(*runs) == [2]
    assert kept_trials(*runs, keep_best=2) == [1, 2]
    assert kept_trials(*runs, direction="minimize", keep_best=2) == [0, 3]
    assert kept_trials(*runs, keep_best=2, level=3) == [1, 2]
    assert kept_trials(*runs, keep_best=2, level=4) == [2]


def test_candidates_stay_where_they_are_more_than_the_rule_keeps_and_are_the_first_to_go() -> None:
    runs = [trial(0.2), trial(0.5), trial(0.9), trial(0.4), trial(None)]
    assert kept_trials(*runs, candidates=3) == [1, 2, 3]
    assert kept_trials(*runs, candidates=3, keep_best=2, level=1) == [1, 2]
    assert kept_trials(*runs, candidates=1, keep_best=2) == [1, 2]
    assert kept_trials(*runs, candidates=9, direction="minimize") == [0, 1, 2, 3]


def test_of_equal_trials_the_earlier_come_first_and_no_more_than_co_best_stay() -> None:
    runs = [trial(0.1), trial(0.5), trial(0.5), trial(0.5)]
    assert kept_trials(*runs) == [1, 2]
    assert kept_trials(*runs, co_best=1) == [1]
    assert kept_trials(*runs, co_best=3) == [1, 2, 3]
    assert kept_trials(*runs, level=4) == [1]


def test_a_completed_trial_of_a_study_keeps_no_equal_epochs() -> None:
    run = RunState("completed", 0.5, None, (epoch(10), epoch(20, "co_best")), (30,))
    assert keep(run) == [Keep((epoch(10),), ())]


def test_a_run_with_an_export_of_its_own_keeps_only_the_equals_of_its_best_epoch() -> None:
    records = (epoch(10), epoch(20, "co_best"), epoch(30, "co_best"))
    run = RunState("completed", 0.5, None, records, (), exported=True)
    found = [keep(run, level=level)[0].records for level in Level]
    assert found == [records[1:2], records[1:2], records[1:2], (), ()]


def test_an_unfinished_run_gives_up_spare_points_then_equal_epochs_and_never_what_it_goes_on_from() -> None:
    records = (epoch(30), epoch(40, "co_best"), epoch(50, "co_best"))
    run, rule = RunState("running", None, None, records, (20, 60, 40)), Checkpoint(keep_last=2)
    found = [keep(run, rule=rule, level=level)[0] for level in Level]
    assert found == [
        Keep(records[:2], (60, 40)),
        Keep(records[:2], (60, 40)),
        Keep(records[:2], (60,)),
        Keep(records[:1], (60,)),
        Keep(records[:1], (60,)),
    ]


def test_a_run_that_another_process_trains_is_left_alone_until_room_is_needed() -> None:
    records = (epoch(30), epoch(40, "co_best"), epoch(50, "co_best"))
    run = RunState("running", None, None, records, (60, 40, 20), elsewhere=True)
    found = [keep(run, level=level)[0] for level in Level]
    whole, spare, last = Keep(records, (60, 40, 20)), Keep(records[:2], (60,)), Keep(records[:1], (60,))
    assert found == [whole, whole, spare, last, last]


def test_a_point_that_is_there_although_none_is_asked_for_stays() -> None:
    run = RunState("running", None, None, (), (20, 40))
    assert keep(run, rule=Checkpoint(keep_last=0))[0].points == (40,)


values = st.none() | st.sampled_from([0.1, 0.2, 0.3])
kept = st.integers(0, 3).map(lambda equals: tuple(epoch(n, "co_best" if n else "best") for n in range(equals + 1)))
states = st.builds(
    RunState,
    status=st.sampled_from(["running", "completed", "pruned", "failed"]),
    value=values,
    kept=st.just(()) | kept,
    points=st.lists(st.integers(1, 9), unique=True, max_size=4).map(tuple),
    exported=st.booleans(),
    elsewhere=st.booleans(),
)
rules = st.builds(Checkpoint, keep_last=st.integers(0, 3), keep_best=st.integers(1, 3), co_best=st.integers(1, 3))


@given(st.lists(states, max_size=6), rules, st.sampled_from(["maximize", "minimize"]), st.integers(0, 4))
def test_a_higher_level_keeps_a_part_of_what_a_lower_one_keeps(
    runs: list[RunState], rule: Checkpoint, direction: Direction, candidates: int
) -> None:
    levels = [retained(runs, rule, candidates=candidates, direction=direction, level=level) for level in Level]
    for less, more in zip(levels, levels[1:], strict=False):
        for before, after in zip(less, more, strict=True):
            assert all(record in before.records for record in after.records)
            assert set(before.points) >= set(after.points)
    for run, last in zip(runs, levels[-1], strict=True):
        if run.status == "running":
            assert last == Keep(run.kept[:1], (max(run.points),) if run.points else ())
    judged = {index: run.value for index, run in enumerate(runs) if run.status == "completed" and not run.exported}
    values = [value for value in judged.values() if value is not None]
    if values:
        best = (max if direction == "maximize" else min)(values)
        first = next(index for index, value in judged.items() if value == best)
        assert levels[-1][first].records == runs[first].kept[:1]
        assert sum(bool(levels[-1][index].records) for index in judged) <= 1
