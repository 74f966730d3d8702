"""Logits of many rows, and what a task makes of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from tunery.data.batches import eval_batches, pad
from tunery.data.encode import Encoded
from tunery.data.task import Logits, Targets, TaskView
from tunery.hardware import use_precision


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which forward passes compute in `precision`; weights stay as they are.

    `fp32` and `tf32` differ in how a product is computed and not in its type: see `hardware.use_precision`.
    """
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@torch.inference_mode()
def logits_of(
    module: nn.Module, encoded: Encoded, *, pad_id: int, batch_size: int, device: torch.device, precision: str
) -> Logits:
    """Logits in the order of the rows, float32 (rows, labels). Leaves the module in eval mode."""
    use_precision(precision, device)
    module.eval()
    parts: dict[int, Logits] = {}
    for rows in eval_batches(encoded.lengths, batch_size=batch_size):
        batch = {name: tensor.to(device) for name, tensor in pad(encoded, rows, pad_id=pad_id).items()}
        with autocast(device, precision):
            logits = module(**batch).logits
        parts.update(zip(rows, logits.float().cpu().numpy(), strict=True))
    return np.stack([parts[row] for row in range(len(encoded.lengths))])


def score(task: TaskView, logits: Logits, targets: Targets) -> dict[str, Any]:
    """Metrics of a split that thresholds may be tuned on (validation)."""
    thresholds = task.calibrate(logits, targets)
    metrics = task.tuned_metrics(logits, targets)
    return {**metrics, "thresholds": list(thresholds)} if thresholds is not None else metrics


def thresholds_in(metrics: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The thresholds that `score` tuned, if the task has any."""
    found = metrics.get("thresholds")
    return None if found is None else tuple(found)
