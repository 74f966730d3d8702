"""Reading rows: every format gives the same cells, every broken file one clear line."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tunery.data.reading.load import PARSERS, read_file, read_hub_rows
from tunery.errors import DataError

ROWS = [{"text": "a, “b”\nc", "label": "x"}, {"text": "d\t\u2028e", "label": "y"}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    import openpyxl
    import pyarrow
    import pyarrow.parquet

    if path.suffix in (".csv", ".tsv", ".tab", ".txt"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for line in ([*rows[0]], *([*row.values()] for row in rows)):
            book.active.append(line)
        book.save(path)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", PARSERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert read_file(write(tmp_path / f"rows{suffix}", ROWS)).rows == ROWS


def test_parquet_cells_may_be_nested(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "map": pyarrow.array([[("a", 1), ("b", 2)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
            "pair": pyarrow.array([[1, 2], None], pyarrow.list_(pyarrow.int8(), 2)),
            "record": [{"lists": [["x"], []]}, {"lists": None}],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    first, second = read_file(tmp_path / "a.parquet").rows
    assert first == {"map": [("a", 1), ("b", 2)], "pair": [1, 2], "record": {"lists": [["x"], []]}}
    assert second == {"map": None, "pair": None, "record": {"lists": None}}


def test_byte_order_mark_and_windows_line_ends_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\r\nhello,1\r\n\r\n")
    assert read_file(tmp_path / "a.csv").rows == [{"text": "hello", "label": "1"}]


def test_a_cell_may_be_longer_than_the_csv_module_likes(tmp_path: Path) -> None:
    text = "word " * 40_000
    assert read_file(write(tmp_path / "a.csv", [{"text": text}])).rows[0]["text"] == text
    assert csv.field_size_limit() == 131072


def test_bare_quotes_in_a_tsv_swallow_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tlabel\n"hello\t1\nbar"\t0\n"quoted"\t1\n', encoding="utf-8")
    assert [row["text"] for row in read_file(tmp_path / "a.tsv").rows] == ['"hello', 'bar"', '"quoted"']


def test_json_lines_under_the_json_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert read_file(tmp_path / "a.json").rows == [{"a": 1}, {"a": 2}]


def test_suffix_and_kind_are_judged_before_anything_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "a.bin")
    with (tmp_path / "b.bin").open("wb") as file:
        file.truncate(3 * 2**40)  # takes no room, and could not be read
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("nothing.csv")
    pipe = "data is read from files, but this is a pipe, socket or device"
    for path, message in {
        tmp_path / "a.csv": pipe,
        tmp_path / "a.bin": pipe,
        Path("/dev/zero"): pipe,
        tmp_path / "b.bin": "but this is no text: byte 0 is 0",
        tmp_path / "link.csv": "is a link to 'nothing.csv', which is not there",
        tmp_path / "a.xml": "there is no file",
        tmp_path / "folder.csv": "data is read from files, but this is a folder",
        tmp_path / "folder.csv" / "c.csv": "there is no file",
        tmp_path / "a.csv" / "c.csv": "there is no folder",
        tmp_path / ("x" * 300 + ".csv"): "cannot be read: File name too long",
    }.items():
        with pytest.raises(DataError, match=message):
            read_file(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"text,label\n", "the file has no rows"),
        ("a.csv", b"text,label\nb,c\nd,\xe9\n", "must be UTF-8, but byte 17 (line 3) is 0xe9"),
        ("a.csv", b"text,label\nb,c\nd,e,f\n", "line 3 has 3 cells and the header has 2"),
        ("a.csv", b'text,label\n"b,c\nd,e\n', "is not well formed"),
        ("a.csv", b"text,text\nb,c\n", "column names must differ, but the header has 'text' more than once"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("a.jsonl", b'{"a": 1}\n\n[1]\n', "line 3 must be a JSON object, but it is a list"),
        ("a.json", b'{"a": 1}', "must hold a list of JSON objects"),
        ("a.json", b'[{"a": }]', "the file is not JSON: line 1, column 8: Expecting value"),
        ("a.json", b"[" * 100_000, "the file is not JSON: lists and objects are nested too deeply"),
        ("a.jsonl", b'{"a": 1}\n' + b"[" * 100_000, "line 2 is not JSON: lists and objects are nested too deeply"),
        (
            "a.jsonl",
            b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}",
            "line 2 is not JSON: a number has more than 4,300 digits",
        ),
        ("a.jsonl", b'{"a": 1, "a": 2}', "line 1 is not JSON: the key 'a' is there twice in one object"),
        ("a.parquet", b"PAR1 not really", "not readable as parquet"),
        ("a.xlsx", b"x", "not readable as xlsx"),
        ("a.csv.gz", b"\x1f\x8b\x08 not really", "not readable as gzip"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_file(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_names_its_likely_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(DataError, match=r"there is no file '.*trian.jsonl'; did you mean 'train.jsonl'\?"):
        read_file(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match="there is no folder"):
        read_file(tmp_path / "nowhere" / "train.jsonl")


def test_hub_class_numbers_become_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    classes = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "a": classes, "b": datasets.List(classes)})
    table = datasets.Dataset.from_dict({"text": ["t", "u"], "a": [1, -1], "b": [[0, 1], []]}, features=features)
    asked: dict[str, Any] = {}

    def load_dataset(name: str, **how: Any) -> Any:
        asked.update(how, name=name)
        return table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = read_hub_rows("owner/name", revision="abc", split="train")
    assert asked == {"name": "owner/name", "revision": "abc", "split": "train"}
    assert rows == [{"text": "t", "a": "yes", "b": ["no", "yes"]}, {"text": "u", "a": None, "b": []}]


def test_a_hub_data_set_gives_splits_of_its_configs_and_single_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Files with different columns cannot be splits of one config, as `datasets` reads them; each alone can be read."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "posts.csv").write_text("post_id,text\np1,One.\n")
    (folder / "notes.csv").write_text("post_id,status\np1,1\n")
    configs = (
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}.csv"}]} for name in ("posts", "notes")
    )
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps([*configs])}\n---\n")
    for named in ("posts.csv", "posts/train"):
        assert read_hub_rows(str(folder), revision="a" * 40, split=named) == [{"post_id": "p1", "text": "One."}]
    assert read_hub_rows(str(folder), revision="a" * 40, split="notes/train") == [{"post_id": "p1", "status": 1}]


def test_an_unreachable_hub_data_set_is_a_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="split 'dev' of the Hub data set a/b@c cannot be read: no route"):
        read_hub_rows("a/b", revision="c", split="dev")
