"""From optimizer specs to optimizers."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tunery.optim.groups import parameter_groups
from tunery.schema import optim as schema

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, spec: schema.AdamW) -> Optimizer:
    return torch.optim.AdamW(groups, betas=spec.betas, eps=spec.eps, fused=True)


def _sgd_momentum(groups: Groups, spec: schema.SgdMomentum) -> Optimizer:
    return torch.optim.SGD(groups, momentum=spec.momentum, nesterov=spec.nesterov)


OPTIMIZERS: dict[type[Any], Callable[[Groups, Any], Optimizer]] = {
    schema.AdamW: _adamw,
    schema.SgdMomentum: _sgd_momentum,
}


def make_optimizer(
    spec: schema.Optim,
    module: nn.Module,
    *,
    lr: float,
    head_lr: float,
    head_names: Collection[str],
    lr_scale: Mapping[str, float],
    never_decayed: Collection[str],
) -> Optimizer:
    """The optimizer of `spec` over the trainable parameters of `module`."""
    groups = parameter_groups(
        module,
        head_names,
        lr=lr,
        head_lr=head_lr,
        weight_decay=spec.weight_decay,
        lr_scale=lr_scale,
        never_decayed=never_decayed,
    )
    return OPTIMIZERS[type(spec)](groups, spec)
