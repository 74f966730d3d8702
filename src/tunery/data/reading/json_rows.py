"""JSON documents and JSON lines become rows, in the shapes in which tools write tables."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tunery.data.reading.questions import questions_inside
from tunery.data.reading.source import Malformed, Row, Source
from tunery.data.reading.tables import collected
from tunery.errors import enumerated, shortened
from tunery.schema.reading.json_text import NotJson, json_items, parse_json

_NO_LIST: Final = "the file must hold a list of JSON objects, one per row"


def parse_jsonl(source: Source) -> list[Row]:
    """One object a line. Blank lines are left out."""
    first = next((line for line in _lines(source) if not line.isspace()), "")
    if first.strip() in ("[", "{") or (first.lstrip().startswith("[") and _is_one_document(source)):
        return parse_json_document(source)
    return collected(_objects(source))


def parse_json_document(source: Source) -> list[Row]:
    """A list of objects; lines of objects, which are often saved under this suffix; an object with one such list in it;
    a table by columns; or lists in place of objects, where `data.columns` names what is in them."""
    text = source.text()
    if text.lstrip().startswith("["):
        try:
            return collected(_items(text, source))
        except NotJson as error:
            if error.reason != "Extra data":
                raise Malformed(f"the file is not JSON: {error}") from error
            return collected(_objects(source))
    try:
        document = parse_json(text)
    except NotJson as error:
        if error.reason == "Extra data":
            return collected(_objects(source))
        raise Malformed(f"the file is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed(_NO_LIST)
    return collected(_rows_inside(document, source))


def _is_one_document(source: Source) -> bool:
    try:
        for _ in json_items(source.text()):
            pass
    except NotJson as error:
        return error.reason != "Extra data"
    return True


def _lines(source: Source) -> Iterator[str]:
    try:
        # str.splitlines would also cut at U+2028, which JSON allows inside a string
        yield from source.lines(newline="\n")
    except UnicodeError as error:
        raise source.misread(error) from error


def _objects(source: Source) -> Iterator[Row]:
    for number, line in enumerate(_lines(source), start=1):
        if line.isspace():
            continue
        try:
            value = parse_json(line)
        except NotJson as error:
            column = "" if error.column is None else f" at column {error.column}"
            raise Malformed(f"line {number} is not JSON: {error.reason}{column}") from error
        yield _row(value, source, what=f"line {number}")


def _items(text: str, source: Source) -> Iterator[Row]:
    for number, value in enumerate(json_items(text), start=1):
        yield _row(value, source, what=f"item {number}")


def _row(value: Any, source: Source, *, what: str) -> Row:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and source.columns is not None:
        if len(value) != len(source.columns):
            raise Malformed(f"{what} has {len(value):,} values and `data.columns` names {len(source.columns):,}")
        return dict(zip(source.columns, value, strict=True))
    advice = "; name what is in it: `data.columns: [text, label]`" if isinstance(value, list) else ""
    raise Malformed(f"{what} must be a JSON object, but it is a {type(value).__name__}{advice}")


def _rows_inside(document: Mapping[str, Any], source: Source) -> Iterator[Row]:
    tables = {key: value for key, value in document.items() if _is_table(value)}
    if columns := _columns(document):
        source.note("its JSON object holds a table by columns")
        for cells in zip(*columns.values(), strict=True):
            yield dict(zip(columns, cells, strict=True))
    elif len(tables) > 1:
        sizes = enumerated([f"{key} {len(value):,}" for key, value in tables.items()])
        raise Malformed(f"{_NO_LIST}, but it holds {len(tables)} lists ({sizes}); save each as a file of its own")
    elif tables:
        (key, values), *_ = tables.items()
        if any(isinstance(value, dict) and "paragraphs" in value for value in values[:1]):
            yield from questions_inside(values)
            return
        source.note(f"the rows are the list {shortened(key, 40)!r} of its one JSON object")
        for number, value in enumerate(values, start=1):
            yield _row(value, source, what=f"item {number} of {shortened(key, 40)!r}")
    elif len(document) > 1 and all(isinstance(value, dict) for value in document.values()):
        source.note("the rows are the values of its one JSON object; their keys are left out")
        yield from document.values()
    else:
        raise Malformed(_NO_LIST)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict | list) for item in value)


def _columns(document: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    """The columns of a table that is written by columns: lists of one length, or objects with the same keys, which are
    more than there are columns."""
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values):
        in_step = len({len(value) for value in values}) == 1 and values[0]
        return dict(document) if in_step and not all(_is_table(value) for value in values) else None
    if not values or not all(isinstance(value, dict) for value in values) or len(values[0]) <= len(values):
        return None
    rows = values[0].keys()
    if any(value.keys() != rows for value in values) or any(
        isinstance(cell, dict) for value in values for cell in value.values()
    ):
        return None
    return {name: [value[row] for row in rows] for name, value in document.items()}
