"""A spec becomes a module that is ready to train."""

from collections.abc import Callable, Collection, Mapping
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
from tunery.model.backbones.families import norm_parameters
from tunery.model.backbones.freeze import PretrainedModules
from tunery.model.backbones.freeze import freeze as apply_freeze
from tunery.model.backbones.structure import ModelStructure, find_layers
from tunery.model.heads.auto import resolved_head
from tunery.model.heads.criteria import CriteriaHead
from tunery.model.heads.descriptions import description_states
from tunery.model.heads.heads import assemble, loading_of, make_heads
from tunery.model.peft.chosen import method_of
from tunery.model.peft.method import LoadedBase, RankAllocator, Wrapped, plain_name
from tunery.model.trial_pass import check_answers
from tunery.schema.config.freeze import Freeze, frozen_in_eval
from tunery.schema.config.model import Model, Pooled
from tunery.schema.config.peft import Peft
from tunery.schema.config.task import CriteriaOutput, LabelOutput, Outputs, VocabularyOutput

BACKBONE = "backbone."
"""Where the pretrained part is within a `HeadedModel` or `LanguageModel`."""


@dataclass(frozen=True)
class ParameterRoles:
    """What the trained parameters are for, by their names in `Built.module`."""

    head: frozenset[str]
    """Those that were never pretrained: what the checkpoint lacks, and a head that it has for other labels."""
    adapter: frozenset[str]
    """Those that the method added."""
    norms: frozenset[str]
    """Those of norms (`families.is_norm`)."""
    no_decay: frozenset[str]
    """Those that weight decay would pull away from their neutral value."""
    lr_scale: Mapping[str, float]
    """Factor on the learning rate, where it is not 1."""
    depth_of: Callable[[str], int]
    """0 for embeddings, 1..`layers` for the layers, `layers` + 1 for the head."""
    layers: int


@dataclass(frozen=True)
class Built:
    """A module ready to train, and what is known of it."""

    module: nn.Module
    """To be asked with `heads.answers_of`."""
    outputs: Outputs
    """What it answers."""
    trainable: frozenset[str]
    """Names of the trained parameters, as in `module.named_parameters()`."""
    roles: ParameterRoles
    embeddings: nn.Module
    """The table of token embeddings: (batch, tokens) -> (batch, tokens, hidden)."""
    backbone: nn.Module
    """The encoder or decoder, without what a head of the architecture's own, or the method, has put around it."""
    structure: ModelStructure
    """The parts of the backbone."""
    base: Base
    base_digest: str
    pretrained: nn.Module
    """The part that `save_pretrained` writes: the module itself, or its `backbone`."""
    heads: nn.ModuleDict | None
    """The heads by the names of the outputs, where they are tunery's and not the architecture's."""
    rank_allocator: RankAllocator | None
    """What moves the ranks of the method's updates while it is trained, if anything does."""
    frozen_in_eval: bool | None
    """Whether frozen layers run in eval mode; None where nothing is frozen."""
    frozen: tuple[nn.Module, ...]
    """The pretrained modules that stay in eval mode while the rest is trained."""

    @property
    def prefix(self) -> str:
        """Where that part is within the module: empty, or `backbone.`."""
        return "" if self.pretrained is self.module else BACKBONE

    def train(self) -> nn.Module:
        """The module in training mode, what stays in eval mode apart. Called before every training step."""
        self.module.train()
        for module in self.frozen:
            # transformers computes activations again in the backward pass only in modules whose own flag says training
            module.training = vars(module).get("gradient_checkpointing", False)
        return self.module


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
    spec = spec.model_copy(update={"head": resolved_head(spec.head, base, outputs)})
    loaded, fresh = load_base(spec, base=base, outputs=outputs, tokenizer=tokenizer, dropout=dropout)
    heads = make_heads(spec, outputs, width=loaded.model.config.hidden_size, dropout=dropout.head)
    for name, output in outputs.items():
        if heads is not None and isinstance(output, CriteriaOutput):
            described = description_states(loaded.backbone, tokenizer, output, max_length=spec.max_length)
            cast(CriteriaHead, heads[name]).start_from(described)
    fresh_inside = frozenset(name.removeprefix(loaded.prefix) for name in fresh if name.startswith(loaded.prefix))
    unfrozen = apply_freeze(freeze, loaded.backbone, loaded.structure, fresh=fresh_inside)
    whole = (*loaded.trained_whole, *(loaded.prefix + name for name in unfrozen))
    before, in_checkpoint = PretrainedModules(loaded.backbone), dict(loaded.model.named_parameters()).keys()
    wrapped = method_of(peft).wrap(peft, replace(loaded, trained_whole=whole))
    _check_length(spec, loaded, virtual=wrapped.virtual_tokens)
    if gradient_checkpointing:
        checkpoint_activations(loaded.model)
    module, in_eval = assemble(wrapped.module, heads, outputs), frozen_in_eval(freeze, peft)
    trainable = frozenset(name for name, parameter in module.named_parameters() if parameter.requires_grad)
    built = Built(
        module=module,
        outputs=outputs,
        trainable=trainable,
        roles=_roles(module, trainable, loaded, wrapped, heads=heads, fresh=fresh, in_checkpoint=in_checkpoint),
        embeddings=cast(PreTrainedModel, loaded.backbone).get_input_embeddings(),
        backbone=loaded.backbone,
        structure=loaded.structure,
        base=base,
        base_digest=base_digest(base),
        pretrained=wrapped.module,
        heads=heads,
        rank_allocator=wrapped.rank_allocator,
        frozen_in_eval=in_eval,
        frozen=before.frozen() if in_eval else (),
    )
    if spec.quantization is None:  # 8-bit layers round by what else is in the batch
        check_answers(
            module,
            tokenizer,
            outputs=outputs,
            config=loaded.model.config,
            max_length=spec.max_length,
            cls=wrapped.module if isinstance(spec.head, Pooled) and spec.head.pooling == "cls" else None,
        )
    return built


def load_base(
    spec: Model,
    *,
    base: Base,
    outputs: Outputs,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dropout: Dropouts = AS_PRETRAINED,
    complete: bool = False,
) -> tuple[LoadedBase, frozenset[str]]:
    """The pretrained part with its structure, and the names of its parameters that were never pretrained.

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
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    structure = find_layers(model.get_submodule(prefix.removesuffix(".")))
    outside = {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    _check_weights(base, structure, missing=[name.removeprefix(prefix) for name in missing - outside])
    if any(isinstance(output, VocabularyOutput) for output in outputs.values()):
        return LoadedBase(model, structure, prefix, _holders(model, prefix, missing), loading.task_type), missing
    # a head that was trained for other labels answers about others, whatever its shape
    labels = [output.labels for output in outputs.values() if isinstance(output, LabelOutput)]
    fresh = missing if labels == [pretrained_labels(base)] else missing | outside
    return LoadedBase(model, structure, prefix, _holders(model, prefix, missing | outside), loading.task_type), fresh


def _roles(
    module: nn.Module,
    trainable: frozenset[str],
    loaded: LoadedBase,
    wrapped: Wrapped,
    *,
    heads: nn.ModuleDict | None,
    fresh: frozenset[str],
    in_checkpoint: Collection[str],
) -> ParameterRoles:
    """Sort the trained parameters of the finished module.

    Args:
        fresh: names in the loaded model of those that were never pretrained.
        in_checkpoint: names of all parameters of the loaded model.
    """
    within, structure = "" if module is wrapped.module else BACKBONE, loaded.structure
    own_heads = () if heads is None else (f"heads.{name}" for name, _ in heads.named_parameters())
    new, backbone = {*(within + name for name in fresh), *own_heads}, within + loaded.prefix
    head = frozenset(name for name in trainable if plain_name(name) in new)

    def depth_of(name: str) -> int:
        plain = plain_name(name)
        if plain in new or not plain.startswith(backbone):
            return structure.count + 1
        return structure.depth_of(plain.removeprefix(backbone))

    return ParameterRoles(
        head=head,
        adapter=frozenset(
            name for name in trainable - head if plain_name(name).removeprefix(within) not in in_checkpoint
        ),
        norms=norm_parameters(module) & trainable,
        no_decay=frozenset(within + name for name in wrapped.no_decay),
        lr_scale={within + name: factor for name, factor in wrapped.lr_scale.items()},
        depth_of=depth_of,
        layers=structure.count,
    )


def _holders(model: PreTrainedModel, prefix: str, fresh: frozenset[str]) -> tuple[str, ...]:
    """The modules that hold the fresh parameters: beside the backbone the outermost that hold nothing else, parts
    within it. One that is in a module with a pretrained parameter, as the bias of a decoder is whose matrix is that of
    the embeddings, is in none."""
    named = dict(model.named_parameters())
    new = {named[name] for name in fresh}

    def outermost(name: str) -> str | None:
        parts = name.split(".")[:-1]
        holders = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return next((holder for holder in holders if new.issuperset(model.get_submodule(holder).parameters())), None)

    outside = (outermost(name) for name in fresh if not name.startswith(prefix))
    inside = (name.rpartition(".")[0] for name in fresh if name.startswith(prefix) and prefix)
    return tuple(sorted({*filter(None, outside), *inside}))


def _check_weights(base: Base, structure: ModelStructure, *, missing: list[str]) -> None:
    """Refuse a checkpoint without pretrained layers: training would start from noise, and nothing would say so."""
    pretrained = sorted(name for name in missing if name.startswith(structure.path) or structure.depth_of(name) == 0)
    if pretrained:
        raise ModelError(
            f"the checkpoint must hold the weights of every layer, but {base.name!r} lacks {len(pretrained)} "
            f"(first: {pretrained[0]}); check that its config.json and its weights belong together"
        )


def _check_length(spec: Model, loaded: LoadedBase, *, virtual: int) -> None:
    if problem := length_problem(spec, longest_input(loaded.backbone), virtual=virtual):
        raise ModelError(problem)


def length_problem(spec: Model, longest: int | None, *, virtual: int = 0) -> str | None:
    """What is wrong with `model.max_length`, if anything.

    Args:
        longest: as `longest_input` tells it.
        virtual: tokens that a method puts before every text.
    """
    if longest is None or spec.max_length <= longest - virtual:
        return None
    taken = f" and peft.tokens={virtual} of them are taken" if virtual else ""
    return (
        f"`model.max_length <= {longest - virtual}` must hold, because {spec.name!r} has learned positions for "
        f"{longest} tokens{taken}, but got {spec.max_length}; lower it, or choose a model for longer texts"
    )
