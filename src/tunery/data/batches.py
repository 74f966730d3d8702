"""Token ids become optimizer steps, and steps become micro-batches that fit a token budget.

A plan is a pure function of lengths, seed and epoch, so that a step holds the same rows with any number of workers and
after any interruption.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from tunery.data.draw import row_generator as row_generator
from tunery.data.encode import Encoded

Lengths = npt.NDArray[np.int64]
Place = tuple[int, int]
"""(epoch, row)"""

_STEPS_PER_POOL = 50


class Item(NamedTuple):
    """One encoded row on its way into a batch."""

    epoch: int
    row: int
    ids: npt.NDArray[np.int32]
    type_ids: npt.NDArray[np.int8] | None
    target: Any


def plan_epoch(lengths: Lengths, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of exactly `batch_size` rows of similar length in random order; the last one takes the rest.

    Rows are shuffled, pools of 50 batches are sorted by length and cut, and the batches are shuffled again. Which rows
    are left for the smaller last batch is random too.
    """
    generator = row_generator(seed, epoch=epoch, row=0, purpose="order")
    order = generator.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    pool = batch_size * _STEPS_PER_POOL
    batches = [
        batch
        for start in range(0, whole, pool)
        for batch in _by_length(order[start : min(start + pool, whole)], lengths).reshape(-1, batch_size)
    ]
    shuffled = [batches[index].tolist() for index in generator.permutation(len(batches))]
    return [*shuffled, order[whole:].tolist()] if whole < len(order) else shuffled


def _by_length(rows: npt.NDArray[np.int64], lengths: Lengths) -> npt.NDArray[np.int64]:
    result: npt.NDArray[np.int64] = rows[np.argsort(lengths[rows], kind="stable")]
    return result


def micro_batches(rows: Sequence[int], lengths: Lengths, *, max_tokens: int) -> list[list[int]]:
    """Split one step's rows into passes of at most `max_tokens` padded tokens, longest rows first.

    A single row that is longer than that makes a pass of its own.
    """
    left = sorted(rows, key=lambda row: (-int(lengths[row]), row))
    passes = []
    while left:
        fit = max(1, max_tokens // max(1, int(lengths[left[0]])))
        passes.append(left[:fit])
        left = left[fit:]
    return passes


def eval_batches(lengths: Lengths, *, batch_size: int) -> list[list[int]]:
    """Batches for evaluation, longest rows first, so that too little memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]


class EpochBatches(Sampler[list[Place]]):
    """Batch sampler: the places (epoch, row) of each step of one epoch."""

    drop_last = False

    def __init__(self, lengths: Lengths, *, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._seed = seed
        self._epoch = 0
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration plans."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Place]]:
        epoch = self._epoch
        for rows in plan_epoch(self._lengths, batch_size=self.batch_size, seed=self._seed, epoch=epoch):
            yield [(epoch, row) for row in rows]

    def __len__(self) -> int:
        return -(-len(self._lengths) // self.batch_size)


class EncodedDataset(Dataset[Item]):
    """Encoded rows with their targets, by place (epoch, row)."""

    def __init__(self, encoded: Encoded, targets: npt.NDArray[Any] | None = None) -> None:
        self._encoded = encoded
        self._targets = targets

    def __getitem__(self, place: Place) -> Item:
        epoch, row = place
        types = self._encoded.type_ids
        return Item(
            epoch=epoch,
            row=row,
            ids=self._encoded.ids[row],
            type_ids=None if types is None else types[row],
            target=None if self._targets is None else self._targets[row],
        )

    def __len__(self) -> int:
        return len(self._encoded.ids)


class Collator:
    """One step's rows -> its micro-batches."""

    def __init__(self, pad_id: int, *, max_tokens: int) -> None:
        self._pad_id = pad_id
        self._max_tokens = max_tokens

    def __call__(self, items: Sequence[Item]) -> list[dict[str, Tensor]]:
        """Each micro-batch as `pad` gives it, with `labels`: int64 (rows,) or float32 (rows, labels)."""
        lengths = np.array([len(item.ids) for item in items], dtype=np.int64)
        passes = micro_batches(range(len(items)), lengths, max_tokens=self._max_tokens)
        return [_stacked([items[index] for index in chosen], pad_id=self._pad_id) for chosen in passes]


def pad(encoded: Encoded, rows: Sequence[int], *, pad_id: int) -> dict[str, Tensor]:
    """Tensors of one forward pass over these rows, padded on the right to the longest of them.

    `input_ids`, `attention_mask` and, where the model asks for them, `token_type_ids`: int64 (rows, tokens).
    """
    dataset = EncodedDataset(encoded)
    return _stacked([dataset[0, row] for row in rows], pad_id=pad_id)


def _stacked(items: Sequence[Item], *, pad_id: int) -> dict[str, Tensor]:
    batch = {
        "input_ids": _padded([item.ids for item in items], pad_id),
        "attention_mask": _padded([np.ones(len(item.ids), dtype=np.int64) for item in items], 0),
    }
    if items[0].type_ids is not None:
        batch["token_type_ids"] = _padded([item.type_ids for item in items], 0)
    if items[0].target is not None:
        batch["labels"] = torch.from_numpy(np.stack([item.target for item in items]))
    return batch


def _padded(rows: Sequence[Any], filler: int) -> Tensor:
    result = np.full((len(rows), max(map(len, rows))), filler, dtype=np.int64)
    for index, row in enumerate(rows):
        result[index, : len(row)] = row
    return torch.from_numpy(result)
