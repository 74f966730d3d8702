"""The best configurations, trained again with other seeds, so that chance does not choose the winner."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Final

from tunery.errors import Interrupted, RunError, StudyFailed
from tunery.execution.runner import Job, Outcome
from tunery.hpo.analysis.trial_records import trial_folder
from tunery.schema import RunConfig, RunResult
from tunery.schema.config.search import Rescore
from tunery.schema.reading.document import validate
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.run import DataRecord
from tunery.schema.results.study import Rescored, TrialRecord
from tunery.store.disk.ownership import DATA, OBJECTS, RESCORED, TRIALS
from tunery.store.disk.run_lock import keep_data
from tunery.store.folder import RunFolder
from tunery.store.inventory import trials_in
from tunery.store.objects.objects import Objects
from tunery.store.records import read_record
from tunery.store.study import StudyStore
from tunery.train.conclude import finish

Run = Callable[[Job], Outcome]
"""Trains a run, from its resume point where it has one."""

_SEEDS: Final = 2**32
_APART: Final = 1000
"""Run k of trial n is number n * 1000 + k among the runs that are trained again."""


def rescored(
    ranked: Sequence[TrialRecord], *, out: Path, rule: Rescore | None, direction: Direction, run: Run, n_jobs: int
) -> tuple[Rescored, ...]:
    """Train the best trials of the study in `out` with more seeds. Returns them by their means over all seeds, best
    first, equals as they are ranked; one of which no other seed completed comes last.

    The runs lie in `out/rescored`, a study of its own, so that none of them is taken for a trial. What is finished
    there is never repeated, a failed run included; what is not is taken up again. No weights are left.

    Args:
        ranked: completed trials, best first.
        n_jobs: runs at once.

    Raises:
        Interrupted: a run was; the same call goes on from there.
        RunError: the disk is full or fails; so does this.
    """
    chosen = candidates(ranked, rule)
    if rule is None or not chosen:
        return ()
    configs = {trial.number: _config_of(trial, out) for trial in chosen}
    if (data := read_record(out / DATA, DataRecord)) is not None:
        keep_data(out / RESCORED, data)  # runs that are trained again must see the rows that the study began with
    jobs = {
        number: _jobs(number, config, out, more=rule.seeds, alone=n_jobs == 1) for number, config in configs.items()
    }
    values = _values([job for each in jobs.values() for job in each], run, n_jobs)
    means = [_mean_of(trial, configs[trial.number].seed, jobs[trial.number], values) for trial in chosen]
    _free(out / RESCORED)
    return tuple(sorted(means, key=lambda each: (len(each.values) == 1, minimized(each.mean, direction))))


def candidates(ranked: Sequence[TrialRecord], rule: Rescore | None) -> Sequence[TrialRecord]:
    """The completed trials, best first, that are trained again."""
    top = min(rule.top, len(ranked) // 10) if rule else 0
    return ranked[:top] if top > 1 else ()


def _jobs(number: int, config: RunConfig, out: Path, *, more: int, alone: bool) -> list[Job]:
    seeds = [(config.seed + run) % _SEEDS for run in range(1, more + 1)]
    return [
        Job(
            config=config.model_copy(update={"seed": seed}),
            folder=out / RESCORED / TRIALS / str(number * _APART + run),
            study=out / RESCORED,
            title=f"trial {number} seed {seed}",
            alone=alone,
        )
        for run, seed in enumerate(seeds, start=1)
    ]


def _values(jobs: Sequence[Job], run: Run, n_jobs: int) -> dict[Path, float | None]:
    """The objective of every run, by its folder; once one cannot go on, no other begins."""
    if n_jobs == 1:
        return {job.folder: finished_run(job, run).objective.value for job in jobs}
    with ThreadPoolExecutor(n_jobs) as threads:
        running = {job.folder: threads.submit(finished_run, job, run) for job in jobs}
        try:
            return {folder: each.result().objective.value for folder, each in running.items()}
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _mean_of(trial: TrialRecord, seed: int, jobs: Sequence[Job], values: Mapping[Path, float | None]) -> Rescored:
    by_seed = {seed: trial.value, **{job.config.seed: values[job.folder] for job in jobs}}
    scores = {seed: value for seed, value in by_seed.items() if value is not None}
    mean = fmean(scores.values())
    return Rescored(number=trial.number, seeds=tuple(scores), values=tuple(scores.values()), mean=mean)


def _config_of(trial: TrialRecord, out: Path) -> RunConfig:
    result = trial_folder(out, trial.number).result()
    if result is None:
        raise StudyFailed(f"trial {trial.number} is to be trained again, but its result.json is gone")
    config = validate(result.config)
    return config.model_copy(update={"search": config.search.model_copy(update={"ensemble": None, "rescore": None})})


def finished_run(job: Job, run: Run) -> RunResult:
    """The result of a run, which is trained unless it is finished; `failed` where training left none."""
    store = StudyStore(job.study or job.folder, job.config.checkpoint, direction=job.config.direction)
    folder = store.run(job.folder)
    if (result := folder.result()) is not None:
        return result
    outcome = run(job)
    if outcome.status == "interrupted":
        raise Interrupted(f"{outcome.reason or 'a signal'} came at {job.title}; the same command goes on from there")
    if outcome.status == "stopped":
        raise RunError(f"{job.title} was stopped: {outcome.reason}; the same command goes on from there")
    if (result := folder.result()) is not None:
        return result
    return finish(store, folder, job.config, "failed", progress=folder.progress(), reason=outcome.reason)


def _free(root: Path) -> None:
    """Remove all weights of the runs in `root`; their records stay."""
    for name in trials_in(root):
        RunFolder(root / TRIALS / name).write_kept(())
    Objects(root / OBJECTS).clear()
