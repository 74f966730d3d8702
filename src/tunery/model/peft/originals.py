"""The untouched originals that peft keeps of modules it trains a copy of; nothing reads them meanwhile."""

from typing import cast

from peft.tuners.ln_tuning.layer import LNTuningLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn


def original_of(module: nn.Module) -> nn.Module | None:
    """The module that peft has replaced by `module`, which holds a trained copy of it; None for any other module."""
    if isinstance(module, ModulesToSaveWrapper):
        return cast(nn.Module, module.original_module)
    return module.base_layer if isinstance(module, LNTuningLayer) else None


def original_parameters(module: nn.Module) -> set[nn.Parameter]:
    """The parameters of all originals in `module`."""
    originals = (original_of(child) for child in module.modules())
    return {parameter for original in originals if original is not None for parameter in original.parameters()}
