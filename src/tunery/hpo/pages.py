"""The page of any folder: of a run, a study or a comparison. Imports nothing heavy: `report` has to be quick."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tunery.errors import FolderError
from tunery.report import comparison_html
from tunery.report.html import study_html
from tunery.schema.results import ComparisonResult, Storage, StudyResult
from tunery.store.claim import read_comparison, read_study
from tunery.store.files import write_text
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.store.ownership import TRIALS, require_run
from tunery.train.report import write_run_page


def write_page(path: Path) -> Path | None:
    """Write `report.html` again and return where it is; None while the work is unfinished.

    Raises:
        FolderError: when this is no folder of tunery's.
    """
    require_run(path)
    return next((write(path) for name, write in _PAGES.items() if (path / name).exists()), None)


def write_study_page(out: Path) -> Path:
    """Write the report of a study again and return where it is.

    Raises:
        FolderError: when the folder holds no study.
    """
    study = read_study(out)
    if study is None:
        raise FolderError(f"a study is needed, but {str(out)!r} has no study.json")
    return draw_study(study, out, storage_of(out))


def write_comparison_page(out: Path) -> Path:
    """Write the report of a comparison again and return where it is.

    Raises:
        FolderError: when the folder holds no comparison.
    """
    result = read_comparison(out)
    if result is None:
        raise FolderError(f"a comparison is needed, but {str(out)!r} has no comparison.json")
    return draw_comparison(result, out)


def draw_study(study: StudyResult, out: Path, storage: Storage) -> Path:
    """Write the page of a study, with the curves of its best trial, or of the first."""
    page = out / "report.html"
    drawn = [study.best.number] if study.best else [trial.number for trial in study.trials[:1]]
    found = {number: RunFolder(out / TRIALS / str(number)).result() for number in drawn}
    results = {number: result for number, result in found.items() if result is not None}
    write_text(page, study_html(study, results=results, storage=storage))
    return page


def draw_comparison(result: ComparisonResult, out: Path) -> Path:
    """Write the page of a comparison."""
    page = out / "report.html"
    write_text(page, comparison_html(result, storage=storage_of(out)))
    return page


_PAGES: Final[Mapping[str, Callable[[Path], Path]]] = {
    "comparison.json": write_comparison_page,
    "study.json": write_study_page,
    "result.json": write_run_page,
}
"""What is there when there is something to draw -> what draws it."""
