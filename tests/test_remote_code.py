"""Loading runs no code that the caller has not permitted in this call, whatever the files say that are loaded."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import pytest
import torch
import yaml

from tiny_runs import config, write_rows
from tunery import compare, ensemble, fit, load, search
from tunery.cli import main
from tunery.errors import ModelError
from tunery.execution.forked import WarmProcesses
from tunery.execution.own_interpreter import OwnInterpreters
from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.hpo.study import work
from tunery.schema.results.run import CheckpointRecord
from tunery.store.folder import RunFolder
from tunery.train.artifacts.export import export_run
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.predict.inference import evaluate
from tunery.train.predict.predict_file import evaluate_file, predict_file
from tunery.train.setup.prepare import examine

CODE = """
import os
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification, BertModel

def leave_mark():
    with Path({mark!r}).open("a") as file:
        file.write(f"{{os.getpid()}} ")

leave_mark()

class ForeignConfig(BertConfig):
    model_type = "foreign"

    @classmethod
    def from_dict(cls, *args, **given):
        leave_mark()
        return super().from_dict(*args, **given)

class ForeignModel(BertModel):
    config_class = ForeignConfig

class ForeignForSequenceClassification(BertForSequenceClassification):
    config_class = ForeignConfig
"""
CLASSES = {
    "AutoConfig": "foreign.ForeignConfig",
    "AutoModel": "foreign.ForeignModel",
    "AutoModelForSequenceClassification": "foreign.ForeignForSequenceClassification",
}
TEXTS = ["a great film", "a terrible day"]


@dataclass(frozen=True)
class Foreign:
    """A model that needs code of its own, and what was trained on it with consent."""

    root: Path
    files: dict[str, str]

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def mark(self) -> Path:
        """Written whenever the code runs."""
        return self.root / "mark"

    def config(self, **sections: Any) -> Any:
        model = {"name": str(self.base), "max_length": 32, "precision": "fp32", "trust_remote_code": True}
        train = {"epochs": 1, "batch_size": 16}
        return config(str(self.base), self.files, **{"model": model, "train": train, **sections})

    def document(self, **sections: Any) -> dict[str, Any]:
        return {
            "task": {"kind": "classification"},
            "data": self.files,
            "model": {"name": str(self.base), "max_length": 32, "precision": "fp32", "trust_remote_code": True},
            "train": {"epochs": 1, "batch_size": 16},
            **sections,
        }

    def written(self, folder: Path, **sections: Any) -> Path:
        """A config file that says that the code is trusted."""
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.document(**sections)))
        return path


@pytest.fixture(scope="module")
def foreign(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    root = tmp_path_factory.mktemp("foreign")
    made = Foreign(root, write_rows(root))
    shutil.copytree(tiny_bert, made.base)
    told = json.loads((made.base / "config.json").read_text())
    (made.base / "config.json").write_text(json.dumps({**told, "model_type": "foreign", "auto_map": CLASSES}))
    (made.base / "foreign.py").write_text(CODE.format(mark=str(made.mark)))
    fit(made.config(peft="lora"), out=root / "lora", trust_remote_code=True)
    settings = {"n_trials": 2, "rescore": None, "ensemble": None}
    space = made.document(optim={"lr": [1e-3, 2e-3]}, search=settings, checkpoint={"keep_best": 2})
    search(space, out=root / "study", engine="here", trust_remote_code=True)
    return made


@pytest.fixture
def unread(foreign: Foreign) -> Foreign:
    """The same, with no trace of its code, and data that no cache knows."""
    foreign.mark.unlink(missing_ok=True)
    path = Path(foreign.files["train"])
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 1))
    return foreign


def restored(foreign: Foreign, **permission: bool) -> None:
    folder = RunFolder(foreign.root / "study" / "trials" / "0", objects=RunFolder(foreign.root / "study").objects)
    best = folder.best()
    assert isinstance(best, CheckpointRecord)
    document = yaml.safe_load((folder.path / "config.yaml").read_text())
    StoredWeights(config("", {}, **document), best, folder.objects, data=None, **permission).restore()


def exported(foreign: Foreign, out: Path, run: str, **given: Any) -> None:
    export_run(foreign.root / run, out / "exported", **given)


READERS: dict[str, Callable[..., object]] = {
    "fit": lambda foreign, out, **given: fit(foreign.config(), out=out / "run", **given),
    "check": lambda foreign, out, **given: examine(foreign.config(), **given),
    "evaluate a file": lambda foreign, out, **given: evaluate_file(
        foreign.root / "study", Path(foreign.files["test"]), **given
    ),
    "load": lambda foreign, out, **given: load(foreign.root / "study", **given).predict(TEXTS),
    "load an adapter": lambda foreign, out, **given: load(foreign.root / "lora", **given).predict(TEXTS),
    "evaluate": lambda foreign, out, **given: evaluate(foreign.root / "study", **given),
    "predict": lambda foreign, out, **given: predict_file(
        foreign.root / "lora", Path(foreign.files["test"]), out / "predicted.csv", **given
    ),
    "export": partial(exported, run="lora"),
    "export merged": partial(exported, run="lora", merge=True),
    "export a trial": partial(exported, run="study", trial=0),
    "restore": lambda foreign, out, **given: restored(foreign, **given),
    "ensemble": lambda foreign, out, **given: ensemble(foreign.root / "study", out / "joined", **given),
    "search": lambda foreign, out, **given: search(
        foreign.document(optim={"lr": [1e-3]}, search={"n_trials": 1}), out=out / "study", engine="here", **given
    ),
    "worker": lambda foreign, out, **given: work(
        f"sqlite:///{foreign.root / 'study' / 'study.db'}", out=out / "worker", **given
    ),
}
"""What loads a model or a tokenizer, `(foreign, folder to write to, trust_remote_code=)`."""


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_code_that_its_caller_did_not_permit(reader: str, unread: Foreign, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model.trust_remote_code is true\).*add --trust-remote-code") as refused:
        READERS[reader](unread, tmp_path)
    assert str(unread.root) in str(refused.value)
    assert not unread.mark.exists() and not list(tmp_path.rglob("model.safetensors"))


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "worker"])  # that needs a server
def test_every_reader_runs_the_code_that_its_caller_permits(reader: str, unread: Foreign, tmp_path: Path) -> None:
    READERS[reader](unread, tmp_path, trust_remote_code=True)
    assert unread.mark.exists()


def test_a_model_whose_record_is_silent_is_not_run_either(unread: Foreign, tmp_path: Path) -> None:
    silent = unread.config(model={"name": str(unread.base), "max_length": 32})
    with pytest.raises(ModelError, match="cannot be loaded without code that comes with it.*--trust-remote-code"):
        fit(silent, out=tmp_path / "run")
    assert not unread.mark.exists()


def test_what_was_loaded_with_permission_before_is_refused_without(unread: Foreign, tmp_path: Path) -> None:
    examine(unread.config(), trust_remote_code=True)
    with pytest.raises(ModelError, match="add --trust-remote-code"):
        examine(unread.config())


def test_permission_is_part_of_the_record(unread: Foreign, tmp_path: Path) -> None:
    silent = unread.config(peft="lora", model={"name": str(unread.base), "max_length": 32, "precision": "fp32"})
    result = fit(silent, out=tmp_path / "run", trust_remote_code=True)
    assert result.config["model"]["trust_remote_code"] is True
    with pytest.raises(ModelError, match="add --trust-remote-code"):
        load(tmp_path / "run")


def test_the_base_that_an_adapter_names_is_not_run(unread: Foreign, tiny_bert: Path, tmp_path: Path) -> None:
    plain = config(str(tiny_bert), unread.files, peft="lora", train={"epochs": 1, "batch_size": 16})
    fit(plain, out=tmp_path / "run")
    path = tmp_path / "run" / "best" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(unread.base)}))
    assert len(load(tmp_path / "run").predict(TEXTS)) == 2
    assert not unread.mark.exists()


class Bomb:
    """Runs something when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.mark, "unpickled")


def test_no_pickle_is_run(tiny_bert: Path, tmp_path: Path) -> None:
    base, run, mark = tmp_path / "base", tmp_path / "run", tmp_path / "mark"
    shutil.copytree(tiny_bert, base)
    given = config(str(base), write_rows(tmp_path), peft="lora", train={"epochs": 1, "batch_size": 16})
    fit(given, out=run)
    (run / "best" / "adapter_model.safetensors").unlink()
    torch.save({"bomb": Bomb(mark)}, run / "best" / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"must hold adapter_model\.safetensors"):
        load(run)
    (base / "model.safetensors").unlink()
    torch.save({"bomb": Bomb(mark)}, base / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        fit(given, out=tmp_path / "other")
    assert not mark.exists()


def trained_by(runner: Runner, foreign: Foreign, out: Path, *, permission: bool) -> Outcome:
    """How the child process ends that trains a run."""
    job = Job(foreign.config(), out / "trials" / "0", out, "trial 0", trust_remote_code=permission)
    with closing(runner):
        return runner.run(job, prune=lambda epoch: None, stop=lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [WarmProcesses, OwnInterpreters])
def test_a_child_process_has_the_permission_of_its_parent_and_no_other(
    kind: type[Runner], unread: Foreign, tmp_path: Path
) -> None:
    refused = trained_by(kind(), unread, tmp_path / "refused", permission=False)
    assert refused.status == "refused" and "add --trust-remote-code" in str(refused.reason)
    assert not unread.mark.exists()
    assert trained_by(kind(), unread, tmp_path / "permitted", permission=True) == Outcome("completed")
    assert unread.mark.exists()


def test_a_comparison_asks_before_it_starts_a_process(unread: Foreign, tmp_path: Path) -> None:
    runner = Interrupted()
    with pytest.raises(ModelError, match="add --trust-remote-code"):
        compare(unread.document(), methods=["none"], seeds=1, out=tmp_path / "one", runner=runner)
    with pytest.raises(Exception, match="goes on from there"):
        compare(
            unread.document(), methods=["none"], seeds=1, out=tmp_path / "two", runner=runner, trust_remote_code=True
        )
    assert runner.permissions == [True]


@final
class Interrupted(Runner):
    """Trains nothing, and remembers what it was permitted."""

    def __init__(self) -> None:
        self.permissions: list[bool] = []

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        self.permissions.append(job.trust_remote_code)
        return Outcome("interrupted")

    def close(self) -> None:
        pass


VERBS: dict[str, Callable[[Foreign, Path], list[object]]] = {
    "train": lambda foreign, out: ["train", foreign.written(out), "--out", out / "run"],
    "check": lambda foreign, out: ["check", foreign.written(out)],
    "search": lambda foreign, out: ["search", foreign.written(out, optim={"lr": [1e-3]}), "--out", out / "study"],
    "compare": lambda foreign, out: ["compare", foreign.written(out), "--methods", "none", "--out", out / "compared"],
    "worker": lambda foreign, out: ["worker", "--storage", f"sqlite:///{foreign.root}/study/study.db", "--out", out],
    "evaluate": lambda foreign, out: ["evaluate", foreign.root / "study"],
    "predict": lambda foreign, out: [
        *("predict", foreign.root / "study", "--input", foreign.files["test"], "--output", out / "predicted.csv")
    ],
    "export": lambda foreign, out: ["export", foreign.root / "study", out / "exported"],
    "ensemble": lambda foreign, out: ["ensemble", foreign.root / "study", out / "joined"],
}


def called(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_needs_the_flag(
    verb: str, unread: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(*VERBS[verb](unread, tmp_path)) == 2
    told = capsys.readouterr().err
    assert "add --trust-remote-code to this command" in told and "Traceback" not in told
    assert not unread.mark.exists()


@pytest.mark.parametrize("verb", ["check", "evaluate", "predict", "export"])
def test_the_flag_is_permission(verb: str, unread: Foreign, tmp_path: Path) -> None:
    assert called(*VERBS[verb](unread, tmp_path), "--trust-remote-code") == 0
    assert unread.mark.exists()


def test_a_typed_override_is_permission_and_one_in_a_file_is_none(unread: Foreign, tmp_path: Path) -> None:
    path = unread.written(tmp_path)
    assert called("check", path, "train.epochs=1") == 2
    assert called("check", path, "model.trust_remote_code=true") == 0
