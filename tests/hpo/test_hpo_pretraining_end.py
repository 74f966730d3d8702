"""Studies with continued pretraining: interrupted within a stage, joined from elsewhere, and read without tunery."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, final

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_runs import native, write_rows
from tunery import load
from tunery import search as run_search
from tunery.data.examples import Example
from tunery.errors import Interrupted
from tunery.execution.in_process import InThisProcess
from tunery.execution.outcomes import Outcome
from tunery.execution.runner import Job, Prune, Runner, Stop
from tunery.hpo.study import work
from tunery.schema.results.study import StudyResult
from tunery.store.disk.ownership import PRETRAIN
from tunery.store.folder import RunFolder
from tunery.store.inventory import stages_in
from tunery.train.artifacts.export import export_run


@final
class Leaves(Runner):
    """Trains in this process, until it was asked so many times whether to stop: once a step, or a pass of a stage."""

    def __init__(self, after: int, by: signal.Signals | None = None) -> None:
        self._left, self._by = after, by

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        def leave() -> str | None:
            self._left -= 1
            if self._left < 0 and self._by is not None:
                os.kill(os.getpid(), self._by)
            return "a test" if self._left < 0 else stop()

        return InThisProcess().run(job, prune=prune, stop=leave)

    def close(self) -> None:
        """Nothing."""


pytest_plugins = ["postgres_server"]
NEVER = 10**9


def document(model: Path, files: dict[str, str], **sections: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": files,
        "model": native(model),
        "peft": "full",
        "optim": {"lr": 3e-3},
        "train": {"epochs": 1, "batch_size": 16, "baselines": []},
        "pretrain": {"lr": 1e-2, "tapt": {"epochs": [1, 3]}},
        "checkpoint": {"keep_best": 2},
        "search": {"n_trials": 2, "sampler": "grid", "pruner": "none", "baselines": []},
        **sections,
    }


def search(given: dict[str, Any], out: Path, runner: Runner | None = None) -> StudyResult:
    return run_search(given, out=out, engine=runner or Leaves(NEVER))


def what_was_learned(study: StudyResult, out: Path) -> list[Any]:
    """Trials with their weights, and those of the stages, all by digest."""
    stages = [[record.digest for record in RunFolder(path).kept()] for path in stage_folders(out)]
    trials = [RunFolder(out / "trials" / str(trial.number)).result() for trial in study.trials]
    kept = [[record.digest for record in trial.checkpoints] for trial in trials if trial is not None]
    told = [(trial.number, trial.status, trial.params, trial.value, trial.history) for trial in study.trials]
    return [stages, kept, told, study.best and study.best.test]


def stage_folders(out: Path) -> list[Path]:
    return [out / PRETRAIN / name for name in sorted(stages_in(out / PRETRAIN))]


KILLED = """
import json, signal, sys
from pathlib import Path
from test_hpo_pretraining_end import Leaves, search
search(json.loads(sys.argv[1]), Path(sys.argv[2]), Leaves(int(sys.argv[3]), signal.SIGKILL))
"""


@pytest.mark.slow
def test_a_study_that_was_killed_within_a_stage_has_the_trials_that_it_would_have_had(
    tmp_path: Path, tiny_bert: Path
) -> None:
    given, out = document(tiny_bert, write_rows(tmp_path / "rows")), tmp_path / "torn"
    whole, there = search(given, tmp_path / "whole"), {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for asked in (14, 14):  # a pass of the model and a step ask: within the second epoch, then the third
        command = [sys.executable, "-c", KILLED, json.dumps(given), str(out), str(asked)]
        killed = subprocess.run(command, env=there, capture_output=True, timeout=300)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        (stage,) = stage_folders(out)
        assert list(stage.glob("resume/*.json")) and not (stage / "result.json").exists()
    with pytest.raises(Interrupted):
        search(given, out, Leaves(3))
    torn = search(given, out)
    assert what_was_learned(torn, out) == what_was_learned(whole, tmp_path / "whole")


@pytest.mark.service
def test_a_worker_with_a_folder_of_its_own_learns_the_same_there(
    tmp_path: Path, tiny_bert: Path, postgres: str
) -> None:
    given, out, own = document(tiny_bert, write_rows(tmp_path / "rows")), tmp_path / "study", tmp_path / "worker"
    whole = search(given, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_search(given, out=out, engine=Leaves(3), storage=postgres)
    assert work(postgres, out=own, trials=1) == 1
    (there,), (here,) = stage_folders(own), stage_folders(tmp_path / "whole")
    assert there.name == here.name
    assert [record.digest for record in RunFolder(there).kept()] == [record.digest for record in RunFolder(here).kept()]
    shutil.rmtree(own)
    study = run_search(given, out=out, engine=Leaves(NEVER), storage=postgres)
    assert [(trial.params, trial.value, trial.history) for trial in study.trials] == [
        (trial.params, trial.value, trial.history) for trial in whole.trials
    ]
    assert study.best is not None and whole.best is not None and study.best.test == whole.best.test
    load(out / "best").predict(["a great film"])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_winner_is_read_by_plain_transformers_and_peft(tmp_path: Path, tiny_bert: Path, method: str) -> None:
    adapter = {"method": "lora", "r": 2} if method == "lora" else method
    rates = {"optim": {"lr": [1e-3, 1e-2]}, "pretrain": {"lr": 1e-2, "tapt": {"epochs": 2}}}
    given = document(tiny_bert, write_rows(tmp_path / "rows"), peft=adapter, **rates)
    study = search(given, tmp_path / "study")
    assert study.best is not None
    exported = export_run(tmp_path / "study", tmp_path / "exported", trial=study.best.number)
    best = Path(shutil.move(tmp_path / "study" / "best", tmp_path / "best"))
    shutil.rmtree(tmp_path / "study")
    texts = ["the film was great", "a terrible day with the film"]
    told = load(best).logits([Example(text) for text in texts])
    for folder in (exported, best):
        whole = AutoModelForSequenceClassification.from_pretrained(folder if method == "full" else folder / "base")
        network = whole if method == "full" else PeftModel.from_pretrained(whole, folder)
        batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = network.eval()(**batch).logits
        assert torch.allclose(logits, torch.tensor(told), atol=1e-5)
    before = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=2).base_model.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in whole.base_model.state_dict().items())
