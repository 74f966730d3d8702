"""What a study looks for, how it proposes and when it gives a trial up."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.metrics import Direction
from tunery.schema.spec import Spec


class Tpe(Spec):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023, arXiv 2304.11127)."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Annotated[int, Field(ge=0)] = 10
    """Random trials before the model of the space is used."""


class Random(Spec):
    """Independent random draws."""

    name: Literal["random"] = "random"


class MedianPruner(Spec):
    """Stop a trial that is below the median of earlier trials at the same epoch."""

    name: Literal["median"] = "median"
    startup_trials: Annotated[int, Field(ge=0)] = 4
    """Finished trials needed before any trial is pruned."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs of a trial during which it is not pruned."""


class NoPruner(Spec):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


Sampler = Annotated[Tpe | Random, Field(discriminator="name")]
Pruner = Annotated[MedianPruner | NoPruner, Field(discriminator="name")]


class Search(Spec):
    """The study around the run. `objective` also chooses the best epoch of a single run."""

    objective: str | None = None
    """Validation metric to optimise; null takes the task's default."""
    direction: Direction | None = None
    """null takes the metric's own direction; a contradiction is refused."""
    n_trials: Annotated[int, Field(ge=1)] = 1000
    """Trials in the whole study, those of earlier runs of the same command included."""
    timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which no new trial starts; the first always does."""
    sampler: Sampler = Tpe()
    """Proposes the next configuration."""
    pruner: Pruner = MedianPruner()
    """Judges a running trial after each epoch."""
    max_failures: Annotated[int, Field(ge=1)] = 5
    """Failed trials in a row that end the study."""
