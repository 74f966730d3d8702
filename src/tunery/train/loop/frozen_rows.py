"""Steps and scores that begin above the frozen layers: whether they may, and what they read in place of these."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tunery.data.batches import pad
from tunery.errors import Interrupted, ModelError
from tunery.model.frozen_part import FrozenPart, Inputs, frozen_part
from tunery.schema.config.regularization import NoAdversary
from tunery.schema.results.run import FrozenLayers
from tunery.schema.sizes import size_text
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.loop.features import NoRoom, RowFeatures
from tunery.train.predict.scoring import autocast
from tunery.train.setup.assemble import Assembled
from tunery.train.signals import Signals

ReadOften = Literal["train", "validation"]
"""A split whose rows are read in every epoch."""

_READS: Final = 2
"""Epochs from which on it pays to keep what no other run will read."""


@final
class FrozenRows:
    """What the frozen part of a run's model gives of its rows, computed when it is first asked for.

    What a run has begun with is what it goes on with, because the last bits of its steps depend on it.
    """

    def __init__(
        self, run: Assembled, store: StudyStore, folder: RunFolder, *, before: FrozenLayers | None, signals: Signals
    ) -> None:
        """Args:
        before: what earlier processes of the run have kept; None: there was none.
        """
        self._run = run
        self._store = store
        self._signals = signals
        self._shared = folder.path.resolve() != store.features.root.resolve()
        self._splits: dict[ReadOften, _Split] = {}
        self._began = before is not None
        changed = _changed_rows(run)
        splits: tuple[ReadOften, ...] = ("validation",) if changed else ("train", "validation")
        if before is not None and not before.splits:
            self._part, self.record = None, before
        elif isinstance(found := _part_of(run, split=splits[0], shared=self._shared), str):
            self._part, self.record = None, FrozenLayers(why=found)
        else:
            kept: Literal["token states", "text vectors"] = "token states" if found.per_token else "text vectors"
            begun = FrozenLayers(layers=found.layers, kept=kept, splits=splits, why=changed or "")
            self._part, self.record = found, before or begun

    def answers(self, split: ReadOften, features: Sequence[int], inputs: Inputs) -> Mapping[str, Tensor] | None:
        """What the model answers about some sequences of tokens; None where it has to read them itself.

        Args:
            features: their numbers in the split.
            inputs: what it would read.

        Raises:
            Interrupted: something asked to leave while they were computed.
        """
        if self._part is None or split not in self.record.splits:
            return None
        try:
            return self._part.answers(self._of(split, self._part).of(features), inputs)
        except NoRoom:
            self._give_up(split, "the disk has no room for what they give")
        except ModelError as error:
            self._give_up(split, str(error))
        return None

    def _of(self, split: ReadOften, part: FrozenPart) -> "_Split":
        """Rows of a fold are computed with those of all folds, so that these share them."""
        if split not in self._splits:
            prepared = self._run.prepared
            rows, encoded, numbers = prepared.splits.in_pool.get(split), prepared.encoded[split], None
            if prepared.pool is not None and rows is not None:
                encoded, numbers = prepared.pool, np.concatenate(prepared.pool.features_of(rows))
            known = (other.rows for other in self._splits.values() if other.rows.encoded is encoded)
            features = next(known, None) or RowFeatures(
                self._run, part, encoded, self._store, shared=self._shared, stopping=self._leave_if_asked
            )
            self._splits[split] = _Split(features, numbers)
            distinct = {id(each.rows): each.rows.bytes for each in self._splits.values()}
            self.record = self.record.model_copy(update={"bytes": sum(distinct.values())})
            if not (self._shared or self._began):
                self._store.say(f"{split}: {_announced(self.record)} {size_text(features.bytes)}")
        return self._splits[split]

    def _give_up(self, split: ReadOften, why: str) -> None:
        """Have the model read the rows of a split itself from now on."""
        if self._began or self._splits[split].was_read:
            self._store.say(f"frozen layers are computed in every step from here on, as {why}: last digits may differ")
        splits = tuple(name for name in self.record.splits if name != split)
        self.record = self.record.model_copy(update={"splits": splits, "why": why})

    def _leave_if_asked(self) -> None:
        if self._signals.stop_requested():
            raise Interrupted(f"{self._signals.by} came while frozen layers were computed; the same command goes on")


@final
class _Split:
    """The rows of a split, by their numbers in it."""

    def __init__(self, rows: RowFeatures, numbers: npt.NDArray[np.int64] | None) -> None:
        """Args:
        numbers: of these rows among those that are computed together; None: they are the same.
        """
        self.rows = rows
        self.was_read = False
        self._numbers = numbers

    def of(self, features: Sequence[int]) -> Tensor:
        """As `RowFeatures.of`."""
        states = self.rows.of(features if self._numbers is None else self._numbers[list(features)].tolist())
        self.was_read = True
        return states


def _announced(record: FrozenLayers) -> str:
    which = "the first layer is" if record.layers == 1 else f"the first {record.layers} layers are"
    return f"{which} not trained, so their {record.kept} are computed once and kept:"


def _changed_rows(run: Assembled) -> str | None:
    """Why what the model reads of a training row is not the same in every epoch, if it is not."""
    rule, prepared = run.config.regularization, run.prepared
    if run.augmenter is not None:
        return "regularization.augmentation changes training rows"
    if rule.token_dropout:
        return "regularization.token_dropout hides other tokens of training rows in every epoch"
    if not isinstance(rule.adversarial, NoAdversary):
        return "regularization.adversarial changes the embeddings of training rows"
    if prepared.task.masking(run.config.task, prepared.tokenizer) is not None:
        return "training hides other tokens in every epoch"
    return None


def _part_of(run: Assembled, *, split: ReadOften, shared: bool) -> FrozenPart | str:
    """The part that is worth computing once, or why there is none; it is tried on rows of a split."""
    if run.config.train.cache_frozen_layers == "off":
        return "train.cache_frozen_layers=off"
    if run.config.model.quantization == "int8":
        return "8-bit layers round by what else is in the batch"
    if not shared and run.steps < _READS * len(run.batches):
        return "no row is read twice"
    encoded = run.prepared.encoded[split]
    by_length = np.argsort(encoded.lengths, kind="stable")
    sample = [int(by_length[len(by_length) // 2]), int(by_length[0])]
    inputs = pad(encoded, sample, pad_id=run.prepared.tokenizer.pad_token_id)
    with autocast(run.device, run.precision):
        part = frozen_part(run.built, {name: tensor.to(run.device) for name, tensor in inputs.items()})
    if not isinstance(part, str) and part.per_token and run.device.type != "cpu":
        return "token states are kept for CPUs alone: a GPU would wait for them"
    return part
