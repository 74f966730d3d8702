"""A comparison: every method on the same data with the same seeds, each run in a process of its own."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunery.comparison.cells import CellJob, cell_jobs
from tunery.comparison.comparison_store import ComparisonStore, WriteRecords, write_records
from tunery.comparison.methods import configs_over, rate_notes, recorded_method, written_methods
from tunery.data.corpus import require_readable_corpus
from tunery.data.reading.load import require_readable
from tunery.errors import ConfigError, Interrupted, Problem, RequestError, RunError, StudyFailed, did_you_mean
from tunery.execution.observer import Observer, Silent
from tunery.execution.own_interpreter import OwnInterpreters
from tunery.execution.runner import Outcome, Runner
from tunery.schema import ConfigLike, document_from
from tunery.schema.reading.document import override, with_absolute_names
from tunery.schema.results.comparison import Cell, ComparisonResult
from tunery.store.disk.ownership import DATA
from tunery.store.disk.run_lock import read_comparison, refuse_other, refuse_other_data, run_lock
from tunery.train.signals import Signals


def compare(
    config: ConfigLike,
    *,
    methods: Sequence[str],
    seeds: int = 3,
    baseline: str | None = None,
    out: str | Path,
    overrides: Iterable[str] = (),
    over: Sequence[str] = (),
    observer: Observer[Cell] | None = None,
    runner: Runner | None = None,
    write: WriteRecords = write_records,
    trust_remote_code: bool = False,
) -> ComparisonResult:
    """Train every method with every seed in the folder `out`, and say what the differences are worth.

    Seeds are the config's own and those after it. Cells that are finished are never trained again, an unfinished one
    is resumed, and one that failed is tried once more by every call. More methods or more seeds extend a comparison.
    The best model on validation is kept in `out/best`; of all others the records stay.
    `comparison.methods.method_configs` says how a method's config comes about, and which `overrides` go where.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`.
        baseline: the method that the others are tested against; full fine-tuning where it is compared, else the first.
        over: further keys to compare, `key=value,value`: every method with each of the values (`configs_over`).
        runner: where cells are trained; None: an interpreter for each, so that its peak memory is its own.
        write: writes what has been found, after every cell.
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
    configs = configs_over(document, methods, overrides=overrides, over=over)
    methods = [*configs.by_method]
    folder, own = Path(out), with_absolute_names(configs.own).model_dump(mode="json")
    cells = cell_jobs(configs, folder, seeds=seeds, trust_remote_code=trust_remote_code)
    refuse_other(folder, own, record="comparison.json")
    for cell in cells:
        refuse_other(cell.job.folder, cell.job.config.model_dump(mode="json"), record="result.json")
    before, observer = read_comparison(folder), observer or Silent()
    against = _baseline(baseline, methods, before)
    store = ComparisonStore(configs.own, folder, baseline=against, before=before, methods=methods, write=write)
    waiting = [cell for cell in cells if cell.folder.result() is None]
    if before is not None and not waiting and before.baseline == against and store.is_complete(cells):
        from tunery.train.finished import tell_finished  # imports torch, as `prepare` does

        tell_finished(folder, own, configs.own, finished_at=before.finished_at, say=observer.say)
        return before
    for warning in rate_notes(configs.by_method):
        observer.say(f"warning: {warning}")
    data = None
    if waiting:
        first = waiting[0].job.config
        require_readable(first.data)
        for pretrain in dict.fromkeys(cell.job.config.pretrain for cell in waiting):
            require_readable_corpus(pretrain, first.data)
        from tunery.train.setup.prepare import prepare

        data = prepare(first, trust_remote_code=trust_remote_code).record()
        refuse_other_data(folder, data)
    fresh = not (folder / "config.yaml").exists()
    with run_lock(folder, own, record="comparison.json", data=data), closing(runner or OwnInterpreters()) as runner:
        try:
            cells = [replace(cell, job=replace(cell.job, data=data)) for cell in cells]
            return _Comparison(cells, store, observer, runner).run()
        except RequestError:
            if fresh:  # nothing was trained: the mended config may have the folder
                (folder / "config.yaml").unlink()
                (folder / DATA).unlink(missing_ok=True)
            raise


def _baseline(wanted: str | None, methods: Sequence[str], before: ComparisonResult | None) -> str:
    compared = dict.fromkeys([*(method.method for method in before.methods), *methods] if before else methods)
    if wanted is None:
        return before.baseline if before else "none" if "none" in compared else methods[0]
    if (name := recorded_method(wanted)) not in compared:
        hint = did_you_mean(wanted, written_methods(compared))
        message = f"the baseline must be one of the methods, but {wanted!r} is not; {hint}"
        raise ConfigError([Problem("baseline", message)], source="the comparison")
    return name


@dataclass
class _Comparison:
    """The work of one call."""

    cells: Sequence[CellJob]
    store: ComparisonStore
    observer: Observer[Cell]
    runner: Runner
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    signals: Signals = field(default_factory=Signals)

    def run(self) -> ComparisonResult:
        with self.signals.handled(), self.signals.deferred():
            for number, cell in enumerate(self.cells, start=1):
                if cell.folder.result() is None:
                    self._train(cell, number)
                else:
                    self.store.add(cell)
        self.store.features.clear()
        result = self.store.write()
        if all(cell.status == "failed" for cell in result.cells):
            raise StudyFailed(f"no cell completed, the last for this reason: {result.cells[-1].reason}")
        return result

    def _train(self, cell: CellJob, number: int) -> None:
        job, signals = cell.job, self.signals
        self.observer.started(job.title, number=number, total=len(self.cells))
        self.store.make_room(cell)
        outcome = Outcome("interrupted")
        if signals.by is None:
            outcome = self.runner.run(job, prune=lambda epoch: None, stop=lambda: signals.by)
        if outcome.status == "stopped":
            raise RunError(f"{job.title} was stopped: {outcome.reason}")
        if outcome.status == "completed" or (outcome.status != "interrupted" and signals.by is None):
            self._record(cell, outcome)
        if outcome.status == "interrupted" or signals.by is not None:
            why = signals.by or outcome.reason or "a signal"
            raise Interrupted(f"{why} came at {job.title}; the same command goes on from there")

    def _record(self, cell: CellJob, outcome: Outcome) -> None:
        self.outcomes.append((cell.method, outcome))
        self.observer.ended(self.store.add(cell, outcome))
        self._raise_if_all_refused()
        if any(outcome.status != "refused" for _, outcome in self.outcomes):
            self.store.write()

    def _raise_if_all_refused(self) -> None:
        """What is refused for the same reason whatever the method is wrong with the request, not with a method."""
        refusals = {outcome.reason for _, outcome in self.outcomes if outcome.status == "refused"}
        methods = {method for method, _ in self.outcomes}
        enough = min(2, len({cell.method for cell in self.cells}))
        if len(refusals) == 1 and len(methods) >= enough and all(o.status == "refused" for _, o in self.outcomes):
            raise RequestError(str(refusals.pop()))
