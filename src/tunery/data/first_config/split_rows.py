"""The rows of each split: of the file itself, by a column that names splits, or of the files beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tunery.data.examples import RowReader
from tunery.data.first_config.label_columns import LabelColumns
from tunery.data.first_config.profiles import Profile
from tunery.data.first_config.text_columns import SHOWN
from tunery.data.reading.cells import BadCell, Unlabelled
from tunery.data.reading.load import Table, read_file
from tunery.data.reading.source import Row
from tunery.data.reading.split_files import split_file, split_named, split_of, unused
from tunery.errors import DataError, enumerated
from tunery.schema.config.data import Documents

RowLabels = list[tuple[str, ...] | None]
"""The labels of each row; None where a row has none and needs one."""


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
    notes: tuple[str, ...]


class _Candidate(NamedTuple):
    """Rows that may become the validation or test split."""

    split: str
    rows: list[Row]
    name: str
    """What notes call them."""
    file: Path | None = None
    """Where they are, if not in the training file."""


def split_rows(
    path: Path,
    table: Table,
    labels: LabelColumns,
    texts: Sequence[Profile],
    split_column: Profile | None,
    *,
    columns: tuple[str, ...] | None,
    encoding: str | None,
    documents: Documents | None = None,
) -> SplitRows:
    """The training rows, and those of other splits whose columns and labels can be read; why others were left out.

    Args:
        table: the training file, which is at `path`.
        split_column: the column of that file that says which row is of which split.
        documents: what is one text in files of plain text; None: they are tables.

    Raises:
        DataError: the labels of the training rows cannot be read, or those of a split that the column names say
            nothing about a model.
    """
    if split_column is None:
        needed = [*texts, *labels.columns, *filter(None, [labels.evidence, labels.rejected])]
        train, (candidates, notes) = table.rows, _other_files(path, table, needed, columns, encoding, documents)
    else:
        train, candidates = _by_column(table.rows, split_column)
        notes = [f"the column {split_column.name!r} says which rows are of which split"]
    notes = [*table.notes, *notes]
    reader = labels.reader(texts[0])
    try:
        labels_of_train = row_labels(reader, train)
    except BadCell as error:
        raise DataError(f"{path.name}: {error}") from error
    rows, files, unlabelled, unseen = {"train": train}, {"train": path}, labels_of_train.count(None), Counter[str]()
    counts = Counter(name for names in labels_of_train for name in names or ())
    for split, other_rows, name, file in candidates:
        labels_of_rows, problem = _labels_and_problem(reader, other_rows, counts, labels)
        if problem and split_column is not None:
            raise DataError(f"{name}: {problem}; correct these rows, or remove them")
        if problem:
            notes.append(f"{name} is left out: {problem}; {split} is split off from train")
            continue
        rows[split] = other_rows
        if file is not None:
            files[split] = file
        unlabelled += labels_of_rows.count(None)
        unseen += Counter(label for names in labels_of_rows for label in names or () if label not in counts)
    if split_column is None:
        used = [*files.values(), *(labels.annotated.files if labels.annotated else ())]
        not_noted = [file for file in unused(path, used) if not any(n.startswith(f"{file} ") for n in notes)]
        notes += [f"{file} lies beside and is not used" for file in not_noted]
    if unlabelled:
        what = "number" if labels.are_numbers else "label"
        notes.append(f"{unlabelled:,} rows have no {what} and are left out")
    if unseen:
        names = enumerated([f"{label!r} {count:,}" for label, count in unseen.most_common()], SHOWN)
        notes.append(f"rows with labels that train lacks are left out: {names}")
    return SplitRows(rows, files, counts, unlabelled, unseen, tuple(notes))


def _by_column(rows: Sequence[Row], column: Profile) -> tuple[list[Row], list[_Candidate]]:
    """The rows of train, and those of the other splits that the column names."""
    by_split: dict[str | None, list[Row]] = {}
    for row in rows:
        by_split.setdefault(split_named(str(row[column.name]).strip()), []).append(row)
    others = [split for split in ("validation", "test") if split in by_split]
    return by_split["train"], [_Candidate(split, by_split[split], f"{split} in {column.name}") for split in others]


def _other_files(
    path: Path,
    table: Table,
    needed: Sequence[Profile],
    columns: tuple[str, ...] | None,
    encoding: str | None,
    documents: Documents | None,
) -> tuple[list[_Candidate], list[str]]:
    """The validation and test files beside the training file that have the needed columns, and notes about them."""
    candidates: list[_Candidate] = []
    notes: list[str] = []
    for split in ("validation", "test") if split_of(path) == "train" else ():
        if (file := split_file(path, "train", split)) is None:
            continue
        try:
            other = read_file(file, columns=columns, encoding=encoding, documents=documents)
        except DataError as error:
            notes.append(f"{file.name} is left out: {error}")
            continue
        missing = [column.name for column in needed if not any(column.name in row for row in other.rows)]
        if missing:
            notes.append(f"{file.name} has no column {missing[0]!r} and is left out: {split} is split off from train")
            continue
        candidates.append(_Candidate(split, other.rows, file.name, file))
        notes += [f"{file.name}: {note}" for note in other.notes if note not in table.notes]
    return candidates, notes


def _labels_and_problem(
    reader: RowReader, rows: Sequence[Row], counts: Counter[str], labels: LabelColumns
) -> tuple[RowLabels, str]:
    """The labels of each row, and why they say nothing about a model that was trained on labels with these counts;
    empty where they do, as those of rows with evidence of the only label there is, numbers, and where there are no
    labels."""
    try:
        labels_of_rows = row_labels(reader, rows)
    except BadCell as problem:
        return [], f"its labels cannot be read: {problem}"
    if labels.alone is not None:
        return labels_of_rows, ""
    is_evidence = labels.kind == "criteria_evidence"
    taught = [names for names in labels_of_rows if names is not None and counts.keys() >= set(names)]
    if len({frozenset(names) for names in taught}) > 1 or (is_evidence and len(counts) == 1 and any(taught)):
        return labels_of_rows, ""
    if all(names is None for names in labels_of_rows):
        return labels_of_rows, f"no row has a {'number' if labels.are_numbers else 'label'}"
    if labels.are_numbers:
        return labels_of_rows, ""
    if not taught:
        seen = Counter(name for names in labels_of_rows for name in names or ())
        return labels_of_rows, f"train has none of its labels ({enumerated([*map(repr, seen)], SHOWN)})"
    return labels_of_rows, f"every row has the same label, {' + '.join(taught[0]) or 'none'!r}"


def row_labels(reader: RowReader, rows: Sequence[Row]) -> RowLabels:
    """The labels of each row, as a run reads them; None where a row has none and needs one.

    Raises:
        BadCell: a cell is no label, or no evidence of one.
    """
    labels_of_rows: RowLabels = []
    for number, row in enumerate(rows, start=1):
        try:
            labels_of_rows.append(reader.read(row).labels)
        except Unlabelled:
            labels_of_rows.append(None)
        except BadCell as problem:
            raise BadCell(f"row {number}: {problem}") from problem
    return labels_of_rows
