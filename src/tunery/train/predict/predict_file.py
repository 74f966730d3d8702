"""A finished model on the rows of a file: what it says of them, and how often it is right.

What loads a model is imported once the files are known to be as they should.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tunery.data.reading.annotated_sentences import POST, AnnotatedSentences
from tunery.data.reading.cells import joined
from tunery.data.reading.columns import examples_of, named_columns
from tunery.data.reading.load import kind_of, read_file, read_stream, require_file
from tunery.data.reading.source import Row
from tunery.data.reading.write import WRITERS, rounded
from tunery.errors import DataError, RequestError, did_you_mean
from tunery.schema.config.data import Data
from tunery.schema.config.generation import Generation
from tunery.schema.results.prediction import MaskToken, Prediction
from tunery.startup import without_collection
from tunery.store.exported import exported_in
from tunery.store.output import require_free, write_output
from tunery.store.study import ignore
from tunery.tasks.table import TASKS
from tunery.tasks.task import Task
from tunery.terminal import shown

if TYPE_CHECKING:
    from tunery.train.predict.card import Card

STANDARD: Final = Path("-")
"""Standard input in place of a file to read, standard output in place of one to write."""

EVIDENCE: Final = "evidence"
"""The column of evidence of a file, where that of the training data has other files for it."""

_OTHER_NAMES: Final = (
    "Columns that are called otherwise are named with --text, --text-pair and --label, those of a file without header "
    "with --columns"
)


@dataclass(frozen=True)
class Columns:
    """Columns of a new file that are not called as in the training data; None: they are."""

    text: str | None = None
    """One column, or several with commas between; where prompts or conversations were learned, theirs."""
    text_pair: str | None = None
    label: str | None = None
    """Column of the label, or of the labels."""
    annotations: tuple[str, ...] | None = None
    """Files of annotated sentences of the rows (`data.annotations`)."""
    names: tuple[str, ...] | None = None
    """All columns of a file without header, in their order."""

    def of(self, data: Data, rows: Sequence[Row]) -> Data:
        """The columns of the new file. Its groups and splits say nothing about how a row is answered. Where the
        training data has files of annotated sentences and the new file a column `evidence`, that is read."""
        text = None if self.text is None else named_columns(self.text, rows)
        asked = next((key for key in ("messages", "prompt") if getattr(data, key) is not None), "text")
        named = {asked: text, "text_pair": self.text_pair, "label": self.label, "labels": self.label}
        if self.annotations is not None:
            named |= {"annotations": self.annotations, "id": data.id or POST}
        elif data.annotations is not None and any(EVIDENCE in row for row in rows):
            data = data.model_copy(update={"annotations": None, "evidence": EVIDENCE})
        given = {key: name for key, name in named.items() if name is not None}
        return data.model_copy(update={"group": None, "split": None, **given})


@dataclass(frozen=True)
class Answer:
    """What is written for a row."""

    keep: tuple[str, ...] | None = None
    """Columns of the input; None: all of them."""
    threshold: float | None = None
    """Probability from which a label is given; None: as the model decides."""
    abstain_below: float | None = None
    """Confidence below which a row gets no answer, and 1 in a column `abstained`; None: all rows get one."""
    top_k: int | None = None
    """So many of the most probable labels, or tokens in place of each mask, with their probabilities; None: no labels,
    and as many tokens as `predict` gives."""
    probabilities: bool = False
    """The probability of every label."""
    generation: Generation | None = None
    """How a model that writes does so; None: the likeliest tokens."""
    rank: bool = False
    """Whether rows come in the order in which to label them, with their number in a column `rank`."""


def predict_file(
    run: Path,
    source: Path,
    target: Path,
    *,
    columns: Columns | None = None,
    answer: Answer | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> int:
    """Label every row of `source`, or go on from it, into `target` (csv, tsv or jsonl). Returns the number of rows.

    A row of the output is the row of the input, then its label, or its labels in the form that the training data had,
    and the confidence; or its number and the interval around it; or what may stand in place of its masks. A column of
    the input that has the name of one of these is called `input_<name>` there.

    Args:
        source: a file, or `STANDARD`.
        target: a file; `STANDARD` has the format of the input where that can be written, else jsonl.
        overwrite: whether a file that exists may be replaced.
        say: is told what was decided in reading the file.
        trust_remote_code: permits code that comes with the model.

    Raises:
        DataError: a column or cell is not as needed, or the output's suffix is unknown.
        RequestError: `answer` asks for what the model does not give.
        OutputError: `target` is `source`, or exists.
    """
    answer = answer or Answer()
    if target != STANDARD:
        if target.suffix.lower() not in WRITERS:
            raise DataError(f"predictions are written as {', '.join(WRITERS)}, but got {target.name!r}")
        require_free(target, sources=[source], overwrite=overwrite)
    card, rows, read_as = _read(run, source, columns, learned=False, say=say)
    written_as = read_as if target == STANDARD else target.suffix.lower()
    if written_as not in WRITERS:
        written_as = ".jsonl"
    data = (columns or Columns()).of(card.config.data, rows)
    _refuse_missing(answer.keep, data, rows, source=_name(source))
    data_without_id = data.model_copy(update={"id": None})
    reader = TASKS[type(card.config.task)].question_reader(data)
    examples = examples_of(rows, data_without_id, reader=reader, source=_name(source), remedy=_OTHER_NAMES)
    with without_collection():
        from tunery.train.predict.abstention import count_sentence, expectation_sentence
        from tunery.train.predict.inference import load

    predictor = load(run, trust_remote_code=trust_remote_code)
    top_k = answer.top_k if predictor.task.fills else None
    if ((answer.top_k and top_k is None) or answer.probabilities) and not predictor.labels:
        rule = "probabilities are of labels, but this model gives none"
        raise RequestError(f"{rule}; leave {'' if top_k else '--top-k and '}--probabilities out")
    if answer.rank and not predictor.labels:
        raise RequestError("--rank orders texts by how sure a model is of their labels, but this model gives none")
    answers = predictor.answers(examples) if answer.rank and examples else None
    if answer.abstain_below is not None:
        told = predictor.expected(answer.abstain_below) if answer.threshold is None else None
        say(expectation_sentence(told, answer.abstain_below))
    predictions = predictor.answer(
        examples,
        threshold=answer.threshold,
        abstain_below=answer.abstain_below,
        generation=answer.generation,
        top_k=top_k,
        answers=answers,
    )
    if answer.abstain_below is not None:
        say(count_sentence(predictions))
    columns_of = partial(_as_object if written_as == ".jsonl" else cells_of, predictor.task, data, answer)
    answered = [columns_of(prediction) for prediction in predictions]
    if answer.rank:
        order = predictor.rank(examples, answers=answers).tolist()
        rows = [rows[row] for row in order]
        answered = [{"rank": place, **answered[row]} for place, row in enumerate(order, start=1)]
    records = [{**_kept(row, answer.keep, beside=new), **new} for row, new in zip(rows, answered, strict=True)]
    text = WRITERS[written_as](records)
    if target == STANDARD:
        sys.stdout.buffer.write((shown(text) if sys.stdout.isatty() else text).encode(errors="replace"))
    else:
        write_output(target, text, sources=[source], overwrite=overwrite)
    return len(rows)


def evaluate_file(
    run: Path,
    source: Path,
    *,
    columns: Columns | None = None,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Metrics of a finished model on the labelled rows of a new file.

    Args:
        source: a file, or `STANDARD`.
        say: is told what was decided in reading the file, and how many of the rows the model was trained on, or that
            this is not known.
        trust_remote_code: permits code that comes with the model.

    Raises:
        DataError: a column or cell is not as needed, or a label is unknown to the model.
    """
    card, rows, _ = _read(run, source, columns, learned=True, say=say)
    data = (columns or Columns()).of(card.config.data, rows)
    if data.annotations is not None:
        if not card.config.task.reads_evidence:
            raise DataError(f"annotated sentences are evidence, which task {card.config.task.kind!r} does not learn")
        annotated = AnnotatedSentences.read(data)
        rows = annotated.join(rows, data, source=_name(source))
        for note in annotated.notes():
            say(note)
    with without_collection():
        from tunery.train.predict.inference import load
        from tunery.train.predict.training_rows import trained_rows

    predictor = load(run, trust_remote_code=trust_remote_code)
    task = predictor.config.task
    reader = TASKS[type(task)].reader(task, data)
    data = data.model_copy(update={"id": None})
    examples = examples_of(rows, data, reader=reader, source=_name(source), remedy=_OTHER_NAMES)
    if warning := trained_rows(run, examples):
        say(warning)
    return predictor.score(examples)


def _read(
    run: Path, source: Path, columns: Columns | None, *, learned: bool, say: Callable[[str], None]
) -> tuple["Card", list[Row], str]:
    """What is known of the model, the rows, which are read as those of its training data were, and the suffix of
    their format.

    Args:
        learned: whether what is to be learned is read from them too; then a file of plain text is read as in training.
    """
    folder = exported_in(run)
    if source != STANDARD:
        require_file(source)
    from tunery.train.predict.card import read_card

    card = read_card(folder)
    data = card.config.data
    names = columns.names if columns and columns.names else data.columns
    if source == STANDARD:
        table, suffix = read_stream(sys.stdin.buffer, source=_name(source), columns=names, encoding=data.encoding)
    else:
        task = TASKS[type(card.config.task)]
        documents = (task.reader(card.config.task, data) if learned else task.question_reader(data)).documents
        table = read_file(source, columns=names, encoding=data.encoding, documents=documents)
        suffix = kind_of(source)
    for note in table.notes:
        say(f"{_name(source)}: {note}")
    return card, table.rows, suffix


def _name(source: Path) -> str:
    return "standard input" if source == STANDARD else str(source)


def _refuse_missing(keep: tuple[str, ...] | None, data: Data, rows: Sequence[Row], *, source: str) -> None:
    """Look whether the columns are there that the output is to have: those asked for, else the id of the config."""
    columns = dict.fromkeys(column for row in rows for column in row)
    for column in keep or ():
        if column not in columns:
            raise DataError(f"{source}: there is no column {column!r} to keep; {did_you_mean(column, columns)}")
    if keep is None and data.id is not None and data.id not in columns:
        rule = f"predictions carry the column {data.id!r} that identifies a row (data.id)"
        remedy = f"name the columns to carry with --keep, or mend the file: {did_you_mean(data.id, columns)}"
        raise DataError(f"{source}: {rule}, but there is none; {remedy}")


def _kept(row: Row, keep: tuple[str, ...] | None, *, beside: Collection[str]) -> Row:
    """What the output has of a row of the input; a column with the name of one beside it gets another."""
    cells = row if keep is None else {column: row.get(column) for column in keep}
    renamed: Row = {}
    for column, cell in cells.items():
        name = column
        while name in beside or (name != column and name in cells):
            name = f"input_{name}"
        renamed[name] = cell
    return renamed


def _as_object(task: Task, data: Data, answer: Answer, prediction: Prediction) -> dict[str, Any]:
    """What a line of jsonl has."""
    columns = [*task.columns(prediction, data).items()]
    if prediction.masks:
        columns.append(("masks", [[_token(token) for token in mask] for mask in prediction.masks]))
    columns += _confidence(prediction, answer)
    if answer.top_k is not None and task.labels:
        top = _ranked(prediction)[: answer.top_k]
        columns.append(("top", [{"label": label, "probability": probability} for label, probability in top]))
    if answer.probabilities:
        columns.append(("probabilities", {label: rounded(p) for label, p in prediction.probabilities.items()}))
    return _distinct(columns)


def cells_of(task: Task, data: Data, answer: Answer, prediction: Prediction) -> dict[str, Any]:
    """What a line of a table has of a prediction: a column for every number, and a list of labels in one cell."""
    columns = [
        (name, joined(value, separator=data.label_separator) if isinstance(value, tuple) else value)
        for name, value in task.columns(prediction, data).items()
    ]
    for number, mask in enumerate(prediction.masks, start=1):
        for rank, token in enumerate(mask, start=1):
            name = f"mask_{number}_top_{rank}"
            columns += [(name, token.token), (f"{name}_p", rounded(token.probability))]
    columns += _confidence(prediction, answer)
    for rank, (label, probability) in enumerate(_ranked(prediction)[: answer.top_k or 0], start=1):
        columns += [(f"top_{rank}", label), (f"top_{rank}_p", probability)]
    if answer.probabilities:
        columns += [(f"p_{label}", rounded(p)) for label, p in prediction.probabilities.items()]
    return _distinct(columns)


def _token(token: MaskToken) -> dict[str, Any]:
    return {"token": token.token, "probability": rounded(token.probability)}


def _confidence(prediction: Prediction, answer: Answer) -> list[tuple[str, Any]]:
    confidence = [] if prediction.confidence is None else [("confidence", rounded(prediction.confidence))]
    return confidence if answer.abstain_below is None else [*confidence, ("abstained", int(prediction.abstained))]


def _ranked(prediction: Prediction) -> list[tuple[str, float]]:
    """Labels with their probabilities, the most probable first."""
    return [(label, rounded(p)) for label, p in sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])]


def _distinct(columns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"columns of predictions must differ, but a label has the name of another column: {twice!r}")
    return dict(columns)
