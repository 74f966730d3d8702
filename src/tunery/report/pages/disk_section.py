"""The section of a page that says what is on disk, why, and how much was saved."""

from collections.abc import Iterable

from tunery.report.compute.disk import (
    KINDS,
    holdings,
    largest,
    orphans_sentence,
    records_sentence,
    saved_sentence,
    short_path,
)
from tunery.report.markup import Html, prose, tag
from tunery.report.pages.components import MOST_OPEN, number_cell, section, share_bar, table
from tunery.report.text.formatting import size
from tunery.schema.results.storage import Storage, StoredItem


def disk_section(storage: Storage) -> Html:
    """What is kept and why, against keeping everything; records apart."""
    held = holdings(storage)
    orphans = orphans_sentence(held.orphans)
    return section(
        "Disk",
        tag("p", f"{saved_sentence(storage.bytes, storage.keep_all_bytes)}."),
        _amounts(storage),
        _items(held.needed) if held.needed else tag("p", "No weights are kept.", class_="quiet"),
        tag("p", f"Beside them {records_sentence(storage)}.", class_="quiet apart"),
        tag("p", prose(f"{orphans}."), class_="quiet") if orphans else None,
    )


def _amounts(storage: Storage) -> Html | None:
    """Two bars on one scale."""
    most = max(storage.bytes, storage.keep_all_bytes)
    if not storage.keep_all_bytes:
        return None
    bars = [("kept", storage.bytes), ("every checkpoint", storage.keep_all_bytes)]
    rows = [
        tag("tr", tag("td", name), tag("td", share_bar(stored / most)), number_cell(stored, size))
        for name, stored in bars
    ]
    return tag("div", tag("table", tag("tbody", rows)), class_="amounts")


def _items(items: Iterable[StoredItem]) -> Html:
    shown = largest(items, MOST_OPEN)
    rows = []
    for item in shown.items:
        where = tag("small", tag("code", short_path(item.path), title=item.path))
        rows.append(tag("tr", tag("td", KINDS[item.kind]), number_cell(item.bytes, size), tag("td", item.why, where)))
    if shown.more:
        rows.append(tag("tr", tag("td", shown.rest, colspan="3", class_="quiet")))
    return table([("kept", None), ("size", "n"), ("why, and where", None)], rows, class_="stored")
