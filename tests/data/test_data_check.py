"""What `tunery check` finds, what it lets pass, and how it says so."""

import json
import os
import random
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.data.checks.check import ALLOWABLE, inspect, refuse_fatal
from tunery.data.checks.duplicates import find_duplicates
from tunery.data.checks.near_duplicates import Words, similar_pairs
from tunery.data.checks.row_checks import ROW_CHECKS
from tunery.data.examples import Example, Split, Splits
from tunery.errors import DataError
from tunery.schema.results.finding import Finding
from tunery.tasks.classification import Classification
from tunery.tasks.multilabel import Multilabel

Row = tuple[str, str]
REAL = Path(os.environ.get("TUNERY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def split(name: str, rows: Iterable[Row | Example]) -> Split:
    examples = tuple(row if isinstance(row, Example) else Example(row[0], labels=(row[1],)) for row in rows)
    return Split(name, examples, f"{name}.csv", "")


def clean(start: int, count: int) -> list[Row]:
    """Rows that nothing can be said against: different words, two labels in turn."""
    return [
        (" ".join(f"w{number}x{part}" for part in range(8)), "ab"[number % 2]) for number in range(start, start + count)
    ]


def splits(
    train: Sequence[Row | Example] | None = None,
    validation: Sequence[Row | Example] | None = None,
    test: Sequence[Row | Example] | None = None,
) -> Splits:
    return Splits(
        split("train", clean(0, 60) if train is None else train),
        split("validation", clean(100, 40) if validation is None else validation),
        split("test", clean(200, 40) if test is None else test),
    )


def split_off(given: Splits, *names: str) -> Splits:
    """The same, but for what is said of their origin: splits of these names have no file of their own."""
    return replace(given, **{name: replace(getattr(given, name), is_split_off=True) for name in names})


def found(findings: Sequence[Finding], code: str) -> list[Finding]:
    return [finding for finding in findings if finding.code == code]


def only(findings: Sequence[Finding], code: str) -> Finding:
    [finding] = found(findings, code)
    return finding


def test_clean_data_is_only_described() -> None:
    findings = inspect(splits(), Classification.checks)
    assert [finding.code for finding in findings] == ["balance"]
    refuse_fatal(findings)


def test_one_class_is_fatal_and_names_the_classic_cause() -> None:
    sorted_head = [(text, "neg") for text, _ in clean(0, 50)]
    findings = inspect(
        splits(train=sorted_head, validation=[(t, "neg") for t, _ in clean(90, 40)]), Classification.checks
    )
    assert [f.split for f in found(findings, "single_class")] == ["train", "validation"]
    assert "the first N rows of a file that is sorted by label" in found(findings, "single_class")[0].message
    with pytest.raises(
        DataError, match=r"(?s)every row of train is 'neg'.*data\.allow: \[single_class, unseen_labels\]"
    ):
        refuse_fatal(findings)


def test_one_class_in_a_split_without_a_file_means_too_few_rows() -> None:
    one_file = split_off(splits(train=clean(0, 4), validation=clean(4, 1), test=clean(6, 1)), "validation", "test")
    for finding in found(inspect(one_file, Classification.checks), "single_class"):
        assert "split off from 6 rows, which are too few for it: name a file" in finding.message
        assert f"as `data.{finding.split}`" in finding.message
        assert "sorted" not in finding.message


def test_one_class_in_all_of_a_file_means_no_lack_of_rows() -> None:
    same = [row for row in clean(0, 12) if row[1] == "a"]
    one_file = split_off(splits(train=same[:4], validation=same[4:5], test=same[5:]), "validation", "test")
    findings = found(inspect(one_file, Classification.checks), "single_class")
    assert [finding.split for finding in findings] == ["train", "validation", "test"]
    for finding in findings:
        assert "So are all 6 rows of the file that it was split off from: name the right column" in finding.message


def test_labels_that_differ_only_in_writing() -> None:
    names = ["caf\u00e9", "cafe\u0301", "Caf\u00e9", "tea", "bar"]
    rows = [Example(text, labels=(names[n % 5],)) for n, (text, _) in enumerate(clean(0, 100))]
    finding = only(
        inspect(splits(rows, rows[:40], [*rows[40:79], Example("a b c", labels=("Tea ",))]), Classification.checks),
        "similar_labels",
    )
    assert (finding.level, finding.count) == ("warning", 5)
    assert "'Tea ' (1 row) and 'tea' (36 rows)" in finding.message
    assert not found(inspect(splits(), Classification.checks), "similar_labels")


def test_label_columns_without_rows_are_named() -> None:
    findings = inspect(splits(), Multilabel.checks, labels=("a", "b", "threat"))
    finding = only(findings, "labels_without_rows")
    assert (finding.level, finding.count) == ("warning", 1) and "no row of train has 'threat'" in finding.message
    assert only(findings, "balance").message.startswith("2 of 3 labels with rows in train, ")
    assert not found(inspect(splits(), Multilabel.checks, labels=("a", "b")), "labels_without_rows")


def test_shared_rows_are_counted_by_split_and_shown_by_row() -> None:
    train, test = clean(0, 60), clean(200, 40)
    findings = inspect(
        splits(train=train, test=[*test, train[7], (train[9][0], "other than before"[:1])]), Classification.checks
    )
    finding = only(findings, "shared_rows")
    assert (finding.level, finding.count, finding.split) == ("fatal", 2, "test")
    assert "train and test (2 rows, 4.8 % of test)" in finding.message
    assert "with other labels in the other split: 1." in finding.message
    assert finding.examples[0].startswith('train row 8 = test row 41: "w7x0 w7x1')
    assert all(len(example.split('"')[1]) <= 60 for example in finding.examples)


@pytest.mark.parametrize("code", [code for code in ALLOWABLE if code != "unlabelled"])
def test_what_is_allowed_becomes_a_warning(code: str) -> None:
    data = {
        "single_class": splits(validation=[(text, "a") for text, _ in clean(100, 40)]),
        "shared_rows": splits(test=[*clean(200, 40), clean(0, 1)[0]]),
        "unseen_labels": splits(test=[*clean(200, 40), ("a text of its own", "new")]),
        "unknown_tokens": splits(),
        "same_tokens": splits(),
        "conflicting_labels": splits(test=[(text, label) for text, _ in clean(200, 40) for label in "ab"]),
        "score_labels": splits(
            *([(text, "0.5" if label == "a" else "1") for text, label in clean(n, 40)] for n in (0, 50, 90))
        ),
    }[code]
    tokens: Any = {"unknown": {"train": 0.65}} if code == "unknown_tokens" else {}
    tokens = {"alike": {"train": 31}} if code == "same_tokens" else tokens
    assert only(inspect(data, Classification.checks, **tokens), code).level == "fatal"
    findings = inspect(data, Classification.checks, allow=[code], **tokens)
    assert only(findings, code).level == "warning"
    assert only(findings, code).message.endswith("(accepted by `data.allow`)")
    refuse_fatal(findings)


def test_texts_that_the_vocabulary_lacks() -> None:
    some = inspect(splits(), Classification.checks, unknown={"train": 0.1, "test": 0.2}, alike={"train": 30})
    assert only(some, "unknown_tokens").level == "warning" and not found(some, "same_tokens")
    assert "(train 10 %, test 20 %)" in only(some, "unknown_tokens").message
    assert not found(inspect(splits(), Classification.checks, unknown={"train": 0.04}), "unknown_tokens")
    with pytest.raises(DataError, match=r"(?s)model.name=xlm-roberta-base.*100 rows of validation \(100 %\) have"):
        refuse_fatal(
            inspect(
                splits(validation=clean(100, 100)),
                Classification.checks,
                unknown={"train": 0.9},
                alike={"validation": 100},
            )
        )


def test_every_fatal_finding_is_refused_at_once() -> None:
    rows = [(text, "a") for text, _ in clean(0, 60)]
    with pytest.raises(DataError) as caught:
        refuse_fatal(inspect(splits(train=rows, test=[*clean(200, 40), rows[0]]), Classification.checks))
    message = str(caught.value)
    assert all(code in message for code in ("single_class", "shared_rows", "unseen_labels"))
    assert message.endswith("write `data.allow: [single_class, shared_rows, unseen_labels]`")


def test_what_cannot_be_allowed_offers_no_allowance() -> None:
    findings = inspect(
        splits(test=[(" \t", label) for _, label in clean(0, 40)]), Classification.checks, allow=["empty_texts"]
    )
    assert only(findings, "empty_texts").level == "fatal"
    with pytest.raises(DataError, match=r"is `data\.text` the right column\?$"):
        refuse_fatal(findings)
    with pytest.raises(DataError, match=r"test \(test\.csv\) has none"):
        refuse_fatal(inspect(splits(test=[]), Classification.checks))


def test_blank_texts_are_named_and_are_no_duplicates() -> None:
    findings = inspect(splits(train=[*clean(0, 60), ("", "a"), ("  ", "b"), ("\n", "a")]), Classification.checks)
    finding = only(findings, "empty_texts")
    assert (finding.level, finding.count) == ("warning", 3)
    assert "(rows 61, 62, 63)" in finding.message
    assert not found(findings, "duplicates") and not found(findings, "near_duplicates")


def test_duplicates_and_conflicting_labels_are_different_findings() -> None:
    train = [*clean(0, 60), clean(3, 1)[0], clean(3, 1)[0], (clean(4, 1)[0][0], "b")]
    findings = inspect(splits(train=train), Classification.checks)
    assert only(findings, "duplicates").count == 2
    assert only(findings, "duplicates").examples[0].startswith("train rows 4, 61, 62: ")
    assert only(findings, "conflicting_labels").count == 2
    assert only(findings, "conflicting_labels").examples[0].endswith(" is a and b")


def test_row_numbers_are_given_only_where_they_are_those_of_the_file() -> None:
    given = splits(train=[*clean(0, 60), *clean(3, 1), ("", "a")], test=[*clean(200, 40), *clean(200, 1)])
    one_file = split_off(given, "validation")
    findings = inspect(one_file, Classification.checks)
    first, second = only(findings, "duplicates").examples
    assert first.startswith("train, 2 times: ") and second.startswith("test rows 1, 41: ")
    assert "empty or blank. Remove" in only(findings, "empty_texts").message


def test_pairs_are_duplicates_only_when_both_sides_are() -> None:
    premise = "the man in the red coat walks slowly over the old bridge"
    hypotheses = [" ".join(f"h{n}x{part}" for part in range(3)) for n in range(40)]
    rows = [Example(premise, hypothesis, ("ab"[n % 2],)) for n, hypothesis in enumerate(hypotheses)]
    findings = inspect(splits(train=rows, test=[*clean(200, 40), rows[0]]), Classification.checks)
    assert not found(findings, "duplicates") and not found(findings, "near_duplicates")
    assert only(findings, "shared_rows").count == 1


def test_near_duplicates_inside_and_across() -> None:
    long = [f"word{n}" for n in range(40)]
    changed = " ".join([*long[:-1], "changed"])
    train = [*clean(0, 60), (" ".join(long), "a"), (" ".join(long).upper() + "!", "a")]
    across, inside = found(
        inspect(splits(train=train, test=[*clean(200, 40), (changed, "b")]), Classification.checks), "near_duplicates"
    )
    assert "between train and test (1 row, 2.4 % of test)" in across.message
    assert across.examples[0].startswith("train row 61 ~ test row 41: ") and across.examples[0].endswith('changed"')
    assert "inside train (1 row, 1.6 % of train)" in inside.message


def test_the_last_of_many_near_duplicates_meets_the_first_split() -> None:
    words = [f"word{n}" for n in range(40)]
    near = [" ".join([*words[:-1], f"end{n}"]) for n in range(120)]
    test = [*clean(200, 40), *((text, "b") for text in near[40:])]
    findings = inspect(
        splits(train=[*clean(0, 60), *((text, "a") for text in near[:40])], test=test), Classification.checks
    )
    across, inside = found(findings, "near_duplicates")
    assert "between train and test (80 rows, 67 % of test)" in across.message
    assert "inside train (39 rows, 39 % of train), test (79 rows" in inside.message


def test_long_near_duplicates_take_little_memory() -> None:
    """Hashed shingles are 8 bytes each, and are dropped after use."""
    words = [f"w{n}" for n in range(3_000)]
    known = Words()
    keys = [known.key(Example(" ".join([*words[:n], "changed", *words[n + 1 :]]))) for n in range(60)]
    tracemalloc.start()
    pairs = similar_pairs(keys)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pairs) > 60 * 16 and peak < 20 * sum(map(len, keys))


def test_short_texts_are_near_only_when_their_words_are_equal() -> None:
    rows = [*clean(0, 60), ("Thank you!", "a"), ("thank you", "a"), ("thank me", "b"), (":)", "a"), (":(", "b")]
    assert only(inspect(splits(train=rows), Classification.checks), "near_duplicates").count == 1


def test_too_much_text_is_said_to_be_unsearched() -> None:
    finding = only([*find_duplicates(splits(), most_words=100)], "near_duplicates")
    assert finding.level == "info" and "were not looked for" in finding.message


def test_classes_that_are_missing_or_rare() -> None:
    findings = inspect(splits(train=[*clean(0, 60), ("one of a kind", "c")]), Classification.checks)
    assert only(findings, "rare_classes").message.startswith(
        "a class needs at least 2 training rows, but 1 has one (c)"
    )
    assert [f.split for f in found(findings, "missing_classes")] == ["validation", "test"]
    assert "1 of 3 classes (c)" in found(findings, "missing_classes")[0].message


def test_small_splits_make_noisy_scores() -> None:
    finding = only(inspect(splits(validation=clean(100, 20)), Classification.checks), "small_split")
    assert finding.level == "warning" and "one row moves accuracy by 5.0 %" in finding.message


def test_order_by_label_is_noticed_and_shuffled_rows_are_not() -> None:
    rows = clean(0, 200)
    assert not found(inspect(splits(train=random.Random(0).sample(rows, 200)), Classification.checks), "label_order")
    ordered = inspect(splits(train=sorted(rows, key=lambda row: row[1])), Classification.checks)
    assert "sorted by label (2 labels in 2 blocks)" in only(ordered, "label_order").message


@pytest.mark.parametrize(("long_rows", "level"), [(10, "warning"), (3, "info")])
def test_truncation_is_judged_by_its_share(long_rows: int, level: str) -> None:
    lengths = {"train": np.array([300] * long_rows + [20] * (60 - long_rows)), "test": np.array([10] * 40)}
    findings = inspect(splits(), Classification.checks, lengths=lengths, max_length=128)
    finding = only(findings, "truncation")
    assert (finding.level, finding.count) == (level, long_rows)
    assert ("About 304 tokens would hold 95 %" in finding.message) == (level == "warning")
    middle = "300" if level == "warning" else "34"
    assert f"train 20 / {middle} / 300, test 10 / 10 / 10" in only(findings, "tokens").message


@pytest.mark.parametrize("hundred", ["word " * 100, "\u8bcd" * 100])
def test_truncation_is_known_after_cutting_too(hundred: str) -> None:
    train = [(hundred + text, label) for text, label in clean(0, 20)] + clean(20, 40)
    cut = {"train": np.array([64] * 20 + [18] * 39 + [64])}
    findings = inspect(splits(train=train), Classification.checks, lengths=cut, truncated={"train": 20}, max_length=64)
    finding = only(findings, "truncation")
    assert (finding.level, finding.count) == ("warning", 20)
    assert "train 33 %. About 224 tokens would hold 95 % of the rows" in finding.message
    given = splits(train=[row for row in train for _ in range(3)])
    sample = {"train": given.train.examples[::3]}
    sampled = inspect(given, ROW_CHECKS, lengths=cut, truncated={"train": 20}, max_length=64, sample=sample)
    assert only(sampled, "truncation").message == finding.message


def test_multilabel_rows_may_have_no_label_and_one_label_may_be_all() -> None:
    rows = [Example(text, labels=("toxic",) if n % 3 == 0 else ()) for n, (text, _) in enumerate(clean(0, 300))]
    findings = inspect(splits(rows[:200], rows[200:250], rows[250:]), Multilabel.checks)
    assert not [finding for finding in findings if finding.level == "fatal"]
    always = [Example(text, labels=("x", "y")) for text, _ in clean(0, 50)]
    assert (
        "every row of train is 'x+y'"
        in only(inspect(splits(always, rows[:50], rows[50:]), Multilabel.checks), "single_class").message
    )


def test_labels_with_few_rows_in_validation_are_named() -> None:
    rows = [
        Example(text, labels=("often",) if n % 2 else ("seldom",)[: n % 20 == 0])
        for n, (text, _) in enumerate(clean(0, 300))
    ]
    data = splits(rows[:200], rows[200:280], rows[280:])
    finding = only(inspect(data, Multilabel.checks, labels=("often", "seldom", "never")), "few_positives")
    assert (finding.level, finding.count) == ("warning", 2)
    assert "2 of 3 have fewer ('never' 0, 'seldom' 4)" in finding.message
    assert not found(inspect(data, Classification.checks), "few_positives")


def test_ids_that_are_counted_per_split_are_information() -> None:
    rows = [Example(text, labels=(label,), id=str(n)) for n, (text, label) in enumerate(clean(0, 40))]
    other = [Example(text, labels=(label,), id=str(n)) for n, (text, label) in enumerate(clean(100, 40))]
    finding = only(inspect(splits(train=rows, test=other), Classification.checks), "shared_ids")
    assert finding.level == "info" and "train and test share 40): ids seem to be counted per split" in finding.message
    one_file = split_off(splits(train=rows, test=other), "test")
    finding = only(inspect(one_file, Classification.checks), "shared_ids")
    assert "share 40): in their file, one id has several texts" in finding.message


def test_fatal_findings_come_first() -> None:
    rows = [*sorted(clean(0, 60), key=lambda row: row[1]), ("", "a"), clean(0, 1)[0]]
    levels = [f.level for f in inspect(splits(train=rows, test=[*clean(200, 40), rows[0]]), Classification.checks)]
    assert levels == sorted(levels, key=["fatal", "warning", "info"].index) and len(set(levels)) == 3


@examples(0.6)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=5, max_size=14).map(" ".join), max_size=25, unique=True))
def test_similar_pairs_are_what_comparing_all_pairs_gives(texts: list[str]) -> None:
    words = Words()
    got = similar_pairs([words.key(Example(text)) for text in texts])
    shingles = [set(zip(w, w[1:], w[2:], strict=False)) for w in map(str.split, texts)]
    every = {(i, j): len(a & b) / len(a | b) for j, b in enumerate(shingles) for i, a in enumerate(shingles[:j])}
    assert all(every[pair] >= 0.8 for pair in got)
    assert all(pair in got for pair, similarity in every.items() if similarity >= 0.9)


@pytest.mark.skipif(
    not (REAL / "goemotions").is_dir(), reason="real data not there (../shared/data, $TUNERY_TEST_DATA)"
)
def test_what_fifty_thousand_real_rows_show() -> None:
    def read(name: str) -> Split:
        lines = (REAL / "goemotions" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        records = map(json.loads, lines)
        return split(name, [Example(r["text"], labels=tuple(r["labels"]), id=r["id"]) for r in records])

    data = Splits(read("train"), read("validation"), read("test"))
    findings = inspect(data, Multilabel.checks)
    assert only(findings, "shared_rows").count == 43 + 37 + 13
    assert {f.code for f in findings} == {
        "shared_rows",
        "conflicting_labels",
        "duplicates",
        "near_duplicates",
        "few_positives",
        "balance",
    }


def test_rows_without_labels_are_fit_for_a_task_that_needs_none() -> None:
    rows = [Example(text) for text, _ in clean(0, 60)]
    bare = splits(rows, [Example(text) for text, _ in clean(100, 40)], [Example(text) for text, _ in clean(200, 40)])
    assert not [finding for finding in inspect(bare, ROW_CHECKS) if finding.level == "fatal"]
    assert len(found(inspect(bare, Classification.checks), "single_class")) == 3
