"""The verbs about what is on disk: `report`, `clean`."""

from typing import Annotated

import typer

from tunery.cli.options import AsJson, Folder, NoTexts
from tunery.terminal import write_json


def report(run: Folder, no_texts: NoTexts = False, as_json: AsJson = False) -> None:
    """Write `report.html` again, and say what is stored, why, and how much space that saves."""
    from tunery.cli import inventory
    from tunery.pages import write_page
    from tunery.store.inventory import storage_of

    page, storage = write_page(run, texts=not no_texts), storage_of(run)
    if as_json:
        write_json({"report": page and str(page), "storage": storage.model_dump(mode="json")})
        return
    inventory.stored(storage, page)


def clean(
    run: Folder,
    delete: Annotated[bool, typer.Option("--delete", help="Remove what was found; without it nothing is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is unreferenced in a folder: leftovers of crashes, weights that no record names."""
    from tunery.cli import inventory
    from tunery.store.cleaning import clean_run

    items = clean_run(run, delete=delete)
    if as_json:
        orphans, total = [item.model_dump(mode="json") for item in items], sum(item.bytes for item in items)
        write_json({"orphans": orphans, "bytes": total, "deleted": delete})
        return
    inventory.orphans(items, run, deleted=delete)
