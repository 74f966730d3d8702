"""Bytes become text, or a message with the lines that are no UTF-8 and a way to mend the file that keeps the rest."""

import codecs
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_LINES: Final = 5
"""Lines that a message lists at most."""


class NotUtf8(ValueError):
    """What is wrong, as the end of a sentence: the caller knows the file."""

    def __init__(self, message: str, *, encoding: str | None = None) -> None:
        self.encoding = encoding
        """What the whole content seems to be encoded in, if that can be told."""
        super().__init__(message)


def has_utf8_path(path: Path) -> bool:
    """Whether the absolute path can be written into a config, a record or a URL, which are text."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_utf8(content: bytes) -> str:
    """UTF-8 text, without a byte order mark.

    Raises:
        NotUtf8: with the encoding that the file seems to have, or the lines where it is damaged, and what converts it.
    """
    if encoding := _wide_encoding(content):
        message = f"must be UTF-8, but it looks like {encoding}; {_conversion(encoding)}"
        raise NotUtf8(message, encoding=encoding)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _diagnosis(content, error) from error


def marked_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32, where a byte order mark says so."""
    return "utf-32" if content.startswith(_UTF32) else "utf-16" if content.startswith(_UTF16) else None


def _wide_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32 by the byte order mark; without one, UTF-16 of Western text has a NUL in every second byte."""
    if encoding := marked_encoding(content):
        return encoding
    first, second = content[::2].count(0), content[1::2].count(0)
    if max(first, second) * 4 > len(content):
        return "utf-16le" if second > first else "utf-16be"
    return None


def _diagnosis(content: bytes, error: UnicodeDecodeError) -> NotUtf8:
    valid = content.decode("utf-8", "ignore").encode()
    invalid, beyond_ascii = len(content) - len(valid), len(valid) - len(valid.decode("ascii", "ignore"))
    if beyond_ascii > invalid:
        lines = list(islice(_invalid_lines(content), _LINES + 1))
        listed = ", ".join(map(str, lines[:_LINES])) + (", …" if len(lines) > _LINES else "")
        count = f"{invalid:,} byte{'' if invalid == 1 else 's'}"
        remedy = "correct them there, or drop those bytes alone with `iconv -c -f utf-8 -t utf-8 FILE > NEW`"
        return NotUtf8(
            f"must be UTF-8, as nearly all of it is, but {count} in line{'s'[: len(lines) > 1]} {listed}; {remedy}"
        )
    rule = f"must be UTF-8, but byte {error.start} (line {_line(content, error.start)}) is {content[error.start]:#04x}"
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return NotUtf8(f"{rule}; find out which encoding it has, then {_conversion('ENCODING')}")
    advice = f"for Western European text {_conversion('cp1252')}; for another language, name its encoding after -f"
    return NotUtf8(f"{rule}; {advice}", encoding="cp1252")


def _conversion(encoding: str) -> str:
    return f"`iconv -f {encoding} -t utf-8 FILE > NEW` converts it"


def _invalid_lines(content: bytes) -> Iterator[int]:
    """Numbers of the lines with bytes that are no UTF-8, each once."""
    last, begin = 0, 0
    while True:
        try:
            content[begin:].decode("utf-8")
            return
        except UnicodeDecodeError as error:
            line = _line(content, begin + error.start)
            if line != last:
                yield line
            last = line
            begin = content.find(b"\n", begin + error.start) + 1 or len(content)


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
