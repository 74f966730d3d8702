"""The verbs. Rooms that load torch are imported by the verb that needs them, so that `--help` is quick."""

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tunery.cli import show
from tunery.cli.exits import guarded
from tunery.errors import FolderError
from tunery.schema import load_config, load_document

app = typer.Typer(
    name="tunery",
    help="Fine-tuning that is thrifty with disk, memory and hours, and that proves its results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config; `tunery init DATA` writes one.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key.path=value ...]", help="Values that replace those of the config.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; the same command on it resumes.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, study folder, or exported model folder.")]


class SplitName(StrEnum):
    """The splits of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


class SchemaName(StrEnum):
    """The documents that have a schema."""

    config = "config"
    result = "result"
    study = "study"
    comparison = "comparison"


class TaskKind(StrEnum):
    """The tasks that `init` can be told to assume."""

    classification = "classification"
    multilabel = "multilabel"


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `tunery` command."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(guarded(lambda: app(args=given, standalone_mode=False), as_json="--json" in given))


def errors() -> Console:
    """Where progress and logs go."""
    return Console(stderr=True)


def emit(as_json: bool, document: str, table: Any) -> None:
    """Print a result: as one JSON document, or as a table for people."""
    print(document) if as_json else Console().print(table, highlight=False, soft_wrap=True)


@app.command()
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


@app.command()
def check(config: Config, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say what is wrong with the data before any training: duplicates, leaks, one-class splits, truncation."""
    resolved = load_config(config, overrides or ())
    from tunery.train.prepare import examine

    examined = examine(resolved)
    show.check(examined.record(), examined.findings, as_json=as_json)
    if any(finding.level == "fatal" for finding in examined.findings):
        raise typer.Exit(2)


@app.command()
def train(config: Config, overrides: Overrides = None, out: Out = None, as_json: AsJson = False) -> None:
    """Train one config, export the best epoch and score it on test."""
    resolved = load_config(config, overrides or ())
    from tunery.train.console import ConsoleProgress
    from tunery.train.fit import fit
    from tunery.train.report import write_run_page

    folder = out or Path("runs") / config.stem
    progress = ConsoleProgress(errors(), title=folder.name, objective=resolved.objective)
    try:
        result = fit(resolved, [progress], out=folder)
    finally:
        progress.close()
    write_run_page(folder)
    show.result(result, folder, as_json=as_json)


@app.command()
def search(
    config: Config,
    overrides: Overrides = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Trials in the whole study.")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Search the ranges of a config; the same command continues an unfinished study."""
    extra = [] if trials is None else [f"search.n_trials={trials}"]
    document = load_document(config, [*(overrides or ()), *extra])
    from tunery.cli.watch import StudyConsole
    from tunery.hpo.study import search as run_search

    folder = out or Path("runs") / f"{config.stem}-search"
    console = StudyConsole(errors())
    try:
        result = run_search(document, out=folder, observer=console)
    finally:
        console.close()
    show.study(result, folder, as_json=as_json)


@app.command()
def compare(
    config: Config,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[method:]key.path=value ...]", help="Values for one method, or for all that have the key."
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="Names with commas between: none,lora,qlora,ia3,pfeiffer, ...")
    ] = "none,lora,ia3",
    seeds: Annotated[int, typer.Option("--seeds", help="Runs per method: the config's seed and those after it.")] = 3,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Method that the others are tested against; default: none.")
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train several methods with several seeds, each with its own defaults, and test whether they differ."""
    document = load_document(config)
    from tunery.cli.watch import ComparisonConsole
    from tunery.hpo.compare import compare as run_comparison

    folder = out or Path("runs") / f"{config.stem}-compare"
    result = run_comparison(
        document,
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        seeds=seeds,
        baseline=baseline,
        out=folder,
        overrides=overrides or (),
        observer=ComparisonConsole(errors()),
    )
    show.comparison(result, folder, as_json=as_json)


@app.command()
def evaluate(
    run: Run,
    split: Annotated[
        SplitName, typer.Option("--split", help="Which split of the run's data to score.")
    ] = SplitName.test,
    as_json: AsJson = False,
) -> None:
    """Score a finished model on a split of its data."""
    from tunery.train.inference import evaluate as score

    show.metrics(score(run, split.value), split.value, as_json=as_json)


@app.command()
def predict(
    run: Run,
    source: Annotated[Path, typer.Option("--input", help="File with a text column; labels are not needed.")],
    target: Annotated[Path, typer.Option("--output", help="csv, tsv or jsonl file to write.")],
    as_json: AsJson = False,
) -> None:
    """Label the rows of a file: label or labels, and a probability for each."""
    from tunery.train.predict_file import predict_file

    rows = predict_file(run, source, target)
    emit(as_json, json.dumps({"rows": rows, "output": str(target)}), f"{rows} rows written to {target}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, a study or a comparison.")],
    as_json: AsJson = False,
) -> None:
    """Write `report.html` again from what is on disk."""
    from tunery.hpo.ledger import write_comparison_page
    from tunery.hpo.winner import write_study_page
    from tunery.train.report import write_run_page

    pages = {"study.json": write_study_page, "comparison.json": write_comparison_page}
    write = next((write for name, write in pages.items() if (run / name).exists()), write_run_page)
    page = write(run)
    emit(as_json, json.dumps({"report": str(page)}), f"written: {page}")


@app.command()
def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which document.")] = SchemaName.config,
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference page in place of JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the JSON schema of the config, of `result.json`, of `study.json` or of `comparison.json`."""
    from tunery.optim.plots import schedule_plots
    from tunery.schema import describe

    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    documents: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[], str]]] = {
        "config": (describe.json_schema, lambda: describe.markdown(schedule_plots())),
        "result": (describe.result_schema, describe.result_markdown),
        "study": (describe.study_schema, describe.study_markdown),
        "comparison": (describe.comparison_schema, describe.comparison_markdown),
    }
    as_schema, as_page = documents[which.value]
    print(as_page().rstrip() if markdown else json.dumps(as_schema(), indent=2))


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the model aliases that configs may use; any Hub id or local folder works too."""
    from tunery.model.catalog import catalog_rows

    show.models(catalog_rows(), as_json=as_json)
