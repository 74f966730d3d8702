"""Predictions for the rows of a file."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunery.data.cells import BadCell, text_of
from tunery.data.load import read_rows
from tunery.errors import DataError, did_you_mean
from tunery.schema.data import Data
from tunery.schema.results import Prediction
from tunery.store.files import write_text
from tunery.train.inference import Text, load


def predict_file(run: Path, source: Path, target: Path) -> int:
    """Label every row of `source`, in order, into `target` (csv, tsv or jsonl). Returns the number of rows.

    Raises:
        DataError: when a row has no text, or the output's suffix is unknown.
    """
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise DataError(f"predictions are written as {', '.join(_WRITERS)}, but got {target.name!r}")
    rows = read_rows(source)
    predictor = load(run)
    columns = predictor.config.data
    texts = [_text(row, columns, position) for position, row in enumerate(rows, start=1)]
    predictions = predictor.predict(texts)
    write_text(target, write([_record(row, p, columns) for row, p in zip(rows, predictions, strict=True)]))
    return len(rows)


def _text(row: Mapping[str, Any], columns: Data, position: int) -> Text:
    text = _cell(row, columns.text, position)
    return text if columns.text_pair is None else (text, _cell(row, columns.text_pair, position))


def _cell(row: Mapping[str, Any], column: str, position: int) -> str:
    if column not in row:
        raise DataError(
            f"the input needs the column {column!r}, but row {position} has none; {did_you_mean(column, row)}"
        )
    try:
        return text_of(row[column])
    except BadCell as problem:
        raise DataError(f"row {position} of the input: column {column!r} {problem}") from problem


def _record(row: Mapping[str, Any], prediction: Prediction, columns: Data) -> dict[str, Any]:
    identity = {columns.id: row.get(columns.id)} if columns.id is not None else {}
    answer = {"label": prediction.label} if prediction.label is not None else {"labels": list(prediction.labels)}
    return {**identity, **answer, "probabilities": prediction.probabilities}


def _jsonl(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    labels = {"labels": json.dumps(record["labels"], ensure_ascii=False)} if "labels" in record else {}
    probabilities = {f"p_{label}": value for label, value in record["probabilities"].items()}
    rest = {key: value for key, value in record.items() if key not in ("labels", "probabilities")}
    return {**rest, **labels, **probabilities}


def _table(delimiter: str, records: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    flat = [_flat(record) for record in records]
    writer = csv.DictWriter(buffer, fieldnames=list(flat[0]) if flat else [], delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


_WRITERS: dict[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
    ".jsonl": _jsonl,
    ".csv": lambda records: _table(",", records),
    ".tsv": lambda records: _table("\t", records),
}
