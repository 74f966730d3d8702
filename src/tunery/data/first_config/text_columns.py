"""Which columns of an unknown file are its texts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from tunery.data.first_config.profiles import PAIRS, TEXT_NAMES, Profile, are_pair, is_group, is_id
from tunery.data.reading.columns import named_columns
from tunery.data.reading.source import Row
from tunery.errors import DataError, did_you_mean, enumerated

SHOWN: Final = 5
"""Names in a note."""
MOST_COLUMNS: Final = 40
"""Columns that a message describes."""


class ColumnTable:
    """A file with its columns; its errors say what was seen and what to type."""

    def __init__(self, path: Path, columns: Mapping[str, Profile]) -> None:
        self.path, self.columns = path, columns

    def error(self, rule: str, advice: str) -> DataError:
        """A rule that the file breaks and what to do, with the columns that it has."""
        columns = list(self.columns.values())
        lines = [f"  {column.describe()}" for column in columns[:MOST_COLUMNS]]
        if len(columns) > MOST_COLUMNS:
            lines.append(f"  and {len(columns) - MOST_COLUMNS:,} more")
        seen = "\n".join(lines)
        return DataError(f"{rule}. {advice}. Columns of {self.path.name}:\n{seen}")

    def undecided(
        self, rule: str, role: Literal["text", "label"], among: Sequence[Profile], *, otherwise: str = ""
    ) -> DataError:
        """No column was found for a role, or too many: `among` are those that would be accepted by name, `otherwise` is
        what else can be done."""
        names = enumerated([column.name for column in among])
        missing = f"No column can be the {role}: give the file one, named in the first line of a table"
        return self.error(rule, (f"Pass --{role} with one of: {names}" if among else missing) + otherwise)

    def column(self, name: str, flag: str) -> Profile:
        """The column that a flag names.

        Raises:
            DataError: there is none.
        """
        if name not in self.columns:
            raise DataError(f"{flag} names a column, but {name!r} is none; {did_you_mean(name, self.columns)}")
        return self.columns[name]


def text_columns(
    table: ColumnTable, rows: Sequence[Row], forced: str | None, second: str | None, *, besides: Sequence[Profile]
) -> tuple[tuple[Profile, ...], Profile | None]:
    """The columns that are joined as the text, and that of a second text.

    Args:
        besides: the labels, as far as they are known.
    """
    named = {name: c for name, c in table.columns.items() if c.is_text and c not in besides}
    pair = _pair(named)
    if forced is None:
        if second is not None:
            named.pop(second, None)
            return (_text(table, named),), table.column(second, "--text-pair")
        return ((pair[0],), pair[1]) if pair else ((_text(table, named),), None)
    names = named_columns(forced, rows[:1])
    texts = tuple(table.column(name, "--text") for name in ([names] if isinstance(names, str) else names))
    if second is not None:
        return texts, table.column(second, "--text-pair")
    return texts, pair[1] if pair and texts == (pair[0],) else None


def _pair(named: Mapping[str, Profile]) -> tuple[Profile, Profile] | None:
    """Two columns of texts that are compared, by their names."""
    lower = {name.lower(): column for name, column in named.items()}
    by_usual_names = [(lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower]
    texts = [column for column in named.values() if not column.is_classes and not is_id(column)]
    texts = texts[:MOST_COLUMNS]
    by_similar_names = [(a, b) for a in texts for b in texts if are_pair(a.name, b.name)]
    return next((pair for pair in (*by_usual_names, *by_similar_names) if not pair[1].is_classes), None)


def _text(table: ColumnTable, named: Mapping[str, Profile]) -> Profile:
    lower = {name.lower(): column for name, column in named.items()}
    if "text" in lower:
        return lower["text"]
    long = [column for column in named.values() if not column.is_classes and not is_id(column)]
    long = sorted(long, key=lambda column: -column.weight) or [lower[name] for name in TEXT_NAMES if name in lower]
    if not long:
        refuse_tagged_words(table)
        rest = [column for column in named.values() if not is_id(column)] if len(named) > 1 else []
        raise table.undecided("there must be a column with texts, but none looks like one", "text", rest)
    close = [c for c in long if c.weight > long[0].weight / 2 or (c.is_long_text and long[0].is_long_text)]
    usual = [column for column in close if column.name.lower() in TEXT_NAMES]
    if len(close) > 1 and len(usual) != 1:
        names = [name for name, column in table.columns.items() if column in close]
        joined = ",".join(names[:3])
        raise table.error(
            f"one column must be the text, but {len(close)} look like it ({enumerated(names)})",
            f"Pass --text with one of: {enumerated(names)}; if they belong together, --text {joined} joins them "
            f"(data.text); if they are compared, pass --text {names[0]} --text-pair {names[1]} (data.text_pair)",
        )
    return usual[0] if len(close) > 1 else long[0]


def unused_texts(rest: Sequence[Profile], texts: Sequence[Profile]) -> Iterable[str]:
    """A note about texts that the config does not read."""
    left = [c for c in rest if c.is_text and not is_id(c) and not is_group(c) and not c.is_classes and c.words >= 2]
    if left:
        joined = ",".join([*(column.name for column in texts), left[0].name])
        described = [f"{column.name} (text, {column.average})" for column in left]
        yield f"not used: {enumerated(described, SHOWN)}; `--text {joined}` reads both"


def refuse_tagged_words(table: ColumnTable) -> None:
    """Refuse a file with a tag for each word.

    Raises:
        DataError: it is one.
    """
    lists = {name: column for name, column in table.columns.items() if isinstance(next(iter(column.some), None), list)}
    tags = [name for name in lists if re.search(r"(^|_)tags?$", name.lower())]
    if tags and any(name.lower() in ("tokens", "words") for name in lists):
        raise table.error(
            f"labels are of whole texts, but {tags[0]!r} holds a tag for each word (token tagging)",
            "Give the file a column with texts and one with a label for each; or write the tags as B-PER, I-PER and O, "
            "in lists of strings or in a .conll file with a word and its tag in each line: they are read as evidence",
        )
