"""What peft has made of a model. Where nobody has imported it, which takes a second, it has made nothing."""

import sys
from typing import cast

from torch import nn


def is_peft_model(model: nn.Module) -> bool:
    """Whether peft has wrapped `model`."""
    if "peft" not in sys.modules:
        return False
    from peft import PeftModel

    return isinstance(model, PeftModel)


def original_of(module: nn.Module) -> nn.Module | None:
    """The untouched original of a module that peft trains a copy of, which nothing reads meanwhile; None for any other
    module."""
    if "peft" not in sys.modules:
        return None
    from peft.tuners.ln_tuning.layer import LNTuningLayer
    from peft.utils import ModulesToSaveWrapper

    if isinstance(module, ModulesToSaveWrapper):
        return cast(nn.Module, module.original_module)
    return module.base_layer if isinstance(module, LNTuningLayer) else None


def original_parameters(module: nn.Module) -> set[nn.Parameter]:
    """The parameters of all originals in `module`."""
    originals = (original_of(child) for child in module.modules())
    return {parameter for original in originals if original is not None for parameter in original.parameters()}
