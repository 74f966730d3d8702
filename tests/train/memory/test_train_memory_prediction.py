"""What fake tensors say a step takes, against what real ones are seen to keep."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from assembled_runs import assembled
from tunery.model.heads.heads import answers_of
from tunery.train.memory.fake_tensors import LiveBytes, bytes_at_once, fake_copy
from tunery.train.memory.prediction import Prediction
from tunery.train.memory.run_budget import Longest, predicted
from tunery.train.memory.search import Line
from tunery.train.setup.assemble import Assembled


def kept_for_backward(run: Assembled, rows: int) -> int:
    """Bytes that a real pass keeps for its backward pass, by torch's own hooks, parameters apart."""
    own = {part.untyped_storage().data_ptr() for part in (*run.built.module.parameters(), *run.built.module.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in own:
            kept[pointer] = tensor  # kept alive, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        answers_of(run.built.module, Longest(run).batch(rows).inputs, run.built.outputs)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("method", ["full", "lora", "ia3"])
def test_what_a_row_takes_is_what_is_kept_for_the_backward_pass(tiny_bert: Path, tmp_path: Path, method: str) -> None:
    run = assembled(tiny_bert, tmp_path, peft=method)
    before = {name: part.clone() for name, part in run.built.module.named_parameters()}
    found = predicted(run, Longest(run))
    assert found is not None
    assert (found.attention == "plain") == (method == "full")  # the fused kernel of a CPU takes no dropout
    kept = kept_for_backward(run, 12) - kept_for_backward(run, 4)
    assert kept <= 8 * found.activations.each <= 1.5 * kept  # with what two layers need for a moment
    trained = [part for part in run.built.module.parameters() if part.requires_grad]
    assert found.gradients == sum(part.nbytes for part in trained)
    assert 2 * found.gradients <= found.state <= 2 * found.gradients + 8 * len(trained)  # AdamW: two moments
    assert found.evaluated.each < found.activations.each
    for name, part in run.built.module.named_parameters():
        assert torch.equal(part, before[name]) and part.grad is None


def test_a_task_that_picks_tokens_is_not_predicted(tiny_masked_lm: Path, tmp_path: Path) -> None:
    run = assembled(tiny_masked_lm, tmp_path, task={"kind": "mlm"})
    assert predicted(run, Longest(run)) is None


def test_storages_count_once_and_as_long_as_something_refers_to_them() -> None:
    mode, seen = FakeTensorMode(), list[int]()

    def work() -> None:
        first = torch.empty(100)
        view = first[:50].add_(1).reshape(5, 10)
        seen.append(live.now)
        second = torch.cat([view.flatten(), first])
        seen.append(live.now)
        del first
        seen.append(live.now)  # the view holds it
        del view
        seen.append(live.now)
        del second

    live = LiveBytes()
    with mode, live:
        work()
    assert seen == [400, 1000, 1000, 600] and (live.now, live.peak) == (0, 1000)


def test_a_copy_has_the_structure_and_no_content() -> None:
    table = torch.nn.Embedding(10, 4)
    module = torch.nn.Sequential(table, torch.nn.Linear(4, 10, bias=False))
    module[1].weight = table.weight
    mode = FakeTensorMode()
    made: Any = fake_copy(module, mode, torch.device("cpu"))
    assert made[0].weight is made[1].weight and made[0].weight is not table.weight
    live = bytes_at_once(mode, made.parameters(), lambda: made(torch.zeros(3, dtype=torch.int64)))
    assert live.peak == 8 * 3 + 4 * 3 * 4 + 4 * 3 * 10


def test_the_optimizer_may_be_what_takes_most() -> None:
    step = Prediction(10, 20, Line(1, 2), step=50, evaluated=Line(0, 1), attention="plain")
    assert (step.total(1), step.total(40, ratio=2)) == (80, 10 + 20 + 162)
