"""The end of a study: the best trial is exported, checked and scored on test, once."""

from pathlib import Path

from tunery.errors import Damaged, FolderError, StudyFailed
from tunery.hpo.records import results_of, trial_folder
from tunery.report.html import study_html
from tunery.report.leaderboard import leaderboard_csv
from tunery.report.stored import disk
from tunery.schema.document import validate
from tunery.schema.results import BestTrial, StudyResult, TrialRecord
from tunery.store.files import write_text
from tunery.store.folder import read_study
from tunery.store.inventory import storage_of
from tunery.train.publish import publish
from tunery.train.restore import restore


def ranked(result: StudyResult) -> list[TrialRecord]:
    """Completed trials, best first; of equals the earlier."""
    sign = -1.0 if result.direction == "maximize" else 1.0
    complete = [trial for trial in result.trials if trial.status == "completed" and trial.value is not None]
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def conclude(result: StudyResult, out: Path) -> StudyResult:
    """Publish the winner and write `leaderboard.csv`, `report.html` and, last, `study.json`.

    Raises:
        StudyFailed: when no trial has completed.
    """
    order = ranked(result)
    if not order:
        write_records(result, out)
        raise StudyFailed("no trial completed; `study.json` and the trials' `result.json` say why")
    best = _known_winner(out, order[0].number) or _publish(order[0], out)
    result = result.model_copy(update={"best": best, "disk": disk(storage_of(out))})
    write_records(result, out)
    return result


def write_records(result: StudyResult, out: Path) -> None:
    """The study's tables and pages; `study.json` comes last."""
    write_text(out / "leaderboard.csv", leaderboard_csv(result))
    _write_page(result, out)
    write_text(out / "study.json", result.model_dump_json(indent=1))


def write_study_page(out: Path) -> Path:
    """Write the report of a study again and return where it is.

    Raises:
        FolderError: when the folder holds no study.
    """
    study = read_study(out)
    if study is None:
        raise FolderError(f"a study is needed, but {str(out)!r} has no study.json")
    return _write_page(study, out)


def _write_page(study: StudyResult, out: Path) -> Path:
    page, numbers = out / "report.html", [trial.number for trial in study.trials]
    write_text(page, study_html(study, results=results_of(out, numbers), storage=storage_of(out)))
    return page


def _known_winner(out: Path, number: int) -> BestTrial | None:
    """The winner of an earlier call, so that test is not read again for the same trial."""
    before = read_study(out)
    best = before.best if before else None
    return best if best is not None and best.number == number and (out / "best").exists() else None


def _publish(trial: TrialRecord, out: Path) -> BestTrial:
    folder = trial_folder(out, trial.number)
    result, best = folder.result(), folder.best()
    if result is None or best is None:
        raise StudyFailed(f"trial {trial.number} won, but its records are gone from {folder.path}")
    try:
        model = restore(validate(result.config), best, folder.objects)
    except Damaged as error:
        again = f"`tunery train {folder.path / 'config.yaml'} --out DIR` trains it again"
        raise Damaged(f"trial {trial.number} won, but {error}; {again}") from error
    predictor = publish(model.built, model.prepared, model.config, best=best, folder=out / "best")
    test = predictor.score(model.prepared.splits.test.examples)
    return BestTrial(number=trial.number, value=best.value or 0.0, config=result.config, test=test)
