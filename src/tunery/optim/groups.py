"""Which parameters decay, and which learning rate they have."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn


def undecayed(module: nn.Module) -> set[str]:
    """Names of biases and of the parameters of norms and embeddings, which weight decay never touches."""
    exempt = {name for name, _ in module.named_parameters() if name.endswith("bias")}
    for prefix, child in module.named_modules():
        if isinstance(child, nn.Embedding) or "norm" in type(child).__name__.lower():
            exempt |= {f"{prefix}.{name}" for name, _ in child.named_parameters(recurse=False)}
    return exempt


def parameter_groups(
    module: nn.Module,
    head_names: Collection[str],
    *,
    lr: float,
    head_lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float],
    never_decayed: Collection[str],
) -> list[dict[str, Any]]:
    """Optimizer groups over all trainable parameters: one for each pair of learning rate and weight decay.

    `lr_scale` names the parameters whose learning rate is a multiple of `lr`; the head has its own. `never_decayed`
    names those that do not decay, besides biases, norms and embeddings.
    """
    exempt = undecayed(module) | set(never_decayed)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            rate = head_lr if name in head_names else lr * lr_scale.get(name, 1.0)
            decay = 0.0 if name in exempt else weight_decay
            groups.setdefault((rate, decay, name in head_names), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay, _), parameters in groups.items()
    ]
