"""Labels that are not told apart, texts that say nothing, and rows that contradict each other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.contradictions import contradictions
from tunery.data.examples import Example
from tunery.data.separability import indistinct_labels, says_nothing


def softmax(logits: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def test_labels_that_are_mixed_up_at_random_are_named_and_others_are_not() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 80)
    logits = draw.normal(scale=0.3, size=(240, 3))
    logits[labels == 2, 2] += 3
    logits[labels != 2, 2] -= 3
    (pair,) = indistinct_labels(softmax(logits), labels, np.zeros(240, dtype=np.int64))
    assert (pair.first, pair.second) == (0, 1) and pair.low < 0.5 < pair.high < 0.8
    ratio = logits[:, 0] - logits[:, 1]
    wins = [float(a > b) for a in ratio[labels == 0] for b in ratio[labels == 1]]
    assert np.isclose(pair.area, np.mean(wins))
    several = indistinct_labels(softmax(logits), np.eye(3)[labels], np.zeros(240, dtype=np.int64))
    assert [(one.first, one.second) for one in several] == [(0, 1)]


def test_too_few_rows_say_nothing_of_a_pair() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], [9, 200])
    p = softmax(draw.normal(size=(209, 2)))
    assert not indistinct_labels(p, labels, np.zeros(209, dtype=np.int64))
    folds = np.where(np.arange(209) < 100, -1, 0)
    assert not indistinct_labels(p, np.repeat([0, 1], [105, 104]), folds)


def test_a_text_says_nothing_where_probabilities_are_the_frequencies() -> None:
    labels = np.repeat([0, 1], [60, 40])
    p = np.stack([np.where(labels == 0, 0.9, 0.1), np.where(labels == 0, 0.1, 0.9)], axis=1)
    p[[3, 70]] = [[0.6, 0.4], [0.62, 0.38]]
    folds = np.zeros(100, dtype=np.int64)
    assert says_nothing(p, labels, folds).tolist() == [3, 70]
    folds[3] = -1
    assert says_nothing(p, labels, folds).tolist() == [70]
    flags = np.stack([labels == 0, labels == 1], axis=1).astype(float)
    assert says_nothing(p, flags, folds).tolist() == [70]
    assert not len(says_nothing(np.ones((5, 1)), np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64)))


def rows(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(text, labels=(label,)) for text, label in pairs]


def test_each_row_that_contradicts_another_names_the_first_one() -> None:
    long = "the film was much too long and we left before the end of it all"
    given = rows(
        ("Good day", "a"),
        ("good day!", "b"),
        (long, "a"),
        ("something else entirely, of which there is one", "a"),
        (f"{long} really", "b"),
        (long.upper(), "a"),
        (" ", "a"),
        ("", "b"),
    )
    assert contradictions(given) == {0: 1, 1: 0, 2: 4, 4: 2, 5: 4}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab")), max_size=12))
def test_contradictions_are_those_of_all_pairs(given: list[tuple[str, str]]) -> None:
    examples = rows(*given)
    expected = {
        row: min(others)
        for row, (text, label) in enumerate(given)
        if (others := [k for k, (same, other) in enumerate(given) if same == text and other != label])
    }
    assert contradictions(examples) == expected
