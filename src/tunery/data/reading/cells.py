"""One cell of any format becomes a text, a name, or a list of names.

The rules are the same for every format, so that one data set saved as csv and as jsonl gives the same labels.
"""

import ast
import json
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final

from tunery.schema.reading.json_text import NotJson, parse_json

_NO, _YES = ("0", "false", "no", "n", "f"), ("1", "true", "yes", "y", "t")
_FLAGS: Final = dict.fromkeys(_NO, False) | dict.fromkeys(_YES, True)
"""What a flag may be written as, in lower case."""
_FLOAT_FLAG = re.compile(r"[01]\.0*")
_DECIMAL = re.compile(r"[-+]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,300}(\.\d{1,300})?")
_POSITIONS = re.compile(r"[01](?:\.0*)?(?:(?:\s+|\s*[,;|]\s*)[01](?:\.0*)?){2,}")
"""Three flags or more without brackets around them."""
_CONTAINER = re.compile(r"(?:np\.|numpy\.)?(?:array|list|tuple|set|frozenset)\((.*?)(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_PRINTED = rf"""(?:{_STRING.pattern}|[-+]?\d[\d.eE+-]*|True|False)"""
_PRINTED_ARRAY = re.compile(rf"\[\s*{_PRINTED}(?:\s+{_PRINTED})+\s*\]", re.DOTALL)


class BadCell(ValueError):
    """What a cell should be and is not; the caller knows row and file."""


class Unlabelled(BadCell):
    """There is no label in a cell that must have one."""


def name_of(cell: Any) -> str | None:
    """A label, id or group as it is written, stripped; None where the cell is empty."""
    if is_missing(cell):
        return None
    if isinstance(cell, list | tuple | set | frozenset | dict):
        raise BadCell(f"must hold one value, but got {_short(cell)}")
    name = str(cell).strip()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadCell(f"must hold whole characters, but got half of a surrogate pair: {_short(cell)}") from error
    return name or None


def label_of(cell: Any) -> str | None:
    """The only label of a row; a string that is a list of several, as JSON, Python or numpy writes it, is refused."""
    listed = _listed(cell.strip(), strict=False) if isinstance(cell, str) else _items(cell)
    if listed is not None:
        several = "task.kind=multilabel, or task.exclusive=false with data.labels"
        raise BadCell(f"must hold one value, but got a list: {_short(cell)}; several labels: {several}")
    return name_of(cell)


def names_of(cell: Any, *, separator: str) -> tuple[str, ...]:
    """The labels of a multilabel cell, each once, in order; none where the cell is empty.

    A list is taken as it is. A string that is a list, tuple or set as JSON, Python or numpy writes it gives its items;
    any other string is cut at `separator`.
    """
    listed = items_of(cell)
    if listed is not None:
        names = [name for name in map(name_of, listed) if name is not None]
        if len(names) < len(listed):
            raise BadCell(f"must hold a list of names, but one of them is empty: {_short(cell)}")
    else:
        parts = cell.split(separator) if isinstance(cell, str) else [cell]
        names = [name for name in map(name_of, parts) if name is not None]
    # flags by position look like labels called 0 and 1, but for their repeating
    if len(names) > len(set(names)) and all(as_flag(name) is not None for name in names):
        raise BadCell(
            f"must hold the names of labels, but got one flag per label without their names: {_short(cell)}; write the "
            "names of those that are given, or a column of 0 and 1 per label: data.labels=[first, second]"
        )
    return tuple(dict.fromkeys(names))


def joined(names: Sequence[str], *, separator: str) -> str:
    """A cell that `names_of` reads as these names: with the separator between them, or as a JSON list."""
    text = separator.join(names)
    try:
        return text if names_of(text, separator=separator) == tuple(names) else json.dumps(names, ensure_ascii=False)
    except BadCell:
        return json.dumps(names, ensure_ascii=False)


def items_of(cell: Any) -> Sequence[Any] | None:
    """The items of a cell that holds a list, or a string that is one (JSON, Python, numpy); None of others.

    Raises:
        BadCell: a string starts like a list and is none.
    """
    return _listed(cell.strip()) if isinstance(cell, str) else _items(cell)


def is_listed(cell: Any) -> bool:
    """Whether a cell holds a list of names, or a string that is one, well formed or not."""
    try:
        return items_of(cell) is not None
    except BadCell:
        return True


def as_flag(name: str) -> bool | None:
    """What a name says as a flag; None where it is none."""
    return _FLAGS.get(name[0] if _FLOAT_FLAG.fullmatch(name) else name.lower())


def same_but_for_writing(names: Iterable[str]) -> list[list[str]]:
    """Names in groups that differ only by case, white space, Unicode form or the way a number is written."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        # without spaces and what is not seen at all, such as zero-width joiners
        plain = "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")
        groups[str(Fraction(plain)) if _NUMBER.fullmatch(plain) else plain].append(name)
    return list(groups.values())


def is_number(name: str) -> bool:
    """Whether a name is a number as people write it."""
    return _DECIMAL.fullmatch(name) is not None


def is_score(names: Iterable[str]) -> bool:
    """Whether all are numbers, some of them with a fraction."""
    fractions = False
    for name in names:
        if name.isascii() and name.isdecimal():
            continue
        if not is_number(name):
            return False
        fractions = fractions or not float(name).is_integer()
    return fractions


def flag_of(cell: Any) -> bool:
    """Whether a cell of 0 or 1, no or yes, false or true says yes; an empty one says no."""
    flag = as_flag(name_of(cell) or "0")
    if flag is None:
        raise BadCell(f"must hold 0 or 1 (or no and yes, false and true), but got {_short(cell)}")
    return flag


def text_of(cell: Any) -> str:
    """A text; the empty string where the cell is empty. Halves of surrogate pairs become U+FFFD."""
    if type(cell) is str and cell.isascii():
        return cell
    if is_missing(cell):
        return ""
    if isinstance(cell, list | tuple | dict):
        raise BadCell(f"must hold a text, but got {_short(cell)}")
    text = str(cell)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell)


def _items(cell: Any) -> Sequence[Any] | None:
    if isinstance(cell, set | frozenset):
        return sorted(cell, key=str)
    return cell if isinstance(cell, list | tuple) else None


def _listed(text: str, *, strict: bool = True) -> list[Any] | None:
    """The items of a string that is a list; None where it is a plain name.

    Names may begin with a bracket too, so `(tuples)` and `{sets}` are lists only where they can be read as such. What
    begins with a quoted item must be one, and what begins with `[` where this is `strict`. Flags need no brackets.
    """
    if _POSITIONS.fullmatch(text):
        return re.split(r"[\s,;|]+", text)
    container = _CONTAINER.fullmatch(text)
    text = (container[1].strip() or "[]") if container else text
    if text[:1] not in ("[", "(", "{") or (text[0] == "(" and "," not in text and text != "()"):
        return None
    items = _parsed("[" + text[1:-1] + "]") if text[-1] == {"[": "]", "(": ")", "{": "}"}[text[0]] else None
    if items is None and text[0] == "{" and _is_object(text):
        raise BadCell(f"must hold names, but got an object: {_short(text)}")
    if items is None and ((strict and text[0] == "[") or text[1:].lstrip()[:1] in ("'", '"')):
        raise BadCell(f"starts like a list, but is none as JSON, Python or numpy writes it: {_short(text)}")
    return items


def _parsed(text: str) -> list[Any] | None:
    """The items between square brackets, as JSON, Python or numpy writes them."""
    try:
        return list(parse_json(text))
    except NotJson:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # about escapes such as `\\d`, which stay as they are
            if _PRINTED_ARRAY.fullmatch(text):
                return [ast.literal_eval(item) if item[0] in "'\"" else item for item in re.findall(_PRINTED, text)]
            nodes: list[ast.expr] = ast.parse(text, mode="eval").body.elts  # type: ignore[attr-defined]
        items = [ast.literal_eval(node) for node in nodes]
    except (ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
        return None
    strings = [node for node, item in zip(nodes, items, strict=True) if isinstance(item, str)]
    # Python joins neighbouring strings: a comma is missing there
    return items if all(_STRING.fullmatch(ast.get_source_segment(text, node) or "") for node in strings) else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _short(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."
