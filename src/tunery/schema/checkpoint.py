"""What stays on disk."""

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from tunery.schema.spec import Spec

_UNITS: Final = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_FACTORS: Final = {unit.lower(): factor for unit, factor in _UNITS.items()}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def in_bytes(value: object) -> object:
    """Bytes of a size written with its unit (`20GB`); what is no text is left for the schema to judge."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None or (unit := found[2].lower().removesuffix("b") + "b" * bool(found[2])) not in _FACTORS:
        raise ValueError(f"a size is a number of bytes or a number with one of kB, MB, GB, TB, but got {value!r}")
    return round(float(found[1]) * _FACTORS[unit])


Size = Annotated[int, BeforeValidator(in_bytes), Field(gt=0)]


class Checkpoint(Spec):
    """Resume points while a run is unfinished, best weights when it is done. None of these keys changes a result, so
    that a run may be continued with other values."""

    keep_last: Annotated[int, Field(ge=0)] = 1
    """Resume points kept while a run is unfinished; 0 writes none, so that an interrupted run starts over."""
    every: Literal["epoch"] | Annotated[int, Field(ge=1)] = "epoch"
    """Where resume points are saved: at the end of every epoch, or also after every so many optimizer steps."""
    keep_best: Annotated[int, Field(ge=1)] = 1
    """Trials of a study whose best weights are kept."""
    co_best: Annotated[int, Field(ge=1)] = 2
    """Equals that are kept at most, the best included: epochs of a run, or trials of a study, with the very value of
    the best."""
    max_disk: Size | None = None
    """Most bytes of weights and training state of the whole run or study, all trials together: `20GB`, or a number of
    bytes."""
    min_free: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the file system that stays free; below it `low_disk` says what happens."""
    low_disk: Literal["stop", "wait", "evict"] = "evict"
    """What happens when `max_disk` or `min_free` would be crossed: `evict` frees, step by step, what is least needed
    (equals and extra resume points, then all but the best per trial, then all but the best of the study) and goes on
    while there is room at all; `stop` frees nothing and ends resumably; `wait` frees nothing and waits for room."""
