"""Token ids become optimizer steps, and steps become micro-batches that fit a token budget.

A plan is a pure function of lengths, labels, seed and epoch, so that a step holds the same rows with any number of
workers and after any interruption.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from tunery.data.encode import Encoded
from tunery.data.masking import NO_TARGET, Masking
from tunery.data.rng import row_generator

Lengths = npt.NDArray[np.int64]
EpochRow = tuple[int, int]
"""(epoch, row)"""

_STEPS_PER_POOL = 50
OVERHEAD = 16
"""Padded tokens that another micro-batch has to save, on a CPU: it takes as long as 15 to 60 tokens beside its own."""
MOST_EXCESS = 0.25
"""By how much batches of similar length may raise the variance of a step's label mix above that of random batches."""

NO_UNIT: Final = -1
"""Unit of special tokens and padding."""
NO_SEGMENT: Final = -1
"""Segment of padding."""

_COLUMNS: Final[Mapping[str, tuple[str, int]]] = {
    "type_ids": ("token_type_ids", 0),
    "unit_ids": ("unit_ids", NO_UNIT),
    "token_targets": ("targets", NO_TARGET),
    "segments": ("segments", NO_SEGMENT),
}
"""Fields of `Encoded` with a number for each token -> name of the input, and what it is at padding."""


@dataclass(frozen=True)
class Targets:
    """The targets of training for the features of a split, by name."""

    features: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """One entry for each feature: (features, ...)."""
    sequences: Mapping[str, Sequence[npt.NDArray[Any]]] = field(default_factory=dict)
    """For each feature several entries, such as one for each of its tokens: (length, ...)."""


class Item(NamedTuple):
    """One feature with its targets, before it is padded into a batch."""

    epoch: int
    feature: int
    ids: npt.NDArray[np.int32]
    columns: Mapping[str, npt.NDArray[Any]]
    """What else there is of each token, by the names of inputs: (tokens,)."""
    targets: Mapping[str, Any]
    sequence_targets: Mapping[str, npt.NDArray[Any]]
    changed_rows: int = 0
    """1 in the first feature of a row that augmentation has changed."""


class MicroBatch(NamedTuple):
    """The features of one forward pass, padded on the right to the longest of them."""

    inputs: dict[str, Tensor]
    """`input_ids`, `attention_mask` and, where they are asked for, `token_type_ids`, `unit_ids` (-1 at padding),
    `targets` (the tokens that are to be told, -100 elsewhere) and `segments` (numbers of the texts in a feature, -1 at
    padding): int64 (features, tokens)."""
    targets: dict[str, Tensor]
    """By name: (features, ...), or (features, longest, ...) with -100 at padding. With `targets`, where the inputs have
    them, again."""
    changed_rows: int = 0
    """Rows that augmentation has changed."""
    features: tuple[int, ...] = ()
    """Their numbers in the split."""


def plan_epoch(lengths: Lengths, *, batch_size: int, seed: int, epoch: int, by_length: bool = True) -> list[list[int]]:
    """Batches of exactly `batch_size` rows in random order; the last one takes the rest.

    Rows are shuffled. With `by_length`, pools of 50 batches are sorted by length and cut, and the batches are shuffled
    again. Which rows are left for the smaller last batch is random too.
    """
    generator = row_generator(seed, epoch=epoch, row=0, purpose="order")
    order = generator.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    pool = batch_size * _STEPS_PER_POOL
    if by_length:
        pools = [_by_length(order[start : min(start + pool, whole)], lengths) for start in range(0, whole, pool)]
        order[:whole] = np.concatenate([order[:0], *pools])
    batches = order[:whole].reshape(-1, batch_size)
    shuffled: list[list[int]] = batches[generator.permutation(len(batches))].tolist()
    return [*shuffled, order[whole:].tolist()] if whole < len(order) else shuffled


def _by_length(rows: npt.NDArray[np.int64], lengths: Lengths) -> npt.NDArray[np.int64]:
    result: npt.NDArray[np.int64] = rows[np.argsort(lengths[rows], kind="stable")]
    return result


def length_tells_labels(lengths: Lengths, targets: npt.NDArray[Any], *, batch_size: int) -> bool:
    """Whether rows of similar length have similar labels, so that batches of similar length would not be fair samples.

    A step's label mix then varies more than with random batches, by the factor 1 + (batch_size - 1) * rho, where rho is
    the correlation of labels within a batch (the design effect: Kish 1965, "Survey Sampling", section 5.4). More than
    1.25, which makes four of five rows of a batch count, is too much.

    Args:
        targets: int64 (rows,), or 0 and 1 (rows, labels).
    """
    batches = np.array(plan_epoch(lengths, batch_size=batch_size, seed=0, epoch=0)[: len(lengths) // batch_size])
    if batch_size == 1 or len(batches) < 2:
        return False
    batch_of_row = np.repeat(np.arange(len(batches)), batch_size)
    planned = targets[batches.ravel()]
    rows, labels = np.nonzero(planned) if planned.ndim == 2 else (np.arange(len(planned)), planned)
    shares = np.bincount(labels) / len(planned)
    total = shares @ (1 - shares)
    counts = np.unique(batch_of_row[rows] * len(shares) + labels, return_counts=True)[1]
    # sums over the labels of p (1 - p), of all rows and of the mean batch
    within = shares.sum() - (counts**2).sum() / (batch_size**2 * len(batches))
    correlation = 1 - within / (1 - 1 / batch_size) / total if total > 0 else 0.0
    return bool((batch_size - 1) * correlation > MOST_EXCESS)


def micro_batches(
    rows: Sequence[int], lengths: Lengths, *, max_tokens: int, overhead: int = OVERHEAD
) -> list[list[int]]:
    """Split one step's rows into micro-batches of at most `max_tokens` padded tokens, longest rows first.

    Of all ways to cut the rows in the order of their lengths, the one with the fewest padded tokens, where every
    micro-batch counts for `overhead` more. A single row that is longer than the budget makes one of its own.
    """
    ordered = sorted(rows, key=lambda row: (-int(lengths[row]), row))
    longest = np.array([lengths[row] for row in ordered], dtype=np.int64)
    # cost[end]: of the best micro-batches of the first `end` rows, the last of which begins at start[end]
    cost, start = np.zeros(len(ordered) + 1), [0] * (len(ordered) + 1)
    for end in range(1, len(ordered) + 1):
        size = np.arange(end, 0, -1)
        padded = size * longest[:end]
        total = np.where((padded <= max_tokens) | (size == 1), cost[:end] + padded + overhead, np.inf)
        start[end] = int(total.argmin())
        cost[end] = total[start[end]]
    cuts, end = [], len(ordered)
    while end:
        cuts.append(ordered[start[end] : end])
        end = start[end]
    return cuts[::-1]


def eval_batches(lengths: Lengths, *, batch_size: int, max_tokens: int | None = None) -> list[list[int]]:
    """Batches for evaluation, longest rows first, so that too little memory shows at once: of at most `batch_size`
    rows, and of at most `max_tokens` padded tokens where they have more than one row."""
    order, start, batches = np.argsort(-lengths, kind="stable"), 0, list[list[int]]()
    while start < len(order):
        rows = batch_size if max_tokens is None else min(batch_size, max(max_tokens // int(lengths[order[start]]), 1))
        batches.append(order[start : start + rows].tolist())
        start += rows
    return batches


def token_batches(lengths: Lengths, *, max_tokens: int) -> list[list[int]]:
    """Batches for one pass over all rows, longest rows first: as many as make at most `max_tokens` padded tokens, at
    least one."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        count = max(1, max_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + count].tolist())
        start += count
    return batches


class EpochBatches(Sampler[list[EpochRow]]):
    """Batch sampler: (epoch, row) of all rows of each step of one epoch."""

    drop_last = False

    def __init__(self, lengths: Lengths, *, batch_size: int, seed: int, by_length: bool = True) -> None:
        self._lengths = lengths
        self._by_length = by_length
        self._seed = seed
        self._epoch = 0
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration plans."""
        self._epoch = epoch

    def rows(self, epoch: int) -> list[list[int]]:
        """The rows of every step of one epoch."""
        return plan_epoch(
            self._lengths, batch_size=self.batch_size, seed=self._seed, epoch=epoch, by_length=self._by_length
        )

    def __iter__(self) -> Iterator[list[EpochRow]]:
        epoch = self._epoch
        for rows in self.rows(epoch):
            yield [(epoch, row) for row in rows]

    def __len__(self) -> int:
        return -(-len(self._lengths) // self.batch_size)


class EncodedDataset(Dataset[list[Item]]):
    """The features of a row with their targets, by (epoch, row)."""

    def __init__(self, encoded: Encoded, targets: Targets | None = None) -> None:
        self._encoded = encoded
        self._targets = targets or Targets()
        self._starts = np.searchsorted(encoded.rows, np.arange(len(self) + 1))

    def __getitem__(self, epoch_row: EpochRow) -> list[Item]:
        epoch, row = epoch_row
        targets = self._targets
        return [
            Item(
                epoch=epoch,
                feature=feature,
                ids=self._encoded.ids[feature],
                columns=_columns_of(self._encoded, feature),
                targets={name: column[feature] for name, column in targets.features.items()},
                sequence_targets={name: column[feature] for name, column in targets.sequences.items()},
            )
            for feature in range(self._starts[row], self._starts[row + 1])
        ]

    def __len__(self) -> int:
        return int(self._encoded.rows[-1]) + 1 if len(self._encoded.rows) else 0


class Collator:
    """The rows of one step -> its micro-batches."""

    def __init__(
        self,
        pad_id: int,
        *,
        max_tokens: int,
        overhead: int = OVERHEAD,
        token_dropout: float = 0.0,
        seed: int = 0,
        special_ids: frozenset[int] = frozenset(),
        masking: Masking | None = None,
    ) -> None:
        """Args:
        masking: hides tokens that the model has to tell, anew in every epoch; None: nothing is hidden.
        """
        self._pad_id = pad_id
        self._max_tokens = max_tokens
        self._overhead = overhead
        self._token_dropout = token_dropout
        self._seed = seed
        self._special_ids = np.array(sorted(special_ids), dtype=np.int32)
        self._masking = masking

    def __call__(self, rows: Sequence[Sequence[Item]]) -> list[MicroBatch]:
        """With `token_dropout`, the attention mask is 0 for hidden tokens too; ids and positions stay as they are."""
        items = [self._masked(item) for row in rows for item in row]
        lengths = np.array([len(item.ids) for item in items], dtype=np.int64)
        cuts = micro_batches(range(len(items)), lengths, max_tokens=self._max_tokens, overhead=self._overhead)
        return [self._stacked([items[index] for index in indices]) for indices in cuts]

    def _masked(self, item: Item) -> Item:
        if self._masking is None:
            return item
        generator = row_generator(self._seed, epoch=item.epoch, row=item.feature, purpose="mask")
        hidden = self._masking(item.ids, item.columns.get("unit_ids"), generator)
        columns = {name: column for name, column in item.columns.items() if name != "unit_ids"}
        return item._replace(ids=hidden.ids, columns={**columns, "targets": hidden.targets})

    def _stacked(self, items: Sequence[Item]) -> MicroBatch:
        first, masks = items[0], [self._visible(item) for item in items]
        inputs = _inputs([item.ids for item in items], [item.columns for item in items], masks, pad_id=self._pad_id)
        targets = {name: torch.from_numpy(np.stack([item.targets[name] for item in items])) for name in first.targets}
        for name in first.sequence_targets:
            targets[name] = _padded([item.sequence_targets[name] for item in items], NO_TARGET)
        if "targets" in inputs:
            targets["targets"] = inputs["targets"]
        changed_rows, features = sum(item.changed_rows for item in items), tuple(item.feature for item in items)
        return MicroBatch(inputs, targets, changed_rows, features)

    def _visible(self, item: Item) -> npt.NDArray[np.int64]:
        if self._token_dropout == 0:
            return np.ones(len(item.ids), dtype=np.int64)
        generator = row_generator(self._seed, epoch=item.epoch, row=item.feature, purpose="token_dropout")
        special = np.isin(item.ids, self._special_ids)
        return visible_tokens(special, generator.random(len(special)), dropout=self._token_dropout)


def visible_tokens(
    special: npt.NDArray[np.bool_], draws: npt.NDArray[np.float64], *, dropout: float
) -> npt.NDArray[np.int64]:
    """Mask of a row's tokens: 0 hidden, 1 seen; all three (tokens,).

    A token is hidden where its draw from [0, 1) is below `dropout`. Special tokens stay, and so does the last, which
    heads of causal models read. Where all others would go, the one with the highest draw stays.
    """
    stays = special | (draws >= dropout)
    stays[-1] = True
    text = np.flatnonzero(~special)
    if len(text) and not stays[text].any():
        stays[text[draws[text].argmax()]] = True
    result: npt.NDArray[np.int64] = stays.astype(np.int64)
    return result


def pad(encoded: Encoded, features: Sequence[int], *, pad_id: int) -> dict[str, Tensor]:
    """The inputs of one forward pass over these features, as in a `MicroBatch`."""
    ids = [encoded.ids[feature] for feature in features]
    columns = [_columns_of(encoded, feature) for feature in features]
    return _inputs(ids, columns, [np.ones(len(row), dtype=np.int64) for row in ids], pad_id=pad_id)


def _columns_of(encoded: Encoded, feature: int) -> dict[str, npt.NDArray[Any]]:
    columns = {name: getattr(encoded, field) for field, (name, _) in _COLUMNS.items()}
    return {name: column[feature] for name, column in columns.items() if column is not None}


def _inputs(
    ids: Sequence[npt.NDArray[np.int32]],
    columns: Sequence[Mapping[str, npt.NDArray[Any]]],
    masks: Sequence[npt.NDArray[np.int64]],
    *,
    pad_id: int,
) -> dict[str, Tensor]:
    inputs = {"input_ids": _padded(ids, pad_id), "attention_mask": _padded(masks, 0)}
    for name, filler in _COLUMNS.values():
        if name in columns[0]:
            inputs[name] = _padded([each[name] for each in columns], filler)
    return inputs


def _padded(rows: Sequence[Any], filler: int) -> Tensor:
    result = np.full((len(rows), max(map(len, rows)), *np.shape(rows[0])[1:]), filler, dtype=_wide_dtype(rows[0]))
    for index, row in enumerate(rows):
        result[index, : len(row)] = row
    return torch.from_numpy(result)


def _wide_dtype(row: Any) -> Any:
    """Whole numbers are int64, as torch has them."""
    return np.int64 if np.issubdtype(np.asarray(row).dtype, np.integer) else np.asarray(row).dtype
