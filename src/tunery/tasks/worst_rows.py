"""The rows that a model answers worst: what to read first, for labels that are wrong and texts that it cannot tell."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from tunery.data.evidence import Evidence
from tunery.data.examples import Example, Split
from tunery.data.row_table import RowTable
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.worst_rows import Excerpt, MarkedSpan, Marks, Passage, RowNumber, WorstRow, WorstRows
from tunery.tasks.task import State, Task

MOST_ROWS: Final = 25

MOST_CHARACTERS: Final = 300
"""Of each text of a row."""

MOST_TYPICAL: Final = 5

MOST_MARKED_CHARACTERS: Final = 1500
"""Of a text with evidence: as many as passages around it have together."""

MOST_SPANS: Final = 40
"""Of a row in the data, and as many in the answer."""

_AROUND: Final = 100
"""Characters that are shown on either side of evidence."""
_LONGEST_WORD: Final = 20
"""Characters by which a passage is made longer so that it cuts no word."""


def worst_rows(task: Task, split: Split, answers: RowTable, *, state: State | None, texts: bool) -> WorstRows:
    """The rows with the highest loss, highest first; of equals the earlier. Where rows have evidence, typical ones too.

    Args:
        answers: of the model, about the rows of the split.
        state: what the model decides by.
        texts: whether the record of a row has parts of its text.
    """
    examples = split.examples
    losses = task.losses(answers, task.truth(examples))
    order = np.argsort(-losses, kind="stable").tolist()
    with_evidence = [row for row in order[MOST_ROWS:] if _has_evidence(examples[row])]
    places = np.linspace(0, len(with_evidence) - 1, min(MOST_TYPICAL, len(with_evidence))).round().astype(int)
    chosen = [*order[:MOST_ROWS], *(with_evidence[place] for place in places)]
    predictions = task.answer(answers.take(chosen), [examples[row] for row in chosen], state)
    rows = tuple(
        _row(examples[row], prediction, id=examples[row].name(row), loss=float(losses[row]), texts=texts)
        for row, prediction in zip(chosen, predictions, strict=True)
    )
    return WorstRows(split=split.name, total=len(examples), rows=rows[:MOST_ROWS], typical=rows[MOST_ROWS:])


def passages(text: str, spans: Iterable[tuple[int, int]]) -> tuple[Passage, ...]:
    """All of a short text; of a long one the parts around spans (its beginning where it has none), at most so many
    characters."""
    if len(text) <= MOST_MARKED_CHARACTERS:
        return (Passage(start=0, text=text),) if text else ()
    merged: list[list[int]] = []
    for start, end in sorted(spans) or [(0, MOST_CHARACTERS - _AROUND)]:
        begin, stop = _begin_of_word(text, max(0, start - _AROUND)), _end_of_word(text, min(len(text), end + _AROUND))
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([begin, stop])
    result, room = [], MOST_MARKED_CHARACTERS
    for begin, stop in merged:
        if stop - begin > room:
            stop = begin + room
        if stop > begin:
            result.append(Passage(start=begin, text=text[begin:stop]))
        room -= stop - begin
    return tuple(result)


def excerpts_of(example: Example) -> tuple[Excerpt, ...]:
    """How the text, or each text of the pair, begins."""
    lines = [" ".join(text.split()) for text in (example.text, example.text_pair) if text is not None]
    return tuple(Excerpt(text=text[:MOST_CHARACTERS], is_cut=len(text) > MOST_CHARACTERS) for text in lines)


def _row(example: Example, prediction: Prediction, *, id: str, loss: float, texts: bool) -> WorstRow:
    marks = _marks(example, prediction, texts=texts)
    return WorstRow(
        id=id,
        loss=loss,
        labels=example.labels,
        answer=prediction.labels,
        probabilities={label: prediction.probabilities[label] for label in (*example.labels, *prediction.labels)},
        texts=excerpts_of(example) if texts and marks is None else (),
        marks=marks,
        number=_number(example, prediction),
        tokens=None if (tokens := prediction.scores.get("tokens")) is None else int(tokens),
    )


def _number(example: Example, prediction: Prediction) -> RowNumber | None:
    if example.number is None or prediction.value is None or prediction.labels:
        return None
    return RowNumber(right=example.number, answer=prediction.value, low=prediction.low, high=prediction.high)


def _marks(example: Example, prediction: Prediction, *, texts: bool) -> Marks | None:
    if not isinstance(example.target, Evidence):
        return None
    gold = [MarkedSpan(label=span.label, start=span.start, end=span.end) for span in example.target.spans]
    predicted = [
        MarkedSpan(label=span.label, start=span.start, end=span.end, score=span.score)
        for span in sorted(prediction.evidence, key=lambda span: span.start)
    ]
    shown = [*gold[:MOST_SPANS], *predicted[:MOST_SPANS]]
    return Marks(
        evidence=gold[:MOST_SPANS],
        answer=predicted[:MOST_SPANS],
        left_out=len(gold) + len(predicted) - len(shown),
        passages=passages(example.text, [(span.start, span.end) for span in shown]) if texts else (),
        characters=len(example.text),
    )


def _has_evidence(example: Example) -> bool:
    return isinstance(example.target, Evidence) and bool(example.target.spans)


def _begin_of_word(text: str, place: int) -> int:
    """The nearest place before it where a word begins, or where no character is torn apart."""
    near = range(place, max(0, place - _LONGEST_WORD), -1)
    found = next((at for at in near if text[at - 1].isspace()), place)
    return 0 if found < _LONGEST_WORD else _whole_character(text, found)


def _end_of_word(text: str, place: int) -> int:
    near: Sequence[int] = range(place, min(len(text), place + _LONGEST_WORD))
    return _whole_character(text, next((at for at in near if text[at].isspace()), place))


def _whole_character(text: str, place: int) -> int:
    """The place, or one a little before it, that is not between a character and what combines with it."""
    near = range(place, max(0, place - _LONGEST_WORD), -1)
    return next((at for at in near if at == len(text) or not unicodedata.category(text[at]).startswith("M")), place)
