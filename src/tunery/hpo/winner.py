"""The end of a study: the winner is exported, checked and scored on test, once; what its trials are worth is said."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tunery.data.examples import Split
from tunery.errors import Damaged, StudyFailed
from tunery.execution.runner import Job
from tunery.hpo.analysis.choice import value_after_choice
from tunery.hpo.analysis.ensemble import Measured, measure
from tunery.hpo.analysis.importance import importances
from tunery.hpo.analysis.rescore import Run, candidates, finished_run, rescored
from tunery.hpo.analysis.trial_records import results_of, trial_folder
from tunery.hpo.plan import Plan
from tunery.hpo.samplers.proposal import recorded_proposal
from tunery.pages import write_study_page
from tunery.report.text.leaderboard import leaderboard_csv
from tunery.schema.config.task import TaskSpec
from tunery.schema.reading.document import validate
from tunery.schema.results.direction import minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.record import Record
from tunery.schema.results.run import Baseline, CheckpointRecord, Metrics, RunResult
from tunery.schema.results.study import BestTrial, EnsembleGain, Rescored, StudyResult, TrialRecord
from tunery.store.disk.files import replace_folder, write_text
from tunery.store.disk.ownership import BEST, FINAL
from tunery.store.exported import CARD
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.store.records import read_record
from tunery.store.study import StudyStore
from tunery.tasks.table import task_of_rows
from tunery.train.artifacts.publish import publish
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.deep_check.by_run import write_rows_to_look_at
from tunery.train.gains import baseline_notes, with_gains
from tunery.train.notes import answers_alike
from tunery.train.out_of_fold import answers_of_folds, repeats_of, state_of
from tunery.train.predict.card import read_card
from tunery.train.predict.inference import Predictor
from tunery.train.setup.prepare import current_splits

_SCORE: Final = "winner.json"
"""In the folder of a trial that is or was the winner: its score on test."""


def ranked(result: StudyResult) -> list[TrialRecord]:
    """Completed trials, best first."""
    complete = [trial for trial in result.trials if trial.status == "completed" and trial.value is not None]
    direction = result.direction
    return sorted(complete, key=lambda trial: ranking_key(trial.value, trial.loss, trial.number, direction=direction))


def conclude(
    result: StudyResult,
    plan: Plan,
    *,
    store: StudyStore,
    run: Run,
    baselines: tuple[Baseline, ...] = (),
    rescore: Callable[..., tuple[Rescored, ...]] = rescored,
    ensembles: Callable[..., Measured] = measure,
) -> StudyResult:
    """Choose and publish the winner, measure what else there is to say, and write the records, `study.json` last.

    May be stopped anywhere and called again, and again after more trials: runs that were trained again, the winner's
    score on test and the gains of ensembles stay on disk as soon as they are known, and none is made twice.

    Args:
        run: trains a run that is no trial.
        baselines: what simple models reach on the same rows.
        rescore: trains the best trials again, as `rescored` does.
        ensembles: measures what the best trials are worth together, as `measure` does.

    Raises:
        StudyFailed: when no trial has completed.
        Interrupted: when a run was; the same call goes on from there.
        RunError: when the disk is full or fails; so does this.
    """
    trials, out, search = ranked(result), plan.out, plan.base.search
    if not trials:
        write_records(result, out)
        raise StudyFailed("no trial completed; `study.json` and the trials' `result.json` say why")
    for trial in candidates(trials, search.rescore) or trials[:1]:
        _train_here_too(trial, plan, store=store, run=run)
    means = rescore(trials, out=out, rule=search.rescore, direction=result.direction, run=run, n_jobs=search.jobs)
    is_cross_validated = plan.base.data.cross_validates
    winner, notes_on_lost = _winner(trials, means, out, needs_weights=not is_cross_validated)
    best = _published(winner, plan, run)
    if is_cross_validated:
        others = [trial for trial in trials if trial is not winner]
        best = best.model_copy(update={"value_after_choice": value_after_choice([winner, *others], plan.base, out)})
        _write_rows_to_look_at(winner, plan)
    members = [trial.number for trial in trials[: search.ensemble or 0]] if not is_cross_validated else []
    measured = _measured(out, members, ensembles, trust_remote_code=plan.trust_remote_code)
    store.conclude()
    results = results_of(out, [trial.number for trial in trials])
    reached = Metrics(test=best.test or None, test_without_block=best.test_without_block)
    if winner.number in results:
        of_trial = results[winner.number].metrics.model_copy(update={"test": reached.test})
        reached = of_trial.model_copy(update={"test_without_block": reached.test_without_block})
    baselines = with_gains(baselines, reached, objective=plan.base.objective)
    result = result.model_copy(
        update={
            "best": best,
            "front": front(result),
            "rescored": means,
            "importance": importances(plan.study),
            "ensembles": measured.gains,
            "baselines": baselines,
            "doubts": (
                *baseline_notes(baselines, reached, plan.base),
                *_doubts(winner, results, plan.base.task),
            ),
            "notes": (*_note_on_devices(results), *result.notes, *notes_on_lost, *measured.notes),
        }
    )
    return write_records(result, out)


def _doubts(winner: TrialRecord, results: Mapping[int, RunResult], task: TaskSpec) -> Iterator[str]:
    """What makes the winner's scores doubtful: no trial tells rows apart, and the notes of the winner's run; and that
    training gained nothing."""
    if winner.is_baseline:
        yield f"trial {winner.number}, the winner, is a simple model: no trial that trains the model does better"
    if len(results) > 1 and all(answers_alike(result, task) for result in results.values()):
        yield f"all {len(results)} completed trials give every row of validation the same answer"
    if winner.number in results:
        yield from (f"trial {winner.number}, the winner: {note}" for note in results[winner.number].notes)


def _note_on_devices(results: Mapping[int, RunResult]) -> Iterator[str]:
    """A note where trials were trained on devices of several kinds."""
    devices = sorted({result.environment.device for result in results.values() if result.environment})
    if len(devices) > 1:
        yield f"trials were trained on {', '.join(devices)}: trained again elsewhere, a trial's last digits are others"


def _train_here_too(trial: TrialRecord, plan: Plan, *, store: StudyStore, run: Run) -> None:
    """Train a trial again if it was trained by a worker with a folder of its own, where its weights are."""
    folder = trial_folder(plan.out, trial.number)
    attributes = plan.study.get_trials(deepcopy=False)[trial.number].user_attrs
    proposal = recorded_proposal(attributes, plan.document, plan.base)
    if folder.result() is None and proposal is not None:
        store.say(f"trial {trial.number} was trained elsewhere: it is trained here again")
        finished_run(Job(proposal.config, folder.path, plan.out, title=f"trial {trial.number}"), run)


def front(result: StudyResult) -> tuple[int, ...]:
    """With several objectives, the completed trials that no other beats in one without losing in another."""
    names = result.objectives[1:]
    if not names:
        return ()
    points = {
        trial.number: tuple(
            map(minimized, (trial.value or 0.0, *(trial.beside[name] for name in names)), result.directions)
        )
        for trial in ranked(result)
        if trial.beside.keys() >= set(names)
    }
    return tuple(sorted(pareto_front(points)))


def write_records(result: StudyResult, out: Path) -> StudyResult:
    """Add what the study holds on disk, and write its tables and pages; `study.json` comes last."""
    storage = storage_of(out)
    result = result.model_copy(update={"disk": storage.disk, "finished_at": datetime.now(UTC)})
    write_text(out / "leaderboard.csv", leaderboard_csv(result))
    write_study_page(result, out, storage)
    write_text(out / "study.json", result.model_dump_json(indent=1))
    return result


def _winner(
    trials: Sequence[TrialRecord], means: Sequence[Rescored], out: Path, *, needs_weights: bool
) -> tuple[TrialRecord, tuple[str, ...]]:
    """The best trial, by its mean where it was trained again; and a note on each before it whose weights are gone."""
    by_number = {trial.number: trial for trial in trials}
    best_first = [by_number[mean.number] for mean in means] or trials[:1]
    winner = next((trial for trial in best_first if not needs_weights or _has_weights(trial, out)), best_first[0])
    remedy = "checkpoint.keep_best=N keeps those of the N best from the first trial on"
    return winner, tuple(
        f"trial {trial.number} has a better mean over seeds than the winner, but its weights are gone; {remedy}"
        for trial in best_first[: best_first.index(winner)]
    )


def _has_weights(trial: TrialRecord, out: Path) -> bool:
    scored = _read_score(trial, out)
    return trial_folder(out, trial.number).best() is not None or (scored is not None and _is_published(scored, out))


def _published(trial: TrialRecord, plan: Plan, run: Run) -> BestTrial:
    """Export the winner, and score it on test; neither is done again."""
    out = plan.out
    scored = _read_score(trial, out)
    if scored is not None and _is_published(scored, out):
        return scored
    if plan.base.data.cross_validates:
        return _published_final(trial, plan, run)
    best, predictor, split = _publish(trial, out, trust_remote_code=plan.trust_remote_code)
    if scored is None:
        answers = predictor.answers(split.examples)
        test, without_block = predictor.jackknife(split.examples, answers)
        trial_folder(out, trial.number).write_worst_rows(predictor.worst_rows(split, answers, texts=plan.texts))
        config = predictor.config.model_dump(mode="json")
        scored = BestTrial(
            number=trial.number, value=best.value or 0.0, config=config, test=test, test_without_block=without_block
        )
        write_text(trial_folder(out, trial.number).path / _SCORE, scored.model_dump_json(indent=1))
    return scored


def _published_final(trial: TrialRecord, plan: Plan, run: Run) -> BestTrial:
    """Train the final model of a cross-validated trial, which has kept no weights, and export it."""
    out, folder = plan.out, trial_folder(plan.out, trial.number)
    result = folder.result()
    if result is None:
        raise StudyFailed(f"trial {trial.number} won, but its records are gone from {folder.path}")
    final = RunFolder(out / FINAL / str(trial.number))
    title = f"trial {trial.number}: final model"
    trained = finished_run(Job(validate(result.config), final.path, None, title=title, folds=folder.path), run)
    if trained.status != "completed":
        raise StudyFailed(f"trial {trial.number} won, but its final model failed: {trained.reason}")
    if (model := final.path / BEST).is_dir():
        replace_folder(model, out / BEST)
    scored = BestTrial(
        number=trial.number,
        value=result.objective.value or 0.0,
        config=read_card(out / BEST).config.model_dump(mode="json"),
        test=trained.metrics.test or {},
        test_without_block=trained.metrics.test_without_block,
    )
    write_text(folder.path / _SCORE, scored.model_dump_json(indent=1))
    return scored


def _write_rows_to_look_at(winner: TrialRecord, plan: Plan) -> None:
    """What the folds of the winner say of the training rows, where their answers are there."""
    folder, splits = trial_folder(plan.out, winner.number), current_splits(plan.base)
    result, answers = folder.result(), answers_of_folds(folder.path, plan.base.data.all_folds)
    if result is None or answers is None:
        return
    config = validate(result.config)
    task = task_of_rows(config.task, config.data, splits)
    repeats = [*repeats_of(config, task, splits.pool, answers)]
    write_rows_to_look_at(config, task, splits, repeats, state_of(task, repeats), folder, texts=plan.texts)


def _read_score(trial: TrialRecord, out: Path) -> BestTrial | None:
    return read_record(trial_folder(out, trial.number).path / _SCORE, BestTrial)


def _is_published(best: BestTrial, out: Path) -> bool:
    folder = out / BEST
    return (folder / CARD).is_file() and read_card(folder).config.model_dump(mode="json") == best.config


def _publish(trial: TrialRecord, out: Path, *, trust_remote_code: bool) -> tuple[CheckpointRecord, Predictor, Split]:
    folder = trial_folder(out, trial.number)
    result, best = folder.result(), folder.best()
    if result is None or best is None:
        raise StudyFailed(f"trial {trial.number} won, but its records are gone from {folder.path}")
    try:
        config = validate(result.config)
        model = StoredWeights(config, best, folder.objects, result.data, result.base, trust_remote_code).restore()
    except Damaged as error:
        again = f"`tunery train {shlex.quote(str(folder.path / 'config.yaml'))} --out DIR` trains it again"
        raise Damaged(f"trial {trial.number} won, but {error}; {again}") from error
    predictor = publish(model, best=best, folder=out / BEST)
    return best, predictor, model.prepared.splits.test


class _Ensembles(Record):
    """`ensembles.json`: what was measured, before the weights go."""

    trials: tuple[int, ...]
    gains: tuple[EnsembleGain, ...]
    notes: tuple[str, ...]


def _measured(
    out: Path, trials: Sequence[int], measure: Callable[..., Measured], *, trust_remote_code: bool
) -> Measured:
    """The gains of ensembles of these trials, measured once."""
    path, members = out / "ensembles.json", tuple(trials)
    if (recorded := read_record(path, _Ensembles)) is not None and recorded.trials == members:
        return Measured(recorded.gains, recorded.notes)
    measured = measure(out, members, trust_remote_code=trust_remote_code) if len(members) > 1 else Measured()
    write_text(path, _Ensembles(trials=members, gains=measured.gains, notes=measured.notes).model_dump_json(indent=1))
    return measured
