"""Arguments that several verbs share."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tunery.errors import RequestError
from tunery.schema.reading.document import override

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config; `tunery init DATA` writes one.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key.path=value ...]", help="Values that replace those of the config.")
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Permit code that comes with the model, in this call only; read the code first."
    ),
]
NoTexts = Annotated[
    bool,
    typer.Option("--no-texts", help="No text of a row in records and report: only ids, labels and probabilities."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; the same command on it resumes.")]
Model = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, study folder, or exported model folder.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, a study or a comparison.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")]
Storage = typer.Option(
    "--storage",
    metavar="URL",
    help="Database on a server in place of OUT/study.db, so that workers can join: postgresql://USER@HOST/NAME.",
)

StorageEnv = typer.Option(
    "--storage-env",
    metavar="NAME",
    help="Environment variable that holds the URL of --storage: a password in it is then in no list of processes.",
)


def storage_url(url: str | None, variable: str | None) -> str | None:
    """The URL that `--storage` or `--storage-env` gives, if any.

    Raises:
        RequestError: when both are given, or the variable is not set.
    """
    if variable is None:
        return url
    if url is not None:
        raise RequestError("the database is given by --storage or by --storage-env; leave one of them out")
    if not os.environ.get(variable):
        raise RequestError(f"--storage-env names an environment variable with a URL, but {variable!r} is not set")
    return os.environ[variable]


def permits_code(flag: bool, overrides: Sequence[str]) -> bool:
    """Whether a call permits code that comes with the model: by the flag, or by an override that was typed."""
    section = override({}, overrides).get("model")
    return flag or (isinstance(section, Mapping) and section.get("trust_remote_code") is True)


def column_names(text: str | None) -> tuple[str, ...] | None:
    """The names that a flag such as `--columns A,B` lists, if it was given."""
    return None if text is None else tuple(filter(None, (name.strip() for name in text.split(","))))
