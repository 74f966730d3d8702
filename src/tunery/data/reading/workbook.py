"""The first sheet of an Excel workbook becomes rows."""

import datetime
import io
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

from tunery.data.reading.source import MOST_BYTES, Malformed, Row, Source, TooMuch
from tunery.data.reading.tables import collected, named_cells
from tunery.errors import MissingExtra, reason_of


def parse_workbook(source: Source) -> list[Row]:
    """The values of the cells, those of formulas as they were last computed; dates as ISO 8601 writes them.

    Raises:
        MissingExtra: openpyxl is not installed.
        Malformed: no workbook.
    """
    _refuse_other_archives(source.content)
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtra("openpyxl", extra="xlsx") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions that are not read
            book = openpyxl.load_workbook(io.BytesIO(source.content), read_only=True, data_only=True)
            sheet, *others = book.worksheets
            if others:
                names = ", ".join(repr(other.title) for other in others[:5])
                source.note(f"the first sheet, {sheet.title!r}, is read, and not {names}")
            return collected(_named(sheet, source))
    except Malformed:
        raise
    except Exception as error:  # whatever a damaged archive makes of it
        raise Malformed(f"not readable as xlsx: {reason_of(error)}") from error


def _refuse_other_archives(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = archive.infolist()
    except Exception as error:  # whatever a damaged archive makes of it
        raise Malformed(f"not readable as xlsx: {reason_of(error)}") from error
    if not any(file.filename.startswith("xl/") for file in files):
        raise Malformed("it is an archive without a workbook, which is not read; unpack it, or save its rows as csv")
    size = sum(file.file_size for file in files)
    if size > MOST_BYTES:
        raise TooMuch(f"{size // 10**6:,} MB")


def _named(sheet: Any, source: Source) -> Iterator[Row]:
    """Names are text; cells keep their type."""
    lines = enumerate(sheet.iter_rows(values_only=True), start=1)
    filled = (
        (number, [_value(cell) for cell in cells]) for number, cells in lines if any(c is not None for c in cells)
    )
    first = next(filled, None)
    if first is None:
        return
    number, cells = first
    while cells and cells[-1] is None:
        cells.pop()
    width = len(source.columns or cells)
    names = [str("" if cell is None else cell) for cell in cells] + [""] * (width - len(cells))

    def lines_of_one_width() -> Iterator[tuple[int, list[Any]]]:
        yield number, names
        for line, values in filled:
            while len(values) > width and values[-1] is None:
                values.pop()
            yield line, values + [None] * (width - len(values))

    yield from named_cells(lines_of_one_width(), source, rule="give each column a name in the first line")


def _value(cell: Any) -> Any:
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return cell if cell is None or isinstance(cell, str | int | float) else str(cell)
