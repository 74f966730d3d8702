"""`train.micro_batch_tokens: auto` in a run: found, said, recorded and kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from assembled_runs import assembled
from tiny_runs import StopAt, config, write_rows
from tunery import fit
from tunery.errors import Interrupted
from tunery.model.trainable import trainable_state
from tunery.schema.config.train import USUAL_TOKENS
from tunery.train.memory import run_budget
from tunery.train.memory.run_budget import Longest, predicted, with_budget
from tunery.train.memory.search import Found

MB = 10**6


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tunery" / "memory.json"


def left(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(run_budget, "memory_left", lambda device, n_jobs: size // n_jobs)


def budget(run: Any, *, recorded: int | None = None, n_jobs: int = 1) -> tuple[int, list[str]]:
    said: list[str] = []
    return with_budget(run, recorded=recorded, n_jobs=n_jobs, say=said.append).micro_batch_tokens, said


def test_where_memory_is_ample_nothing_is_tried_and_nothing_said(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    run = assembled(tiny_bert, tmp_path)
    left(monkeypatch, 10**10)
    assert budget(run) == (USUAL_TOKENS, []) and not cache.exists()
    assert budget(run, recorded=77) == (77, [])
    asked = assembled(tiny_bert, tmp_path, train={"micro_batch_tokens": 40})
    left(monkeypatch, 1)
    assert budget(asked, recorded=77) == (40, [])


def test_where_it_is_short_passes_are_tried_and_what_was_learned_is_kept(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    run = assembled(tiny_bert, tmp_path, train={"batch_size": 32})
    weights = {name: part.clone() for name, part in trainable_state(run.built).items()}
    random, tried, tokens = torch.get_rng_state(), list[int](), Longest(run).tokens
    # a machine whose passes take twice what is predicted; the weights of this model alone take more than its passes
    prediction = predicted(run, Longest(run))
    assert prediction is not None

    def probe(longest: Longest, rows: int) -> int:
        real_probe(longest, rows)
        tried.append(rows)
        return prediction.gradients + round(2 * prediction.activations.at(rows))

    real_probe = Longest.probe
    monkeypatch.setattr(Longest, "probe", probe)
    room = round(prediction.fixed + 2 * prediction.activations.at(12) + 1)
    left(monkeypatch, room)
    found, (said,) = budget(run)
    assert found in (10 * tokens, 11 * tokens) and 1 <= len(tried) <= 3
    assert f"{found:,} tokens in a pass, so that a step of long rows takes {-(-32 * tokens // found)} passes" in said
    assert list(json.loads(cache.read_text()).values()) == [pytest.approx(2, abs=0.01)]
    assert torch.equal(random, torch.get_rng_state())
    for name, part in trainable_state(run.built).items():
        assert torch.equal(part, weights[name]) and run.built.module.get_parameter(name).grad is None
    tried.clear()
    again, _ = budget(run)
    assert not tried and abs(again - found) <= tokens  # the ratio is known
    halves, _ = budget(run, n_jobs=2)
    assert halves < again
    left(monkeypatch, prediction.fixed)
    least, (said,) = budget(run)
    assert least == tokens and "a single row of" in said and "train.gradient_checkpointing=true" in said


def test_a_run_goes_on_with_what_it_has_found(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout draws its masks pass by pass, so that other passes would give other weights."""
    found = iter([40, 56])
    monkeypatch.setattr(run_budget, "memory_left", lambda device, n_jobs: 1)
    monkeypatch.setattr(run_budget, "most_rows", lambda *_, **__: Found(next(found) // 8, None))
    monkeypatch.setattr(Longest, "tokens", 8, raising=False)
    model = {"name": str(tiny_bert), "precision": "fp32", "max_length": 8}
    given = config(str(tiny_bert), write_rows(tmp_path), model=model, train={"epochs": 2, "batch_size": 16})
    with pytest.raises(Interrupted):
        fit(given, [StopAt(2, "signal")], out=tmp_path / "one")
    stopped = fit(given, out=tmp_path / "one")
    fixed = given.model_copy(update={"train": given.train.model_copy(update={"micro_batch_tokens": 40})})
    whole = fit(fixed, out=tmp_path / "two")
    assert stopped.micro_batch_tokens == whole.micro_batch_tokens == 40
    digests = [[record.digest for record in result.checkpoints] for result in (stopped, whole)]
    assert digests[0] == digests[1] and digests[0]
