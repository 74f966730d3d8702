"""JSON in which no key stands twice. Whatever is wrong with a text is one kind of error, with its place."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any


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
        NotJson: no JSON, a key that stands twice in one object, a number or a nesting beyond what Python reads.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg, line=error.lineno, column=error.colno) from error
    except RecursionError as error:
        raise NotJson("lists and objects are nested too deeply") from error
    except NotJson:
        raise
    except ValueError as error:
        raise _too_long(text, str(error)) from error


def _too_long(text: str, reason: str) -> NotJson:
    """The number that has more digits than Python turns into an int."""
    most = sys.get_int_max_str_digits()
    found = re.search(rf"\d{{{most + 1}}}", text, re.ASCII)
    if found is None:
        return NotJson(reason)
    before = text[: found.start()]
    column = found.start() - before.rfind("\n")
    return NotJson(f"a number has more than {most:,} digits", line=before.count("\n") + 1, column=column)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise NotJson(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
