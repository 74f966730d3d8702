"""Results as tables for people, or as one JSON document."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from rich.table import Table
from rich.text import Text

from tunery.report.compute.disk import saved_sentence
from tunery.report.compute.run_and_study import scalars, without_repeats
from tunery.report.text.baseline_sentences import baseline_sentences
from tunery.report.text.curve_sentences import curve_sentences
from tunery.report.text.decision_sentences import change_sentence
from tunery.report.text.fold_sentence import fold_sentence
from tunery.report.text.formatting import cell_text, score
from tunery.report.text.pretraining_sentence import pretraining_sentence
from tunery.schema.config.task import main_metrics
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.curve import CurvePoint, LearningCurve
from tunery.schema.results.finding import Finding
from tunery.schema.results.run import DataRecord, RunResult
from tunery.schema.results.study import StudyResult
from tunery.schema.sizes import size_text
from tunery.terminal import Terminal, write_json

if TYPE_CHECKING:
    from tunery.data.first_config.infer import Guess
    from tunery.train.memory.calibrate import Calibrated

_COLOURS = {"fatal": "red", "warning": "yellow", "info": "dim"}


def plain(text: str) -> str:
    """A text of a report with ordinary spaces, where a terminal can break the line and which a search can find."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def done(text: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    """What was done: as a line, or as one JSON document."""
    write_json(document) if as_json else Terminal().say(text)


def init(guess: "Guess", path: Path, *, as_json: bool) -> None:
    """What `init` saw and wrote."""
    if as_json:
        write_json({"config": str(path), "guess": guess.summary()})
        return
    terminal = Terminal()
    for line in guess.explain():
        terminal.print(line)
    typed = shlex.quote(str(path))
    terminal.say(f"\nwritten: {path}\nnext:    tunery check {typed}\n         tunery train {typed}")


class Deep(NamedTuple):
    """What `check --deep` found beside what `check` finds."""

    method: str
    findings: Sequence[Finding]
    rows: Sequence[Mapping[str, Any]]
    """Those that are doubtful, as they are in the file."""
    file: Path
    """Where there are any."""


def check(data: DataRecord, findings: Sequence[Finding], *, as_json: bool, deep: Deep | None = None) -> None:
    """Splits and findings; then what a simple model says of the training rows, if it was asked."""
    fatal = any(finding.level == "fatal" for finding in findings)
    if as_json:
        splits = {name: split.model_dump(mode="json") for name, split in data.splits.items()}
        document = {"ok": not fatal, "findings": [f.model_dump(mode="json") for f in findings], "splits": splits}
        if deep is not None:
            document["deep"] = {
                "method": deep.method,
                "findings": [finding.model_dump(mode="json") for finding in deep.findings],
                "doubts": deep.rows,
                "file": str(deep.file) if deep.rows else None,
            }
        write_json(document)
        return
    terminal = Terminal()
    of_numbers = any(split.numbers and not split.labels for split in data.splits.values())
    table = Table("split", "rows", "numbers" if of_numbers else "labels", "from", box=None, pad_edge=False)
    for name, split in data.splits.items():
        ends = f"{split.numbers.lowest:g} to {split.numbers.highest:g}" if split.numbers else ""
        table.add_row(name, str(split.rows), ends if of_numbers else str(len(split.labels)), split.source)
    terminal.print(table)
    terminal.print(_listed(findings))
    terminal.print("fatal findings: this data would be refused" if fatal else "no fatal finding")
    if deep is not None:
        terminal.say("\nWhat the training rows say back:")
        terminal.print(_listed(deep.findings))
        terminal.say(f"written: {deep.file} ({len(deep.rows):,} rows)" if deep.rows else "no row is doubtful")


def _listed(findings: Sequence[Finding]) -> Table:
    listed = Table.grid(padding=(0, 2))
    for finding in findings:
        listed.add_row(Text(finding.level, _COLOURS[finding.level]), Text(finding.message))
        for example in finding.examples:
            listed.add_row("", Text(f"  {example}", "dim"))
    return listed


def curve(found: LearningCurve, *, as_json: bool) -> None:
    """Scores at growing numbers of rows, what more of them would give, and what that is worth."""
    if as_json:
        write_json(found)
        return
    terminal = Terminal()
    table = Table("rows", found.objective, "95 % interval", "", box=None, pad_edge=False)
    for point in found.points:
        table.add_row(f"{point.rows:,}", score(point.score), _ends(point), "measured, out of fold")
    for times, point in zip(("as many", "2 times", "4 times"), found.predictions, strict=True):
        said = "predicted" if point.says_something else "predicted: says nothing"
        table.add_row(f"{point.rows:,}", score(point.score), _ends(point), f"{said} ({times} rows as train has)")
    terminal.print(table)
    terminal.say(f"by {found.described}")
    for sentence in curve_sentences(found):
        terminal.say(plain(sentence))


def _ends(point: CurvePoint) -> str:
    return f"{score(point.low)} to {score(point.high)}"


def result(run: RunResult, folder: Path, *, as_json: bool) -> None:
    """One finished run."""
    if as_json:
        write_json(run)
        return
    oof, test = run.metrics.oof or {}, run.metrics.test or {}
    columns = {"out of fold": oof} if oof else {"validation": run.metrics.validation}
    columns |= {"test": test} if test or not oof else {}
    table = Table("metric", *columns, box=None, pad_edge=False)
    every = {name: value for metrics in columns.values() for name, value in metrics.items()}
    names = without_repeats(scalars(every), columns.values(), run.objective.name)
    shown = main_metrics(run.config.get("task", {}).get("kind")) or names
    for name in names:
        if name in (*shown, run.objective.name):
            table.add_row(name, *(score(metrics.get(name)) for metrics in columns.values()))
    terminal = Terminal()
    for note in run.notes:
        terminal.say(f"note: {note}")
    if run.decisions:
        terminal.say(change_sentence(run.decisions[-1]))
    terminal.print(table)
    if more := len(names) - table.row_count:
        terminal.say(f"and {more} more in result.json and in the report")
    took = run.seconds_to_fit_and_score
    for sentence in baseline_sentences(run.baselines, run.objective.name, subject="this run", seconds=took):
        terminal.say(plain(sentence))
    if run.folds:
        terminal.say(plain(fold_sentence(run)))
    for stage in run.pretraining:
        terminal.say(plain(pretraining_sentence(stage)))
    facts = [*(_epochs(run) if run.epochs else []), f"{run.seconds.total:.0f} s"]
    if run.parameters:
        new = f" ({run.parameters.fresh:,} of a new head)" if run.parameters.fresh else ""
        facts.append(f"{run.parameters.trainable:,} of {run.parameters.total:,} parameters trained{new}")
    if run.changed_rows or run.config.get("regularization", {}).get("augmentation", {}).get("name", "none") != "none":
        facts.append(f"augmentation changed {run.changed_rows / run.epochs:,.0f} training rows an epoch")
    if run.environment:
        facts.append(run.environment.precision_reason)
    facts.append(f"peak memory {size_text(run.memory.peak)}")
    terminal.print("; ".join(facts))
    terminal.say(plain(saved_sentence(run.disk_bytes, run.written_bytes)))
    terminal.say(f"model:  {folder / 'best'}\nreport: {folder / 'report.html'}")


def pretraining(run: RunResult, folder: Path, config: Path, *, as_json: bool) -> None:
    """The stages of continued pretraining, and what to do with their model."""
    if as_json:
        write_json(run)
        return
    table = Table("stage", "texts", "steps", "held-out loss", "seconds", box=None, pad_edge=False)
    for stage in run.pretraining:
        first = next(iter(stage.losses), None)
        losses = f"{score(first)} -> {score(stage.loss)}" if stage.epoch > 1 else score(stage.loss)
        table.add_row(stage.name, f"{stage.texts:,}", f"{stage.steps:,}", losses, f"{stage.seconds:.0f}")
    terminal = Terminal()
    terminal.print(table)
    for stage in run.pretraining:
        if stage.left_out:
            terminal.say(f"{stage.name}: {stage.left_out:,} texts or paragraphs that are nearly scored ones left out")
    for note in run.notes:
        terminal.say(f"note: {note}")
    best = folder / "best"
    terminal.say(f"model:  {best}\nreport: {folder / 'report.html'}")
    typed = f"{shlex.quote(str(config))} {shlex.quote(f'model.name={best}')}"
    terminal.say(f"next:   tunery train {typed} 'pretrain={{}}'")


def _epochs(run: RunResult) -> list[str]:
    """Which epoch was the best, and how many were trained: `max_steps` may end a run within one."""
    if run.best_epoch is None:
        return [f"{run.epochs:.4g} epochs"]
    if run.epochs == int(run.epochs):
        return [f"best epoch {run.best_epoch} of {run.epochs:g}"]
    return [f"best epoch {run.best_epoch}", f"{run.epochs:.4g} epochs trained"]


def study(record: StudyResult, folder: Path, *, as_json: bool) -> None:
    """A study: the leaderboard, the winner, what decided, what it cost."""
    if as_json:
        write_json(record)
        return
    from tunery.cli import study_text

    terminal = Terminal()
    for doubt in record.doubts:
        terminal.print(plain(f"doubtful: {doubt}"), soft_wrap=not terminal.is_terminal)
    terminal.print(study_text.leaderboard(record, terminal.width))
    if record.front:
        terminal.say()
        terminal.print(study_text.front(record))
    terminal.say()
    for line in study_text.sentences(record):
        terminal.print(plain(line), soft_wrap=not terminal.is_terminal)
    terminal.say(plain(saved_sentence(record.disk.bytes, record.disk.keep_all_bytes)))
    terminal.say(f"model:       {folder / 'best'}\nreport:      {folder / 'report.html'}")
    terminal.say(f"leaderboard: {folder / 'leaderboard.csv'}")


def comparison(record: ComparisonResult, folder: Path, *, as_json: bool) -> None:
    """A comparison: one line per method, what the differences are worth, what it cost."""
    if as_json:
        write_json(record)
        return
    from tunery.report.text.comparison_table import comparison_rows
    from tunery.report.text.method_names import comparison_to_read

    record = comparison_to_read(record)
    columns = {"p": "p", "trainable": "trainable", "percent": "of all", "seconds": "train s", "tokens/s": "tokens/s"}
    columns |= {"memory": "memory", "disk": "disk"}
    where = "out of fold" if record.is_cross_validated else "test"
    table = Table("method", f"{where} {record.objective}", *columns.values(), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in comparison_rows(record):
        cells = [row["method"], f"{row['score']} {row['half']}", *(row[key] for key in columns)]
        table.add_row(*map(plain, cells))
    terminal = Terminal(elsewhere=100)
    terminal.print(table)
    terminal.say()
    for line in record.verdicts:
        terminal.say(line)
    terminal.print(f"{len(record.cells)} runs, {record.seconds:.0f} s")
    terminal.say(plain(saved_sentence(record.disk.bytes, record.disk.keep_all_bytes)))
    best = f" ({record.best.method}, seed {record.best.seed})" if record.best else ""
    terminal.say(f"model:  {folder / 'best'}{best}\nreport: {folder / 'report.html'}")
    terminal.say(f"table:  {folder / 'comparison.csv'}\nchart:  {folder / 'comparison.png'}")


def metrics(scores: Mapping[str, Any], *, of: str, name: str, as_json: bool) -> None:
    """Metrics of one split, or of one input file: `of` says which, `name` its name."""
    if as_json:
        write_json({of: name, "metrics": scores})
        return
    table = Table("metric", name, box=None, pad_edge=False)
    for metric in without_repeats(scores, (scores,), ""):
        if isinstance(scores[metric], float | int | None):
            table.add_row(metric, score(scores[metric]))
    Terminal().print(table)


WIDE: Final = 100
"""Columns of a terminal from which the catalog has all of its own."""


def models(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """The catalog; on a narrow terminal without family, length and licence."""
    if as_json:
        write_json(list(rows))
        return
    terminal = Terminal(elsewhere=160)
    cells: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "alias": lambda row: row["alias"],
        "on the Hub": lambda row: row["hub"],
        "family": lambda row: row["family"] or "?",
        "M params": lambda row: "?" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f}",
        "tokens": lambda row: "?" if row["max_length"] is None else str(row["max_length"]),
        "licence": lambda row: row["license"] or "see its page",
        "where": lambda row: f"{row['where']}, gated" if row["gated"] else row["where"],
    }
    if terminal.width < WIDE:
        cells = {heading: cells[heading] for heading in ("alias", "on the Hub", "M params", "where")}
    table = Table(box=None, pad_edge=False)
    for heading in cells:
        justify: Literal["left", "right"] = "right" if heading in ("M params", "tokens") else "left"
        table.add_column(heading, no_wrap=heading != "on the Hub", overflow="fold", justify=justify)
    for row in rows:
        table.add_row(*(cell_text(cell(row)) for cell in cells.values()))
    terminal.print(table)


def calibrated(rows: Iterable["Calibrated"], *, memory: int, is_gpu: bool, as_json: bool) -> None:
    """What models take of memory, each as soon as it is known."""
    if as_json:
        write_json({"memory": memory, "device": "cuda" if is_gpu else "cpu", "models": [asdict(row) for row in rows]})
        return
    terminal = Terminal(elsewhere=160)
    terminal.say(f"{size_text(memory)} on a {'GPU' if is_gpu else 'CPU'}; one pass of training, predicted")
    terminal.say(f"{'model':<27}{'method':<12}{'weights':>9}{'+ fixed':>9}{'a token':>9}{'tokens in a pass':>18}")
    for row in rows:
        start = f"{row.model:<27}{row.method:<12}"
        if row.weights is None or row.fixed is None or row.bytes_per_token is None:
            terminal.say(f"{start} {row.reason}")
            continue
        sizes = "".join(f"{size_text(size):>9}" for size in (row.weights, row.fixed, row.bytes_per_token))
        rows_in_pass = (row.micro_batch_tokens or 0) // row.max_length
        fits = f"{row.micro_batch_tokens:>12,} ({rows_in_pass:,} x {row.max_length})" if rows_in_pass else "none fits"
        terminal.say(f"{start}{sizes}{fits:>18}")
