"""What lies on disk, and why."""

from typing import Literal

from tunery.schema.results.record import Count, Record


class Disk(Record):
    """Bytes on disk against keeping every checkpoint of every trial."""

    bytes: Count
    keep_all_bytes: Count


class StoredItem(Record):
    """Something on disk: what it is, why it is there, how large."""

    path: str
    """Within the run folder."""
    kind: Literal["best", "co_best", "rung", "resume", "export", "features", "records", "orphan"]
    """`features`: computed again where they are gone; `records`: metrics, logs, reports, configs, the study's
    database; `orphan`: unreferenced. `tunery clean` removes orphans and features."""
    why: str
    """In words: `best epoch of trial 7`, `resume point at step 120`."""
    bytes: Count


class Storage(Record):
    """What a run, study or comparison holds on disk."""

    items: tuple[StoredItem, ...]
    """Largest first; weights shared by several are named once, with all their reasons."""
    bytes: Count
    """Weights and training state."""
    record_bytes: Count
    """Metrics, logs, reports, configs, database."""
    keep_all_bytes: Count
    """Weights and training state if every checkpoint of every trial had been kept, uncompressed."""

    @property
    def disk(self) -> Disk:
        """The two numbers that every record of a study or comparison has."""
        return Disk(bytes=self.bytes, keep_all_bytes=self.keep_all_bytes)
