"""Lines of cells become rows: csv, tsv and text files with any delimiter, with a header or without one.

What the suffix says is tried first. Where that gives one column, or lines of different length, another way of cutting
is taken only if it cuts all lines evenly, and a note says so.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from tunery.data.reading.first_line import column_names, doubt_about_names
from tunery.data.reading.source import LONGEST_CELL, MOST_CELLS, MOST_ROWS, Malformed, Row, Source, TooMuch
from tunery.errors import enumerated, shortened

_NO_LIMIT: Final = 2**31 - 1
"""Of the csv module's own."""
DELIMITERS: Final = ("\t", ";", "|", ",")
_NAMES: Final = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}
_FEW_LINES: Final = 5
"""Lines below which a text file that nothing calls a table is none, unless there are tabs in it."""


@dataclass(frozen=True)
class _Dialect:
    """How lines are cut into cells."""

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None

    def __str__(self) -> str:
        cut = f"cells are separated by {_NAMES[self.delimiter]}"
        if self.quote == "'":
            cut += " and stand in single quotes"
        return cut + (" with backslashes before quotes" if self.escape else "")


def collected(rows: Iterable[Row]) -> list[Row]:
    """All rows.

    Raises:
        TooMuch: more than `MOST_ROWS`, or with more than `MOST_CELLS` values.
        Malformed: a value has more than `LONGEST_CELL` characters.
    """
    kept: list[Row] = []
    cells = 0
    for row in rows:
        cells += len(row)
        if len(kept) == MOST_ROWS or cells > MOST_CELLS:
            raise TooMuch("more")
        for name, cell in row.items():
            if isinstance(cell, str) and len(cell) > LONGEST_CELL:
                raise Malformed(
                    f"a value has at most {LONGEST_CELL:,} characters, but that of {shortened(name, 40)!r} in row "
                    f"{len(kept) + 1:,} has {len(cell):,}; close the quote before it that is open, or cut the text"
                )
        kept.append(row)
    return kept


def parse_csv(source: Source) -> list[Row]:
    """Commas; else what cuts all lines evenly."""
    return _table(source, _Dialect(","))


def parse_tsv(source: Source) -> list[Row]:
    """Tabs; else what cuts all lines evenly.

    A tsv may quote its cells as csv does, or hold bare quotes that mean nothing. A bare quote read as quoting swallows
    the following lines, so the reading with more rows is the right one, unless it is ragged: then the line breaks were
    inside quotes.
    """
    plain, quoted = _Dialect("\t", None), _Dialect("\t")
    if b'"' not in source.content:
        return _table(source, plain)
    counts = [_count(source, dialect) for dialect in (plain, quoted)]
    return _table(source, quoted if counts[0] is None or counts[0] == counts[1] else plain)


def parse_text(source: Source) -> list[Row]:
    """A table, where a delimiter cuts all lines evenly; else each line is a text."""
    lines = sum(1 for line in islice(_decoded_lines(source), _FEW_LINES) if line.strip())
    is_table = b"\t" in source.content or lines == _FEW_LINES
    if is_table and (dialect := _even(source, _others(None))) is not None:
        return parse_tsv(source) if dialect == _Dialect("\t") else _table(source, dialect)
    if source.columns is not None and len(source.columns) > 1:
        return _table(source, _Dialect("\t"))  # which says what is wrong
    name = source.columns[0] if source.columns else "text"
    source.note(f"nothing cuts its lines evenly: each line is a text, in the column {name!r}")
    texts = (line.rstrip("\r\n") for line in _decoded_lines(source))
    rows = collected({name: text} for text in texts if text.strip())
    return rows[1:] if rows and rows[0][name].strip() == name else rows


def with_checked_header(rows: list[Row], source: Source) -> list[Row]:
    """The rows of a table after a look at its header: columns that have neither a name nor cells are left out.

    Raises:
        Malformed: the first line is a row and names no columns.
    """
    header = source.header
    if header is None or not rows:
        return rows
    if source.columns is None and (doubt := doubt_about_names(header, rows)):
        source.note(doubt)
    unnamed = [name for name, cell in zip(column_names(header), header, strict=True) if not cell.strip()]
    blank = [name for name in unnamed if not any(str(row[name]).strip() for row in rows if row[name] is not None)]
    for name in blank:
        for row in rows:
            del row[name]
    if blank:
        source.note(f"empty columns without a name are left out: {len(blank):,}")
    if kept := [name for name in unnamed if name not in blank]:
        counts = [f"{name} ({sum(bool(str(row[name] or '').strip()) for row in rows):,} cells)" for name in kept]
        source.note(f"columns without a name are called by their number: {enumerated(counts)}")
    return rows


def named_cells(lines: Iterable[tuple[int, list[str]]], source: Source, *, rule: str) -> Iterator[Row]:
    """Rows from numbered lines of cells, the first of which names the columns unless `data.columns` does.

    Args:
        rule: what to do where a line has more or fewer cells than there are columns.
    """
    remaining = iter(lines)
    first = next(remaining, None)
    if first is None:
        return
    names = source.columns
    if names is None or {cell.strip() for cell in first[1]} <= set(names):
        source.header = [cell.strip() for cell in first[1]]
        names = column_names(source.header)
        if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
            raise Malformed(
                f"column names must differ, but the header has {shortened(repeated[0], 40)!r} more than once; give "
                "each its own name, here with --columns"
            )
    else:
        shown = enumerated([*map(repr, first[1])], 5, letters=30)
        source.note(f"`data.columns` names its columns, so that the first line is a row: {shown}")
        remaining = chain([first], remaining)
    width = len(names)
    for line, cells in remaining:
        if len(cells) != width:
            if len(cells) < width or any(cell.strip() for cell in cells[width:]):
                if source.header is None:
                    expected, advice = "`data.columns` names", f"name each column, here with --columns, or {rule}"
                else:
                    expected, advice = "the header has", rule
                raise Malformed(f"line {line} has {len(cells):,} cells and {expected} {width:,}; {advice}")
            cells = cells[:width]
        if cells == source.header:
            source.note("lines that repeat the header are left out")
        else:
            yield dict(zip(names, cells, strict=True))


def _table(source: Source, usual: _Dialect) -> list[Row]:
    in_single_quotes = _Dialect(usual.delimiter, "'")
    if _even(source, [in_single_quotes]):
        source.note(str(in_single_quotes))
        return collected(_rows(source, in_single_quotes))
    problem: Malformed | None = None
    try:
        rows = collected(_rows(source, usual))
        if not rows or len(rows[0]) > 1:
            return rows
    except TooMuch:
        raise
    except Malformed as error:
        problem = error
    other = _even(source, _others(usual))
    if other is not None:
        source.header = None
        source.notes[:] = [note for note in source.notes if "data.columns" not in note]
        source.note(str(other))
        return collected(_rows(source, other))
    if problem is not None:
        raise problem
    return rows


def _others(usual: _Dialect | None) -> Iterator[_Dialect]:
    delimiters = dict.fromkeys([*([usual.delimiter] if usual else []), *DELIMITERS])
    for delimiter in delimiters:
        for dialect in (_Dialect(delimiter), _Dialect(delimiter, '"', "\\"), _Dialect(delimiter, "'")):
            if dialect != usual:
                yield dialect


def _even(source: Source, dialects: Iterable[_Dialect]) -> _Dialect | None:
    """The first that cuts all lines into equally many cells, two at least. Single quotes must be around each name."""
    for dialect in dialects:
        if dialect.delimiter.encode() not in source.content or (dialect.escape and b'\\"' not in source.content):
            continue
        if dialect.quote == "'" and not _in_single_quotes(source, dialect.delimiter):
            continue
        trial = Source(source.content, source.columns, source.encoding)
        try:
            width = {len(row) for row in islice(_rows(trial, dialect), MOST_ROWS + 1)}
        except Malformed:
            continue
        if width and min(width) > 1:
            return dialect
    return None


def _in_single_quotes(source: Source, delimiter: str) -> bool:
    line = next((line.strip() for line in _decoded_lines(source) if line.strip()), "")
    return len(line) > 1 and line[0] == line[-1] == "'" and f"'{delimiter}'" in line


def _count(source: Source, dialect: _Dialect) -> int | None:
    """How many rows a table has in one way of reading it; None where it is malformed."""
    trial = Source(source.content, source.columns, source.encoding)
    try:
        return sum(1 for _ in islice(_rows(trial, dialect), MOST_ROWS + 1))
    except Malformed:
        return None


def _rows(source: Source, dialect: _Dialect) -> Iterator[Row]:
    rule = f"put cells that contain {dialect.delimiter!r} in double quotes"
    return named_cells(_cells(source, dialect), source, rule=rule)


def _cells(source: Source, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        source.lines(newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
        strict=True,
    )
    usual = csv.field_size_limit(_NO_LIMIT)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise Malformed(
            f"line {reader.line_num} is not well formed: {error}; a quote inside a quoted cell is written twice"
        ) from error
    except UnicodeError as error:
        raise source.misread(error) from error
    finally:
        csv.field_size_limit(usual)


def _decoded_lines(source: Source) -> Iterator[str]:
    try:
        yield from source.lines(newline="")
    except UnicodeError as error:
        raise source.misread(error) from error
