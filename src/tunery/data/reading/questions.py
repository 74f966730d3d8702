"""Questions with answers inside a text, as SQuAD has them, become labels with their evidence where they return.

A question that is asked of many texts is a criterion: its answers are the evidence for it, and a text without an answer
has no such label. Questions that are asked once are another task (question answering), and refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tunery.data.reading.source import Malformed, Row
from tunery.errors import shortened

_COLUMNS: Final = ("context", "question", "answers")
_ASKED: Final = 2
"""How often each question is asked at least, on average, where questions are labels."""


def questions_inside(articles: Iterable[Any]) -> Iterator[Row]:
    """One row for each question of SQuAD's nested form: `context`, `question`, `answers`. A text without questions has
    one row.

    Raises:
        Malformed: something is not there, or of another kind.
    """
    is_answered = False
    for place, article in enumerate(articles, start=1):
        for number, paragraph in enumerate(_list(article, "paragraphs", f"article {place}"), start=1):
            what = f"paragraph {number} of article {place}"
            context = _string(paragraph, "context", what)
            questions = _list(paragraph, "qas", what)
            if not questions:
                yield {"context": context, "question": None, "answers": []}
            for asked, question in enumerate(questions, start=1):
                where = f"question {asked} of {what}"
                text = _string(question, "question", where)
                answers = [] if question.get("is_impossible") is True else _list(question, "answers", where)
                is_answered = is_answered or bool(answers)
                yield {"context": context, "question": text, "answers": answers}
    if not is_answered:
        raise Malformed(
            "its texts have questions (as SQuAD has them), but none has an answer: there is nothing to learn"
        )


def with_questions_as_labels(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """The rows themselves; or, where they are questions with answers, one row for each text, with `text`, `labels` and
    `evidence`, and notes about them.

    Raises:
        Malformed: the questions are different ones in every text, or an answer is not where it should be.
    """
    if not _are_questions(rows):
        return rows, []
    asked = [row["question"] for row in rows if row.get("question")]
    different = len(set(asked))
    if _ASKED * different > len(asked):
        raise Malformed(
            f"it holds {different:,} different questions with answers inside a text (question answering, as SQuAD has "
            "it), which tunery does not learn. Questions that are asked of every text again, as criteria are, would "
            "be read as labels, and their answers as evidence"
        )
    texts: dict[str, dict[str, list[tuple[int, int]]]] = {}
    moved = 0
    for number, row in enumerate(rows, start=1):
        context, question = row["context"], row["question"]
        if not isinstance(context, str) or not isinstance(question, str | None):
            raise Malformed(f"question {number:,} must have a text as `context` and as `question`")
        answered = texts.setdefault(context, {})
        for text, start in _answers(row["answers"], number):
            begin = _place(context, text, start, number)
            moved += begin != start
            answered.setdefault(str(question).strip(), []).append((begin, begin + len(text)))
    notes = [
        f"its {different:,} questions are asked of {len(texts):,} texts: they are read as labels of the texts that "
        "answer them, and the answers as evidence"
    ]
    if moved:
        notes.append(f"{moved:,} answers are not at their `answer_start`, but once elsewhere in the text: taken there")
    return [
        {
            "text": context,
            "labels": [*answered],
            "evidence": sorted(
                [begin, end, question] for question, spans in answered.items() for begin, end in dict.fromkeys(spans)
            ),
        }
        for context, answered in texts.items()
    ], notes


def _are_questions(rows: Sequence[Row]) -> bool:
    first = next((row for row in rows if row.get("question") and row.get("answers")), None)
    if first is None or any(name not in row for name in _COLUMNS for row in (rows[0], rows[-1], first)):
        return False
    answers = first["answers"]
    one = answers[0] if isinstance(answers, list) else answers
    return isinstance(one, dict) and {"text", "answer_start"} <= one.keys()


def _answers(answers: Any, number: int) -> list[tuple[str, int]]:
    """Texts and where they begin: of a list of objects, or an object of lists."""
    try:
        if isinstance(answers, Mapping):
            pairs = [*zip(answers["text"], answers["answer_start"], strict=True)]
        else:
            pairs = [(answer["text"], answer["answer_start"]) for answer in answers or ()]
    except (KeyError, TypeError, ValueError):
        pairs = [(None, None)]
    if not all(isinstance(text, str) and isinstance(start, int) for text, start in pairs):
        raise Malformed(f"answers have a `text` and an `answer_start`, but those of question {number:,} do not")
    return [(text, start) for text, start in pairs if text]


def _place(context: str, answer: str, start: int, number: int) -> int:
    """Where an answer begins: at `start`, or at the only place where it is."""
    if start >= 0 and context.startswith(answer, start):
        return start
    place = context.find(answer)
    if place < 0 or context.find(answer, place + 1) >= 0:
        there = "is not in its text" if place < 0 else "is there more than once"
        raise Malformed(
            f"the answer {shortened(answer, 40)!r} to question {number:,} does not begin at character {start:,} of its "
            f"text, and {there}; correct its `answer_start`, in characters from 0"
        )
    return place


def _list(holder: Any, name: str, what: str) -> list[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, list):
        raise Malformed(f"{what} must hold a list {name!r}, as SQuAD has it, but it does not")
    return value


def _string(holder: Any, name: str, what: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, str):
        raise Malformed(f"{what} must hold a text {name!r}, as SQuAD has it, but it does not")
    return value
