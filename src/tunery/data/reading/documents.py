"""Texts without labels: what is one text in a file of plain text, and how rows of language models are read."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from tunery.data.examples import Annotation, RowReader
from tunery.data.reading.source import MOST_BYTES_OF_TEXT, MOST_ROWS, Malformed, Row, Source, TooMuch
from tunery.data.reading.turns import completions, conversations
from tunery.schema.config.data import Data, Documents

DEFAULT: Final[Documents] = "file"
_NAMES: Final = {"line": "each line", "paragraph": "each paragraph, with blank lines between them,", "file": "the file"}


def documents(data: Data) -> RowReader:
    """Of rows that a language model learns from: prompts with completions, conversations, or texts alone."""
    if data.messages is not None:
        return conversations(data)
    if data.prompt is not None:
        return completions(data)
    return RowReader(columns=(), read=lambda _: Annotation(), documents=data.documents or DEFAULT)


def parse_documents(source: Source, documents: Documents) -> list[Row]:
    """The texts of a file of plain text, in one column. Ends of lines become `\\n`; blank texts are left out.

    Raises:
        Malformed: `data.columns` names more than one column, or there are more than `MOST_ROWS` texts.
    """
    name, *others = source.columns or ("text",)
    if others:
        raise Malformed(f"`data.columns` must name one column for files of plain text, but names {len(others) + 1}")
    source.note(f"{_NAMES[documents]} is a text, in the column {name!r} (data.documents: {documents})")
    rows: list[Row] = []
    for text in _texts(source, documents):
        if len(rows) == MOST_ROWS:
            raise TooMuch("more", most_bytes=MOST_BYTES_OF_TEXT)
        rows.append({name: text})
    return rows


def _texts(source: Source, documents: Documents) -> Iterator[str]:
    try:
        lines = source.lines(newline=None)
        if documents == "line":
            yield from (line.rstrip("\n") for line in lines if line.strip())
        elif documents == "paragraph":
            yield from ("".join(some).rstrip("\n") for blank, some in groupby(lines, key=str.isspace) if not blank)
        elif (text := lines.read()).strip():
            yield text
    except UnicodeError as error:
        raise source.misread(error) from error
