"""Results as tables for people, or as one JSON document."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunery.schema.results import ComparisonResult, DataRecord, Finding, RunResult, StudyResult
from tunery.schema.sizes import size_text

_COLOURS = {"fatal": "red", "warning": "yellow", "info": "dim"}


def number(value: Any) -> str:
    """A metric as people read it."""
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def plain(text: str) -> str:
    """What reports say, with spaces that a terminal can break and a search can find."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _saved(kept: int, keep_all: int) -> str:
    from tunery.report.stored import saved_sentence

    return plain(saved_sentence(kept, keep_all))


def line(as_json: bool, document: str, text: str) -> None:
    """What was done: as one JSON document, or as one line."""
    print(document) if as_json else Console().print(text, highlight=False, markup=False, soft_wrap=True)


def init(found: Any, path: Path, *, as_json: bool) -> None:
    """What `init` saw and wrote."""
    if as_json:
        print(json.dumps({"config": str(path), "guess": found.summary()}))
        return
    console = Console()
    for line in found.explain():
        console.print(line, highlight=False, markup=False)
    console.print(f"\nwritten: {path}\nnext:    tunery check {path}\n         tunery train {path}", highlight=False)


def check(data: DataRecord, findings: Sequence[Finding], *, as_json: bool) -> None:
    """Splits and findings."""
    fatal = any(finding.level == "fatal" for finding in findings)
    if as_json:
        splits = {name: split.model_dump(mode="json") for name, split in data.splits.items()}
        print(
            json.dumps({"ok": not fatal, "findings": [f.model_dump(mode="json") for f in findings], "splits": splits})
        )
        return
    console = Console()
    table = Table("split", "rows", "labels", "from", box=None, pad_edge=False)
    for name, split in data.splits.items():
        table.add_row(name, str(split.rows), str(len(split.labels)), split.source)
    console.print(table)
    told = Table.grid(padding=(0, 2))
    for finding in findings:
        told.add_row(Text(finding.level, _COLOURS[finding.level]), Text(finding.message))
        for example in finding.examples:
            told.add_row("", Text(f"  {example}", "dim"))
    console.print(told)
    console.print("fatal findings: this data would be refused" if fatal else "no fatal finding")


def result(run: RunResult, folder: Path, *, as_json: bool) -> None:
    """One finished run."""
    if as_json:
        print(run.model_dump_json(indent=1))
        return
    table = Table("metric", "validation", "test", box=None, pad_edge=False)
    test = run.metrics.test or {}
    for name, value in run.metrics.validation.items():
        if isinstance(value, float | int | None):
            table.add_row(name, number(value), number(test.get(name)))
    console = Console()
    console.print(table)
    for note in run.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    facts = [*_epochs(run), f"{run.seconds.total:.0f} s"]
    if run.parameters:
        facts.append(f"{run.parameters.trainable:,} of {run.parameters.total:,} parameters trained")
    if run.environment:
        facts.append(run.environment.precision_reason)
    facts.append(f"peak memory {size_text(run.memory.device_peak_bytes or run.memory.host_peak_bytes)}")
    console.print("; ".join(facts), highlight=False)
    console.print(_saved(run.disk_bytes, run.written_bytes), highlight=False, soft_wrap=True)
    console.print(f"model:  {folder / 'best'}\nreport: {folder / 'report.html'}", highlight=False, soft_wrap=True)


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
        print(record.model_dump_json(indent=1))
        return
    from tunery.cli import study_text

    console = Console()
    console.print(study_text.leaderboard(record, console.width))
    if record.front:
        console.print()
        console.print(study_text.front(record))
    console.print()
    for line in study_text.told(record):
        console.print(plain(line), highlight=False, markup=False, soft_wrap=not console.is_terminal)
    console.print(_saved(record.disk.bytes, record.disk.keep_all_bytes), highlight=False, soft_wrap=True)
    places = f"model:  {folder / 'best'}\nreport: {folder / 'report.html'}\nboard:  {folder / 'leaderboard.csv'}"
    console.print(places, highlight=False, markup=False, soft_wrap=True)


def comparison(record: ComparisonResult, folder: Path, *, as_json: bool) -> None:
    """A comparison: one line per method, what the differences are worth, what it cost."""
    if as_json:
        print(record.model_dump_json(indent=1))
        return
    from tunery.report.comparison_table import comparison_rows

    columns = {"p": "p", "trainable": "trainable", "percent": "of all", "seconds": "train s", "tokens/s": "tokens/s"}
    columns |= {"memory": "memory", "disk": "disk"}
    table = Table("method", f"test {record.objective}", *columns.values(), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in comparison_rows(record):
        cells = [row["method"], f"{row['score']} {row['half']}", *(row[key] for key in columns)]
        table.add_row(*map(plain, cells))
    console = Console()
    console = console if console.is_terminal else Console(width=100)
    console.print(table)
    console.print()
    for line in record.verdicts:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(record.cells)} runs, {record.seconds:.0f} s", highlight=False)
    console.print(_saved(record.disk.bytes, record.disk.keep_all_bytes), highlight=False, soft_wrap=True)
    best = f" ({record.best.method}, seed {record.best.seed})" if record.best else ""
    places = f"model:  {folder / 'best'}{best}\nreport: {folder / 'report.html'}\ntable:  {folder / 'comparison.csv'}"
    console.print(f"{places}\nchart:  {folder / 'comparison.png'}", highlight=False, markup=False, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metrics(scores: Mapping[str, Any], *, of: str, name: str, as_json: bool) -> None:
    """Metrics of one split, or of one input file: `of` says which, `name` its name."""
    if as_json:
        print(json.dumps({of: name, "metrics": scores}))
        return
    table = Table("metric", name, box=None, pad_edge=False)
    for metric, value in scores.items():
        if isinstance(value, float | int | None):
            table.add_row(metric, number(value))
    Console().print(table)


def models(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """The catalog."""
    if as_json:
        print(json.dumps(list(rows)))
        return
    table = Table(box=None, pad_edge=False)
    columns = {"alias": "alias", "hub": "on the Hub", "parameters_millions": "M params", "where": "where"}
    for heading in columns.values():
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in columns))
    Console().print(table)
