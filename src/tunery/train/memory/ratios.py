"""What activations really took, over what was predicted: found once for each torch, device, precision and attention
kernel, and kept in the user's cache for the models to come."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

from tunery.hardware import device_name
from tunery.store.disk.files import make_folder, write_text

_FILE: Final = "memory.json"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tunery`, by default `~/.cache/tunery`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunery"


def ratio_key(device: torch.device, precision: str, attention: str) -> str:
    """What a ratio is of."""
    return " · ".join((f"torch {torch.__version__}", device_name(device), precision, attention))


def known_ratio(key: str) -> float | None:
    """The ratio that was found before, if one was."""
    with suppress(OSError, ValueError):
        ratio = json.loads((cache_folder() / _FILE).read_text(encoding="utf-8"))[key]
        return float(ratio) if 0 < ratio < 100 else None
    return None


def keep_ratio(key: str, ratio: float) -> None:
    """Remember it; where nothing can be written, the next run measures again."""
    path = cache_folder() / _FILE
    with suppress(OSError):
        make_folder(path.parent)
        known: dict[str, float] = {}
        with suppress(OSError, ValueError):
            known = dict(json.loads(path.read_text(encoding="utf-8")))
        write_text(path, json.dumps({**known, key: round(ratio, 4)}, indent=1, sort_keys=True, ensure_ascii=False))
