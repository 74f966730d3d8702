"""The verbs that need no run: `init`, `check`, `schema`, `models`."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tunery.cli import show
from tunery.cli.options import AsJson, Config, Overrides
from tunery.errors import FolderError
from tunery.schema import load_config


class SchemaName(StrEnum):
    """The documents that have a schema."""

    config = "config"
    result = "result"
    study = "study"
    comparison = "comparison"
    storage = "storage"


class TaskKind(StrEnum):
    """The tasks that `init` can be told to assume."""

    classification = "classification"
    multilabel = "multilabel"


def init(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="csv, tsv, jsonl, json or parquet file with labelled text.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Config to write; default: <data name>.yaml here.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text, if the guess is wrong.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the label, if the guess is wrong.")] = None,
    kind: Annotated[TaskKind | None, typer.Option(help="Task, if the guess is wrong.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a labelled file, guess the task, and write a commented config."""
    from tunery.data.guess import guess, render, suggested_name

    found = guess(data, text=text, label=label, kind=kind.value if kind else None)
    path = out or Path(f"{suggested_name(found)}.yaml")
    if path.exists():
        raise FolderError(f"a config is never overwritten, and {str(path)!r} exists; choose another --out")
    path.write_text(render(found, folder=path.parent, name=path.stem), encoding="utf-8")
    show.init(found, path, as_json=as_json)


def check(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say what is wrong with the data before any training: duplicates, leaks, one-class splits, truncation."""
    resolved = load_config(config, overrides or ())
    from tunery.train.prepare import examine

    examined = examine(resolved)
    show.check(examined.record(), examined.findings, as_json=as_json)
    if any(finding.level == "fatal" for finding in examined.findings):
        raise typer.Exit(2)


def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which document.")] = SchemaName.config,
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference page in place of JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the JSON schema of the config, of a record, or of what `tunery report --json` says is stored."""
    from tunery.optim.plots import schedule_plots
    from tunery.schema import describe

    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    documents: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[], str]]] = {
        "config": (describe.json_schema, lambda: describe.markdown(schedule_plots())),
        "result": (describe.result_schema, describe.result_markdown),
        "study": (describe.study_schema, describe.study_markdown),
        "comparison": (describe.comparison_schema, describe.comparison_markdown),
        "storage": (describe.storage_schema, describe.storage_markdown),
    }
    as_schema, as_page = documents[which.value]
    print(as_page().rstrip() if markdown else json.dumps(as_schema(), indent=2))


def models(as_json: AsJson = False) -> None:
    """List the model aliases that configs may use; any Hub id or local folder works too."""
    from tunery.model.catalog import catalog_rows

    show.models(catalog_rows(), as_json=as_json)
