"""The verbs that train: `train`, `search`, `compare`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tunery.cli import show
from tunery.cli.options import AsJson, Config, Out, Overrides
from tunery.schema import load_config, load_document


def errors() -> Console:
    """Where progress goes, and what there is to say while a run works."""
    return Console(stderr=True)


def train(config: Config, overrides: Overrides = None, out: Out = None, as_json: AsJson = False) -> None:
    """Train one config, export the best epoch and score it on test."""
    resolved = load_config(config, overrides or ())
    from tunery.train.console import ConsoleProgress
    from tunery.train.fit import fit
    from tunery.train.report import write_run_page

    folder = out or Path("runs") / config.stem
    progress = ConsoleProgress(errors(), title=folder.name, objective=resolved.objective)
    try:
        result = fit(resolved, [progress], out=folder, say=progress.say)
    finally:
        progress.close()
    write_run_page(folder)
    show.result(result, folder, as_json=as_json)


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
