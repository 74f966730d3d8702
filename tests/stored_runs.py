"""Runs as they lie on disk, with tensors of a few bytes and without any training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tunery.schema.results.record import Objective, Status
from tunery.schema.results.run import CheckpointRecord, Memory, Metrics, RunResult, Seconds, Tokens
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Stored
from tunery.store.resume import Point

WORDS = 256
"""Numbers in a tensor: 1 kB, so that the weights count for more than what names them."""


def weights(key: str) -> dict[str, Tensor]:
    """The same numbers for the same key, and others for another."""
    generator = torch.Generator().manual_seed(sum(ord(letter) * 31**place for place, letter in enumerate(key)) % 2**31)
    return {"w": torch.rand(WORDS, generator=generator)}


def keep_best(
    folder: RunFolder, step: int, value: float, *, key: str, before: tuple[CheckpointRecord, ...] = ()
) -> Stored:
    """Store the weights of an epoch and name it the best, or a tie of those `before`."""
    stored = folder.objects.put(weights(key))
    given = {"kind": "co_best" if before else "best", "step": step, "epoch": step, "value": value, **stored._asdict()}
    folder.write_kept((*before, CheckpointRecord.model_validate(given)))
    return stored


def save_point(folder: RunFolder, step: int, *, key: str, epochs: Sequence[tuple[int, float]] = ()) -> Point:
    """Store what training goes on from; `epochs` are the (step, value) of those scored so far."""
    objects = {name: folder.objects.put(weights(f"{name}{key}")) for name in ("", "optimizer")}
    point = Point(step, {"epochs": list(epochs)}, objects, folder.kept())
    folder.resume.publish(point)
    return point


def finish(
    folder: RunFolder,
    value: float | None,
    *,
    loss: float | None = None,
    status: Status = "completed",
    written: int = 0,
) -> None:
    """End a run."""
    result = RunResult(
        status=status,
        objective=Objective(name="f1_macro", value=value, direction="maximize"),
        metrics=Metrics(validation={} if loss is None else {"loss": loss}),
        parameters=None,
        seconds=Seconds(),
        memory=Memory(),
        disk_bytes=0,
        written_bytes=written,
        tokens=Tokens(),
        epochs=1,
        best_epoch=None,
        config={},
        environment=None,
        base=None,
        data=None,
        checkpoints=folder.kept(),
    )
    folder.write_result(result)
    folder.close()


def trial(root: Path, number: int) -> Path:
    """Where a trial lies."""
    return root / "trials" / str(number)
