"""Arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config; `tunery init DATA` writes one.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key.path=value ...]", help="Values that replace those of the config.")
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
