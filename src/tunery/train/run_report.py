"""The page of one run, and the model card of its model."""

from pathlib import Path

from tunery.errors import FolderError
from tunery.model.backbones.catalog import HUB
from tunery.model.backbones.checked_models import CATALOG
from tunery.report.pages.html import run_html
from tunery.report.text.model_card import Carded, model_card
from tunery.schema.results.run import RunResult
from tunery.statistics import Score, mean_interval
from tunery.store.disk.files import write_text
from tunery.store.disk.ownership import BEST
from tunery.store.exported import CARD, MODEL_CARD
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
    write_model_card(result, path / BEST, origin="one run")
    return page


def write_model_card(result: RunResult, folder: Path, *, origin: str) -> None:
    """Write `README.md` of an exported model, where it is there.

    Args:
        result: of the run that trained it.
        folder: the exported one.
        origin: what it is the best of.
    """
    if not (folder / CARD).is_file():
        return
    objective, metrics = result.objective.name, result.metrics
    value = (metrics.test or {}).get(objective)
    of_test = None if value is None else mean_interval([Score(value, metrics.test_without_block)])
    name = str(result.config.get("model", {}).get("name"))
    entry, digest = CATALOG.get(name), result.base or ""
    hub = digest.removeprefix(HUB).rpartition("@")[0] if digest.startswith(HUB) else entry and entry.hub
    carded = Carded(
        result=result,
        base=hub or None,
        license=entry.license if entry else None,
        intervals={"test": of_test, "oof": metrics.oof_interval},
        origin=origin,
        library="peft"
        if (folder / "adapter_config.json").is_file()
        else "transformers"
        if (folder / "config.json").is_file()
        else "tunery",
    )
    write_text(folder / MODEL_CARD, model_card(carded))
