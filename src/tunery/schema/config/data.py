"""Where the rows come from and what their columns mean."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Spec

Fraction = Annotated[float, Field(gt=0, lt=0.5)]
Documents = Literal["line", "paragraph", "file"]
FinalModel = Literal["refit", "ensemble", "best_fold"]
Allowance = Literal[
    "single_class",
    "shared_rows",
    "unseen_labels",
    "unknown_tokens",
    "same_tokens",
    "unlabelled",
    "conflicting_labels",
    "score_labels",
]


class Data(Spec):
    """Files or a Hub data set, the columns, and how missing splits are split off from train."""

    dataset: str | None = None
    """Hub data set id. With it, `train`, `validation` and `test` name its splits, as `split` or `config/split`, or
    files of it, by their suffix."""
    revision: str | None = None
    """Commit of the Hub data set; required with `dataset`, so that a run can be repeated."""
    train: str
    """Training rows: a csv, tsv, jsonl, json, parquet, xlsx, txt or conll file, also packed as .gz; or a split name."""
    validation: str | None = None
    """Validation rows; split off from train when missing."""
    test: str | None = None
    """Test rows; split off from train when missing."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of files that have no header, in their order; a first line of such names is one."""
    encoding: str | None = None
    """Encoding of files of text, such as cp1252; null: UTF-8, or what a byte order mark says."""
    split: str | None = None
    """Column of `train` that says which split a row is of: train, validation or test, or another usual name of one."""
    text: str | tuple[str, ...] = "text"
    """Column with the text; or a list of columns, whose texts are joined by the separator of the tokenizer."""
    text_pair: str | None = None
    """Column with the second text of a pair."""
    documents: Documents | None = None
    """What is one text in files of plain text (txt, md and whatever is no table), for language models: a line, a
    paragraph (blank lines are between them), or the whole file. Null: the whole file."""
    prompt: str | tuple[str, ...] | None = None
    """Column with what the model is asked, in place of `text` (causal_lm); it comes with `completion`. Or a list of
    columns, which are joined by a blank line; empty cells are left out."""
    completion: str | None = None
    """Column with how the prompt should go on."""
    between: str = ""
    """What is put between prompt and completion, such as a line break; nothing else is."""
    messages: str | None = None
    """Column with a conversation, in place of `text` (causal_lm): a list of `{"role", "content"}`, or its JSON text.
    Roles are an optional `system`, then `user` and `assistant` in turn."""
    label: str = "label"
    """Column with the label (classification), or with the number (regression)."""
    labels: str | tuple[str, ...] | None = "labels"
    """Any number of labels: the column with a list of label names, or a list of columns, one per label, that hold 0 and
    1, or no and yes; the model's labels are then in this order. Null, with evidence only: a row has the labels of its
    spans, and a span that names none is of the label `evidence`."""
    label_separator: str = "|"
    """What separates the names where a `labels` column is a plain string (csv, tsv)."""
    evidence: str | None = None
    """Column with the spans of the text that are evidence of a label: a list of `[start, end]`, `[start, end, label]`
    or `{"start", "end", "label"}`, or of the numbers of all characters, or its JSON text. Characters (code points) are
    counted from 0; `end` is the first after the span. A span without label is of the only label of its row."""
    rejected: str | None = None
    """Column with the spans that look like evidence of a label and are not, as an expert says; written like `evidence`.
    They are learned from as such, and give no label."""
    annotations: str | tuple[str, ...] | None = None
    """Files of annotated sentences in the layout of ReDSM5, in place of columns of labels and evidence: `post_id`,
    `sentence_text`, `DSM5_symptom`, `status` (1: evidence; 0: rejected) and maybe `sentence_id`. They are joined with
    the rows of all splits by `data.id`. With `dataset`: files of it, or its splits, also as `config/split`."""
    ignore_labels: tuple[str, ...] = ()
    """Labels that are left out of rows, with their evidence, such as SPECIAL_CASE in ReDSM5 (with evidence only)."""
    id: str | None = None
    """Column that identifies a row; it is copied into predictions."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of splitting off; apart from the run's seed, so that runs with other seeds see the same rows."""
    group: str | None = None
    """Column whose equal values never fall into two splits of one file (author, patient, document)."""
    validation_size: Fraction = 0.1
    """Share of the training rows that is split off for validation when there is no such split."""
    test_size: Fraction = 0.1
    """Share of the training rows that is split off for test when there is no such split."""
    folds: Annotated[int, Field(ge=2, le=50)] | None = None
    """Cross-validation: the training rows are shared out to so many folds, and each fold is held out once, from a model
    that is trained on the others. The score is that of all held-out rows. Null: one split."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often rows are shared out to folds, each time anew."""
    final: FinalModel = "refit"
    """What the exported model is after cross-validation: `refit`, one that is trained as without folds; `ensemble`, the
    models of all folds together; `best_fold`, the one with the best score on the rows that were held out from it."""
    fold: Annotated[int, Field(ge=0, lt=5000)] | None = None
    """The one fold to train, whose rows are then `test`; null: all. Folds are counted from 0, through all repeats."""
    part: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training rows of one fold that are trained on, with their share of every label; a smaller part is
    within a larger one. `tunery curve --train` sets it."""
    part_seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Which rows a part has."""
    allow: tuple[Allowance, ...] = ()
    """Findings of `tunery check` that would stop the run and are accepted here on purpose; with `unlabelled`, rows that
    have no label are left out and counted."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of the text, one or several."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @property
    def prompt_columns(self) -> tuple[str, ...]:
        """The columns of the prompt, one or several."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt or ()

    @property
    def annotation_files(self) -> tuple[str, ...]:
        """The files of annotated sentences, or splits on the Hub."""
        return (self.annotations,) if isinstance(self.annotations, str) else self.annotations or ()

    @property
    def all_folds(self) -> int:
        """Folds of all repeats; 0 without cross-validation."""
        return (self.folds or 0) * self.repeats

    @property
    def cross_validates(self) -> bool:
        """Whether all folds are trained."""
        return self.folds is not None and self.fold is None

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read, or splits on the Hub, train first."""
        named = (self.train, self.validation, self.test, *self.annotation_files)
        return tuple(name for name in named if name is not None)
