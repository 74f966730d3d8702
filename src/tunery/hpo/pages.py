"""The page of any folder: of a run, a study or a comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tunery.hpo.ledger import write_comparison_page
from tunery.hpo.winner import write_study_page
from tunery.store.cleaning import require_run
from tunery.train.report import write_run_page

_PAGES: Final[Mapping[str, Callable[[Path], Path]]] = {
    "comparison.json": write_comparison_page,
    "study.json": write_study_page,
    "result.json": write_run_page,
}
"""What is there when there is something to draw -> what draws it."""


def write_page(path: Path) -> Path | None:
    """Write `report.html` again and return where it is; None while the work is unfinished.

    Raises:
        FolderError: when this is no folder of tunery's.
    """
    require_run(path)
    return next((write(path) for name, write in _PAGES.items() if (path / name).exists()), None)
