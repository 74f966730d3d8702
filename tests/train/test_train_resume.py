"""Exact resume: an interrupted run ends bit for bit like one that was not, wherever and however it was interrupted."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from fast_and_slow import slow_but
from tiny_runs import BASES, FILES, StopAt, config
from tunery.errors import Interrupted
from tunery.schema import RunConfig
from tunery.schema.results.run import RunResult
from tunery.store.folder import RunFolder
from tunery.store.resume import Point
from tunery.tasks.table import TASKS
from tunery.train.fit import fit

EPOCHS, STEPS = 3, 8
"""Steps of an epoch: 60 rows in batches of 8."""
FULL: dict[str, Any] = {"optim": {"name": "adamw", "lr": 3e-3}}
LORA: dict[str, Any] = {"peft": {"method": "lora", "r": 4, "dropout": 0.1}}
DROPOUT = {"head_dropout": 0.3, "encoder_dropout": 0.2, "attention_dropout": 0.1}

RUNS: dict[str, dict[str, Any]] = {
    "full": FULL,
    "lora": LORA,
    "pfeiffer": {"peft": {"method": "pfeiffer", "bottleneck": 8}},
    "frozen": {"freeze": {"strategy": "freeze_encoder"}},
    "dropout": {**FULL, "regularization": DROPOUT},
    "token dropout": {**LORA, "regularization": {"token_dropout": 0.2}},
    "token dropout, workers": {**FULL, "regularization": {"token_dropout": 0.2, **DROPOUT}, "train": {"workers": 2}},
    "fgm": {**FULL, "regularization": {"adversarial": {"name": "fgm", "epsilon": 0.01}}},
    "passes": {**FULL, "regularization": DROPOUT, "train": {"micro_batch_tokens": 40}},
    "bf16": {**FULL, "model": {"precision": "bf16"}},
    "mlp head": {**LORA, "model": {"head": {"kind": "mlp", "hidden": 16}}},
    "native head": {**LORA, "model": {"head": {"kind": "native"}}},
    "every": {**LORA, "checkpoint": {"every": 3}},
}
HIDDEN = {"masking": "span", "probability": 0.3}
LM_DROPOUT = {"encoder_dropout": 0.2, "attention_dropout": 0.1}
TASK_RUNS: dict[str, dict[str, Any]] = {
    "multilabel": {**LORA, "task": {"kind": "multilabel", "loss": {"name": "hybrid"}}},
    "criteria_evidence": {**LORA, "task": {"kind": "criteria_evidence"}},
    "regression": {**LORA, "task": {"kind": "regression", "loss": {"name": "huber"}}},
    "levels": {**FULL, "task": {"kind": "regression", "ordinal": True}},
    "causal_lm": {**FULL, "task": {"kind": "causal_lm"}, "regularization": LM_DROPOUT, "train": {"batch_size": 3}},
    "mlm": {**LORA, "task": {"kind": "mlm", **HIDDEN}, "train": {"workers": 1}},
}
"""A run of every task but that of `RUNS`: numbers standardised, texts that share a sequence, tokens hidden anew in
every epoch by a process of the loader."""


def make(model: Path, folder: Path, /, **sections: Any) -> RunConfig:
    folder.mkdir(exist_ok=True)
    defaults = {
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "train": {"epochs": EPOCHS, "batch_size": 8, "log_every": 3},
    }
    merged = {name: {**defaults.get(name, {}), **given} for name, given in sections.items()}
    task = merged.get("task", {})
    kind = "levels" if task.get("ordinal") else task.get("kind", "classification")
    return config(str(model), FILES[kind](folder), **{**defaults, **merged})


class Last(TrainerCallback):
    """Keeps the resume point that a run ends with: the final weights, and all that training would go on from."""

    def __init__(self, out: Path) -> None:
        self._folder = RunFolder(out)
        self.point: Point | None = None

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.point = self._folder.resume.points()[0]


def ended(given: RunConfig, out: Path) -> dict[str, Any]:
    """Run to the end; what has to be equal, bit for bit."""
    last = Last(out)
    result = fit(given, [last], out=out)
    assert last.point is not None
    digests = {name: stored.digest for name, stored in last.point.objects.items()}
    kept = [(record.kind, record.step, record.digest, record.value) for record in last.point.kept]
    assert [(record.kind, record.step, record.digest, record.value) for record in result.checkpoints] == kept
    return {
        "digests": digests,
        "documents": last.point.documents,
        "kept": kept,
        "metrics": (out / "metrics.jsonl").read_bytes(),
        "scores": result.metrics,
        "steps": last.point.step,
    }


def interrupt(given: RunConfig, out: Path, stops: Iterable[tuple[int, str]]) -> None:
    """Begin again and stop in the step after these, one after another; a signal loses no step."""
    for step, how in stops:
        with pytest.raises(Interrupted if how == "signal" else MemoryError):
            fit(given, [StopAt(step, how)], out=out)
        assert how == "crash" or RunFolder(out).resume.points()[0].step == step + 1


MIDDLE = STEPS + 3
"""A crash here loses three steps; a signal none."""
EVERYWHERE = (
    *((3, "crash"), (4, "signal"), (STEPS - 1, "crash"), (STEPS, "crash")),
    *((MIDDLE, "crash"), (MIDDLE, "signal"), (MIDDLE + 2, "signal")),
    *((2 * STEPS - 1, "signal"), (2 * STEPS, "signal"), (EPOCHS * STEPS - 1, "crash")),
)
"""Before there is a point, within epochs, in their last step and in their first one."""


@pytest.mark.parametrize("name", slow_but(RUNS, "lora", "token dropout, workers", "passes", "every"))
def test_an_interrupted_run_ends_like_one_that_was_not(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    given = make(tiny_bert, tmp_path, **RUNS[name])
    whole = ended(given, tmp_path / "whole")
    interrupt(given, tmp_path / "torn", [(MIDDLE, "crash"), (2 * STEPS + 2, "signal")])
    assert ended(given, tmp_path / "torn") == whole


@pytest.mark.parametrize("name", slow_but(TASK_RUNS, "causal_lm", "mlm", "regression"))
def test_whatever_the_task(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Torn in the middle of the second epoch and of the third, which have other masks and another order."""
    given = make(request.getfixturevalue(BASES.get(name, "tiny_bert")), tmp_path, **TASK_RUNS[name])
    whole = ended(given, tmp_path / "whole")
    steps = whole["steps"] // EPOCHS
    assert steps >= 4
    interrupt(given, tmp_path / "torn", [(steps + steps // 2, "crash"), (2 * steps + steps // 2, "signal")])
    assert ended(given, tmp_path / "torn") == whole


def test_a_run_of_every_task_is_torn() -> None:
    kinds = {spec.model_fields["kind"].default for spec in TASKS}
    assert {run["task"]["kind"] for run in TASK_RUNS.values()} == kinds - {"classification"}


@pytest.mark.parametrize("name", slow_but(["lora", "every"], "every"))
def test_wherever_it_is_interrupted(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    given = make(tiny_bert, tmp_path, **RUNS[name])
    whole = ended(given, tmp_path / "whole")
    interrupt(given, tmp_path / "torn", EVERYWHERE)
    assert ended(given, tmp_path / "torn") == whole


def test_a_signal_in_the_last_step_of_all_loses_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path, **LORA)
    whole = fit(given, out=tmp_path / "whole")
    interrupt(given, tmp_path / "torn", [(EPOCHS * STEPS - 1, "signal")])
    torn = fit(given, [StopAt(EPOCHS * STEPS - 1, "crash")], out=tmp_path / "torn")
    assert _same(torn, whole)
    assert (tmp_path / "torn" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def _same(one: RunResult, other: RunResult) -> bool:
    return one.metrics == other.metrics and one.checkpoints == other.checkpoints and one.epochs == other.epochs


def test_points_within_epochs_are_saved_as_often_as_asked_and_none_is_scored(tiny_bert: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    scored: list[int] = []

    class Watch(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            steps.append(state.global_step)

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            scored.append(state.global_step)

    given = make(tiny_bert, tmp_path, **LORA, train={"max_steps": 21}, checkpoint={"every": 3})
    fit(given, [Watch()], out=tmp_path / "run")
    assert steps == [3, 6, 8, 9, 12, 15, 16, 18, 21]
    assert scored == [8, 16, 21]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("part", slow_but(["manifest", "weights", "state", "best"], "weights", "best"))
def test_of_a_damaged_point_the_one_before_it_is_used(tiny_bert: Path, tmp_path: Path, part: str) -> None:
    """Both points have the same best epoch: without its weights neither is of use."""
    given = make(tiny_bert, tmp_path, **LORA, checkpoint={"keep_last": 2, "every": 3, "co_best": 1})
    whole = ended(given, tmp_path / "whole")
    out = tmp_path / "torn"
    interrupt(given, out, [(2 * STEPS + 6, "crash")])
    folder = RunFolder(out)
    newest, older = folder.resume.points()
    assert (newest.step, older.step) == (21, 18)
    flip(
        folder.resume.root / "step-21.json"
        if part == "manifest"
        else folder.objects.path(newest.kept[0].digest if part == "best" else newest.objects[part].digest)
    )
    with pytest.warns(UserWarning) as caught:
        assert ended(given, out) == whole
    assert [str(warning.message).partition("; training ")[2] for warning in caught] == (
        ["starts over, 21 steps are lost", "starts over, 18 steps are lost"]
        if part == "best"
        else ["goes on from step 18, 3 steps are trained again"]
    )


def test_without_any_whole_point_a_run_starts_over(tiny_bert: Path, tmp_path: Path) -> None:
    given = make(tiny_bert, tmp_path, **LORA, checkpoint={"keep_last": 2})
    whole = ended(given, tmp_path / "whole")
    interrupt(given, tmp_path / "torn", [(2 * STEPS + 2, "crash")])
    for point in (tmp_path / "torn" / "resume").iterdir():
        flip(point)
    with pytest.warns(UserWarning) as caught:
        assert ended(given, tmp_path / "torn") == whole
    said = [str(warning.message) for warning in caught]
    assert [text.partition("; ")[2] for text in said] == [
        "training starts over, 16 steps are lost", "training starts over, 8 steps are lost",
    ]  # fmt: skip


PICKLES = (b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
PLAIN = {".json", ".jsonl", ".yaml", ".safetensors", ".lock", ".tunery", ".txt", ".log"}


class NoPickle(TrainerCallback):
    """Looks at every file whenever something has been saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()

    def look(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.seen.add(path.suffix or path.name)
                assert (path.suffix or path.name) in PLAIN, path
                assert not path.read_bytes().startswith(PICKLES), path

    def on_save(self, *_: Any, **__: Any) -> None:
        self.look()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.look()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.look()


@pytest.mark.parametrize("name", slow_but(["full", "lora"], "lora"))
def test_nothing_at_rest_is_a_pickle(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    given = make(tiny_bert, tmp_path, **RUNS[name], checkpoint={"every": 3})
    look = NoPickle(tmp_path / "run")
    with pytest.raises(MemoryError):
        fit(given, [look, StopAt(MIDDLE, "crash")], out=tmp_path / "run")
    fit(given, [look], out=tmp_path / "run")
    look.look()
    assert look.seen >= {".json", ".jsonl", ".yaml", ".safetensors"}


def test_a_run_that_is_not_interrupted_warns_of_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(make(tiny_bert, tmp_path, **LORA), out=tmp_path / "run")
