"""What is known of a study, as plain records."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tunery.hpo.space import decode
from tunery.schema import RunConfig, RunResult
from tunery.schema.document import Document
from tunery.schema.results import Disk, StudyResult, TrialRecord
from tunery.store.files import size
from tunery.store.folder import RunFolder
from tunery.train.callbacks import history

STATUS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def trial_folder(out: Path, number: int) -> RunFolder:
    """The folder of one trial of the study in `out`."""
    return RunFolder(out / "trials" / str(number))


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
        disk=_disk(out, results_of(out, [trial.number for trial in trials])),
        seconds=sum(record.seconds for record in records),
    )


def _disk(out: Path, results: dict[int, RunResult]) -> Disk:
    resume = sum(size(folder) for folder in out.glob("trials/*/resume"))
    kept = size(out / "objects") + size(out / "best") + resume
    return Disk(bytes=kept, keep_all_bytes=sum(result.written_bytes for result in results.values()))
