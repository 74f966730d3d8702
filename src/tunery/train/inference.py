"""A finished model or ensemble, loaded from disk: `load(path).predict([...])`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from tunery.data.carve import text_key
from tunery.data.encode import encode
from tunery.data.given import Text, examples_from
from tunery.data.rows import Example, Split, Splits
from tunery.data.task import Logits, Targets, TaskView
from tunery.data.tasks import make_task
from tunery.data.worst_rows import worst_rows
from tunery.errors import DataError, FolderError, RequestError
from tunery.hardware import pick_device, pick_precision
from tunery.model.backbone import load_tokenizer
from tunery.model.catalog import exported_base
from tunery.model.export import load_exported
from tunery.schema import RunConfig
from tunery.schema.document import validate
from tunery.schema.results import DataRecord, ModelCard, Prediction, WorstRows
from tunery.store.claim import data_changes
from tunery.store.exported import CARD, exported_in
from tunery.store.records import read_record
from tunery.store.study import ignore
from tunery.train.blend import Blend
from tunery.train.prepare import current_splits, data_record
from tunery.train.scoring import logits_of

JACKKNIFE_BLOCKS = 50

_SHOWN = 10
"""Labels that a predictor names when it is printed."""


class Answers(Protocol):
    """Where logits come from: one model, or several."""

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Logits:
        """Logits (rows, labels), computed in `precision` if it is given."""


@final
class Network:
    """A model with its tokenizer, on the device."""

    def __init__(self, module: nn.Module, tokenizer: Any, *, config: RunConfig) -> None:
        self._config = config
        self._device = pick_device()
        self._precision, _ = pick_precision(config.model.precision, self._device)
        self._module = module.to(self._device)
        self._tokenizer = tokenizer

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Logits:
        """Logits, float32 (rows, labels); in the config's precision where none is given."""
        return logits_of(
            self._module,
            encode(examples, self._tokenizer, max_length=self._config.model.max_length),
            pad_id=self._tokenizer.pad_token_id,
            batch_size=self._config.train.eval_batch_size,
            device=self._device,
            precision=precision or self._precision,
        )


@final
class Ensemble:
    """Several models that answer as one; each has a tokenizer and a length of its own."""

    def __init__(self, members: Sequence[Answers], blend: Blend, *, problem: str) -> None:
        self._members = tuple(members)
        self._blend = blend
        self._problem = problem

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Logits:
        """Logits, float64 (rows, labels), of the blended probabilities."""
        each = [member.logits(examples, precision=precision) for member in self._members]
        return self._blend(each, problem=self._problem)


@final
class Predictor:
    """A trained model or ensemble with its labels and thresholds."""

    def __init__(
        self, model: Answers, *, task: TaskView, config: RunConfig, thresholds: Sequence[float] | None
    ) -> None:
        """Args:
        config: of the model; of an ensemble, that of its best member.
        """
        self.config = config
        self.task = task
        self.thresholds = None if thresholds is None else tuple(thresholds)
        self._model = model

    def __repr__(self) -> str:
        config, names = self.config, ", ".join(map(repr, self.labels[:_SHOWN]))
        more = f" and {len(self.labels) - _SHOWN} more" if len(self.labels) > _SHOWN else ""
        return (
            f"<Predictor: {config.task.kind} of {config.model.name}, peft={config.peft.method}; labels {names}{more}>"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return self.task.labels

    def predict(self, texts: str | Iterable[Text], *, threshold: float | None = None) -> list[Prediction]:
        """Label, or labels, and probabilities for every text, in order.

        Args:
            texts: one text; or any iterable of texts, or of pairs of texts where the model was trained on pairs: a
                list, a generator, an array, a Series.
            threshold: probability from which a label is given; None: as the model was trained to decide.

        Raises:
            DataError: when something is no text, or no pair; the message says at which position.
            RequestError: when the threshold is no probability.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise RequestError(f"a threshold is a probability from 0 to 1, but got {threshold}")
        return self.answer(examples_from(texts, pairs=self.config.data.text_pair is not None), threshold=threshold)

    def answer(self, examples: Sequence[Example], *, threshold: float | None = None) -> list[Prediction]:
        """The same for rows."""
        thresholds = self.thresholds if threshold is None else (threshold,) * len(self.labels)
        return self.task.decide(self.logits(examples), thresholds=thresholds) if examples else []

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Logits:
        """Logits (rows, labels)."""
        return self._model.logits(examples, precision=precision)

    def score(
        self, examples: Sequence[Example], *, logits: Logits | None = None, tuned_on_them: bool = False
    ) -> dict[str, Any]:
        """Metrics on labelled rows, with the thresholds that were tuned on validation.

        Args:
            logits: those of the rows, where they are known already.
            tuned_on_them: whether these are the rows that thresholds were tuned on; then each part of them is judged
                by thresholds of the others.
        """
        logits, targets = self.logits(examples) if logits is None else logits, self.task.targets(examples)
        return self.task.tuned_metrics(logits, targets) if tuned_on_them else self._metrics(logits, targets)

    def jackknife(self, examples: Sequence[Example], logits: Logits) -> tuple[dict[str, Any], tuple[float | None, ...]]:
        """Metrics on rows whose logits are known, and the objective without each block of them in turn.

        Delete-a-group jackknife (Efron & Tibshirani 1993, chapter 11).
        Row i is in block i modulo their number, so that the blocks of all runs on the same rows are the same.
        """
        targets = self.task.targets(examples)
        block = np.arange(len(examples)) % JACKKNIFE_BLOCKS
        left_out = [block != number for number in range(min(JACKKNIFE_BLOCKS, len(examples)))]
        values = [self._metrics(logits[rest], targets[rest])[self.config.objective] for rest in left_out if rest.any()]
        return self._metrics(logits, targets), tuple(values)

    def worst_rows(self, split: Split, logits: Logits, *, texts: bool) -> WorstRows:
        """The rows of a split, whose logits are known, that are answered worst; without `texts`, none of their text."""
        return worst_rows(self.task, split, logits, thresholds=self.thresholds, texts=texts)

    def _metrics(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        return self.task.metrics(logits, targets, thresholds=self.thresholds)


def load(path: str | Path, *, trust_remote_code: bool = False) -> Predictor:
    """Load the model of a run folder, a study folder, an exported `best/` folder or an ensemble's folder.

    Args:
        trust_remote_code: permits code that comes with the model. Without it, a folder that asks for such code is
            refused, whatever its own files say.

    Raises:
        FolderError: when there is no finished model in `path`.
        ModelError: when the model cannot be loaded, or needs code that this call does not permit.
    """
    folder = exported_in(Path(path))
    card, read = read_card(folder), partial(_network, trust_remote_code=trust_remote_code)
    model = read(folder, card) if card.blend is None else _ensemble(folder, card, card.blend, read)
    return Predictor(model, task=card.task, config=card.config, thresholds=card.thresholds)


def _network(folder: Path, card: "Card", *, trust_remote_code: bool) -> Network:
    tokenizer = tokenizer_of(folder, card.config, trust_remote_code=trust_remote_code)
    module = load_exported(
        folder,
        model_spec=card.config.model,
        peft=card.config.peft,
        head=card.task.head(),
        tokenizer=tokenizer,
        base=card.base,
        trust_remote_code=trust_remote_code,
    )
    return Network(module, tokenizer, config=card.config)


def _ensemble(folder: Path, card: "Card", blend: Blend, read: Callable[[Path, "Card"], Network]) -> Ensemble:
    members = [read(folder / name, read_card(folder / name)) for name in card.members]
    return Ensemble(members, blend, problem=card.task.head().problem)


@dataclass(frozen=True)
class Card:
    """What an exported folder says about itself."""

    config: RunConfig
    task: TaskView
    thresholds: Sequence[float] | None
    data: DataRecord | None
    """The rows that it was trained, chosen and scored on; None where an earlier version made it."""
    base: str | None
    """Digest of the base that it was trained on; None for an ensemble, whose members have one each."""
    step: int
    """The optimizer step that its weights are of; 0 for an ensemble."""
    blend: Blend | None
    """How an ensemble's members answer as one; None for a single model."""
    members: tuple[str, ...]
    """Folders of an ensemble's members, within this one."""


def read_card(folder: Path) -> Card:
    """Read `tunery.json`.

    Raises:
        FolderError: it is missing, or not what was written there.
        ConfigError: the config in it breaks a rule.
    """
    told = read_record(folder / CARD, ModelCard)
    if told is None:
        raise FolderError(f"an exported folder must hold {CARD}, but {str(folder)!r} does not")
    config = validate(told.config, source=str(folder / CARD))
    blend = None if told.blend is None else Blend(**dict(told.blend))
    task = make_task(config.task, told.labels)
    return Card(config, task, told.thresholds, told.data, told.base, told.weights.step, blend, told.members)


def tokenizer_of(folder: Path, config: RunConfig, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of an exported folder."""
    return load_tokenizer(exported_base(folder, config.model, trust_remote_code=trust_remote_code))


def evaluate(
    path: str | Path,
    split: str = "test",
    *,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Metrics of a finished model on one split (`train`, `validation`, `test`) of its own data.

    Args:
        say: is told where a file has changed since, and the rows that are scored are others than after training.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        DataError: when a split cannot be read, or rows that the model was trained on may be in it.
    """
    predictor = load(path, trust_remote_code=trust_remote_code)
    card = read_card(exported_in(Path(path)))
    splits = current_splits(card.config)
    if card.data is None:
        say("an earlier version made this model and did not record its rows: whether they are the same is not known")
    if changed := _refuse_trained_rows(card, splits, split):
        say(f"the data has changed since training: {changed}; these scores are of what is there now")
    rows: Split = getattr(splits, split)
    return predictor.score(rows.examples, tuned_on_them=split == "validation" and not changed)


def _refuse_trained_rows(card: "Card", splits: Splits, split: str) -> str:
    """What has changed about the rows of a split that may be scored all the same, in words; empty where nothing has.

    A file of its own may have been mended or extended, as long as it holds no training row; a carved split is drawn
    from the training file, and another file gives another draw.

    Raises:
        DataError: when training rows are in it, or nobody can know whether they are.
    """
    if card.data is None:
        return ""
    now = data_record(splits)
    changed = data_changes(card.data, now, names=[split])
    if not changed or split == "train":
        return changed
    restore = "put back the data that it was trained on"
    if getattr(card.config.data, split) is None:
        raise DataError(
            f"{changed}: it is carved from a file that has changed, so training rows may be in it; {restore}"
        )
    if training := data_changes(card.data, now, names=["train"]):
        raise DataError(f"{changed}; {training}: whether training rows are in it cannot be told any more; {restore}")
    known, rows = {text_key(example) for example in splits.train.examples}, getattr(splits, split).examples
    if twice := sum(text_key(example) in known for example in rows):
        raise DataError(f"{changed}, and {twice:,} of them are training rows; remove them, or {restore}")
    return changed


def trained_rows(path: str | Path, examples: Sequence[Example]) -> str:
    """What to say of rows that a finished model was trained on, or why that is not known; empty where none are."""
    card = read_card(exported_in(Path(path)))
    unknown = "whether the model was trained on some of these rows could not be looked at"
    if card.data is None:
        return f"{unknown}: an earlier version made this model and did not record its rows"
    try:
        splits = current_splits(card.config)
    except RequestError as error:
        return f"{unknown}: {error}"
    if changed := data_changes(card.data, data_record(splits), names=["train"]):
        return f"{unknown}: {changed}"
    known = {text_key(example) for example in splits.train.examples} - {""}
    seen = sum(text_key(example) in known for example in examples)
    count = f"{seen:,} of these {len(examples):,} rows"
    return f"warning: the model was trained on {count}, which makes the scores too good; remove them" if seen else ""
