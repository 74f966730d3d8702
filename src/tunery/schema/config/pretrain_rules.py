"""The rules that continued pretraining adds; `rules.py` asks them with the others."""

from collections.abc import Callable, Iterator
from typing import Final

from tunery.errors import Problem
from tunery.schema.config.model import Model
from tunery.schema.config.peft import WITHOUT_STEPS, Bottleneck, Prefix, Prompt
from tunery.schema.config.pretrain import Pretrain
from tunery.schema.config.task import LanguageModelTask, Task
from tunery.schema.reading.fields import written_name


def _pretraining_comes_before_another_task(task: Task, pretrain: Pretrain) -> Iterator[Problem]:
    if isinstance(task, LanguageModelTask):
        for stage in pretrain.stages:
            message = f"continued pretraining is a language model itself, and task.kind={task.kind!r} is one already; "
            remedy = "remove it, or train the two one after the other and take the first one's best/ as model.name"
            yield Problem(f"pretrain.{stage.name}", message + remedy)


def _pretraining_changes_the_weights_of_the_base(model: Model, pretrain: Pretrain) -> Iterator[Problem]:
    if pretrain.stages and model.quantization is not None:
        message = "what continued pretraining learns cannot be put on weights of fewer bits, but got "
        yield Problem("model.quantization", f"{message}{model.quantization!r}; remove it, or the section pretrain")


def _what_pretraining_learns_is_folded_in(pretrain: Pretrain) -> Iterator[Problem]:
    if isinstance(pretrain.peft, (Bottleneck, Prefix, Prompt, *WITHOUT_STEPS)):
        message = "what is learned in continued pretraining is folded into the base, which "
        message += f"{written_name(type(pretrain.peft))!r} cannot be; take none or lora"
        yield Problem("pretrain.peft.method", message)


def _a_stage_has_one_length(pretrain: Pretrain) -> Iterator[Problem]:
    for stage in (pretrain.dapt, pretrain.tapt):
        if stage is None:
            continue
        if stage.epochs is not None and stage.steps is not None:
            message = f"a stage is as long as its epochs or as its steps, but got {stage.epochs} and {stage.steps}; "
            yield Problem(f"pretrain.{stage.name}.steps", message + "remove one of the two")
        if stage.rungs and stage.epochs is None:
            message = "other lengths in epochs go with `epochs`, which is not given; remove it"
            yield Problem(f"pretrain.{stage.name}.rungs", message)


PRETRAIN_RULES: Final[tuple[Callable[..., Iterator[Problem]], ...]] = (
    _pretraining_comes_before_another_task,
    _pretraining_changes_the_weights_of_the_base,
    _what_pretraining_learns_is_folded_in,
    _a_stage_has_one_length,
)
