"""Which columns of an unknown file hold evidence, and what annotators did: the unit, and whether they marked all."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tunery.data.checks.evidence_checks import UNEVEN
from tunery.data.evidence import annotation_of, share_marked, spans_of
from tunery.data.examples import Example, RowReader
from tunery.data.first_config.descriptions import NO_LABELS
from tunery.data.first_config.label_columns import AnnotatedFiles, LabelColumns, given_labels, likely_labels
from tunery.data.first_config.profiles import Profile, name_words
from tunery.data.first_config.template import EvidenceGuess
from tunery.data.first_config.text_columns import ColumnTable
from tunery.data.first_config.token_sample import MEASURED
from tunery.data.offsets import are_offsets
from tunery.data.reading.annotated_sentences import LABEL, POST, SENTENCE, STATUS
from tunery.data.reading.cells import BadCell, Unlabelled, is_listed, items_of, text_of
from tunery.data.reading.load import read_file
from tunery.data.reading.source import LONGEST_CELL, Row
from tunery.data.reading.split_files import annotations_of, split_file
from tunery.data.units import WHOLE, whole_sentences
from tunery.errors import DataError

EVIDENCE_WORDS: Final = frozenset(
    (
        "evidence",
        "evidences",
        "span",
        "spans",
        "rationale",
        "rationales",
        "highlight",
        "highlights",
        "offsets",
        "ranges",
    )
)
_REJECTED_WORDS: Final = frozenset(("rejected", "negative", "negatives", "not", "no", "non"))
_MOST: Final = 0.95
"""Share of the cells of a column of spans that are lists of spans, and of the spans that lie within their text."""
_MOST_ROWS: Final = 500
_MOST_CHARACTERS: Final = 2_000_000
"""Of the texts that are cut into sentences."""
_EMPTY: Final[tuple[Any, ...]] = ("[]", [], ())


class EvidenceColumns(NamedTuple):
    """Columns of spans of one text."""

    evidence: Profile
    rejected: Profile | None
    names_labels: bool
    """Whether spans say of which label they are."""
    notes: tuple[str, ...]


def span_columns(columns: Iterable[Profile]) -> tuple[Profile, ...]:
    """Columns of lists of spans, as far as can be told without their text."""
    return tuple(column for column in columns if _holds_ranges(column) or _holds_numbers(column))


def evidence_columns(spans: Sequence[Profile], text: Profile) -> EvidenceColumns | None:
    """The columns of spans that lie within a text; one that is named after evidence is preferred."""
    inside = [column for column in spans if _lie_within(column, text)]
    rejected = [column for column in inside if not _REJECTED_WORDS.isdisjoint(name_words(column.name))]
    evidence = [column for column in inside if column not in rejected]
    evidence.sort(key=lambda column: EVIDENCE_WORDS.isdisjoint(name_words(column.name)))
    if not evidence:
        return None
    unused = [column for column in spans if column is not evidence[0] and column not in rejected[:1]]
    notes = [f"{column.name!r} holds spans too and is not used" for column in unused]
    labels = any(_label_of(item) for value in _some_filled(evidence[0].filled) for item in _items(value) or ())
    return EvidenceColumns(evidence[0], rejected[0] if rejected else None, labels, tuple(notes))


def labels_beside(
    columns: EvidenceColumns,
    table: ColumnTable,
    rows: Sequence[Row],
    *,
    given: tuple[Profile, ...],
    possible: Sequence[Profile],
    text: Profile,
) -> LabelColumns:
    """The labels that evidence is for: those of a column, else those that the spans name, else a single one.

    Args:
        given: what the user has named.
        possible: other columns that may be labels.
    """
    labels = _with_evidence(LabelColumns("multilabel", ()), columns)
    if given:
        return _with_evidence(given_labels(table, given, possible, None), columns)
    with suppress(DataError):  # evidence alone can be learned
        labels = _with_evidence(likely_labels(table, possible, None), columns)
    if labels.columns and columns.names_labels and _refused(labels.reader(text), rows) > 1 - _MOST:
        notes = [f"{column.name!r} is not used: spans name labels of their own" for column in labels.columns]
        return _with_evidence(LabelColumns("multilabel", (), notes=tuple(notes)), columns)
    if not labels.columns:
        alone = "they are those of its spans" if columns.names_labels else "evidence is all that is learned"
        return labels._replace(notes=(*labels.notes, f"no column is taken for the labels of a text: {alone}"))
    return labels


def _with_evidence(labels: LabelColumns, columns: EvidenceColumns) -> LabelColumns:
    return LabelColumns(
        "criteria_evidence",
        labels.columns,
        labels.separator,
        (*labels.notes, *columns.notes),
        evidence=columns.evidence,
        rejected=columns.rejected,
        exclusive=labels.kind == "classification",
    )


def _refused(reader: RowReader, rows: Sequence[Row]) -> float:
    """The share of a sample of rows whose evidence is not that of their labels."""
    sample = random.Random(0).sample(rows, min(MEASURED, len(rows)))
    refused = 0
    for row in sample:
        try:
            reader.read(row)
        except Unlabelled:
            continue
        except BadCell:
            refused += 1
    return refused / len(sample)


def annotated_posts(path: Path, table: ColumnTable, encoding: str | None) -> AnnotatedFiles | None:
    """The files of annotated sentences of posts, in the layout of ReDSM5, beside the training file and those of other
    splits; None where there are none."""
    posts = [path, *(file for split in ("validation", "test") if (file := split_file(path, "train", split)))]
    files = [file for post in posts if (file := annotations_of(post))]
    if not files or POST not in table.columns:
        return None
    labels: set[str] = set()
    for file in files:
        rows = read_file(file, encoding=encoding).rows
        if not {POST, SENTENCE, LABEL, STATUS} <= rows[0].keys():
            return None
        labels.update(str(row[LABEL]) for row in rows)
    return AnnotatedFiles(tuple(files), tuple(name for name in NO_LABELS if name in labels), encoding)


def guess_evidence(
    splits: Mapping[str, Sequence[Row]], reader: RowReader, labels: LabelColumns, *, text: str
) -> EvidenceGuess:
    """What annotators did, as it shows in a sample of the rows of each split, train first."""
    sample = {name: [*_examples(rows, reader, text)] for name, rows in splits.items()}
    whole = whole_sentences(_some_marked(sample["train"]))
    shares = {name: share for name, some in sample.items() if (share := share_marked(some)) is not None}
    train = shares.get("train", 0.0)
    denser = [name for name, share in shares.items() if share >= UNEVEN * train and name != "train"]
    if denser:
        verb = "is" if len(denser) == 1 else "are"
        why = f"{' and '.join(denser)} {verb} marked more densely: not all of it may be marked in train"
    elif annotation_of(shares.get("train"), exclusive=labels.exclusive) == "partial":
        why = "a text usually has more reasons for its label: not all of them may be marked"
    else:
        why = ""
    percent = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return EvidenceGuess(
        column=labels.evidence.name if labels.evidence else None,
        rejected=labels.rejected.name if labels.rejected else None,
        exclusive=labels.exclusive,
        unit="sentence" if whole is not None and whole >= WHOLE else "token",
        whole=whole or 0.0,
        annotation="partial" if why else "exhaustive",
        files=labels.annotated.files if labels.annotated else (),
        ignored=labels.annotated.ignored if labels.annotated else (),
        why=f"evidence covers so much of the texts that have any: {percent}{why and '; '}{why}",
    )


def _examples(rows: Sequence[Row], reader: RowReader, text: str) -> Iterator[Example]:
    for row in random.Random(0).sample(rows, min(MEASURED, len(rows))):
        try:
            annotation = reader.read(row)
        except BadCell:  # said where the splits are read, unless such rows are left out
            continue
        yield Example(text_of(row.get(text)), labels=annotation.labels, target=annotation.target)


def _some_marked(examples: Sequence[Example]) -> Iterator[Example]:
    """Rows with evidence from everywhere, as many as are quickly cut into sentences."""
    marked = [example for example in examples if example.target.spans]
    left = _MOST_CHARACTERS
    for example in marked[:: max(1, len(marked) // _MOST_ROWS)]:
        if left > 0:
            yield example
        left -= len(example.text)


def _items(cell: Any) -> Sequence[Any] | None:
    """The items of a list, or of a string that is one; None of anything else."""
    if not is_listed(cell):
        return None
    try:
        return items_of(cell)
    except BadCell:
        return None


def _holds_ranges(column: Profile) -> bool:
    if column.is_list or not column.filled or _items(column.filled[0]) is None:
        return False
    lists = [_items(value) for value in _some_filled(column.filled)]
    fitting = [items for items in lists if items and all(_is_range(item) for item in items)]
    return bool(lists) and len(fitting) >= _MOST * len(lists)


def _holds_numbers(column: Profile) -> bool:
    """Lists of numbers of characters: whole, ascending."""
    if not column.is_list or not all(name.isdecimal() for name in column.names):
        return False
    return are_offsets(([str(item) for item in items], LONGEST_CELL) for items in column.some)


def _some_filled(cells: Sequence[Any]) -> Sequence[Any]:
    """As many lists that are not empty as can be looked at closely, from everywhere."""
    filled = [cell for cell in cells if cell not in _EMPTY]
    return filled[:: max(1, len(filled) // MEASURED)]


def _is_range(item: Any) -> bool:
    if isinstance(item, dict):
        return {"start", "end"} <= item.keys()
    return isinstance(item, list | tuple) and len(item) in (2, 3) and all(isinstance(part, int) for part in item[:2])


def _label_of(item: Any) -> Any:
    if isinstance(item, dict):
        return item.get("label")
    return item[2] if isinstance(item, list | tuple) and len(item) == 3 else None


def _lie_within(column: Profile, text: Profile) -> bool:
    places = _some_filled([place for place, cell in enumerate(column.values) if cell and cell not in _EMPTY])
    pairs = [(column.values[place], text_of(text.values[place])) for place in places]
    if column.is_list:
        return are_offsets(([str(item) for item in cell], len(value)) for cell, value in pairs)
    refused = 0
    for cell, value in pairs:
        try:
            spans_of(cell, value, label="any")
        except BadCell:
            refused += 1
    is_named = not EVIDENCE_WORDS.isdisjoint(name_words(column.name))  # then what does not fit is a mistake to be told
    return refused <= (0.5 if is_named else 1 - _MOST) * len(pairs)
