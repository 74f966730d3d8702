"""What a study's database and folders say of its trials, as plain records."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from optuna.trial import FrozenTrial, TrialState

from tunery.hpo.analysis.stopped_early import pruned_by_epoch, seconds_saved
from tunery.hpo.plan import Plan
from tunery.hpo.samplers.proposal import BASELINE
from tunery.hpo.search_space.distributions import Space
from tunery.schema import RunConfig, RunResult
from tunery.schema.reading.document import Document
from tunery.schema.results.storage import Disk
from tunery.schema.results.study import StudyResult, TrialRecord
from tunery.schema.spec import Choices, Domain
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects
from tunery.train.loop.callbacks import history

STATUS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}

SPENT: Final = "spent"
"""User attribute of a trial of a shared study: what `spent` says of it, for machines that do not see its folder."""


def trial_folder(out: Path, number: int) -> RunFolder:
    """The folder of one trial of the study in `out`."""
    return RunFolder(out / "trials" / str(number), objects=Objects(out / "objects"))


def beside(result: RunResult, objectives: Sequence[str]) -> dict[str, float]:
    """The metric or the cost of a run for each objective after the first, as far as the metrics are defined."""
    values = {
        name: _COSTS[name](result) if name in _COSTS else result.metrics.validation.get(name) for name in objectives[1:]
    }
    return {name: value for name, value in values.items() if value is not None}


def values_of(result: RunResult, objectives: Sequence[str]) -> list[float]:
    """What a completed run is told to the study, for each objective."""
    values = [result.objective.value, *map(beside(result, objectives).get, objectives[1:])]
    known = [value for value in values if value is not None]
    if len(known) < len(objectives):
        raise ValueError("a run without a value for each objective is not completed")
    return known


_COSTS: Final[Mapping[str, Callable[[RunResult], float]]] = {
    "memory": lambda result: result.memory.peak,
    "seconds": lambda result: result.seconds.train,
    "parameters": lambda result: result.parameters.trainable if result.parameters else 0,
    "disk": lambda result: result.disk_bytes,
}


def trial_record(trial: FrozenTrial, out: Path, *, document: Document, base: RunConfig) -> TrialRecord:
    """One trial, from optuna's storage and its own folder."""
    return _record(trial, out, space=Space(document), base=base)


def _record(trial: FrozenTrial, out: Path, *, space: Space, base: RunConfig) -> TrialRecord:
    folder = trial_folder(out, trial.number)
    if (result := folder.result()) is not None:
        cost = spent(result, base.objectives)
    else:  # it runs, or its folder is on another machine
        progress = folder.progress()
        cost = trial.user_attrs.get(SPENT) or {"seconds": progress.seconds.total, "epochs": progress.epochs}
    params = {path: space.decoded(path, value) for path, value in trial.params.items()}
    baseline = trial.user_attrs.get(BASELINE)
    return TrialRecord(
        number=trial.number,
        status=STATUS[trial.state],
        value=trial.values[0] if trial.state is TrialState.COMPLETE else None,
        params={"peft.method": baseline} if baseline else params,
        is_baseline=baseline is not None,
        history=tuple(history(folder.metrics, base.objective) or _reported(trial)),
        notes=trial.user_attrs.get("notes", ()),
        **cost,
    )


def _reported(trial: FrozenTrial) -> list[float | None]:
    """Its objective after each epoch, as far as the pruner was told."""
    values = trial.intermediate_values
    return [values.get(epoch) for epoch in range(1, max(values, default=0) + 1)]


def spent(result: RunResult, objectives: Sequence[str]) -> dict[str, Any]:
    """What the record of a run says of it that the study's database does not."""
    return {
        "loss": result.loss,
        "seconds": result.seconds.total,
        "epochs": result.epochs,
        "reason": result.reason,
        "beside": beside(result, objectives),
    }


def results_of(out: Path, numbers: list[int]) -> dict[int, RunResult]:
    """The results of those trials that have one."""
    results = {number: trial_folder(out, number).result() for number in numbers}
    return {number: result for number, result in results.items() if result is not None}


def summarise(plan: Plan, *, notes: tuple[str, ...] = ()) -> StudyResult:
    """The study so far, without its winner and what it holds on disk."""
    base, space = plan.base, Space(plan.document)
    trials = [trial for trial in plan.study.get_trials(deepcopy=False) if trial.state in STATUS]
    records = tuple(_record(trial, plan.out, space=space, base=base) for trial in trials)
    counts = Counter(record.status for record in records)
    return StudyResult(
        name=base.name,
        objective=base.objective,
        direction=base.direction,
        best=None,
        trials=records,
        counts={**{status: counts[status] for status in STATUS.values()}, "total": len(records) - counts["running"]},
        pruned_by_epoch=pruned_by_epoch(records),
        seconds_saved=seconds_saved(records, epochs=base.train.epochs_for(plan.rows)),
        objectives=base.objectives,
        directions=base.directions,
        scales={path: _scale(parameter.domain) for path, parameter in space.parameters.items()},
        notes=notes,
        disk=Disk(bytes=0, keep_all_bytes=0),
        seconds=sum(record.seconds for record in records),
    )


def _scale(domain: Domain) -> Literal["linear", "log", "category"]:
    if isinstance(domain, Choices):
        return "category"
    return "log" if domain.log else "linear"
