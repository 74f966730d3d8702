"""Plain data: what goes into a run and what comes out. Knows no torch, no transformers, no optuna."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunery.errors import RequestError
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document, as_written, override, read_document, validate
from tunery.schema.results.run import RunResult
from tunery.schema.space.sampled import with_domains

__all__ = [
    "ConfigLike",
    "Document",
    "RunConfig",
    "RunResult",
    "config_from",
    "document_from",
    "load_config",
    "load_document",
]

ConfigLike = RunConfig | Mapping[str, Any] | str | Path
"""A config in any form: a `RunConfig`, a mapping like that of a config file, or the path of such a file."""


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


def document_from(config: ConfigLike) -> Document:
    """The document of a config in any form. Of a `RunConfig`, what was set on it: the rest is open to a search.

    Raises:
        ConfigError: when the file cannot be read.
    """
    if isinstance(config, str | Path):
        return load_document(config)
    if isinstance(config, RunConfig):
        config = as_written(config)
    if not isinstance(config, Mapping):
        rule = "a config is the path of a file, a mapping, or a RunConfig"
        raise RequestError(f"{rule}, but got {type(config).__name__}")
    return with_domains(dict(config))


def config_from(config: ConfigLike) -> RunConfig:
    """The config of one run, given in any form.

    Raises:
        ConfigError: with every problem at once; ranges are refused, because one run has one value.
    """
    if isinstance(config, RunConfig):
        return config
    source = str(config) if isinstance(config, str | Path) else "the config"
    return validate(document_from(config), source=source)
