"""A spec becomes a module that is ready to train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunery.errors import ModelError
from tunery.model.backbones.backbone import (
    base_digest,
    load_config,
    load_pretrained,
    load_tokenizer,
    longest_input,
    pretrained_labels,
)
from tunery.model.backbones.catalog import Base, resolve
from tunery.model.backbones.checkpointing import checkpoint_activations
from tunery.model.backbones.dropout import AS_PRETRAINED, Dropouts
from tunery.model.backbones.freeze import Pretrained
from tunery.model.backbones.freeze import freeze as apply_freeze
from tunery.model.backbones.structure import Anatomy, study
from tunery.model.heads.heads import PooledHead, assemble, loading_of, make_heads
from tunery.model.heads.pooling import first_token
from tunery.model.peft.method import Carrier, Regulator, Wrapped
from tunery.model.peft.methods import METHODS, plain_name
from tunery.model.trial_pass import check_answers
from tunery.schema.config.freeze import Freeze, frozen_in_eval
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Peft
from tunery.schema.config.task import LabelOutput, Outputs

BACKBONE = "backbone."
"""Where the pretrained part is within a `HeadedModel`."""


@dataclass(frozen=True)
class Built:
    """A module ready to train, and what is known of its parameters."""

    module: nn.Module
    """To be asked with `heads.answers_of`."""
    outputs: Outputs
    """What it answers."""
    owned: frozenset[str]
    """Names of the trained parameters, as in `module.named_parameters()`."""
    head_names: frozenset[str]
    """Those of them that were never pretrained: what the checkpoint lacks, and a head that it has for other labels."""
    adapter_names: frozenset[str]
    """Those of them that the method added."""
    depth_of: Callable[[str], int]
    """0 for embeddings, 1..L for the layers, L + 1 for the head."""
    layers: int
    """L."""
    embeddings: nn.Module
    """The table of token embeddings: (batch, tokens) -> (batch, tokens, hidden)."""
    base: Base
    base_digest: str
    carrier: nn.Module
    """The part that `save_pretrained` writes: the module itself, or its backbone under heads of ours."""
    heads: nn.ModuleDict | None
    """The heads by the names of the outputs, where they are ours and not the architecture's."""
    lr_scale: Mapping[str, float]
    """Name of a trained parameter -> factor on its learning rate, where it is not 1."""
    undecayed: frozenset[str]
    """Names of trained parameters that weight decay would pull away from their neutral value."""
    regulator: Regulator | None
    """What the method does to itself while it is trained, if anything."""
    frozen_in_eval: bool | None
    """Whether frozen layers run in eval mode; None where nothing is frozen."""


def build(
    spec: Model,
    *,
    outputs: Outputs,
    peft: Peft,
    freeze: Freeze,
    dropout: Dropouts = AS_PRETRAINED,
    gradient_checkpointing: bool = False,
    base: Base | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Built:
    """Load the base, put a head on it, freeze, add the PEFT method.

    Everything newly initialised is drawn from torch's global generator: head first, then the method. Seed it before.

    Args:
        base: what `spec.name` means, where that is known; None resolves it, and permits no code that comes with it.
        tokenizer: of the texts; None: that of the base.

    Raises:
        ModelError: unknown or unreachable base, or one that does not fit the request, or does not answer as it should
            (`trial_pass.check_answers`).
    """
    base = base or resolve(spec)
    tokenizer = tokenizer or load_tokenizer(base)
    carrier, fresh = load_carrier(spec, base=base, outputs=outputs, tokenizer=tokenizer, dropout=dropout)
    heads = make_heads(spec.head, outputs, width=carrier.model.config.hidden_size, dropout=dropout.head)
    inner = frozenset(name.removeprefix(carrier.prefix) for name in fresh if name.startswith(carrier.prefix))
    thawed = apply_freeze(freeze, carrier.backbone, carrier.anatomy, fresh=inner)
    whole = (*carrier.trained_whole, *(carrier.prefix + name for name in thawed))
    pretrained, there = Pretrained(carrier.backbone), {name for name, _ in carrier.model.named_parameters()}
    wrapped = METHODS[type(peft)].wrap(peft, replace(carrier, trained_whole=whole))
    _check_length(spec, carrier, virtual=wrapped.virtual_tokens)
    if gradient_checkpointing:
        checkpoint_activations(carrier.model)
    resting = frozen_in_eval(freeze, peft)
    if resting:
        pretrained.rest_where_frozen()
    built = _describe(
        wrapped,
        carrier=carrier,
        heads=heads,
        outputs=outputs,
        fresh=fresh,
        there=there,
        base=base,
        resting=resting,
    )
    made = {} if heads is None else dict(heads.items())
    if spec.quantization is None:  # 8-bit layers round by what else is in the batch
        check_answers(
            built.module,
            tokenizer,
            outputs=outputs,
            config=carrier.model.config,
            max_length=spec.max_length,
            cls=[name for name, head in made.items() if isinstance(head, PooledHead) and head.pool is first_token],
        )
    return built


def load_carrier(
    spec: Model,
    *,
    base: Base,
    outputs: Outputs,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dropout: Dropouts = AS_PRETRAINED,
    complete: bool = False,
) -> tuple[Carrier, frozenset[str]]:
    """The pretrained part with its anatomy, and the names of its parameters that were never pretrained.

    Args:
        tokenizer: of the texts; None: that of the base.
        complete: whether the files must hold every parameter, the head's included, as those of an export do.

    Raises:
        ModelError: the base cannot be read, does not fit the request, or lacks weights.
    """
    loading, tokenizer = loading_of(spec.head, outputs), tokenizer or load_tokenizer(base)
    config = load_config(base, outputs=outputs, tokenizer=tokenizer)
    loading.configure(config, dropout)
    model, missing = load_pretrained(
        base, config=config, loading=loading, tokenizer=tokenizer, quantization=spec.quantization
    )
    if complete and missing:
        raise ModelError(
            f"an exported model must hold all of its weights, but {base.name!r} lacks {len(missing)} of them, or has "
            f"them in another shape than its labels and config.json ask for: {', '.join(sorted(missing)[:5])}; "
            "export it again"
        )
    prefix = _prefix(model)
    anatomy = study(model.get_submodule(prefix.removesuffix(".")))
    outside = {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    _check_weights(base, anatomy, missing=[name.removeprefix(prefix) for name in missing - outside])
    fresh = missing if _has_head_for(base, outputs) else missing | outside
    return Carrier(model, anatomy, prefix, _holders(model, prefix, missing | outside), loading.task_type), fresh


def _has_head_for(base: Base, outputs: Outputs) -> bool:
    """Whether the head that a base may bring was trained for these very labels: that of others answers about others."""
    labels = [output.labels for output in outputs.values() if isinstance(output, LabelOutput)]
    return labels == [pretrained_labels(base)]


def _describe(
    wrapped: Wrapped,
    *,
    carrier: Carrier,
    heads: nn.ModuleDict | None,
    outputs: Outputs,
    fresh: frozenset[str],
    there: set[str],
    base: Base,
    resting: bool | None,
) -> Built:
    """Put the heads on and sort the parameters of the finished module."""
    module, within = assemble(wrapped.module, heads), "" if heads is None else BACKBONE
    names = frozenset(name for name, parameter in module.named_parameters() if parameter.requires_grad)
    ours = () if heads is None else (f"heads.{name}" for name, _ in heads.named_parameters())
    new = {*(within + name for name in fresh), *ours}
    head_names = frozenset(name for name in names if plain_name(name) in new)
    anatomy, backbone = carrier.anatomy, within + carrier.prefix

    def depth_of(name: str) -> int:
        plain = plain_name(name)
        if plain in new or not plain.startswith(backbone):
            return anatomy.count + 1
        return anatomy.depth_of(plain.removeprefix(backbone))

    return Built(
        module=module,
        outputs=outputs,
        owned=names,
        head_names=head_names,
        adapter_names=frozenset(
            name for name in names - head_names if plain_name(name).removeprefix(within) not in there
        ),
        depth_of=depth_of,
        layers=anatomy.count,
        embeddings=cast(PreTrainedModel, carrier.backbone).get_input_embeddings(),
        base=base,
        base_digest=base_digest(base),
        carrier=wrapped.module,
        heads=heads,
        lr_scale={within + name: factor for name, factor in wrapped.lr_scale.items()},
        undecayed=frozenset(within + name for name in wrapped.undecayed),
        regulator=wrapped.regulator,
        frozen_in_eval=resting,
    )


def _prefix(model: PreTrainedModel) -> str:
    """Where the backbone is within the model; empty where the model is the backbone."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def _holders(model: PreTrainedModel, prefix: str, fresh: frozenset[str]) -> tuple[str, ...]:
    """The outermost modules that hold the fresh parameters: whole children beside the backbone, parts within it."""
    outside = [name.partition(".")[0] for name in fresh if not name.startswith(prefix)]
    inside = [name.rpartition(".")[0] for name in fresh if name.startswith(prefix)]
    return tuple(sorted({*outside, *(inside if prefix else ())}))


def _check_weights(base: Base, anatomy: Anatomy, *, missing: list[str]) -> None:
    """Refuse a checkpoint without pretrained layers: training would start from noise and nobody would know."""
    pretrained = sorted(name for name in missing if name.startswith(anatomy.path) or anatomy.depth_of(name) == 0)
    if pretrained:
        raise ModelError(
            f"the checkpoint must hold the weights of every layer, but {base.name!r} lacks {len(pretrained)} "
            f"(first: {pretrained[0]}); check that its config.json and its weights belong together"
        )


def _check_length(spec: Model, carrier: Carrier, *, virtual: int) -> None:
    longest = longest_input(carrier.backbone)
    if longest is not None and spec.max_length > longest - virtual:
        but = f" and peft.tokens={virtual} of them are taken" if virtual else ""
        raise ModelError(
            f"`model.max_length <= {longest - virtual}` must hold, because {spec.name!r} has learned positions for "
            f"{longest} tokens{but}, but got {spec.max_length}; lower it, or choose a model for longer texts"
        )
