"""What is hidden of a text, by the definitions of BERT (Devlin et al. 2019) and SpanBERT (Joshi et al. 2020)."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.batches import Collator, EncodedDataset
from tunery.data.encode import Encoded
from tunery.data.masking import Hidden, Masking, make_masking

CLS, SEP, PAD, MASK = SPECIAL = (0, 1, 2, 3)
VOCABULARY = 1000
KINDS: list[Any] = ["token", "whole_word", "span"]


def masking(kind: Any, probability: float = 0.15) -> Masking:
    return make_masking(kind, probability=probability, mask_id=MASK, special_ids=SPECIAL, vocabulary=VOCABULARY)


def text(words: int, seed: int = 0) -> tuple[Any, Any]:
    """Token ids with special ones around them, and the word of each token: of one to four tokens."""
    draw = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(words), draw.integers(1, 5, size=words))
    ids = draw.integers(4, VOCABULARY, size=len(numbers))
    return np.array([CLS, *ids, SEP], dtype=np.int32), np.array([-1, *numbers, -1], dtype=np.int32)


def drawn(kind: Any, probability: float, *, words: int = 400, times: int = 60) -> list[tuple[Any, Any, Hidden]]:
    """Many texts with what was hidden of each."""
    texts = (text(words, seed) for seed in range(times))
    mask = masking(kind, probability)
    return [(ids, of, mask(ids, of, np.random.default_rng(n))) for n, (ids, of) in enumerate(texts)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0.15, 0.3, 0.4])
def test_the_share_of_tokens_to_be_told(kind: str, probability: float) -> None:
    told = [float((hidden.targets >= 0)[1:-1].mean()) for _, _, hidden in drawn(kind, probability)]
    assert np.mean(told) == pytest.approx(probability, abs=0.004)
    assert np.std(told) < 0.02, "of every text as much as of any other"


@pytest.mark.parametrize("kind", KINDS)
def test_of_ten_tokens_eight_are_hidden_one_is_replaced_and_one_stays(kind: str) -> None:
    counts: Counter[str] = Counter()
    replacements = []
    for ids, _, hidden in drawn(kind, 0.3, times=150):
        told = hidden.targets >= 0
        assert np.array_equal(hidden.targets[told], ids[told]) and np.array_equal(hidden.ids[~told], ids[~told])
        stays, is_mask = hidden.ids[told] == ids[told], hidden.ids[told] == MASK
        counts.update(hidden=int(is_mask.sum()), stays=int(stays.sum()), other=int((~stays & ~is_mask).sum()))
        replacements += hidden.ids[told][~stays & ~is_mask].tolist()
    total = counts.total()
    assert counts["hidden"] / total == pytest.approx(0.8, abs=0.02)
    assert counts["stays"] / total == pytest.approx(0.1, abs=0.02)
    assert counts["other"] / total == pytest.approx(0.1, abs=0.02)
    assert len(set(replacements)) > 400 and min(replacements) >= 4, "any token, but no special one"


def runs_of(ids: Any, words: Any, hidden: Hidden) -> list[list[int]]:
    """Words that are told, in runs."""
    told = sorted({int(word) for word, target in zip(words, hidden.targets, strict=True) if target >= 0})
    runs: list[list[int]] = []
    for word in told:
        if runs and word == runs[-1][-1] + 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


@pytest.mark.parametrize("kind", ["whole_word", "span"])
def test_words_stay_whole(kind: str) -> None:
    for _, words, hidden in drawn(kind, 0.3, times=20):
        for word in range(words.max() + 1):
            assert len({bool(target >= 0) for target in hidden.targets[words == word]}) == 1


def test_spans_are_as_long_as_the_geometric_distribution_says() -> None:
    lengths = [
        len(run)
        for ids, words, hidden in drawn("span", 0.01, words=8000, times=40)
        for run in runs_of(ids, words, hidden)
    ]
    assert len(lengths) > 700 and max(lengths) <= 20
    weights = [0.2 * 0.8 ** (length - 1) for length in range(1, 11)]
    expected = [weight / sum(weights) for weight in weights]
    assert sum(length * p for length, p in enumerate(expected, 1)) == pytest.approx(3.797, abs=1e-3), "SpanBERT: 3.8"
    counted = [lengths.count(length) / len(lengths) for length in range(1, 11)]
    assert np.abs(np.subtract(counted, expected)).max() < 0.04
    assert np.mean(lengths) == pytest.approx(3.797, abs=0.25)


def test_a_span_is_hidden_replaced_or_left_as_one() -> None:
    for ids, words, hidden in drawn("span", 0.02, words=2000, times=20):
        for run in runs_of(ids, words, hidden):
            if len(run) <= 10:
                inside = np.isin(words, run)
                is_mask = hidden.ids[inside] == MASK
                assert is_mask.all() or not is_mask.any()


@given(words=st.integers(0, 12), kind=st.sampled_from(KINDS), probability=st.floats(0.01, 0.8), seed=st.integers(0, 99))
def test_special_tokens_stay_and_something_is_told(words: int, kind: Any, probability: float, seed: int) -> None:
    ids, numbers = text(words, seed)
    hidden = masking(kind, probability)(ids, numbers, np.random.default_rng(seed))
    assert hidden.ids[0] == CLS and hidden.ids[-1] == SEP and hidden.targets[0] == hidden.targets[-1] == -100
    assert bool((hidden.targets >= 0).any()) == (words > 0)
    again = masking(kind, probability)(ids, numbers, np.random.default_rng(seed))
    assert np.array_equal(hidden.ids, again.ids) and np.array_equal(hidden.targets, again.targets)


def test_masks_are_those_of_epoch_and_row_whatever_the_batch() -> None:
    texts = [text(60, seed) for seed in range(6)]
    encoded = Encoded(
        ids=[ids for ids, _ in texts],
        type_ids=None,
        lengths=np.array([len(ids) for ids, _ in texts]),
        rows=np.arange(6),
        truncated=0,
        unit_ids=[words for _, words in texts],
    )
    dataset = EncodedDataset(encoded)

    def of_row(epoch: int, row: int, *others: int, seed: int = 3) -> tuple[Any, Any]:
        collator = Collator(PAD, max_tokens=10**6, overhead=10**6, seed=seed, masking=masking("span"))
        (batch,) = collator([dataset[epoch, number] for number in (*others, row)])
        size = int(encoded.lengths[row])
        place = next(n for n, mask in enumerate(batch.inputs["attention_mask"]) if int(mask.sum()) == size)
        assert "unit_ids" not in batch.inputs
        assert batch.targets["targets"] is batch.inputs["targets"]
        return batch.inputs["input_ids"][place, :size].tolist(), batch.inputs["targets"][place, :size].tolist()

    assert of_row(2, 4) == of_row(2, 4, 1, 3) == of_row(2, 4, 0)
    assert of_row(2, 4) != of_row(3, 4) and of_row(2, 4) != of_row(2, 4, seed=4)
