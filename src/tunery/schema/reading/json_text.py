"""JSON without duplicate keys. Whatever is wrong with a text is one kind of error, with its place."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final


class NotJson(ValueError):
    """What is wrong with a text, and where: line and column count from 1, None where the place is not known."""

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason if line is None else f"line {line}, column {column}: {reason}")


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        NotJson: no JSON, a duplicate key, a number or a nesting beyond what Python reads.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, text) from error


def json_items(text: str) -> Iterator[Any]:
    """The items of a text that is a JSON list, one after the other: what follows has not been looked at.

    Raises:
        NotJson: as `parse_json` does.
    """
    try:
        begin = _BEGIN.match(text)
        if begin is None:
            raise json.JSONDecodeError("Expecting a list", text, 0)
        position = begin.end()
        end = _END.match(text, position)
        while end is None:
            item, position = _DECODER.raw_decode(text, position)
            yield item
            comma, end = _COMMA.match(text, position), _END.match(text, position)
            if comma is not None:
                position = comma.end()
            elif end is None:
                raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
        if end.end() < len(text):
            raise json.JSONDecodeError("Extra data", text, end.end())
    except (ValueError, RecursionError) as error:
        raise _not_json(error, text) from error


def _not_json(error: ValueError | RecursionError, text: str) -> NotJson:
    if isinstance(error, NotJson):
        return error
    if isinstance(error, json.JSONDecodeError):
        return NotJson(error.msg, line=error.lineno, column=error.colno)
    if isinstance(error, RecursionError):
        return NotJson("lists and objects are nested too deeply")
    return _too_long(text, str(error))


def _too_long(text: str, reason: str) -> NotJson:
    """Where the number is that has more digits than Python turns into an int."""
    most = sys.get_int_max_str_digits()
    number = re.search(rf"\d{{{most + 1}}}", text, re.ASCII)
    if number is None:
        return NotJson(reason)
    before = text[: number.start()]
    column = number.start() - before.rfind("\n")
    return NotJson(f"a number has more than {most:,} digits", line=before.count("\n") + 1, column=column)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise NotJson(f"the key {next(key for key in counts if counts[key] > 1)!r} is there twice in one object")
    return mapping


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_BEGIN: Final = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*")
_COMMA: Final = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_END: Final = re.compile(r"[ \t\n\r]*\][ \t\n\r]*")
