"""What `tunery init` finds out about files with evidence: columns of spans, the labels beside them, the unit."""

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunery.data.first_config.infer import guess, render
from tunery.errors import DataError

WORDS = (
    *("lamp", "door", "river", "stone", "bread", "cloud", "paper", "green", "seven"),
    *("quick", "table", "window", "morning", "engine", "garden", "music"),
)
Row = dict[str, Any]
Spans = list[tuple[int, int]]


def sentences(number: int, count: int = 4) -> list[str]:
    """Different ones for every number."""
    chosen = random.Random(number)
    return [" ".join(chosen.choices(WORDS, k=5)).capitalize() + "." for _ in range(count)]


def text(number: int) -> str:
    return " ".join(sentences(number))


def first_sentence(number: int) -> Spans:
    return [(0, len(sentences(number)[0]))]


def first_words(number: int) -> Spans:
    return [(0, len(" ".join(sentences(number)[0].split()[:2])))]


def jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def table(path: Path, rows: Sequence[Row]) -> Path:
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, [*rows[0]])
    writer.writeheader()
    writer.writerows(
        {name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in r.items()} for r in rows
    )
    path.write_text(written.getvalue())
    return path


def offsets(spans: Spans) -> list[int]:
    return [place for start, end in spans for place in range(start, end)]


SHAPES: dict[str, tuple[Callable[[int], Any], bool]] = {
    # a cell, and whether it names labels
    "pairs": (lambda n: [list(span) for span in first_words(n)], False),
    "triples": (lambda n: [[start, end, "ab"[n % 2]] for start, end in first_words(n)], True),
    "objects": (lambda n: [{"start": a, "end": b, "text": text(n)[a:b]} for a, b in first_words(n)], False),
    "objects with labels": (lambda n: [{"start": a, "end": b, "label": "ab"[n % 2]} for a, b in first_words(n)], True),
    "numbers of characters": (lambda n: offsets([(0, 4), (20, 29)]), False),
}


@pytest.mark.parametrize("write", [jsonl, table])
@pytest.mark.parametrize("shape", SHAPES)
def test_evidence_in_every_shape_and_format(tmp_path: Path, shape: str, write: Callable[..., Path]) -> None:
    cell, names_labels = SHAPES[shape]
    suffix = {jsonl: "jsonl", table: "csv"}[write]
    rows = [{"post": text(n), "label": "ab"[n % 2], "rationale": cell(n)} for n in range(40)]
    seen = guess(write(tmp_path / f"train.{suffix}", rows))
    assert (seen.kind, seen.text, seen.label, seen.counts) == (
        "criteria_evidence",
        "post",
        ("label",),
        {"a": 20, "b": 20},
    )
    assert seen.evidence is not None
    assert (seen.evidence.column, seen.evidence.exclusive, seen.evidence.unit) == ("rationale", True, "token")
    alone = guess(write(tmp_path / f"alone.{suffix}", [{"post": r["post"], "rationale": r["rationale"]} for r in rows]))
    assert alone.label == () and alone.evidence is not None and not alone.evidence.exclusive
    assert alone.counts == ({"a": 20, "b": 20} if names_labels else {"evidence": 40})
    assert "  labels: null" in render(alone, tmp_path)


def test_any_number_of_labels_and_rejected_spans(tmp_path: Path) -> None:
    rows = [
        {
            "text": text(n),
            "labels": ["x", "y"][: n % 3],
            "evidence": [[*first_sentence(n)[0], name] for name in ["x", "y"][: n % 3]],
            "rejected": [[*first_sentence(n)[0], "y"]] if n % 3 == 1 else [],
        }
        for n in range(60)
    ]
    seen = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert seen.evidence is not None and seen.label == ("labels",)
    assert (seen.evidence.rejected, seen.evidence.exclusive, seen.evidence.unit) == ("rejected", False, "sentence")
    assert any("100 % of the spans in train are whole sentences" in note for note in seen.notes)


def test_labels_that_are_not_those_of_the_spans_are_not_taken(tmp_path: Path) -> None:
    rows = [{"text": text(n), "topic": "uv"[n % 2], "spans": [[*first_words(n)[0], "PER"]]} for n in range(40)]
    seen = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert seen.label == () and seen.counts == {"PER": 40}
    assert "'topic' is not used: spans name labels of their own" in seen.notes


def test_labels_of_rows_are_taken_where_the_spans_name_the_same(tmp_path: Path) -> None:
    def rows(labels: Callable[[int], str]) -> list[Row]:
        return [{"text": text(n), "label": labels(n), "spans": [[*first_words(n)[0], "ab"[n % 2]]]} for n in range(40)]

    same = guess(jsonl(tmp_path / "same.jsonl", rows(lambda n: "ab"[n % 2])))
    assert same.label == ("label",) and same.evidence is not None and same.evidence.exclusive
    other = guess(jsonl(tmp_path / "other.jsonl", rows(lambda n: "ab"[n // 2 % 2])))
    assert other.label == () and other.evidence is not None and not other.evidence.exclusive


def test_annotation_is_guessed_with_its_reason(tmp_path: Path) -> None:
    def rows(start: int, spans: Callable[[int], Spans], **label: str) -> list[Row]:
        return [{"text": text(n), **label, "spans": spans(n)} for n in range(start, start + 40)]

    path = jsonl(tmp_path / "train.jsonl", rows(0, first_words))
    alone = guess(path)
    assert alone.evidence is not None and alone.evidence.annotation == "exhaustive"
    jsonl(tmp_path / "test.jsonl", rows(100, lambda n: [(0, len(text(n)))]))
    beside = guess(path)
    assert beside.evidence is not None and beside.evidence.annotation == "partial"
    assert "test is marked more densely: not all of it may be marked in train" in beside.evidence.why
    labelled = [{**row, "label": "ab"[n % 2]} for n, row in enumerate(rows(0, first_words))]
    exclusive = guess(jsonl(tmp_path / "a.jsonl", labelled))
    assert exclusive.evidence is not None and exclusive.evidence.annotation == "partial"
    assert "a text usually has more reasons for its label" in exclusive.evidence.why


def test_numbers_that_are_no_spans_of_the_text_are_no_evidence(tmp_path: Path) -> None:
    rows = [{"text": text(n), "label": "ab"[n % 2], "boxes": [[n, 4000 + n]]} for n in range(40)]
    seen = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert (seen.kind, seen.evidence) == ("classification", None)
    assert "'boxes' holds ranges of characters and is not used: they do not lie within the text" in seen.notes


def test_evidence_of_words_gets_more_weight(tmp_path: Path) -> None:
    for spans, wanted in ((first_words, True), (first_sentence, False)):
        rows = [{"text": text(n), "evidence": spans(n)} for n in range(30)]
        config = render(guess(jsonl(tmp_path / "a.jsonl", rows)), tmp_path)
        assert ("lambda_class: 0.5" in config and "lambda_span: 2.0" in config) is wanted


def test_rows_of_several_windows_make_smaller_steps(tmp_path: Path) -> None:
    seen = {}
    for spans in (first_sentence, first_words):
        for count in (4, 100, 400):
            rows = [{"text": " ".join(sentences(n, count)), "evidence": spans(n)} for n in range(30)]
            config = render(guess(jsonl(tmp_path / "a.jsonl", rows)), tmp_path)
            (line,) = (line for line in config.splitlines() if line.startswith("  batch_size: "))
            seen[spans.__name__, count] = int(line.split()[1])
    assert [seen["first_sentence", count] for count in (4, 100, 400)] == [16, 8, 4]
    assert [seen["first_words", count] for count in (4, 100, 400)] == [16, 4, 2]


def test_a_mistake_in_a_column_that_is_named_after_evidence_is_told_and_not_left_out(tmp_path: Path) -> None:
    rows = [{"text": text(n), "label": "ab"[n % 2], "evidence": [[0, 4000 if n < 4 else 3]]} for n in range(10)]
    with pytest.raises(DataError, match=r"row 1: column 'evidence' must hold spans with whole numbers"):
        guess(jsonl(tmp_path / "a.jsonl", rows))


def test_an_id_that_each_file_counts_anew_is_none(tmp_path: Path) -> None:
    for name, start in (("test", 100), ("train", 0)):
        rows = [{"id": n, "text": text(start + n), "spans": first_words(start + n)} for n in range(40)]
        path = jsonl(tmp_path / f"{name}.jsonl", rows)
    assert guess(path).id is None
    (tmp_path / "test.jsonl").unlink()
    assert guess(path).id == "id"


def test_evidence_of_two_texts_is_not_used(tmp_path: Path) -> None:
    rows = [{"text_a": text(n), "text_b": text(n + 50), "label": n % 2, "spans": first_words(n)} for n in range(40)]
    seen = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert (seen.kind, seen.text_pair) == ("classification", "text_b")
    assert "'spans' holds ranges of characters and is not used: evidence is of one text in one column" in seen.notes


def test_what_is_asked_for_goes_before_what_is_seen(tmp_path: Path) -> None:
    rows = [{"text": text(n), "label": "ab"[n % 2], "spans": first_words(n)} for n in range(40)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    plain = guess(path, kind="classification")
    assert (
        plain.evidence is None
        and "'spans' holds ranges of characters and is not used: another task is asked for" in plain.notes
    )
    with pytest.raises(
        DataError, match=r"'spans' holds ranges of characters of the text \(evidence\)\. Leave --label out"
    ):
        guess(path, label="spans")
    without = jsonl(tmp_path / "b.jsonl", [{"text": row["text"], "label": row["label"]} for row in rows])
    with pytest.raises(DataError, match="one column must hold the evidence of one text, as a list of"):
        guess(without, kind="criteria_evidence")


POST_ROWS = [{"post_id": f"p{n}", "text": text(n)} for n in range(60)]


def judgements(start: int, count: int) -> list[Row]:
    """Each second post has a symptom, each third a rejected sentence."""
    rows = [
        {"post_id": f"p{n}", "sentence_id": f"p{n}-{k}", "sentence_text": sentences(n)[k], "DSM5_symptom": name}
        | {"status": str(int(k == 0)), "explanation": "said"}
        for n in range(start, start + count)
        for k, name in enumerate(("FATIGUE", "ANHEDONIA", "SPECIAL_CASE"))
        if n % (k + 2) == 0
    ]
    return rows


def redsm5(folder: Path) -> Path:
    """Two splits of posts with their annotated sentences; returns the training posts."""
    for name, start, count in (("train", 0, 40), ("test", 40, 20)):
        table(folder / f"{name}_posts.csv", POST_ROWS[start : start + count])
        table(folder / f"{name}_annotations.csv", judgements(start, count))
    return folder / "train_posts.csv"


def test_posts_and_their_annotated_sentences(tmp_path: Path) -> None:
    posts = redsm5(tmp_path)
    seen = guess(posts)
    assert seen == guess(tmp_path) == guess(tmp_path / "train_annotations.csv")
    assert (seen.kind, seen.text, seen.label, seen.id) == ("criteria_evidence", "text", (), "post_id")
    assert seen.counts == {"FATIGUE": 20} and {*seen.files} == {"train", "test"}
    assert seen.evidence is not None
    assert [file.name for file in seen.evidence.files] == ["train_annotations.csv", "test_annotations.csv"]
    assert (seen.evidence.unit, seen.evidence.ignored) == ("sentence", ("SPECIAL_CASE",))
    config = render(seen, tmp_path)
    assert "\n  annotations:" in config and "\n    - train_annotations.csv\n    - test_annotations.csv\n" in config
    assert (
        "\n  ignore_labels: [SPECIAL_CASE]" in config
        and "label: FATIGUE, description: 'The writer" in config.replace('"', "'")
    )
    plain = [{**row, "label": "ab"[n % 2]} for n, row in enumerate(POST_ROWS)]
    other = guess(table(tmp_path / "posts.csv", plain))
    assert (other.kind, other.evidence) == ("classification", None)


def test_a_single_pair_in_a_folder_is_found_by_its_names(tmp_path: Path) -> None:
    table(tmp_path / "redsm5_posts.csv", POST_ROWS)
    table(tmp_path / "redsm5_annotations.csv", judgements(0, 60))
    seen = guess(tmp_path)
    assert seen.files["train"].name == "redsm5_posts.csv" and seen.evidence is not None and seen.splits == ("train",)
