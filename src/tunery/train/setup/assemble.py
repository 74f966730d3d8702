"""Everything of a run that can be refused: it is put together before anything is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch.optim import Optimizer
from transformers import set_seed

from tunery.data.augmentation.augmenter import Augmenter
from tunery.data.batches import OVERHEAD, Collator, EncodedDataset, EpochBatches, length_tells_labels
from tunery.errors import ConfigError, Problem
from tunery.hardware import pick_device, pick_precision, reset_peak_memory, use_precision
from tunery.model.backbones.backbone import base_digest
from tunery.model.backbones.dropout import Dropouts
from tunery.model.build import Built, build
from tunery.model.heads.auto import resolved_head
from tunery.model.reference import reference_of
from tunery.optim.curves import warmup_steps
from tunery.optim.groups import LearningRates, Roles
from tunery.optim.objective import Objective
from tunery.optim.optimizers import check_device, make_optimizer
from tunery.optim.schedules import Schedule, make_schedule
from tunery.schema import RunConfig
from tunery.schema.config.train import USUAL_TOKENS
from tunery.store.objects.objects import Reference
from tunery.train.loop.finite import rows_of_step
from tunery.train.loop.trainer import EpochLoader
from tunery.train.memory.run_budget import Budget
from tunery.train.setup.augmentation import augmented, make_augmenter, models_of_augmentation
from tunery.train.setup.prepare import Prepared

_OVERHEAD_ON_GPU = 1024
"""A micro-batch of few tokens takes as long as one of many there, since starting its kernels takes longer than they
do."""


@dataclass(frozen=True)
class Assembled:
    """A run of which nothing can be refused any more; what is left is work."""

    config: RunConfig
    prepared: Prepared
    built: Built
    reference: Reference | None
    """What trained weights are stored against; None where they are stored as they are."""
    objective: Objective
    augmenter: Augmenter | None
    """What changes training rows, if anything does."""
    augmentation_models: Mapping[str, str]
    """What identifies the models that it needs, as `Built.base_digest` does the base; by key."""
    batches: EpochBatches
    epochs: int
    """How many are planned."""
    patience: int | None
    """Epochs without improvement that end training; None: it never ends early."""
    steps: int
    device: torch.device
    precision: str
    precision_reason: str
    budget: Budget | None = None
    """What passes may have; None: nobody has looked (`memory.run_budget.with_budget`)."""

    def optimizer(self) -> Optimizer:
        """The optimizer of the config over all trained parameters, those of the loss included."""
        config, built = self.config, self.built
        return make_optimizer(
            config.optim,
            built.module,
            rates=LearningRates(
                encoder=config.lr,
                head=config.head_lr,
                adapter=config.optim.adapter_lr or config.lr,
                layerwise_decay=config.optim.layerwise_lr_decay,
            ),
            roles=Roles(**vars(built.roles)),
            loss=self.objective.module,
        )

    def schedule(self, optimizer: Optimizer, total: int) -> Schedule:
        """The schedule of the config over `total` steps."""
        return make_schedule(
            self.config.schedule,
            optimizer,
            total=total,
            steps_per_epoch=len(self.batches),
            direction=self.config.direction,
        )

    @property
    def micro_batch_tokens(self) -> int:
        """Most padded tokens in a pass of training."""
        setting = self.config.train.micro_batch_tokens
        if self.budget is not None:
            return self.budget.tokens
        return USUAL_TOKENS if setting == "auto" else setting

    def row_ids(self, step: int) -> tuple[str, ...]:
        """Ids of the training rows of one step, counted from 1."""
        prepared = self.prepared
        return rows_of_step(self.batches, prepared.splits.train.examples, step, texts=prepared.encoded["train"].texts)

    def loader(self) -> EpochLoader:
        """One batch is one optimizer step: a list of micro-batches."""
        prepared, train, tokenizer = self.prepared, self.config.train, self.prepared.tokenizer
        workers, plain = train.workers, EncodedDataset(prepared.encoded["train"], prepared.targets["train"])
        return EpochLoader(
            augmented(plain, self.augmenter, prepared, max_length=self.config.model.max_length),
            batch_sampler=self.batches,
            collate_fn=Collator(
                tokenizer.pad_token_id,
                max_tokens=self.micro_batch_tokens,
                overhead=OVERHEAD if self.device.type == "cpu" else _OVERHEAD_ON_GPU,
                token_dropout=self.config.regularization.token_dropout,
                seed=self.config.seed,
                special_ids=frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id},
                masking=prepared.task.masking(self.config.task, tokenizer),
            ),
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(self.config.seed),
        )


def assemble(
    config: RunConfig,
    prepared: Prepared,
    *,
    augmentation_models: Mapping[str, str] = MappingProxyType({}),
) -> Assembled:
    """Choose device and precision, plan the steps, load the model.

    Args:
        augmentation_models: those that an earlier call has used, which must be the same; empty: there was none.

    Raises:
        RequestError: what the device, the number of steps or the model do not allow.
    """
    device = pick_device()
    reset_peak_memory(device)
    precision, reason = pick_precision(config.model.precision, device)
    use_precision(precision, device)
    lengths, size = prepared.encoded["train"].tokens_of_rows(), config.train.batch_size
    labels = prepared.task.label_numbers(prepared.truth["train"])
    by_length = labels is None or not length_tells_labels(lengths, labels, batch_size=size)
    batches = EpochBatches(lengths, batch_size=size, seed=config.seed, by_length=by_length)
    rows = prepared.training_rows
    epochs = config.train.epochs_for(rows)
    whole = len(batches) * epochs
    steps = min(whole, config.train.max_steps or whole)
    _all_at_once(partial(check_device, config.optim, device.type), partial(warmup_steps, config.schedule, total=steps))
    models = models_of_augmentation(config, augmentation_models)
    built = build_seeded(config, prepared)
    if built.rank_allocator is not None:
        built.rank_allocator.plan(steps)
    built.module.to(device)  # the Trainer leaves quantised models where they are
    return Assembled(
        config=config,
        prepared=prepared,
        built=built,
        reference=base_of(built, config, prepared),
        objective=prepared.task.objective(config, prepared.truth["train"]),
        augmenter=make_augmenter(config, prepared, built, models, device),
        augmentation_models={key: base_digest(model) for key, model in models.items()},
        batches=batches,
        epochs=epochs,
        patience=config.train.patience_for(rows),
        steps=steps,
        device=device,
        precision=precision,
        precision_reason=reason,
    )


def _all_at_once(*checks: Callable[[], object]) -> None:
    problems: list[Problem] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


def base_of(built: Built, config: RunConfig, prepared: Prepared) -> Reference | None:
    """The pretrained weights, where trained ones are stored as what differs from them."""
    load = reference_of(built, spec=config.model, outputs=prepared.task.outputs)
    return None if load is None else Reference(built.base_digest, load)


def with_resolved_head(config: RunConfig, prepared: Prepared) -> RunConfig:
    """The config with the head that `model.head: auto` means for its base."""
    head = resolved_head(config.model.head, prepared.base, prepared.task.outputs)
    return config.model_copy(update={"model": config.model.model_copy(update={"head": head})})


def build_seeded(config: RunConfig, prepared: Prepared) -> Built:
    """The model of a run before training; the same config gives the same initial head."""
    rule = config.regularization
    set_seed(config.seed)
    return build(
        config.model,
        outputs=prepared.task.outputs,
        peft=config.peft,
        freeze=config.freeze,
        dropout=Dropouts(head=rule.head_dropout, encoder=rule.encoder_dropout, attention=rule.attention_dropout),
        gradient_checkpointing=config.train.gradient_checkpointing,
        base=prepared.base,
        tokenizer=prepared.tokenizer,
    )
