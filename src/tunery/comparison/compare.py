"""A comparison: every method on the same data with the same seeds, one process each, and an honest verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from tunery.comparison.comparison_store import ComparisonStore
from tunery.comparison.methods import Plan, plan, rate_notes, recorded_method, written_methods
from tunery.data.reading.load import require_readable
from tunery.errors import ConfigError, Interrupted, Problem, RequestError, RunError, StudyFailed, did_you_mean
from tunery.execution.cell_runner import CellJob, CellRunner, CellStop, Outcome, run_in_process
from tunery.schema import ConfigLike, Document, document_from
from tunery.schema.reading.document import override, with_absolute_names
from tunery.schema.results.comparison import Cell, ComparisonResult
from tunery.schema.results.run import DataRecord
from tunery.store.disk.ownership import DATA
from tunery.store.disk.run_lock import claimed, read_comparison, refuse_other, refuse_other_data
from tunery.store.study import ignore

_SEEDS: Final = 2**32


class Observer(Protocol):
    """Who is told about cells as they come and go."""

    def cell_started(self, job: CellJob, *, number: int, total: int) -> None:
        """A cell begins; `number` counts from 1 and includes cells of earlier calls."""

    def cell_ended(self, cell: Cell) -> None:
        """A cell has completed or failed."""

    def say(self, text: str) -> None:
        """Something that a person should know: a learning rate is far from a method's default, all cells are there
        already, the data has changed."""


def compare(
    config: ConfigLike,
    *,
    methods: Sequence[str],
    seeds: int = 3,
    baseline: str | None = None,
    out: str | Path,
    overrides: Iterable[str] = (),
    observer: Observer | None = None,
    runner: CellRunner = run_in_process,
    trust_remote_code: bool = False,
) -> ComparisonResult:
    """Train every method with every seed in the folder `out`, and say what the differences are worth.

    Seeds are the config's own and those after it. Cells that are finished are never trained again, an unfinished one
    is resumed, and one that failed is tried once more by every call. More methods or more seeds extend a comparison.
    The best model on validation is kept in `out/best`; of all others the records stay. `comparison.methods.plan` says
    how a method's config comes about, and which `overrides` go where.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`.
        baseline: the method that the others are tested against; full fine-tuning where it is compared, else the first.
        trust_remote_code: permits code that comes with the model, in every process that this call starts.

    Raises:
        RequestError: when config, methods, data, model or folder are wrong.
        Interrupted: on SIGINT or SIGTERM; the same call continues.
        RunError: when the disk is full or fails; the same call continues once that is mended.
        StudyFailed: when no cell completes.
    """
    document = document_from(config)
    if trust_remote_code:
        document = override(document, ["model.trust_remote_code=true"])
    methods = [recorded_method(name) for name in methods]
    planned = plan(document, methods, overrides=overrides)
    folder, own = Path(out), with_absolute_names(planned.own).model_dump(mode="json")
    jobs = _jobs(planned, folder, seeds=seeds, trust_remote_code=trust_remote_code)
    _refuse_others(folder, own, jobs)
    known, say = read_comparison(folder), observer.say if observer else ignore
    against = _baseline(baseline, methods, known)
    store = ComparisonStore(planned.own, folder, baseline=against, known=known, methods=methods)
    waiting = [job for job in jobs if job.folder.result() is None]
    if known is not None and not waiting and known.baseline == against and store.holds(jobs):
        from tunery.train.finished import tell_finished  # imports torch, as `prepare` does

        tell_finished(folder, own, planned.own, finished_at=known.finished_at, say=say)
        return known
    for told in rate_notes(planned.configs):
        say(f"warning: {told}")
    data = _data(waiting[0], trust_remote_code=trust_remote_code) if waiting else None
    if data is not None:
        refuse_other_data(folder, data)
    fresh = not (folder / "config.yaml").exists()
    with claimed(folder, own, record="comparison.json", data=data):
        try:
            return _Comparison([replace(job, data=data) for job in jobs], store, observer, runner).run()
        except RequestError:
            if fresh:  # nothing was trained: the mended config may have the folder
                (folder / "config.yaml").unlink()
                (folder / DATA).unlink(missing_ok=True)
            raise


def _data(job: CellJob, *, trust_remote_code: bool) -> DataRecord:
    require_readable(job.config.data)
    from tunery.train.setup.prepare import prepare

    return prepare(job.config, trust_remote_code=trust_remote_code).record()


def _jobs(planned: Plan, folder: Path, *, seeds: int, trust_remote_code: bool) -> list[CellJob]:
    """Seed by seed over all methods, so that an interrupted comparison is balanced."""
    first = planned.own.seed
    if seeds < 1 or first + seeds > _SEEDS:
        rule = f"`1 <= seeds` and `seed + seeds <= {_SEEDS}` must hold, but got"
        raise ConfigError([Problem("seeds", f"{rule} seed={first}, seeds={seeds}")], source="the comparison")
    return [
        CellJob(
            name,
            with_absolute_names(config.model_copy(update={"seed": seed})),
            folder / "cells" / name / str(seed),
            trust_remote_code,
        )
        for seed in range(first, first + seeds)
        for name, config in planned.configs.items()
    ]


def _baseline(wanted: str | None, methods: Sequence[str], known: ComparisonResult | None) -> str:
    there = dict.fromkeys([*(method.method for method in known.methods), *methods] if known else methods)
    if wanted is None:
        return known.baseline if known else "none" if "none" in there else methods[0]
    if (name := recorded_method(wanted)) not in there:
        told = did_you_mean(wanted, written_methods(there))
        message = f"the baseline must be one of the methods, but {wanted!r} is not; {told}"
        raise ConfigError([Problem("baseline", message)], source="the comparison")
    return name


def _refuse_others(folder: Path, own: Document, jobs: Sequence[CellJob]) -> None:
    refuse_other(folder, own, record="comparison.json")
    for job in jobs:
        refuse_other(job.path, job.config.model_dump(mode="json"), record="result.json")


@dataclass
class _Comparison:
    """The work of one call."""

    jobs: Sequence[CellJob]
    store: ComparisonStore
    observer: Observer | None
    runner: CellRunner
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)

    def run(self) -> ComparisonResult:
        stop = CellStop()
        with stop.listening():
            for number, job in enumerate(self.jobs, start=1):
                if job.folder.result() is None:
                    self._train(job, stop, number)
                else:
                    self.store.add(job)
        result = self.store.write()
        if all(cell.status == "failed" for cell in result.cells):
            raise StudyFailed(f"no cell completed, the last for this reason: {result.cells[-1].reason}")
        return result

    def _train(self, job: CellJob, stop: CellStop, number: int) -> None:
        if self.observer:
            self.observer.cell_started(job, number=number, total=len(self.jobs))
        self.store.make_room(job)
        outcome = Outcome("interrupted") if stop.by else self.runner(job, stop=stop)
        if outcome.status == "stopped":
            raise RunError(f"{job.title} was stopped: {outcome.reason}")
        if outcome.status == "completed" or (outcome.status != "interrupted" and not stop.by):
            self._record(job, outcome)
        if outcome.status == "interrupted" or stop.by:
            why = stop.by or outcome.reason or "a signal"
            raise Interrupted(f"{why} came at {job.title}; the same command goes on from there")

    def _record(self, job: CellJob, outcome: Outcome) -> None:
        self.outcomes.append((job.method, outcome))
        cell = self.store.add(job, outcome)
        if self.observer:
            self.observer.cell_ended(cell)
        self._refuse_what_all_refuse()
        if any(outcome.status != "refused" for _, outcome in self.outcomes):
            self.store.write()

    def _refuse_what_all_refuse(self) -> None:
        """What every method is told at the start is wrong with the request, not with a method."""
        refusals = {outcome.reason for _, outcome in self.outcomes if outcome.status == "refused"}
        methods = {method for method, _ in self.outcomes}
        enough = min(2, len({job.method for job in self.jobs}))
        if len(refusals) == 1 and len(methods) >= enough and all(o.status == "refused" for _, o in self.outcomes):
            raise RequestError(str(refusals.pop()))
