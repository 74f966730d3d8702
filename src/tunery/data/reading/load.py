"""Files and Hub data sets become rows: plain dicts, each cell as its source has it."""

import csv
import io
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from tunery.errors import DataError, did_you_mean
from tunery.schema.config.data import Data
from tunery.schema.reading.json_text import NotJson, json_items, parse_json
from tunery.schema.reading.utf8 import NotUtf8, decode_utf8

Row = dict[str, Any]
MOST_ROWS: Final = 2_000_000
MOST_CELLS: Final = 20_000_000
MOST_BYTES: Final = 500_000_000
"""What is read of a data file, since all of it is held in memory: rows, values in them, and bytes, unpacked."""
LONGEST_CELL: Final = 2**31 - 1


class _Malformed(ValueError):
    """What is wrong inside a file; the caller knows its name."""


class _TooMuch(_Malformed):
    """Beyond what is read at once."""

    def __init__(self, size: str) -> None:
        most = f"{MOST_ROWS:,} rows, {MOST_CELLS:,} values and {MOST_BYTES // 10**6} MB, unpacked"
        super().__init__(f"a data file has at most {most}, but this has {size}; take a sample of its rows")


def read_rows(path: Path) -> list[Row]:
    """Read a csv, tsv, jsonl, json or parquet file, by its suffix. Cells of csv and tsv are strings.

    Raises:
        DataError: no such file, unknown suffix, no regular file, not UTF-8, malformed, without rows, or with more than
            `MOST_ROWS` or `MOST_BYTES`.
    """
    parse = _parser(path)
    try:
        with path.open("rb") as file:
            content = _content(file, source=str(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    return _rows_of(content, parse, source=str(path))


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

    What begins with a bracket is JSON; in a table, the header says whether tabs or commas separate its cells.

    Raises:
        DataError: not UTF-8, malformed, without rows, or with more than `MOST_ROWS` or `MOST_BYTES`.
    """
    content = _content(stream, source=source)
    header = content.strip().partition(b"\n")[0]
    if header.startswith((b"{", b"[")):
        suffix = ".json" if header.startswith(b"[") else ".jsonl"
    else:
        suffix = ".tsv" if b"\t" in header and b"," not in header else ".csv"
    return _rows_of(content, PARSERS[suffix], source=source), suffix


def _content(file: BinaryIO, *, source: str) -> bytes:
    """The bytes of a file, which are looked at only up to the limit."""
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{source}: {_TooMuch('more')}")
    return content


def _rows_of(content: bytes, parse: "Parser", *, source: str) -> list[Row]:
    rows: list[Row] = []
    cells = 0
    try:
        for row in parse(content):
            cells += len(row)
            if len(rows) == MOST_ROWS or cells > MOST_CELLS:
                raise _TooMuch("more")
            rows.append(row)
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
        if len(table) > MOST_ROWS:
            raise DataError(f"split {split!r} of the Hub data set {name}: {_TooMuch(f'{len(table):,} rows')}")
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


def _lines(content: bytes, *, newline: str) -> io.TextIOWrapper:
    """The lines of UTF-8 text, one after the other, cut as `open` does with such a `newline`."""
    _decoded(content)
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=newline)


def _parse_tsv(content: bytes) -> Iterator[Row]:
    """A tsv may quote its cells as csv does, or hold bare quotes that mean nothing.

    A bare quote read as quoting swallows the following lines, so the reading with more rows is the right one,
    unless it is ragged: then the line breaks were inside quotes.
    """
    if b'"' not in content:
        return _parse_table(content, delimiter="\t", quoting=csv.QUOTE_NONE)
    plain, quoted = (_row_count(content, quoting) for quoting in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL))
    is_quoted = plain is None or quoted == plain
    return _parse_table(content, delimiter="\t", quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)


def _row_count(content: bytes, quoting: int) -> int | None:
    """How many rows a tsv has in one way of reading it; None where it is malformed."""
    try:
        return sum(1 for _ in islice(_parse_table(content, delimiter="\t", quoting=quoting), MOST_ROWS + 1))
    except _Malformed:
        return None


def _parse_table(content: bytes, *, delimiter: str, quoting: int) -> Iterator[Row]:
    lines = _cells(content, delimiter=delimiter, quoting=quoting)
    _, header = next(lines, (0, []))
    if repeated := sorted(name for name, count in Counter(header).items() if count > 1):
        raise _Malformed(f"column names must differ, but the header has {repeated[0]!r} more than once")
    for line, cells in lines:
        if len(cells) != len(header):
            raise _Malformed(
                f"line {line} has {len(cells)} cells and the header has {len(header)}; "
                f"put cells that contain {delimiter!r} in double quotes"
            )
        yield dict(zip(header, cells, strict=True))


def _cells(content: bytes, *, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_lines(content, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
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


def _parse_jsonl(content: bytes) -> Iterator[Row]:
    # str.splitlines would also cut at U+2028, which JSON allows inside a string
    lines = enumerate(_lines(content, newline="\n"), start=1)
    return (_object(line, number=number) for number, line in lines if not line.isspace())


def _object(line: str, *, number: int) -> Row:
    try:
        value = parse_json(line)
    except NotJson as error:
        column = "" if error.column is None else f" at column {error.column}"
        raise _Malformed(f"line {number} is not JSON: {error.reason}{column}") from error
    if not isinstance(value, dict):
        raise _Malformed(f"line {number} must be a JSON object, but it is a {type(value).__name__}")
    return value


def _parse_json(content: bytes) -> Iterator[Row]:
    """A list of objects; also lines of objects, which are often saved under this suffix."""
    text = _decoded(content)
    if not text.lstrip().startswith("["):
        yield from _parse_json_lines(content, text)
        return
    try:
        for row in json_items(text):
            if not isinstance(row, dict):
                raise _Malformed(_NO_LIST)
            yield row
    except NotJson as error:
        raise _Malformed(f"the file is not JSON: {error}") from error


def _parse_json_lines(content: bytes, text: str) -> Iterator[Row]:
    try:
        parse_json(text)
    except NotJson as error:
        if error.reason == "Extra data":
            return _parse_jsonl(content)
        raise _Malformed(f"the file is not JSON: {error}") from error
    raise _Malformed(_NO_LIST)


_NO_LIST: Final = "the file must hold a list of JSON objects, one per row"


def _parse_parquet(content: bytes) -> Iterator[Row]:
    """Rows of a parquet file, which may be a thousand times smaller than they are: its metadata are read first, and
    what is there is counted before it becomes Python's.

    Strings that repeat are unpacked by `to_pylist` only, when it is known how long all of them are.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_metadata(pyarrow.BufferReader(content))
        _refuse_too_much(metadata)
        leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.logical_type.type == "STRING"]
        unpacked = cells = 0  # the metadata may be wrong
        file = parquet.ParquetFile(pyarrow.BufferReader(content), metadata=metadata, read_dictionary=texts)
        for batch in file.iter_batches():
            values = [leaf for column in batch.columns for leaf in _leaves(column)]
            unpacked += sum(map(_size, values))
            cells += sum(map(len, values))
            if unpacked > MOST_BYTES or cells > MOST_CELLS:
                raise _TooMuch("more")
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _Malformed(f"not readable as parquet: {' '.join(str(error).split())}") from error


def _refuse_too_much(metadata: Any) -> None:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    cells = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    if metadata.num_rows > MOST_ROWS:
        raise _TooMuch(f"{metadata.num_rows:,} rows")
    if size > MOST_BYTES:
        raise _TooMuch(f"{size // 10**6:,} MB")
    if cells > MOST_CELLS:
        raise _TooMuch(f"{cells:,} values")


def _size(array: Any) -> int:
    """Bytes of an Arrow array of values, where a string that it holds once counts as often as it is used."""
    import pyarrow
    import pyarrow.compute as compute

    if not pyarrow.types.is_dictionary(array.type):
        return int(array.nbytes)
    lengths = compute.binary_length(array.dictionary).take(array.indices)
    return int(compute.sum(lengths).as_py() or 0)


def _leaves(array: Any) -> Iterator[Any]:
    """The Arrow arrays of values below lists and records."""
    import pyarrow.types as types

    if types.is_struct(array.type):
        parts = array.flatten()
    elif types.is_map(array.type):
        parts = [array.keys, array.items]
    elif types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
        parts = [array.flatten()]
    else:
        yield array
        return
    for part in parts:
        yield from _leaves(part)


Parser = Callable[[bytes], Iterator[Row]]
PARSERS: Final[dict[str, Parser]] = {
    ".csv": partial(_parse_table, delimiter=",", quoting=csv.QUOTE_MINIMAL),
    ".tsv": _parse_tsv,
    ".jsonl": _parse_jsonl,
    ".json": _parse_json,
    ".parquet": _parse_parquet,
}
"""How each kind of file is read, by suffix."""
