"""The bytes of one file, how they are to be read, and what has to be said about that."""

import codecs
import io
from dataclasses import dataclass, field
from typing import Any, Final

from tunery.schema.reading.utf8 import NotUtf8, decode_utf8, marked_encoding

Row = dict[str, Any]
MOST_ROWS: Final = 2_000_000
MOST_CELLS: Final = 20_000_000
MOST_BYTES: Final = 500_000_000
"""What is read of a data file, since all of it is held in memory: rows, values in them, and bytes, unpacked."""
MOST_BYTES_OF_TEXT: Final = 2_000_000_000
"""The same of a file of plain text, which takes less memory than a table of as many bytes."""
LONGEST_CELL: Final = 10_000_000
"""Characters of a value: three times those of War and Peace. More is a quote without its end, or no text."""


class Malformed(ValueError):
    """What is wrong inside a file; the caller knows its name."""


class TooMuch(Malformed):
    """Beyond what is read at once."""

    def __init__(self, amount: str, *, most_bytes: int = MOST_BYTES) -> None:
        most = f"{MOST_ROWS:,} rows, {MOST_CELLS:,} values and {most_bytes // 10**6:,} MB, unpacked"
        super().__init__(f"a data file has at most {most}, but this has {amount}; take a sample of its rows")


@dataclass
class Source:
    """What a parser gets, and where it leaves what a user should know."""

    content: bytes
    columns: tuple[str, ...] | None = None
    """Names of the columns of a file that has no header (`data.columns`)."""
    encoding: str | None = None
    """`data.encoding`; None: UTF-8, or UTF-16 or UTF-32 with a byte order mark."""
    notes: list[str] = field(default_factory=list)
    header: list[str] | None = None
    """The cells of the first line, as they are there, where that line named the columns."""

    def text(self) -> str:
        """The content, decoded.

        Raises:
            Malformed: it has another encoding.
        """
        try:
            return self.content.decode(self._codec())
        except UnicodeError as error:
            raise self.misread(error) from error

    def lines(self, *, newline: str | None) -> io.TextIOWrapper:
        """The lines one after the other, cut as `open` does with such a `newline`. Whoever iterates meets a
        `UnicodeError` where the encoding is another one, which `misread` explains."""
        return io.TextIOWrapper(io.BytesIO(self.content), encoding=self._codec(), newline=newline)

    def misread(self, error: UnicodeError) -> Malformed:
        """What to say where the content could not be decoded."""
        if self.encoding is not None:
            return Malformed(f"`data.encoding` says {self.encoding}, but as such it cannot be read: {error}")
        try:
            decode_utf8(self.content)
        except NotUtf8 as reason:
            named = f"; or name it in the config: `data.encoding: {reason.encoding}`" if reason.encoding else ""
            return Malformed(f"the file {reason}{named}")
        return Malformed(f"the file cannot be decoded: {error}")

    def _codec(self) -> str:
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise Malformed(f"the encoding must be the name of one of texts, but got {self.encoding!r}") from error
            return "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        if (encoding := marked_encoding(self.content)) is None:
            return "utf-8-sig"
        self.note(f"it is read as {encoding}, as its first bytes say")
        return encoding

    def note(self, message: str) -> None:
        """Something to be said once."""
        if message not in self.notes:
            self.notes.append(message)
