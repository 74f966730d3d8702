"""Files and Hub data sets become rows: plain dicts, each cell as its source has it."""

import csv
import io
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from tunery.errors import DataError, did_you_mean
from tunery.schema.data import Data
from tunery.schema.json_text import NotJson, parse_json
from tunery.schema.utf8 import NotUtf8, decode_utf8

Row = dict[str, Any]
LONGEST_CELL: Final = 2**31 - 1


class _Malformed(ValueError):
    """What is wrong inside a file; the caller knows its name."""


def read_rows(path: Path) -> list[Row]:
    """Read a csv, tsv, jsonl, json or parquet file, by its suffix. Cells of csv and tsv are strings.

    Raises:
        DataError: no such file, unknown suffix, no regular file, not UTF-8, malformed, or without rows.
    """
    parse = _parser(path)
    return _parsed(_content(path), parse, source=str(path))


def require_readable(data: Data) -> None:
    """Look, without reading, whether the files of a config are files of a kind that can be read.

    Raises:
        DataError: of the first that is none.
    """
    for named in (data.train, data.validation, data.test):
        if named is not None and data.dataset is None:
            _parser(Path(named))


def read_stream(stream: BinaryIO, *, source: str) -> tuple[list[Row], str]:
    """Read csv, tsv, jsonl or json from a stream that has no name. Returns the rows, and the suffix they would have.

    What begins with a bracket is JSON; in a table, the header says whether tabs or commas stand between its cells.

    Raises:
        DataError: not UTF-8, malformed, or without rows.
    """
    content = stream.read()
    header = content.strip().partition(b"\n")[0]
    if header.startswith((b"{", b"[")):
        suffix = ".json" if header.startswith(b"[") else ".jsonl"
    else:
        suffix = ".tsv" if b"\t" in header and b"," not in header else ".csv"
    return _parsed(content, PARSERS[suffix], source=source), suffix


def _parsed(content: bytes, parse: "Parser", *, source: str) -> list[Row]:
    try:
        rows = parse(content)
    except _Malformed as error:
        raise DataError(f"{source}: {error}") from error
    if not rows:
        raise DataError(f"{source}: the file has no rows")
    return rows


def read_hub_rows(dataset: str, *, revision: str | None, split: str) -> list[Row]:
    """Read one split of a Hub data set at one revision; class numbers become class names.

    Raises:
        DataError: no such data set, revision or split, or no way to reach it.
    """
    import datasets

    name = f"{dataset}@{revision}" if revision else dataset
    try:
        table = datasets.load_dataset(dataset, revision=revision, split=split)
        names = {column: _class_names(feature) for column, feature in table.features.items()}
        rows = [{column: names[column](cell) for column, cell in row.items()} for row in table.to_list()]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"split {split!r} of the Hub data set {name} cannot be read: {reason}") from error
    if not rows:
        raise DataError(f"split {split!r} of the Hub data set {name} has no rows")
    return rows


def _class_names(feature: Any) -> Callable[[Any], Any]:
    inner = getattr(feature, "feature", None)
    if inner is not None and hasattr(inner, "int2str"):
        one = _class_names(inner)
        return lambda cells: cells if cells is None else [one(cell) for cell in cells]
    if hasattr(feature, "int2str"):
        return lambda cell: None if cell is None or cell < 0 else feature.int2str(cell)
    return lambda cell: cell


def _parser(path: Path) -> "Parser":
    """What reads such a file. A pipe or device is refused unread, since reading it may not end."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"there is no file {str(path)!r}; {_neighbours(path)}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise DataError(f"{path}: data is read from files, but this is {kind}; save the rows as a file, and name it")
    parse = PARSERS.get(path.suffix.lower())
    if parse is None:
        raise DataError(f"{path}: the suffix must be one of {', '.join(PARSERS)}, but got {path.suffix!r}")
    return parse


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    return DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    return content


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r} either"
    files = [entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in PARSERS]
    return did_you_mean(path.name, files) if files else f"the folder holds no {', '.join(PARSERS)} file"


def _decoded(content: bytes) -> str:
    try:
        return decode_utf8(content)
    except NotUtf8 as error:
        raise _Malformed(f"the file {error}") from error


def _parse_csv(content: bytes) -> list[Row]:
    return _table(_decoded(content), delimiter=",", quoting=csv.QUOTE_MINIMAL)


def _parse_tsv(content: bytes) -> list[Row]:
    """A tsv may quote its cells as csv does, or hold bare quotes that mean nothing.

    A bare quote read as quoting swallows the following lines, so the reading with more rows is the right one,
    unless it is ragged: then the line breaks were inside quotes.
    """
    text = _decoded(content)
    try:
        plain = _table(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    except _Malformed:
        return _table(text, delimiter="\t", quoting=csv.QUOTE_MINIMAL)
    try:
        quoted = _table(text, delimiter="\t", quoting=csv.QUOTE_MINIMAL)
    except _Malformed:
        return plain
    return quoted if len(quoted) == len(plain) else plain


def _table(text: str, *, delimiter: str, quoting: int) -> list[Row]:
    lines = _cells(text, delimiter=delimiter, quoting=quoting)
    _, header = next(lines, (0, []))
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise _Malformed(f"column names must differ, but the header has {twice[0]!r} twice")
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            raise _Malformed(
                f"line {line} has {len(cells)} cells and the header has {len(header)}; "
                f"put cells that contain {delimiter!r} in double quotes"
            )
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def _cells(text: str, *, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    usual = csv.field_size_limit(LONGEST_CELL)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise _Malformed(
            f"line {reader.line_num} is not well formed: {error}; a quote inside a quoted cell is written twice"
        ) from error
    finally:
        csv.field_size_limit(usual)


def _parse_jsonl(content: bytes) -> list[Row]:
    # str.splitlines would also cut at U+2028, which JSON allows inside a string
    lines = enumerate(_decoded(content).split("\n"), start=1)
    return [_object(line, number=number) for number, line in lines if line.strip()]


def _object(line: str, *, number: int) -> Row:
    try:
        value = parse_json(line)
    except NotJson as error:
        place = "" if error.column is None else f" at column {error.column}"
        raise _Malformed(f"line {number} is not JSON: {error.reason}{place}") from error
    if not isinstance(value, dict):
        raise _Malformed(f"line {number} must be a JSON object, but it is a {type(value).__name__}")
    return value


def _parse_json(content: bytes) -> list[Row]:
    """A list of objects; also lines of objects, which are often saved under this suffix."""
    try:
        value = parse_json(_decoded(content))
    except NotJson as error:
        if error.reason == "Extra data":
            return _parse_jsonl(content)
        raise _Malformed(f"the file is not JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise _Malformed("the file must hold a list of JSON objects, one per row")
    return value


def _parse_parquet(content: bytes) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[Row] = pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _Malformed(f"not readable as parquet: {' '.join(str(error).split())}") from error
    return rows


Parser = Callable[[bytes], list[Row]]
PARSERS: Final[dict[str, Parser]] = {
    ".csv": _parse_csv,
    ".tsv": _parse_tsv,
    ".jsonl": _parse_jsonl,
    ".json": _parse_json,
    ".parquet": _parse_parquet,
}
"""How each kind of file is read, by suffix."""
