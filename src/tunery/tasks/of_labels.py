"""What a config says of labels, held against the labels that there are."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tunery.data.metrics import Floats
from tunery.errors import ConfigError, Problem, did_you_mean, enumerated

_NAMED = 10
"""Labels that a message names."""


def values_of(value: float | Mapping[str, float], labels: Sequence[str], *, path: str) -> Floats:
    """A number for each label, (labels,).

    Args:
        value: one for all, or a mapping that names each of them.
        path: of the key.

    Raises:
        ConfigError: a label is missing, or one is named that there is not.
    """
    if not isinstance(value, Mapping):
        return np.full(len(labels), float(value))
    require_labels([*unknown_labels(value, labels, path=path), *missing_labels(value, labels, path=path)])
    return np.array([value[label] for label in labels], dtype=np.float64)


def matrix_of(rows: Mapping[str, Mapping[str, float]], labels: Sequence[str], *, path: str) -> Floats:
    """(true labels, told labels); what is right costs nothing.

    Raises:
        ConfigError: as `values_of` does, for every two labels that differ.
    """
    problems = [*unknown_labels(rows, labels, path=path), *missing_labels(rows, labels, path=path)]
    for label in labels:
        if label in rows:
            others = [other for other in labels if other != label]
            problems += unknown_labels(rows[label], labels, path=f"{path}.{label}")
            problems += missing_labels(rows[label], others, path=f"{path}.{label}")
    require_labels(problems)
    return np.array([[rows[true].get(told, 0.0) for told in labels] for true in labels], dtype=np.float64)


def unknown_labels(named: Mapping[str, object], labels: Sequence[str], *, path: str) -> Iterator[Problem]:
    """Labels that are named and not there."""
    for label in named:
        if label not in labels:
            yield Problem(path, f"no training row has the label {label!r}; {did_you_mean(label, labels)}")


def missing_labels(named: Mapping[str, object], labels: Sequence[str], *, path: str) -> Iterator[Problem]:
    """Labels that are there and not named."""
    if missing := [label for label in labels if label not in named]:
        shown = enumerated([*map(repr, missing)], _NAMED)
        yield Problem(path, f"every label must be covered, but there is nothing for {shown}; add what is missing")


def require_labels(problems: Sequence[Problem]) -> None:
    """Raise `ConfigError` where there are problems."""
    if problems:
        raise ConfigError(problems)
