"""Which parameters decay, and which learning rate they have."""

from collections.abc import Collection
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
    module: nn.Module, head_names: Collection[str], *, lr: float, head_lr: float | None, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimizer groups over all trainable parameters: {encoder, head} x {decay, no decay}, empty ones left out."""
    exempt = undecayed(module)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name in head_names, name in exempt), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": head_lr if is_head and head_lr is not None else lr,
            "weight_decay": 0.0 if is_exempt else weight_decay,
        }
        for (is_head, is_exempt), parameters in groups.items()
    ]
