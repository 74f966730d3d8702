"""What a PEFT method does to a run: every key of it shows, ranks move and survive a crash, records are true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fast_and_slow import slow_but
from tiny_runs import StopAt, config, native, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.schema.results.run import Memory, RunResult
from tunery.store.folder import RunFolder
from tunery.train.fit import fit

TRAIN = {"epochs": 2, "batch_size": 8, "log_every": 2}
ADALORA = {"method": "adalora", "init_r": 4, "target_r": 2, "interval": 2}
HOULSBY = {"method": "houlsby", "bottleneck": 8}
COMPACTER = {"method": "compacter", "bottleneck": 8}

KEYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "r": ({"method": "lora"}, {"r": 2}),
    "alpha": ({"method": "lora"}, {"alpha": 64}),
    "dropout": ({"method": "lora"}, {"dropout": 0.5}),
    "bias": ({"method": "lora"}, {"bias": "lora_only"}),
    "target": ({"method": "lora"}, {"target": ["query", "key"]}),
    "lr_ratio": ({"method": "lora_plus"}, {"lr_ratio": 2}),
    "dora": ({"method": "lora"}, {"method": "dora"}),
    "rslora": ({"method": "lora"}, {"method": "rslora"}),
    "init_r": (ADALORA, {"init_r": 6}),
    "target_r": (ADALORA, {"target_r": 3}),
    "warmup": (ADALORA, {"warmup": 0.4}),
    "settle": (ADALORA, {"settle": 0.6}),
    "interval": (ADALORA, {"interval": 7}),
    "beta": (ADALORA, {"beta": 0.2}),
    "orthogonality": (ADALORA, {"orthogonality": 0}),
    "ffn": ({"method": "ia3"}, {"ffn": False}),
    "bottleneck": (HOULSBY, {"bottleneck": 4}),
    "activation": (HOULSBY, {"activation": "tanh"}),
    "adapter dropout": (HOULSBY, {"dropout": 0.5}),
    "parallel": (HOULSBY, {"parallel": True}),
    "scale": (HOULSBY, {"scale": 4}),
    "phm_dim": (COMPACTER, {"phm_dim": 2}),
    "phm_rank": (COMPACTER, {"phm_rank": 2}),
    "prefix tokens": ({"method": "prefix", "tokens": 4}, {"tokens": 2}),
    "prompt tokens": ({"method": "prompt", "tokens": 4}, {"tokens": 2}),
    "config": ({"method": "peft", "config": "LoHaConfig"}, {"config": "LoKrConfig"}),
    "arguments": ({"method": "peft", "config": "LoHaConfig"}, {"arguments": {"alpha": 64}}),
    "library target": ({"method": "peft", "config": "LoHaConfig"}, {"target": ["key", "output"]}),
}


def run(model: Path, folder: Path, /, **sections: Any) -> RunResult:
    folder.mkdir(exist_ok=True)
    return fit(config(str(model), write_rows(folder), **{"train": TRAIN, **sections}), out=folder / "run")


def logits(folder: Path) -> np.ndarray:
    rows = [Example("it was a great day"), Example("the film was sad")]
    return load(folder / "run").logits(rows, precision="fp32")


@pytest.fixture(scope="module")
def logits_of_method(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., np.ndarray]:
    """What a run with these keys of a method answers; methods that many keys start from are trained once."""
    found: dict[str, np.ndarray] = {}

    def of(**peft: Any) -> np.ndarray:
        key = json.dumps(peft)
        if key not in found:
            folder = tmp_path_factory.mktemp("method")
            run(tiny_bert, folder, model=native(tiny_bert), peft=peft)
            found[key] = logits(folder)
        return found[key]

    return of


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_method_shows(logits_of_method: Callable[..., np.ndarray], key: str) -> None:
    base, change = KEYS[key]
    assert not np.array_equal(logits_of_method(**base), logits_of_method(**{**base, **change}))


LORA = {"peft": {"method": "lora"}}
SECTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unfreeze_layernorm": (LORA, {"freeze": {"strategy": "adapter", "unfreeze_layernorm": True}}),
    "unfreeze_pooler": (
        {"freeze": {"strategy": "freeze_encoder"}, "model": {"head": "native"}},
        {"freeze": {"strategy": "freeze_encoder", "unfreeze_pooler": True}},
    ),
    "eval_mode": (LORA, {"freeze": {"strategy": "adapter", "eval_mode": False}}),
    "adapter_lr": (LORA, {**LORA, "optim": {"name": "adamw", "lr": 3e-3, "adapter_lr": 1e-2}}),
    "quantization": (LORA, {"model": {"quantization": "nf4"}}),
}


@pytest.mark.parametrize("key", SECTIONS)
def test_every_key_around_a_method_shows(tiny_bert: Path, tmp_path: Path, key: str) -> None:
    base, change = SECTIONS[key]
    changed = {name: {**base.get(name, {}), **value} for name, value in change.items()}
    for name, sections in {"base": base, "changed": {**base, **changed}}.items():
        settings = {"name": str(tiny_bert), "max_length": 32, "precision": "fp32", **sections.get("model", {})}
        run(tiny_bert, tmp_path / name, **{**sections, "model": settings})
    assert not np.array_equal(logits(tmp_path / "base"), logits(tmp_path / "changed"))


def test_checkpointing_activations_changes_no_weight(tiny_bert: Path, tmp_path: Path) -> None:
    for name, switch in {"kept": False, "again": True}.items():
        run(tiny_bert, tmp_path / name, train={**TRAIN, "gradient_checkpointing": switch}, **LORA)
    assert np.allclose(logits(tmp_path / "kept"), logits(tmp_path / "again"), atol=1e-6)


@pytest.mark.parametrize("at", slow_but([5, 9, 13], 9))
def test_moving_ranks_survive_a_crash(tiny_bert: Path, tmp_path: Path, at: int) -> None:
    whole = run(tiny_bert, tmp_path / "whole", peft=ADALORA)
    (tmp_path / "crashed").mkdir()
    given = config(str(tiny_bert), write_rows(tmp_path / "crashed"), train=TRAIN, peft=ADALORA)
    with pytest.raises(MemoryError):
        fit(given, [StopAt(at, "crash")], out=tmp_path / "crashed" / "run")
    resumed = fit(given, out=tmp_path / "crashed" / "run")
    assert resumed.checkpoints[0].digest == whole.checkpoints[0].digest
    assert resumed.parameters == whole.parameters


def test_the_ranks_of_the_best_epoch_are_reported(tiny_bert: Path, tmp_path: Path) -> None:
    found = run(tiny_bert, tmp_path, peft=ADALORA, train={**TRAIN, "early_stopping": None}).parameters
    assert found is not None and found.ranks is not None
    assert len(found.ranks) == 4  # query and value of two layers
    assert all(name.endswith(("query", "value")) for name in found.ranks)
    other = run(tiny_bert, tmp_path / "lora", **LORA).parameters
    assert other is not None and other.ranks is None and other.frozen_in_eval is True


def test_the_objective_without_each_block_of_test_rows(tiny_bert: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, tmp_path, peft={"method": "lora"})
    assert len(result.metrics.test_without_block) == 24  # as many blocks as rows: fewer than fifty
    predictor = load(tmp_path / "run")
    texts, labels = zip(*rows(tmp_path / "test.jsonl"), strict=True)
    examples = [Example(text, None, labels=(label,)) for text, label in zip(texts, labels, strict=True)]
    without_third = [example for number, example in enumerate(examples) if number != 3]
    assert result.metrics.test_without_block[3] == pytest.approx(predictor.score(without_third)["f1_macro"])
    assert result.metrics.test is not None
    assert result.metrics.test["f1_macro"] == pytest.approx(predictor.score(examples)["f1_macro"])


def rows(path: Path) -> list[tuple[str, str]]:

    return [(row["text"], row["label"]) for row in map(json.loads, path.read_text().splitlines())]


def test_peak_memory_is_that_of_the_process_that_needed_most(tiny_bert: Path, tmp_path: Path) -> None:
    given = config(str(tiny_bert), write_rows(tmp_path), train=TRAIN)
    with pytest.raises(MemoryError):
        fit(given, [StopAt(12, "crash")], out=tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    before = folder.progress()
    folder.write_progress(before.model_copy(update={"memory": Memory(host_peak_bytes=2**50, device_peak_bytes=7)}))
    assert fit(given, out=folder.path).memory == Memory(host_peak_bytes=2**50, device_peak_bytes=7)
