"""Which parameters decay, and which learning rate they have."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from tunery.errors import ModelError, enumerated
from tunery.schema.config.optim import NoDecay

Group = dict[str, Any]
"""What torch calls a parameter group: `params`, `lr`, `weight_decay`, and what they are for under `role`."""


@dataclass(frozen=True)
class LearningRates:
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
    norms: Collection[str]
    """Those of norms."""
    no_decay: Collection[str]
    """Those whose neutral value is not zero."""
    lr_scale: Mapping[str, float]
    """Factor on the learning rate, where it is not 1."""
    depth_of: Callable[[str], int]
    """0 for embeddings, 1 to `layers` for the layers, `layers` + 1 for the head."""
    layers: int


class _Rule(NamedTuple):
    """What a group's parameters have in common."""

    lr: float
    weight_decay: float
    role: str


def _biases(module: nn.Module, roles: Roles) -> Iterable[nn.Parameter]:
    return (parameter for name, parameter in module.named_parameters(remove_duplicate=False) if name.endswith("bias"))


def _of_norms(module: nn.Module, roles: Roles) -> Iterable[nn.Parameter]:
    return (module.get_parameter(name) for name in roles.norms)


def _of_embeddings(module: nn.Module, roles: Roles) -> Iterable[nn.Parameter]:
    tables = (holder for holder in module.modules() if isinstance(holder, nn.Embedding))
    return (parameter for table in tables for parameter in table.parameters(recurse=False))


NO_DECAY: dict[NoDecay, Callable[[nn.Module, Roles], Iterable[nn.Parameter]]] = {
    "bias": _biases,
    "norm": _of_norms,
    "embedding": _of_embeddings,
}
"""Kind -> the parameters of a module that are of it."""


def parameter_groups(
    module: nn.Module,
    roles: Roles,
    *,
    rates: LearningRates,
    weight_decay: float,
    no_decay: Collection[NoDecay],
    loss: nn.Module,
) -> list[Group]:
    """Optimizer groups over all trainable parameters: one for each role, learning rate and weight decay.

    The learning rate is that of the role (`rates`) times `roles.lr_scale`; outside the head it is also multiplied by
    `rates.layerwise_decay` for every layer between the parameter and the top one (Howard & Ruder 2018, arXiv
    1801.06146, section 3.2). The parameters of `loss` learn as the head does and never decay. Tied weights are one
    parameter, without decay if any of the places where they are used is.

    Args:
        weight_decay: of all parameters but those without decay.
        no_decay: kinds of parameters without decay; those in `roles.no_decay` never have any.

    Raises:
        ModelError: `roles` names what is no trainable parameter, or the groups do not add up to all there are.
    """
    named = _trainable(module)
    _check_names(roles, named)
    undecayed = {parameter for kind in no_decay for parameter in NO_DECAY[kind](module, roles)}
    undecayed |= {named[name] for name in roles.no_decay}
    groups: dict[_Rule, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        role = "head" if name in roles.head else "adapter" if name in roles.adapter else "encoder"
        rule = _Rule(_lr(name, role, roles=roles, rates=rates), 0.0 if parameter in undecayed else weight_decay, role)
        groups.setdefault(rule, []).append(parameter)
    learned = _trainable(loss)
    if learned:
        groups[_Rule(rates.head, 0.0, "loss")] = list(learned.values())
    _check_sum(groups.values(), [*named.items(), *((f"loss.{name}", parameter) for name, parameter in learned.items())])
    return [{"params": members, **rule._asdict()} for rule, members in groups.items()]


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def _lr(name: str, role: str, *, roles: Roles, rates: LearningRates) -> float:
    lr = {"head": rates.head, "adapter": rates.adapter, "encoder": rates.encoder}[role]
    below = 0 if role == "head" else roles.layers - min(roles.depth_of(name), roles.layers)
    return lr * roles.lr_scale.get(name, 1.0) * rates.layerwise_decay**below


def _check_names(roles: Roles, named: Collection[str]) -> None:
    """Refuse a name that matches nothing: its parameter would silently learn by another's rule."""
    ruled = {*roles.head, *roles.adapter, *roles.norms, *roles.no_decay, *roles.lr_scale}
    if unknown := sorted(ruled.difference(named)):
        raise ModelError(
            "every name that has a rule must be that of a trainable parameter, but "
            f"{enumerated(unknown, 5, letters=120)} is not; this is a fault of tunery or of the PEFT method, "
            "please report it"
        )


def _check_sum(groups: Iterable[Sequence[nn.Parameter]], expected: Iterable[tuple[str, nn.Parameter]]) -> None:
    times = Counter(parameter for members in groups for parameter in members)
    if wrong := sorted(name for name, parameter in expected if times[parameter] != 1):
        raise ModelError(
            "every trainable parameter must be in one optimizer group, once, but "
            f"{enumerated(wrong, 5, letters=120)} is not; this is a fault of tunery, please report it"
        )
