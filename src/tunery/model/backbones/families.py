"""Which family a layer is of, what its parts are called there, and which modules are norms."""

import re
from collections.abc import Iterable

from torch import nn
from transformers.pytorch_utils import Conv1D

from tunery.errors import ModelError
from tunery.model.backbones.layouts import CLOSING_NORMS, LAYOUTS, Layout
from tunery.schema.config.peft import Target


def layout_of(layer: nn.Module) -> Layout:
    """The layout whose every module the layer has.

    Raises:
        ModelError: no layout fits; the message lists the linear modules there are.
    """
    modules = dict(layer.named_modules())
    for layout in LAYOUTS.values():
        if all(name in modules for names in layout.values() for name in names):
            return layout
    matrices = (name for name in modules if getattr(getattr(modules[name], "weight", None), "ndim", None) == 2)
    raise ModelError(
        f"PEFT methods need the parts of a known family ({', '.join(LAYOUTS)}), but this model's layers have other "
        f"ones: {', '.join(matrices)}; take peft.method=full, or another model"
    )


def closing_norm(layer: nn.Module) -> str | None:
    """Name within the layer of the norm over feed-forward output and residual; None where norms come first.

    The modules decide: some pre-norm families (ESM, Megatron-BERT) call their matrices as BERT does.

    Raises:
        ModelError: no layout fits.
    """
    layout, modules = layout_of(layer), dict(layer.named_modules())
    names = (norm for family, norm in CLOSING_NORMS.items() if LAYOUTS[family] is layout)
    return next((name for name in names if name in modules), None)


def target_pattern(
    layer: nn.Module, *, path: str, targets: Iterable[Target], numbers: Iterable[int] | None = None
) -> str:
    """A regular expression that fully matches the names of the target modules in some layers, and nothing else.

    A pattern and not suffixes: in BERT, `output.dense` is a suffix of `attention.output.dense` too.

    Args:
        numbers: of the layers; None: in all.
    """
    layout = layout_of(layer)
    names = sorted({re.escape(name) for target in targets for name in layout[target]})
    which = r"\d+" if numbers is None else f"(?:{'|'.join(map(str, numbers))})"
    return rf"{re.escape(path)}\.{which}\.(?:{'|'.join(names)})"


def is_transposed(layer: nn.Module, targets: Iterable[Target]) -> bool:
    """Whether the target modules keep their matrices as (in, out), as GPT-2's do, and not as (out, in)."""
    layout = layout_of(layer)
    return any(isinstance(layer.get_submodule(name), Conv1D) for target in targets for name in layout[target])


_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with weights: torch's own, or one that a family defines.

    The latter share no base class, but hold their weights themselves and end alike: `LlamaRMSNorm`, `T5LayerNorm`.
    """
    if isinstance(module, _NORMS):
        return True
    has_weights = next(module.parameters(recurse=False), None) is not None
    return has_weights and type(module).__name__.lower().endswith("norm")


def norm_parameters(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that norms hold, as in `module.named_parameters()`."""
    held = {
        parameter for holder in module.modules() if is_norm(holder) for parameter in holder.parameters(recurse=False)
    }
    return frozenset(name for name, parameter in module.named_parameters() if parameter in held)


def norm_pattern(backbone: nn.Module, *, prefix: str) -> str:
    """A regular expression that fully matches the names of the backbone's norms, wherever they are.

    Every name is written out: in ModernBERT, what is a norm in one layer is nothing in another.

    Raises:
        ModelError: there are none.
    """
    names = [re.escape(name) for name, module in backbone.named_modules() if is_norm(module)]
    if not names:
        raise ModelError(f"the model must have layer norms to train, but {type(backbone).__name__} has none")
    return rf"{re.escape(prefix)}(?:{'|'.join(names)})"
