"""Whatever a data file holds becomes examples, or is refused with its name."""

import io
import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import damaged, odd, read_or_refused, recoded
from fast_and_slow import examples
from tunery.data.first_config.infer import guess
from tunery.data.first_config.template import render
from tunery.data.reading.cells import BadCell, is_listed, label_of, names_of
from tunery.data.reading.load import PARSERS
from tunery.schema.reading.document import validate
from tunery.tasks.table import read_splits

ROWS: Final[list[dict[str, Any]]] = [
    {"id": n, "text": f"Grüße, “{n}”\t\n", "label": "ab"[n % 2], "labels": ["x", "y"][: n % 3], "score": n / 3}
    for n in range(12)
]


def table(delimiter: str) -> bytes:
    lines = [delimiter.join(["id", "text", "label", "labels"])]
    for n in range(12):
        lines.append(delimiter.join([str(n), f'"a ""{n}"" ü"', "ab"[n % 2], '"[""x""]"' if n % 2 else "x|y"]))
    return "\n".join(lines).encode()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


def workbook() -> bytes:
    buffer, book = io.BytesIO(), openpyxl.Workbook()
    for line in table("\t").decode().splitlines():
        book.active.append(line.split("\t"))
    book.save(buffer)
    return buffer.getvalue()


TAGGED: Final = "\n\n".join(f"Grüße O\n“{n}” B-a\nist I-a\nda O" for n in range(12)).encode()
FILES: Final = {
    ".csv": table(","),
    ".tsv": table("\t"),
    ".tab": table("\t"),
    ".txt": table(";"),
    ".xlsx": workbook(),
    ".ndjson": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
    ".jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
    ".json": json.dumps(ROWS).encode(),
    ".parquet": parquet(),
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2"), TAGGED),
}


def read(path: Path) -> None:
    for task, data in (
        ("classification", {"id": "id"}),
        ("multilabel", {"id": "id"}),
        ("criteria_evidence", {"evidence": "evidence", "labels": None}),
    ):
        config = validate({"task": task, "data": {"train": str(path), **data}})
        read_or_refused(lambda config=config: read_splits(config.data, config.task, seed=0), path.name, "split off")
    read_or_refused(lambda: render(guess(path), path.parent).encode(), path.name, "column", "label")


def test_every_kind_of_file_is_damaged_here() -> None:
    assert FILES.keys() == PARSERS.keys()


@pytest.mark.parametrize("suffix", FILES)
@examples(0.3)
@given(st.data())
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    text = suffix not in (".parquet", ".xlsx")
    path.write_bytes(data.draw(damaged(FILES[suffix]) | (recoded(FILES[suffix]) if text else st.binary(max_size=64))))
    read(path)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@examples(0.5)
@given(odd(ROWS))
def test_odd_values(tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / f"odd{suffix}"
    path.write_bytes(content if suffix == ".json" else content[1:-1].replace(b"}, {", b"}\n{"))
    read(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@examples(0.3)
@given(st.lists(st.text(), min_size=1, max_size=5), st.integers(0, 3))
def test_odd_cells(tmp_path_factory: pytest.TempPathFactory, suffix: str, cells: list[str], column: int) -> None:
    path = tmp_path_factory.getbasetemp() / f"cells{suffix}"
    rows = [line.split(b"," if suffix == ".csv" else b"\t") for line in FILES[suffix].splitlines()]
    for number, cell in enumerate(cells, start=1):
        rows[number][column] = b'"' + cell.replace('"', '""').encode("utf-8", "replace") + b'"'
    path.write_bytes(b"\n".join((b"," if suffix == ".csv" else b"\t").join(row) for row in rows))
    read(path)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    for suffix in FILES:
        (tmp_path / f"folder{suffix}").mkdir()
        read(tmp_path / f"folder{suffix}")


LETTERS: Final = "[](){}'\"\\,: 01abx{N}u"
FORMS: Final = ("[{}]", "{}", "['{}' 'b']", "('{}', 'b')")


@examples(1)
@given(st.text(LETTERS, max_size=20), st.sampled_from(FORMS))
def test_odd_lists(text: str, form: str) -> None:
    for read in (label_of, partial(names_of, separator="|"), is_listed):
        with suppress(BadCell):
            read(form.format(text))
