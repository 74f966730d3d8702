"""`events.jsonl`: what the store did by itself: removals, waits, refusals."""

import errno
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from tunery.store.disk.files import with_filename

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""How a system says that there is no room: the disk is full, or the quota is used up."""

Event = Literal["removed", "waiting", "refused", "beyond"]
"""`beyond`: written although less stays free than `checkpoint.min_free` asks for."""


def record_event(root: Path, event: Event, *, why: str, path: Path | None = None, size: int = 0) -> None:
    """Append one line to the `events.jsonl` of the run or study in `root`.

    Args:
        path: what it was about; written as it lies within `root`.
        size: in bytes.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        "path": str(path.relative_to(root)) if path else None,
        "bytes": size,
        "why": why,
    }
    log = root / "events.jsonl"
    try:
        with with_filename(log), log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        if error.errno not in FULL:
            raise  # on a full disk making room comes before telling of it
