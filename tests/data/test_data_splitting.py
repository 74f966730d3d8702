"""Splitting off: disjoint, complete, seeded, stratified, and never through a group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.data.examples import Example
from tunery.data.splitting import split_off, stratified_folds, text_key

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


@examples(1.5)
@given(any_examples(), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_folds_keep_what_belongs_together_and_leave_every_label_to_training(
    examples: list[Example], count: int, seed: int
) -> None:
    fold = stratified_folds(examples, count, seed=seed)
    assert (fold == stratified_folds(examples, count, seed=seed)).all()
    assert fold.min() >= -1
    assert fold.max() < count
    home: dict[tuple[str | None, str], set[int]] = {}
    for row, example in enumerate(examples):
        key = text_key(example) if example.group is None else ""
        if key or example.group is not None:
            home.setdefault((example.group, key), set()).add(int(fold[row]))
    assert all(len(folds) == 1 for folds in home.values())
    for number in range(count):
        trained = {label for row, example in enumerate(examples) if fold[row] != number for label in example.labels}
        assert trained == {label for example in examples for label in example.labels}


def test_folds_are_balanced() -> None:
    labels = ["a"] * 50 + ["b"] * 13 + ["c"] * 5 + ["d"]
    fold = stratified_folds(examples_in(labels), 5, seed=3)
    counts = {
        label: [sum(fold[row] == n for row in range(69) if labels[row] == label) for n in range(5)] for label in "abcd"
    }
    assert counts["a"] == [10] * 5
    assert sorted(counts["b"]) == [2, 2, 3, 3, 3]
    assert counts["c"] == [1] * 5
    assert counts["d"] == [0] * 5
    assert fold[68] == -1
    sizes = np.bincount(fold[:68], minlength=5)
    assert sizes.max() - sizes.min() <= 1
    assert (stratified_folds(examples_in(labels), 5, seed=4) != fold).any()


def test_folds_of_several_labels_share_out_each_of_them() -> None:
    rng = np.random.default_rng(0)
    rows = [Example(text=f"text {row}", labels=tuple(sorted({*rng.choice([*"abcdef"], 2)}))) for row in range(300)]
    fold = stratified_folds(rows, 5, seed=0)
    counts = np.array([np.bincount(fold[[label in row.labels for row in rows]], minlength=5) for label in "abcdef"])
    assert np.ptp(counts, axis=1).mean() <= 3  # of about 18 in each; at random it is about 9
