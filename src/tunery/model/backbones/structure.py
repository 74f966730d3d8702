"""Where a backbone keeps its layers, for any family."""

from dataclasses import dataclass

from torch import nn

from tunery.errors import ModelError


@dataclass(frozen=True)
class ModelStructure:
    """The parts of a backbone, by module name within it."""

    path: str
    """The list of layers, for example `encoder.layer`."""
    count: int
    """How many layers."""
    stem: tuple[str, ...]
    """What feeds the layers: embeddings, and what all layers share (relative positions)."""

    def depth_of(self, name: str) -> int:
        """0 for the stem, 1 to `count` for the layers; what follows the last layer counts with it."""
        if name.startswith(f"{self.path}."):
            return int(name[len(self.path) + 1 :].split(".", 1)[0]) + 1
        in_stem = "." not in name or any(name.startswith(f"{part}.") for part in self.stem)
        return 0 if in_stem else self.count

    def layer(self, backbone: nn.Module, index: int) -> nn.Module:
        """One layer of the backbone, counted from the input."""
        return backbone.get_submodule(f"{self.path}.{index}")


def find_layers(backbone: nn.Module) -> ModelStructure:
    """Find the layers: the module list that holds the most parameters.

    Raises:
        ModelError: the backbone has no list of layers.
    """
    sizes = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    if not sizes:
        raise ModelError(f"{type(backbone).__name__} has no list of layers; tunery works with transformer encoders")
    path = max(sizes, key=lambda name: sizes[name])
    holder, _, own = path.rpartition(".")
    children = [name for name, _ in backbone.named_children()]
    before = children[: children.index(path.partition(".")[0])]
    beside = [name for name, _ in backbone.get_submodule(holder).named_children() if name != own] if holder else []
    count = sum(1 for _ in backbone.get_submodule(path).children())
    return ModelStructure(path, count, stem=(*before, *(f"{holder}.{name}" for name in beside)))
