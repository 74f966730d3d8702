"""How a finished model was told to decide otherwise."""

from datetime import datetime
from typing import Any

from tunery.schema.results.record import Record


class DecisionChange(Record):
    """A call of `tunery threshold`."""

    at: datetime
    """When, UTC."""
    before: dict[str, Any]
    """The keys of `task` that say how labels are decided."""
    after: dict[str, Any]
    objective: str
    value_before: float | None = None
    """Objective on validation, each part of it decided as the others say."""
    value: float | None = None
    """The same afterwards."""
