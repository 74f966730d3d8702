"""What stopping early did, counted by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_records import EPOCHS, make_empty_study, make_study
from tunery.hpo.analysis.stopped_early import pruned_by_epoch, seconds_saved
from tunery.report.charts.search_charts import SHADE_FROM
from tunery.report.compute.parallel import SHADES
from tunery.report.compute.pruning import MOST_BARS, pruning, reach
from tunery.schema.results.study import StudyResult, TrialRecord


def trial(number: int = 0, status: str = "pruned", **changes: object) -> TrialRecord:
    plain = {"value": None, "params": {}, "seconds": 10.0, "epochs": 2.0} | changes
    return TrialRecord(number=number, status=status, **plain)


def study(*trials: TrialRecord, **changes: object) -> StudyResult:
    return make_empty_study(trials=0).model_copy(update={"trials": trials, **changes})


TRIALS = st.builds(
    trial,
    st.integers(0, 1000),
    st.sampled_from(["completed", "pruned", "failed", "running"]),
    epochs=st.floats(0, 12),
    seconds=st.floats(0, 1e4),
    params=st.one_of(st.just({}), st.builds(lambda n: {"train.epochs": n}, st.integers(1, 20))),
)


def test_a_large_study_saves_about_what_its_pruned_trials_did_not_run():
    made = make_study(200)
    stopped = [t for t in made.trials if t.status == "pruned"]
    exact = sum(t.seconds / t.epochs * (EPOCHS - t.epochs) for t in stopped)
    assert made.seconds_saved == pytest.approx(exact)


@given(st.lists(TRIALS))
def test_every_pruned_trial_is_counted_once_and_time_is_never_lost(trials: list[TrialRecord]):
    stopped = sum(t.status == "pruned" for t in trials)
    counted = pruned_by_epoch(trials)
    saved = seconds_saved(trials, epochs=10)
    assert sum(counted.values()) == stopped and list(counted) == sorted(counted)
    assert saved is None if not any(t.status == "completed" for t in trials) else saved >= 0
    found = pruning(study(*trials, pruned_by_epoch=counted, seconds_saved=saved))
    assert [row.so_far for row in found.by_epoch][-1:] == ([stopped] if stopped else [])
    assert found.early == sum(t.status == "pruned" and t.epochs <= 5 + 1e-6 for t in trials)


def test_few_trials_are_bars_in_the_order_they_were_started():
    found = reach(study(trial(2, epochs=1), trial(0, "completed", epochs=3), trial(1, "failed", epochs=0.5)))
    assert found is not None and not found.blocks
    assert [(bar.number, bar.epochs, bar.status) for bar in found.bars] == [
        (0, 3, "completed"),
        (1, 0.5, "failed"),
        (2, 1, "pruned"),
    ]
    assert reach(study(trial(epochs=0))) is None and reach(study()) is None


@given(st.lists(st.floats(0, 30), min_size=MOST_BARS + 1, max_size=400))
def test_many_trials_are_blocks_that_tile_all_trials_and_epochs(epochs: list[float]):
    found = reach(study(*(trial(number, epochs=ran) for number, ran in enumerate(epochs))))
    if found is None:
        assert not any(epochs)
        return
    longest = math.ceil(max(epochs))
    area = sum((block.end - block.first) * (block.epoch_end - block.epoch) for block in found.blocks)
    assert not found.bars and area == len(epochs) * longest
    for block in found.blocks:
        inside = epochs[block.first : block.end]
        assert block.share == sum(round(ran, 6) >= block.epoch_end for ran in inside) / len(inside)


def test_every_shade_of_a_block_has_a_share_to_begin_at():
    assert len(SHADE_FROM) + 1 == SHADES and list(SHADE_FROM) == sorted(SHADE_FROM)
