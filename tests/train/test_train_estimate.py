"""The disk that a run will take: never less than it takes, and refused before anything is written."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from stored_runs import save_point
from tiny_runs import config, write_rows
from tunery.errors import FolderError
from tunery.schema.config.checkpoint import Checkpoint
from tunery.store.disk.files import size
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.fit import fit
from tunery.train.setup import estimate as module
from tunery.train.setup.assemble import assemble
from tunery.train.setup.estimate import Sizes, estimate, require_room, sizes_of
from tunery.train.setup.prepare import prepare

MB = 10**6
STATE = ("objects", "resume", "staging", "best")


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {
            "optim": {"name": "sgd"},
            "freeze": {"strategy": "freeze_encoder"},
            "checkpoint": {"keep_last": 0, "co_best": 1},
        },
        {"optim": {"name": "adafactor", "lr": 3e-3}, "checkpoint": {"keep_last": 2, "every": 3}},
        {"peft": {"method": "lora"}},
        {"peft": {"method": "adalora"}, "checkpoint": {"co_best": 3}},
        {"peft": {"method": "prefix"}},
    ],
    ids=["full", "sgd, frozen", "adafactor", "lora", "adalora", "prefix"],
)
def test_no_run_takes_more_than_was_estimated(
    sections: dict[str, Any], tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_rows(tmp_path)
    wanted = config(str(tiny_bert), files, **{"train": {"epochs": 3, "batch_size": 8}, **sections})
    run = assemble(wanted, prepare(wanted))
    sizes, out = sizes_of(run), tmp_path / "run"
    expected = estimate(sizes, wanted.checkpoint).peak
    peak, points, documents = [0], list[list[int]](), list[int]()
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        """The last moment of every write: what it replaces is still there."""
        peak[0] = max(peak[0], sum(size(path) for path in out.glob("*") if path.name.strip(".").split(".")[0] in STATE))
        renamed = rename(self, target)
        if target.parent.name == "resume":
            newest = RunFolder(out).resume.points()[0]
            points.append([stored.bytes for stored in newest.objects.values()])
            documents.append(target.stat().st_size)
        return renamed

    monkeypatch.setattr(Path, "replace", watched)
    fit(wanted, out=out)
    told = [path for path in (out / "best").glob("*.json") if not path.name.startswith("tokenizer")]
    tight(peak[0], expected)
    tight(max(map(sum, points), default=0), sizes.point - module.DOCUMENTS if points else 0)
    tight(size(out / "best") - sum(path.stat().st_size for path in told), sizes.export - module.DOCUMENTS)
    assert max(documents, default=0) <= module.DOCUMENTS


def tight(real: int, expected: int) -> None:
    """Never less, and not much more than compression and rounded names explain."""
    assert real <= expected <= 2 * real + 2**20


def test_the_peak_is_the_worse_of_saving_and_exporting_and_its_parts_are_named() -> None:
    rule = Checkpoint(keep_last=1, co_best=2)
    saving = estimate(Sizes(weights=2 * MB, point=11 * MB, export=3 * MB), rule)
    assert str(saving) == "at most 28 MB (2 × resume point of 11 MB, 3 × weights of 2 MB)"
    exporting = estimate(Sizes(weights=2 * MB, point=11 * MB, export=30 * MB), rule)
    assert str(exporting) == "at most 45 MB (1 × resume point of 11 MB, 2 × weights of 2 MB, 1 × export of 30 MB)"
    assert estimate(Sizes(2, 11, 3), Checkpoint(keep_last=0, co_best=1)).peak == 5


Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def asked(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask for room in an empty folder, on a file system of 1 GB, for a run that needs 70 MB, or 60 when squeezed; with
    `candidates` it is a trial of a study that keeps so many more."""
    files = write_rows(tmp_path)
    said: list[str] = []

    def ask(free: int, *, others: int = 0, candidates: int | None = None, n_jobs: int = 1, **rule: Any) -> list[str]:
        monkeypatch.setattr("shutil.disk_usage", lambda path: Disk(1000 * MB, 0, free))
        wanted = config(str(tiny_bert), files, checkpoint=rule)
        out = tmp_path / "runs" / "run"
        store = StudyStore(out, wanted.checkpoint, direction="maximize", candidates=candidates or 0, say=said.append)
        monkeypatch.setattr(StudyStore, "used", lambda self: others)
        sizes, folder = Sizes(10 * MB, 20 * MB, 1 * MB), store.run(candidates and out / "trials" / "3")
        require_room(sizes, wanted.checkpoint, store=store, folder=folder, n_jobs=n_jobs if candidates else None)
        assert not out.exists()
        return said

    return ask


def test_a_budget_that_is_too_small_is_refused_with_what_is_needed(asked: Any) -> None:
    need = r"this run needs at most 60 MB \(2 × resume point of 20 MB, 2 × weights of 10 MB\)"
    with pytest.raises(FolderError, match=rf"checkpoint.max_disk allows 59 MB, but {need}; allow more, or ask"):
        asked(900 * MB, max_disk="59MB")
    asked(900 * MB, max_disk="60MB", others=500 * MB)  # what other trials hold can go


def test_where_nothing_may_be_freed_the_other_trials_and_all_that_is_to_be_kept_count(asked: Any) -> None:
    with pytest.raises(FolderError, match="needs at most 70 MB .* beside 5 MB of other runs"):
        asked(900 * MB, max_disk="74MB", others=5 * MB, low_disk="stop")
    asked(900 * MB, max_disk="75MB", others=5 * MB, low_disk="stop")


def test_the_trials_that_stay_until_the_study_ends_count_where_they_will_not_give_way(asked: Any) -> None:
    need = r"at most 120 MB \(2 × resume point of 20 MB, 3 × weights of 10 MB, 5 × weights of another trial of 10 MB\)"
    with pytest.raises(FolderError, match=rf"allows 119 MB, but this run needs {need}; allow more"):
        asked(900 * MB, candidates=5, max_disk="119MB", low_disk="stop")
    asked(900 * MB, candidates=5, max_disk="120MB", others=50 * MB, low_disk="stop")  # those are they
    with pytest.raises(FolderError, match=r"needs at most 120 MB .* beside 30 MB of other runs"):
        asked(900 * MB, candidates=5, max_disk="149MB", others=80 * MB, low_disk="stop")
    with pytest.raises(FolderError, match=r"allows 69 MB, but this run needs .* 1 × weights of another trial"):
        asked(900 * MB, candidates=5, max_disk="69MB")  # the best stays
    asked(900 * MB, candidates=5, max_disk="70MB", others=500 * MB)


def test_what_other_trials_hold_already_is_not_counted_as_free(asked: Any) -> None:
    with pytest.raises(FolderError, match="has 219 MB free and checkpoint.min_free keeps 100 MB"):
        asked(219 * MB, candidates=5, low_disk="stop")
    asked(220 * MB, candidates=5, low_disk="stop")
    asked(180 * MB, candidates=5, low_disk="stop", others=40 * MB)


def test_a_study_is_told_of_all_that_stays(asked: Any) -> None:
    assert "5 × weights of another trial of 10 MB" in asked(900 * MB, candidates=5)[0]


def test_trials_that_run_at_once_are_told_together(asked: Any) -> None:
    assert "at most 190 MB (4 × resume point of 20 MB, 6 × weights" in asked(900 * MB, candidates=5, n_jobs=2)[0]
    assert asked(900 * MB, n_jobs=2)[1].startswith("disk: at most 70 MB")


def test_a_file_system_that_is_too_small_is_refused(asked: Any) -> None:
    with pytest.raises(FolderError, match="has 59 MB free, but this run needs at most 60 MB .*; choose another --out,"):
        asked(59 * MB)
    with pytest.raises(FolderError, match="has 169 MB free and checkpoint.min_free keeps 100 MB of it, but"):
        asked(169 * MB, low_disk="stop")
    asked(170 * MB, low_disk="stop")
    asked(59 * MB, low_disk="wait")  # room may come
    with pytest.raises(FolderError, match="allows 69 MB"):
        asked(59 * MB, low_disk="wait", max_disk="69MB")  # but not here


def test_what_it_will_take_is_said(asked: Any) -> None:
    assert asked(900 * MB) == ["disk: at most 70 MB (2 × resume point of 20 MB, 3 × weights of 10 MB), 900 MB free"]


def test_nothing_is_said_of_what_hardly_counts(asked: Any) -> None:
    assert asked(3501 * MB) == []
    assert len(asked(3499 * MB)) == 1


def test_a_run_that_has_begun_is_let_pass(tiny_bert: Path, tmp_path: Path) -> None:
    wanted = config(str(tiny_bert), write_rows(tmp_path))
    tight = wanted.model_copy(update={"checkpoint": Checkpoint(max_disk=1)})
    sizes = sizes_of(assemble(tight, prepare(tight)))
    store = StudyStore(tmp_path / "other", tight.checkpoint, direction="maximize")
    with pytest.raises(FolderError, match="max_disk allows 1 B"):
        require_room(sizes, tight.checkpoint, store=store, folder=store.run(), n_jobs=None)
    save_point(store.run(), 10, key="any")
    require_room(sizes, tight.checkpoint, store=store, folder=store.run(), n_jobs=None)
