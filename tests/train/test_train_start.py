"""A run that starts from the weights of another: before its first step it answers exactly as that one did."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_number_rows, write_rows
from tunery.data.examples import Example
from tunery.errors import DataError, FolderError, Interrupted, ModelError
from tunery.schema import RunConfig
from tunery.store.folder import RunFolder
from tunery.train.fit import fit
from tunery.train.predict.inference import Network, load
from tunery.train.setup.assemble import assemble
from tunery.train.setup.prepare import prepare
from tunery.train.setup.start import begin_with

METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "frozen": {"freeze": {"strategy": "freeze_encoder"}},
    "native head": {"model": {"head": {"kind": "native"}}},
    "lora": {"peft": {"method": "lora", "r": 4, "dropout": 0.1}},
    "dora": {"peft": {"method": "dora", "r": 4}},
    "ia3": {"peft": {"method": "ia3"}},
    "pfeiffer": {"peft": {"method": "pfeiffer", "bottleneck": 8}},
    "compacter": {"peft": {"method": "compacter"}},
    "bitfit": {"peft": {"method": "bitfit"}},
    "layernorm": {"peft": {"method": "layernorm"}},
    "prefix": {"peft": {"method": "prefix", "tokens": 4}},
    "vera": {"peft": {"method": "peft", "config": "VeraConfig"}},
}
TEXTS = [Example("it was a great day"), Example("the film was very sad and we hate it")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


def make(model: Path, files: dict[str, str], /, **sections: Any) -> RunConfig:
    given = {"name": str(model), "max_length": 32, "precision": "fp32", **sections.pop("model", {})}
    train = {"epochs": 1, "batch_size": 16, **sections.pop("train", {})}
    return config(str(model), files, model=given, train=train, **sections)


@pytest.fixture(scope="module")
def first(tiny_bert: Path, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of LoRA."""
    out = tmp_path_factory.mktemp("first") / "run"
    fit(make(tiny_bert, files, **METHODS["lora"]), out=out)
    return out


def answers(run: Any, given: RunConfig) -> Any:
    """Logits of the model of a run, as it is now."""
    network = Network(run.built.module, run.prepared.tokenizer, config=given, task=run.prepared.task)
    return network.answers(TEXTS)["logits"]


@pytest.mark.parametrize("method", slow_but(METHODS, "native head", "lora", "prefix", "vera"))
def test_before_its_first_step_it_answers_as_the_run_that_it_starts_from(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, method: str
) -> None:
    given = make(tiny_bert, files, **METHODS[method])
    fit(given, out=tmp_path / "run")
    longer = make(tiny_bert, files, **{**METHODS[method], "seed": 5, "train": {"epochs": 7}})
    run = assemble(longer, prepare(longer))
    fresh = answers(run, longer)
    begin_with(run, tmp_path / "run")
    ours = answers(run, longer)
    np.testing.assert_array_equal(ours, load(tmp_path / "run").logits(TEXTS))
    assert not np.allclose(ours, fresh)


class Logits(TrainerCallback):
    """What the model answers before the first step."""

    def __init__(self, given: RunConfig) -> None:
        self._given = given
        self.found: np.ndarray | None = None

    def on_train_begin(self, *_: Any, **given: Any) -> None:
        prepared = prepare(self._given)
        network = Network(given["model"], prepared.tokenizer, config=self._given, task=prepared.task)
        self.found = network.answers(TEXTS)["logits"]


def test_a_new_run_goes_on_from_a_finished_one_and_its_record_says_so(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, first: Path
) -> None:
    given = make(tiny_bert, files, **METHODS["lora"], train={"epochs": 3})
    watch = Logits(given)
    result = fit(given, [watch], out=tmp_path / "more", start_from=first)
    assert watch.found is not None
    np.testing.assert_array_equal(watch.found, load(first).logits(TEXTS))
    started = result.started_from
    assert started is not None and started.run == str(first.resolve()) and re.fullmatch("sha256:.{64}", started.digest)
    assert fit(given, out=tmp_path / "more", start_from=first / "best" / "..") == result
    with pytest.raises(FolderError, match="holds a run that started from"):
        fit(given, out=tmp_path / "more", start_from=tmp_path / "more2")
    plain = fit(given, out=tmp_path / "plain")
    assert plain.started_from is None and plain.metrics.validation["loss"] != result.metrics.validation["loss"]
    with pytest.raises(FolderError, match="started from the base model"):
        fit(given, out=tmp_path / "plain", start_from=first)


def test_it_resumes_without_the_run_that_it_started_from(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, first: Path
) -> None:
    given = make(tiny_bert, files, **METHODS["lora"], train={"epochs": 3})
    whole = fit(given, out=tmp_path / "whole", start_from=first)
    with pytest.raises(Interrupted):
        fit(given, [StopAt(6, "signal")], out=tmp_path / "torn", start_from=first)
    torn = fit(given, out=tmp_path / "torn")
    assert torn.started_from == whole.started_from
    assert torn.metrics.validation == whole.metrics.validation and torn.metrics.test == whole.metrics.test


def test_it_starts_over_from_there_where_its_resume_points_are_damaged(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, first: Path
) -> None:
    given = make(tiny_bert, files, **METHODS["lora"], train={"epochs": 3})
    whole = fit(given, out=tmp_path / "whole", start_from=first)
    with pytest.raises(Interrupted):
        fit(given, [StopAt(6, "signal")], out=tmp_path / "torn", start_from=first)
    for path in RunFolder(tmp_path / "torn").objects.root.glob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.warns(UserWarning, match="damaged"):
        torn = fit(given, out=tmp_path / "torn")
    assert torn.metrics.validation == whole.metrics.validation


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (METHODS["ia3"], "was trained with peft.method=lora, .* set peft.method=lora"),
        ({"peft": {"method": "lora", "r": 8}}, r"do not fit this config: .*has shape \(4, 32\) and not \(8, 32\)"),
        ({"peft": {"method": "lora", "r": 4, "alpha": 99}}, "but they differ by"),
        (
            {**METHODS["lora"], "model": {"head": {"kind": "mlp"}}},
            r"do not fit this config: .*layers\.4\.bias is missing",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, first: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fit(make(tiny_bert, files, **sections), out=tmp_path / "run", start_from=first)
    assert not (tmp_path / "run").exists()


def test_rows_that_the_run_was_trained_on_are_not_scored(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path
) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text(Path(files["train"]).read_text())
    here, said = {"train": str(train)}, list[str]()
    fit(make(tiny_bert, here), out=tmp_path / "run")
    with pytest.raises(
        DataError, match=r"not trained on, but \d of 6 in (validation|test) are; take its own .*data\.seed"
    ):
        fit(make(tiny_bert, {**here, "seed": 1}), out=tmp_path / "more", start_from=tmp_path / "run")
    assert not (tmp_path / "more").exists()
    accepted = make(tiny_bert, {**here, "seed": 1, "allow": ["shared_rows"]})
    new_rows = make(tiny_bert, {**files, "train": str(train)})
    for name, given in {"same": make(tiny_bert, here), "accepted": accepted, "new": new_rows}.items():
        fit(given, out=tmp_path / name, start_from=tmp_path / "run", say=said.append)
    assert not any("whose training rows" in line for line in said)
    train.unlink()
    fit(make(tiny_bert, files), out=tmp_path / "gone", start_from=tmp_path / "run", say=said.append)
    assert "validation and test have other rows than" in "".join(said)


def test_ranks_that_adalora_has_taken_away_are_not_made_up(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path
) -> None:
    given = make(tiny_bert, files, peft={"method": "adalora"}, train={"epochs": 3})
    fit(given, out=tmp_path / "run")
    with pytest.raises(ModelError, match=r"do not fit this config: .*lora_A.*tunery export RUN OUT --merge"):
        fit(given, out=tmp_path / "more", start_from=tmp_path / "run")


def test_other_tasks_and_labels_no_run_and_the_own_folder_are_refused(
    tiny_bert: Path, files: dict[str, str], tmp_path: Path, first: Path
) -> None:
    given = make(tiny_bert, files, **METHODS["lora"])
    renamed = {}
    for name, file in files.items():
        renamed[name] = str(tmp_path / Path(file).name)
        Path(renamed[name]).write_text(Path(file).read_text().replace('"label": "good"', '"label": "fine"'))
    with pytest.raises(
        ModelError, match="needs its 2 labels in their order, .* 'fine', 'good' are in one of them only"
    ):
        fit(make(tiny_bert, renamed, **METHODS["lora"]), out=tmp_path / "run", start_from=first)
    numbers = write_number_rows(tmp_path / "numbers")
    with pytest.raises(
        ModelError, match=r"has task.kind=classification and this config task.kind=regression; set task.kind=class"
    ):
        fit(make(tiny_bert, numbers, **METHODS["lora"], kind="regression"), out=tmp_path / "run", start_from=first)
    with pytest.raises(FolderError, match="there is no folder"):
        fit(given, out=tmp_path / "run", start_from=tmp_path / "nowhere")
    with pytest.raises(FolderError, match="needs a folder of its own"):
        fit(given, out=first, start_from=first / "best")
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        FolderError, match=f"train.epochs: 1 there, 9 now.*with --from {re.escape(str(first))} a new run"
    ):
        fit(make(tiny_bert, files, **METHODS["lora"], train={"epochs": 9}), out=first)
