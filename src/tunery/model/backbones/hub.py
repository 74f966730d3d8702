"""A base model becomes a folder on this machine: from the local cache, else from the Hub, with retries."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.checked_models import alias_like

DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further try."""

# The client's HTTP library is an implementation detail that changed its name between releases;
# the bases of its error class are that library's root error and OSError.
TRANSIENT: tuple[type[Exception], ...] = HfHubHTTPError.__bases__

TEXT_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
WEIGHT_FILES = (["*.safetensors"], ["*.bin"])

Sleep = Callable[[float], None]


def folder_of(base: Base, *, sleep: Sleep = time.sleep) -> Path:
    """The folder with the model's files; downloads them where they are not in the cache.

    Raises:
        ModelError: the Hub does not know the model, or cannot be reached.
    """
    if base.local:
        return Path(base.source)
    with suppress(*TRANSIENT):
        cached = Path(snapshot_download(base.source, revision=base.revision, local_files_only=True))
        if (cached / "config.json").is_file() and any(weight_files(cached)):
            return cached
    return _download(base, sleep)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: safetensors where there are any, else PyTorch's own."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _download(base: Base, sleep: Sleep) -> Path:
    problem: Exception | None = None
    for delay in (0.0, *(() if constants.HF_HUB_OFFLINE else DELAYS)):
        if delay:
            sleep(delay)
        try:
            return _fetch(base)
        except GatedRepoError as error:
            raise ModelError(f"{base.source!r} asks for a login: accept its terms, then `hf auth login`") from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            at = f" at revision {base.revision!r}" if base.revision else ""
            rule = f"the Hub has no model {base.source!r}{at}"
            raise ModelError(f"{rule}; {alias_like(base.name)}") from error
        except TRANSIENT as error:
            problem = error
    raise ModelError(_unreachable(base, problem)) from problem


def _fetch(base: Base) -> Path:
    code = ["*.py"] if base.trust_remote_code else []
    folder = Path()
    for weights in WEIGHT_FILES:
        patterns: dict[str, Any] = {"allow_patterns": [*TEXT_FILES, *code, *weights], "ignore_patterns": ["*/*"]}
        folder = Path(snapshot_download(base.source, revision=base.revision, **patterns))
        if weight_files(folder):
            return folder
    raise ModelError(f"{base.source!r} has no weights for PyTorch (*.safetensors, *.bin); choose another model")


def _unreachable(base: Base, problem: Exception | None) -> str:
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{type(problem).__name__}: {problem}".split("\n")[0]
    revision = f" --revision {base.revision}" if base.revision else ""
    return (
        f"{base.source!r} is not in the cache {constants.HF_HUB_CACHE} and the Hub cannot be reached ({why}). "
        f"Where there is network, type `hf download {base.source}{revision}`; "
        f"or set model.name to a local folder, or to an alias; {alias_like(base.name)}"
    )
