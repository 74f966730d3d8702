"""What a folder holds, for a terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from tunery.cli.show import plain
from tunery.report.compute.disk import (
    KINDS,
    holdings,
    largest,
    orphans_sentence,
    records_sentence,
    saved_sentence,
    short_path,
)
from tunery.schema.results.storage import Storage, StoredItem
from tunery.schema.sizes import size_text
from tunery.terminal import Terminal

_MOST: Final = 12
"""Items that are listed one by one; the rest is one line."""


def stored(storage: Storage, page: Path | None) -> None:
    """What is stored, why, how much of it, what that saves, and where the page is."""
    held = holdings(storage)
    _print_items(held.needed)
    _say(saved_sentence(storage.bytes, storage.keep_all_bytes))
    _say(records_sentence(storage))
    if held.orphans:
        _say(orphans_sentence(held.orphans))
    _say(f"written: {page}" if page else "no report.html yet: it is written when the work is finished")


def orphans(items: Sequence[StoredItem], folder: Path, *, deleted: bool) -> None:
    """What is unreferenced, and whether it was removed."""
    if not items:
        _say(f"nothing to clean: everything in {folder} is referenced")
        return
    _print_items(items)
    total = size_text(sum(item.bytes for item in items))
    _say(f"{total} removed" if deleted else f"{total} in all; nothing was removed; add --delete to remove it")


def _print_items(items: Iterable[StoredItem]) -> None:
    """The largest items, and one line for the rest."""
    shown = largest(items, _MOST)
    if not shown.items:
        return
    table = Table("size", "what", "why", "where", box=None, pad_edge=False)
    table.columns[0].justify = "right"
    for column in table.columns[:2]:
        column.no_wrap = True
    for item in shown.items:
        table.add_row(size_text(item.bytes), KINDS[item.kind], item.why, short_path(item.path))
    Terminal(elsewhere=160).print(table)
    if shown.more:
        _say(shown.rest)


def _say(text: str) -> None:
    Terminal().say(plain(text))
