"""What tunery's own methods save: the trained parameters, and what they were trained with and on.

`adapter_model.safetensors` holds nothing but trained parameters, by their names in the model; `tunery_adapter.json`
holds the `peft` section of the config and the base.
"""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import TypedDict  # Python 3.11's own does not do for pydantic

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.mismatches import mismatches
from tunery.schema.reading.validation import quoted

WEIGHTS = "adapter_model.safetensors"
DESCRIPTION = "tunery_adapter.json"
_MOST_BYTES: Final = 1_000_000
"""Of a description, which has some hundred."""


class Description(TypedDict):
    """What `tunery_adapter.json` holds."""

    peft: dict[str, Any]
    base: dict[str, str | None]


_DESCRIPTION: Final = TypeAdapter(Description)


def write_trained(parameters: Mapping[str, Tensor], folder: Path, *, peft: Mapping[str, Any], base: Base) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}, folder / WEIGHTS)
    document = {"peft": dict(peft), "base": {"source": base.source, "revision": base.revision}}
    (folder / DESCRIPTION).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_trained(parameters: Mapping[str, Tensor], folder: Path, *, needed: Set[str], peft: Mapping[str, Any]) -> None:
    """Fill parameters of a fresh model with the saved ones.

    Args:
        parameters: all of the model's, by saved name; a file may hold any of them, as a config may unfreeze some.
        needed: those that the file must hold.
        peft: the method and its settings, which must be those the file was saved with.

    Raises:
        ModelError: a file is missing or unreadable, or does not fit; nothing was changed.
    """
    saved_peft, state = _read(folder)
    if problems := [*_settings(saved_peft, peft), *mismatches(parameters, state, needed=needed)]:
        raise ModelError(f"the adapter in {str(folder)!r} does not fit its base and config: {'; '.join(problems)}")
    with torch.no_grad():
        for name, tensor in state.items():
            parameters[name].copy_(tensor)


def _read(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    try:
        return _described(folder / DESCRIPTION)["peft"], load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        rule = f"an adapter's folder must hold {DESCRIPTION} and {WEIGHTS}"
        raise ModelError(f"{rule}, but {str(folder)!r} cannot be read: {error!r}") from error


def _described(path: Path) -> Description:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path.name} has more than {_MOST_BYTES:,} bytes")
    return _DESCRIPTION.validate_json(content)


def _settings(saved: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    names = sorted(saved.keys() | asked.keys())
    return [
        f"it was saved with peft.{name}={quoted(saved.get(name))} and not {quoted(asked.get(name))}"
        for name in names
        if saved.get(name) != asked.get(name)
    ]
