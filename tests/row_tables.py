"""Tables of rows as tasks that give labels have them."""

from typing import Any

from tunery.data.row_table import RowTable


def logit_table(logits: Any) -> RowTable:
    """What a model answers: logits (rows, labels)."""
    return RowTable({"logits": logits})


def label_table(targets: Any) -> RowTable:
    """What it is compared with: (rows,) or (rows, labels)."""
    return RowTable({"labels": targets})
