"""The rows of each split: of the file itself, by a column that names splits, or of the files beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunery.data.first_config.label_columns import LabelColumns
from tunery.data.first_config.profiles import Profile
from tunery.data.first_config.text_columns import SHOWN
from tunery.data.reading.cells import BadCell, flag_of, label_of, names_of
from tunery.data.reading.load import read_file
from tunery.data.reading.source import Row
from tunery.data.reading.split_files import split_file, split_named, split_of, unused
from tunery.errors import DataError, enumerated


class SplitRows(NamedTuple):
    """The rows of each split that there is, train first."""

    rows: dict[str, list[Row]]
    files: dict[str, Path]
    counts: Counter[str]
    """Rows of train per label."""
    unlabelled: int
    """Rows of all splits without a label where each needs one."""
    unseen: Counter[str]
    """Rows per label that only other splits have."""
    by_column: bool
    """Whether a column says which row is of which split."""
    notes: tuple[str, ...]


def split_rows(
    path: Path,
    table: list[Row],
    told: Sequence[str],
    answer: LabelColumns,
    read: Sequence[Profile],
    of_splits: Profile | None,
    *,
    columns: tuple[str, ...] | None,
    encoding: str | None,
) -> SplitRows:
    """The training rows, and those of other splits whose columns and labels can be read; why others were left out."""
    notes, files, rows = list(told), {"train": path}, {"train": table}
    others: dict[str, tuple[list[Row], str]] = {}
    if of_splits is not None:
        by_role: dict[str, list[Row]] = {"train": []}
        for row in table:
            by_role.setdefault(str(split_named(str(row[of_splits.name]).strip())), []).append(row)
        rows["train"] = by_role.pop("train")
        others = {role: (some, f"{role} in {of_splits.name}") for role, some in by_role.items()}
        notes.append(f"the column {of_splits.name!r} says which rows are of which split")
    else:
        for role in ("validation", "test") if split_of(path) == "train" else ():
            if (file := split_file(path, "train", role)) is None:
                continue
            try:
                other = read_file(file, columns=columns, encoding=encoding)
            except DataError as error:
                notes.append(f"{file.name} is left out: {error}")
                continue
            needed = [column.name for column in (*read, *answer.columns)]
            if missing := [name for name in needed if not any(name in row for row in other.rows)]:
                notes.append(
                    f"{file.name} has no column {missing[0]!r} and is left out: {role} is split off from train"
                )
                continue
            others[role] = other.rows, file.name
            files[role] = file
            notes += [f"{file.name}: {note}" for note in other.notes if note not in told]
    try:
        labels = row_labels(answer, rows["train"])
    except BadCell as problem:
        raise DataError(f"{path.name}: {problem}") from problem
    counts = Counter(name for names in labels for name in names or ())
    unlabelled = labels.count(None)
    unseen: Counter[str] = Counter()
    for role in [role for role in ("validation", "test") if role in others]:
        some, name = others[role]
        try:
            labels = row_labels(answer, some)
        except BadCell as problem:
            reason = f"its labels cannot be read: {problem}"
        else:
            taught = [names for names in labels if names is not None and counts.keys() >= set(names)]
            different = {frozenset(names) for names in taught}
            reason = "" if len(different) > 1 else _lacks(labels, taught)
        if reason and of_splits is None:
            notes.append(f"{name} is left out: {reason}; {role} is split off from train")
            del files[role]
        elif reason:
            raise DataError(f"{name}: {reason}; correct these rows, or remove them")
        else:
            rows[role] = some
            unlabelled += labels.count(None)
            unseen += Counter(label for names in labels for label in names or () if label not in counts)
    if of_splits is None and (lying := unused(path, [*files.values()])):
        lying = [name for name in lying if not any(note.startswith(f"{name} ") for note in notes)]
        notes += [f"{name} lies beside and is not used" for name in lying]
    if unlabelled:
        notes.append(f"{unlabelled:,} rows have no label and are left out")
    if unseen:
        names = enumerated([f"{label!r} {count:,}" for label, count in unseen.most_common()], SHOWN)
        notes.append(f"rows with labels that train lacks are left out: {names}")
    return SplitRows(rows, files, counts, unlabelled, unseen, of_splits is not None, tuple(notes))


def _lacks(labels: Sequence[tuple[str, ...] | None], taught: Sequence[tuple[str, ...]]) -> str:
    """Why rows say nothing about a model."""
    if all(names is None for names in labels):
        return "no row has a label"
    if not taught:
        seen = Counter(name for names in labels for name in names or ())
        return f"train has none of its labels ({enumerated([*map(repr, seen)], SHOWN)})"
    return f"every row has the same label, {' + '.join(taught[0]) or 'none'!r}"


def row_labels(answer: LabelColumns, rows: Sequence[Row]) -> list[tuple[str, ...] | None]:
    """The labels of each row, as a run reads them; None where a row has none and needs one.

    Raises:
        BadCell: a cell is no label.
    """
    names = [column.name for column in answer.columns]
    known: dict[str, tuple[str, ...] | None] = {}
    found: list[tuple[str, ...] | None] = []
    for number, row in enumerate(rows, start=1):
        cell = row.get(names[0])
        try:
            if len(names) > 1:
                found.append(tuple(name for name in names if flag_of(row.get(name))))
            elif not isinstance(cell, str):
                found.append(_label_cell(answer, cell))
            else:
                if cell not in known:
                    known[cell] = _label_cell(answer, cell)
                found.append(known[cell])
        except BadCell as problem:
            raise BadCell(f"a cell of {enumerated(names, SHOWN)} in row {number} {problem}") from problem
    return found


def _label_cell(answer: LabelColumns, cell: Any) -> tuple[str, ...] | None:
    if answer.kind == "multilabel":
        return names_of(cell, separator=answer.separator or "|")
    name = label_of(cell)
    return None if name is None else (name,)
