"""The three splits of a config: read, or carved from the training rows."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tunery.data.examples import Example, RowReader, Split, Splits
from tunery.data.reading.cells import same_but_for_writing
from tunery.data.reading.columns import examples_of
from tunery.data.reading.load import Row, read_hub_rows, read_rows
from tunery.data.splitting import carve
from tunery.errors import DataError
from tunery.schema.config.data import Data

NAMES: Final = ("train", "validation", "test")
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Sizes of a split that are advised where a smaller one leaves it empty."""
_SHOWN = 5

Examples = tuple[Example, ...]


def load_splits(data: Data, *, reader: RowReader, stratum: Callable[[Example], frozenset[str]], seed: int) -> Splits:
    """Read the named splits and carve the missing ones. The same arguments and files give the same splits.

    Carving is stratified and grouped by `data.group`, or by equal texts where there is no group.

    Args:
        reader: of the rows' annotations.
        stratum: kinds of rows of which each carved split gets its share: names of the labels of a row.

    Raises:
        DataError: a file, column or cell is not as the config says, a split cannot be carved, or a label of
            validation or test never occurs in train (unless `unseen_labels` is allowed: then those rows go).
    """
    sources = {name: named for name in NAMES if (named := getattr(data, name)) is not None}
    read = {name: _read(data, named, reader=reader) for name, named in sources.items()}
    origin = {name: _origin(data, named) for name, named in sources.items()}
    if missing := {name: getattr(data, f"{name}_size") for name in NAMES if name not in sources}:
        read.update(_carved(read["train"], missing, stratum=stratum, seed=seed))
        origin |= {name: _carving(data, share, seed=seed) for name, share in missing.items()}
    kept, notes = _without_unseen(read, allowed="unseen_labels" in data.allow)
    train, validation, test = (_split(name, kept[name], source=origin[name]) for name in NAMES)
    return Splits(train=train, validation=validation, test=test, notes=tuple(notes))


def _origin(data: Data, named: str) -> str:
    return f"{data.dataset}@{data.revision}:{named}" if data.dataset else named


def _rows(data: Data, named: str) -> list[Row]:
    return read_hub_rows(data.dataset, revision=data.revision, split=named) if data.dataset else read_rows(Path(named))


def _read(data: Data, named: str, *, reader: RowReader) -> Examples:
    return examples_of(_rows(data, named), data, reader=reader, source=_origin(data, named))


def _carving(data: Data, share: float, *, seed: int) -> str:
    grouped = f"grouped by {data.group}, " if data.group else ""
    return f"carved from train ({100 * share:g} %, stratified, {grouped}seed {seed})"


def _carved(
    train: Examples, shares: Mapping[str, float], *, stratum: Callable[[Example], frozenset[str]], seed: int
) -> Iterator[tuple[str, Examples]]:
    for name, rows in carve(train, shares, stratum=stratum, seed=seed).items():
        if not rows:
            _refuse_small_share(name, train, shares, stratum=stratum, seed=seed)
            raise DataError(
                f"{name} cannot be carved from the {len(train):,} training rows: every label must keep training rows, "
                f"and rows of one group or with one text stay together; name a file as data.{name}"
            )
        yield name, tuple(train[row] for row in rows)


def _refuse_small_share(
    name: str,
    train: Examples,
    shares: Mapping[str, float],
    *,
    stratum: Callable[[Example], frozenset[str]],
    seed: int,
) -> None:
    """Say so where a larger share would do, which is tried out."""
    larger = (share for share in (float(f"{1.5 / len(train):.1g}"), *_SHARES) if shares.get(name, 1) < share <= 0.2)
    enough = next(
        (share for share in larger if carve(train, {**shares, name: share}, stratum=stratum, seed=seed)[name]), None
    )
    if enough is not None:
        raise DataError(
            f"{name}, carved from train, would be empty: data.{name}_size={shares[name]:g} is too small a share of "
            f"{len(train):,} training rows, of which those of one group or with one text stay together; write "
            f"data.{name}_size={enough:g}, or name a file as data.{name}"
        )


def _without_unseen(read: Mapping[str, Examples], *, allowed: bool) -> tuple[dict[str, Examples], list[str]]:
    known = {label for example in read["train"] for label in example.labels}
    unseen = {name: _unseen(examples, known) for name, examples in read.items()}
    found = [f"{name}: {_listed(labels)}" for name, labels in unseen.items() if labels]
    if found and not allowed:
        raise DataError(
            f"every label must occur in train, but these never do: {'; '.join(found)}{_known_as(unseen, known)}; "
            "correct or add training rows, or write data.allow=[unseen_labels] to leave out the rows that have them"
        )
    kept = {name: tuple(e for e in rows if not unseen[name].intersection(e.labels)) for name, rows in read.items()}
    if empty := [name for name, examples in kept.items() if not examples]:
        raise DataError(f"{empty[0]} has no row left: all its rows have labels that never occur in train")
    notes = [
        f"{name}: {len(read[name]) - len(kept[name])} rows left out for labels that train lacks: {_listed(labels)}"
        for name, labels in unseen.items()
        if labels
    ]
    return kept, notes


def _unseen(examples: Examples, known: set[str]) -> set[str]:
    return {label for example in examples for label in example.labels} - known


def _known_as(unseen: Mapping[str, set[str]], known: set[str]) -> str:
    """Which of the unseen labels are labels of train that are written differently."""
    missing = set[str]().union(*unseen.values())
    groups = [names for names in same_but_for_writing(known | missing) if not missing.isdisjoint(names)]
    told = [f"train has {name!r}" for names in groups for name in names if name in known]
    return f" ({', '.join(told[:_SHOWN])})" if told else ""


def _listed(labels: Iterable[str]) -> str:
    names = sorted(labels)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _split(name: str, examples: Examples, *, source: str) -> Split:
    digest = hashlib.sha256()
    for example in examples:
        cells = (example.text, example.text_pair, example.labels, example.id, example.group)
        more = () if example.target is None else (example.target,)
        digest.update(json.dumps((*cells, *more)).encode() + b"\n")
    return Split(name=name, examples=examples, source=source, digest=digest.hexdigest())
