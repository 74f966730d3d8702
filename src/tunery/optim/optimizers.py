"""From optimizer specs to optimizers. Adding one is a builder and a line in `OPTIMIZERS`.

Each takes the whole of its spec and nothing else, and follows the paper that its spec names; the contract suite holds
every one against a transcription of that paper. What the papers leave open, and libraries that stray from theirs:

- RAdam is torch's: it adapts from the step at which the length of the moving average is above 5, as the authors'
  code has it (`>= 5`), where the paper has 4; with a second decay rate of 0.999 that is one step later.
- Lamb and NovoGrad are tunery's own (`lamb_novograd.py`). pytorch_optimizer 4.1 has both, but its Lamb divides by the
  first bias correction alone, so that the first step is ten times as long as the learning rate says, and caps norms of
  weights at 10; its NovoGrad writes into the gradients, which AdaLoRA reads after the step.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from tunery.errors import ConfigError, MissingExtra, Problem
from tunery.optim.adafactor import AdafactorWithLr
from tunery.optim.groups import Group, LearningRates, Roles, parameter_groups
from tunery.optim.lamb_novograd import Lamb, NovoGrad
from tunery.schema.config import optim as schema

Build = Callable[[list[Group], Any], Optimizer]


def _adafactor(groups: list[Group], spec: schema.Adafactor) -> Optimizer:
    return AdafactorWithLr(  # type: ignore[no-untyped-call]
        groups,
        clip_threshold=spec.clip_threshold,
        decay_rate=-spec.decay_rate,
        beta1=spec.beta1,
        scale_parameter=spec.scale_parameter,
        relative_step=spec.relative_step,
        warmup_init=spec.warmup_init,
    )


def _from_bitsandbytes(name: str) -> Build:
    def build(groups: list[Group], spec: schema.WithMoments) -> Optimizer:
        _check_extra(spec)
        kind = getattr(import_module("bitsandbytes.optim"), name)
        optimizer: Optimizer = kind(groups, betas=spec.betas, eps=spec.eps)
        return optimizer

    return build


def _adabelief(groups: list[Group], spec: schema.AdaBelief) -> Optimizer:
    from pytorch_optimizer import AdaBelief

    return AdaBelief(groups, betas=spec.betas, eps=spec.eps, weight_decouple=True, rectify=False)


def _lion(groups: list[Group], spec: schema.Lion) -> Optimizer:
    from pytorch_optimizer import Lion

    return Lion(groups, betas=spec.betas, weight_decouple=True)


OPTIMIZERS: Final[dict[type[schema.Optimizer], Build]] = {
    schema.AdamW: lambda groups, spec: torch.optim.AdamW(groups, betas=spec.betas, eps=spec.eps, fused=True),
    schema.Adam: lambda groups, spec: torch.optim.Adam(groups, betas=spec.betas, eps=spec.eps, fused=True),
    schema.Adafactor: _adafactor,
    schema.RAdam: lambda groups, spec: torch.optim.RAdam(
        groups, betas=spec.betas, eps=spec.eps, decoupled_weight_decay=True
    ),
    schema.Lamb: lambda groups, spec: Lamb(groups, betas=spec.betas, eps=spec.eps),
    schema.Sgd: lambda groups, spec: torch.optim.SGD(groups, fused=True),
    schema.SgdMomentum: lambda groups, spec: torch.optim.SGD(
        groups, momentum=spec.momentum, nesterov=spec.nesterov, fused=True
    ),
    schema.NovoGrad: lambda groups, spec: NovoGrad(groups, betas=spec.betas, eps=spec.eps),
    schema.AdaBelief: _adabelief,
    schema.Lion: _lion,
    schema.AdamW8bit: _from_bitsandbytes("AdamW8bit"),
    schema.PagedAdamW: _from_bitsandbytes("PagedAdamW"),
    schema.PagedAdamW8bit: _from_bitsandbytes("PagedAdamW8bit"),
}

QUANT: Final = (schema.AdamW8bit, schema.PagedAdamW, schema.PagedAdamW8bit)
"""Those that need the extra `quant`."""
PAGED: Final = (schema.PagedAdamW, schema.PagedAdamW8bit)
"""Those that move state between the memories of host and GPU; elsewhere bitsandbytes only warns and does not."""


def make_optimizer(
    spec: schema.Optim, module: nn.Module, *, rates: LearningRates, roles: Roles, loss: nn.Module
) -> Optimizer:
    """The optimizer of `spec` over the trainable parameters of `module` and `loss`, which are where they will stay.

    Raises:
        ModelError: the groups of `roles` do not add up to the trainable parameters.
        MissingExtra: the optimizer's library is not installed.
    """
    groups = parameter_groups(
        module, roles, rates=rates, weight_decay=spec.weight_decay, no_decay=spec.no_decay, loss=loss
    )
    return OPTIMIZERS[type(spec)](groups, spec)


def check_device(spec: schema.Optim, device_type: str) -> None:
    """Refuse an optimizer that cannot work here; called before a model is loaded.

    Raises:
        MissingExtra: the optimizer's library is not installed.
        ConfigError: the optimizer needs another device than `device_type` (`cpu`, `cuda`, `mps`).
    """
    _check_extra(spec)
    if isinstance(spec, PAGED) and device_type != "cuda":
        message = (
            f"{spec.name!r} moves state out of the memory of a CUDA device, but this run is on {device_type!r}; "
            "take adamw, or adamw_8bit"
        )
        raise ConfigError([Problem("optim.name", message)])


def _check_extra(spec: schema.Optimizer) -> None:
    if isinstance(spec, QUANT) and find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", extra="quant")
