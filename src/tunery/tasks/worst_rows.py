"""The rows that a model answers worst: what to read first, for labels that are wrong and texts that it cannot tell."""

from typing import Final

import numpy as np

from tunery.data.examples import Example, Split
from tunery.data.row_table import RowTable
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.worst_rows import Excerpt, WorstRow, WorstRows
from tunery.tasks.task import State, Task

MOST_ROWS: Final = 25

MOST_CHARACTERS: Final = 300
"""Of each text of a row."""


def worst_rows(task: Task, split: Split, answers: RowTable, *, state: State | None, texts: bool) -> WorstRows:
    """The rows with the highest loss, highest first; of equals the earlier.

    Args:
        answers: of the model, about the rows of the split.
        state: what the model decides by.
        texts: whether the record of a row has the beginning of its text.
    """
    examples = split.examples
    losses = task.losses(answers, task.truth(examples))
    worst = np.argsort(-losses, kind="stable")[:MOST_ROWS].tolist()
    predictions = task.answer(answers.take(worst), [examples[row] for row in worst], state)
    rows = tuple(
        _row(examples[row], prediction, id=examples[row].name(row), loss=float(losses[row]), texts=texts)
        for row, prediction in zip(worst, predictions, strict=True)
    )
    return WorstRows(split=split.name, total=len(examples), rows=rows)


def _row(example: Example, prediction: Prediction, *, id: str, loss: float, texts: bool) -> WorstRow:
    lines = [" ".join(text.split()) for text in (example.text, example.text_pair) if text is not None] if texts else []
    return WorstRow(
        id=id,
        loss=loss,
        labels=example.labels,
        answer=prediction.labels,
        probabilities={label: prediction.probabilities[label] for label in (*example.labels, *prediction.labels)},
        texts=[Excerpt(text=text[:MOST_CHARACTERS], is_cut=len(text) > MOST_CHARACTERS) for text in lines],
    )
