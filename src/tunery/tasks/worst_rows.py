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
        texts: whether a row is told with the beginning of its text.
    """
    examples = split.examples
    losses = task.losses(answers, task.truth(examples))
    places = np.argsort(-losses, kind="stable")[:MOST_ROWS].tolist()
    told = task.answer(answers.take(places), state)
    rows = tuple(
        _row(examples[place], answer, id=examples[place].name(place), loss=float(losses[place]), texts=texts)
        for place, answer in zip(places, told, strict=True)
    )
    return WorstRows(split=split.name, total=len(examples), rows=rows)


def _row(example: Example, answer: Prediction, *, id: str, loss: float, texts: bool) -> WorstRow:
    return WorstRow(
        id=id,
        loss=loss,
        labels=example.labels,
        answer=answer.labels,
        probabilities={label: answer.probabilities[label] for label in (*example.labels, *answer.labels)},
        texts=[_excerpt(text) for text in (example.text, example.text_pair) if text is not None] if texts else (),
    )


def _excerpt(text: str) -> Excerpt:
    line = " ".join(text.split())
    return Excerpt(text=line[:MOST_CHARACTERS], is_cut=len(line) > MOST_CHARACTERS)
