"""A word and its tag in each line: every scheme gives the spans that were written, and broken lines are named."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.reading.load import Table, read_file
from tunery.errors import DataError

LABELS = ("PER", "ORG")
Spans = list[tuple[int, int, str]]
"""First word, word after the last, label."""


def read(path: Path, content: str, **keys: Any) -> Table:
    path.write_text(content, encoding="utf-8")
    return read_file(path, **keys)


def tags(words: int, spans: Spans, scheme: str) -> list[str]:
    """What a tool that writes this scheme gives."""
    written = ["O"] * words
    for place, (start, end, label) in enumerate(spans):
        follows = place > 0 and spans[place - 1][1:] == (start, label)
        for word in range(start, end):
            first, last = word == start, word == end - 1
            letter = {
                "BIO": "B" if first else "I",
                "BIOES": "S" if first and last else "B" if first else "E" if last else "I",
                "BILOU": "U" if first and last else "B" if first else "L" if last else "I",
                "IOB1": "B" if first and follows else "I",
            }[scheme]
            written[word] = f"{letter}-{label}"
    return written


@st.composite
def texts(draw: st.DrawFn) -> list[tuple[list[str], Spans]]:
    """Texts with spans that do not overlap; those that touch are of one label or of two."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        words = draw(
            st.lists(st.sampled_from(["a", "Bonn", "O", "#", "don't", "Zürich", "世界"]), min_size=1, max_size=9)
        )
        bounds = sorted(draw(st.sets(st.integers(0, len(words)), max_size=6)))
        spans = [
            (start, end, draw(st.sampled_from(LABELS)))
            for start, end in zip(bounds, bounds[1:], strict=False)
            if draw(st.booleans())
        ]
        made.append((words, spans))
    return made


@given(texts(), st.sampled_from(["BIO", "BIOES", "BILOU", "IOB1"]), st.sampled_from(["\t", " ", " NN _ "]))
def test_every_scheme_gives_the_spans_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[list[str], Spans]], scheme: str, cut: str
) -> None:
    blocks = [
        "\n".join(f"{word}{cut}{tag}" for word, tag in zip(words, tags(len(words), spans, scheme), strict=True))
        for words, spans in made
    ]
    content = "-DOCSTART- -X- O O\n\n# text = x\n" + "\n\n\n".join(blocks) + "\n"
    rows = read(tmp_path_factory.mktemp("tagged") / "a.conll", content).rows
    assert len(rows) == len(made)
    for row, (words, spans) in zip(rows, made, strict=True):
        assert row["text"] == " ".join(words)
        marked = [(row["text"][start:end], label) for start, end, label in row.get("evidence", [])]
        assert marked == [(" ".join(words[start:end]), label) for start, end, label in spans]
        assert row.get("labels", []) == list(dict.fromkeys(label for *_, label in spans))


def test_tags_without_labels_mark_spans_only(tmp_path: Path) -> None:
    table = read(tmp_path / "a.tsv", "You\tO\nutter\tB\nfool\tI\n\nNice\tO\nday\tO\n")
    assert table.rows == [{"text": "You utter fool", "evidence": [[4, 14]]}, {"text": "Nice day", "evidence": []}]
    assert "a tag for each word (BIO), which is read as evidence: 1 spans in 2 texts" in table.notes[0]


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    table = read(tmp_path / "a.bio", "token\ttag\nAnn\tB-PER\nat\tO\nBonn\tI-LOC\n\nBob\tB-PER\n")
    assert [row["labels"] for row in table.rows] == [["PER", "LOC"], ["PER"]]
    assert table.notes == (
        "it has a tag for each word (BIO), which is read as evidence: 3 spans in 2 texts (PER 2, LOC 1); a text is its "
        "words with one space between them",
        "1 spans begin with I, E or L in place of B; they are taken as spans",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("EU B-ORG\nrejects\n", "but line 2 has only 'rejects'; add what is missing (O where the word is in no span)"),
        (
            "EU B-ORG\n\nlamb X-FOOD\n",
            "but line 3 has 'X-FOOD'; a tag is O, or one of B, I, E, S, L and U",
        ),
        ("EU\tB-ORG\n\tO\n", "but line 2 has only 'O'"),
        ("EU B-ORG\n" * 9000, "blank lines must separate its texts, but there is none"),
        ("EU B-ORG\nrejects B\n", "tags must name their labels, as B-PER does, but those of 1 spans name none"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path / "a.conll", content)
    assert said in str(refused.value)


def test_columns_that_a_config_names_are_those_of_a_table(tmp_path: Path) -> None:
    content = "\n".join(f"word{n}\t{random.Random(n).choice('BIO')}" for n in range(30)) + "\n"
    assert [*read(tmp_path / "a.tsv", content, columns=("text", "grade")).rows[0]] == ["text", "grade"]
    with pytest.raises(DataError, match="leave `data.columns` out"):
        read(tmp_path / "a.iob", content, columns=("text", "grade"))


def test_lists_of_words_and_tags_are_texts_with_evidence(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "tokens": ["Ann", "left", "Bonn"], "pos_tags": ["X", "Y", "X"], "ner_tags": ["B-PER", "O", "B-LOC"]},
        {"id": 8, "tokens": [], "pos_tags": [], "ner_tags": []},
    ]
    table = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert table.rows == [
        {"id": 7, "text": "Ann left Bonn", "labels": ["PER", "LOC"], "evidence": [[0, 3, "PER"], [9, 13, "LOC"]]},
        {"id": 8, "text": "", "labels": [], "evidence": []},
    ]
    assert table.notes[0].startswith("it has a tag for each word (BIO), which is read as evidence: 2 spans in 2 texts")
    rows[1]["ner_tags"] = ["O"]
    with pytest.raises(DataError, match="each word must have its tag, but row 2 has 0 in 'tokens' and 1 in 'ner_tags'"):
        read(tmp_path / "b.jsonl", "\n".join(map(json.dumps, rows)))
    numbers = [{"tokens": ["Ann", "left"], "ner_tags": [1, 0]}]
    assert read(tmp_path / "c.jsonl", json.dumps(numbers[0])).rows == numbers
