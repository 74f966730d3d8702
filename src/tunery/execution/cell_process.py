"""The process of one cell: `python -m tunery.execution.cell_process`, started by `cell_runner.run_in_process` alone.

One line of JSON comes in (`config`, `data`, `folder`, `title`, `trust_remote_code`), one line goes out (`status`,
`reason`). Whatever else is printed goes to standard error.
"""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tunery.errors import DataError
from tunery.execution.outcomes import outcome_of_error
from tunery.execution.runner import Outcome
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.run import DataRecord
from tunery.store.disk.run_lock import OTHER_DATA, data_changes
from tunery.store.folder import RunFolder
from tunery.terminal import Terminal
from tunery.train.fit import fit
from tunery.train.library_warnings import quiet_libraries
from tunery.train.loop.console import ConsoleProgress
from tunery.train.run_report import write_run_page
from tunery.train.setup.prepare import prepare

_ITS_OWN: Final = ("pruned", "failed", "out_of_memory")
"""Outcomes that the method has brought about."""


def main() -> None:
    """Read the request, train, answer."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # no library's chatter may stand in the answer
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    quiet_libraries()
    outcome = train(request)
    os.write(answer, f"{json.dumps(asdict(outcome))}\n".encode())


def _leave_with_the_parent() -> None:
    """Standard input ends when the parent is gone: ask this process to save and stop."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def train(request: dict[str, Any]) -> Outcome:
    """Train, and say how it ended."""
    folder = Path(request["folder"])
    config = validate(request["config"])
    progress = ConsoleProgress(Terminal(stderr=True), title=request["title"], objective=config.objective)
    try:
        trusted: bool = request["trust_remote_code"]
        _require_same_data(config, request["data"], trust_remote_code=trusted)
        fit(config, [progress], out=folder, say=progress.say, trust_remote_code=trusted)
        write_run_page(folder)
    except Exception as error:
        outcome = outcome_of_error(error)
        if outcome.status in _ITS_OWN:
            _free(RunFolder(folder))
        return outcome
    finally:
        progress.close()
    return Outcome("completed")


def _require_same_data(config: RunConfig, known: dict[str, Any] | None, *, trust_remote_code: bool) -> None:
    """Raises:
    DataError: when the rows are not those that the comparison began with.
    """
    now = prepare(config, trust_remote_code=trust_remote_code).record()
    if known is not None and (changed := data_changes(DataRecord(**known), now)):
        raise DataError(f"the comparison was begun with other data: {changed}; {OTHER_DATA}")


def _free(folder: RunFolder) -> None:
    """A run that failed by itself would fail again from its last resume point."""
    folder.resume.clear()
    folder.write_kept(())
    folder.objects.clear()


if __name__ == "__main__":
    main()
