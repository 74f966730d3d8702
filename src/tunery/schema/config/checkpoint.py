"""What stays on disk."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.sizes import Size
from tunery.schema.spec import Spec, Steps


class Checkpoint(Spec):
    """Resume points while a run is unfinished, best weights when it is done. None of these keys changes a result, so
    that a run may be continued with other values."""

    keep_last: Annotated[int, Field(ge=0, le=1000)] = 1
    """Resume points kept while a run is unfinished; 0 writes none, so that an interrupted run starts over."""
    every: Literal["epoch"] | Steps = "epoch"
    """Where resume points are saved: at the end of every epoch, or also after every so many optimizer steps."""
    keep_best: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Trials of a study whose best weights are kept; until it ends, those that `search.rescore` and `search.ensemble`
    may need are too."""
    co_best: Annotated[int, Field(ge=1, le=1_000_000)] = 2
    """Equals that are kept at most, the best included: epochs of a run, or trials of a study, with the very value of
    the best."""
    keep_after: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = ()
    """Epochs after each of which the best weights so far stay, whatever comes later."""
    max_disk: Size | None = None
    """Most bytes of weights, training state and features of rows of the whole run or study, all trials together, or of
    each run of a comparison: `20GB`, or a number of bytes."""
    min_free: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the file system that stays free; below it `low_disk` says what happens."""
    low_disk: Literal["stop", "wait", "evict"] = "evict"
    """What happens when `max_disk` or `min_free` would be crossed: `evict` frees, step by step, what is least needed
    (what only the end of the study may need, then spare resume points, then all but the best epoch of every trial,
    then all but the best trial) and goes on while there is room at all; `stop` frees nothing and ends resumably; `wait`
    frees nothing and waits for room on the file system; where only `max_disk` is crossed, and waiting does not help,
    it ends as `stop` does."""
