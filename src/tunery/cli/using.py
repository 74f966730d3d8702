"""The verbs that use a finished model: `evaluate`, `predict`, `export`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tunery.cli import show
from tunery.cli.options import AsJson, Folder, Model


class SplitName(StrEnum):
    """The splits of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


def evaluate(
    run: Model,
    split: Annotated[
        SplitName, typer.Option("--split", help="Which split of the run's data to score.")
    ] = SplitName.test,
    as_json: AsJson = False,
) -> None:
    """Score a finished model on a split of its data."""
    from tunery.train.inference import evaluate as score

    show.metrics(score(run, split.value), split.value, as_json=as_json)


def predict(
    run: Model,
    source: Annotated[Path, typer.Option("--input", help="File with a text column; labels are not needed.")],
    target: Annotated[Path, typer.Option("--output", help="csv, tsv or jsonl file to write.")],
    as_json: AsJson = False,
) -> None:
    """Label the rows of a file: label or labels, and a probability for each."""
    from tunery.train.predict_file import predict_file

    rows = predict_file(run, source, target)
    show.line(as_json, json.dumps({"rows": rows, "output": str(target)}), f"{rows} rows written to {target}")


def export(
    run: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must be new or empty.")],
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of a study; default: the best.")] = None,
    step: Annotated[int | None, typer.Option("--step", help="Epoch that ended at this step, if it is kept.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Fold adapters into the base model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write weights that a run or study keeps as a folder that plain transformers or peft load."""
    from tunery.train.export import export_run

    folder = export_run(run, out, trial=trial, step=step, merge=merge)
    show.line(as_json, json.dumps({"export": str(folder)}), f"written: {folder}")
