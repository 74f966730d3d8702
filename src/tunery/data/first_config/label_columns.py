"""Which columns of an unknown file are its labels, and for which task."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from tunery.data.evidence import evidence_reader
from tunery.data.examples import RowReader
from tunery.data.first_config.profiles import LABEL_NAMES, MOST_LEVELS, Profile, is_group
from tunery.data.first_config.template import Kind, TextGuess
from tunery.data.first_config.text_columns import SHOWN, ColumnTable, refuse_tagged_words
from tunery.data.reading.annotated_sentences import POST, AnnotatedSentences
from tunery.data.reading.documents import documents
from tunery.data.reading.labels import one_label, several_labels
from tunery.data.reading.numbers import one_number
from tunery.errors import DataError, enumerated, shortened
from tunery.schema.config.data import Data


class AnnotatedFiles(NamedTuple):
    """Files of annotated sentences beside files of posts."""

    files: tuple[Path, ...]
    ignored: tuple[str, ...]
    """Names in them that are no labels."""
    encoding: str | None

    def reader(self, text: Profile) -> RowReader:
        """How a run reads labels and evidence from a post."""
        data = Data(
            train="",
            text=text.name,
            id=POST,
            annotations=tuple(map(str, self.files)),
            ignore_labels=self.ignored,
            encoding=self.encoding,
        )
        sentences = AnnotatedSentences.read(data)
        read = evidence_reader(data, exclusive=False).read
        return RowReader(columns=(), read=lambda row: read(sentences.join([row], data, source="")[0]))


class LabelColumns(NamedTuple):
    """The columns that hold the labels, the task they are for, and what is to be said of them."""

    kind: Kind
    columns: tuple[Profile, ...]
    separator: str | None = None
    notes: tuple[str, ...] = ()
    evidence: Profile | None = None
    """The column of the spans that justify them."""
    rejected: Profile | None = None
    """The column of the spans that an expert rejected."""
    exclusive: bool = False
    """Whether rows with evidence have exactly one label."""
    ordinal: bool = False
    """Whether numbers are levels in an order."""
    annotated: AnnotatedFiles | None = None
    """The files that have labels and evidence, where no columns have them."""
    alone: TextGuess | None = None
    """Where texts are that have no labels; None: there are labels."""

    @property
    def is_single(self) -> bool:
        """Whether a row has exactly one label, or number."""
        return self.kind in ("classification", "regression") or self.exclusive

    @property
    def are_numbers(self) -> bool:
        """Whether a row has a number in place of labels."""
        return self.kind == "regression" and not self.ordinal

    def reader(self, text: Profile) -> RowReader:
        """How a run reads labels and evidence, or texts without any, from a row."""
        if self.annotated is not None:
            return self.annotated.reader(text)
        if self.alone is not None:
            return documents(Data(train="", text=text.name, **asdict(self.alone)))
        names = tuple(column.name for column in self.columns)
        data = Data(
            train="",
            text=text.name,
            label=names[0] if self.is_single else "",
            labels=names if len(names) > 1 else names[0] if names else None,
            label_separator=self.separator or "|",
            evidence=self.evidence and self.evidence.name,
            rejected=self.rejected and self.rejected.name,
        )
        if self.kind == "criteria_evidence":
            return evidence_reader(data, exclusive=self.exclusive)
        if self.kind == "regression":
            return one_number(data, ordinal=self.ordinal)
        return one_label(data) if self.is_single else several_labels(data)


def given_labels(
    table: ColumnTable, columns: tuple[Profile, ...], possible: Sequence[Profile], kind: Kind | None
) -> LabelColumns:
    """What the user has named.

    Raises:
        DataError: they hold no labels.
    """
    if len(columns) > 1:
        if bad := [column.name for column in columns if not column.is_binary]:
            rule = f"several label columns must hold 0 and 1, or no and yes, only, but {bad[0]!r} does not"
            raise table.undecided(rule, "label", _usable(possible))
        return LabelColumns("multilabel", columns)
    return _label_task(table, columns[0], possible, kind)


def _usable(columns: Iterable[Profile], *, besides: Profile | None = None) -> list[Profile]:
    """Those that teach something when `--label` names them: names that differ, and some of which repeat."""
    return [
        c for c in columns if c is not besides and not c.problem and (c.is_list or 2 <= len(c.counts) < len(c.filled))
    ]


def _label_task(table: ColumnTable, column: Profile, possible: Sequence[Profile], kind: Kind | None) -> LabelColumns:
    """The task that one label column is for."""
    rest = _usable(possible, besides=column)
    if kind in (None, "regression") and column.strays:
        raise _strays(table, column)
    if kind == "regression" or (kind is None and _is_of_numbers(column)):
        return _numbers(table, column, rest, is_asked=kind is not None)
    chosen: Kind = kind or ("multilabel" if column.is_several else "classification")
    if column.problem:
        raise table.undecided(f"labels are names, but a cell of {column.name!r} {column.problem}", "label", rest)
    if chosen == "classification" and column.is_list:
        rule = f"a classification label is one value, but {column.name!r} holds lists"
        raise table.error(rule, "Pass --kind multilabel")
    if not column.is_list and not column.counts and not column.is_score:
        raise table.undecided(
            f"labels are names, whole numbers or lists of them, but {column.name!r} is not", "label", rest
        )
    if column.is_score:
        raise _no_names(table, column)
    separator = (column.separator or "|") if chosen == "multilabel" and column.counts else None
    return LabelColumns(chosen, (column,), separator)


def _is_of_numbers(column: Profile) -> bool:
    """Whether a column that may be the label holds what has a size, and no names."""
    many = not (column.is_classes or column.is_usual) and len(set(column.numbers)) > MOST_LEVELS
    return column.is_continuous or column.is_graded or many


def _numbers(table: ColumnTable, column: Profile, rest: Sequence[Profile], *, is_asked: bool) -> LabelColumns:
    """Regression on a column; what is said tells how to learn it as classes, where it could be that."""
    if not column.numbers:
        rule = f"regression learns numbers that differ, but {column.name!r} does not hold such"
        raise table.undecided(rule, "label", [other for other in rest if other.numbers])
    if column.is_levels:
        note = f"{column.name!r} holds grades in an order: they are learned as levels (task.ordinal)"
    else:
        note = f"{column.name!r} holds numbers from {min(column.numbers):g} to {max(column.numbers):g}: they are "
        note += "learned as such (task.kind: regression)"
    other = "; --kind classification learns them as classes" if column.is_classes and not is_asked else ""
    return LabelColumns("regression", (column,), notes=(note + other,), ordinal=column.is_levels)


def likely_labels(table: ColumnTable, others: Sequence[Profile], kind: Kind | None) -> LabelColumns:
    """What the columns beside the text look like.

    Raises:
        DataError: none looks like labels, or several do, or they are for a task that there is not.
    """
    fitting = {
        "classification": lambda c: c.is_classes,
        "multilabel": lambda c: c.is_several or c.is_flag or c.is_usual,
    }
    if kind == "regression":
        return _numbers(table, _likely_numbers(table, others), (), is_asked=True)
    if kind is None and (spoilt := next((c for c in others if c.is_usual and c.strays), None)):
        raise _strays(table, spoilt)
    possible = [c for c in others if c.is_label and not is_group(c) and (kind is None or fitting[kind](c))]
    usual = sorted((c for c in possible if c.is_usual), key=lambda c: LABEL_NAMES.index(c.name.lower()))
    notes: list[str] = []
    if not possible:
        refuse_tagged_words(table)
        if kind is None and any(column.is_continuous or column.is_graded for column in others):
            return _numbers(table, _likely_numbers(table, others), (), is_asked=False)
        rule = "there must be a column with labels (few different values), but none looks like one"
        usable = [c for c in _usable(others) if kind != "classification" or not c.is_list]
        otherwise = "; or pass --kind mlm or causal_lm: the texts alone are learned then"
        raise table.undecided(rule, "label", usable, otherwise=otherwise)
    if not usual and len(possible) > 1 and all(column.is_flag for column in possible) and kind != "classification":
        blanks = [column.name for column in possible if len(column.filled) < len(column.values)]
        notes += [f"blank cells of {enumerated(blanks, SHOWN)} say no"] if blanks else []
        return LabelColumns("multilabel", tuple(possible), notes=tuple(notes))
    scores = [c for c in others if c.is_continuous and c.is_usual]
    if scores and not usual and kind is None:
        return _numbers(table, _likely_numbers(table, scores), (), is_asked=False)
    sounding = [column for column in possible if column.sounds_like_label]
    if not usual and len(possible) > 1 and len(sounding) == 1:
        labels = _label_task(table, sounding[0], others, kind)
        rest = enumerated([column.name for column in possible if column is not sounding[0]], SHOWN)
        notes.append(f"{sounding[0].name!r} is taken as the label by its name, and not {rest}")
        return labels._replace(notes=(*labels.notes, *notes))
    first = (usual or possible)[0]
    same = [column for column in possible if _same_classes(first, column)]
    if not usual and len(same) < len(possible):
        names = enumerated([column.name for column in possible])
        rule = f"one column must be the label, but {len(possible)} could be ({names})"
        raise table.undecided(rule, "label", _usable(possible))
    best = next((column for column in same if not _is_number(column)), first) if _is_number(first) else first
    labels = _label_task(table, best, others, kind)
    if best is not first:
        notes.insert(0, f"{best.name!r} is taken; it says in words what {first.name!r} says in numbers")
    return labels._replace(notes=(*labels.notes, *notes))


def _likely_numbers(table: ColumnTable, others: Sequence[Profile]) -> Profile:
    """The column whose numbers are to be learned: by its name, else the only one, else the only one with fractions.

    Raises:
        DataError: there is none, or several could be.
    """
    with_numbers = [column for column in others if column.numbers and not is_group(column)]
    named = [column for column in with_numbers if column.is_usual or column.is_graded]
    continuous = [column for column in with_numbers if column.is_continuous]
    for some in (named, with_numbers, continuous):
        if len(some) == 1:
            return some[0]
    names = (
        f"{len(with_numbers)} could be ({enumerated([c.name for c in with_numbers])})" if with_numbers else "none is"
    )
    raise table.undecided(f"one column must hold the numbers to be learned, but {names}", "label", with_numbers)


def _strays(table: ColumnTable, column: Profile) -> DataError:
    count = len(column.strays)
    some = enumerated([repr(shortened(stray, 40)) for stray in dict.fromkeys(column.strays)], SHOWN)
    return table.error(
        f"{column.name!r} holds numbers with fractions, but {count:,} of {len(column.filled):,} cells "
        f"{'is none' if count == 1 else 'are none'} ({some})",
        "Write them as numbers with a decimal point, or empty these cells; or pass --kind classification, if all of "
        "them are names",
    )


def _no_names(table: ColumnTable, column: Profile) -> DataError:
    value = next(str(value) for value in column.filled if not float(value).is_integer())
    return table.error(
        f"labels are names, but {column.name!r} holds numbers with fractions, such as {value}: a score",
        "Pass --kind regression",
    )


def _same_classes(one: Profile, other: Profile) -> bool:
    if one is other:
        return True
    if not one.counts or len(one.counts) != len(other.counts):
        return False
    return len({(str(a), str(b)) for a, b in zip(one.values, other.values, strict=True)}) == len(one.counts)


def _is_number(column: Profile) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in column.counts)
