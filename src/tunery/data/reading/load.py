"""Files and Hub data sets become rows: plain dicts, each cell as its source has it."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from tunery.data.reading.documents import parse_documents
from tunery.data.reading.json_rows import parse_json_document, parse_jsonl
from tunery.data.reading.parquet_rows import parse_parquet
from tunery.data.reading.questions import with_questions_as_labels
from tunery.data.reading.source import MOST_BYTES, MOST_BYTES_OF_TEXT, MOST_ROWS, Malformed, Row, Source, TooMuch
from tunery.data.reading.tables import parse_csv, parse_text, parse_tsv, with_checked_header
from tunery.data.reading.tagged_words import holds_tagged_words, parse_tagged_words, with_words_joined
from tunery.data.reading.workbook import parse_workbook
from tunery.errors import DataError, did_you_mean
from tunery.schema.config.data import Data, Documents
from tunery.schema.reading.utf8 import marked_encoding

Parser = Callable[[Source], list[Row]]
PARSERS: Final[dict[str, Parser]] = {
    ".csv": parse_csv,
    ".tsv": parse_tsv,
    ".tab": parse_tsv,
    ".jsonl": parse_jsonl,
    ".ndjson": parse_jsonl,
    ".json": parse_json_document,
    ".parquet": parse_parquet,
    ".xlsx": parse_workbook,
    ".txt": parse_text,
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2"), parse_tagged_words),
}
"""How each kind of file is read, by suffix; each may be packed as `.gz`."""
_UNREAD: Final = {
    ".conllu": "trees of words are not read; save what marks evidence as .conll, a word and its tag in each line",
    **dict.fromkeys((".xml", ".html", ".htm"), "XML and HTML are not read; save the rows as csv or jsonl"),
    ".xls": "old Excel workbooks are not read; save it as .xlsx or csv",
    ".zip": "archives are not read; unpack it",
    ".pdf": "documents are not read; save the texts as csv or jsonl",
}
"""Why other kinds are not read, by suffix."""
_MAGIC: Final = {b"\x1f\x8b": ".gz", b"PAR1": ".parquet", b"PK\x03\x04": ".xlsx"}
"""How files begin that are no text and are read, whatever they are called."""
_FOREIGN: Final = {
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"), "an image"),
    **dict.fromkeys(
        (b"7z\xbc\xaf", b"Rar!\x1a", b"BZh91AY&SY", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "an archive; unpack it"
    ),
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle; write its rows as csv or jsonl"),
    b"\x93NUMPY": "an array of numpy",
    b"SQLite format 3\0": "a database",
    b"\xd0\xcf\x11\xe0": "an old document of Office; save it as .xlsx or csv",
    b"%PDF-": "a PDF document; save its texts as csv or jsonl",
}
"""How others begin, and what they are."""


_BINARY: Final = (".parquet", ".xlsx")
_LARGE: Final = 20_000_000
"""Bytes of files whose reading takes seconds."""
_HEAD: Final = 100_000
"""Bytes of a file that tell whether it is text."""


class Table(NamedTuple):
    """The rows of a file."""

    rows: list[Row]
    notes: tuple[str, ...] = ()
    """What was decided in reading them, for people."""


def read_file(
    path: Path,
    *,
    columns: tuple[str, ...] | None = None,
    encoding: str | None = None,
    documents: Documents | None = None,
) -> Table:
    """Read a file, by its suffix and its content. Cells of text files are strings.

    Args:
        columns: names of the columns of a file without header (`data.columns`); a first line that consists of such
            names is a header all the same.
        encoding: of text (`data.encoding`); None: UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        documents: what is one text in a file of plain text (`RowReader.documents`); None: such a file is a table, or
            has a text in each line.

    Raises:
        DataError: no such file, no regular file, of a kind that is not read, in another encoding, malformed, without
            header or rows, with more than `MOST_ROWS` or `MOST_BYTES`, or written to while it is read.
        MissingExtra: what reads it is not installed.
    """
    suffix = require_file(path)
    try:
        with path.open("rb") as file:
            if suffix not in _BINARY:
                _refuse_binary(file.read(_HEAD), encoding, name=str(path))
                file.seek(0)
            is_text = documents is not None and PARSERS[suffix] is parse_text
            content = unchanged_content(file, name=str(path), most=MOST_BYTES_OF_TEXT if is_text else MOST_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read(content, suffix, name=str(path), columns=columns, encoding=encoding, documents=documents)


def require_readable(data: Data) -> None:
    """Look, at no more than their first bytes, whether the files of a config are of a kind that can be read.

    Raises:
        DataError: of the first that is none.
    """
    for named in data.files:
        if data.dataset is None and require_file(path := Path(named)) not in _BINARY:
            try:
                with path.open("rb") as file:
                    head = file.read(_HEAD)
            except OSError as error:
                raise _unreadable(path, error) from error
            _refuse_binary(head, data.encoding, name=named)


def is_plain_text(path: Path) -> bool:
    """Whether its suffix says nothing but that a file is text, which may be a table or not.

    Raises:
        DataError: as `require_file` does.
    """
    return PARSERS[require_file(path)] is parse_text


def is_large(data: Data) -> bool:
    """Whether to read the files of a config takes so long that a person wants to see that something is done."""
    return data.dataset is None and sum(Path(named).stat().st_size for named in data.files) > _LARGE


def read_stream(
    stream: BinaryIO, *, source: str, columns: tuple[str, ...] | None = None, encoding: str | None = None
) -> tuple[Table, str]:
    """Read text from a stream that has no name. Returns the rows, and the suffix they would have.

    What begins with a bracket is JSON; in a table, the first line says whether tabs or commas separate its cells.

    Raises:
        DataError: as `read_file` does.
    """
    content = _content(stream, name=source)
    first = content.strip().partition(b"\n")[0]
    if first.startswith((b"{", b"[")):
        suffix = ".json" if first.startswith(b"[") else ".jsonl"
    else:
        suffix = ".tsv" if b"\t" in first and b"," not in first else ".csv"
    return _read(content, suffix, name=source, columns=columns, encoding=encoding), suffix


def unchanged_content(file: BinaryIO, *, name: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file that nothing writes to meanwhile: its last row might be half of one.

    Raises:
        DataError: its size or time is another one when it has been read, or it has more than `most` bytes.
    """
    before = os.fstat(file.fileno())
    content = _content(file, name=name, most=most)
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{name}: it was written to while it was read; try again when it is complete")
    return content


def _read(
    content: bytes,
    suffix: str,
    *,
    name: str,
    columns: tuple[str, ...] | None,
    encoding: str | None,
    documents: Documents | None = None,
) -> Table:
    if not content.strip():
        raise DataError(f"{name}: the file is empty")
    source = Source(content, columns, encoding)
    try:
        begins_as = _kind(content)
        if begins_as == ".gz":
            source.content = content = _unpacked(content, most=MOST_BYTES if documents is None else MOST_BYTES_OF_TEXT)
            begins_as = _kind(content)
        parse = PARSERS[begins_as or suffix]
        if documents is not None and parse is parse_text:
            rows = parse_documents(source, documents)
            return Table(rows, tuple(source.notes))
        if parse in (parse_tsv, parse_text) and holds_tagged_words(source):
            parse = parse_tagged_words
        rows, notes = _as_texts(with_checked_header(parse(source), source))
    except Malformed as error:
        raise DataError(f"{name}: {error}") from error
    if not rows:
        raise DataError(f"{name}: the file has no rows")
    return Table(rows, (*source.notes, *notes))


def _content(file: BinaryIO, *, name: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file, which are looked at only up to the limit."""
    content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"{name}: {TooMuch('more', most_bytes=most)}")
    return content


def _kind(content: bytes) -> str | None:
    return next((suffix for magic, suffix in _MAGIC.items() if content.startswith(magic)), None)


def _unpacked(content: bytes, *, most: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"not readable as gzip: {error}") from error
    if len(unpacked) > most:
        raise TooMuch("more", most_bytes=most)
    if not unpacked.strip():
        raise Malformed("the file is empty")
    return unpacked


def _refuse_binary(head: bytes, encoding: str | None, *, name: str) -> None:
    """What is no text by its first bytes, or by a NUL, which is no character of one; every second byte may be a NUL in
    UTF-16, which `Source` explains."""
    is_not = f"{name}: data is read from text ({', '.join(PARSERS)}), and packed as .gz, but this is"
    if kind := next((kind for begin, kind in _FOREIGN.items() if head.startswith(begin)), None):
        raise DataError(f"{is_not} {kind}")
    few, many = sorted((head[::2].count(0), head[1::2].count(0)))
    in_turn = len(head) / 8 < many < len(head) * 5 / 8 and few < many / 10
    is_wide = encoding is not None or marked_encoding(head) is not None or in_turn
    if many and not is_wide and _kind(head) is None:
        raise DataError(f"{is_not} no text: byte {head.index(0)} is 0")


def read_hub_rows(dataset: str, *, revision: str | None, split: str) -> list[Row]:
    """Read one split of a Hub data set at one revision; class numbers become class names.

    Args:
        split: of the default config; or `config/split`; or a file of the data set, by its suffix, where its files have
            different columns (`redsm5_posts.csv`).

    Raises:
        DataError: no such data set, revision or split, or no way to reach it.
    """
    import datasets

    name = f"{dataset}@{revision}" if revision else dataset
    try:
        if kind_of(Path(split)) in PARSERS:
            part = {"data_files": split, "split": "train"}
        elif "/" in split:
            part = dict(zip(("name", "split"), split.split("/", 1), strict=True))
        else:
            part = {"split": split}
        table = datasets.load_dataset(dataset, revision=revision, **part)
        names = {column: _class_names(feature) for column, feature in table.features.items()}
        if len(table) > MOST_ROWS:
            raise DataError(f"split {split!r} of the Hub data set {name}: {TooMuch(f'{len(table):,} rows')}")
        rows = [{column: names[column](cell) for column, cell in row.items()} for row in table.to_list()]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"split {split!r} of the Hub data set {name} cannot be read: {reason}") from error
    if not rows:
        raise DataError(f"split {split!r} of the Hub data set {name} has no rows")
    try:
        return _as_texts(rows)[0]
    except Malformed as error:
        raise DataError(f"split {split!r} of the Hub data set {name}: {error}") from error


def _as_texts(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Rows of questions about texts, or of lists of words, become rows of texts with labels and evidence; others stay.
    Returns what is to be said, too.

    Raises:
        Malformed: they cannot.
    """
    rows, notes = with_questions_as_labels(rows)
    rows, more = with_words_joined(rows)
    return rows, [*notes, *more]


def _class_names(feature: Any) -> Callable[[Any], Any]:
    inner = getattr(feature, "feature", None)
    if inner is not None and hasattr(inner, "int2str"):
        one = _class_names(inner)
        return lambda cells: cells if cells is None else [one(cell) for cell in cells]
    if hasattr(feature, "int2str"):
        return lambda cell: None if cell is None or cell < 0 else feature.int2str(cell)
    return lambda cell: cell


def require_file(path: Path) -> str:
    """The kind of a file that can be read. A pipe or device is refused unread, since reading it may not end.

    Raises:
        DataError: there is no such file, or it is none.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise DataError(f"{path}: is a link to {str(path.readlink())!r}, which is not there") from error
        raise DataError(f"there is no file {str(path)!r}; {_neighbours(path)}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise DataError(f"{path}: data is read from files, but this is {kind}; save the rows as a file, and name it")
    suffix = kind_of(path)
    if suffix in _UNREAD:
        raise DataError(f"{path}: {_UNREAD[suffix]}")
    return suffix if suffix in PARSERS else ".txt"


def kind_of(path: Path) -> str:
    """The suffix of a file, in lower case and without `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    return DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r} either"
    files = [entry.name for entry in path.parent.iterdir() if kind_of(entry) in PARSERS]
    return did_you_mean(path.name, files) if files else f"the folder holds no {', '.join(PARSERS)} file"
