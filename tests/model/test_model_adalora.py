"""AdaLoRA's ranks really move, within their budget, and come back from disk."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import AdaLoraModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.structure import find_layers
from tunery.model.peft.adalora import RankSchedule
from tunery.model.peft.method import LoadedBase, RankAllocator
from tunery.model.peft.methods import METHODS
from tunery.schema.config.peft import AdaLora

METHOD = METHODS[AdaLora]
SPEC = AdaLora(init_r=4, target_r=2, interval=3, warmup=0.1, settle=0.3, dropout=0.0)
BASE = Base("base", "base", None, local=True, trust_remote_code=False)
MODULES = {f"bert.encoder.layer.{n}.attention.self.{part}" for n in range(2) for part in ("query", "value")}
TOKENS = torch.arange(5, 45).reshape(8, 5)
LABELS = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0])


class Run:
    """A training loop as the trainer's: the rank_allocator comes after the optimizer and before the gradients go."""

    def __init__(self, folder: Path, spec: AdaLora, *, steps: int) -> None:
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        carrier = LoadedBase(model, find_layers(model.base_model), "bert.", ("classifier",), "SEQ_CLS")
        wrapped = METHOD.wrap(spec, carrier)
        self.module: Any = wrapped.module.eval()  # no dropout: runs are to be compared
        assert isinstance(wrapped.rank_allocator, RankAllocator)
        self.rank_allocator, self.steps = wrapped.rank_allocator, steps
        self.rank_allocator.plan(steps)
        self.owned = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.SGD(self.owned.values(), lr=0.05)

    def train(self, start: int = 1, *, until: int | None = None) -> Iterator[int]:
        for step in range(start, (until or self.steps) + 1):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.answers(), LABELS).backward()
            self.rank_allocator.penalty().backward()
            self.optimizer.step()
            self.rank_allocator.after_step(step)
            yield step

    def finish(self, start: int = 1, *, until: int | None = None) -> dict[str, int]:
        for _ in self.train(start, until=until):
            pass
        return self.rank_allocator.ranks()

    def answers(self) -> torch.Tensor:
        logits: torch.Tensor = self.module(input_ids=TOKENS).logits
        return logits


@pytest.fixture
def run(tiny_bert: Path) -> Run:
    return Run(tiny_bert, SPEC, steps=30)


def test_ranks_fall_to_the_budget_and_differ_between_modules(run: Run) -> None:
    totals = {step: sum(run.rank_allocator.ranks().values()) for step in run.train()}
    ranks = run.rank_allocator.ranks()
    assert totals[3] == 16
    assert totals[21] == sum(ranks.values()) == 2 * len(MODULES)
    assert {totals[step] for step in range(21, 31)} == {8}
    assert ranks.keys() == MODULES
    assert len(set(ranks.values())) > 1
    assert totals[6] == RankSchedule(3, 21, 3, 16, 8).budget(6) < 16


def test_interval_and_target_change_what_is_left(tiny_bert: Path) -> None:
    lower, rarer = SPEC.model_copy(update={"target_r": 1}), SPEC.model_copy(update={"interval": 7})
    runs = [Run(tiny_bert, spec, steps=30) for spec in (SPEC, lower, rarer)]
    histories = [[sum(run.rank_allocator.ranks().values()) for _ in run.train()] for run in runs]
    assert [history[-1] for history in histories] == [8, 4, 8]
    assert len({tuple(history) for history in histories}) == 3


def test_the_choice_is_that_of_peft(tiny_bert: Path) -> None:
    """peft's own allocator, fed with the same steps, keeps the same triplets."""
    ours, theirs = Run(tiny_bert, SPEC, steps=30), Run(tiny_bert, SPEC, steps=30)
    for step, _ in zip(ours.train(), theirs_steps(theirs), strict=True):
        for name, part in ours.owned.items():
            torch.testing.assert_close(part, theirs.owned[name], msg=f"step {step}: {name}")


def theirs_steps(run: Run) -> Iterator[None]:
    model = run.module.base_model
    assert isinstance(model, AdaLoraModel)
    for step in range(1, run.steps + 1):
        run.optimizer.zero_grad()
        run.module(input_ids=TOKENS, labels=LABELS).loss.backward()  # with peft's own penalty
        run.optimizer.step()
        model.update_and_allocate(step)
        yield


@pytest.mark.parametrize("stop", [2, 10, 25])
def test_a_resumed_run_is_bitwise_the_same(tiny_bert: Path, tmp_path: Path, stop: int) -> None:
    whole, first, second = (Run(tiny_bert, SPEC, steps=30) for _ in range(3))
    ranks = whole.finish()
    first.finish(until=stop)
    save_file(first.rank_allocator.state(), tmp_path / "state.safetensors")
    with torch.no_grad():
        for name, part in second.owned.items():
            part.copy_(first.owned[name])
    second.rank_allocator.load(load_file(tmp_path / "state.safetensors"))
    assert second.finish(stop + 1) == ranks
    assert all(torch.equal(part, whole.owned[name]) for name, part in second.owned.items())


FRESH_PROCESS = """
import sys, torch
from peft import AutoPeftModelForSequenceClassification
model = AutoPeftModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
torch.save(model(input_ids=torch.arange(5, 45).reshape(8, 5)).logits, sys.argv[2])
"""


def test_saved_ranks_are_those_of_the_weights_and_not_of_the_last_step(
    run: Run, tiny_bert: Path, tmp_path: Path
) -> None:
    ranks = run.finish(until=12)
    best = {name: part.detach().clone() for name, part in run.owned.items()}
    run.finish(13)
    with torch.no_grad():
        for name, part in run.owned.items():
            part.copy_(best[name])
    assert 8 < sum(ranks.values()) < 16
    base = Base("base", str(tiny_bert), None, local=True, trust_remote_code=False)
    METHOD.save(run.module, tmp_path, base=base)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert {key.removesuffix(".lora_E"): sum(kept) for key, kept in config["rank_pattern"].items()} == ranks
    assert (config["total_step"], config["tinit"], config["tfinal"], config["deltaT"]) == (30, 3, 9, 3)
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path), str(tmp_path / "logits.pt")]
    subprocess.run(command, check=True, capture_output=True)
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), run.answers())


def test_an_update_may_lose_all_its_ranks(run: Run, tiny_bert: Path, tmp_path: Path) -> None:
    run.finish()
    layer = run.module.get_base_model().bert.encoder.layer[0].attention.self.query
    layer.lora_E["default"].data.zero_()
    METHOD.save(run.module, tmp_path, base=BASE)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    again = METHOD.load(
        SPEC, LoadedBase(model, find_layers(model.base_model), "bert.", ("classifier",), "SEQ_CLS"), tmp_path
    )
    torch.testing.assert_close(again(input_ids=TOKENS).logits, run.answers())


def test_a_run_too_short_to_score_anything_says_so(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match=r"1 steps with warmup=0.1, settle=0.3 leave none; train longer, or"):
        Run(tiny_bert, SPEC, steps=1)
    assert sum(Run(tiny_bert, SPEC, steps=2).finish().values()) == 8
    with pytest.raises(ModelError, match="10 steps with warmup=0.7, settle=0.3"):
        Run(tiny_bert, SPEC.model_copy(update={"warmup": 0.7}), steps=10)


def test_nothing_is_taken_where_nothing_is_to_be(tiny_bert: Path) -> None:
    ranks = Run(tiny_bert, SPEC.model_copy(update={"target_r": 4}), steps=12).finish()
    assert ranks == dict.fromkeys(MODULES, 4)


def test_overflown_gradients_do_not_spoil_the_scores(run: Run) -> None:
    steps = run.train()
    next(steps)
    for part in run.owned.values():
        assert part.grad is not None
        part.grad.fill_(float("inf"))
    run.rank_allocator.after_step(2)
    assert all(part.isfinite().all() for part in run.rank_allocator.state().values())


@given(start=st.integers(1, 500), share=st.floats(0, 1), first=st.integers(0, 50), length=st.integers(1, 200))
def test_the_budget_only_falls_and_ends_at_its_target(start: int, share: float, first: int, length: int) -> None:
    schedule = RankSchedule(first, first + length, 1, start, round(share * start))
    budgets = [schedule.budget(step) for step in range(first, first + length + 1)]
    assert budgets == sorted(budgets, reverse=True)
    assert (budgets[0], budgets[-1]) == (start, schedule.end)
