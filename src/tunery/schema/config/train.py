"""How long, in which batches, and when to stop."""

from typing import Annotated

from pydantic import Field

from tunery.schema.results.direction import Direction
from tunery.schema.spec import Choices, Range, Spec, Steps


class EarlyStopping(Spec):
    """Stop when a metric has not improved for some epochs."""

    patience: Annotated[int, Field(ge=1, le=1000)] = 20
    """Epochs without improvement before training stops."""
    min_delta: Annotated[float, Field(ge=0, le=1000)] = 0.001
    """A change counts as an improvement when it is larger than this."""
    metric: str | None = None
    """Validation metric to watch; null watches the objective."""
    mode: Direction | None = None
    """`maximize` or `minimize`; every metric knows its own, so this only has to agree."""


class Train(Spec):
    """Length and batches of one run."""

    epochs: Annotated[int, Field(ge=1, le=100), Range(1, 10)] = 3
    """Passes over the training rows."""
    max_steps: Steps | None = None
    """Stop after this many optimizer steps, if that comes before the last epoch."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000), Choices((8, 16, 32))] = 16
    """Rows per optimizer step. Never changed for memory: `micro_batch_tokens` is."""
    micro_batch_tokens: Annotated[int, Field(ge=1, le=100_000_000)] = 8192
    """Most padded tokens in one forward and backward pass; gradients of one step add up over the passes."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    eval_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Most rows in one forward pass of evaluation and prediction."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When to stop early; null never does. The best epoch is restored either way."""
    log_every: Steps = 10
    """Steps between two records of the training loss and the learning rate."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processes that prepare batches; 0 prepares them in the training process. The batches are the same."""
