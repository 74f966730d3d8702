"""The rules between sections that language models add; `rules.py` asks them with the others."""

from collections.abc import Callable, Iterator
from typing import Final

from tunery.errors import Problem
from tunery.schema.config.freeze import Freeze, FreezeEncoder
from tunery.schema.config.model import AutoHead, Model, NativeHead
from tunery.schema.config.peft import WITHOUT_STEPS, Peft, Prefix, Prompt
from tunery.schema.config.regularization import NoAugmentation, Regularization
from tunery.schema.config.task import CausalLmTask, LanguageModelTask, Task
from tunery.schema.reading.fields import written_name


def _language_models_have_a_head(task: Task, model: Model) -> Iterator[Problem]:
    if isinstance(task, LanguageModelTask) and not isinstance(model.head, AutoHead | NativeHead):
        message = (
            f"task.kind={task.kind!r} uses the head that the model was pretrained with, but got {model.head.kind!r}; "
        )
        yield Problem("model.head.kind", message + "remove it")


def _language_models_train_more_than_a_head(task: Task, peft: Peft, freeze: Freeze) -> Iterator[Problem]:
    if not isinstance(task, LanguageModelTask):
        return
    if isinstance(peft, WITHOUT_STEPS):
        message = f"{written_name(type(peft))!r} tells labels apart, but task.kind={task.kind!r} has none; "
        yield Problem("peft.method", message + "take lora")
    if isinstance(freeze, FreezeEncoder):
        message = f"'freeze_encoder' trains a new head alone, but task.kind={task.kind!r} uses the pretrained one; "
        yield Problem("freeze.strategy", message + "take freeze_layers, or peft.method=lora")


def _texts_that_share_a_row_need_no_virtual_tokens(task: Task, peft: Peft) -> Iterator[Problem]:
    if isinstance(task, CausalLmTask) and task.packing and isinstance(peft, Prefix | Prompt):
        message = f"{peft.method!r} puts virtual tokens before a row, which texts that share one do not go with; "
        yield Problem("peft.method", message + "write task.packing=false, or take lora")


def _language_models_read_texts_as_they_are(task: Task, regularization: Regularization) -> Iterator[Problem]:
    if not isinstance(task, LanguageModelTask):
        return
    for key, why in (
        ("head_dropout", "the head is the pretrained one, which has no dropout of its own"),
        ("token_dropout", "what is hidden is what is to be told"),
        ("label_smoothing", "perplexity is that of the true tokens"),
    ):
        if value := getattr(regularization, key):
            message = f"task.kind={task.kind!r} does not take it, since {why}, but got {value}; remove it"
            yield Problem(f"regularization.{key}", message)
    if not isinstance(regularization.augmentation, NoAugmentation):
        message = f"changed texts would be learned by task.kind={task.kind!r} as they are, but got "
        yield Problem("regularization.augmentation.name", f"{message}{regularization.augmentation.name!r}; remove it")


LANGUAGE_MODEL_RULES: Final[tuple[Callable[..., Iterator[Problem]], ...]] = (
    _language_models_have_a_head,
    _language_models_train_more_than_a_head,
    _texts_that_share_a_row_need_no_virtual_tokens,
    _language_models_read_texts_as_they_are,
)
