"""What a study is to do. Imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path

import optuna

from tunery.schema import RunConfig
from tunery.schema.reading.document import Document


@dataclass(frozen=True)
class Plan:
    """What stays the same over the whole study."""

    document: Document
    """The config, ranges included."""
    base: RunConfig
    """What all trials share."""
    out: Path
    study: optuna.Study
    rows: int
    """Of the training split."""
    baselines: tuple[str, ...] = ()
    """Simple models that may be the first trials."""
    trust_remote_code: bool = False
    """Whether this call permits code that comes with the models."""
    texts: bool = True
    """Whether records may hold the texts of rows."""
