"""What a model answers about the windows of long texts, and how it becomes an answer about the texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.row_table import Array, RowTable, objects_of
from tunery.data.units import Bounds

if TYPE_CHECKING:
    from tunery.data.encode import Encoded

_NEVER: Final = -30.0
"""Logit of a unit that no token is of."""


def units_within(unit_ids: npt.NDArray[Any]) -> tuple[int, int]:
    """The first unit of a window, and the one behind its last.

    Args:
        unit_ids: of its tokens, (tokens,).
    """
    own = unit_ids[unit_ids >= 0]
    return (int(own.min()), int(own.max()) + 1) if len(own) else (0, 0)


def units_of(features: "Encoded") -> Sequence[Bounds]:
    """The units of each row."""
    assert features.units is not None
    return features.units


def reduced(logits: Array, units: Array, unit_ids: Array) -> Mapping[str, Sequence[Array]]:
    """Of each window the logits of its labels, those of its units, the number of the first, and how many tokens each
    has.

    Args:
        logits: (windows, labels)
        units: (windows, units, labels)
        unit_ids: (windows, tokens)
    """
    columns: dict[str, list[Array]] = {"logits": [*logits], "units": [], "first": [], "tokens": []}
    for ids, scores in zip(unit_ids, units, strict=True):
        first, last = units_within(ids)
        columns["first"].append(np.array(first))
        columns["tokens"].append(np.bincount(ids[ids >= 0] - first, minlength=last - first))
        columns["units"].append(scores[: last - first])
    return columns


def joined(windows: Mapping[str, Sequence[Array]], features: "Encoded", *, labels: int, exclusive: bool) -> RowTable:
    """Windows -> rows: `logits` (rows, labels); of each row `units` (units, labels) and their `bounds` (units, 2).

    Units are averaged over their tokens in all windows. A label is as likely as in the window where it is likeliest,
    or as on average where labels exclude each other. A window with a question answers about one label.

    Args:
        windows: as `reduced` gives them, for all features in their order.
        labels: how many there are.
    """
    bounds = units_of(features)
    logits = np.full((len(bounds), labels), 0.0 if exclusive else -np.inf)
    count = np.zeros((len(bounds), labels))
    sums = [np.zeros((len(units), labels)) for units in bounds]
    tokens = [np.zeros((len(units), labels)) for units in bounds]
    for window, row in enumerate(features.rows):
        column = slice(None) if features.questions is None else features.questions[window] + np.arange(1)
        here, given = logits[row, column], windows["logits"][window].astype(np.float64)
        logits[row, column] = here + given if exclusive else np.maximum(here, given)
        count[row, column] += 1
        first, of_unit = int(windows["first"][window]), windows["tokens"][window][:, None]
        part = slice(first, first + len(of_unit))
        sums[row][part, column] += of_unit * windows["units"][window]
        tokens[row][part, column] += of_unit
    if exclusive:
        logits /= count
    units = [
        np.where(number > 0, total / np.maximum(number, 1), _NEVER).astype(np.float32)
        for total, number in zip(sums, tokens, strict=True)
    ]
    return RowTable({"logits": logits.astype(np.float32), "units": objects_of(units), "bounds": objects_of([*bounds])})
