"""Trials that tie on the objective: whoever ranks them says the same."""

from pathlib import Path

import pytest

from stored_runs import finish, keep_best
from tunery.errors import FolderError
from tunery.hpo.analysis.ensemble import ensemble
from tunery.hpo.analysis.trial_records import trial_folder
from tunery.hpo.winner import ranked
from tunery.report import leaderboard_rows
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.storage import Disk
from tunery.schema.results.study import StudyResult, TrialRecord
from tunery.store.disk.run_lock import own
from tunery.store.study import StudyStore
from tunery.train.artifacts.export import export_run

SCORES = [(0.5, 0.9), (0.8, 0.7), (0.8, None), (0.8, 0.4), (0.8, 0.4), (0.6, 0.1)]
"""Value and loss, trial by trial."""
ORDER = [3, 4, 1, 2, 5, 0]


def record(number: int, value: float, loss: float | None) -> TrialRecord:
    return TrialRecord(number=number, status="completed", value=value, loss=loss, params={}, seconds=1.0, epochs=1)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Six completed trials, whose weights are all there."""
    out = tmp_path / "study"
    own(out)
    for number, (value, loss) in enumerate(SCORES):
        folder = trial_folder(out, number)
        keep_best(folder, 10, value, key=str(number))
        finish(folder, value, loss=loss)
    return out


def test_records_and_the_leaderboard(study: Path) -> None:
    told = StudyResult(
        name="s",
        objective="f1_macro",
        direction="maximize",
        best=None,
        trials=tuple(record(number, *scores) for number, scores in enumerate(SCORES)),
        counts={},
        disk=Disk(bytes=0, keep_all_bytes=0),
        seconds=6.0,
    )
    assert [trial.number for trial in ranked(told)] == ORDER
    assert [row["number"] for row in leaderboard_rows(told)] == ORDER


@pytest.mark.parametrize("most", range(1, 7))
def test_weights_that_stay(study: Path, most: int) -> None:
    StudyStore(study, Checkpoint(keep_best=most, co_best=1), direction="maximize").tidy()
    assert [number for number in range(6) if trial_folder(study, number).kept()] == sorted(ORDER[:most])


def test_what_is_exported(study: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError) as refused:
        export_run(study, tmp_path / "new", trial=99)
    assert str(refused.value).endswith(f"keeps {', '.join(f'trial {number} step 10' for number in ORDER)}")


def test_members_of_an_ensemble(study: Path, tmp_path: Path) -> None:
    for first, second in zip(ORDER, ORDER[1:], strict=False):
        for number in (first, second):
            trial_folder(study, number).write_kept(())
        with pytest.raises(FolderError, match=f"the weights of trial {first} are gone"):
            ensemble(study, tmp_path / "new", trials=[second, first])
