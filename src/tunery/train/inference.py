"""A finished model, loaded from disk: `load(path).predict([...])`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from tunery.data.encode import encode
from tunery.data.rows import Example
from tunery.data.splits import load_splits
from tunery.data.task import Logits, Targets, TaskView
from tunery.data.tasks import make_task
from tunery.errors import FolderError
from tunery.hardware import pick_device, pick_precision
from tunery.model.backbone import load_tokenizer
from tunery.model.catalog import Base
from tunery.model.export import load_exported
from tunery.schema import RunConfig
from tunery.schema.document import validate
from tunery.schema.results import Prediction
from tunery.train.scoring import logits_of

CARD = "tunery.json"
"""What an exported folder says about itself beside the ecosystem's own files."""

JACKKNIFE_BLOCKS = 50

Text = str | tuple[str, str]


@final
class Predictor:
    """A trained model with its tokenizer, labels and thresholds."""

    def __init__(
        self,
        module: nn.Module,
        tokenizer: Any,
        *,
        task: TaskView,
        config: RunConfig,
        thresholds: Sequence[float] | None,
    ) -> None:
        self.config = config
        self.task = task
        self.thresholds = None if thresholds is None else tuple(thresholds)
        self.device = pick_device()
        self.precision, _ = pick_precision(config.model.precision, self.device)
        self._module = module.to(self.device)
        self._tokenizer = tokenizer

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return self.task.labels

    def predict(self, texts: Sequence[Text]) -> list[Prediction]:
        """Label, or labels, and probabilities for every text; a pair is a tuple of two texts."""
        examples = [Example(text, None) if isinstance(text, str) else Example(*text) for text in texts]
        return self.task.decide(self.logits(examples), thresholds=self.thresholds) if examples else []

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Logits:
        """Logits, float32 (rows, labels)."""
        encoded = encode(examples, self._tokenizer, max_length=self.config.model.max_length)
        return logits_of(
            self._module,
            encoded,
            pad_id=self._tokenizer.pad_token_id,
            batch_size=self.config.train.eval_batch_size,
            device=self.device,
            precision=precision or self.precision,
        )

    def score(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Metrics on labelled rows, with the thresholds that were tuned on validation."""
        return self._metrics(self.logits(examples), self.task.targets(examples))

    def jackknife(self, examples: Sequence[Example]) -> tuple[dict[str, Any], tuple[float | None, ...]]:
        """The same, and the objective without each block of rows in turn (Efron & Tibshirani 1993, chapter 11).

        Row i is in block i modulo their number, so that the blocks of all runs on the same rows are the same.
        """
        logits, targets = self.logits(examples), self.task.targets(examples)
        block = np.arange(len(examples)) % JACKKNIFE_BLOCKS
        left_out = [block != number for number in range(min(JACKKNIFE_BLOCKS, len(examples)))]
        values = [self._metrics(logits[rest], targets[rest])[self.config.objective] for rest in left_out if rest.any()]
        return self._metrics(logits, targets), tuple(values)

    def _metrics(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        return self.task.metrics(logits, targets, thresholds=self.thresholds)


def load(path: str | Path) -> Predictor:
    """Load the model of a run folder, a study folder or an exported `best/` folder.

    Raises:
        FolderError: when there is no finished model in `path`.
    """
    folder = exported_in(Path(path))
    card = read_card(folder)
    module = load_exported(folder, model_spec=card.config.model, peft=card.config.peft, head=card.task.head())
    return Predictor(
        module, tokenizer_of(folder, card.config), task=card.task, config=card.config, thresholds=card.thresholds
    )


@dataclass(frozen=True)
class Card:
    """What an exported folder says about itself."""

    config: RunConfig
    task: TaskView
    thresholds: Sequence[float] | None
    step: int
    """The optimizer step that its weights are of."""


def read_card(folder: Path) -> Card:
    """Read `tunery.json`."""
    told = json.loads((folder / CARD).read_text(encoding="utf-8"))
    config = validate(told["config"], source=str(folder / CARD))
    return Card(config, make_task(config.task, told["labels"]), told["thresholds"], told["weights"]["step"])


def tokenizer_of(folder: Path, config: RunConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of an exported folder."""
    return load_tokenizer(
        Base(str(folder), str(folder), None, local=True, trust_remote_code=config.model.trust_remote_code)
    )


def exported_in(path: Path) -> Path:
    """The exported folder that `path` is or holds.

    Raises:
        FolderError: when there is none; the message says why.
    """
    for folder in (path, path / "best"):
        if (folder / CARD).is_file():
            return folder
    if not path.exists():
        raise FolderError(f"there is no folder {str(path)!r}")
    raise FolderError(f"a finished model is needed, but {str(path)!r} {_state(path)}")


def _state(path: Path) -> str:
    """Why there is no model."""
    if (path / "result.json").exists():
        return "holds only the records of a run; of a study or comparison, the best model alone is kept, in its best/"
    begun = (path / "config.yaml").exists()
    return "is unfinished; run the same command again to resume it" if begun else "holds none"


def evaluate(path: str | Path, split: str = "test") -> dict[str, Any]:
    """Metrics of a finished model on one split (`train`, `validation`, `test`) of its own data."""
    predictor = load(path)
    data = predictor.config.data
    splits = load_splits(data, predictor.config.task, seed=data.seed)
    return predictor.score({part.name: part for part in splits}[split].examples)
