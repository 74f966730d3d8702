"""What `tunery check` finds in rows with labels and their evidence, and how it says so."""

import json
import random
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.checks.check import inspect
from tunery.data.checks.evidence_checks import EVIDENCE_CHECKS, QUICK_EVIDENCE_CHECKS, is_cut, share_marked
from tunery.data.evidence import Evidence, Span, evidence_reader, spans_of
from tunery.data.examples import Example, Split, Splits
from tunery.data.reading.cells import BadCell
from tunery.schema.config.data import Data
from tunery.schema.results.finding import Finding

WORDS = ("lamp", "door", "river", "stone", "bread", "cloud", "paper", "green", "seven", "quick", "table", "window")


def row(number: int, *spans: Span, labels: Sequence[str] | None = None, rejected: Sequence[Span] = ()) -> Example:
    """Twelve words; without `labels`, those of the spans."""
    text = " ".join(random.Random(number).choices(WORDS, k=12))
    names = dict.fromkeys(span.label for span in spans) if labels is None else labels
    return Example(text, labels=tuple(names), target=Evidence(tuple(sorted(spans)), tuple(rejected)))


def first_words(number: int, label: str, count: int = 2) -> Span:
    words = row(number).text.split()[:count]
    return Span(0, len(" ".join(words)), label)


def clean(start: int, count: int) -> list[Example]:
    return [row(n, first_words(n, "ab"[n % 2])) for n in range(start, start + count)]


def findings(*train: Example, test: Sequence[Example] = (), **facts: object) -> dict[str, Finding]:
    """By code: of these training rows among clean ones."""
    parts = {"train": [*train, *clean(0, 60)], "validation": clean(100, 40), "test": [*test, *clean(200, 40)]}
    made = {name: Split(name, tuple(rows), f"{name}.csv", "") for name, rows in parts.items()}
    return {found.code: found for found in inspect(Splits(**made), EVIDENCE_CHECKS, **facts)}  # type: ignore[arg-type]


def test_clean_rows_are_only_described() -> None:
    found = findings()
    assert [*found] == ["balance", "evidence"]
    assert found["evidence"].count == 140 and "train 60, validation 40, test 40" in found["evidence"].message


def test_spans_that_cut_words_are_counted_and_shown() -> None:
    cut = row(900, Span(0, 3, "a"), first_words(900, "b"))
    found = findings(cut)["cut_words"]
    start = cut.text[:3]
    assert (found.level, found.count) == ("warning", 1)
    assert "spans cut a word in two: train 1 (1.6 %). A word is evidence if half of it is covered" in found.message
    assert found.examples[0].startswith(f"train row 1, a: [{start}]")


def test_spans_without_characters_are_left_out_and_counted() -> None:
    text = row(900).text
    read = evidence_reader(Data(train="", label="label", evidence="spans"), exclusive=True).read
    annotation = read({"text": text, "label": "a", "spans": [[3, 3], [9, 8], [0, 2]]})
    assert annotation.target == Evidence((Span(0, 2, "a"),), empty=2)
    found = findings(Example(text, labels=annotation.labels, target=annotation.target))["empty_spans"]
    assert found.count == 2 and "2 spans of train end where they begin (row 1): they are left out" in found.message


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("one two", 3, False),
        ("one two", 4, False),
        ("one two", 2, True),
        ("one", 0, False),
        ("one", 3, False),
        ("don't", 3, False),
        ("一二三", 1, False),
        ("cafe\u0301 au", 4, True),
        ("cafe\u0301 au", 5, False),
        ("שלום עולם", 2, True),
        ("שלום עולם", 4, False),
    ],
)
def test_where_a_word_is_cut(text: str, place: int, expected: bool) -> None:
    assert is_cut(text, place) is expected


def test_overlaps_are_those_of_one_label() -> None:
    found = findings(row(900, Span(0, 9, "a"), Span(2, 4, "a"), Span(5, 12, "a"), Span(0, 9, "b"), Span(12, 15, "a")))
    overlapping = found["overlapping_spans"]
    assert overlapping.count == 2 and "share characters with one before: train 2 (3.1 %)" in overlapping.message


def test_labels_without_a_span_are_named_with_their_rows() -> None:
    bare = [row(900 + n, labels=["c"]) for n in range(3)] + [row(950, labels=["d", "a"])]
    found = findings(*bare)
    assert "2 of 4 labels have none in train (rows: 'c' 3, 'd' 1)" in found["labels_without_evidence"].message
    assert found["rows_without_evidence"].count == 5
    assert "train 5 of 65 (7.7 %)" in found["rows_without_evidence"].message


def test_rejected_spans_are_counted() -> None:
    found = findings(row(900, rejected=[Span(0, 4, "a"), Span(0, 4, "b")]))["rejected_evidence"]
    assert found.count == 2 and "train 2 (3.2 %)" in found.message


def test_a_split_that_is_marked_more_densely_is_named() -> None:
    dense = [row(900 + n, first_words(900 + n, "ab"[n % 2], count=10)) for n in range(40)]
    message = findings(test=dense)["evidence"].message
    assert "test is marked more densely than train" in message and "`task.annotation: partial`" in message


def test_evidence_behind_the_first_window_is_counted() -> None:
    reach = {"train": np.array([10] * 61), "validation": np.array([80] * 40)}
    found = findings(row(900, Span(8, 12, "a"), Span(10, 14, "a")), reach=reach, max_length=5)
    assert found["evidence_beyond_window"].count == 1
    assert "train 1.6 %" in found["evidence_beyond_window"].message
    assert "validation" not in found["evidence_beyond_window"].message


def test_without_any_span_there_is_nothing_to_learn_from() -> None:
    bare = [
        Split(name, tuple(row(n + k, labels=["a"]) for n in range(40)), "", "")
        for k, name in ((0, "train"), (100, "validation"), (200, "test"))
    ]
    found = {finding.code: finding for finding in inspect(Splits(*bare), QUICK_EVIDENCE_CHECKS)}
    assert [*found] == ["no_evidence"] and found["no_evidence"].level == "fatal"


def test_one_label_in_all_rows_is_no_fault_where_there_is_no_other() -> None:
    made = [
        Split(name, tuple(row(n + k, first_words(n + k, "a")) for n in range(40)), "", "")
        for k, name in ((0, "train"), (100, "validation"), (200, "test"))
    ]
    assert not inspect(Splits(*made), QUICK_EVIDENCE_CHECKS)
    two = [row(n, first_words(n, "ab"[n % 2])) for n in range(40)]
    assert [f.code for f in inspect(Splits(Split("train", tuple(two), "", ""), *made[1:]), QUICK_EVIDENCE_CHECKS)] == [
        "single_class",
        "single_class",
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12), st.sampled_from("ab")), max_size=6))
def test_the_share_is_that_of_the_marked_characters(drawn: list[tuple[int, int, str]]) -> None:
    text = "x" * 50
    spans = sorted(Span(start, start + length, label) for start, length, label in drawn)
    marked = {place for start, end, _ in spans for place in range(start, end)}
    example = Example(text, target=Evidence(tuple(spans)))
    assert share_marked([example, Example(text, target=Evidence())]) == (len(marked) / 50 if spans else None)


def test_a_post_of_a_hundred_thousand_words_takes_little_memory() -> None:
    text = " ".join(random.Random(0).choices(WORDS, k=100_000))
    spans = tuple(Span(start, start + 9, "a") for start in range(0, len(text) - 9, 10))
    long = Example(text, labels=("a",), target=Evidence(spans))
    tracemalloc.start()
    found = findings(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["cut_words"].count > 10_000 and len(found["cut_words"].examples) == 3
    assert peak < 100_000_000


@given(st.sets(st.integers(0, 49), max_size=30))
def test_numbers_of_characters_are_the_spans_that_mark_them(numbers: set[int]) -> None:
    if len(numbers) == 2 and max(numbers) - min(numbers) > 1:
        with pytest.raises(BadCell, match="for one span"):
            spans_of(sorted(numbers), "x" * 50, label="a")
        return
    for cell in (sorted(numbers), json.dumps(sorted(numbers))):
        spans = spans_of(cell, "x" * 50, label="a")
        assert {place for span in spans for place in range(span.start, span.end)} == numbers
        assert all(one.end < other.start for one, other in pairwise(spans))


@pytest.mark.parametrize("span", [[9, 7], [-1, -1], [51, 51], [3, 51], [3.5, 9], ["3", 9]])
def test_what_is_no_span_of_a_text_is_refused(span: list[int]) -> None:
    with pytest.raises(BadCell, match="must hold spans with whole numbers 0 <= start < end <= 50"):
        spans_of([span], "x" * 50, label="a")


def test_other_keys_of_a_span_are_not_read() -> None:
    assert spans_of([{"start": 1, "end": 3, "text": "xx", "label": "b"}], "xxxx", label=None) == [Span(1, 3, "b")]
