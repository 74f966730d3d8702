"""Which parameters decay, and which learning rate they have."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from tunery.errors import ModelError, enumerated
from tunery.schema.config.optim import Spared

Group = dict[str, Any]
"""What torch calls a parameter group: `params`, `lr`, `weight_decay`, and what they are for under `role`."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates by what a parameter is for."""

    encoder: float
    """Of pretrained parameters of the top layer."""
    head: float
    adapter: float
    """Of what a PEFT method added to the top layer."""
    layerwise_decay: float = 1.0
    """Factor from each layer to the one below."""


@dataclass(frozen=True)
class Roles:
    """What parameters are for, by their names in the module."""

    head: Collection[str]
    """Those that were never pretrained."""
    adapter: Collection[str]
    """Those that a PEFT method added."""
    depth_of: Callable[[str], int]
    """0 for embeddings, 1 to `layers` for the layers, `layers` + 1 for the head."""
    layers: int
    lr_scale: Mapping[str, float]
    """Factor on the learning rate, where it is not 1."""
    never_decayed: Collection[str]
    """Those whose neutral value is not zero."""


class _Rule(NamedTuple):
    """What a group's parameters have in common."""

    lr: float
    weight_decay: float
    role: str


_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d)


def _is_norm(holder: nn.Module) -> bool:
    """Families define norms of their own, which share no base class but end alike: `LlamaRMSNorm`, `T5LayerNorm`."""
    return isinstance(holder, _NORMS) or type(holder).__name__.lower().endswith("norm")


SPARED: dict[Spared, Callable[[nn.Module, str], bool]] = {
    "bias": lambda holder, name: name.endswith("bias"),
    "norm": lambda holder, name: _is_norm(holder),
    "embedding": lambda holder, name: isinstance(holder, nn.Embedding),
}
"""Kind -> whether a parameter is of it, by the module that holds it directly and its name there."""


def parameter_groups(
    module: nn.Module,
    roles: Roles,
    *,
    rates: Rates,
    weight_decay: float,
    no_decay: Collection[Spared],
    loss: nn.Module,
) -> list[Group]:
    """Optimizer groups over all trainable parameters: one for each role, learning rate and weight decay.

    The rate is that of the role (`rates`) times `roles.lr_scale`; outside the head it is also multiplied by
    `rates.layerwise_decay` for every layer between the parameter and the top one (Howard & Ruder 2018, arXiv
    1801.06146, section 3.2). The parameters of `loss` learn as the head does and never decay. Tied weights are one
    parameter, spared if any of the places where they are used is.

    Args:
        weight_decay: of all parameters that are not spared.
        no_decay: kinds of parameters that are spared; those in `roles.never_decayed` are spared in any case.

    Raises:
        ModelError: `roles` names what is no trainable parameter, or the groups do not add up to all there are.
    """
    named = _trainable(module)
    _check_names(roles, named)
    spared = _spared(module, no_decay) | {named[name] for name in roles.never_decayed}
    parts: dict[_Rule, list[nn.Parameter]] = {}
    for name, part in named.items():
        role = _role(name, roles)
        rule = _Rule(_rate(name, role, roles=roles, rates=rates), 0.0 if part in spared else weight_decay, role)
        parts.setdefault(rule, []).append(part)
    learned = _trainable(loss)
    if learned:
        parts[_Rule(rates.head, 0.0, "loss")] = list(learned.values())
    groups = [{"params": members, **rule._asdict()} for rule, members in parts.items()]
    _check_sum(groups, [*named.items(), *((f"loss.{name}", part) for name, part in learned.items())])
    return groups


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: part for name, part in module.named_parameters() if part.requires_grad}


def _spared(module: nn.Module, kinds: Collection[Spared]) -> set[nn.Parameter]:
    rules = [SPARED[kind] for kind in kinds]
    return {
        part
        for holder in module.modules()
        for name, part in holder.named_parameters(recurse=False)
        if any(rule(holder, name) for rule in rules)
    }


def _role(name: str, roles: Roles) -> str:
    if name in roles.head:
        return "head"
    return "adapter" if name in roles.adapter else "encoder"


def _rate(name: str, role: str, *, roles: Roles, rates: Rates) -> float:
    rate = {"head": rates.head, "adapter": rates.adapter, "encoder": rates.encoder}[role]
    below = 0 if role == "head" else roles.layers - min(roles.depth_of(name), roles.layers)
    return rate * roles.lr_scale.get(name, 1.0) * rates.layerwise_decay**below


def _check_names(roles: Roles, named: Collection[str]) -> None:
    """Refuse a name that matches nothing: its parameter would silently learn by another's rule."""
    strangers = sorted({*roles.head, *roles.adapter, *roles.lr_scale, *roles.never_decayed}.difference(named))
    if strangers:
        raise ModelError(
            "every name that has a rule must be that of a trainable parameter, but "
            f"{enumerated(strangers, 5, letters=120)} is not; this is a fault of tunery or of the PEFT method, "
            "please report it"
        )


def _check_sum(groups: Iterable[Group], expected: Iterable[tuple[str, nn.Parameter]]) -> None:
    times = Counter(part for group in groups for part in group["params"])
    wrong = sorted(name for name, part in expected if times[part] != 1)
    if wrong:
        raise ModelError(
            "every trainable parameter must be in one optimizer group, once, but "
            f"{enumerated(wrong, 5, letters=120)} is not; this is a fault of tunery, please report it"
        )
