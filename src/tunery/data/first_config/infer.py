"""From a data file to a first config: what `tunery init` finds out by looking."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from tunery.data.examples import JOINT
from tunery.data.first_config.profiles import (
    LABEL_NAMES,
    PAIRS,
    TEXT_NAMES,
    Profile,
    are_pair,
    is_group,
    is_id,
    is_split,
    profiles,
)
from tunery.data.first_config.template import LENGTHS, TOLERABLE, Allowed, Guess, Kind, render, suggested_name
from tunery.data.lengths import length_of
from tunery.data.offsets import are_offsets
from tunery.data.reading.cells import BadCell, flag_of, label_of, names_of, text_of
from tunery.data.reading.columns import named_columns
from tunery.data.reading.load import read_file
from tunery.data.reading.source import Row
from tunery.data.reading.split_files import split_file, split_named, split_of, training_file, unused
from tunery.errors import DataError, did_you_mean, enumerated

__all__ = ["Guess", "Tokens", "guess", "render", "suggested_name"]

ENOUGH_GROUPS: Final = 20
"""Groups below which a split of whole groups would be lopsided."""
MOST_UNKNOWN, SOME_UNKNOWN, MOST_ALIKE = 0.3, 0.05, 0.5
"""Shares of unknown tokens, and of rows with the tokens of another text, as `check` judges them."""
MEASURED: Final = 2_000
"""Rows whose tokens are counted."""
READ: Final = 20_000
"""Characters of a text of which tokens are counted: more than the longest model reads here."""
SHOWN: Final = 5
MOST_COLUMNS: Final = 40
"""Columns that a message describes."""

Texts = tuple[str, str | None]


class Tokens(Protocol):
    """What a model's tokenizer makes of texts."""

    model: str
    """The model, as a config names it."""
    unknown: int | None
    """The token for what the vocabulary lacks."""
    special: Collection[int]
    """Tokens that stand for no text."""

    def of(self, texts: Sequence[Texts]) -> list[list[int]]:
        """The tokens of each text or pair, special tokens included."""
        ...


class _Labels(NamedTuple):
    kind: Kind
    columns: tuple[Profile, ...]
    separator: str | None = None
    notes: tuple[str, ...] = ()


class _Table:
    """A file with its columns; its complaints say what was seen and what to type."""

    def __init__(self, path: Path, columns: Mapping[str, Profile]) -> None:
        self.path, self.columns = path, columns

    def error(self, rule: str, advice: str) -> DataError:
        columns = list(self.columns.values())
        lines = [f"  {column.describe()}" for column in columns[:MOST_COLUMNS]]
        if len(columns) > MOST_COLUMNS:
            lines.append(f"  and {len(columns) - MOST_COLUMNS:,} more")
        seen = "\n".join(lines)
        return DataError(f"{rule}. {advice}. Columns of {self.path.name}:\n{seen}")

    def without(self, rule: str, part: Literal["text", "label"], among: Sequence[Profile]) -> DataError:
        """A part for which no column was found, or too many: `among` are those that would be accepted by name."""
        names = enumerated([column.name for column in among])
        missing = f"No column can be the {part}: give the file one, named in the first line of a table"
        return self.error(rule, f"Pass --{part} with one of: {names}" if among else missing)

    def column(self, name: str, flag: str) -> Profile:
        if name not in self.columns:
            raise DataError(f"{flag} names a column, but {name!r} is none; {did_you_mean(name, self.columns)}")
        return self.columns[name]


def guess(
    path: Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    kind: Kind | None = None,
    columns: tuple[str, ...] | None = None,
    encoding: str | None = None,
    allow: Collection[str] = (),
    tokens: Tokens | None = None,
) -> Guess:
    """Look at a data file and the files beside it, and say what they hold.

    Args:
        path: the training file, or its folder.
        text: column with the text, where it cannot be guessed; several that are joined are separated by commas.
        text_pair: column with the second text of a pair, likewise.
        label: column with the label or labels; several 0/1 columns are separated by commas.
        kind: the task, where the column fits more than one.
        columns: names of the columns of a file without header.
        encoding: of files of text, where it is not UTF-8.
        allow: findings that are accepted although they would stop a run (`data.allow`).
        tokens: counts the tokens of a sample; without it, they are estimated from words.

    Raises:
        DataError: nothing or too much looks like a text or a label, or the data would be refused by `tunery check`; it
            says what was seen and what to pass.
    """
    path = training_file(path)
    content = read_file(path, columns=columns, encoding=encoding)
    table = _Table(path, profiles(content.rows))
    given: tuple[Profile, ...] = ()
    if label:
        names = [label] if label in table.columns else [name.strip() for name in label.split(",")]
        given = tuple(table.column(name, "--label") for name in names)
    for name in (text, text_pair):
        if name is not None and name in [column.name for column in given]:
            raise DataError(f"--text and --label must name different columns, but both name {name!r}")
    of_splits = next((column for column in table.columns.values() if is_split(column)), None)
    texts, second = _texts(table, content.rows, text, text_pair, besides=given)
    read = [*texts, *([second] if second else [])]
    others = [c for c in table.columns.values() if c not in read and c is not of_splits]
    possible = [c for c in others if not is_id(c)]
    labels = _given_labels(table, given, possible, kind) if given else _likely_labels(table, possible, kind, texts[0])
    _refuse_offsets(table, labels, texts[0])
    rest = [column for column in others if column not in labels.columns]
    parts = _parts(path, content.rows, content.notes, labels, read, of_splits, columns=columns, encoding=encoding)
    shared, shared_most = _shared([_keys(rows, read) for rows in parts.rows.values()])
    length = _length(texts, second, tokens)
    found = Guess(
        kind=labels.kind,
        files=parts.files,
        rows=len(parts.rows["train"]),
        text=texts[0].name if len(texts) == 1 else tuple(column.name for column in texts),
        text_pair=second.name if second else None,
        label=tuple(column.name for column in labels.columns),
        separator=labels.separator,
        id=next((column.name for column in rest if is_id(column)), None),
        group=next((c.name for c in rest if is_group(c) and len(c.counts) >= ENOUGH_GROUPS), None),
        columns=columns,
        encoding=encoding,
        split=of_splits.name if of_splits and parts.by_column else None,
        splits=tuple(parts.rows),
        counts=dict(parts.counts.most_common()),
        model=tokens.model if tokens else None,
        tokens=length.tokens,
        is_measured=tokens is not None,
        allow=tuple(_allowed(parts, shared, shared_most, allow)),
        notes=(*labels.notes, *parts.notes, *length.notes, *_leftovers(rest, texts)),
    )
    if shared_most > TOLERABLE and "shared_rows" not in allow:
        raise DataError(
            f"a text may be in one split only, but {shared:,} rows are in two of {enumerated([*parts.rows])} (up to "
            f"{100 * shared_most:.1f} % of one): a score on them rewards learning by heart. Remove them, or accept "
            "them on purpose with --allow shared_rows"
        )
    return found


def _texts(
    table: _Table, rows: Sequence[Row], forced: str | None, second: str | None, *, besides: Sequence[Profile]
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
    known = [(lower[a], lower[b]) for a, b in PAIRS if a in lower and b in lower]
    texts = [column for column in named.values() if not column.is_classes and not is_id(column)]
    texts = texts[:MOST_COLUMNS]
    alike = [(a, b) for a in texts for b in texts if are_pair(a.name, b.name)]
    return next((pair for pair in (*known, *alike) if not pair[1].is_classes), None)


def _text(table: _Table, named: Mapping[str, Profile]) -> Profile:
    lower = {name.lower(): column for name, column in named.items()}
    if "text" in lower:
        return lower["text"]
    long = [column for column in named.values() if not column.is_classes and not is_id(column)]
    long = sorted(long, key=lambda column: -column.weight) or [lower[name] for name in TEXT_NAMES if name in lower]
    if not long:
        _refuse_tagged_words(table)
        rest = [column for column in named.values() if not is_id(column)] if len(named) > 1 else []
        raise table.without("there must be a column with texts, but none looks like one", "text", rest)
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


def _leftovers(rest: Sequence[Profile], texts: Sequence[Profile]) -> Iterable[str]:
    """Texts that no part of the config reads."""
    left = [c for c in rest if c.is_text and not is_id(c) and not is_group(c) and not c.is_classes and c.words >= 2]
    if left:
        joined = ",".join([*(column.name for column in texts), left[0].name])
        told = [f"{column.name} (text, {column.average})" for column in left]
        yield f"not used: {enumerated(told, SHOWN)}; `--text {joined}` reads both"


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
    if not column.is_list and not column.counts and not column.is_score:
        raise table.without(
            f"labels are names, whole numbers or lists of them, but {column.name!r} is not", "label", rest
        )
    if column.is_score:
        raise _no_score(table, column)
    notes = (
        [f"{column.name!r} holds grades: they are learned as classes, without their order"] if column.is_graded else []
    )
    separator = (column.separator or "|") if chosen == "multilabel" and column.counts else None
    return _Labels(chosen, (column,), separator, tuple(notes))


def _likely_labels(table: _Table, others: Sequence[Profile], kind: Kind | None, text: Profile) -> _Labels:
    fitting = {
        "classification": lambda c: c.is_classes,
        "multilabel": lambda c: c.is_several or c.is_flag or c.is_usual,
    }
    offsets = [column for column in others if _holds_offsets(column, text)]
    possible = [
        c for c in others if c.is_label and not is_group(c) and c not in offsets and (kind is None or fitting[kind](c))
    ]
    usual = sorted((c for c in possible if c.is_usual), key=lambda c: LABEL_NAMES.index(c.name.lower()))
    told = [f"{column.name!r} holds character offsets (evidence) and is not used" for column in offsets]
    if not possible:
        _refuse_other_tasks(table, others, offsets)
        rule = "there must be a column with labels (few different values), but none looks like one"
        raise table.without(rule, "label", [c for c in _usable(others) if kind != "classification" or not c.is_list])
    if not usual and len(possible) > 1 and all(column.is_flag for column in possible) and kind != "classification":
        blanks = [column.name for column in possible if len(column.filled) < len(column.values)]
        told += [f"blank cells of {enumerated(blanks, SHOWN)} say no"] if blanks else []
        return _Labels("multilabel", tuple(possible), notes=tuple(told))
    scores = [c for c in others if c.is_score and c.is_usual]
    if scores and not usual:
        _refuse_other_tasks(table, scores, [])
    sounding = [column for column in possible if column.sounds_like_label]
    if not usual and len(possible) > 1 and len(sounding) == 1:
        labels = _label_task(table, sounding[0], others, kind)
        rest = enumerated([column.name for column in possible if column is not sounding[0]], SHOWN)
        told.append(f"{sounding[0].name!r} is taken as the label by its name, and not {rest}")
        return labels._replace(notes=(*labels.notes, *told))
    first = (usual or possible)[0]
    same = [column for column in possible if _same_classes(first, column)]
    if not usual and len(same) < len(possible):
        names = enumerated([column.name for column in possible])
        rule = f"one column must be the label, but {len(possible)} could be ({names})"
        raise table.without(rule, "label", _usable(possible))
    best = next((column for column in same if not _is_number(column)), first) if _is_number(first) else first
    labels = _label_task(table, best, others, kind)
    if best is not first:
        told.insert(0, f"{best.name!r} is taken; it says in words what {first.name!r} says in numbers")
    return labels._replace(notes=(*labels.notes, *told))


def _refuse_other_tasks(table: _Table, others: Sequence[Profile], offsets: Sequence[Profile]) -> None:
    """What there is in place of labels, where it is known by name."""
    if offsets:
        raise table.error(
            f"labels are names, but {offsets[0].name!r} holds numbers of characters in the text (evidence), which "
            "tunery does not learn yet",
            "Give the file a column with a label for each text",
        )
    _refuse_tagged_words(table)
    scores = [column for column in others if column.is_score]
    if scores and not _usable([column for column in others if not column.is_score]):
        raise _no_score(table, scores[0])


def _refuse_tagged_words(table: _Table) -> None:
    lists = {name: column for name, column in table.columns.items() if isinstance(next(iter(column.some), None), list)}
    tags = [name for name in lists if re.search(r"(^|_)tags?$", name.lower())]
    if tags and any(name.lower() in ("tokens", "words") for name in lists):
        raise table.error(
            f"labels are of whole texts, but {tags[0]!r} holds a tag for each word (token tagging), which tunery does "
            "not learn",
            "Give the file a column with texts, and one with a label for each",
        )


def _no_score(table: _Table, column: Profile) -> DataError:
    value = next(str(value) for value in column.filled if not float(value).is_integer())
    return table.error(
        f"labels are names, but {column.name!r} holds numbers with fractions, such as {value}: a score, which is for "
        "regression, and tunery does not learn that yet",
        "Give the file a column with classes, for instance low, middle and high",
    )


def _holds_offsets(column: Profile, text: Profile) -> bool:
    if not column.is_list:
        return False
    pairs = zip(column.values, text.values, strict=True)
    return are_offsets(([str(item) for item in items or ()], len(str(value or ""))) for items, value in pairs)


def _refuse_offsets(table: _Table, labels: _Labels, text: Profile) -> None:
    if len(labels.columns) == 1 and _holds_offsets(labels.columns[0], text):
        _refuse_other_tasks(table, (), labels.columns)


def _same_classes(one: Profile, other: Profile) -> bool:
    if one is other:
        return True
    if not one.counts or len(one.counts) != len(other.counts):
        return False
    return len({(str(a), str(b)) for a, b in zip(one.values, other.values, strict=True)}) == len(one.counts)


def _is_number(column: Profile) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in column.counts)


class _Parts(NamedTuple):
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


def _parts(
    path: Path,
    table: list[Row],
    told: Sequence[str],
    answer: _Labels,
    read: Sequence[Profile],
    of_splits: Profile | None,
    *,
    columns: tuple[str, ...] | None,
    encoding: str | None,
) -> _Parts:
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
        labels = _labels(answer, rows["train"])
    except BadCell as problem:
        raise DataError(f"{path.name}: {problem}") from problem
    counts = Counter(name for names in labels for name in names or ())
    unlabelled = labels.count(None)
    unseen: Counter[str] = Counter()
    for role in [role for role in ("validation", "test") if role in others]:
        some, name = others[role]
        try:
            labels = _labels(answer, some)
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
    return _Parts(rows, files, counts, unlabelled, unseen, of_splits is not None, tuple(notes))


def _lacks(labels: Sequence[tuple[str, ...] | None], taught: Sequence[tuple[str, ...]]) -> str:
    """Why rows say nothing about a model."""
    if all(names is None for names in labels):
        return "no row has a label"
    if not taught:
        seen = Counter(name for names in labels for name in names or ())
        return f"train has none of its labels ({enumerated([*map(repr, seen)], SHOWN)})"
    return f"every row has the same label, {' + '.join(taught[0]) or 'none'!r}"


def _labels(answer: _Labels, rows: Sequence[Row]) -> list[tuple[str, ...] | None]:
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


def _label_cell(answer: _Labels, cell: Any) -> tuple[str, ...] | None:
    if answer.kind == "multilabel":
        return names_of(cell, separator=answer.separator or "|")
    name = label_of(cell)
    return None if name is None else (name,)


def _allowed(parts: _Parts, shared: int, shared_most: float, asked: Collection[str]) -> Iterable[Allowed]:
    if shared:
        yield Allowed(
            "shared_rows",
            f"rows whose text is in two splits: {shared:,} (at most {100 * shared_most:.1f} % of one); delete it to be "
            "stopped by them",
        )
    if parts.unlabelled:
        yield Allowed("unlabelled", f"rows without a label are left out: {parts.unlabelled:,}")
    if parts.unseen:
        yield Allowed(
            "unseen_labels", f"rows with labels that train lacks are left out: {sum(parts.unseen.values()):,}"
        )
    for code in asked:
        if code not in ("shared_rows", "unlabelled", "unseen_labels"):
            yield Allowed(code, "accepted by --allow")


class _Measured(NamedTuple):
    tokens: int
    """What 95 % of the rows do not exceed."""
    notes: tuple[str, ...] = ()


def _length(texts: Sequence[Profile], second: Profile | None, tokens: Tokens | None) -> _Measured:
    """Of a sample of the rows from everywhere in the file."""
    step = max(1, len(texts[0].values) // MEASURED)
    columns = [column.values[::step] for column in texts]
    firsts = [JOINT.join(text_of(value)[:READ] for value in values) for values in zip(*columns, strict=True)]
    seconds = [text_of(value)[:READ] for value in second.values[::step]] if second else [None] * len(firsts)
    rows = [*zip(firsts, seconds, strict=True)]
    if tokens is None:
        lengths = sorted(math.ceil(length_of(f"{a} {b or ''}").tokens) + 2 for a, b in rows)
        return _Measured(_most(lengths))
    ids = tokens.of(rows)
    words = sum(token not in tokens.special for row in ids for token in row)
    unknown = sum(token == tokens.unknown for row in ids for token in row) / max(1, words)
    share = f"{100 * unknown:.0f} % of the tokens of {len(rows):,} rows are unknown to {tokens.model}"
    other = (
        "Take a model for the language of the texts, for instance --model xlm-roberta-base, which reads 100 languages"
    )
    if unknown > MOST_UNKNOWN:
        raise DataError(
            f"the model's vocabulary should hold the texts, but {share}: they all look alike to it. {other}"
        )
    first: dict[tuple[int, ...], str] = {}
    keys = [" ".join(f"{a} {b or ''}".casefold().split()) for a, b in rows]
    alike = sum(first.setdefault(tuple(i[: LENGTHS[-1]]), key) != key for i, key in zip(ids, keys, strict=True))
    if alike > MOST_ALIKE * len(rows):
        raise DataError(
            f"different texts should have different tokens, but of {len(rows):,} rows {alike:,} have those of another: "
            f"{tokens.model} sees no difference. {other}"
        )
    return _Measured(_most(sorted(map(len, ids))), (f"{share}. {other}",) if unknown > SOME_UNKNOWN else ())


def _most(lengths: Sequence[int]) -> int:
    return lengths[math.ceil(0.95 * len(lengths)) - 1]


def _keys(rows: Sequence[Row], read: Sequence[Profile]) -> Iterable[tuple[str, ...]]:
    return (tuple(str(row.get(column.name)) for column in read) for row in rows)


def _shared(splits: Sequence[Iterable[tuple[str, ...]]]) -> tuple[int, float]:
    """How many rows have a text that is in an earlier split too, and the largest share of a split that they are."""
    if len(splits) < 2:
        return 0, 0.0
    seen: set[int] = set()
    copies, most = 0, 0.0
    for texts in splits:
        keys = [hash(text) if text[0].strip() else None for text in texts]
        count = sum(key in seen for key in keys if key is not None)
        copies, most = copies + count, max(most, count / max(1, len(keys)))
        seen.update(key for key in keys if key is not None)
    return copies, most
