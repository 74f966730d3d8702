"""The transformers `Trainer`, with the few methods overridden that tunery needs otherwise."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import TrainOutput

from tunery.data.batches import EpochBatches, MicroBatch
from tunery.errors import NonFiniteLoss
from tunery.model.build import Built
from tunery.model.heads.heads import answers_of
from tunery.model.trainable import load_trainable, trainable_state
from tunery.optim.adversarial import AdversarialTraining
from tunery.optim.objective import Objective
from tunery.optim.schedules import Schedule
from tunery.schema import RunConfig
from tunery.schema.results.run import Tokens
from tunery.train.loop.finite import LossWatch, failed_score, require_finite
from tunery.train.loop.resume import Snapshot
from tunery.train.loop.state import pack, random_state, restore_random_state, unpack
from tunery.train.predict.scoring import Known, autocast, nothing_known


@final
class EpochLoader(DataLoader[Any]):
    """A loader that hands the epoch on to its batch sampler; the Trainer calls `set_epoch` before each epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration plans."""
        sampler = self.batch_sampler
        if isinstance(sampler, EpochBatches):
            sampler.set_epoch(epoch)

    def release(self) -> None:
        """End the worker processes. Left to the garbage collector, torch waits five seconds for each of them."""
        self._iterator = None


@final
class TuneryTrainer(Trainer):
    """Steps over micro-batches of a token budget, scores through a function, saves only trained parameters.

    One batch of the loader is one optimizer step: a list of micro-batches whose gradients add up to that of the step's
    loss, so that memory settings never change the optimisation.
    """

    def __init__(
        self,
        built: Built,
        arguments: TrainingArguments,
        *,
        loader: EpochLoader,
        objective: Objective,
        adversarial: AdversarialTraining,
        watch: LossWatch,
        precision: str,
        lr: float,
        optimizer: Callable[[], Optimizer],
        schedule: Callable[[Optimizer, int], Schedule],
        score: Callable[[], dict[str, Any]],
        known: Known = nothing_known,
    ) -> None:
        """Args:
        known: answers about training rows that need not be read, with the gradients of what is trained.
        """
        self._built = built
        self._loader = loader
        self._objective = objective
        objective.module.to(arguments.device)
        self._adversarial = adversarial
        self._precision = precision
        self._lr = lr
        self._make_optimizer = optimizer
        self._make_schedule = schedule
        self._score = score
        self._known = known
        self._step_loss = torch.zeros(())
        self._watch = watch
        self.tokens = Tokens()
        self.changed_rows = 0
        self._step_lr = lr
        self._resume_from: Path | None = None
        super().__init__(model=built.module, args=arguments)
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)

    def get_train_dataloader(self) -> EpochLoader:
        """The loader that was handed in; it is not sharded and draws from a generator of its own."""
        return self._loader

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, and leave no worker processes behind."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self._loader.release()

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """The optimizer of the config."""
        self.optimizer = self._make_optimizer()
        if self.accelerator.scaler is not None:
            # a fused optimizer would skip an overflow by itself, and the schedule would not hear of it
            cast(Any, self.optimizer)._step_supports_amp_scaling = False
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The schedule of the config over the true number of steps."""
        schedule = self._make_schedule(optimizer or cast(Optimizer, self.optimizer), num_training_steps)
        self.lr_scheduler, self._created_lr_scheduler = cast(LambdaLR, schedule), True
        return schedule

    def observe(self, value: float | None) -> None:
        """Show the schedule the objective of an epoch."""
        cast(Schedule, self.lr_scheduler).observe(value)

    def measured(self) -> dict[str, float]:
        """Of the step that was taken last: its loss, the learning rate, and what the loss has learned so far."""
        return {"loss": self._step_loss.item(), "lr": self._step_lr, **self._objective.learned()}

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward over the micro-batches of one step; returns its loss, without penalties."""
        self._built.train()
        self._objective.module.zero_grad()  # the Trainer clears the gradients of the model only
        micro_batches: Sequence[MicroBatch] = inputs
        units: Counter[str] = Counter()
        for micro_batch in micro_batches:
            units.update(self._objective.units(micro_batch.targets))
        group = cast(Optimizer, self.optimizer).param_groups[0]  # groups with rates of their own move alike
        self._step_lr = float(self._lr * group["lr"] / group["initial_lr"])
        self._step_loss = torch.zeros((), device=self.args.device)
        for micro_batch in micro_batches:
            mask = micro_batch.inputs["attention_mask"]
            real, processed = int(mask.sum()), mask.numel()
            self.tokens = Tokens(real=self.tokens.real + real, processed=self.tokens.processed + processed)
            self.changed_rows += micro_batch.changed_rows
            batch, targets = self._moved(micro_batch.inputs), self._moved(micro_batch.targets)
            share = partial(self._share_of_loss, model, batch, targets, units, micro_batch.features)
            self._step_loss += self._adversarial.backward(share, self.accelerator.backward)
        if self._built.rank_allocator is not None:
            self.accelerator.backward(self._built.rank_allocator.penalty())
        self._watch.note(self._step_loss, step=self.state.global_step + 1, lr=self._step_lr)
        return self._step_loss.clone()

    def _moved(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.args.device, non_blocking=True) for name, tensor in tensors.items()}

    def _share_of_loss(
        self,
        model: nn.Module,
        batch: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        units: Mapping[str, int],
        features: Sequence[int],
    ) -> Tensor:
        """What one micro-batch adds to the loss of the step, which has so many units."""
        with autocast(self.args.device, self._precision):
            outputs = self._known(features, batch) or answers_of(model, batch, self._built.outputs)
        return self._objective.share({name: output.float() for name, output in outputs.items()}, targets, units=units)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Score the validation split and tell the callbacks."""
        try:
            metrics = self._score()
        except NonFiniteLoss as error:
            raise failed_score(error, step=self.state.global_step, lr=self._step_lr) from error
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Not estimated: the library's formula assumes one padded batch."""
        return 0

    def snapshot(self) -> Snapshot:
        """All that training goes on from after the step that was taken last.

        Raises:
            NonFiniteLoss: the weights are not finite any more.
            RunError: the optimizer has a state that cannot be stored.
        """
        weights = trainable_state(self._built)
        require_finite(weights, step=self.state.global_step, lr=self._step_lr)
        scaler, rank_allocator = self.accelerator.scaler, self._built.rank_allocator
        parts = {
            "optimizer": cast(Optimizer, self.optimizer).state_dict(),
            "schedule": cast(Schedule, self.lr_scheduler).state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "regulator": rank_allocator.state() if rank_allocator else None,
            "loss": dict(self._objective.module.state_dict()),
            "random": random_state(),
        }
        packed = pack(parts, name="state")
        return Snapshot({"trainer": asdict(self.state), "state": packed.document}, weights, packed.tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Let `go_on` train on from a snapshot as if nothing had come between."""
        load_trainable(self._built, snapshot.weights)
        parts = unpack(snapshot.documents["state"], snapshot.state)
        self._objective.module.load_state_dict(parts.pop("loss"))
        if self._built.rank_allocator is not None:
            self._built.rank_allocator.load(parts["regulator"])
        self.add_callback(_OnceReady(partial(self._restore, parts)))
        self._resume_from = Path(str(self.args.output_dir))
        self._resume_from.mkdir(parents=True, exist_ok=True)
        TrainerState(**snapshot.documents["trainer"]).save_to_json(str(self._resume_from / TRAINER_STATE_NAME))

    def go_on(self) -> None:
        """Train to the end, from where `restore` has put it or from the start."""
        self.train(resume_from_checkpoint=self._resume_from and str(self._resume_from))

    def _restore(self, parts: dict[str, Any]) -> None:
        """Put back what the Trainer makes anew. `parts` is emptied, so that no second copy stays in memory."""
        cast(Optimizer, self.optimizer).load_state_dict(parts.pop("optimizer"))
        cast(Schedule, self.lr_scheduler).load_state_dict(parts.pop("schedule"))
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(parts.pop("scaler"))
        restore_random_state(parts.pop("random"))

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """The library would write pickles; `on_save`, which comes next, publishes a snapshot instead."""

    def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """The library would look for files of its own; `restore` has loaded the weights."""


@final
class _OnceReady(TrainerCallback):
    """Acts when optimizer, schedule and scaler have been made, before the first step."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Nothing draws from a global random generator from here to the first step: batches have their own."""
        self._act()


def training_arguments(
    config: RunConfig, staging: Path, *, epochs: int, device: torch.device, precision: str
) -> TrainingArguments:
    """The library's arguments: everything that tunery decides itself is switched off."""
    return TrainingArguments(
        output_dir=str(staging),
        num_train_epochs=epochs,
        max_steps=config.train.max_steps or -1,
        per_device_train_batch_size=config.train.batch_size,
        max_grad_norm=config.regularization.gradient_clipping,
        seed=config.seed,
        use_cpu=device.type == "cpu",
        fp16=precision == "fp16",
        logging_nan_inf_filter=False,
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
