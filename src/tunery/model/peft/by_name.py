"""Any other method of the installed peft, by the name of its config class."""

from dataclasses import replace
from typing import Any, Final

import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftConfig
from torch import nn

from tunery.errors import ModelError, did_you_mean, reason_of
from tunery.model.backbones.families import is_transposed
from tunery.model.on_trial import on_trial
from tunery.model.peft.library import common_arguments, field_names, pattern, through_peft
from tunery.model.peft.library_warnings import without_noise
from tunery.model.peft.method import LoadedBase, Wrapped
from tunery.schema.config.peft import Library, Target

_DEFAULT_TARGET: tuple[Target, ...] = ("query", "value")

_OURS = {"AdaLoraConfig": "adalora", "PrefixTuningConfig": "prefix", "PromptTuningConfig": "prompt"}
"""Classes that do nothing, or not enough, without what tunery adds to them -> the method that does."""


def config_by_name(spec: Library, loaded: LoadedBase) -> PeftConfig:
    """The config, with the head, the task and the target modules filled in where the class knows of them.

    Raises:
        ModelError: the class or one of the arguments is unknown, or refused.
    """
    kind = _class_named(spec.config)
    accepted = field_names(kind)
    _check_arguments(spec, accepted)
    filled = {name: value for name, value in _filled(spec, loaded, accepted).items() if name in accepted}
    whole = {*(filled.get("modules_to_save") or ()), *(spec.arguments.get("modules_to_save") or ())}
    both = {"modules_to_save": sorted(whole)} if whole else {}
    with without_noise():
        config = kind(**{**filled, **spec.arguments, **both})
    if config.is_prompt_learning:
        raise ModelError(f"peft.config={spec.config} adds virtual tokens; take peft.method=prefix or prompt for that")
    return config


def _class_named(name: str) -> type[PeftConfig]:
    classes = {kind.__name__: kind for kind in PEFT_TYPE_TO_CONFIG_MAPPING.values()}
    if name not in classes:
        raise ModelError(
            f"peft.config must name a config class of the installed peft, but got {name!r}; "
            f"{did_you_mean(name, classes)}"
        )
    if name in _OURS:
        raise ModelError(f"peft.config={name} does not work on its own; take peft.method={_OURS[name]}")
    return classes[name]


def _check_arguments(spec: Library, accepted: frozenset[str]) -> None:
    if unknown := sorted(spec.arguments.keys() - accepted):
        raise ModelError(
            f"peft.arguments must be keyword arguments of {spec.config}, but got {', '.join(unknown)}; "
            f"{did_you_mean(unknown[0], accepted)}"
        )
    if spec.target is not None and "target_modules" not in accepted:
        raise ModelError(f"peft.target needs a method with target modules, but {spec.config} has none; remove it")
    if spec.target is not None and "target_modules" in spec.arguments:
        raise ModelError("peft.target and peft.arguments.target_modules say the same thing; remove one of them")


def _filled(spec: Library, loaded: LoadedBase, accepted: frozenset[str]) -> dict[str, Any]:
    """What most classes take; nothing about targets where the arguments name modules themselves."""
    if "target_modules" not in accepted - spec.arguments.keys():
        return common_arguments(loaded)
    targets = spec.target or _DEFAULT_TARGET
    modules = {"target_modules": pattern(loaded, targets), "fan_in_fan_out": is_transposed(loaded.layer(0), targets)}
    return {**common_arguments(loaded), **modules}


def _untrained(model: nn.Module, loaded: LoadedBase) -> str:
    """What ought to be trained and is not: a module that is to be trained whole, or everything."""
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    whole = [name for name in loaded.trained_whole if not any(f".{name}." in f".{other}" for other in trained)]
    only_whole = all(".modules_to_save." in name for name in trained)
    return ", ".join(whole) or ("all of the model" if only_whole else "")


_THROUGH_PEFT: Final = through_peft(config_by_name)


def _wrap(spec: Library, loaded: LoadedBase) -> Wrapped:
    """Tried on four tokens before it is trained.

    Raises:
        ModelError: peft has no such class or it no such argument, or the method does not work on this model.
    """
    rule = f"peft.config={spec.config} does not work on {type(loaded.model).__name__} with these arguments"
    try:
        wrapped = _THROUGH_PEFT.wrap(spec, loaded)
        tokens = torch.ones((1, 4), dtype=torch.long, device=loaded.model.device)
        with on_trial(wrapped.module):
            wrapped.module(input_ids=tokens, attention_mask=tokens)
    except ModelError:
        raise
    except Exception as error:  # some forty methods by many hands: they fail in every way there is
        raise ModelError(f"{rule}: {reason_of(error)}") from error
    if untrained := _untrained(wrapped.module, loaded):
        raise ModelError(f"{rule}: it leaves {untrained} untrained; take another class")
    return wrapped


BY_NAME: Final = replace(_THROUGH_PEFT, wrap=_wrap)
