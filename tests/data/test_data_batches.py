"""Batches: every row once, a pure function of the seed, within the token budget."""

import subprocess
import sys
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tunery.data.batches import (
    NO_TARGET,
    Collator,
    EncodedDataset,
    EpochBatches,
    MicroBatch,
    Targets,
    eval_batches,
    length_tells_labels,
    micro_batches,
    pad,
    plan_epoch,
    row_generator,
    visible_tokens,
)
from tunery.data.encode import Encoded

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(lambda values: np.array(values, dtype=np.int64))


def encoded_of(lengths: Any, *, typed: bool = False) -> Encoded:
    ids = [np.full(length, row + 1, dtype=np.int32) for row, length in enumerate(lengths)]
    types = [np.ones(length, dtype=np.int8) for length in lengths] if typed else None
    count = np.array(lengths, dtype=np.int64)
    return Encoded(ids=ids, type_ids=types, lengths=count, rows=np.arange(len(ids)), truncated=0)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(0, 99), st.booleans())
def test_a_plan_holds_every_row_once_in_full_batches(
    lengths: Any, batch_size: int, seed: int, epoch: int, by_length: bool
) -> None:
    plan = plan_epoch(lengths, batch_size=batch_size, seed=seed, epoch=epoch, by_length=by_length)
    assert sorted(row for batch in plan for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in plan[:-1]) and 1 <= len(plan[-1]) <= batch_size
    assert plan == plan_epoch(lengths.copy(), batch_size=batch_size, seed=seed, epoch=epoch, by_length=by_length)
    assert len(plan) == len(EpochBatches(lengths, batch_size=batch_size, seed=seed))


@given(LENGTHS, st.integers(1, 600))
def test_micro_batches_hold_every_row_once_within_the_budget(lengths: Any, max_tokens: int) -> None:
    rows = list(range(0, len(lengths), 2))
    passes = micro_batches(rows, lengths, max_tokens=max_tokens)
    assert sorted(row for part in passes for row in part) == rows
    for part in passes:
        assert len(part) == 1 or len(part) * max(int(lengths[row]) for row in part) <= max_tokens


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 120), st.integers(0, 60))
def test_no_other_way_to_cut_a_step_costs_less(lengths: list[int], max_tokens: int, overhead: int) -> None:
    widths = np.array(lengths)
    ordered = sorted(range(len(lengths)), key=lambda row: -lengths[row])

    def cost(passes: list[list[int]]) -> float:
        sizes = [len(part) * int(widths[part].max()) for part in passes]
        fits = all(size <= max_tokens or len(part) == 1 for size, part in zip(sizes, passes, strict=True))
        return sum(sizes) + overhead * len(sizes) if fits else np.inf

    cuts = product([False, True], repeat=len(lengths) - 1)
    ends = ([0, *(place for place, cut in enumerate(chosen, start=1) if cut), len(lengths)] for chosen in cuts)
    every = [cost([ordered[low:high] for low, high in pairwise(places)]) for places in ends]
    ours = micro_batches(range(len(lengths)), widths, max_tokens=max_tokens, overhead=overhead)
    assert cost(ours) == min(every)
    assert [row for part in ours for row in part] == ordered, "longest first"


def three_lengths(rows: int, *, seed: int = 0) -> tuple[Any, Any]:
    """Lengths about 12, 50 and 200, by label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    spread = np.exp(generator.normal(0, 0.15, size=rows))
    return (np.array([12, 50, 200])[labels] * spread).astype(np.int64), labels


def padding(plan: list[list[int]], lengths: Any, **options: Any) -> float:
    """Padded tokens for each token of the texts."""
    passes = [part for batch in plan for part in micro_batches(batch, lengths, max_tokens=8192, **options)]
    return float(sum(len(part) * lengths[part].max() for part in passes) / lengths.sum())


def test_where_length_tells_the_label_steps_are_random_and_padding_stays_low() -> None:
    lengths, labels = three_lengths(4_000)
    assert length_tells_labels(lengths, labels, batch_size=16)
    alike, fair = (plan_epoch(lengths, batch_size=16, seed=0, epoch=0, by_length=flag) for flag in (True, False))
    assert (
        np.mean([len(set(labels[batch])) for batch in alike]) < 1.2 < 2.9 < np.mean([len(set(labels[b])) for b in fair])
    )
    assert padding(fair, lengths) < padding(alike, lengths, overhead=10**6) + 0.03
    batches = EpochBatches(lengths, batch_size=16, seed=0, by_length=False)
    assert batches.rows(0) == fair != batches.rows(1)


@pytest.mark.parametrize("several", [False, True])
def test_length_tells_labels_only_where_it_does(several: bool) -> None:
    def told(lengths: Any, labels: Any, **options: Any) -> bool:
        targets = np.eye(3, dtype=np.float32)[labels] if several else labels
        return length_tells_labels(lengths, targets, **{"batch_size": 16, **options})

    lengths, labels = three_lengths(4_000)
    assert told(lengths, labels) and told(lengths, np.minimum(labels, 1))
    assert not told(lengths, np.random.default_rng(1).permutation(labels))
    assert not told(lengths, np.zeros_like(labels)), "one label"
    assert not told(np.full_like(lengths, 30), np.sort(labels)), "rows in the order of their labels, of one length"
    assert not told(lengths, labels, batch_size=1) and not told(lengths[:20], labels[:20])


@given(LENGTHS, st.integers(1, 64))
def test_eval_batches_hold_every_row_once_longest_first(lengths: Any, batch_size: int) -> None:
    batches = eval_batches(lengths, batch_size=batch_size)
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert all(lengths[a] >= lengths[b] for a, b in zip(flat, flat[1:], strict=False))
    assert max(map(len, batches)) <= batch_size


def test_epochs_and_seeds_differ_and_grouping_saves_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 250, size=3_000)
    plans = [plan_epoch(lengths, batch_size=16, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    assert {row for batch in plans[0][-1:] for row in batch} != {row for batch in plans[1][-1:] for row in batch}
    padded = sum(len(batch) * lengths[batch].max() for batch in plans[0])
    assert padded < 1.05 * lengths.sum()
    widths = [int(lengths[batch].max()) for batch in plans[0]]
    assert abs(np.corrcoef(widths, range(len(widths)))[0, 1]) < 0.2, "lengths must not drift through an epoch"


def test_generators_depend_on_all_four_and_on_nothing_else() -> None:
    keys = [(0, 0, 0, "mask"), (1, 0, 0, "mask"), (0, 1, 0, "mask"), (0, 0, 1, "mask"), (0, 0, 0, "order")]
    draws = [row_generator(*key).integers(2**63) for key in keys]
    assert len(set(draws)) == 5
    assert draws[0] == row_generator(np.int64(0), 0, 0, "mask").integers(2**63)
    code = "from tunery.data.rng import row_generator; print(row_generator(0, 0, 0, 'mask').integers(2**63))"
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) == draws[0]


def test_a_loader_gives_the_same_steps_with_and_without_workers() -> None:
    lengths = [3, 9, 4, 4, 8, 2, 7]
    targets = np.arange(7, dtype=np.int64)
    batches = EpochBatches(np.array(lengths), batch_size=3, seed=5)
    batches.set_epoch(2)

    def steps(workers: int) -> list[list[MicroBatch]]:
        loader = DataLoader(
            EncodedDataset(encoded_of(lengths, typed=True), Targets({"labels": targets})),
            batch_sampler=batches,
            collate_fn=Collator(0, max_tokens=16),
            num_workers=workers,
        )
        return list(loader)

    alone, helped = steps(0), steps(2)
    assert len(alone) == len(batches) == 3
    for one, two in zip(alone, helped, strict=True):
        for first, second in zip(one, two, strict=True):
            assert first.inputs.keys() == second.inputs.keys() == {"input_ids", "attention_mask", "token_type_ids"}
            assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in first.inputs)
            assert torch.equal(first.targets["labels"], second.targets["labels"])
    seen = sorted(int(label) for step in alone for micro in step for label in micro.targets["labels"])
    assert seen == list(range(7))
    for inputs, told, *_ in (micro for step in alone for micro in step):
        assert inputs["input_ids"].dtype == torch.int64
        assert torch.equal(inputs["input_ids"], (told["labels"][:, None] + 1) * inputs["attention_mask"])
        assert inputs["attention_mask"].sum(1).tolist() == [lengths[label] for label in told["labels"].tolist()]


def test_padding_and_multilabel_targets() -> None:
    batch = pad(encoded_of([1, 3]), [1, 0], pad_id=9)
    assert batch["input_ids"].tolist() == [[2, 2, 2], [1, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert set(batch) == {"input_ids", "attention_mask"}
    dataset = EncodedDataset(encoded_of([2, 2]), Targets({"labels": np.eye(2, dtype=np.float32)}))
    (micro,) = Collator(0, max_tokens=100)([dataset[0, 0], dataset[0, 1]])
    assert micro.targets["labels"].dtype == torch.float32 and micro.targets["labels"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("rows", [0, 1])
def test_batches_of_nearly_nothing(rows: int) -> None:
    assert plan_epoch(np.ones(rows, dtype=np.int64), batch_size=4, seed=0, epoch=0) == [[0]][:rows]


CLS, SEP = 1, 2


def texts(lengths: Any) -> EncodedDataset:
    """Rows like BERT's: `CLS`, words, `SEP`."""
    ids = [np.array([CLS, *range(10, 8 + length), SEP], dtype=np.int32) for length in lengths]
    rows = np.arange(len(ids))
    encoded = Encoded(ids=ids, type_ids=None, lengths=np.array(lengths), rows=rows, truncated=0)
    return EncodedDataset(encoded, Targets({"labels": rows}))


def masks(dataset: EncodedDataset, rows: Any, *, epoch: int = 0, **options: Any) -> dict[int, list[int]]:
    """Row -> its attention mask, padding left out."""
    collate = Collator(0, **{"max_tokens": 500, "special_ids": frozenset({CLS, SEP}), **options})
    found = {}
    for micro in collate([dataset[epoch, row] for row in rows]):
        inputs, numbers = micro.inputs, micro.targets["labels"].tolist()
        for ids, mask, row in zip(inputs["input_ids"], inputs["attention_mask"], numbers, strict=True):
            (item,) = dataset[0, row]
            assert ids.tolist()[: len(item.ids)] == item.ids.tolist()
            assert not mask[ids == 0].any()
            found[row] = mask[ids != 0].tolist()
    return found


@given(
    st.lists(st.integers(3, 40), min_size=1, max_size=30),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
    st.integers(0, 99),
    st.randoms(use_true_random=False),
)
def test_hidden_tokens_follow_row_and_epoch_and_not_the_batch(
    lengths: list[int], dropout: float, seed: int, epoch: int, random: Any
) -> None:
    dataset, rows = texts(lengths), list(range(len(lengths)))
    options: Any = {"token_dropout": dropout, "seed": seed, "epoch": epoch}
    whole = masks(dataset, rows, **options)
    chosen = random.sample(rows, random.randint(1, len(rows)))
    part = masks(dataset, chosen, max_tokens=60, **options)
    assert part == {row: whole[row] for row in chosen}
    for mask in whole.values():
        assert mask[0] == mask[-1] == 1
        assert sum(mask) >= 3, "at least one word stays"


def test_hidden_tokens_change_with_epoch_row_and_seed() -> None:
    dataset = texts([60, 60])
    first = masks(dataset, [0, 1], token_dropout=0.5)
    assert first[0] != first[1]
    assert first != masks(dataset, [0, 1], token_dropout=0.5, epoch=1)
    assert first != masks(dataset, [0, 1], token_dropout=0.5, seed=1)
    assert first == masks(dataset, [1, 0], token_dropout=0.5)


@pytest.mark.parametrize("dropout", [0.05, 0.2, 0.9])
def test_the_share_of_hidden_tokens_is_what_was_asked_for(dropout: float) -> None:
    mask = masks(texts([20_002]), [0], token_dropout=dropout, max_tokens=1)[0]
    hidden = 1 - sum(mask[1:-1]) / 20_000
    assert abs(hidden - dropout) < 5 * (dropout * (1 - dropout) / 20_000) ** 0.5


def test_special_tokens_and_the_last_one_stay() -> None:
    no, yes = False, True
    low, high = np.zeros(5), np.array([0.1, 0.2, 0.4, 0.3, 0.1])
    assert visible_tokens(np.array([yes, no, yes, no, yes]), low, dropout=0.5).tolist() == [1, 1, 1, 0, 1]
    assert visible_tokens(np.array([yes, no, no, no, yes]), high, dropout=0.5).tolist() == [1, 0, 1, 0, 1]
    assert visible_tokens(np.array([no] * 5), high, dropout=0.5).tolist() == [0, 0, 0, 0, 1]
    assert visible_tokens(np.array([yes, no, no, no, no]), high, dropout=0.25).tolist() == [1, 0, 1, 1, 1]
    assert visible_tokens(np.array([yes]), np.zeros(1), dropout=0.5).tolist() == [1]


def test_without_token_dropout_every_token_is_seen() -> None:
    dataset = texts([5, 9])
    (batch,) = Collator(0, max_tokens=100, token_dropout=0.0, seed=3, special_ids=frozenset({CLS}))(
        [dataset[0, 0], dataset[0, 1]]
    )
    assert batch.inputs["attention_mask"].tolist() == [[1] * 9, [1] * 5 + [0] * 4]


def test_hidden_tokens_do_not_depend_on_workers() -> None:
    lengths = [30, 9, 44, 21, 8, 12, 37]
    batches = EpochBatches(np.array(lengths), batch_size=3, seed=5)
    collate = Collator(0, max_tokens=64, token_dropout=0.3, seed=7, special_ids=frozenset({CLS, SEP}))

    def seen(workers: int) -> list[torch.Tensor]:
        loader = DataLoader(texts(lengths), batch_sampler=batches, collate_fn=collate, num_workers=workers)
        return [micro.inputs["attention_mask"] for step in loader for micro in step]

    assert all(torch.equal(one, two) for one, two in zip(seen(0), seen(2), strict=True))


def test_targets_of_tokens_are_padded_and_a_row_brings_all_its_windows() -> None:
    ids = [np.full(length, 9, dtype=np.int32) for length in (3, 2, 4)]
    encoded = Encoded(ids=ids, type_ids=None, lengths=np.array([3, 2, 4]), rows=np.array([0, 0, 1]), truncated=0)
    assert encoded.tokens_of_rows().tolist() == [5, 4]
    tokens = [np.array([1, 0, 1]), np.array([0, 1]), np.array([0, 0, 0, 1])]
    soft = [np.eye(2, dtype=np.float32)[part] for part in tokens]
    dataset = EncodedDataset(encoded, Targets({"label": np.array([4, 4, 5])}, {"hit": tokens, "soft": soft}))
    assert len(dataset) == 2 and [len(dataset[0, row]) for row in (0, 1)] == [2, 1]
    (micro,) = Collator(0, max_tokens=100)([dataset[0, 1], dataset[0, 0]])
    assert micro.targets["label"].tolist() == [5, 4, 4]  # the longest first
    assert micro.targets["hit"].tolist() == [[0, 0, 0, 1], [1, 0, 1, NO_TARGET], [0, 1, NO_TARGET, NO_TARGET]]
    assert micro.targets["soft"].shape == (3, 4, 2) and micro.targets["soft"].dtype == torch.float32
    assert micro.inputs["attention_mask"].sum(1).tolist() == [4, 3, 2]
