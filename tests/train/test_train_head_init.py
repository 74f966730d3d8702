"""`model.head.init: probe`: training begins with the logistic regression on pooled tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tiny_runs import StopAt, config, write_rows
from tunery.errors import ConfigError
from tunery.schema import RunConfig
from tunery.train.fit import fit

NOTHING_LEARNED = {"optim": {"lr": 1e-12, "head_lr": 1e-12}, "train": {"epochs": 1}}


def settings(model: Path, folder: Path, *, init: str, **sections: Any) -> RunConfig:
    files = write_rows(folder)
    spec = {"name": str(model), "max_length": 32, "precision": "fp32", "head": {"kind": "auto", "init": init}}
    return config(str(model), files, **{"model": spec, "peft": {"method": "lora"}, **sections})


def head(folder: Path) -> dict[str, Any]:
    return dict(load_file(folder / "best" / "head.safetensors"))


def test_it_begins_where_the_probe_ends(tiny_bert: Path, tmp_path: Path) -> None:
    started = fit(settings(tiny_bert, tmp_path, init="probe", **NOTHING_LEARNED), out=tmp_path / "run")
    probe = fit(settings(tiny_bert, tmp_path, init="random", peft={"method": "probe"}), out=tmp_path / "probe")
    ours, theirs = head(tmp_path / "run"), head(tmp_path / "probe")
    assert all(np.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    assert started.metrics.validation["loss"] == pytest.approx(probe.metrics.validation["loss"], abs=1e-4)


def test_the_head_alone_differs_from_a_random_start(tiny_bert: Path, tmp_path: Path) -> None:
    """Nothing else is drawn differently: adapters and batches are the same."""
    files = {}
    for init in ("random", "probe"):
        fit(settings(tiny_bert, tmp_path, init=init, **NOTHING_LEARNED), out=tmp_path / init)
        files[init] = load_file(tmp_path / init / "best" / "adapter_model.safetensors")
    assert all(np.allclose(files["random"][name], files["probe"][name], atol=1e-9) for name in files["probe"])


def test_a_run_that_was_killed_goes_on_to_the_very_same_weights(tiny_bert: Path, tmp_path: Path) -> None:
    asked = settings(tiny_bert, tmp_path, init="probe", checkpoint={"every": 2}, train={"epochs": 1})
    with pytest.raises(MemoryError):
        fit(asked, [StopAt(3, "crash")], out=tmp_path / "killed")
    digests = {name: fit(asked, out=tmp_path / name).checkpoints[0].digest for name in ("killed", "whole")}
    assert digests["killed"] == digests["whole"]


def test_only_a_linear_head_can_begin_so(tiny_bert: Path, tmp_path: Path) -> None:
    head = {"kind": "native", "init": "probe"}
    with pytest.raises(ConfigError, match="init"):
        config(str(tiny_bert), write_rows(tmp_path), model={"name": str(tiny_bert), "head": head})
