"""From a data file to a first config: what `tunery init` finds out by looking."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tunery.data.checks.label_checks import accuracy_of_one_label
from tunery.data.examples import RowReader
from tunery.data.first_config.evidence_columns import (
    annotated_posts,
    evidence_columns,
    guess_evidence,
    labels_beside,
    span_columns,
)
from tunery.data.first_config.label_columns import LabelColumns, given_labels, likely_labels
from tunery.data.first_config.profiles import Profile, is_group, is_id, is_split, profiles
from tunery.data.first_config.split_rows import SplitRows, split_rows
from tunery.data.first_config.template import TOLERABLE, Allowed, Guess, Kind, render, suggested_name
from tunery.data.first_config.text_columns import ColumnTable, text_columns, unused_texts
from tunery.data.first_config.texts_alone import LANGUAGE_MODELS, TextsAlone, texts_alone
from tunery.data.first_config.token_sample import MEASURED, Tokens, length_of_sample
from tunery.data.reading.annotated_sentences import POST
from tunery.data.reading.documents import DEFAULT
from tunery.data.reading.load import is_plain_text, read_file
from tunery.data.reading.source import Row
from tunery.data.reading.split_files import training_file
from tunery.data.splits import NamedRows
from tunery.errors import DataError, enumerated

__all__ = ["Guess", "Tokens", "guess", "render", "suggested_name"]

ENOUGH_GROUPS: Final = 20
"""Groups below which a split of whole groups would be lopsided."""


def guess(
    path: Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    kind: Kind | None = None,
    columns: tuple[str, ...] | None = None,
    encoding: str | None = None,
    allow: Collection[str] = (),
    tokens: Tokens | None = None,
) -> Guess:
    """Look at a data file and the files beside it, and say what they hold.

    Args:
        path: the training file, or its folder.
        text: column with the text, where it cannot be guessed; several that are joined are separated by commas.
        text_pair: column with the second text of a pair, likewise.
        label: column with the label or labels; several 0/1 columns are separated by commas.
        kind: the task, where the column fits more than one.
        columns: names of the columns of a file without header.
        encoding: of files of text, where it is not UTF-8.
        allow: findings that are accepted although they would stop a run (`data.allow`).
        tokens: counts the tokens of a sample; without it, they are estimated from words. Of texts without labels, its
            model is learned with where it fits the task, else the default of the task.

    Raises:
        DataError: nothing or too much looks like a text or a label, or the data would be refused by `tunery check`; it
            says what was seen and what to pass.
    """
    path = training_file(path)
    is_plain = is_plain_text(path)
    is_asked = kind in LANGUAGE_MODELS
    for flag, named in (("--label", label), ("--text-pair", text_pair)):
        if is_asked and named is not None:
            raise DataError(f"--kind {kind} learns texts alone, but {flag} names {named!r}; leave one of the two out")
    whole = DEFAULT if is_plain and is_asked else None
    content = read_file(path, columns=columns, encoding=encoding, documents=whole)
    table = ColumnTable(path, profiles(content.rows))
    given: tuple[Profile, ...] = ()
    if label:
        names = [label] if label in table.columns else [name.strip() for name in label.split(",")]
        given = tuple(table.column(name, "--label") for name in names)
    for name in (text, text_pair):
        if name is not None and name in [column.name for column in given]:
            raise DataError(f"--text and --label must name different columns, but both name {name!r}")
    split_column = next((column for column in table.columns.values() if is_split(column)), None)
    spans = span_columns(table.columns.values())
    has_mask = tokens is None or tokens.has_mask
    is_plain = is_plain and len(table.columns) == 1
    alone: TextsAlone | None = None
    annotated = None if given or spans or is_asked else annotated_posts(path, table, encoding)
    if is_asked or not (given or spans or annotated or text_pair):
        alone = texts_alone(table, content.rows, kind=kind, text=text, is_plain=is_plain, has_mask=has_mask)
    if alone is not None:
        texts, second = alone.columns, None
        if alone.documents != whole:
            content = read_file(path, columns=columns, encoding=encoding, documents=alone.documents)
        if has_mask != (alone.labels.kind == "mlm"):
            tokens = None
    else:
        texts, second = text_columns(table, content.rows, text, text_pair, besides=(*given, *spans))
    all_texts = [*texts, *([second] if second else [])]
    others = [c for c in table.columns.values() if c not in (*all_texts, *spans) and c is not split_column]
    possible = [c for c in others if not is_id(c)]
    if alone is not None:
        labels = alone.labels
    elif annotated is not None and len(all_texts) == 1 and kind in (None, "criteria_evidence"):
        labels = LabelColumns("criteria_evidence", (), annotated=annotated)
    else:
        labels = _labels(table, content.rows, given, possible, kind, spans=spans, texts=all_texts)
    unused = [column for column in others if column not in labels.columns]
    documents = None if alone is None else alone.documents
    splits = split_rows(
        path, content, labels, all_texts, split_column, columns=columns, encoding=encoding, documents=documents
    )
    shared, shared_most = _shared_texts(list(splits.rows.values()), all_texts if alone is None else ())
    text_names, second_name = [column.name for column in texts], second.name if second else None
    reader = labels.reader(texts[0])
    if reader.has_text:
        length = length_of_sample(_sample_texts(splits.rows, reader), ["text"], None, tokens)
    else:
        length = length_of_sample(splits.rows, text_names, second_name, tokens)
    has_classes = labels.is_single and labels.kind != "regression"
    lopsided = accuracy_of_one_label(splits.counts) if has_classes and splits.counts else None
    numbers = labels.columns[0].numbers if labels.kind == "regression" else ()
    evidence = None
    ids = [column.name for column in unused if is_id(column)]
    if labels.kind == "criteria_evidence":
        ids = [POST] if labels.annotated else [name for name in ids if _identifies(name, splits.rows, text_names)]
        evidence = guess_evidence(splits.rows, reader, labels, text=text_names[0])
    data_guess = Guess(
        kind=labels.kind,
        files=splits.files,
        rows=len(splits.rows["train"]),
        text=text_names[0] if len(texts) == 1 else tuple(text_names),
        text_pair=second_name,
        label=tuple(column.name for column in labels.columns),
        separator=labels.separator,
        evidence=evidence,
        alone=labels.alone,
        numbers=(min(numbers), max(numbers)) if numbers else None,
        ordinal=labels.ordinal,
        id=next(iter(ids), None),
        group=next((c.name for c in unused if is_group(c) and len(c.counts) >= ENOUGH_GROUPS), None),
        columns=columns,
        encoding=encoding,
        split=split_column.name if split_column else None,
        splits=tuple(splits.rows),
        counts=dict(splits.counts.most_common()),
        longest_input=tokens.longest if tokens else None,
        model=tokens.model if tokens else "gpt2" if labels.kind == "causal_lm" else None,
        tokens=length.tokens,
        is_measured=tokens is not None,
        allow=tuple(_allowed(splits, shared, shared_most, allow, is_alone=alone is not None)),
        tables=[
            NamedRows(name, str(file), content.rows if split_column else splits.rows[name])
            for name, file in splits.files.items()
        ],
        notes=(
            *labels.notes,
            *filter(None, [lopsided]),
            *(evidence.notes if evidence else ()),
            *splits.notes,
            *length.notes,
            *unused_texts(unused, texts),
        ),
    )
    if shared_most > TOLERABLE and "shared_rows" not in allow:
        raise DataError(
            f"a text may be in one split only, but {shared:,} rows are in two of {enumerated([*splits.rows])} (up to "
            f"{100 * shared_most:.1f} % of one): a score on them rewards learning by heart. Remove them, or accept "
            "them on purpose with --allow shared_rows"
        )
    return data_guess


def _labels(
    table: ColumnTable,
    rows: Sequence[Row],
    given: tuple[Profile, ...],
    possible: Sequence[Profile],
    kind: Kind | None,
    *,
    spans: Sequence[Profile],
    texts: Sequence[Profile],
) -> LabelColumns:
    """The columns of labels, and those of evidence where there are any and nothing else is asked for.

    Args:
        spans: columns of spans, as far as can be told without their text.
    """
    if wrong := next((column for column in given if column in spans), None):
        raise table.error(
            f"labels are names, but {wrong.name!r} holds ranges of characters of the text (evidence)",
            "Leave --label out: evidence is found by itself, and learned as task.kind=criteria_evidence",
        )
    evidence = evidence_columns(spans, texts[0]) if len(texts) == 1 else None
    if evidence is not None and kind in (None, "criteria_evidence"):
        return labels_beside(evidence, table, rows, given=given, possible=possible, text=texts[0])
    if kind == "criteria_evidence":
        raise table.error(
            "one column must hold the evidence of one text, as a list of [start, end] in characters or [start, end, "
            "label], but none does",
            "Give the file such a column, called `evidence`",
        )
    labels = given_labels(table, given, possible, kind) if given else likely_labels(table, possible, kind)
    if len(texts) > 1:
        why = "evidence is of one text in one column"
    else:
        why = "another task is asked for" if evidence else "they do not lie within the text"
    notes = [f"{column.name!r} holds ranges of characters and is not used: {why}" for column in spans]
    return labels._replace(notes=(*labels.notes, *notes))


def _identifies(column: str, splits: Mapping[str, Sequence[Row]], texts: Sequence[str]) -> bool:
    """Whether an id is that of one text, in all splits together; it is not where each file counts from 0."""
    first: dict[str, Any] = {}
    for row in (row for some in splits.values() for row in some):
        name, text = str(row.get(column) or "").strip(), row.get(texts[0])
        if name and first.setdefault(name, text) != text:
            return False
    return True


def _allowed(
    splits: SplitRows, shared: int, shared_most: float, asked: Collection[str], *, is_alone: bool
) -> Iterable[Allowed]:
    if shared:
        yield Allowed(
            "shared_rows",
            f"rows whose text is in two splits: {shared:,} (at most {100 * shared_most:.1f} % of one); delete it to be "
            "stopped by them",
        )
    if splits.unlabelled:
        yield Allowed("unlabelled", f"rows without a label are left out: {splits.unlabelled:,}")
    if splits.unseen:
        yield Allowed(
            "unseen_labels", f"rows with labels that train lacks are left out: {sum(splits.unseen.values()):,}"
        )
    for code in asked:
        if code not in ("shared_rows", "unlabelled", "unseen_labels") or is_alone:
            yield Allowed(code, "accepted by --allow")


def _sample_texts(splits: Mapping[str, Sequence[Row]], reader: RowReader) -> dict[str, list[Row]]:
    """Some rows from everywhere in each split, with the text that a reader makes of them."""
    samples = {name: rows[:: max(1, len(rows) // MEASURED)] for name, rows in splits.items()}
    return {name: [{"text": reader.read(row).text} for row in rows] for name, rows in samples.items()}


def _shared_texts(splits: Sequence[Sequence[Row]], columns: Sequence[Profile]) -> tuple[int, float]:
    """How many rows have a text that is in an earlier split too, and the largest share of a split that they are."""
    if len(splits) < 2 or not columns:
        return 0, 0.0
    seen: set[int] = set()
    copies, most = 0, 0.0
    for rows in splits:
        texts = (tuple(str(row.get(column.name)) for column in columns) for row in rows)
        keys = [hash(text) if text[0].strip() else None for text in texts]
        count = sum(key in seen for key in keys if key is not None)
        copies, most = copies + count, max(most, count / max(1, len(keys)))
        seen.update(key for key in keys if key is not None)
    return copies, most
