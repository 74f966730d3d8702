"""From a data file to a first config: what `tunery init` finds out by looking."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunery.data.first_config.profiles import LABEL_NAMES, PAIRS, TEXT_NAMES, Profile, is_group, is_id, profiles
from tunery.data.first_config.template import Guess, Kind, render, suggested_name
from tunery.data.lengths import Length, length_of
from tunery.data.reading.load import read_rows
from tunery.data.reading.split_files import role_of, sibling, training_file
from tunery.errors import DataError, did_you_mean

__all__ = ["Guess", "guess", "render", "suggested_name"]

ENOUGH_GROUPS = 20
"""Groups below which a split of whole groups would be lopsided."""


class _Answer(NamedTuple):
    kind: Kind
    columns: tuple[Profile, ...]
    separator: str | None = None
    note: str | None = None


class _Look:
    """A file with its columns; its complaints say what was seen and what to type."""

    def __init__(self, path: Path, columns: Mapping[str, Profile]) -> None:
        self.path, self.columns = path, columns

    def error(self, rule: str, advice: str) -> DataError:
        seen = "\n".join(f"  {column.describe()}" for column in self.columns.values())
        return DataError(f"{rule}. {advice}. Columns of {self.path.name}:\n{seen}")

    def without(self, rule: str, part: Literal["text", "label"], among: Sequence[Profile]) -> DataError:
        """A part for which no column was found, or too many: `among` are those that would be accepted by name."""
        names = ", ".join(column.name for column in among)
        missing = f"No column can be the {part}: give the file one, named in the first line of a table"
        return self.error(rule, f"Pass --{part} with one of: {names}" if among else missing)

    def column(self, name: str, flag: str) -> Profile:
        if name not in self.columns:
            raise DataError(f"{flag} names a column, but {name!r} is none; {did_you_mean(name, self.columns)}")
        return self.columns[name]


def guess(path: Path, *, text: str | None = None, label: str | None = None, kind: Kind | None = None) -> Guess:
    """Look at a data file and the files beside it, and say what they hold.

    Args:
        path: the training file (csv, tsv, jsonl, json, parquet), or its folder.
        text: column with the text, where it cannot be guessed.
        label: column with the label or labels; several 0/1 columns are separated by commas.
        kind: the task, where the column fits more than one.

    Raises:
        DataError: nothing or too much looks like a text or a label; it says what was seen and what to pass.
    """
    path = training_file(path)
    table = read_rows(path)
    look = _Look(path, profiles(table))
    labels = _named_labels(look, label) if label else ()
    if text in [column.name for column in labels]:
        raise DataError(f"--text and --label must name different columns, but both name {text!r}")
    first, second = _texts(look, text, besides=labels)
    others = [c for c in look.columns.values() if c not in (first, second)]
    possible = [c for c in others if not is_id(c)]
    answer = _forced(look, labels, possible, kind) if labels else _found(look, possible, kind)
    rest = [column for column in others if column not in answer.columns]
    needed = [first.name, *([second.name] if second else []), *(column.name for column in answer.columns)]
    files, tables, notes = _siblings(path, table, needed)
    shared, shared_most = _shared([[_key(row, needed[: 1 + (second is not None)]) for row in t] for t in tables])
    length = _length(first, second)
    return Guess(
        kind=answer.kind,
        files=files,
        rows=len(table),
        text=first.name,
        text_pair=second.name if second else None,
        label=tuple(column.name for column in answer.columns),
        separator=answer.separator,
        id=next((column.name for column in rest if is_id(column)), None),
        group=next((c.name for c in rest if is_group(c) and len(c.counts) >= ENOUGH_GROUPS), None),
        counts=_counts(answer),
        words=length.words,
        characters=length.characters,
        shared=shared,
        shared_most=shared_most,
        notes=(*((answer.note,) if answer.note else ()), *_headless(answer), *notes),
    )


def _texts(look: _Look, forced: str | None, *, besides: Sequence[Profile]) -> tuple[Profile, Profile | None]:
    """Args:
    besides: the labels, as far as they are known.
    """
    named = {name.lower(): c for name, c in look.columns.items() if c.is_text and c not in besides}
    pairs = [(named[a], named[b]) for a, b in PAIRS if a in named and b in named and not named[b].is_classes]
    if forced is not None:
        first = look.column(forced, "--text")
        return first, next((b for a, b in pairs if a is first), None)
    return pairs[0] if pairs else (_text(look, named), None)


def _text(look: _Look, named: Mapping[str, Profile]) -> Profile:
    if "text" in named:
        return named["text"]
    long = [column for column in named.values() if not column.is_classes and not is_id(column)]
    long = sorted(long, key=lambda column: -column.weight) or [named[name] for name in TEXT_NAMES if name in named]
    if not long:
        rest = [column for column in named.values() if not is_id(column)] if len(named) > 1 else []
        raise look.without("there must be a column with texts, but none looks like one", "text", rest)
    close = [column for column in long if column.weight > long[0].weight / 2]
    usual = [column for column in close if column.name.lower() in TEXT_NAMES]
    if len(close) > 1 and len(usual) != 1:
        names = ", ".join(column.name for column in close)
        raise look.without(f"one column must be the text, but {len(close)} look like it ({names})", "text", close)
    return usual[0] if len(close) > 1 else long[0]


def _named_labels(look: _Look, label: str) -> tuple[Profile, ...]:
    names = [label] if label in look.columns else [name.strip() for name in label.split(",")]
    return tuple(look.column(name, "--label") for name in names)


def _forced(look: _Look, columns: tuple[Profile, ...], possible: Sequence[Profile], kind: Kind | None) -> _Answer:
    if len(columns) > 1:
        if bad := [column.name for column in columns if not column.is_binary]:
            rule = f"several label columns must hold 0 and 1, or no and yes, only, but {bad[0]!r} does not"
            raise look.without(rule, "label", _usable(possible))
        return _Answer("multilabel", columns)
    return _judged(look, columns[0], possible, kind)


def _usable(columns: Iterable[Profile], *, besides: Profile | None = None) -> list[Profile]:
    """Those that teach something when `--label` names them: names that differ, and some of which repeat."""
    return [
        c for c in columns if c is not besides and not c.problem and (c.is_list or 2 <= len(c.counts) < len(c.filled))
    ]


def _judged(look: _Look, column: Profile, possible: Sequence[Profile], kind: Kind | None) -> _Answer:
    """The task that one label column is for."""
    chosen: Kind = kind or ("multilabel" if column.is_several else "classification")
    rest = _usable(possible, besides=column)
    if column.problem:
        raise look.without(f"labels are names, but a cell of {column.name!r} {column.problem}", "label", rest)
    if chosen == "classification" and column.is_list:
        rule = f"a classification label is one value, but {column.name!r} holds lists"
        raise look.error(rule, "Pass --kind multilabel")
    if not column.is_list and not column.counts:
        raise look.without(
            f"labels are names, whole numbers or lists of them, but {column.name!r} is not", "label", rest
        )
    return _Answer(chosen, (column,), (column.separator or "|") if chosen == "multilabel" and column.counts else None)


def _found(look: _Look, others: Sequence[Profile], kind: Kind | None) -> _Answer:
    fitting = {
        "classification": lambda c: c.is_classes,
        "multilabel": lambda c: c.is_several or c.is_flag or c.is_usual,
    }
    possible = [c for c in others if c.is_label and not is_group(c) and (kind is None or fitting[kind](c))]
    usual = sorted((c for c in possible if c.is_usual), key=lambda c: LABEL_NAMES.index(c.name.lower()))
    if not possible:
        rule = "there must be a column with labels (few different values), but none looks like one"
        raise look.without(rule, "label", [c for c in _usable(others) if kind != "classification" or not c.is_list])
    if not usual and len(possible) > 1 and all(column.is_flag for column in possible) and kind != "classification":
        return _Answer("multilabel", tuple(possible))
    first = (usual or possible)[0]
    same = [column for column in possible if _tells_the_same(first, column)]
    if not usual and len(same) < len(possible):
        names = ", ".join(column.name for column in possible)
        rule = f"one column must be the label, but {len(possible)} could be ({names})"
        raise look.without(rule, "label", _usable(possible))
    best = next((column for column in same if not _is_number(column)), first) if _is_number(first) else first
    answer = _judged(look, best, others, kind)
    if best is first:
        return answer
    return answer._replace(note=f"{best.name!r} is taken; it says in words what {first.name!r} says in numbers")


def _headless(answer: _Answer) -> Iterator[str]:
    """Said where the name of a label column is one of its labels: then the first line of the file is a row."""
    for column in answer.columns:
        if column.name in column.counts:
            yield (
                f"the first line seems to be a row, since {column.name!r} is a label; write the names of the columns "
                "above it"
            )


def _tells_the_same(one: Profile, other: Profile) -> bool:
    if one is other:
        return True
    if not one.counts or len(one.counts) != len(other.counts):
        return False
    return len({(str(a), str(b)) for a, b in zip(one.values, other.values, strict=True)}) == len(one.counts)


def _is_number(column: Profile) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in column.counts)


def _counts(answer: _Answer) -> dict[str, int]:
    if len(answer.columns) > 1:
        counts = Counter({column.name: column.ones for column in answer.columns})
    elif answer.separator:
        cells = answer.columns[0].filled
        counts = Counter(name.strip() for cell in cells for name in str(cell).split(answer.separator) if name.strip())
    else:
        counts = answer.columns[0].names if answer.columns[0].is_list else answer.columns[0].counts
    return dict(counts.most_common())


def _length(first: Profile, second: Profile | None) -> Length:
    """The shortest that 95 % of the rows do not exceed."""
    texts = zip(first.values, second.values if second else [None] * len(first.values), strict=True)
    lengths = sorted((length_of(f"{a or ''} {b or ''}") for a, b in texts), key=lambda length: length.tokens)
    return lengths[math.ceil(0.95 * len(lengths)) - 1]


Table = list[dict[str, Any]]


def _siblings(path: Path, table: Table, needed: Iterable[str]) -> tuple[dict[str, Path], list[Table], list[str]]:
    """The files of all splits, their rows, and why one that is there was left out."""
    files, tables, notes = {"train": path}, [table], []
    for role in ("validation", "test") if role_of(path) == "train" else ():
        if (file := sibling(path, "train", role)) is None:
            continue
        rows = read_rows(file)
        if missing := [name for name in needed if not any(name in row for row in rows)]:
            notes.append(f"{file.name} has no column {missing[0]!r} and is left out: {role} is split off from train")
            continue
        files[role] = file
        tables.append(rows)
    return files, tables, notes


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in names)


def _shared(splits: Sequence[Sequence[tuple[str, ...]]]) -> tuple[int, float]:
    """How many rows stand in an earlier split too, and the largest share of a split that they are."""
    seen: set[tuple[str, ...]] = set()
    copies, most = 0, 0.0
    for texts in splits:
        count = sum(text in seen and bool(text[0].strip()) for text in texts)
        copies, most = copies + count, max(most, count / max(1, len(texts)))
        seen.update(texts)
    return copies, most
