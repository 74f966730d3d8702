"""What a search costs beside training, on a study whose runs train nothing.

    python benchmarks/overhead.py

At 1,000 recorded trials: milliseconds for one more, from the last one's end to its own, with TPE and the median pruner,
four epochs a trial; what the run itself takes, which writes its `result.json`, is taken off. Once for a space of seven
parameters, once for the whole default space. At 10,000: seconds until the study is open and the next is proposed, and
until its records and page are written; then `tunery report` on it, imports included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, final

from grid import finished
from tunery.execution.observer import Silent
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo.analysis.trial_records import summarise
from tunery.hpo.plan import Plan
from tunery.hpo.search_space.distributions import Space, complete
from tunery.hpo.search_space.grid import grid
from tunery.hpo.storage.database import open_study, opened, sqlite_url
from tunery.hpo.trial_loop import TrialLoop
from tunery.hpo.winner import write_records
from tunery.schema.reading.document import Document
from tunery.schema.results.run import Progress
from tunery.schema.space.default import space_of
from tunery.store.disk.run_lock import own, run_lock
from tunery.store.folder import RunFolder

EPOCHS = 4
NARROW: Document = {
    "model": {"name": "minilm"},
    "peft": {"method": "lora", "r": [4, 8, 16, 32], "alpha": [8, 16, 32, 64], "dropout": {"low": 0.0, "high": 0.2}},
    "optim": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "weight_decay": {"low": 0.0, "high": 0.1}},
    "schedule": {"name": "linear", "warmup": {"low": 0.0, "high": 0.2}},
    "train": {"batch_size": [8, 16, 32]},
}
SPACES: dict[str, Document] = {"7 parameters": NARROW, "the default space": {}}


@final
class Instant(Runner):
    """Runs that train nothing: their curves are drawn by lot."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        """What each run took, the time of `prune` not counted."""
        self.ends: list[float] = []

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Four epochs."""
        began, judged = time.perf_counter(), 0.0
        lot = Random(job.title)
        value = lot.random()
        for number in range(1, EPOCHS + 1):
            asked = time.perf_counter()
            reason = prune(Epoch(number, value - 1 / number, Progress()))
            judged += time.perf_counter() - asked
            if reason is not None:
                break
        job.folder.mkdir(parents=True, exist_ok=True)
        if reason is None:
            RunFolder(job.folder).write_result(finished(job, value))
        self.ends.append(time.perf_counter())
        self.seconds.append(self.ends[-1] - began - judged)
        return Outcome("completed" if reason is None else "pruned", reason)

    def close(self) -> None:
        """Nothing serves the runs."""


def plan_of(space: Document, out: Path, **search: Any) -> tuple[Document, Callable[[Any], Plan]]:
    """The study in `out`, as its trial loop wants it."""
    rows = {name: str(out / f"{name}.jsonl") for name in ("train", "validation", "test")}
    given = {"name": "overhead", "task": {"kind": "classification"}, "data": rows, **space}
    document = space_of({**given, "search": {"n_trials": 10**6, **search}})
    resolved = Space(document).resolved(next(grid(document)).__getitem__)
    if resolved is None:
        raise SystemExit("the first combination of the space is not legal")
    return document, lambda study: Plan(document, resolved[1], out, study, rows=1000)


@contextmanager
def conducting(space: Document, out: Path, runner: Runner, **search: Any) -> Iterator[TrialLoop]:
    """A trial loop of the study in `out`."""
    _, make = plan_of(space, out, **search)
    with opened(open_study(sqlite_url(out), name="overhead", directions=["maximize"])) as study:
        yield TrialLoop(make(study), runner, shared=False, leave=lambda: None, observer=Silent())


def record(space: Document, out: Path, *, up_to: int) -> None:
    """Have that many trials in the study, drawn at random."""
    with conducting(space, out, Instant(), sampler="random", pruner="none") as trial_loop:
        trial_loop.run(total=up_to)


def one_more(space: Document, out: Path, *, recorded: int, more: int) -> float:
    """Milliseconds for a trial, over that many after those recorded."""
    runner = Instant()
    with conducting(space, out, runner) as trial_loop:
        trial_loop.run(total=recorded + 1 + more)
    return (runner.ends[-1] - runner.ends[0] - sum(runner.seconds[1:])) / more * 1000


def open_and_report(space: Document, out: Path, *, recorded: int) -> dict[str, float]:
    """Seconds."""
    began = time.perf_counter()
    document, make = plan_of(space, out)
    with opened(open_study(sqlite_url(out), name="overhead", directions=["maximize"])) as study:
        plan = make(study)
        with run_lock(out, complete(document, plan.base), record="study.json"):
            pass
        TrialLoop(plan, Instant(), shared=False, leave=lambda: None, observer=Silent()).run(total=recorded + 1)
        ready = time.perf_counter()
        write_records(summarise(plan), out)
        written = time.perf_counter()
    command = [sys.executable, "-m", "tunery", "report", str(out), "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {
        "open_and_next_trial": ready - began,
        "summary_records_page": written - ready,
        "together": written - began,
        "tunery_report": time.perf_counter() - written,
        "page_mb": (out / "report.html").stat().st_size / 1e6,
    }


def write_rows(out: Path) -> None:
    """Rows that nobody trains on; a pass is as long as the longest of them."""
    own(out)
    for name in ("train", "validation", "test"):
        rows = [{"text": f"{name} text number {number}", "label": number % 2} for number in range(40)]
        (out / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def main() -> None:
    """Record, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded", type=int, default=1000)
    parser.add_argument("--more", type=int, default=100)
    parser.add_argument("--large", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, space) in enumerate(SPACES.items()):
            out = Path(folder) / str(number)
            write_rows(out)
            record(space, out, up_to=given.recorded)
            spent = one_more(space, out, recorded=given.recorded, more=given.more)
            print(f"{name}: {spent:.1f} ms a trial at {given.recorded:,} recorded ones", flush=True)
        out = Path(folder) / "0"
        record(NARROW, out, up_to=given.large)
        print(
            json.dumps(
                {name: round(found, 2) for name, found in open_and_report(NARROW, out, recorded=given.large).items()}
            )
        )


if __name__ == "__main__":
    main()
