"""The page of one run."""

from pathlib import Path

from tunery.errors import FolderError
from tunery.report.pages.html import run_html
from tunery.store.disk.files import write_text
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.tracking.jsonl import read_metrics


def write_run_page(path: Path) -> Path:
    """Write `report.html` of a finished run and return where it is.

    Raises:
        FolderError: when the folder holds no finished run.
    """
    folder = RunFolder(path)
    result = folder.result()
    if result is None:
        raise FolderError(f"a finished run is needed, but {str(path)!r} has no result.json")
    page = path / "report.html"
    metrics, storage = read_metrics(folder.metrics), storage_of(path)
    html = run_html(
        result, metrics=metrics, storage=storage, worst=folder.worst_rows(), doubtful=folder.doubtful_rows()
    )
    write_text(page, html)
    return page
