"""Every optimizer in a real run: it trains, and an interrupted run ends with the weights of one that was not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, write_rows
from tunery.errors import ConfigError
from tunery.optim.optimizers import OPTIMIZERS, PAGED
from tunery.train.fit import fit

TRAIN = {"epochs": 2, "batch_size": 8, "log_every": 2}
OWN_RATE = {"optim": {"name": "adafactor", "relative_step": True, "warmup_init": True}, "schedule": {"name": "none"}}
RUNS: dict[str, dict[str, Any]] = {
    **{spec().name: {"optim": {"name": spec().name}} for spec in OPTIMIZERS if spec not in PAGED},  # type: ignore[call-arg]
    "relative_step": OWN_RATE,
    "layerwise": {"optim": {"name": "adamw", "layerwise_lr_decay": 0.8}, "peft": {"method": "lora_plus"}},
}


@pytest.mark.parametrize("name", slow_but(RUNS, "adamw", "adafactor", "relative_step", "layerwise"))
def test_an_interrupted_run_ends_like_one_that_was_not(tiny_bert: Path, tmp_path: Path, name: str) -> None:
    given = config(str(tiny_bert), write_rows(tmp_path), train=TRAIN, **RUNS[name])
    whole = fit(given, out=tmp_path / "whole")
    with pytest.raises(MemoryError):
        fit(given, [StopAt(11, "crash")], out=tmp_path / "crashed")
    resumed = fit(given, out=tmp_path / "crashed")
    assert resumed.checkpoints[0].digest == whole.checkpoints[0].digest
    lines = ["metrics.jsonl" in str(path) and path.read_text() for path in (tmp_path / "whole").glob("metrics.jsonl")]
    assert lines == [(tmp_path / "crashed" / "metrics.jsonl").read_text()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device takes every optimizer")
def test_what_the_machine_and_the_data_refuse_is_said_at_once_before_a_model_is_loaded(
    tiny_bert: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_bert, base)
    (base / "model.safetensors").write_bytes(b"loading this would be another error")
    sections = {"optim": {"name": "paged_adamw"}, "schedule": {"name": "linear", "warmup": 500}}
    with pytest.raises(ConfigError) as caught:
        fit(config(str(base), write_rows(tmp_path), **sections), out=tmp_path / "run")
    assert [problem.path for problem in caught.value.problems] == ["optim.name", "schedule.warmup"]
    assert not (tmp_path / "run").exists()
