"""What stopping early costs and saves, on a grid that is small enough to be trained to its end.

    python benchmarks/grid.py --data ../shared/data/banking77 --label category --labels 12 --rows 240

First every configuration is trained without a pruner, once, and its learning curve kept. Then whole studies are played
again over these curves, by tunery's own trial loop, samplers and pruners, in ten orders each: how many trials were
stopped (SC-010), how many by epoch 5 (SC-012), how many epochs that saved, whether the best configuration was among
them, how much the winner lost against the best of the grid, after how many trials the best score was known, and after
how many epochs one within 0.01 of it, for TPE and for chance (SC-011). Nothing is trained twice, so that a replay takes
seconds.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, final

from search import rows_parser, write_rows
from tunery import search
from tunery.execution.observer import Silent
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo.plan import Plan
from tunery.hpo.storage.database import close_study, open_study, sqlite_url
from tunery.hpo.trial_loop import TrialLoop
from tunery.schema.reading.document import validate
from tunery.schema.results.record import Objective
from tunery.schema.results.run import Metrics, Progress, RunResult, Seconds
from tunery.schema.results.study import StudyResult
from tunery.schema.space.sampled import domains, sample, with_domains
from tunery.store.folder import RunFolder

EARLY = 5
NEAR = 0.01
PRUNERS = ("none", "median", "percentile", "successive_halving", "hyperband")
Curves = Mapping[tuple[Any, ...], Sequence[float]]


def config(data: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The grid."""
    return {
        "name": "grid",
        "task": {"kind": "classification"},
        "data": {name: str(data / f"{name}.csv") for name in ("train", "validation", "test")},
        "model": {"name": "minilm", "max_length": given.length},
        "peft": {"method": "lora", "r": [4, 16], "alpha": [8, 32]},
        "optim": {"lr": [1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 8e-3]},
        "train": {"epochs": given.epochs, "batch_size": [8, 32]},
        "search": {"sampler": "grid", "pruner": "none", "rescore": None, "ensemble": None, "n_trials": 48},
    }


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """A configuration of the grid."""
    return tuple(values[name] for name in ("peft.r", "peft.alpha", "optim.lr", "train.batch_size"))


def best_of(curve: Sequence[float]) -> float:
    """The value of a trial: its best epoch."""
    return max(curve)


@final
class Replay(Runner):
    """A run is its recorded curve."""

    def __init__(self, curves: Curves) -> None:
        self._curves = curves
        self.lengths: dict[tuple[Any, ...], int] = {}

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        """Report one epoch after the other."""
        config = job.config
        peft, size = config.peft, config.train.batch_size
        here = (peft.r, peft.alpha, config.lr, size)  # type: ignore[union-attr]
        curve = self._curves[here]
        for number, value in enumerate(curve, start=1):
            self.lengths[here] = number
            if (reason := prune(Epoch(number, value, Progress()))) is not None:
                return Outcome("pruned", reason)
        job.folder.mkdir(parents=True, exist_ok=True)
        RunFolder(job.folder).write_result(finished(job, best_of(curve)))
        return Outcome("completed")

    def close(self) -> None:
        """Nothing serves the runs."""


def finished(job: Job, value: float) -> RunResult:
    """The record that a study reads the value from."""
    progress = Progress()
    return RunResult(
        status="completed",
        objective=Objective(name=job.config.objective, value=value, direction="maximize"),
        metrics=Metrics(validation={}, test=None),
        parameters=None,
        seconds=Seconds(),
        memory=progress.memory,
        disk_bytes=0,
        written_bytes=0,
        tokens=progress.tokens,
        epochs=0.0,
        best_epoch=None,
        config=job.config.model_dump(mode="json"),
        environment=None,
        base=None,
        data=None,
    )


def play(document: dict[str, Any], curves: Curves, *, seed: int, sampler: str, pruner: str) -> dict[str, float]:
    """One study over the recorded curves."""
    settings = {**document["search"], "sampler": sampler, "pruner": pruner}
    space = with_domains({**document, "seed": seed, "search": settings})
    base = validate(sample(space, lambda path, _: domains(space)[path].values[0]))  # type: ignore[union-attr]
    runner, top = Replay(curves), max(map(best_of, curves.values()))
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(sqlite_url(Path(folder)), name="replay", directions=["maximize"])
        try:
            plan = Plan(space, base, Path(folder), study, rows=1)  # the config says how many epochs
            TrialLoop(plan, runner, shared=False, leave=lambda: None, observer=Silent()).run(total=len(curves))
            trials = study.get_trials(deepcopy=False)
        finally:
            close_study(study)
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    values = [trial.values[0] if trial.values else 0.0 for trial in trials]
    spent, whole = sum(runner.lengths.values()), sum(map(len, curves.values()))
    return {
        "pruned": len(pruned) / len(trials),
        "early": sum(len(trial.intermediate_values) <= EARLY for trial in pruned) / len(trials),
        "epochs_saved": 1 - spent / whole,
        "best_kept": float(max(values) == top),
        "regret": top - max(values),
        "first": float(next(place for place, value in enumerate(values, start=1) if value == max(values))),
        "epochs_to_near": near(runner.lengths, curves, top),
    }


def near(lengths: Mapping[tuple[Any, ...], int], curves: Curves, top: float) -> float:
    """Epochs trained until a score within 0.01 of the grid's best was known; all of them where none ever was."""
    spent = 0
    for here, length in lengths.items():
        for value in curves[here][:length]:
            spent += 1
            if value >= top - NEAR:
                return spent
    return spent


def main() -> None:
    """Train the grid, then play studies over it."""
    parser = rows_parser(__doc__)
    parser.set_defaults(rows=240, held=150, length=32, epochs=8)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/grid"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    write_rows(given, given.out, 0)
    document = config(given.out, given)
    curves = curves_of(search(document, out=given.out / "study"))
    print(f"{len(curves)} configurations, best {max(map(best_of, curves.values())):.4f}")
    for sampler in ("random", "tpe"):
        for pruner in PRUNERS:
            found = [play(document, curves, seed=s, sampler=sampler, pruner=pruner) for s in range(given.orders)]
            means = {name: round(fmean(one[name] for one in found), 4) for name in found[0]}
            print(json.dumps({"sampler": sampler, "pruner": pruner, **means}))


def curves_of(study: StudyResult) -> Curves:
    """The learning curves of the grid."""
    return {key(trial.params): [value or 0.0 for value in trial.history] for trial in study.trials}


if __name__ == "__main__":
    main()
