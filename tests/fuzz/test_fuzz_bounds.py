"""A reader takes at most 2 GB, and 20 seconds of one processor, for any 50 MB: it reads or refuses them."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

pytestmark = pytest.mark.slow

SIZE: Final = 50_000_000
MOST_SECONDS: Final = 20
MOST_BYTES: Final = 2_000_000_000


def times(piece: bytes, *, before: bytes = b"", after: bytes = b"", at_most: int = SIZE) -> Callable[[], bytes]:
    """The piece over and over, until there are 50 MB, but at most so often."""
    return lambda: before + piece * min(at_most, SIZE // len(piece)) + after


def numbered(form: bytes, *, before: bytes = b"", after: bytes = b"", between: bytes = b"") -> Callable[[], bytes]:
    """The form with 0, 1, 2, … in it, until there are 50 MB."""
    count = SIZE // (len(form) + len(between) + 5)
    return lambda: before + between.join(form % number for number in range(count)) + after


def parquet(columns: Callable[[], dict[str, Any]]) -> Callable[[], bytes]:
    """A parquet file that is packed as small as can be."""

    def packed() -> bytes:
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns()), buffer, compression="zstd")
        return buffer.getvalue()

    return packed


def few_values_said(packed: Callable[[], bytes], there: int) -> Callable[[], bytes]:
    """The parquet file with metadata that say 2 where they said how many values are there."""

    def changed() -> bytes:
        content = packed()
        begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        metadata = content[begin:-8].replace(_varint(there, 4), _varint(2, 4))
        return content[:begin] + metadata + content[-8:]

    return changed


def _varint(number: int, size: int) -> bytes:
    """As Thrift's compact protocol writes it, in so many bytes."""
    return bytes(2 * number >> 7 * place & 127 | (128 if place < size - 1 else 0) for place in range(size))


def repeated(text: str, rows: int) -> Any:
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(rows, dtype=np.int32)), [text])


READ: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "rows of ordinary length": (
        "a.csv",
        numbered(b"%d,the words of a review that somebody wrote about some book\n", before=b"label,text\n"),
    ),
    "short rows, nearly too many": (
        "a.csv",
        times(b"ab,cd,ef,gh,ij,kl,mn,op\n", before=b"a,b,c,d,e,f,g,h\n", at_most=1_999_999),
    ),
    "ordinary, quoted": ("a.tsv", numbered(b'%d\t"the words of a ""review"" of a book"\n', before=b"label\ttext\n")),
    "short rows, quoted": (
        "a.tsv",
        times(b'"ab"\tcd\tef\tgh\tij\tkl\tmn\n', before=b"a\tb\tc\td\te\tf\tg\n", at_most=1_999_999),
    ),
    "objects of ordinary length": ("a.jsonl", numbered(b'{"label": %d, "text": "the words of a review of a book"}\n')),
    "short objects": ("a.jsonl", times(b'{"ab":"cd","e":["fg"]}\n', at_most=1_999_999)),
    "objects in a list": (
        "a.json",
        numbered(b'{"label": %d, "text": "a review"}', before=b"[", between=b",", after=b"]"),
    ),
    "an object of many keys": ("a.jsonl", numbered(b'"%d":1', before=b"{", between=b",", after=b"}")),
    "a cell of many lists": ("a.json", times(b"[],", before=b'[{"a":[', after=b"1]}]")),
    "a million texts": (
        "a.parquet",
        parquet(lambda: {"text": [f"text {n}" for n in range(10**6)], "label": ["a", "b"] * 500_000}),
    ),
}
REFUSED: Final[dict[str, tuple[str, Callable[[], bytes], str]]] = {
    "rows of one letter": ("a.csv", times(b"a\n", before=b"b\n"), "2,000,000 rows"),
    "a header again and again": ("a.csv", times(b"a\n"), "no rows"),
    "quoted rows of one letter": ("a.tsv", times(b"a\n", before=b'"b"\n'), "2,000,000 rows"),
    "a header of many names": ("a.csv", numbered(b"%d", between=b","), "no rows"),
    "a row of many cells": ("a.csv", times(b"x,", before=b"a,b\n"), "line 2 has"),
    "nothing but quotes": ("a.csv", times(b'"'), "no rows"),
    "empty lines": ("a.jsonl", times(b"\n", before=b"{}\n{\n"), "line 2 is not JSON"),
    "empty objects in lines": ("a.jsonl", times(b"{}\n"), "2,000,000 rows"),
    "empty objects": ("a.json", times(b"{},", before=b"[", after=b"{}]"), "2,000,000 rows"),
    "numbers": ("a.json", times(b"1,", before=b"[", after=b"1]"), "must be a JSON object"),
    "a long number": ("a.json", times(b"9", before=b"[", after=b"]"), "digits"),
    "lists in lists": ("a.json", times(b"["), "too deeply"),
    "objects in objects": ("a.json", times(b'{"a":'), "too deeply"),
    "a duplicate key": (
        "a.jsonl",
        numbered(b'"%d":1', before=b'{"a":1,', between=b",", after=b',"a":1}'),
        "'a'",
    ),
    "a text in many rows": ("a.parquet", parquet(lambda: {"text": repeated("a review " * 50, 1_900_000)}), "500 MB"),
    "a long text in some rows": ("a.parquet", parquet(lambda: {"text": repeated("a" * 10**7, 1000)}), "500 MB"),
    "a text in lists": (
        "a.parquet",
        parquet(lambda: {"a": pyarrow.ListArray.from_arrays([0, 10**6], repeated("a review " * 100, 10**6))}),
        "500 MB",
    ),
    "one cell": ("a.csv", times(b"x", before=b"text\n"), "10,000,000 characters"),
    "long texts": ("a.parquet", parquet(lambda: {"text": ["x" * 10**8] * 6}), "500 MB"),
    "too many rows": ("a.parquet", parquet(lambda: {"text": repeated("a", 3_000_000)}), "3,000,000 rows"),
    "a long list": (
        "a.parquet",
        parquet(lambda: {"a": pyarrow.ListArray.from_arrays([0, 3 * 10**7], np.zeros(3 * 10**7, dtype=np.int8))}),
        "30,000,000 values",
    ),
    "a long list with metadata that say it is short": (
        "a.parquet",
        few_values_said(
            parquet(lambda: {"a": pyarrow.ListArray.from_arrays([0, 3 * 10**7], repeated("a", 3 * 10**7))}), 3 * 10**7
        ),
        "this has more",
    ),
    "many keys of a config": ("config.yaml", numbered(b"k%d: 1\n"), "1,000,000 bytes"),
    "a long override": ("override", times(b"x", before=b"name="), "1,000,000"),
    "a card of many labels": ("tunery.json", times(b"1,", before=b'{"labels":[', after=b"1]}"), "tunery.json"),
    "an adapter of many lists": (
        "tunery_adapter.json",
        times(b"[],", before=b'{"peft":{"a":[', after=b"1]}}"),
        "1,000,000",
    ),
    "a record of many notes": ("result.json", times(b"1,", before=b'{"notes":[', after=b"1]}"), "result.json"),
    "a record of many objects": ("study.json", times(b"{},", before=b'{"trials":[', after=b"{}]}"), "study.json"),
    "a record of many lists": (
        "comparison.json",
        times(b"[],", before=b'{"cells":[', after=b"[]]}"),
        "comparison.json",
    ),
    "a record that is deep": ("result.json", times(b"["), "result.json"),
    "an empty line of metrics": ("metrics.jsonl", times(b"\n"), "line 1"),
}


def spent(path: Path) -> dict[str, Any]:
    reader = {"tunery": "card", "tunery_adapter": "adapter", "a": "data"}.get(path.stem, path.stem)
    command = [sys.executable, Path(__file__).parents[1] / "bounded.py", reader, path]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["seconds"] < MOST_SECONDS
    assert found["bytes"] < MOST_BYTES
    return found


@pytest.mark.parametrize("shape", READ)
def test_read(tmp_path: Path, shape: str) -> None:
    name, content = READ[shape]
    (tmp_path / name).write_bytes(content())
    assert spent(tmp_path / name)["told"] is None


@pytest.mark.parametrize("shape", REFUSED)
def test_refused(tmp_path: Path, shape: str) -> None:
    name, content, message = REFUSED[shape]
    (tmp_path / name).write_bytes(content())
    told = spent(tmp_path / name)["told"]
    assert told is not None
    assert message in told
    assert len(told) < 1000


def test_metrics_of_a_long_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(times(b'{"step": 10, "epoch": 0.1, "name": "loss", "value": 0.5}\n')())
    assert spent(path)["told"] is None
