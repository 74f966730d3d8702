"""What frozen layers give of rows is computed once; no bit of a run depends on where it lies or whether it is lost."""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import pytest
from test_train_resume import EPOCHS, STEPS, Last, ended, make
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from transformers import TrainerCallback
from transformers.models.bert.modeling_bert import BertIntermediate

from tiny_runs import StopAt, after_steps, config, write_rows
from tunery import fit
from tunery.errors import Interrupted
from tunery.schema import RunConfig
from tunery.schema.results.run import FoldRecord, FrozenLayers
from tunery.store.disk.ownership import FEATURES
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train import fit as run
from tunery.train.loop import features
from tunery.train.loop.frozen_rows import FrozenRows
from tunery.train.setup.assemble import assemble
from tunery.train.setup.prepare import prepare
from tunery.train.signals import Signals

HALF: Final = {"freeze": {"strategy": "freeze_layers_n", "n": 1}, "train": {"baselines": []}}
WHOLE: Final = {"freeze": {"strategy": "freeze_encoder"}, "train": {"baselines": []}}


def off(given: RunConfig) -> RunConfig:
    return given.model_copy(update={"train": given.train.model_copy(update={"cache_frozen_layers": "off"})})


class RowsThrough(TrainerCallback):
    """Counts rows that go through each layer from the first step to the last score, and calls `at` in the middle."""

    def __init__(self, at: Callable[[], object] = lambda: None) -> None:
        self._rows: dict[int, int] = {}
        self._at = at

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        def count(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(module, BertIntermediate):
                self._rows[id(module)] = self._rows.get(id(module), 0) + len(output)

        self._hook = register_module_forward_hook(count)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == STEPS + 3:
            self._at()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._hook.remove()

    @property
    def counts(self) -> list[int]:
        """Layers that no row went through are missing."""
        return sorted(self._rows.values())


READ, ONCE = EPOCHS * (60 + 24), (60 + 1) + (24 + 1)
"""Rows of training and validation in all epochs, and those that are computed once: the longest of each comes first."""


@pytest.mark.parametrize(("part", "counts"), [(HALF, [ONCE, READ]), (WHOLE, [ONCE, ONCE])], ids=["half", "whole"])
def test_they_are_run_once_and_the_scores_are_those_of_every_epoch_anew(
    tiny_bert: Path, tmp_path: Path, part: dict[str, Any], counts: list[int]
) -> None:
    given, said = make(tiny_bert, tmp_path, **part), list[str]()
    once, anew = RowsThrough(), RowsThrough()
    result, plain = (
        fit(given, [once], out=tmp_path / "on", say=said.append),
        fit(off(given), [anew], out=tmp_path / "off"),
    )
    assert once.counts == counts and anew.counts == [READ, READ]
    record = result.frozen_layers
    assert record is not None and record.splits == ("train", "validation") and record.why == ""
    assert (record.layers, record.kept) == ((1, "token states") if part is HALF else (2, "text vectors"))
    texts = [prepare(given).encoded[split].lengths for split in record.splits]
    assert record.bytes == 32 * 4 * sum(int(each.sum()) if part is HALF else len(each) for each in texts)
    assert [line for line in said if "not trained" in line]
    assert plain.frozen_layers == FrozenLayers(why="train.cache_frozen_layers=off")
    for name in ("loss", "accuracy"):
        assert result.metrics.validation[name] == pytest.approx(plain.metrics.validation[name], abs=1e-5)
    assert result.metrics.test is not None and plain.metrics.test is not None
    assert result.metrics.test["loss"] == pytest.approx(plain.metrics.test["loss"], abs=1e-5)
    assert not (tmp_path / "on" / FEATURES).exists()


@pytest.mark.parametrize("part", [HALF, WHOLE], ids=["half", "whole"])
def test_no_bit_depends_on_where_they_lie_or_whether_they_are_lost(
    tiny_bert: Path, tmp_path: Path, part: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory or disk; removed while they are read; killed, and resumed without them."""
    given, out = make(tiny_bert, tmp_path, **part), tmp_path / "torn"
    whole = ended(given, tmp_path / "memory")
    monkeypatch.setattr(features, "IN_MEMORY", 0)
    removed = RowsThrough(lambda: [path.unlink() for path in (tmp_path / "lost" / FEATURES).iterdir()])
    last = Last(tmp_path / "lost")
    fit(given, [removed, last], out=tmp_path / "lost")
    assert last.point is not None and last.point.objects["weights"].digest == whole["digests"]["weights"]
    assert removed.counts[0] == ONCE + 60 + 24  # once more
    with pytest.raises(MemoryError):
        fit(given, [StopAt(STEPS + 3, "crash")], out=out)
    rmtree(out / FEATURES)
    assert ended(given, out) == whole


def test_a_run_that_finds_no_room_for_them_reads_its_rows_and_goes_on_so(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, out = make(tiny_bert, tmp_path, **HALF), tmp_path / "run"
    monkeypatch.setattr(features, "IN_MEMORY", 0)
    plain = ended(off(given), tmp_path / "off")
    with pytest.MonkeyPatch.context() as full, pytest.raises(MemoryError):
        full.setattr(StudyStore, "keep_features", lambda *_: None)
        fit(given, [StopAt(STEPS + 3, "crash")], out=out)
    assert ended(given, out)["digests"]["weights"] == plain["digests"]["weights"]
    record = RunFolder(out).progress().frozen_layers
    assert record is None or record.splits == ()


def test_a_run_that_has_lost_them_and_finds_no_room_says_that_last_digits_may_differ(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, out, said = make(tiny_bert, tmp_path, **HALF), tmp_path / "run", list[str]()
    monkeypatch.setattr(features, "IN_MEMORY", 0)

    def lose() -> None:
        rmtree(out / FEATURES)
        monkeypatch.setattr(StudyStore, "keep_features", lambda *_: None)

    result = fit(given, [RowsThrough(lose)], out=out, say=said.append)
    assert result.frozen_layers is not None and result.frozen_layers.splits == ()
    assert result.frozen_layers.why == "the disk has no room for what they give"
    assert len([line for line in said if line.endswith("last digits may differ")]) == 2


def test_trials_share_them(tiny_bert: Path, tmp_path: Path) -> None:
    given, study = make(tiny_bert, tmp_path, **HALF, checkpoint={"keep_best": 9}), tmp_path / "study"
    other = given.model_copy(update={"seed": 1})
    first, second, alone = RowsThrough(), RowsThrough(), RowsThrough()
    run.fit(given, [first], out=study / "trials" / "0", study=study)
    shared = run.fit(other, [second], out=study / "trials" / "1", study=study)
    own = run.fit(other, [alone], out=tmp_path / "alone" / "trials" / "0", study=tmp_path / "alone")
    assert first.counts == alone.counts == [ONCE, READ] and second.counts == [2, READ]
    assert shared.checkpoints[0].digest == own.checkpoints[0].digest
    assert len(list((study / FEATURES).iterdir())) == 2


def test_folds_share_them(tiny_bert: Path, tmp_path: Path) -> None:
    """Rows of the first fold are computed with those of all."""
    data = {"train": write_rows(tmp_path)["train"], "folds": 2, "validation_size": 0.2, "id": "id"}
    train = {"epochs": 2, "batch_size": 8, "baselines": []}
    folds, seen = config(str(tiny_bert), data, freeze=HALF["freeze"], train=train), list[list[str]]()

    def look(record: FoldRecord) -> None:
        seen.append(sorted(path.name for path in (tmp_path / "run" / FEATURES).iterdir()))

    run.fit(folds, out=tmp_path / "run", fold_ended=look)
    assert len(seen) == 2 and seen[0] == seen[1] and len(seen[0]) == 1


CHANGED: Final[dict[str, tuple[dict[str, Any], tuple[str, ...], str]]] = {
    "nothing": ({}, ("train", "validation"), ""),
    "one epoch": ({"train": {"epochs": 1}}, (), "no row is read twice"),
    "few steps": ({"train": {"max_steps": 2 * STEPS - 1}}, (), "no row is read twice"),
    "token dropout": ({"regularization": {"token_dropout": 0.1}}, ("validation",), "regularization.token_dropout"),
    "adversarial": ({"regularization": {"adversarial": "fgm"}}, ("validation",), "regularization.adversarial"),
    "augmentation": ({"regularization": {"augmentation": "delete"}}, ("validation",), "regularization.augmentation"),
    "full": ({"freeze": {"strategy": "none"}}, (), "nothing is frozen"),
    "training mode": ({"freeze": {**HALF["freeze"], "eval_mode": False}}, (), "frozen layers run in training mode"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_it_is_recorded_which_rows_and_why_not_others(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    sections, splits, why = CHANGED[name]
    given = make(tiny_bert, tmp_path, **{**HALF, **sections})
    (out := tmp_path / "run").mkdir()
    store = StudyStore(out, given.checkpoint, direction="maximize")
    rows = FrozenRows(assemble(given, prepare(given)), store, RunFolder(out), before=None, signals=Signals())
    assert rows.record.splits == splits and rows.record.why.startswith(why) and bool(rows.record.why) == bool(why)


def test_masks_of_language_models_change_training_rows_alone(tiny_masked_lm: Path, tmp_path: Path) -> None:
    task = {"kind": "mlm", "masking": "span", "probability": 0.3}
    result = fit(make(tiny_masked_lm, tmp_path, **HALF, task=task), out=tmp_path / "run")
    assert result.frozen_layers is not None and result.frozen_layers.splits == ("validation",)


def test_what_asks_to_leave_while_they_are_computed_is_heard(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path, **HALF)
    whole = ended(given, tmp_path / "whole")
    with pytest.raises(Interrupted, match="while frozen layers were computed"):
        run.fit(given, out=tmp_path / "torn", stop=after_steps(0))
    assert ended(given, tmp_path / "torn") == whole
