"""Plain data: what goes into a run and what comes out. Knows no torch, no transformers, no optuna."""

from collections.abc import Iterable
from pathlib import Path

from tunery.schema.document import Document, override, read_document, validate
from tunery.schema.results import RunResult
from tunery.schema.run import RunConfig
from tunery.schema.space import with_domains

__all__ = ["Document", "RunConfig", "RunResult", "load_config", "load_document"]


def load_document(path: str | Path, overrides: Iterable[str] = ()) -> Document:
    """Read a config file, apply `key=value` overrides, and read ranges; nothing is validated yet.

    A config without a name is called like its file.
    """
    return {"name": Path(path).stem, **with_domains(override(read_document(Path(path)), overrides))}


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read and check the config of one run.

    Raises:
        ConfigError: with every problem at once; ranges are refused, because one run has one value.
    """
    return validate(load_document(path, overrides), source=str(path))
