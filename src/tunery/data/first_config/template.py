"""What is known of a data set at first sight, and the first config written from it: every line says why it is there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, Literal, NamedTuple

from tunery.data.splits import NamedRows
from tunery.errors import enumerated
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.train import AUTO_EPOCHS, AUTO_STEPS
from tunery.schema.reading.yaml_text import yaml_line

Kind = Literal["classification", "multilabel"]
LENGTHS: Final = (64, 128, 256, 512)
TOLERABLE = 0.02
"""Share of shared rows in a split up to which the config accepts them, in a line that says so."""
SHOWN = 5
COLUMN: Final = 34
"""Where the comments begin."""
WIDTH: Final = 110


class Allowed(NamedTuple):
    """A finding that the config accepts, and why."""

    code: str
    why: str


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
    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without header."""
    encoding: str | None = None
    split: str | None = None
    """The column that says which split a row is of."""
    splits: tuple[str, ...] = ("train",)
    """The splits that there are; others are split off from train."""
    model: str | None = None
    """The model whose tokenizer counted; None: the default."""
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
    def length(self) -> str:
        """What 95 % of the rows do not exceed, in words."""
        return f"{'' if self.is_measured else 'about '}{self.tokens:,} tokens"

    @property
    def max_length(self) -> int:
        """Tokens that leave 95 % of the rows whole, up to 512."""
        return next((length for length in LENGTHS if length >= self.tokens), LENGTHS[-1])

    @property
    def fits(self) -> bool:
        """Whether 95 % of the rows stay whole at `max_length`."""
        return self.tokens <= self.max_length

    def explain(self) -> tuple[str, ...]:
        """What was seen, in lines for people."""
        beside = ", ".join(f"{split} {file.name}" for split, file in self.files.items() if split != "train")
        if self.split:
            beside = f"{', '.join(self.splits)} by the column {self.split}"
        without = ", ".join(split for split in ("validation", "test") if split not in self.splits)
        columns = {"text": ", ".join(self.texts), "text_pair": self.text_pair, "label": ", ".join(self.label)}
        columns |= {"id": self.id, "group": self.group}
        return (
            f"rows:    {self.rows:,} in {self.files['train'].name}",
            f"splits:  {'; '.join(filter(None, [beside, without and f'{without} split off from train']))}",
            f"task:    {self.kind}, {_most_frequent(self.counts)}",
            f"columns: {', '.join(f'{key} = {name}' for key, name in columns.items() if name)}",
            f"length:  95 % of the rows have at most {self.length}: max_length {self.max_length}",
            *(f"note:    {note}" for note in self.notes),
        )

    def summary(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        files = {split: str(file) for split, file in self.files.items()}
        allow = {code: why for code, why in self.allow}
        guessed = asdict(replace(self, tables=[]))
        del guessed["tables"]
        return {**guessed, "files": files, "max_length": self.max_length, "allow": allow}


def _most_frequent(counts: Mapping[str, int]) -> str:
    return (
        f"{len(counts)} labels: {enumerated([f'{yaml_line(name)} {count:,}' for name, count in counts.items()], SHOWN)}"
    )


def render(guess: Guess, folder: Path, *, name: str | None = None) -> str:
    """A commented YAML config that `load_config` accepts.

    Args:
        folder: where the config will be written; data below it is named relative to it.
        name: the config's file name without `.yaml`; it also names the run.
    """
    name = name or suggested_name(guess)
    sections = (_task(guess), _data(guess, folder), _model(guess), _peft(), _optim(), _train())
    return "\n".join(["\n".join(_head(guess, name)), *("\n".join(section) for section in sections)]).rstrip() + "\n"


def suggested_name(guess: Guess) -> str:
    """The name of the file, or of its folder where the file is called train."""
    path = guess.files["train"].resolve()
    stem = re.sub(r"(?i)(?<![a-z])(train|training|trn)(?![a-z])", "", path.stem).strip("._- ") or path.parent.name
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"


def _head(guess: Guess, name: str) -> Iterator[str]:
    yield f"# tunery train {name}.yaml --out runs/{name}"
    yield "#"
    yield from wrap(
        f"{guess.rows:,} training rows, {_most_frequent(guess.counts)}.",
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
    if guess.kind == "classification":
        yield _line("  kind: classification", "every text has exactly one label")
    else:
        yield _line("  kind: multilabel", "a text has any number of labels")
        yield _line("  threshold: tuned", "one per label, found on validation; or one number, say 0.5")
    yield ""


def _data(guess: Guess, folder: Path) -> Iterator[str]:
    yield "data:"
    for split, why in {"train": "", "validation": "chooses the best epoch", "test": "read once, at the end"}.items():
        if split in guess.files:
            file, root = guess.files[split].resolve(), folder.resolve()
            path = file.relative_to(root) if file.is_relative_to(root) else file
            yield _line(f"  {split}: {yaml_line(path.as_posix())}", why)
        elif split not in guess.splits:
            yield _line(f"  {split}_size: 0.1", f"share of train; there is no {split} file. {why[0].upper()}{why[1:]}")
    if guess.split:
        yield _line(f"  split: {yaml_line(guess.split)}", "the column that says train, validation or test")
    if guess.columns:
        yield _line(f"  columns: {_listed(guess.columns)}", "the file has no header")
    if guess.encoding:
        yield f"  encoding: {yaml_line(guess.encoding)}"
    text = yaml_line(guess.text) if isinstance(guess.text, str) else _listed(guess.text)
    yield _line(f"  text: {text}", f"95 % of the rows have at most {guess.length}")
    if guess.text_pair:
        yield _line(f"  text_pair: {yaml_line(guess.text_pair)}", "the second text of each pair")
    yield from _labels(guess)
    if guess.id:
        yield _line(f"  id: {yaml_line(guess.id)}", "copied into predictions")
    if guess.group and len(guess.splits) < 3:
        yield _line(f"  group: {yaml_line(guess.group)}", "rows that share it stay together when a split is split off")
    if guess.allow:
        codes = ", ".join(allowed.code for allowed in guess.allow)
        yield _line(f"  allow: [{codes}]", "; ".join(allowed.why for allowed in guess.allow))
    yield ""


def _labels(guess: Guess) -> Iterator[str]:
    names = [yaml_line(name) for name in guess.label]
    if guess.kind == "classification":
        yield f"  label: {names[0]}"
    elif len(names) > 1:
        yield _line(f"  labels: {_listed(guess.label)}", "a column of 0 and 1, or no and yes, for each")
    else:
        yield _line(f"  labels: {names[0]}", "" if guess.separator else "a list of names per row")
    if guess.separator:
        yield _line(f"  label_separator: {yaml_line(guess.separator)}", "between the names in a cell")


def _model(guess: Guess) -> Iterator[str]:
    yield "model:"
    if guess.model in (None, "minilm"):
        yield _line("  name: minilm", "small and quick; `tunery models` lists others")
    else:
        yield f"  name: {yaml_line(guess.model)}"
    yield _line(
        f"  max_length: {guess.max_length}",
        "tokens; enough for 95 % of the rows" if guess.fits else "tokens, the most this model reads; long rows are cut",
    )
    yield _line("  # head: native", "the architecture's own, which plain transformers loads; default: one linear layer")
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


def _train() -> Iterator[str]:
    yield "train:"
    least, most = AUTO_EPOCHS
    steps = f"as many as make {AUTO_STEPS[0]} steps, {least} to {most}"
    yield _line("  epochs: auto", f"{steps}; the best epoch is kept, not the last")
    yield _line("  # epochs: {low: 2, high: 8}", "range")
    yield _line("  batch_size: 16", "rows per step; memory is bounded apart, by micro_batch_tokens")
    yield _line("  # batch_size: [8, 16, 32]", "range")


def _listed(names: tuple[str, ...]) -> str:
    return f"[{', '.join(map(yaml_line, names))}]"


def _line(code: str, comment: str) -> str:
    return f"{code:<{COLUMN}}  # {comment}" if comment else code


def _number(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"
