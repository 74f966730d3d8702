"""One config describes one run: the sections, and the rules between them."""

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tunery.errors import ConfigError, Problem, did_you_mean
from tunery.schema.checkpoint import Checkpoint
from tunery.schema.data import Data
from tunery.schema.freeze import Freeze, FreezeEncoder, FreezeToAdapter, NoFreeze
from tunery.schema.metrics import METRICS, Direction, default_objective
from tunery.schema.model import Model
from tunery.schema.optim import AdamW, Optim
from tunery.schema.peft import AdaLora, Compacter, LayerNormTuning, LowRank, NoPeft, Peft, Prefix
from tunery.schema.regularization import Regularization
from tunery.schema.schedule import Linear, Schedule
from tunery.schema.search import Search
from tunery.schema.spec import Spec
from tunery.schema.task import Task
from tunery.schema.tracking import Tracker
from tunery.schema.train import Train

FROZEN_ENCODER_LR = 1e-3
"""Default learning rate where only a head is trained."""
HEAD_LR_RATIO = 10
"""A head starts from noise: by default it learns so many times as fast as the encoder."""
HEAD_LR_LIMIT = 1e-2
"""But no faster than this, unless the encoder does."""


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
    checkpoint: Checkpoint = Checkpoint()
    """What stays on disk."""
    tracking: tuple[Tracker, ...] = ()
    """Where metrics go besides `metrics.jsonl`."""
    search: Search = Search()
    """The study around the run."""

    @field_validator("optim")
    @classmethod
    def _fill_learning_rates(cls, optim: Optim, info: ValidationInfo) -> Optim:
        if not {"peft", "freeze"} <= set(info.data):
            return optim
        lr = optim.lr or default_lr(optim, peft=info.data["peft"], freeze=info.data["freeze"])
        return optim.model_copy(update={"lr": lr, "head_lr": optim.head_lr or default_head_lr(lr)})

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        if problems := list(broken_rules(dict(self))):
            raise ConfigError(problems)
        return self

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.optim.lr or default_lr(self.optim, peft=self.peft, freeze=self.freeze)

    @property
    def head_lr(self) -> float:
        """Peak learning rate of the head."""
        return self.optim.head_lr or default_head_lr(self.lr)

    @property
    def objective(self) -> str:
        """Name of the validation metric that judges this run."""
        return self.search.objective or default_objective(self.task.kind)

    @property
    def direction(self) -> Direction:
        """Which way the objective is better."""
        return METRICS[self.task.kind][self.objective]

    @property
    def watched(self) -> str:
        """Name of the validation metric that early stopping watches."""
        stopping = self.train.early_stopping
        return (stopping and stopping.metric) or self.objective


def default_lr(optim: Optim, *, peft: Peft, freeze: Freeze) -> float:
    """Peak learning rate where the config names none: the optimizer's own default, else what is trained decides."""
    own: float | None = type(optim).model_fields["lr"].default
    return own or (FROZEN_ENCODER_LR if isinstance(freeze, FreezeEncoder) else peft.default_lr)


def default_head_lr(lr: float) -> float:
    """Peak learning rate of the head where the config names none."""
    return max(lr, min(HEAD_LR_RATIO * lr, HEAD_LR_LIMIT))


Rule = Callable[..., Iterator[Problem]]


def _known_metric(task: Task, path: str, metric: str | None) -> Iterator[Problem]:
    known = METRICS[task.kind]
    if metric is not None and metric not in known:
        yield Problem(path, f"{metric!r} is not a metric of task {task.kind!r}; {did_you_mean(metric, known)}")


def _objective_exists(task: Task, search: Search) -> Iterator[Problem]:
    yield from _known_metric(task, "search.objective", search.objective)


def _watched_metric_exists(task: Task, train: Train) -> Iterator[Problem]:
    if train.early_stopping is not None:
        yield from _known_metric(task, "train.early_stopping.metric", train.early_stopping.metric)


def _direction_agrees(task: Task, search: Search) -> Iterator[Problem]:
    objective = search.objective or default_objective(task.kind)
    own = METRICS[task.kind].get(objective)
    if own and search.direction and search.direction != own:
        yield Problem("search.direction", f"{objective} gets better when you {own} it; remove the key or write {own!r}")


def _freezing_fits_the_method(peft: Peft, freeze: Freeze) -> Iterator[Problem]:
    if isinstance(freeze, FreezeToAdapter):
        if isinstance(peft, NoPeft):
            message = "'adapter' needs a PEFT method, but peft.method is 'none'; take freeze_encoder, or a method"
            yield Problem("freeze.strategy", message)
        if isinstance(peft, LayerNormTuning) and freeze.unfreeze_layernorm:
            yield Problem("freeze.unfreeze_layernorm", "peft.method=layernorm trains the layer norms; remove this key")
    elif not isinstance(peft, NoPeft) and not isinstance(freeze, NoFreeze):
        message = f"{freeze.strategy!r} together with peft.method={peft.method!r}: the method already freezes the "
        yield Problem("freeze.strategy", message + "pretrained weights; take freeze=adapter, or peft.method=none")


def _quantization_fits_the_method(model: Model, peft: Peft) -> Iterator[Problem]:
    if model.quantization is not None and not isinstance(peft, LowRank):
        message = f"{model.quantization!r} weights cannot be trained and need a method of the LoRA family, but got "
        yield Problem("model.quantization", message + f"peft.method={peft.method!r}; remove it, or take lora")


def _checkpointing_fits_the_method(peft: Peft, train: Train) -> Iterator[Problem]:
    if isinstance(peft, Prefix) and train.gradient_checkpointing:
        message = "peft.method='prefix' hands over its keys and values in a cache, which layers that run twice do not "
        yield Problem("train.gradient_checkpointing", message + "read; remove this key, or take peft.method=prompt")


def _ranks_shrink(peft: Peft) -> Iterator[Problem]:
    if isinstance(peft, AdaLora):
        if peft.target_r > peft.init_r:
            rule = "`target_r <= init_r` must hold, but got"
            yield Problem("peft.target_r", f"{rule} target_r={peft.target_r}, init_r={peft.init_r}")
        if peft.warmup + peft.settle >= 1:
            rule = "`warmup + settle < 1` must hold, or no step is left to move ranks in, but got"
            yield Problem("peft.settle", f"{rule} warmup={peft.warmup}, settle={peft.settle}")


def _kronecker_factors_fit(peft: Peft) -> Iterator[Problem]:
    if isinstance(peft, Compacter) and peft.bottleneck % peft.phm_dim:
        rule = "`peft.bottleneck` must be a multiple of phm_dim, but got"
        yield Problem("peft.phm_dim", f"{rule} bottleneck={peft.bottleneck}, phm_dim={peft.phm_dim}")


def _hub_data_is_pinned(data: Data) -> Iterator[Problem]:
    if data.dataset is not None and data.revision is None:
        yield Problem("data.revision", "a Hub data set needs the commit to read, so that the run can be repeated")
    if data.dataset is None and data.revision is not None:
        yield Problem("data.revision", "only a Hub data set has a revision; remove it or name data.dataset")


RULES: tuple[Rule, ...] = (
    _objective_exists,
    _direction_agrees,
    _watched_metric_exists,
    _freezing_fits_the_method,
    _quantization_fits_the_method,
    _checkpointing_fits_the_method,
    _ranks_shrink,
    _kronecker_factors_fit,
    _hub_data_is_pinned,
)
"""Rules between sections; each names the sections it reads as its parameters."""


def sections_read(rule: Rule) -> tuple[str, ...]:
    """Names of the sections that a rule reads."""
    return tuple(signature(rule).parameters)


def broken_rules(sections: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems between those sections that are there; a rule that reads a missing section is skipped."""
    for rule in RULES:
        names = sections_read(rule)
        if all(name in sections for name in names):
            yield from rule(*(sections[name] for name in names))
