"""What a model answers about many rows, as far as its task needs it, and the score of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunery.data.batches import eval_batches, pad
from tunery.data.encode import Encoded
from tunery.data.row_table import Array, RowTable
from tunery.hardware import use_precision
from tunery.model.heads.heads import answers_of, last_states
from tunery.model.heads.pooling import mean_of_tokens
from tunery.tasks.task import JACKKNIFE_BLOCKS, State, Task


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which forward passes compute in `precision`; weights stay as they are.

    `fp32` and `tf32` differ in how a product is computed and not in its type: see `hardware.use_precision`.
    """
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Known = Callable[[Sequence[int], Mapping[str, Tensor]], Mapping[str, Tensor] | None]
"""Numbers of features, and what a model reads of them -> its answers, where it need not read them; else None."""


def nothing_known(features: Sequence[int], inputs: Mapping[str, Tensor]) -> None:
    """The model reads everything itself."""


@torch.inference_mode()
def answers_about(
    encoded: Encoded,
    module: nn.Module,
    task: Task,
    *,
    pad_id: int,
    batch_size: int,
    max_tokens: int | None = None,
    device: torch.device,
    precision: str,
    known: Known = nothing_known,
) -> RowTable:
    """What the task needs of the model's answers, in the order of the rows. Leaves the module in eval mode.

    Args:
        batch_size: most rows in a pass.
        max_tokens: most padded tokens in a pass of more than one row; None: any number.
    """
    use_precision(precision, device)
    module.eval()
    entries: dict[str, dict[int, Array]] = {}
    for features in eval_batches(encoded.lengths, batch_size=batch_size, max_tokens=max_tokens):
        batch = {name: tensor.to(device) for name, tensor in pad(encoded, features, pad_id=pad_id).items()}
        with autocast(device, precision):
            outputs = known(features, batch) or answers_of(module, batch, task.outputs)
        reduced = task.reduce({name: output.float() for name, output in outputs.items()}, batch)
        for name, column in reduced.items():
            entries.setdefault(name, {}).update(zip(features, column, strict=True))
    order = range(len(encoded.lengths))
    return task.of_rows({name: [column[number] for number in order] for name, column in entries.items()}, encoded)


@torch.inference_mode()
def vectors_of(
    encoded: Encoded, module: nn.Module, *, pad_id: int, batch_size: int, device: torch.device, precision: str
) -> Array:
    """The mean of the last token states of each row, float32 (rows, hidden); of a row in several windows, the mean of
    these. Leaves the module in eval mode."""
    use_precision(precision, device)
    module.eval()
    of_features: dict[int, Array] = {}
    for features in eval_batches(encoded.lengths, batch_size=batch_size):
        batch = {name: tensor.to(device) for name, tensor in pad(encoded, features, pad_id=pad_id).items()}
        with autocast(device, precision):
            states = last_states(module, batch)
        pooled = mean_of_tokens((states.float(),), batch["attention_mask"]).cpu().numpy()
        of_features.update(zip(features, pooled, strict=True))
    each = np.stack([of_features[number] for number in range(len(encoded.lengths))])
    total = np.zeros((int(encoded.rows[-1]) + 1, each.shape[1]), dtype=np.float32)
    np.add.at(total, encoded.rows, each)
    means: Array = total / np.bincount(encoded.rows)[:, None].astype(np.float32)
    return means


def score(task: Task, answers: RowTable, truth: RowTable) -> dict[str, Any]:
    """Metrics of a split that the task's state may be fitted on (validation), and the state."""
    return {**task.fitted_score(answers, truth), **(task.fit_state(answers, truth) or {})}


def state_in(task: Task, metrics: Mapping[str, Any]) -> State | None:
    """The state that `score` fitted, if the task has any; what an earlier version did not fit is missing."""
    return {key: metrics[key] for key in task.state_keys if key in metrics} if task.state_keys else None


def jackknife(
    task: Task, answers: RowTable, truth: RowTable, state: State | None, *, objective: str
) -> tuple[dict[str, Any], tuple[float | None, ...]]:
    """Metrics on rows, and the objective without each block of them in turn.

    Delete-a-group jackknife (Efron & Tibshirani 1993, chapter 11).
    Row i is in block i modulo their number, so that the blocks of all runs on the same rows are the same. Of a few
    long texts, part i of each is (`Task.parts`): blocks of neighbouring tokens, as these depend on each other (Kuensch
    1989, The Annals of Statistics 17, section 2).
    """
    given, right = task.parts(answers, truth)
    block = np.arange(len(right)) % JACKKNIFE_BLOCKS
    left_out = [block != number for number in range(min(JACKKNIFE_BLOCKS, len(right)))]
    values = [task.score(given.take(rest), right.take(rest), state)[objective] for rest in left_out if rest.any()]
    return task.score(answers, truth, state), tuple(values)
