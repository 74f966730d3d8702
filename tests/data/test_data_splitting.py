"""Splitting off: disjoint, complete, seeded, stratified, and never through a group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.data.examples import Example
from tunery.data.splitting import split_off, text_key

SHARES = {"validation": 0.1, "test": 0.2}
LABELS = st.lists(st.sampled_from("abcdef"), max_size=3, unique=True).map(tuple)


def examples_in(labels: list[str]) -> list[Example]:
    return [Example(text=f"text {row}", labels=(label,)) for row, label in enumerate(labels)]


@st.composite
def any_examples(draw: st.DrawFn) -> list[Example]:
    grouped = draw(st.booleans())
    groups = st.one_of(st.none(), st.sampled_from("uvwxyz")) if grouped else st.none()
    texts = st.sampled_from(["", "one", "One ", "two", "three", *map(str, range(40))])
    example = st.builds(Example, text=texts, labels=LABELS, group=groups)
    return draw(st.lists(example, min_size=1, max_size=80))


@examples(1.5)
@given(any_examples(), st.integers(0, 2**32 - 1))
def test_invariants(examples: list[Example], seed: int) -> None:
    parts = split_off(examples, SHARES, seed=seed)
    assert parts == split_off(examples, SHARES, seed=seed)
    assert list(parts) == ["validation", "test", "train"]
    assert all(rows == sorted(rows) for rows in parts.values())
    assert sorted(row for rows in parts.values() for row in rows) == list(range(len(examples)))

    home = {row: name for name, rows in parts.items() for row in rows}
    together: dict[tuple[str | None, str], set[str]] = {}
    for row, example in enumerate(examples):
        key = text_key(example) if example.group is None else ""
        if example.group or key:
            together.setdefault((example.group, key), set()).add(home[row])
    assert all(len(homes) == 1 for homes in together.values())

    everywhere = {label for example in examples for label in example.labels}
    assert {label for row in parts["train"] for label in examples[row].labels} == everywhere


@examples(0.5)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.floats(0.05, 0.4))
def test_single_labels_are_split_off_in_proportion(counts: list[int], share: float) -> None:
    examples = examples_in([str(k) for k, count in enumerate(counts) for _ in range(count)])
    parts = split_off(examples, {"validation": share}, seed=1)
    counted = np.bincount([int(examples[row].labels[0]) for row in parts["validation"]], minlength=len(counts))
    wanted = share * np.array(counts)
    assert (counted < counts).all()
    if wanted.min() >= 1:
        assert (np.abs(counted - wanted) <= 1 + 1e-9).all()
        assert abs(counted.sum() - wanted.sum()) <= 0.5 + 1e-9


def test_seeds_differ_and_the_two_splits_have_draws_of_their_own() -> None:
    examples = examples_in(["a", "b"] * 200)
    assert split_off(examples, SHARES, seed=0) != split_off(examples, SHARES, seed=1)
    assert len(split_off(examples, SHARES, seed=0)["validation"]) == 40
    assert len(split_off(examples, SHARES, seed=0)["test"]) == 80


def test_small_labels_are_seen_everywhere_and_many_tiny_ones_add_up() -> None:
    tiny = split_off(examples_in(["a"] * 90 + ["b"] * 27 + ["c"] * 3), SHARES, seed=0)
    assert 117 in tiny["train"] + tiny["validation"] + tiny["test"]
    assert all(any(row >= 117 for row in rows) for rows in tiny.values())
    ten = split_off(examples_in(["a"] * 5 + ["b"] * 5), {"validation": 0.1}, seed=0)
    assert [row < 5 for row in ten["validation"]] == [True, False]
    many = split_off(examples_in([str(k) for k in range(77) for _ in range(4)]), {"validation": 0.1}, seed=0)
    assert abs(len(many["validation"]) - 30.8) < 1


def test_groups_of_many_rows_come_near_the_wanted_share() -> None:
    generator = np.random.default_rng(0)
    authors = [f"author {k}" for k in range(150) for _ in range(int(generator.integers(1, 40)))]
    examples = [Example(text=str(row), labels=("ab"[row % 3 == 0],), group=who) for row, who in enumerate(authors)]
    parts = split_off(examples, {"validation": 0.1, "test": 0.1}, seed=3)
    for name in ("validation", "test"):
        assert abs(len(parts[name]) / len(examples) - 0.1) < 0.01
        positives = sum(examples[row].labels == ("b",) for row in parts[name]) / len(parts[name])
        assert abs(positives - 1 / 3) < 0.05
