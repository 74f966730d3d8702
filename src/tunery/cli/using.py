"""The verbs that use what was trained: `evaluate`, `predict`, `threshold`, `export`, `ensemble`."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tunery.cli import show
from tunery.cli.decisions import show_decisions
from tunery.cli.options import AsJson, Folder, Model, Overwrite, TrustRemoteCode, column_names
from tunery.errors import RequestError
from tunery.report.text.formatting import score
from tunery.schema.config.generation import Generation
from tunery.schema.results.study import EnsembleGain
from tunery.startup import imports
from tunery.store.disk.ownership import require_run
from tunery.store.exported import exported_in, require_new
from tunery.terminal import Terminal
from tunery.train.artifacts.reader_process import READER


class SplitName(StrEnum):
    """The splits of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


_TEXT = Annotated[
    str | None,
    typer.Option("--text", metavar="COLUMN", help="Column, or A,B, of the text or prompt, if not as in training."),
]
_TEXT_PAIR = Annotated[
    str | None, typer.Option("--text-pair", metavar="COLUMN", help="Column of the second text, likewise.")
]
_COLUMNS = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Columns of a file without header, if not as in training."),
]


def evaluate(
    run: Model,
    split: Annotated[
        SplitName, typer.Option("--split", help="Which split of the run's data to score.")
    ] = SplitName.test,
    source: Annotated[
        Path | None, typer.Option("--input", help="Score a new labelled file instead; - is standard input.")
    ] = None,
    text: _TEXT = None,
    text_pair: _TEXT_PAIR = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Column of the label, if not as in training.")
    ] = None,
    columns: _COLUMNS = None,
    annotations: Annotated[
        list[str] | None,
        typer.Option("--annotations", metavar="FILE", help="Annotated sentences of the new file; may be repeated."),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Score a finished model on a split of its data, or on a new labelled file."""
    from tunery.train.predict.predict_file import Columns, evaluate_file

    named = Columns(
        text=text,
        text_pair=text_pair,
        label=label,
        annotations=tuple(annotations) if annotations else None,
        names=column_names(columns),
    )
    if source is None:
        if named != Columns():
            rule = "--text, --text-pair, --label, --columns and --annotations say what is in a file that --input names"
            raise typer.BadParameter(rule)
        exported_in(run)
        with imports():
            from tunery.train.predict.inference import evaluate as evaluate_split

        scores = evaluate_split(run, split.value, say=Terminal(stderr=True).say, trust_remote_code=trust_remote_code)
        show.metrics(scores, of="split", name=split.value, as_json=as_json)
    else:
        say = Terminal(stderr=True).say
        scores = evaluate_file(run, source, columns=named, say=say, trust_remote_code=trust_remote_code)
        show.metrics(scores, of="input", name=str(source), as_json=as_json)


def predict(
    run: Model,
    source: Annotated[
        Path, typer.Option("--input", help="File with a text column; labels are not needed. - is standard input.")
    ],
    target: Annotated[
        Path,
        typer.Option("--output", help="csv, tsv or jsonl file to write. - is standard output, in the input's format."),
    ],
    text: _TEXT = None,
    text_pair: _TEXT_PAIR = None,
    columns: _COLUMNS = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="A,B", help="Columns of the input that the output has too; default: all."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0, max=1, help="Probability from which a label is given; below it, none is."),
    ] = None,
    abstain_below: Annotated[
        float | None,
        typer.Option("--abstain-below", min=0, max=1, help="Leave out answers that are less sure than that."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, help="So many of the most probable labels; mlm: tokens for each mask, 5."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also the probability of every label.")
    ] = False,
    rank: Annotated[
        bool,
        typer.Option("--rank", help="Rows in the order in which to label them: the least sure, different ones, first."),
    ] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="causal_lm: tokens that are written, at most; 64.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", min=0, help="causal_lm: 0, the default, is no chance."),
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", min=0, max=1, help="causal_lm: draw among the likeliest with this share.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="causal_lm: of the draws; default 0.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="causal_lm: ends a text; may be repeated.")
    ] = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Label the rows of a file, or go on from them: its columns, then the answer and how sure the model is."""
    from tunery.train.predict.predict_file import STANDARD, Answer, Columns, predict_file

    wanted = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    given = {key: value for key, value in wanted.items() if value is not None} | ({"stop": tuple(stop)} if stop else {})

    if as_json and target == STANDARD:
        raise typer.BadParameter("--json and --output - exclude each other: both print on standard output")
    rows = predict_file(
        run,
        source,
        target,
        columns=Columns(text=text, text_pair=text_pair, names=column_names(columns)),
        answer=Answer(
            keep=column_names(keep),
            threshold=threshold,
            abstain_below=abstain_below,
            top_k=top_k,
            probabilities=probabilities,
            generation=_generation(given) if given else None,
            rank=rank,
        ),
        overwrite=overwrite,
        say=Terminal(stderr=True).say,
        trust_remote_code=trust_remote_code,
    )
    if target != STANDARD:
        show.done(f"{rows} rows written to {target}", {"rows": rows, "output": str(target)}, as_json=as_json)


def threshold(
    run: Model,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[task.key=value ...]", help="task.threshold, task.costs or task.calibration; none: show."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Change how a finished model decides, without training it again: thresholds, what errors cost, calibration."""
    exported_in(run)
    with imports():
        from tunery.train.predict.deciding import threshold as decide

    say = Terminal(stderr=True).say
    decided = decide(run, changes or (), dry_run=dry_run, say=say, trust_remote_code=trust_remote_code)
    show_decisions(decided, as_json=as_json)


def _generation(given: Mapping[str, Any]) -> Generation:
    try:
        return Generation(**given)
    except ValidationError as error:
        (problem, *_) = error.errors()
        raise RequestError(f"--{str(problem['loc'][0]).replace('_', '-')}: {problem['msg']}") from error


def export(
    run: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must be new or empty.")],
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of a study; default: the best.")] = None,
    step: Annotated[int | None, typer.Option("--step", help="Epoch that ended at this step, if it is kept.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Merge adapters into the base model.")] = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Write weights that a run or study keeps as a folder that plain transformers or peft load."""
    require_new(out, run)
    READER.start()
    with imports():
        from tunery.train.artifacts.export import export_run

    folder = export_run(run, out, trial=trial, step=step, merge=merge, trust_remote_code=trust_remote_code)
    show.done(f"written: {folder}", {"export": str(folder)}, as_json=as_json)


def ensemble(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must be new or empty.")],
    trials: Annotated[
        str | None, typer.Option("--trials", metavar="3,7,9", help="Its members; default: all whose weights are kept.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="How their answers become one: mean, weighted, vote, soup.")
    ] = "mean",
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Join trials of a study into one model, which `predict`, `evaluate` and `tunery.load` take like any other."""
    members = None if trials is None else numbers(trials)
    require_run(study)
    require_new(out, study)
    READER.start()
    with imports():
        from tunery.hpo.analysis.ensemble import ensemble as join
        from tunery.train.ensembles.ensemble import gain_of

    folder = join(study, out, trials=members, method=method, trust_remote_code=trust_remote_code)
    gain = gain_of(folder)
    document = {"ensemble": str(folder), "gain": gain and gain.model_dump(mode="json")}
    show.done(f"{_gain_sentence(gain)}\nwritten: {folder}", document, as_json=as_json)


def _gain_sentence(gain: EnsembleGain | None) -> str:
    if gain is None:
        return "what it gains is not known: the validation rows are too few to choose on one half of them"
    scores = f"{score(gain.value)}, the best of them alone {score(gain.single)}"
    members = ", ".join(map(str, gain.trials))
    return f"{gain.method} of trials {members}: {scores}, on validation rows that chose nothing of it"


def numbers(text: str) -> tuple[int, ...]:
    """Trial numbers as `--trials` lists them.

    Raises:
        RequestError: when the list is empty, holds something else, or names a trial twice.
    """
    rule = "--trials lists numbers of trials with commas between, such as 3,7,9"
    words = [word.strip() for word in text.split(",") if word.strip()]
    if wrong := [word for word in words if not word.isdecimal()]:
        raise RequestError(f"{rule}, but got {wrong[0]!r}")
    if not words:
        raise RequestError(f"{rule}, but got {text!r}; leave it out to take all that are kept")
    if twice := [word for word in words if words.count(word) > 1]:
        raise RequestError(f"{rule}, each once, but got {twice[0]} twice")
    return tuple(map(int, words))
