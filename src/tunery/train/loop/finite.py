"""A loss that becomes NaN or infinite ends the run before anything of it is stored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunery.data.batches import EpochBatches
from tunery.data.examples import Example
from tunery.errors import NonFiniteLoss, enumerated

_SHOWN = 8
"""Row ids in a message; all of them are in the exception."""

_REMEDY = "lower optim.lr or regularization.gradient_clipping, or look at these rows"


class BadStep(NamedTuple):
    """The first step of this process whose loss was not finite."""

    step: int
    lr: float
    loss: float


@final
class LossWatch:
    """Remembers the first bad step on the device, so that the host need not wait for every step."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.zeros(3, dtype=torch.float64, device=device)
        """Step, learning rate, loss; step 0: none so far."""

    def note(self, loss: Tensor, *, step: int, lr: float) -> None:
        """Remember this step if its loss is the first that is not finite. `step` counts from 1."""
        wide = loss.detach().double()
        now = torch.stack([torch.full_like(wide, step), torch.full_like(wide, lr), wide])
        self._first = torch.where((self._first[0] == 0) & ~torch.isfinite(wide), now, self._first)

    def bad_step(self) -> BadStep | None:
        """The bad step, if there was one. Waits for the device."""
        step, lr, loss = self._first.tolist()
        return BadStep(int(step), lr, loss) if step else None


@final
class StopWhereNotFinite(TrainerCallback):
    """Ends a run at a loss that is not finite: looks after every step on a CPU, else where something would be stored.

    It belongs before the callbacks that log and publish.
    """

    def __init__(self, watch: LossWatch, *, log_every: int, rows_of: Callable[[int], Sequence[str]]) -> None:
        """Args:
        watch: what the trainer tells of every step.
        log_every: steps between two records of the loss.
        rows_of: step, counted from 1, -> ids of its rows.
        """
        self._watch = watch
        self._log_every = log_every
        self._rows_of = rows_of

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Look where looking is free, and before the loss is logged."""
        if args.device.type == "cpu" or state.global_step % self._log_every == 0:
            self._look()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Before the epoch is scored."""
        self._look()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Before what was staged becomes a resume point."""
        self._look()

    def _look(self) -> None:
        if (bad := self._watch.bad_step()) is None:
            return
        rows = tuple(self._rows_of(bad.step))
        where = f"at step {bad.step} (lr {bad.lr:.2e}, rows {enumerated(rows, _SHOWN)})"
        message = f"the loss must stay finite, but is {bad.loss} {where}; {_REMEDY}"
        raise NonFiniteLoss(message, step=bad.step, lr=bad.lr, rows=rows)


def rows_of_step(
    batches: EpochBatches, examples: Sequence[Example], step: int, *, texts: Sequence[npt.NDArray[Any]] | None = None
) -> tuple[str, ...]:
    """Ids of the training rows of one step, counted from 1 over all epochs; `#n` for the n-th row, from 0, without one.

    The rows of a step follow from the seed, so nothing has to be remembered for this.

    Args:
        texts: rows that each entry of a batch has text of (`Encoded.texts`); None: each is a row.
    """
    epoch, batch = divmod(step - 1, len(batches))
    chosen = batches.rows(epoch)[batch]
    rows = chosen if texts is None else np.unique(np.concatenate([texts[entry] for entry in chosen])).tolist()
    return tuple(examples[row].name(row) for row in rows)


def require_finite(state: Mapping[str, Tensor], *, step: int, lr: float) -> None:
    """Look at weights before they are stored.

    Raises:
        NonFiniteLoss: one of them is NaN or infinite: the last loss was finite, its gradient was not.
    """
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        where = f"{len(bad)} of {len(state)} tensors are not at step {step} (lr {lr:.2e}; first: {bad[0]})"
        raise NonFiniteLoss(f"weights must be finite to be stored, but {where}; lower optim.lr", step=step, lr=lr)


def failed_score(error: NonFiniteLoss, *, step: int, lr: float) -> NonFiniteLoss:
    """The same error, with when it happened: the loss of the last step was finite, the model after it is not."""
    return NonFiniteLoss(f"validation after step {step} (lr {lr:.2e}): {error}", step=step, lr=lr)
