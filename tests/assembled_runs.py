"""Runs that are put together and not trained."""

from pathlib import Path
from typing import Any

from tiny_runs import config, write_rows
from tunery.train.setup.assemble import Assembled, assemble, with_resolved_head
from tunery.train.setup.prepare import prepare


def assembled(model: Path, folder: Path, **sections: Any) -> Assembled:
    """A run on a tiny model, in training mode."""
    given = config(str(model), write_rows(folder), **{"model": {"name": str(model), "precision": "fp32"}, **sections})
    prepared = prepare(given)
    run = assemble(with_resolved_head(given, prepared), prepared)
    run.built.train()
    return run
