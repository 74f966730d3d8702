"""Files of annotated sentences, in the layout of ReDSM5, become labels and evidence of the posts that they are from.

A line says of one sentence of a post whether it is evidence of a label (status 1) or not, though it may look like it
(status 0). A post has the labels that any of its sentences is evidence of.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tunery.data.evidence import ANNOTATION, Span, make_evidence
from tunery.data.examples import Annotation
from tunery.data.reading.cells import BadCell, as_flag, name_of, text_of
from tunery.data.reading.columns import require_columns
from tunery.data.reading.find_sentence import Place, find_sentence
from tunery.data.reading.load import read_file, read_hub_rows
from tunery.data.reading.source import Row
from tunery.errors import DataError, enumerated
from tunery.schema.config.data import Data

POST, NUMBER, SENTENCE, LABEL, STATUS = "post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status"
"""Columns of ReDSM5; `sentence_id` may be missing."""
_SHOWN: Final = 5
_LAST_NUMBER: Final = re.compile(r"(\d{1,18})\D*\Z", re.ASCII)


class _Sentence(NamedTuple):
    id: str | None
    text: str

    @property
    def number(self) -> int | None:
        """Its place among the sentences of its post, as its id ends with it."""
        match = _LAST_NUMBER.search(self.id or "")
        return None if match is None else int(match[1])


class _Judgement(NamedTuple):
    sentence: _Sentence
    label: str
    is_evidence: bool


class AnnotatedSentences:
    """What annotation files say of posts, and what became of it while it was joined with them."""

    def __init__(self, judgements: Mapping[str, Sequence[_Judgement]], notes: Sequence[str]) -> None:
        self._judgements = judgements
        """By post id."""
        self._notes = [*notes]
        self._joined: set[str] = set()
        self._similar: list[str] = []
        self._missing: list[str] = []
        self._repeated: list[str] = []

    @classmethod
    def read(cls, data: Data) -> "AnnotatedSentences":
        """Those of the files `data.annotations`.

        Raises:
            DataError: a file cannot be read, lacks a column, or has a line without post, label or status.
        """
        judgements: dict[str, list[_Judgement]] = defaultdict(list)
        notes: list[str] = []
        for name in data.annotation_files:
            rows, said, source = _read(name, data)
            notes += [f"annotations: {note}" for note in said]
            require_columns([("data.annotations", c) for c in (POST, SENTENCE, LABEL, STATUS)], rows, source=source)
            problems = []
            for number, row in enumerate(rows, start=1):
                try:
                    post, judgement = _judgement(row)
                except BadCell as problem:
                    problems.append(f"row {number}: {problem}")
                else:
                    if judgement.label not in data.ignore_labels:
                        judgements[post].append(judgement)
            if problems:
                raise DataError(f"{source}: {enumerated(problems, 3, letters=500, separator='; ')}")
        return cls(judgements, notes)

    def join(self, rows: Sequence[Row], data: Data, *, source: str) -> list[Row]:
        """The rows with their annotation in the column `ANNOTATION`; a post without annotated sentences has no label.

        Raises:
            DataError: a row has no text or id.
        """
        text = data.text_columns[0]
        require_columns([("data.text", text), ("data.id", str(data.id))], rows, source=source)
        joined, problems = [], []
        for number, row in enumerate(rows, start=1):
            try:
                post, cell = name_of(row.get(str(data.id))), text_of(row.get(text))
            except BadCell as problem:
                problems.append(f"row {number}: {problem}")
                continue
            if post is None:
                problems.append(f"row {number}: every post needs its id, but column {data.id!r} is empty")
            else:
                joined.append({**row, ANNOTATION: self._annotation(post, cell)})
        if problems:
            raise DataError(f"{source}: {enumerated(problems, 3, letters=500, separator='; ')}")
        return joined

    def notes(self) -> list[str]:
        """What a person should know of what was joined.

        Raises:
            DataError: not one row has annotated sentences.
        """
        other = [post for post in self._judgements if post not in self._joined]
        if not self._joined:
            raise DataError(
                "no row has the id of a post with annotated sentences: those of data.annotations are of posts such as "
                f"{enumerated([*map(repr, other)], _SHOWN)}; name the column with these ids as data.id, or the files "
                "that belong to the rows"
            )
        findings = {
            "annotated posts are not among the rows": other,
            "annotated sentences are not in their post word for word; the most similar ones were taken": self._similar,
            "annotated sentences are not in their post, so that their labels have no evidence there": self._missing,
            "annotated sentences are in their post several times; the one that fits the order of the sentences, else "
            "the first, was taken": self._repeated,
        }
        return [
            *self._notes,
            *(
                f"annotations: {len(names):,} {finding} ({enumerated(names, _SHOWN)})"
                for finding, names in findings.items()
                if names
            ),
        ]

    def _annotation(self, post: str, text: str) -> Annotation:
        judgements = self._judgements.get(post, ())
        if judgements:
            self._joined.add(post)
        places = self._places(post, text, [*dict.fromkeys(judgement.sentence for judgement in judgements)])
        spans: dict[bool, list[Span]] = {True: [], False: []}
        for sentence, label, is_evidence in judgements:
            if (place := places.get(sentence)) is not None:
                spans[is_evidence].append(Span(*place, label))
        labels = tuple(dict.fromkeys(judgement.label for judgement in judgements if judgement.is_evidence))
        return Annotation(labels, make_evidence(spans[True], spans[False]))

    def _places(self, post: str, text: str, sentences: Sequence[_Sentence]) -> dict[_Sentence, Place]:
        """Where each sentence is. Of several places, the first behind the sentences with lower numbers that is free."""
        chosen: dict[_Sentence, Place] = {}
        several: list[tuple[_Sentence, Sequence[Place]]] = []
        for sentence in sentences:
            name = sentence.id or f"of {post}"
            found = find_sentence(sentence.text, text)
            if len(found.places) == 1:
                chosen[sentence] = found.places[0]
                self._similar += [name] * (found.by == "similarity")
            elif found.places:
                several.append((sentence, found.places))
                self._repeated.append(name)
            elif sentence.text.strip():
                self._missing.append(name)
        for sentence, places in sorted(several, key=lambda pair: -1 if pair[0].number is None else pair[0].number):
            number = sentence.number
            lower = [s for s in chosen if number is not None and s.number is not None and s.number < number]
            after = max((chosen[s][1] for s in lower), default=0)
            chosen[sentence] = next((place for place in places if place[0] >= after), places[0])
        return chosen


def _read(name: str, data: Data) -> tuple[Sequence[Row], Sequence[str], str]:
    """Rows, what is said about them, and what they are from."""
    if data.dataset is not None:
        source = f"{data.dataset}@{data.revision}:{name}"
        return read_hub_rows(data.dataset, revision=data.revision, split=name), (), source
    table = read_file(Path(name), encoding=data.encoding)
    return table.rows, table.notes, name


def _judgement(row: Row) -> tuple[str, _Judgement]:
    """The post and what a line says of a sentence of it."""
    post, label, status = (_named(row, column) for column in (POST, LABEL, STATUS))
    is_evidence = as_flag(status)
    if is_evidence is None:
        raise BadCell(
            f"column {STATUS!r} must hold 1 (evidence) or 0 (no evidence), but got {status!r}; correct the line, or "
            "remove it"
        )
    text = _cell(text_of, row, SENTENCE)
    return post, _Judgement(_Sentence(_cell(name_of, row, NUMBER), text), label, is_evidence)


def _named(row: Row, column: str) -> str:
    name = _cell(name_of, row, column)
    if name is None:
        raise BadCell(f"column {column!r} is empty; correct the line, or remove it")
    return str(name)


def _cell(read: Any, row: Row, column: str) -> Any:
    try:
        return read(row.get(column))
    except BadCell as problem:
        raise BadCell(f"column {column!r} {problem}") from None
