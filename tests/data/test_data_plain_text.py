"""Files of plain text: what is one text of them, and the splits of a file that has few."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.examples import Example, Splits
from tunery.data.reading.documents import documents
from tunery.data.reading.load import read_file
from tunery.data.splits import load_splits
from tunery.data.splitting import by_label, cut_off
from tunery.errors import DataError
from tunery.schema.config.data import Data, Documents

PLAY = "KING:\r\n  So be it,\tsay I.\r\n\r\n \t\r\nQUEEN:\r\nNo; not, so.\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("cut", "texts"),
    [
        ("file", ["KING:\n  So be it,\tsay I.\n\n \t\nQUEEN:\nNo; not, so.\n\n\n"]),
        ("paragraph", ["KING:\n  So be it,\tsay I.", "QUEEN:\nNo; not, so."]),
        ("line", ["KING:", "  So be it,\tsay I.", "QUEEN:", "No; not, so."]),
    ],
)
@pytest.mark.parametrize("name", ["play.txt", "play", "play.md", "play.txt.gz"])
def test_a_file_of_plain_text_is_cut_as_the_config_says(
    cut: Documents, texts: list[str], name: str, tmp_path: Path
) -> None:
    content = PLAY.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table = read_file(tmp_path / name, documents=cut)
    assert table.rows == [{"text": text} for text in texts]
    assert f"data.documents: {cut}" in table.notes[0]


def test_a_table_is_a_table_whatever_texts_are(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tn\nred door\t1\nblue door\t2\n")
    assert read_file(tmp_path / "a.tsv", documents="file").rows == [
        {"text": "red door", "n": "1"},
        {"text": "blue door", "n": "2"},
    ]


def test_a_column_may_have_another_name_but_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("red door\n")
    assert read_file(tmp_path / "a.txt", columns=("body",), documents="line").rows == [{"body": "red door"}]
    with pytest.raises(DataError, match=r"must name one column for files of plain text, but names 2"):
        read_file(tmp_path / "a.txt", columns=("a", "b"), documents="line")


@pytest.mark.parametrize(("content", "problem"), [(b" \n\n", "is empty"), (b"caf\xe9\n", "data.encoding: cp1252")])
def test_a_file_without_text_and_one_in_another_encoding_are_refused(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    for cut in ("file", "paragraph", "line"):
        with pytest.raises(DataError, match=problem):
            read_file(tmp_path / "a.txt", documents=cut)


def split(tmp_path: Path, text: str, **keys: object) -> Splits:
    (tmp_path / "a.txt").write_text(text)
    data = Data(train=str(tmp_path / "a.txt"), **keys)
    return load_splits(data, reader=documents(data), strata=by_label, seed=0)


def test_the_end_of_one_text_becomes_validation_and_test(tmp_path: Path) -> None:
    paragraphs = [f"Speaker {k}:\nWhat a day, number {k}." for k in range(100)]
    splits = split(tmp_path, "\n\n".join(paragraphs))
    texts = {part.name: [example.text for example in part.examples] for part in splits}
    assert texts == {
        "train": ["\n\n".join(paragraphs[:80])],
        "validation": ["\n\n".join(paragraphs[80:90])],
        "test": ["\n\n".join(paragraphs[90:])],
    }
    assert (
        splits.test.is_split_off and splits.test.source == "split off from train (10 % of its characters, at its end)"
    )
    assert any("too few texts (1)" in note for note in splits.notes)


def test_texts_that_are_enough_are_split_off_whole(tmp_path: Path) -> None:
    lines = [f"line {k} is here" for k in range(20)]
    splits = split(tmp_path, "\n".join(lines), documents="line")
    parts = [[example.text for example in part.examples] for part in splits]
    assert sorted(text for part in parts for text in part) == sorted(lines)
    assert [len(part) for part in parts] == [16, 2, 2]


def test_a_text_that_is_too_short_to_be_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"validation cannot be split off .* have 4 characters.*data\.validation"):
        split(tmp_path, "red\n")


TEXTS = st.lists(st.text("ab .\n", min_size=1, max_size=60), min_size=1, max_size=5)


@given(TEXTS, st.sampled_from([{"test": 0.1}, {"validation": 0.1, "test": 0.2}, {"validation": 0.3}]))
def test_every_character_is_in_one_split_and_all_are_in_their_order(texts: list[str], shares: dict[str, float]) -> None:
    splits = cut_off([Example(text) for text in texts], shares)
    assert list(splits) == ["train", *shares]
    there = "".join(example.text for examples in splits.values() for example in examples)
    assert "".join(there.split()) == "".join("".join(texts).split())


@given(st.integers(50, 400), st.sampled_from(["\n\n", "\n", " "]), st.floats(0.05, 0.3))
def test_a_text_is_cut_near_the_wanted_place_between_its_parts(count: int, between: str, share: float) -> None:
    parts = [f"w{k:03}" for k in range(count)]
    splits = cut_off([Example(between.join(parts))], {"test": share})
    assert splits["train"][0].text.split() + splits["test"][0].text.split() == parts
    assert abs(len(splits["test"][0].text.split()) - share * count) <= 2
