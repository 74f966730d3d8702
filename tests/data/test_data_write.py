"""What is written is read back."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tunery.data.reading.cells import joined, names_of
from tunery.data.reading.load import read_file
from tunery.data.reading.write import WRITERS, rounded

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
NAMES = st.lists(CELLS.map(str.strip).filter(bool), max_size=4, unique=True)


@pytest.mark.parametrize("suffix", WRITERS)
@given(cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
@example(cells=[('say "hi"', "a;b"), ("two\nlines", "or\rso"), ("", "a,b")])
def test_texts_come_back(suffix: str, cells: list[tuple[str, str]]) -> None:
    """In a tsv, a tab and a line break in one cell can look like two lines: no reader can tell."""
    assume(suffix != ".tsv" or not any("\t" in text for cell in cells for text in cell))
    rows = [{"text": text, "note": note} for text, note in cells]
    with TemporaryDirectory() as folder:
        path = Path(folder, f"rows{suffix}")
        path.write_bytes(WRITERS[suffix](rows).encode())
        assert read_file(path).rows == rows


@given(names=NAMES, separator=st.sampled_from(["|", ",", " "]))
@example(names=["a|b", "c"], separator="|")
@example(names=["[x"], separator="|")
def test_labels_in_one_cell_come_back(names: list[str], separator: str) -> None:
    assert names_of(joined(names, separator=separator), separator=separator) == tuple(names)


def test_labels_in_one_cell_are_written_as_most_files_have_them() -> None:
    assert joined(["joy", "anger"], separator="|") == "joy|anger" and joined([], separator="|") == ""


def test_half_of_a_surrogate_pair_is_written_as_an_escape_and_only_there() -> None:
    lines = WRITERS[".jsonl"]([{"text": "\ud83d é"}, {"text": "é"}]).splitlines()
    assert lines == ['{"text": "\\ud83d \\u00e9"}', '{"text": "é"}'] and json.loads(lines[0])["text"] == "\ud83d é"


def test_probabilities_keep_six_digits() -> None:
    assert [rounded(p) for p in (0.123456789, 1e-9 / 3, 1.0)] == [0.123457, 3.33333e-10, 1.0]
