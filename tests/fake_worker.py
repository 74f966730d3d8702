"""A worker of a shared study whose trials only take time: `python fake_worker.py URL FOLDER NAME`.

What it does is a line each in `FOLDER/log`: `opened - NAME`, `took NUMBER NAME STEP`, `told NUMBER NAME`,
`refused NUMBER NAME`. A trial's resume point is the file `FOLDER/NUMBER`: the steps done so far.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from tunery.hpo.storage.database import close_study, open_study
from tunery.hpo.storage.trial_queue import TrialQueue

BEAT = 0.5
STEPS = 5


def main(url: str, folder: Path, name: str) -> None:
    """Work until nothing is left to do."""
    study = open_study(url, name="shared", directions=["maximize"])
    queue = TrialQueue(study, worker=name, shared=True, beat=BEAT)
    note(folder, f"opened - {name}")
    while queue.open():
        trial = queue.claim()
        if trial is None:
            time.sleep(0.05)
        else:
            work(queue, trial, folder, name)
    close_study(study)


def work(queue: TrialQueue, trial: Trial, folder: Path, name: str) -> None:
    """Do the steps that are left, then tell; whoever is frozen in between finds out at the end."""
    with queue.holding(trial) as taken:
        point = folder / str(trial.number)
        done = int(point.read_text() or 0) if point.exists() else 0
        note(folder, f"took {trial.number} {name} {done}")
        for step in range(done, STEPS):
            time.sleep(0.15)
            with suppress(UpdateFinishedTrialError):  # by another, while this worker was frozen
                trial.report(step / STEPS, step)
            if not taken():
                point.write_text(str(step + 1))
        told = queue.tell(trial, TrialState.COMPLETE, [trial.number / 100])
        if told:
            note(folder, f"told {trial.number} {name}")
        else:
            while not taken():
                time.sleep(0.05)
            note(folder, f"refused {trial.number} {name}")


def note(folder: Path, line: str) -> None:
    """One write, so that lines of several processes do not mix."""
    descriptor = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
