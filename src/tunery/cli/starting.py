"""The verbs that need no run: `init`, `check`, `schema`, `models`."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from tunery.cli import show
from tunery.cli.options import AsJson, Config, Overrides, Overwrite, TrustRemoteCode, permits_code
from tunery.data.reading.load import require_readable
from tunery.errors import RequestError
from tunery.schema import load_config
from tunery.schema.config.run import far_rates
from tunery.schema.reading.utf8 import has_utf8_path
from tunery.schema.results.finding import Finding
from tunery.terminal import write, write_json


class SchemaName(StrEnum):
    """The documents that have a schema."""

    config = "config"
    result = "result"
    study = "study"
    comparison = "comparison"
    storage = "storage"
    space = "space"


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
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Look at a labelled file, guess the task, and write a commented config."""
    from tunery.data.first_config.infer import guess, render, suggested_name
    from tunery.store.output import require_free, write_output

    for path in filter(None, (data, out)):
        if not has_utf8_path(path):
            rule = "a config names its data, so that both paths must be UTF-8"
            raise RequestError(f"{rule}, but {str(path)!r} is not; rename it")
    if out is not None:
        require_free(out, sources=[data], overwrite=overwrite)
    data_guess = guess(data, text=text, label=label, kind=kind.value if kind else None)
    path = out or Path(f"{suggested_name(data_guess)}.yaml")
    text_of_config = render(data_guess, folder=path.parent, name=path.stem)
    write_output(path, text_of_config, sources=[data], overwrite=overwrite)
    show.init(data_guess, path, as_json=as_json)


def check(
    config: Config, overrides: Overrides = None, trust_remote_code: TrustRemoteCode = False, as_json: AsJson = False
) -> None:
    """Say what is wrong with the data before any training: duplicates, leaks, one-class splits, truncation."""
    resolved = load_config(config, overrides or ())
    require_readable(resolved.data)
    from tunery.train.setup.prepare import examine

    examined = examine(resolved, trust_remote_code=permits_code(trust_remote_code, overrides or ()))
    rates = [Finding(level="warning", code="learning_rate", message=told) for told in far_rates(resolved)]
    show.check(examined.record(), [*examined.findings, *rates], as_json=as_json)
    if any(finding.level == "fatal" for finding in examined.findings):
        raise typer.Exit(2)


class Published(NamedTuple):
    """One document that describes others."""

    data: Callable[[], Any]
    page: Callable[[], str]
    text: Callable[[], str] | None = None
    """What is printed by default; None: the data."""


def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which document.")] = SchemaName.config,
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference page in place of JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the schema of the config, of a record or of `report --json`, or the default search space as YAML."""
    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    data, page, text = _published()[which.value]
    if markdown:
        write(page().rstrip())
    elif text is not None and not as_json:
        write(text().rstrip())
    else:
        write_json(data())


def _published() -> dict[str, Published]:
    from tunery.optim.plots import schedule_plots
    from tunery.schema.reading import describe
    from tunery.schema.space.yaml_file import default_space

    return {
        "config": Published(describe.json_schema, lambda: describe.markdown(schedule_plots())),
        "result": Published(describe.result_schema, describe.result_markdown),
        "study": Published(describe.study_schema, describe.study_markdown),
        "comparison": Published(describe.comparison_schema, describe.comparison_markdown),
        "storage": Published(describe.storage_schema, describe.storage_markdown),
        "space": Published(describe.space_document, describe.space_markdown, default_space),
    }


def models(as_json: AsJson = False) -> None:
    """List the model aliases that configs may use; any Hub id or local folder works too."""
    from tunery.model.backbones.catalog import catalog_rows

    show.models(catalog_rows(), as_json=as_json)
