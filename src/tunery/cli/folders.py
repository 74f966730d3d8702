"""The verbs about folders of runs: `ls`, `diff`, `rm`."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from tunery.cli.options import AsJson, Folder
from tunery.cli.show import plain
from tunery.errors import shortened
from tunery.report.text.formatting import DASH, duration, score
from tunery.schema.config.peft import method_name
from tunery.schema.results.direction import minimized
from tunery.schema.results.listing import Difference, Listed
from tunery.schema.sizes import size_text
from tunery.terminal import Terminal, write_json

_MOST_SCORES: Final = 12
"""Metrics of a split that are printed; `--json` has all."""


class Order(StrEnum):
    """What a list is sorted by."""

    newest = "newest"
    score = "score"
    time = "time"
    disk = "disk"
    path = "path"


_BEST_LAST: Final = float("inf")
_KEYS: Final[Mapping[Order, Callable[[Listed], Any]]] = {
    Order.score: lambda one: (one.objective or "~", _merit(one)),
    Order.time: lambda one: -(one.seconds or 0.0),
    Order.disk: lambda one: -one.bytes,
    Order.path: lambda one: one.path,
}
"""Of all orders but that of `list_runs`."""


def ls(
    root: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to look in, and below.")] = Path("runs"),
    sort: Annotated[Order, typer.Option(help="Order; by score, each objective by itself.")] = Order.newest,
    as_json: AsJson = False,
) -> None:
    """List runs, studies and comparisons: what each reached, what it cost, and whether it is finished."""
    from tunery.folders import list_runs

    found: Sequence[Listed] = list_runs(root)
    if sort in _KEYS:
        found = sorted(found, key=_KEYS[sort])
    if as_json:
        write_json([one.model_dump(mode="json") for one in found])
        return
    if not found:
        Terminal().say(plain(f"nothing of tunery's is in {root} or below; tunery train CONFIG begins a run in runs/"))
        return
    table = Table("folder", "kind", "status", "objective", "validation", "test", "method", box=None, pad_edge=False)
    for name in ("runs", "time", "disk"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            plain(one.path),
            one.kind,
            one.status,
            one.objective or DASH,
            score(one.value),
            score(one.test),
            method_name(one.method) if one.method else DASH,
            f"{one.runs:,}",
            DASH if one.seconds is None else duration(one.seconds),
            size_text(one.bytes),
        )
    Terminal(elsewhere=200).print(table)
    unfinished = next((one for one in found if one.status == "unfinished"), None)
    if unfinished:
        Terminal().say("an unfinished one goes on with the command that began it")


def _merit(one: Listed) -> float:
    value = one.value if one.test is None else one.test
    return _BEST_LAST if value is None or one.direction is None else minimized(value, one.direction)


def diff(
    left: Folder,
    right: Annotated[Path, typer.Argument(metavar="RUN", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Say what two finished runs have not in common: config beside scores. Of a study, its winner."""
    from tunery.folders import difference

    found = difference(left, right)
    if as_json:
        write_json(found)
        return
    terminal = Terminal(elsewhere=160)
    for split, is_same in found.same_rows.items():
        if not is_same:
            terminal.say(f"note: the rows of {split} differ: scores on other rows do not compare")
    terminal.print(_config_table(found) if found.config else "the configs are the same")
    terminal.print(_score_table(found))


def _config_table(found: Difference) -> Table:
    table = Table("config", plain(found.left.path), plain(found.right.path), box=None, pad_edge=False)
    for one in found.config:
        table.add_row(
            one.path, *(DASH if value is None else plain(shortened(str(value))) for value in (one.left, one.right))
        )
    return table


def _score_table(found: Difference) -> Table:
    table = Table("score", plain(found.left.path), plain(found.right.path), "difference", box=None, pad_edge=False)
    shown: dict[str, int] = {}
    for one in found.scores:
        shown[one.split] = shown.get(one.split, 0) + 1
        if shown[one.split] <= _MOST_SCORES:
            gap = None if one.left is None or one.right is None else one.right - one.left
            table.add_row(
                f"{one.split} {one.metric}", score(one.left), score(one.right), DASH if gap is None else f"{gap:+.4f}"
            )
    for name, values in {
        "seconds": [DASH if side.seconds is None else duration(side.seconds) for side in (found.left, found.right)],
        "disk": [size_text(side.bytes) for side in (found.left, found.right)],
    }.items():
        table.add_row(name, *values, "")
    return table


def rm(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, studies or comparisons.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it nothing is removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what tunery made in folders, models included; other files stay. Without --yes it only says what."""
    from tunery.folders import remove_run

    planned = [remove_run(run, delete=False) for run in runs]  # all are refused, or none
    done = [remove_run(run, delete=True) for run in runs] if yes else planned
    if as_json:
        write_json(
            [
                {"path": str(run), "bytes": one.bytes, "others": one.others, "removed": yes}
                for run, one in zip(runs, done, strict=True)
            ]
        )
        return
    terminal = Terminal()
    for run, one in zip(runs, done, strict=True):
        stays = f"; not tunery's, and stays: {', '.join(one.others)}" if one.others else ""
        terminal.say(plain(f"{run}: {size_text(one.bytes)} {'removed' if yes else 'would be removed'}{stays}"))
    if not yes:
        terminal.say("nothing was removed; add --yes to remove it")
