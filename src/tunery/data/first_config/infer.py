"""From a data file to a first config: what `tunery init` finds out by looking."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tunery.data.first_config.profiles import LABEL_NAMES, PAIRS, TEXT_NAMES, Profile, is_group, is_id, profiles
from tunery.data.first_config.template import Guess, Kind, render, suggested_name
from tunery.data.lengths import Length, length_of
from tunery.data.reading.load import Row, read_rows
from tunery.data.reading.split_files import split_file, split_of, training_file
from tunery.errors import DataError, did_you_mean

__all__ = ["Guess", "guess", "render", "suggested_name"]

ENOUGH_GROUPS = 20
"""Groups below which a split of whole groups would be lopsided."""


class _Labels(NamedTuple):
    """Which columns hold the labels, and for what task."""

    kind: Kind
    columns: tuple[Profile, ...]
    separator: str | None = None
    note: str | None = None


class _Table:
    """A file with its columns; its errors say what was seen and what to type."""

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
    rows = read_rows(path)
    table = _Table(path, profiles(rows))
    given: tuple[Profile, ...] = ()
    if label:
        names = [label] if label in table.columns else [name.strip() for name in label.split(",")]
        given = tuple(table.column(name, "--label") for name in names)
    if text in [column.name for column in given]:
        raise DataError(f"--text and --label must name different columns, but both name {text!r}")
    first, second = _texts(table, text, besides=given)
    others = [c for c in table.columns.values() if c not in (first, second)]
    possible = [c for c in others if not is_id(c)]
    labels = _given_labels(table, given, possible, kind) if given else _likely_labels(table, possible, kind)
    rest = [column for column in others if column not in labels.columns]
    texts = [column.name for column in (first, second) if column]
    files, splits, notes = _split_files(path, rows, [*texts, *(column.name for column in labels.columns)])
    shared, shared_most = _shared([[tuple(str(row.get(name)) for name in texts) for row in split] for split in splits])
    length = _length(first, second)
    return Guess(
        kind=labels.kind,
        files=files,
        rows=len(rows),
        text=first.name,
        text_pair=second.name if second else None,
        label=tuple(column.name for column in labels.columns),
        separator=labels.separator,
        id=next((column.name for column in rest if is_id(column)), None),
        group=next((c.name for c in rest if is_group(c) and len(c.counts) >= ENOUGH_GROUPS), None),
        counts=_counts(labels),
        words=length.words,
        characters=length.characters,
        shared=shared,
        shared_most=shared_most,
        notes=(*((labels.note,) if labels.note else ()), *_headless(labels), *notes),
    )


def _texts(table: _Table, forced: str | None, *, besides: Sequence[Profile]) -> tuple[Profile, Profile | None]:
    """The column with the text, and that of the second text of each pair; `besides` are columns of labels."""
    named = {name.lower(): c for name, c in table.columns.items() if c.is_text and c not in besides}
    pairs = [(named[a], named[b]) for a, b in PAIRS if a in named and b in named and not named[b].is_classes]
    if forced is not None:
        first = table.column(forced, "--text")
        return first, next((b for a, b in pairs if a is first), None)
    return pairs[0] if pairs else (_text(table, named), None)


def _text(table: _Table, named: Mapping[str, Profile]) -> Profile:
    if "text" in named:
        return named["text"]
    long = [column for column in named.values() if not column.is_classes and not is_id(column)]
    long = sorted(long, key=lambda column: -column.weight) or [named[name] for name in TEXT_NAMES if name in named]
    if not long:
        rest = [column for column in named.values() if not is_id(column)] if len(named) > 1 else []
        raise table.without("there must be a column with texts, but none looks like one", "text", rest)
    close = [column for column in long if column.weight > long[0].weight / 2]
    usual = [column for column in close if column.name.lower() in TEXT_NAMES]
    if len(close) > 1 and len(usual) != 1:
        names = ", ".join(column.name for column in close)
        raise table.without(f"one column must be the text, but {len(close)} look like it ({names})", "text", close)
    return usual[0] if len(close) > 1 else long[0]


def _given_labels(
    table: _Table, columns: tuple[Profile, ...], possible: Sequence[Profile], kind: Kind | None
) -> _Labels:
    if len(columns) > 1:
        if bad := [column.name for column in columns if not column.is_binary]:
            rule = f"several label columns must hold 0 and 1, or no and yes, only, but {bad[0]!r} does not"
            raise table.without(rule, "label", _usable(possible))
        return _Labels("multilabel", columns)
    return _label_task(table, columns[0], possible, kind)


def _usable(columns: Iterable[Profile], *, besides: Profile | None = None) -> list[Profile]:
    """Those that teach something when `--label` names them: names that differ, and some of which repeat."""
    return [
        c for c in columns if c is not besides and not c.problem and (c.is_list or 2 <= len(c.counts) < len(c.filled))
    ]


def _label_task(table: _Table, column: Profile, possible: Sequence[Profile], kind: Kind | None) -> _Labels:
    """The task that one label column is for."""
    chosen: Kind = kind or ("multilabel" if column.is_several else "classification")
    rest = _usable(possible, besides=column)
    if column.problem:
        raise table.without(f"labels are names, but a cell of {column.name!r} {column.problem}", "label", rest)
    if chosen == "classification" and column.is_list:
        rule = f"a classification label is one value, but {column.name!r} holds lists"
        raise table.error(rule, "Pass --kind multilabel")
    if not column.is_list and not column.counts:
        raise table.without(
            f"labels are names, whole numbers or lists of them, but {column.name!r} is not", "label", rest
        )
    return _Labels(chosen, (column,), (column.separator or "|") if chosen == "multilabel" and column.counts else None)


def _likely_labels(table: _Table, others: Sequence[Profile], kind: Kind | None) -> _Labels:
    fitting = {
        "classification": lambda c: c.is_classes,
        "multilabel": lambda c: c.is_several or c.is_flag or c.is_usual,
    }
    possible = [c for c in others if c.is_label and not is_group(c) and (kind is None or fitting[kind](c))]
    usual = sorted((c for c in possible if c.is_usual), key=lambda c: LABEL_NAMES.index(c.name.lower()))
    if not possible:
        rule = "there must be a column with labels (few different values), but none looks like one"
        raise table.without(rule, "label", [c for c in _usable(others) if kind != "classification" or not c.is_list])
    if not usual and len(possible) > 1 and all(column.is_flag for column in possible) and kind != "classification":
        return _Labels("multilabel", tuple(possible))
    first = (usual or possible)[0]
    same = [column for column in possible if _same_classes(first, column)]
    if not usual and len(same) < len(possible):
        names = ", ".join(column.name for column in possible)
        rule = f"one column must be the label, but {len(possible)} could be ({names})"
        raise table.without(rule, "label", _usable(possible))
    best = next((column for column in same if not _is_number(column)), first) if _is_number(first) else first
    labels = _label_task(table, best, others, kind)
    if best is first:
        return labels
    return labels._replace(note=f"{best.name!r} is taken; it says in words what {first.name!r} says in numbers")


def _headless(labels: _Labels) -> Iterator[str]:
    """A note where the name of a label column is one of its labels: then the first line of the file is a row."""
    for column in labels.columns:
        if column.name in column.counts:
            yield (
                f"the first line seems to be a row, since {column.name!r} is a label; write the names of the columns "
                "above it"
            )


def _same_classes(one: Profile, other: Profile) -> bool:
    if one is other:
        return True
    if not one.counts or len(one.counts) != len(other.counts):
        return False
    return len({(str(a), str(b)) for a, b in zip(one.values, other.values, strict=True)}) == len(one.counts)


def _is_number(column: Profile) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in column.counts)


def _counts(labels: _Labels) -> dict[str, int]:
    first = labels.columns[0]
    if len(labels.columns) > 1:
        counts = Counter({column.name: column.ones for column in labels.columns})
    elif labels.separator:
        names = (name.strip() for cell in first.filled for name in str(cell).split(labels.separator))
        counts = Counter(name for name in names if name)
    else:
        counts = first.names if first.is_list else first.counts
    return dict(counts.most_common())


def _length(first: Profile, second: Profile | None) -> Length:
    """The shortest that 95 % of the rows do not exceed."""
    texts = zip(first.values, second.values if second else [None] * len(first.values), strict=True)
    lengths = sorted((length_of(f"{a or ''} {b or ''}") for a, b in texts), key=lambda length: length.tokens)
    return lengths[math.ceil(0.95 * len(lengths)) - 1]


def _split_files(
    path: Path, train: list[Row], needed: Iterable[str]
) -> tuple[dict[str, Path], list[list[Row]], list[str]]:
    """The files of all splits, their rows, and why one that is there was left out."""
    files, splits, notes = {"train": path}, [train], []
    for split in ("validation", "test") if split_of(path) == "train" else ():
        if (file := split_file(path, "train", split)) is None:
            continue
        rows = read_rows(file)
        if missing := [name for name in needed if not any(name in row for row in rows)]:
            notes.append(f"{file.name} has no column {missing[0]!r} and is left out: {split} is split off from train")
            continue
        files[split] = file
        splits.append(rows)
    return files, splits, notes


def _shared(splits: Sequence[Sequence[tuple[str, ...]]]) -> tuple[int, float]:
    """How many rows have a text that is in an earlier split too, and the largest share of a split that they are."""
    seen: set[tuple[str, ...]] = set()
    shared, most = 0, 0.0
    for texts in splits:
        count = sum(text in seen and bool(text[0].strip()) for text in texts)
        shared, most = shared + count, max(most, count / max(1, len(texts)))
        seen.update(texts)
    return shared, most
