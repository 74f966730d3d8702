"""The three splits of a config: read, or split off from the training rows."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tunery.data.examples import Example, RowReader, Split, Splits
from tunery.data.learning_curve import nested_order
from tunery.data.reading.annotated_sentences import AnnotatedSentences
from tunery.data.reading.cells import same_but_for_writing
from tunery.data.reading.columns import examples_of
from tunery.data.reading.load import read_file, read_hub_rows
from tunery.data.reading.source import Row
from tunery.data.reading.split_files import split_named
from tunery.data.rng import row_generator
from tunery.data.splitting import Strata, cut_off, split_off, stratified_folds
from tunery.errors import DataError, enumerated
from tunery.schema.config.data import Data, Documents

SPLIT_NAMES: Final = ("train", "validation", "test")
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Sizes of a split that are advised where a smaller one leaves it empty."""
_SHOWN = 5
_ROWS, _CHARACTERS = 1000, 1_000_000
"""Rows, and characters of a text, that are added to a digest at once."""

Examples = tuple[Example, ...]


class NamedRows(NamedTuple):
    """What one file, or one split on the Hub, has."""

    name: str
    """Of the split: the key of `data` that names the file."""
    source: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()


def load_splits(
    data: Data, *, reader: RowReader, strata: Strata, seed: int, tables: Iterable[NamedRows] | None = None
) -> Splits:
    """Read the named splits and split the missing ones off from train. The same arguments and files give the same.

    Where `data.split` names a column, it says which rows of the training file are of which split. Splitting off is
    stratified and grouped by `data.group`, or by equal texts where there is no group. Of texts without labels that are
    too few for that, the end becomes the missing splits (`cut_off`). With `data.folds` no test split is split off:
    folds do what it would.

    Args:
        reader: of the rows' annotations.
        strata: kinds of rows of which each such split gets its share: names of the labels of a row.
        tables: what the files have, train first; None: they are read, and let go one after the other.

    Raises:
        DataError: a file, column or cell is not as the config says, a split cannot be split off, or a label of
            validation or test never occurs in train (unless `unseen_labels` is allowed: then those rows go), or one id
            is that of texts that differ where evidence is read.
    """
    sources: dict[str, str] = {}
    examples: dict[str, Examples] = {}
    notes: list[str] = []
    tables = _read(data, reader.documents) if tables is None else tables
    annotated = None if data.annotations is None else AnnotatedSentences.read(data)
    if annotated is not None:
        tables = (t._replace(rows=annotated.join(t.rows, data, source=t.source)) for t in tables)
    for made in map(partial(_examples_by_split, data=data, reader=reader), tables):
        sources |= {name: made.source for name in made.examples}
        examples |= made.examples
        notes += made.notes
    if data.evidence is not None or annotated is not None:
        _refuse_ids_of_several_texts(examples)
    notes += [] if annotated is None else annotated.notes()
    pool = () if data.folds is None else examples["train"]
    if data.folds is not None and "test" not in examples:
        examples["test"], sources["test"] = (), "none: folds are held out in its place"
    shares = {name: getattr(data, f"{name}_size") for name in SPLIT_NAMES if name not in examples}
    if shares and reader.documents and data.group is None and min(shares.values()) * len(examples["train"]) < 1:
        notes.append(
            f"train: too few texts ({len(examples['train'])}) to split whole ones off, so that their end is split off"
        )
        examples |= _cut_off(examples["train"], shares)
        for name, share in shares.items():
            sources[name] = f"split off from train ({100 * share:g} % of its characters, at its end)"
    elif shares:
        examples |= _split_off(examples["train"], shares, strata=strata, seed=seed)
        grouped = f"grouped by {data.group}, " if data.group else ""
        for name, share in shares.items():
            sources[name] = f"split off from train ({100 * share:g} %, stratified, {grouped}seed {seed})"
    examples, unseen = _without_unseen_labels(examples, allowed="unseen_labels" in data.allow)
    train, validation, test = (
        _split(name, examples[name], sources[name], is_split_off=name in shares) for name in SPLIT_NAMES
    )
    notes += [*unseen, *_notes_on_folds(pool, data, strata)]
    return Splits(train=train, validation=validation, test=test, notes=tuple(notes), pool=pool)


def _notes_on_folds(pool: Examples, data: Data, strata: Strata) -> Iterator[str]:
    """What cross-validation can say little of, and what it does then."""
    if data.folds is None:
        return
    fold = stratified_folds(pool, data.folds, strata=strata, seed=data.seed)
    rows = Counter(label for example in pool for label in example.labels)
    held_out = Counter(label for row in np.flatnonzero(fold >= 0) for label in pool[row].labels)
    if kept := [f"{label!r} {count:,}" for label, count in rows.items() if not held_out[label]]:
        yield (
            f"train: {(fold < 0).sum():,} rows are in no fold and always in training, since all rows with one of these "
            f"labels stay together (one row, group or text), and nothing is known of them: {enumerated(kept, _SHOWN)}"
        )
    if few := [f"{label!r} {count:,}" for label, count in held_out.items() if count < data.folds]:
        yield (
            f"train: some of data.folds={data.folds} hold out no row with these labels, which have fewer: "
            f"{enumerated(few, _SHOWN)}; scores of all folds together have them all"
        )


def fold_of_splits(splits: Splits, data: Data, *, strata: Strata) -> Splits:
    """The splits of the fold `data.fold`: its rows are test, and all others are train, of which validation is split off
    where there is none.

    Args:
        splits: of all folds.
        strata: as in `load_splits`.

    Raises:
        DataError: validation cannot be split off from what is left.
    """
    assert data.folds is not None
    assert data.fold is not None
    repeat, number = divmod(data.fold, data.folds)
    pool = splits.pool
    fold = stratified_folds(pool, data.folds, strata=strata, seed=data.seed, repeat=repeat)
    in_pool = {"train": np.flatnonzero(fold != number).tolist(), "test": np.flatnonzero(fold == number).tolist()}
    if not in_pool["test"]:
        raise DataError(
            f"every fold must have rows, but fold {data.fold} of data.folds={data.folds} has none of {len(pool):,} "
            "training rows, of which those of one group or with one text stay together; lower data.folds"
        )
    if splits.validation.is_split_off:
        others = in_pool["train"]
        parts = _rows_split_off(
            tuple(pool[row] for row in others), {"validation": data.validation_size}, strata=strata, seed=data.seed
        )
        in_pool |= {name: [others[row] for row in rows] for name, rows in parts.items()}
    where, source = f"fold {data.fold} of data.folds={data.folds}, seed {data.seed}", splits.train.source
    if data.part < 1:
        in_pool["train"] = _part([*in_pool["train"]], pool, data, strata)
    share = "" if data.part == 1 else f"{100 * data.part:g} % of "
    sources = {
        "train": f"{share}{source} outside {where}",
        "validation": splits.validation.source,
        "test": f"{source}, {where}",
    }
    train, validation, test = (
        _split(name, tuple(pool[row] for row in in_pool[name]), sources[name], is_split_off=name == "validation")
        if name in in_pool
        else splits.validation
        for name in SPLIT_NAMES
    )
    return Splits(train=train, validation=validation, test=test, pool=pool, in_pool=in_pool)


def _part(rows: list[int], pool: Examples, data: Data, strata: Strata) -> list[int]:
    """The rows of `data.part`, ascending; two at least."""
    kinds: dict[frozenset[str], int] = {}
    of_rows = [kinds.setdefault(kind, len(kinds)) for kind in strata([pool[row] for row in rows])]
    generator = row_generator(data.part_seed, epoch=0, row=data.fold or 0, purpose="part of the training rows")
    chosen = nested_order(np.array(of_rows), generator)[: max(2, round(data.part * len(rows)))]
    return sorted(rows[place] for place in chosen)


def _split(name: str, examples: Examples, source: str, *, is_split_off: bool) -> Split:
    return Split(name, examples, source, digest_of_rows(examples), is_split_off=is_split_off)


def load_texts(data: Data, *, reader: RowReader) -> Examples:
    """The rows of the training file alone, all of them.

    Raises:
        DataError: a file, column or cell is not as the config says.
    """
    table = next(_read(data, reader.documents))
    return tuple(examples_of(table.rows, data, reader=reader, source=table.source))


def _read(data: Data, documents: Documents | None) -> Iterator[NamedRows]:
    """File by file; none is held here."""
    for name in SPLIT_NAMES:
        if (named := getattr(data, name)) is None:
            continue
        if data.dataset:
            source = f"{data.dataset}@{data.revision}:{named}"
            yield NamedRows(name, source, read_hub_rows(data.dataset, revision=data.revision, split=named))
        else:
            table = read_file(Path(named), columns=data.columns, encoding=data.encoding, documents=documents)
            yield NamedRows(name, named, *table)


class _Examples(NamedTuple):
    """Of one file."""

    source: str
    examples: dict[str, Examples]
    notes: list[str]


def _examples_by_split(table: NamedRows, *, data: Data, reader: RowReader) -> _Examples:
    parts: dict[str, Sequence[Row]] = {table.name: table.rows}
    source = table.source
    if data.split:
        parts = _by_column(table.rows, data.split, source=source)
        source = f"{source}, where {data.split} says so"
    examples = {name: examples_of(rows, data, reader=reader, source=table.source) for name, rows in parts.items()}
    notes = [f"{table.name}: {note}" for note in table.notes]
    for name, rows in parts.items():
        if left_out := len(rows) - len(examples[name]):
            notes.append(f"{name}: {left_out:,} of {len(rows):,} rows left out, because they have no label")
    return _Examples(source, examples, notes)


def _by_column(rows: Sequence[Row], column: str, *, source: str) -> dict[str, Sequence[Row]]:
    """The rows of each split that the column names, train first."""
    by_split: dict[str, list[Row]] = {name: [] for name in SPLIT_NAMES}
    unknown: Counter[str] = Counter()
    for row in rows:
        value = str(row.get(column) or "").strip()
        if (split := split_named(value)) is None:
            unknown[value] += 1
        else:
            by_split[split].append(row)
    if unknown:
        values = enumerated([f"{value!r} {count:,}" for value, count in unknown.most_common()], _SHOWN)
        raise DataError(
            f"{source}: column {column!r} (data.split) must name train, validation or test in each row, but other rows "
            f"have {values}; correct them, or remove data.split"
        )
    if not by_split["train"]:
        raise DataError(f"{source}: no row is of train, as its column {column!r} (data.split) says")
    return {name: some for name, some in by_split.items() if some}


def _refuse_ids_of_several_texts(splits: Mapping[str, Examples]) -> None:
    """Evidence is of one text: two rows with one id are the same text, or nobody knows of which it is."""
    texts: dict[str, str] = {}
    several: dict[str, str] = {}
    for name, examples in splits.items():
        for example in examples:
            if example.id is not None and texts.setdefault(example.id, example.text) != example.text:
                several.setdefault(example.id, name)
    if several:
        ids = enumerated([f"{post!r} in {name}" for post, name in several.items()], _SHOWN)
        raise DataError(
            f"every text needs an id of its own, but {len(several):,} ids (data.id) are of texts that differ: {ids}; "
            "correct the ids, or remove data.id where it does not identify texts"
        )


def _split_off(train: Examples, shares: Mapping[str, float], *, strata: Strata, seed: int) -> dict[str, Examples]:
    rows = _rows_split_off(train, shares, strata=strata, seed=seed)
    return {name: tuple(train[row] for row in numbers) for name, numbers in rows.items()}


def _rows_split_off(train: Examples, shares: Mapping[str, float], *, strata: Strata, seed: int) -> dict[str, list[int]]:
    rows = split_off(train, shares, strata=strata, seed=seed)
    for name in [name for name, numbers in rows.items() if not numbers]:
        share = shares.get(name, 1)
        for size in (float(f"{1.5 / len(train):.1g}"), *_SHARES):
            if share < size <= 0.2 and split_off(train, {**shares, name: size}, strata=strata, seed=seed)[name]:
                raise DataError(
                    f"{name}, split off from train, would be empty: data.{name}_size={share:g} is too small a share of "
                    f"{len(train):,} training rows, of which those of one group or with one text stay together; write "
                    f"data.{name}_size={size:g}, or name a file as data.{name}"
                )
        raise DataError(
            f"{name} cannot be split off from the {len(train):,} training rows: every label must keep training rows, "
            f"and rows of one group or with one text stay together; name a file as data.{name}"
        )
    return rows


def _cut_off(train: Examples, shares: Mapping[str, float]) -> dict[str, Examples]:
    splits = cut_off(train, shares)
    if empty := [name for name, examples in splits.items() if not examples]:
        raise DataError(
            f"{empty[0]} cannot be split off from the texts of train, which have "
            f"{sum(len(example.text) for example in train):,} characters: nothing would be left of it; name a file as "
            f"data.{empty[0]}"
        )
    return {name: tuple(examples) for name, examples in splits.items()}


def _without_unseen_labels(splits: Mapping[str, Examples], *, allowed: bool) -> tuple[dict[str, Examples], list[str]]:
    """The splits without rows that have labels which train lacks, and a note of how many those were."""
    trained = {label for example in splits["train"] for label in example.labels}
    unseen = {name: {label for e in examples for label in e.labels} - trained for name, examples in splits.items()}
    listed = {name: enumerated([*map(repr, sorted(labels))], _SHOWN) for name, labels in unseen.items() if labels}
    if listed and not allowed:
        all_unseen = set[str]().union(*unseen.values())
        alike = [names for names in same_but_for_writing(trained | all_unseen) if not all_unseen.isdisjoint(names)]
        meant = [f"train has {name!r}" for names in alike for name in names if name in trained]
        raise DataError(
            "every label must occur in train, but these never do: "
            f"{'; '.join(f'{name}: {labels}' for name, labels in listed.items())}"
            f"{f' ({enumerated(meant, _SHOWN)})' if meant else ''}; "
            "correct or add training rows, or write data.allow=[unseen_labels] to leave out the rows that have them"
        )
    kept = {name: tuple(e for e in rows if not unseen[name].intersection(e.labels)) for name, rows in splits.items()}
    if empty := [name for name, examples in kept.items() if splits[name] and not examples]:
        raise DataError(f"{empty[0]} has no row left: all its rows have labels that never occur in train")
    notes = [
        f"{name}: {len(splits[name]) - len(kept[name])} rows left out for labels that train lacks: {labels}"
        for name, labels in listed.items()
    ]
    return kept, notes


def digest_of_rows(examples: Examples) -> str:
    """Of the rows as lists in JSON, one a line. That is written here, since `json.dumps` takes four times as long."""
    digest = hashlib.sha256()
    text = json.JSONEncoder().encode
    lists: dict[tuple[str, ...], str] = {}
    for start in range(0, len(examples), _ROWS):
        lines = []
        for example in examples[start : start + _ROWS]:
            if (labels := lists.get(example.labels)) is None:
                labels = lists[example.labels] = json.dumps(example.labels)
            pair, name, group = (
                "null" if cell is None else text(cell) for cell in (example.text_pair, example.id, example.group)
            )
            target = "" if example.target is None else f", {json.dumps(example.target, default=_fields)}"
            number = "" if example.number is None else f", {example.number!r}"
            rest = f", {pair}, {labels}, {name}, {group}{target}{number}]\n"
            if len(example.text) <= _CHARACTERS:
                lines.append(f"[{text(example.text)}{rest}")
                continue
            digest.update(f'{"".join(lines)}["'.encode())
            for begin in range(0, len(example.text), _CHARACTERS):
                digest.update(text(example.text[begin : begin + _CHARACTERS])[1:-1].encode())
            lines = [f'"{rest}']
        digest.update("".join(lines).encode())
    return digest.hexdigest()


def _fields(value: Any) -> dict[str, Any]:
    """What `asdict` gives of a flat dataclass, in a third of the time."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
