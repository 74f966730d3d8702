"""A finished run, study or comparison is asked for again: nothing is trained, and what has changed since is said."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tunery.errors import DataError
from tunery.schema import RunConfig
from tunery.schema.results.run import DataRecord
from tunery.store.disk.ownership import DATA
from tunery.store.disk.run_lock import data_changes, is_moved, refuse_other_data
from tunery.store.records import read_record
from tunery.train.setup.prepare import current_splits, data_record


def tell_finished(
    folder: Path,
    document: Mapping[str, Any],
    config: RunConfig,
    *,
    finished_at: datetime | None,
    say: Callable[[str], None],
) -> None:
    """Say that what is asked for is there, and whether the rows are still those that it was made from.

    Args:
        document: what was asked for, as `config.yaml` has it.
        config: a run of it.

    Raises:
        DataError: when the config names other files than before, and they hold other rows.
    """
    when = f" on {finished_at:%Y-%m-%d %H:%M} UTC" if finished_at else ""
    say(f"already finished{when}; nothing was trained")
    recorded = read_record(folder / DATA, DataRecord)
    if recorded is None:
        return
    try:
        now = data_record(current_splits(config))
    except DataError as error:
        return say(f"the data cannot be compared with what was trained on: {error}")
    if is_moved(folder, document):
        refuse_other_data(folder, now)
    elif changed := data_changes(recorded, now):
        say(f"the data has changed since: {changed}; the scores are of the rows that were there then")
