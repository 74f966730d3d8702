"""How long, in which batches, and when to stop."""

import math
from typing import Annotated, Final, Literal

from pydantic import Field

from tunery.schema.results.direction import Direction
from tunery.schema.spec import Choices, Range, Spec, Steps


class EarlyStopping(Spec):
    """Stop when a metric has not improved for some epochs."""

    patience: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Epochs without improvement before training stops. Null: 20; with `train.epochs: auto` a quarter of the planned
    epochs, at least 3."""
    min_delta: Annotated[float, Field(ge=0, le=1000)] = 0.001
    """A change counts as an improvement when it is larger than this."""
    metric: str | None = None
    """Validation metric to watch; null watches the objective."""
    mode: Direction | None = None
    """`maximize` or `minimize`; every metric knows its own, so this only has to agree."""


MOST_EPOCHS: Final = 100
AUTO_STEPS: Final = (300, 30_000)
"""Optimizer steps that `train.epochs: auto` gives at least, and at most unless one epoch has more."""
AUTO_EPOCHS: Final = (3, 20)
"""Its epochs at least, unless they have too many steps, and at most."""
PATIENCE: Final = 20
"""Epochs that `early_stopping.patience: null` waits for an improvement where `train.epochs` is a number."""
AUTO_PATIENCE: Final = (3, 0.25)
"""The same for `train.epochs: auto`: at least so many, and this share of the planned epochs."""


USUAL_TOKENS: Final = 8192
"""Tokens that `train.micro_batch_tokens: auto` gives a pass where memory is no question on a CPU."""


class Train(Spec):
    """Length and batches of one run."""

    epochs: Annotated[Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | Literal["auto"], Range(1, 10)] = "auto"
    """Passes over the training rows. `auto`: as many as make 300 steps, but at least 3 and at most 20; fewer than 3
    where those would have more than 30,000 steps. With `max_steps`, as many as that takes."""
    max_steps: Steps | None = None
    """Stop after this many optimizer steps, if that comes before the last epoch."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000), Choices((8, 16, 32))] = 16
    """Rows per optimizer step. Never changed for memory: `micro_batch_tokens` is."""
    micro_batch_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | Literal["auto"] = "auto"
    """Most padded tokens in one forward and backward pass; gradients of one step add up over the passes. `auto`: on a
    GPU as many as fit into its memory, found before the first step; on a CPU 8192, where more are no faster, or fewer
    where memory is short. A run keeps what was found when it is resumed."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    eval_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Most rows in one forward pass of evaluation and prediction."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When to stop early; null never does. The best epoch is restored either way."""
    log_every: Steps = 10
    """Steps between two records of the training loss and the learning rate."""
    baselines: tuple[Literal["majority", "tfidf", "probe"], ...] = ("majority", "probe")
    """Simple models that are fitted to the same rows before training, and stand beside the run in its report: the most
    frequent labels, TF-IDF, the frozen model with a linear head. A list; empty for none. Trials have none."""
    cache_frozen_layers: Literal["auto", "off"] = "auto"
    """What the lowest layers give of a row, where none of them is trained: `auto` computes it once and keeps it while
    the run or study lasts, where that pays and is exact; `off` computes it in every epoch anew. The last digits of a
    run depend on it (docs/training.md)."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processes that prepare batches; 0 prepares them in the training process. The batches are the same."""

    def epochs_for(self, rows: int) -> int:
        """How many epochs are planned for so many training rows."""
        if self.epochs != "auto":
            return self.epochs
        steps = math.ceil(max(rows, 1) / self.batch_size)
        if self.max_steps is not None:
            return math.ceil(self.max_steps / steps)
        fewest, most = (math.ceil(limit / steps) for limit in AUTO_STEPS)
        return min(max(AUTO_EPOCHS[0], min(fewest, AUTO_EPOCHS[1])), most)

    def patience_for(self, rows: int) -> int | None:
        """How many epochs without improvement end training on so many rows; None: it never stops early."""
        if (rule := self.early_stopping) is None or rule.patience is not None:
            return None if rule is None else rule.patience
        least, share = AUTO_PATIENCE
        return max(least, math.ceil(share * self.epochs_for(rows))) if self.epochs == "auto" else PATIENCE
