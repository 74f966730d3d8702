"""What is known of a data set at first sight, and the first config written from it: every line says why it is there."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, Literal, NamedTuple

from tunery.data.first_config.descriptions import DESCRIPTIONS
from tunery.data.splits import NamedRows
from tunery.errors import enumerated
from tunery.schema.config.data import Documents
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.train import AUTO_EPOCHS, AUTO_STEPS
from tunery.schema.reading.yaml_text import yaml_line

Kind = Literal["classification", "multilabel", "criteria_evidence", "regression", "causal_lm", "mlm"]
LENGTHS: Final = (64, 128, 256, 512)
TOLERABLE = 0.02
"""Share of shared rows in a split up to which the config accepts them, in a line that says so."""
_FEW_ROWS: Final = 5000
"""Of training, up to which cross-validation is named."""
SHOWN = 5
COLUMN: Final = 34
"""Where the comments begin."""
WIDTH: Final = 110


class Allowed(NamedTuple):
    """A finding that the config accepts, and why."""

    code: str
    why: str


@dataclass(frozen=True)
class EvidenceGuess:
    """What the evidence of a data set seems to be."""

    column: str | None
    """The column of the spans; None: they are in files of annotated sentences."""
    rejected: str | None
    """The column of the spans that an expert rejected."""
    exclusive: bool
    """Whether every row has exactly one label."""
    unit: Literal["token", "sentence"]
    whole: float
    """Share of the spans of train that are whole sentences."""
    annotation: Literal["exhaustive", "partial"]
    why: str
    """What speaks for `annotation`."""
    files: tuple[Path, ...] = ()
    """Files of annotated sentences."""
    ignored: tuple[str, ...] = ()
    """Names in them that are no labels."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the choices made."""
        if self.annotation == "partial":
            other = "exhaustive if annotators marked all of it"
        else:
            other = "partial if annotators marked only some of it"
        return (
            f"{100 * self.whole:.0f} % of the spans in train are whole sentences: task.unit is {self.unit}, so that "
            f"evidence is made of {'sentences' if self.unit == 'sentence' else 'words'}",
            f"{self.why}. task.annotation is {self.annotation}; write {other}",
        )


@dataclass(frozen=True)
class TextGuess:
    """Where texts without labels seem to be; all None: in a column of texts."""

    documents: Documents | None = None
    """What is one text in files of plain text."""
    prompt: str | tuple[str, ...] | None = None
    completion: str | None = None
    messages: str | None = None
    """Columns."""
    between: str = ""
    """What is put between prompt and completion."""

    @property
    def has_turns(self) -> bool:
        """Whether rows say what is asked and how it is answered."""
        return self.prompt is not None or self.messages is not None


@dataclass(frozen=True)
class Guess:
    """What a data file seems to hold."""

    kind: Kind
    files: Mapping[str, Path]
    """Split name to file; `train` is always there."""
    rows: int
    """Rows of train."""
    text: str | tuple[str, ...]
    """The column of the text, or those that are joined."""
    text_pair: str | None
    label: tuple[str, ...]
    """The label column; several 0/1 columns for a multilabel task written that way."""
    separator: str | None
    """What separates several names in one cell."""
    id: str | None
    group: str | None
    counts: Mapping[str, int]
    """Rows of train per label, the most frequent first."""
    tokens: int
    """Of a row that is longer than 95 % of a sample, special tokens included."""
    is_measured: bool
    """Whether a tokenizer counted them; else they are estimated from words."""
    evidence: EvidenceGuess | None = None
    """Of the task criteria_evidence."""
    alone: TextGuess | None = None
    """Of language models."""
    numbers: tuple[float, float] | None = None
    """The least and the greatest of train (regression)."""
    ordinal: bool = False
    """Whether these are levels in an order, which `counts` has."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without header."""
    encoding: str | None = None
    split: str | None = None
    """The column that says which split a row is of."""
    splits: tuple[str, ...] = ("train",)
    """The splits that there are; others are split off from train."""
    model: str | None = None
    """The model whose tokenizer counted; None: the default."""
    longest_input: int | None = None
    """Tokens that it has positions for; None: it is not known to have fewer than are asked for."""
    allow: tuple[Allowed, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user should know about the choices made."""
    tables: list[NamedRows] = field(default_factory=list, repr=False)
    """What the files have, train first; whoever needs it last takes it out, since it may be a gigabyte."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of the text."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @property
    def seen(self) -> str:
        """The labels there are, or what is in their place, in words."""
        if self.alone is not None:
            return "what is asked, and how it is answered" if self.alone.has_turns else "texts alone"
        if self.ordinal:
            levels = sorted(self.counts.items(), key=lambda item: float(item[0]))
            return f"{len(levels)} levels: {enumerated([f'{level} {count:,}' for level, count in levels], 2 * SHOWN)}"
        if self.numbers is not None:
            return f"numbers from {self.numbers[0]:g} to {self.numbers[1]:g}"
        return _most_frequent(self.counts)

    @property
    def length(self) -> str:
        """What 95 % of the rows do not exceed, in words."""
        return f"{'' if self.is_measured else 'about '}{self.tokens:,} tokens"

    @property
    def longest(self) -> str:
        """What is known of long rows, in words."""
        if self.alone is not None and not self.fits:
            return f"texts of more than {self.max_length} tokens are read in windows"
        return f"95 % of the rows have at most {self.length}"

    @property
    def max_length(self) -> int:
        """Tokens that leave 95 % of the rows whole, up to 512 or what the model reads."""
        most = self.longest_input or LENGTHS[-1]
        read = [length for length in LENGTHS if length <= most] or [most]
        return next((length for length in read if length >= self.tokens), read[-1])

    @property
    def fits(self) -> bool:
        """Whether 95 % of the rows stay whole at `max_length`."""
        return self.tokens <= self.max_length

    @property
    def batch_size(self) -> int:
        """Rows per step: 16, or fewer of those that are read in several windows, so that a step has about 16, and 8
        where evidence is of words (docs/evidence.md, "Figures")."""
        if self.evidence is None or self.fits:
            return 16
        stride = self.max_length - self.max_length // 4
        windows = 1 + math.ceil((self.tokens - self.max_length) / stride)
        most, least = (8, 2) if self.evidence.unit == "token" else (16, 4)
        return next(rows for rows in (16, 8, 4, 2) if rows * windows <= most or rows == least)

    def explain(self) -> tuple[str, ...]:
        """What was seen, in lines for people."""
        beside = ", ".join(f"{split} {file.name}" for split, file in self.files.items() if split != "train")
        if self.split:
            beside = f"{', '.join(self.splits)} by the column {self.split}"
        without = ", ".join(split for split in ("validation", "test") if split not in self.splits)
        columns: dict[str, str | None] = {"text": ", ".join(self.texts), "text_pair": self.text_pair}
        columns["label"] = ", ".join(self.label)
        if self.alone is not None and self.alone.has_turns:
            prompt = self.alone.prompt if isinstance(self.alone.prompt, str | None) else ", ".join(self.alone.prompt)
            columns = {"prompt": prompt, "completion": self.alone.completion, "messages": self.alone.messages}
        if self.evidence is not None:
            columns["evidence"] = self.evidence.column or ", ".join(file.name for file in self.evidence.files)
        columns |= {"id": self.id, "group": self.group}
        return (
            f"rows:    {self.rows:,} in {self.files['train'].name}",
            f"splits:  {'; '.join(filter(None, [beside, without and f'{without} split off from train']))}",
            f"task:    {self.kind}, {self.seen}",
            f"columns: {', '.join(f'{key} = {name}' for key, name in columns.items() if name)}",
            f"length:  {self.longest}: max_length {self.max_length}",
            *(f"note:    {note}" for note in self.notes),
        )

    def summary(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        files = {split: str(file) for split, file in self.files.items()}
        allow = {code: why for code, why in self.allow}
        guessed = asdict(replace(self, tables=[]))
        del guessed["tables"]
        if self.evidence is not None:
            guessed["evidence"]["files"] = [str(file) for file in self.evidence.files]
        return {**guessed, "files": files, "max_length": self.max_length, "allow": allow}


def _most_frequent(counts: Mapping[str, int]) -> str:
    named = enumerated([f"{yaml_line(name)} {count:,}" for name, count in counts.items()], SHOWN)
    return f"{len(counts)} label{'' if len(counts) == 1 else 's'}: {named}"


def render(guess: Guess, folder: Path, *, name: str | None = None) -> str:
    """A commented YAML config that `load_config` accepts.

    Args:
        folder: where the config will be written; data below it is named relative to it.
        name: the config's file name without `.yaml`; it also names the run.
    """
    name = name or suggested_name(guess)
    sections = (_task(guess), _data(guess, folder), _model(guess), _pretrain(guess), _peft(), _optim(), _train(guess))
    written = ["\n".join(section) for section in (_head(guess, name), *sections)]
    return "\n".join(filter(None, written)).rstrip() + "\n"


def suggested_name(guess: Guess) -> str:
    """The name of the file, or of its folder where the file is called train."""
    path = guess.files["train"].resolve()
    stem = re.sub(r"(?i)(?<![a-z])(train|training|trn)(?![a-z])", "", path.stem).strip("._- ") or path.parent.name
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"


def _head(guess: Guess, name: str) -> Iterator[str]:
    yield f"# tunery train {name}.yaml --out runs/{name}"
    yield "#"
    yield from wrap(
        f"{guess.rows:,} {'row' if guess.rows == 1 else 'rows'}, {guess.seen}.",
        width=WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
    )
    for note in guess.notes:
        yield f"# Note: {' '.join(note.split())}."
    yield f"# Look at the data first with: tunery check {name}.yaml"
    yield "# A line with a range is for: tunery search; it replaces the line above it."
    yield ""
    yield _line(f"name: {yaml_line(name)}", "shown in reports")
    yield _line("seed: 0", "every random choice is keyed by it")
    yield ""


def _task(guess: Guess) -> Iterator[str]:
    yield "task:"
    if guess.evidence is not None:
        yield from _evidence_task(guess.evidence, guess.counts)
    elif guess.alone is not None:
        yield from _language_task(guess)
    elif guess.kind == "classification":
        yield _line("  kind: classification", "every text has exactly one label")
    elif guess.kind == "regression":
        yield from _number_task(guess)
    else:
        yield _line("  kind: multilabel", "a text has any number of labels")
        yield _line("  threshold: per_label", "one per label, found on validation; or one number, say 0.5")
    yield ""


def _language_task(guess: Guess) -> Iterator[str]:
    if guess.kind == "mlm":
        yield _line("  kind: mlm", "hidden tokens are told from those around them")
        yield _line("  masking: token", "or whole_word, or span: what is hidden together")
        yield _line("  probability: 0.15", "share of the tokens that are to be told")
        yield _line("  # probability: {low: 0.15, high: 0.4}", "range")
        return
    yield _line("  kind: causal_lm", "the next token is told from those before it")
    yield _line("  packing: true", "short texts share a sequence, and none sees another")
    if guess.alone is not None and guess.alone.has_turns:
        yield _line("  completion_only: true", "answers are learned, what is asked is read")


def _number_task(guess: Guess) -> Iterator[str]:
    yield _line("  kind: regression", "every text has a number")
    if guess.ordinal:
        yield _line("  ordinal: true", "one of a few levels in an order; false learns any number")
    else:
        yield _line("  # loss: huber", "counts numbers that are far off less than mse, the default, does")
        yield _line("  # loss: [mse, huber]", "range")
    yield _line("  coverage: 0.9", "share of new rows whose number its interval should hold")


def _evidence_task(evidence: EvidenceGuess, labels: Collection[str]) -> Iterator[str]:
    yield _line("  kind: criteria_evidence", "labels, and the parts of a text that justify them")
    if evidence.exclusive:
        yield _line("  exclusive: true", "every text has exactly one label")
        yield _line("  loss: ce", "softmax over the labels")
    unit = "sentences" if evidence.unit == "sentence" else "words"
    yield _line(f"  unit: {evidence.unit}", f"decides of {unit}: {100 * evidence.whole:.0f} % of spans are sentences")
    meaning = (
        "all evidence is marked" if evidence.annotation == "exhaustive" else "what is not marked may be evidence too"
    )
    yield _line(f"  annotation: {evidence.annotation}", meaning)
    if evidence.unit == "token":
        yield _line("  lambda_class: 0.5", "weight of the loss of the labels")
        yield _line("  lambda_span: 2.0", "that of the evidence; words need more of it than sentences")
    described = {label: DESCRIPTIONS[label] for label in labels if label in DESCRIPTIONS}
    mark = "" if described else "# "
    yield _line(f"  {mark}criteria:", "what each label means: rare labels begin with it")
    for label in described or [*labels][:SHOWN]:
        description = yaml_line(described.get(label, "a sentence that is true where it is given"))
        yield f"  {mark}  - {{label: {yaml_line(label)}, description: {description}}}"


def _data(guess: Guess, folder: Path) -> Iterator[str]:
    yield "data:"
    for split, why in {"train": "", "validation": "chooses the best epoch", "test": "read once, at the end"}.items():
        if split in guess.files:
            yield _line(f"  {split}: {yaml_line(_relative(guess.files[split], folder))}", why)
        elif split not in guess.splits:
            yield _line(f"  {split}_size: 0.1", f"share of train; there is no {split} file. {why[0].upper()}{why[1:]}")
    if guess.split:
        yield _line(f"  split: {yaml_line(guess.split)}", "the column that says train, validation or test")
    if guess.columns:
        yield _line(f"  columns: {_listed(guess.columns)}", "the file has no header")
    if guess.encoding:
        yield f"  encoding: {yaml_line(guess.encoding)}"
    if guess.alone is not None and guess.alone.has_turns:
        for key in ("prompt", "completion", "messages"):
            if (name := getattr(guess.alone, key)) is not None:
                yield f"  {key}: {yaml_line(name) if isinstance(name, str) else _listed(name)}"
        if guess.alone.between:
            yield _line(f"  between: {yaml_line(guess.alone.between)}", "between the two, where no white space is")
    else:
        text = yaml_line(guess.text) if isinstance(guess.text, str) else _listed(guess.text)
        yield _line(f"  text: {text}", guess.longest)
    if guess.alone is not None and guess.alone.documents is not None:
        yield _line(f"  documents: {guess.alone.documents}", "a file is one text; or paragraph, or line")
    if guess.text_pair:
        yield _line(f"  text_pair: {yaml_line(guess.text_pair)}", "the second text of each pair")
    if guess.alone is None:
        yield from _labels(guess)
    if guess.evidence is not None:
        yield from _evidence(guess.evidence, folder)
    if guess.id:
        yield _line(f"  id: {yaml_line(guess.id)}", "copied into predictions")
    if guess.group and len(guess.splits) < 3:
        yield _line(f"  group: {yaml_line(guess.group)}", "rows that share it stay together when a split is split off")
    if guess.allow:
        codes = ", ".join(allowed.code for allowed in guess.allow)
        yield _line(f"  allow: [{codes}]", "; ".join(allowed.why for allowed in guess.allow))
    if guess.alone is None and guess.rows <= _FEW_ROWS:
        yield _line("  # folds: 5", "holds every row out once: a score of all rows, for five times the training")
    yield ""


def _labels(guess: Guess) -> Iterator[str]:
    names = [yaml_line(name) for name in guess.label]
    evidence = guess.evidence
    if evidence is not None and evidence.files:
        return
    if guess.kind in ("classification", "regression") or (evidence is not None and evidence.exclusive):
        yield f"  label: {names[0]}"
    elif not names:
        yield _line("  labels: null", "a text has the labels of its evidence")
    elif len(names) > 1:
        yield _line(f"  labels: {_listed(guess.label)}", "a column of 0 and 1, or no and yes, for each")
    else:
        yield _line(f"  labels: {names[0]}", "" if guess.separator else "a list of names per row")
    if guess.separator:
        yield _line(f"  label_separator: {yaml_line(guess.separator)}", "between the names in a cell")


def _evidence(evidence: EvidenceGuess, folder: Path) -> Iterator[str]:
    if evidence.files:
        files = tuple(_relative(file, folder) for file in evidence.files)
        yield _line("  annotations:", "annotated sentences, joined with the posts by their id")
        yield from (f"    - {yaml_line(file)}" for file in files)
    if evidence.ignored:
        yield _line(f"  ignore_labels: {_listed(evidence.ignored)}", "no symptom: left out")
    if evidence.column is not None:
        yield _line(f"  evidence: {yaml_line(evidence.column)}", "spans in characters, [start, end] or with a label")
    if evidence.rejected is not None:
        yield _line(f"  rejected: {yaml_line(evidence.rejected)}", "spans that an expert says are no evidence")


def _model(guess: Guess) -> Iterator[str]:
    yield "model:"
    if guess.model in (None, "minilm"):
        yield _line("  name: minilm", "small and quick; `tunery models` lists others")
    else:
        yield f"  name: {yaml_line(guess.model)}"
    plain = guess.evidence is None and guess.alone is None
    most = "tokens, the most this model reads" if guess.alone is None else "tokens of a sequence"
    long = f"{most}; {'long rows are cut' if plain else 'longer texts are read in windows'}"
    yield _line(f"  max_length: {guess.max_length}", "tokens; enough for 95 % of the rows" if guess.fits else long)
    if plain and not guess.ordinal:
        own = "the architecture's own, which plain transformers loads; default: one linear layer"
        yield _line("  # head: native", own)
    yield ""


def _pretrain(guess: Guess) -> Iterator[str]:
    if guess.alone is None:
        yield _line(
            "# pretrain: {tapt: {}}", "first learns from the training texts, without their labels; takes longer"
        )
        yield ""


def _peft() -> Iterator[str]:
    lora = Lora()
    yield "peft:"
    yield _line("  method: lora", "trains a few small matrices; `full` trains every weight")
    yield _line("  # method: [lora, full]", "range")
    yield _line(f"  r: {lora.r}", "rank of the update: more learns more, and costs more")
    yield _line("  # r: [4, 8, 16, 32]", "range")
    yield _line(f"  alpha: {lora.alpha:g}", "the update counts alpha / r times")
    yield ""


def _optim() -> Iterator[str]:
    lora, full = Lora.default_lr, NoPeft.default_lr
    yield "optim:"
    yield "  name: adamw"
    yield _line(f"  # lr: {_number(lora)}", f"the default of lora with adamw; that of full is {_number(full)}")
    yield _line(f"  # lr: {{low: {_number(full / 2)}, high: {_number(2 * lora)}, log: true}}", "range")
    yield ""


def _train(guess: Guess) -> Iterator[str]:
    yield "train:"
    least, most = AUTO_EPOCHS
    steps = f"as many as make {AUTO_STEPS[0]} steps, {least} to {most}"
    yield _line("  epochs: auto", f"{steps}; the best epoch is kept, not the last")
    yield _line("  # epochs: {low: 2, high: 8}", "range")
    meaning = "memory is bounded apart, by micro_batch_tokens"
    if guess.batch_size < 16:
        meaning = "each is read in several windows"
    yield _line(f"  batch_size: {guess.batch_size}", f"rows per step; {meaning}")
    yield _line(f"  # batch_size: [{guess.batch_size // 2}, {guess.batch_size}, {2 * guess.batch_size}]", "range")


def _relative(file: Path, folder: Path) -> str:
    path, root = file.resolve(), folder.resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _listed(names: tuple[str, ...]) -> str:
    return f"[{', '.join(map(yaml_line, names))}]"


def _line(code: str, comment: str) -> str:
    return f"{code:<{COLUMN}}  # {comment}" if comment else code


def _number(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"
