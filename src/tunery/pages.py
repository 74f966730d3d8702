"""The page of any folder, of a run, a study or a comparison, and the model card of its model. Imports nothing heavy:
`report` has to be quick."""

from pathlib import Path

from tunery.report import comparison_html
from tunery.report.pages.html import study_html
from tunery.report.text.formatting import plural
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.study import StudyResult
from tunery.store.disk.files import write_text
from tunery.store.disk.ownership import BEST, TRIALS, require_run
from tunery.store.disk.run_lock import read_comparison, read_study
from tunery.store.folder import RunFolder
from tunery.store.inventory import run_folders, storage_of
from tunery.train.run_report import write_model_card, write_run_page


def write_page(path: Path, *, texts: bool = True) -> Path | None:
    """Write `report.html` again and return where it is; None while the work is unfinished.

    Args:
        texts: False takes the texts of rows out of all records in the folder first, for good.

    Raises:
        FolderError: when this is no folder of tunery's.
    """
    require_run(path)
    if not texts:
        for run in run_folders(path):
            RunFolder(run).forget_texts()
    if (comparison := read_comparison(path)) is not None:
        return write_comparison_page(comparison, path)
    if (study := read_study(path)) is not None:
        return write_study_page(study, path, storage_of(path))
    return write_run_page(path) if RunFolder(path).is_finished() else None


def write_study_page(study: StudyResult, out: Path, storage: Storage) -> Path:
    """Write the page of a study, with the record of its best trial, or of the first."""
    page = out / "report.html"
    number = study.best.number if study.best else next((trial.number for trial in study.trials), None)
    run = RunFolder(out / TRIALS / str(number))
    result = None if number is None else run.result()
    results = {} if number is None or result is None else {number: result}
    worst, doubtful = (run.worst_rows(), run.doubtful_rows()) if study.best else (None, None)
    write_text(page, study_html(study, results=results, storage=storage, worst=worst, doubtful=doubtful))
    if study.best and result is not None:
        reached = {"test": study.best.test or None, "test_without_block": study.best.test_without_block}
        metrics = result.metrics.model_copy(update=reached)
        shown = result.model_copy(update={"metrics": metrics, "baselines": study.baselines, "notes": study.doubts})
        write_model_card(shown, out / BEST, origin=f"the best of a study of {plural(study.counts['total'], 'trial')}")
    return page


def write_comparison_page(result: ComparisonResult, out: Path) -> Path:
    """Write the page of a comparison."""
    page = out / "report.html"
    write_text(page, comparison_html(result, storage=storage_of(out)))
    if result.best and result.best.result:
        origin = f"the best on validation in a comparison of {plural(len(result.methods), 'method')}"
        write_model_card(result.best.result, out / BEST, origin=origin)
    return page
