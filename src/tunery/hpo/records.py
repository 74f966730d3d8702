"""What is known of a study, as plain records."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tunery.hpo.space import decode
from tunery.report.stored import disk
from tunery.schema import RunConfig, RunResult
from tunery.schema.document import Document
from tunery.schema.results import StudyResult, TrialRecord
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.store.objects import Objects
from tunery.train.callbacks import history

STATUS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def trial_folder(out: Path, number: int) -> RunFolder:
    """The folder of one trial of the study in `out`."""
    return RunFolder(out / "trials" / str(number), objects=Objects(out / "objects"))


def trial_record(trial: FrozenTrial, out: Path, *, document: Document, objective: str) -> TrialRecord:
    """One trial, from optuna's storage and its own folder."""
    folder = trial_folder(out, trial.number)
    result = folder.result()
    known = result or folder.progress()
    return TrialRecord(
        number=trial.number,
        status=STATUS[trial.state],
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        params=decode(trial.params, document),
        seconds=known.seconds.total,
        epochs=known.epochs,
        reason=result.reason if result else trial.user_attrs.get("reason"),
        history=tuple(history(folder.metrics, objective)),
    )


def results_of(out: Path, numbers: list[int]) -> dict[int, RunResult]:
    """The results of those trials that have one."""
    found = {number: trial_folder(out, number).result() for number in numbers}
    return {number: result for number, result in found.items() if result is not None}


def summarise(study: optuna.Study, base: RunConfig, out: Path, *, document: Document) -> StudyResult:
    """The study so far, without its winner."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in STATUS]
    records = tuple(trial_record(trial, out, document=document, objective=base.objective) for trial in trials)
    counts = Counter(record.status for record in records)
    stopped = Counter(len(record.history) for record in records if record.status == "pruned" and record.history)
    return StudyResult(
        name=base.name,
        objective=base.objective,
        direction=base.direction,
        best=None,
        trials=records,
        counts={**{status: counts[status] for status in STATUS.values()}, "total": len(records) - counts["running"]},
        pruned_by_epoch=dict(sorted(stopped.items())),
        disk=disk(storage_of(out)),
        seconds=sum(record.seconds for record in records),
    )
