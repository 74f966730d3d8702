"""Virtual tokens before those of the text: prefix and prompt tuning, through peft."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PrefixTuningConfig, PromptTuningConfig, PromptTuningInit
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunery.errors import ModelError, reason_of
from tunery.model.on_trial import on_trial
from tunery.model.peft.library import common_arguments, through_peft
from tunery.model.peft.method import LoadedBase, Method, Wrapped, unmergeable
from tunery.schema.config.peft import Prefix, Prompt

_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, NotImplementedError, AssertionError)
"""How models fail that cannot take keys and values, or embeddings, from outside."""

_TEXT = 4
"""Tokens of the text that a new model is tried on."""


def virtual_tokens(config_of: Callable[[Any, LoadedBase], PeftConfig]) -> Method:
    """A method of the library that puts tokens before the text; tried on a few tokens before it is trained.

    Under tunery's own head, token types are not read (the library drops them): the segments of a pair are told apart by
    their separator alone.

    Args:
        config_of: makes the library's config.
    """
    library = through_peft(config_of)

    def wrap(spec: Prefix | Prompt, loaded: LoadedBase) -> Wrapped:
        """Token states, if the model returns any, are those of the text.

        Raises:
            ModelError: the architecture cannot take virtual tokens, or answers with them in a wrong way.
        """
        refusal = f"peft.method={spec.method} does not work on {type(loaded.model).__name__}"
        remedy = "take another peft.method, for example lora, or another model"
        try:
            model: Any = _text_only(library.wrap(spec, loaded).module, loaded)
            _try(model, loaded)
        except _FAILURES as error:
            raise ModelError(f"{refusal} ({reason_of(error)}); {remedy}") from error
        except _Useless as error:
            raise ModelError(f"{refusal}: {error}; {remedy}") from error
        return Wrapped(model, virtual_tokens=spec.tokens)

    def load(spec: Prefix | Prompt, loaded: LoadedBase, folder: Path) -> nn.Module:
        return _text_only(library.load(spec, loaded, folder), loaded)

    def merge(spec: Prefix | Prompt, model: Any) -> PreTrainedModel:
        raise unmergeable(spec, "puts virtual tokens before the text")

    return replace(library, wrap=wrap, load=load, merge=merge)


class _Useless(Exception):
    """The method runs, and does not do what it is for."""


def prefix_config(spec: Prefix, loaded: LoadedBase) -> PrefixTuningConfig:
    """Keys and values themselves are trained, without the re-parametrisation of Li & Liang 2021, section 4.3."""
    return PrefixTuningConfig(num_virtual_tokens=spec.tokens, **_sizes(loaded), **common_arguments(loaded))


def prompt_config(spec: Prompt, loaded: LoadedBase) -> PromptTuningConfig:
    """Starts from the embeddings of random words (Lester et al. 2021, section 3.2)."""
    embeddings = cast(nn.Embedding, loaded.model.get_input_embeddings())
    return PromptTuningConfig(
        num_virtual_tokens=spec.tokens,
        **{**_sizes(loaded), "token_dim": embeddings.embedding_dim},  # less than the states have in small ELECTRAs
        num_layers=loaded.structure.count,
        prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        **common_arguments(loaded),
    )


def _sizes(loaded: LoadedBase) -> dict[str, Any]:
    """What the library does not find by itself in every family."""
    config = loaded.model.config
    return {"token_dim": config.hidden_size, "num_attention_heads": config.num_attention_heads}


def _text_only(model: Any, loaded: LoadedBase) -> nn.Module:
    """Let a model that answers about every token return as many states as the text has tokens."""
    module: nn.Module = model
    if loaded.task_type == "FEATURE_EXTRACTION":
        module.register_forward_pre_hook(_drop_token_types, with_kwargs=True)
        module.register_forward_hook(_trim, with_kwargs=True)
    return module


def _drop_token_types(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {name: value for name, value in kwargs.items() if name != "token_type_ids"}


def _trim(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    length = kwargs["input_ids"].shape[1]
    for name in ("last_hidden_state", "logits"):
        if output.get(name) is not None:
            output[name] = output[name][:, -length:]  # (batch, text, ...)
    if output.hidden_states is not None:
        output.hidden_states = tuple(states[:, -length:] for states in output.hidden_states)
    return output


def _try(model: Any, loaded: LoadedBase) -> None:
    """Ask a small question, with other weights too; they are put back."""
    virtual: Tensor = model.prompt_encoder["default"].embedding.weight
    values = virtual.detach().clone()
    answer = partial(_answer, model, loaded)
    with on_trial(model):
        alone, padded = answer(padding=0), answer(padding=3)
        virtual.add_(1)
        changed = answer(padding=0)
        virtual.copy_(values)
    if torch.equal(alone, changed):
        raise _Useless("the model does not read the virtual tokens")
    if not torch.allclose(alone, padded[:, : alone.shape[1]], atol=1e-3):
        raise _Useless("its answer would depend on how far a text is padded; model.head.kind=linear may help")


def _answer(model: nn.Module, loaded: LoadedBase, *, padding: int) -> Tensor:
    """Logits or token states of one text of a few words."""
    pad, device = loaded.model.config.pad_token_id, loaded.model.device
    words = torch.tensor([number for number in range(1, _TEXT + 2) if number != pad][:_TEXT], device=device)
    ids = torch.cat([words, words.new_full((padding,), pad)])
    mask = torch.cat([torch.ones_like(words), words.new_zeros(padding)])
    answer: Tensor = model(input_ids=ids[None], attention_mask=mask[None])[0]
    return answer
