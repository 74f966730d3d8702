"""A study on disk: whatever happens in whatever order, the best is there and nothing else is."""

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fast_and_slow import examples
from stored_runs import finish, keep_best, save_point, trial, weights
from tunery.errors import DiskFull
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.results.run import CheckpointRecord
from tunery.store.cleaning import clean_run
from tunery.store.disk.run_lock import own
from tunery.store.folder import RunFolder
from tunery.store.retention import Level
from tunery.store.study import StudyStore

NEED = 6_000
"""An upper bound of what an epoch's weights, or a resume point of them, take on disk."""


VALUES = st.sampled_from([0.1, 0.2, 0.3])


class Crash(BaseException):
    """The process is gone."""


def steps(*records: CheckpointRecord | None) -> list[int]:
    return [record.step for record in records if record]


def first_best(epochs: Iterable[tuple[int, float]]) -> list[int]:
    """The step of the best epoch, if there is one; of equals the earliest."""
    return [-step for _, step in sorted((value, -step) for step, value in epochs)[-1:]]


class Studies(RuleBasedStateMachine):
    """One process after another works on a study as `fit` and `search` do; any of them may die between two writes."""

    @initialize(
        keep_last=st.integers(0, 2),
        keep_best=st.integers(1, 2),
        co_best=st.integers(1, 2),
        max_disk=st.none() | st.integers(4, 10).map(lambda count: count * NEED),
    )
    def begin(self, **given: Any) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.unsynced = patch("os.fsync")  # processes die here, machines do not
        self.unsynced.start()
        self.root = Path(self.folder.name)
        self.rule = Checkpoint(**given)
        self.ended: dict[int, tuple[float, str]] = {}
        self.restart()

    def restart(self) -> None:
        """A new process goes on where the manifest of the newest resume point says."""
        self.store = StudyStore(self.root, self.rule, direction="maximize")
        self.run = self.store.run(trial(self.root, len(self.ended)))
        self.run.path.mkdir(parents=True, exist_ok=True)
        point = self.run.resume.latest()
        self.step = point.step if point else 0
        self.points = [self.step] if point else []
        self.run.write_kept(point.kept if point else ())
        self.epochs = dict(point.documents["epochs"]) if point else {}
        self.store.tidy()
        self.metrics = "".join(f"{step} {value}\n" for step, value in self.epochs.items())
        self.run.metrics.write_text(self.metrics)

    def key(self, step: int) -> str:
        return f"{len(self.ended)}:{step}"

    def guarded(self, action: Callable[[], object], *, crash: bool) -> None:
        def whole() -> None:
            action()
            if crash:
                raise Crash

        self.store.write(NEED, whole)
        if self.rule.max_disk is not None:
            assert self.store.used() <= self.rule.max_disk

    @rule(
        value=st.sampled_from([0.1, 0.2, 0.3]), dies=st.sampled_from([None, None, "put", "kept", "saved", "published"])
    )
    def epoch(self, value: float, dies: str | None) -> None:
        self.step += 10
        try:
            self._score(value, dies=dies)
            self._save(dies=dies)
        except (Crash, DiskFull):
            self.restart()
        else:
            self.store.tidy()
            self.nothing_is_left_over()

    def _score(self, value: float, *, dies: str | None) -> None:
        best = max(self.epochs.values(), default=-1.0)
        kept = self.run.kept() if value == best else ()
        if dies == "put":
            self.guarded(lambda: self.run.objects.put(weights(self.key(self.step))), crash=True)
        if value > best or (value == best and len(kept) < self.rule.co_best):
            key = self.key(self.step)
            self.guarded(lambda: keep_best(self.run, self.step, value, key=key, before=kept), crash=dies == "kept")
            self.epochs[self.step] = value
            self.store.tidy()
        self.epochs[self.step] = value
        with self.run.metrics.open("a") as file:
            file.write(f"{self.step} {value}\n")
        self.metrics += f"{self.step} {value}\n"

    def _save(self, *, dies: str | None) -> None:
        if not self.rule.keep_last:
            return
        if dies == "saved":
            self.guarded(lambda: self.run.objects.put(weights(f"optimizer{self.key(self.step)}")), crash=True)
        epochs = list(self.epochs.items())
        self.guarded(
            lambda: save_point(self.run, self.step, key=self.key(self.step), epochs=epochs), crash=dies == "published"
        )
        self.points.append(self.step)

    @rule()
    def save_between_epochs(self) -> None:
        self.step += 1
        try:
            self._save(dies=None)
        except DiskFull:
            self.restart()

    @rule()
    def crash(self) -> None:
        self.restart()

    @rule(level=st.sampled_from(Level))
    def tidy(self, level: Level) -> None:
        before = self.store.used()
        freed = self.store.tidy(level)
        assert before - self.store.used() >= freed >= 0
        self.nothing_is_left_over()

    @precondition(lambda self: self.run.best())
    @rule(status=st.sampled_from(["completed", "pruned", "failed"]), dies=st.sampled_from([None, "result", "finished"]))
    def end(self, status: Any, dies: str | None) -> None:
        best = self.run.best()
        assert best is not None and best.value is not None
        with patch.object(self.run.resume, "clear") if dies == "result" else nullcontext():
            finish(self.run, best.value, status=status)
        self.ended[len(self.ended)] = (best.value if status == "completed" else -1.0, self.key(best.step))
        if dies is None:
            self.store.tidy()
        self.restart()

    @rule(value=VALUES)
    def another_trial(self, value: float) -> None:
        self.epoch(value, dies=None)
        if self.run.best():
            self.end("completed", dies=None)

    def nothing_is_left_over(self) -> None:
        assert not [item for item in self.store.storage().items if item.kind == "orphan"]
        values = [value for value, _ in self.ended.values()]
        best = sorted(values, reverse=True)[: self.rule.keep_best]
        keeping = [value for number, value in enumerate(values) if self.store.run(trial(self.root, number)).kept()]
        assert all(value in best and value >= 0 for value in keeping)
        assert len(keeping) <= max(self.rule.keep_best, self.rule.co_best)

    @invariant()
    def the_best_of_the_study_comes_back_bit_for_bit(self) -> None:
        completed = [(value, -number, key) for number, (value, key) in self.ended.items() if value >= 0]
        if completed:
            _, number, key = max(completed)
            best = self.store.run(trial(self.root, -number)).best()
            assert best is not None
            assert torch.equal(self.store.objects.get(best.digest)["w"], weights(key)["w"])

    @invariant()
    def the_unfinished_trial_can_go_on(self) -> None:
        if not hasattr(self, "epochs"):
            return
        point = self.run.resume.latest()  # would warn of a damaged one
        assert (point.step if point else None) == max(self.points, default=None)
        if point:
            assert all(self.store.objects.get(stored.digest) for stored in point.objects.values())
            assert steps(*point.kept[:1]) == first_best(point.documents["epochs"])
        best = self.run.best()
        assert steps(best) == first_best(self.epochs.items())
        for record in self.run.kept():
            assert torch.equal(self.store.objects.get(record.digest)["w"], weights(self.key(record.step))["w"])

    @invariant()
    def metrics_are_not_touched(self) -> None:
        assert self.run.metrics.read_text() == self.metrics

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.unsynced.stop()
            self.folder.cleanup()


TestStudies = Studies.TestCase
TestStudies.settings = settings(examples(0.4), stateful_step_count=25)


def store_of(root: Path, **rule: Any) -> StudyStore:
    return StudyStore(root, Checkpoint(**rule), direction="maximize")


def test_a_better_epoch_does_not_take_away_the_best_that_the_resume_point_goes_back_to(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    run = store.run()
    keep_best(run, 10, 0.5, key="10")
    save_point(run, 20, key="20")
    keep_best(run, 30, 0.9, key="30")  # and the process dies before it saves again
    store.tidy(Level.ONE_PER_STUDY)
    again = store_of(tmp_path).run()
    point = again.resume.latest()
    assert point is not None and point.step == 20
    again.write_kept(point.kept)
    store_of(tmp_path).tidy()
    best = again.best()
    assert best is not None and torch.equal(store.objects.get(best.digest)["w"], weights("10")["w"])


def test_a_point_is_only_dropped_for_one_that_is_whole(tmp_path: Path) -> None:
    run = store_of(tmp_path).run()
    save_point(run, 10, key="10")
    newest = save_point(run, 20, key="20")
    damaged = run.objects.path(newest.objects["optimizer"].digest)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    store_of(tmp_path).tidy(Level.ONE_PER_STUDY)
    assert [point.step for point in run.resume.points()] == [20, 10]
    with pytest.warns(UserWarning, match="resume point of step 20 is damaged"):
        point = run.resume.latest()
    assert point is not None and point.step == 10


def test_what_this_process_has_published_is_not_read_again(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    run = store.run()
    save_point(run, 10, key="10")
    save_point(run, 20, key="20")
    with patch.object(type(store.objects), "check", side_effect=AssertionError):
        store.tidy()
    assert [point.step for point in run.resume.points()] == [20]


def test_a_finished_run_keeps_equals_beside_its_export_and_no_second_copy_of_the_best(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    run = store.run()
    keep_best(run, 10, 0.5, key="10")
    keep_best(run, 20, 0.5, key="20", before=run.kept())
    (tmp_path / "best").mkdir()
    finish(run, 0.5)
    store.tidy()
    assert [record.kind for record in run.kept()] == ["co_best"]
    assert store.objects.digests() == {record.digest for record in run.kept()}


def test_of_a_thousand_beaten_trials_nothing_is_read_and_each_is_looked_at_once(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for number in range(3):
        run = store.run(trial(tmp_path, number))
        keep_best(run, 10, number, key=str(number))
        finish(run, number)
    store.tidy()
    again, read, looked = store_of(tmp_path), [], []
    result, exists = RunFolder.result, os.path.exists
    with (
        patch.object(RunFolder, "result", lambda self: read.append(self.path.name) or result(self)),
        patch("os.path.exists", lambda path: looked.append(Path(path).parent.name) or exists(path)),
    ):
        again.tidy()
        assert read == ["2"] and set(looked) == {"0", "1", "2"}
        looked.clear()
        again.tidy()
    assert set(looked) == {"2"}


def test_a_trial_that_begins_after_a_look_is_seen(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    run = store_of(tmp_path).run(trial(tmp_path, 0))
    run.path.mkdir(parents=True)
    store.tidy()
    kept = keep_best(run, 10, 0.5, key="0")
    store.tidy()
    assert store.objects.digests() == {kept.digest}


def test_pretraining_shares_the_budget_of_its_study_which_gives_way_to_it_and_never_the_reverse(tmp_path: Path) -> None:
    own(tmp_path)
    rule = Checkpoint(keep_best=1, co_best=1)
    study = StudyStore(tmp_path, rule, direction="maximize", candidates=3)
    kept = []
    for number in range(3):
        run = study.run(trial(tmp_path, number))
        kept.append(keep_best(run, 10, number, key=str(number)).digest)
        finish(run, number)
    study.tidy()
    assert study.objects.digests() == set(kept)
    tight = rule.model_copy(update={"max_disk": study.used()})
    study = StudyStore(tmp_path, tight, direction="maximize", candidates=3)
    stage = StudyStore(tmp_path / "pretrain" / ("0" * 12), tight, direction="minimize", above=study)
    learned = stage.write(1000, lambda: keep_best(stage.run(), 1, 2.0, key="learned")).digest
    assert study.objects.digests() == {kept[2]}
    assert study.used() == stage.used() <= study.used_by_stages() + 2000
    with pytest.raises(DiskFull):
        study.write(10**6, lambda: None)
    assert study.objects.digests() == {kept[2]} and stage.objects.digests() == {learned}
    finish(stage.run(), 2.0)
    study.conclude()
    assert clean_run(tmp_path, delete=True) == ()
    assert stage.objects.digests() == {learned}


def test_a_run_that_is_called_like_a_folder_of_tunerys_is_a_run_of_its_own(tmp_path: Path) -> None:
    for name in ("pretrain/first", "rescored"):
        out = tmp_path / name
        save_point(store_of(out).run(), 10, key="10")
        (tmp_path / "objects").mkdir(exist_ok=True)
        (tmp_path / "objects" / "theirs").write_bytes(bytes(10**6))
        assert store_of(out).used() < 10**6
        assert store_of(out).pretrain == out / "pretrain" and store_of(out).features.root == out
