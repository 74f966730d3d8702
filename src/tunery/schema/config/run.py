"""One config describes one run: the sections, and the rules between them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tunery.errors import ConfigError, Problem
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.config.data import Data
from tunery.schema.config.freeze import Freeze, FreezeEncoder, NoFreeze
from tunery.schema.config.model import Model
from tunery.schema.config.optim import AdamW, Optim
from tunery.schema.config.peft import WITHOUT_STEPS, NoPeft, Peft
from tunery.schema.config.pretrain import Pretrain
from tunery.schema.config.regularization import Regularization
from tunery.schema.config.rules import broken_rules, objective_of, objectives_of
from tunery.schema.config.schedule import Linear, Schedule
from tunery.schema.config.search import Search
from tunery.schema.config.task import Task
from tunery.schema.config.tracking import Tracker
from tunery.schema.config.train import Train
from tunery.schema.reading.fields import written_name
from tunery.schema.reading.short_forms import written_out
from tunery.schema.reading.validation import section_problems
from tunery.schema.results.direction import Direction
from tunery.schema.spec import Spec

FROZEN_ENCODER_LR = 1e-3
"""Default learning rate where only a head is trained."""
HEAD_LR_RATIO = 10
"""A head starts from noise: by default it learns so many times as fast as the encoder."""
HEAD_LR_LIMIT = 1e-2
"""But no faster than this times the ratio of the optimizer, unless the encoder does."""
FAR_RATE = 10
"""A learning rate so many times its default, or so many times less, is worth a warning."""
RELATIVE_STEP_LIMIT = 1e-2
"""Largest rate of an optimizer that sets its own (Shazeer & Stern 2018, arXiv 1804.04235, section 8)."""


class RunConfig(Spec):
    """Everything one run needs. Only `task` and `data` have no default."""

    model_config = ConfigDict(validate_default=True)

    name: str = "run"
    """Name shown in reports."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Every random choice of the run is keyed by it."""
    task: Task
    """What is to be learned."""
    data: Data
    """Where the rows come from and what their columns mean."""
    model: Model = Model()
    """The pretrained model and its head."""
    peft: Peft = NoPeft()
    """Which parameters are trained in place of all."""
    freeze: Freeze = NoFreeze()
    """Which pretrained parameters stay as they are."""
    optim: Optim = AdamW()
    """The optimizer."""
    schedule: Schedule = Linear()
    """How the learning rate moves over the run."""
    regularization: Regularization = Regularization()
    """What keeps training from running away."""
    train: Train = Train()
    """Length, batches, early stopping."""
    pretrain: Pretrain = Pretrain()
    """What the base learns from texts without labels before the run."""
    checkpoint: Checkpoint = Checkpoint()
    """What stays on disk."""
    tracking: tuple[Tracker, ...] = ()
    """Where metrics go besides `metrics.jsonl`."""
    search: Search = Search()
    """The study around the run."""

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Keywords are read as a file is: with short forms, and refused with every problem at once."""
        if isinstance(given, Mapping):
            given = written_out(given, cls.model_fields)
            if problems := list(section_problems(given, cls.model_fields, searched=False)):
                raise ConfigError(problems)
        try:
            return read(given)
        except ValidationError as error:
            problems = [Problem(".".join(map(str, detail["loc"])), detail["msg"]) for detail in error.errors()]
            raise ConfigError(problems) from error

    @field_validator("optim")
    @classmethod
    def _fill_learning_rates(cls, optim: Optim, info: ValidationInfo) -> Optim:
        if optim.sets_its_own_rate or not {"peft", "freeze"} <= set(info.data):
            return optim
        lr = optim.lr or default_lr(optim, peft=info.data["peft"], freeze=info.data["freeze"])
        filled = optim.model_copy(update={"lr": lr, "head_lr": optim.head_lr or default_head_lr(optim, lr=lr)})
        filled.model_fields_set.intersection_update(optim.model_fields_set)  # what is filled in was not set
        return filled

    def of_fold(self, number: int) -> Self:
        """The run of one fold of cross-validation."""
        return self.model_copy(update={"data": self.data.model_copy(update={"fold": number})})

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        if problems := list(broken_rules(dict(self))):
            raise ConfigError(problems)
        return self

    def with_remote_code(self) -> Self:
        """The same run of a model that needs code of its own."""
        return self.model_copy(update={"model": self.model.model_copy(update={"trust_remote_code": True})})

    @property
    def lr(self) -> float:
        """Peak learning rate; the largest possible where the optimizer sets its own."""
        if self.optim.sets_its_own_rate:
            return RELATIVE_STEP_LIMIT
        return self.optim.lr or default_lr(self.optim, peft=self.peft, freeze=self.freeze)

    @property
    def head_lr(self) -> float:
        """Peak learning rate of the head."""
        if self.optim.sets_its_own_rate:
            return RELATIVE_STEP_LIMIT
        return self.optim.head_lr or default_head_lr(self.optim, lr=self.lr)

    @property
    def objective(self) -> str:
        """Name of the validation metric by which runs are ranked."""
        return objective_of(self.task, self.search)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objective, then the other metrics and the costs that count in a study."""
        return objectives_of(self.task, self.search)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each of `objectives` is better."""
        return tuple(self.task.all_metrics.get(name, "minimize") for name in self.objectives)

    @property
    def direction(self) -> Direction:
        """Which way the objective is better."""
        return self.task.all_metrics[self.objective]

    @property
    def watched(self) -> str:
        """Name of the validation metric that early stopping watches."""
        stopping = self.train.early_stopping
        return (stopping and stopping.metric) or self.objective


def default_lr(optim: Optim, *, peft: Peft, freeze: Freeze) -> float:
    """Peak learning rate where the config names none: what is trained decides, times the ratio of the optimizer."""
    return optim.lr_ratio * (FROZEN_ENCODER_LR if isinstance(freeze, FreezeEncoder) else peft.default_lr)


def default_head_lr(optim: Optim, *, lr: float) -> float:
    """Peak learning rate of the head where the config names none."""
    return max(lr, min(HEAD_LR_RATIO * lr, HEAD_LR_LIMIT * optim.lr_ratio))


def far_rates(config: RunConfig) -> Iterator[str]:
    """A sentence for every learning rate that is more than `FAR_RATE` times its default, or less than that part of it.

    A rate that suits one method is wrong for another: LoRA's is twenty times that of full fine-tuning.
    """
    if config.optim.sets_its_own_rate or isinstance(config.peft, WITHOUT_STEPS):
        return
    method = f"peft={written_name(type(config.peft))}"
    trained = "freeze=freeze_encoder" if isinstance(config.freeze, FreezeEncoder) else method
    usual = default_lr(config.optim, peft=config.peft, freeze=config.freeze)
    rates = {"lr": (config.lr, usual), "head_lr": (config.head_lr, default_head_lr(config.optim, lr=config.lr))}
    rates |= {"adapter_lr": (config.optim.adapter_lr or usual, usual)}
    for key, (rate, default) in rates.items():
        if not default / FAR_RATE <= rate <= default * FAR_RATE:
            ratio = f"{rate / default:.3g} times" if rate > default else f"1/{default / rate:.3g} of"
            sentence = (
                f"optim.{key}={rate:.2g} is {ratio} the default, {default:.2g}, for {trained} with {config.optim.name}"
            )
            yield f"{sentence}; remove the key to take the default"
