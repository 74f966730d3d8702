"""What lies on disk becomes numbers and sentences, for pages and for the terminal."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tunery.report.compute.run_and_study import share_saved
from tunery.report.text.formatting import percent, plural, size
from tunery.schema.results.storage import Storage, StoredItem

KINDS: Final = {
    "best": "best weights",
    "co_best": "equal weights",
    "rung": "earlier weights",
    "resume": "training state",
    "export": "exported model",
    "features": "features of rows",
    "records": "records",
    "orphan": "orphan",
}
"""What a kind of stored item is called."""

_DIGEST: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}")


class Shown(NamedTuple):
    """The largest items of a list, and what was left out."""

    items: tuple[StoredItem, ...]
    more: int
    more_bytes: int

    @property
    def rest(self) -> str:
        """`and 12 more, 3.1 MB`; empty where nothing was left out."""
        return f"and {self.more:,} more, {size(self.more_bytes)}" if self.more else ""


class Holdings(NamedTuple):
    """What a folder holds: needed weights and training state, orphans, and records."""

    needed: tuple[StoredItem, ...]
    orphans: tuple[StoredItem, ...]
    records: tuple[StoredItem, ...]


def holdings(storage: Storage) -> Holdings:
    """The items of each sort, largest first."""
    ordered = sorted(storage.items, key=lambda item: -item.bytes)
    records = tuple(item for item in ordered if item.kind == "records")
    orphans = tuple(item for item in ordered if item.kind == "orphan")
    return Holdings(tuple(item for item in ordered if item.kind not in ("records", "orphan")), orphans, records)


def largest(items: Iterable[StoredItem], most: int) -> Shown:
    """The `most` largest items; one more is shown rather than counted."""
    ordered = sorted(items, key=lambda item: -item.bytes)
    cut = most if len(ordered) > most + 1 else len(ordered)
    return Shown(tuple(ordered[:cut]), len(ordered) - cut, sum(item.bytes for item in ordered[cut:]))


def saved_sentence(kept: int, keep_all: int) -> str:
    """What is kept, against keeping every checkpoint where that would have taken more."""
    sentence = f"{size(kept)} of weights and training state"
    share = share_saved(kept, keep_all)
    if share is None:
        return sentence
    return f"{sentence}; keeping every checkpoint would have taken {size(keep_all)}: {percent(share)} saved"


def records_sentence(storage: Storage) -> str:
    """Records are counted separately."""
    return f"{size(storage.record_bytes)} of records (metrics, logs, reports, configs, database), counted separately"


def orphans_sentence(orphans: Sequence[StoredItem]) -> str:
    """What is unreferenced, and what removes it; empty where there is no such thing."""
    if not orphans:
        return ""
    total = size(sum(item.bytes for item in orphans))
    return f"{plural(len(orphans), 'orphan')}, {total}, that nothing refers to: `tunery clean --delete` removes them"


def short_path(path: str) -> str:
    """A path whose digests are cut to twelve digits."""
    return _DIGEST.sub("\\1\N{HORIZONTAL ELLIPSIS}", path)
