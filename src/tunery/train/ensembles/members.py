"""Trials of a study as members of an ensemble: their weights, and what they answer on validation."""

import gc
from collections.abc import Hashable
from dataclasses import dataclass
from typing import final

import torch

from tunery.data.row_table import RowTable
from tunery.schema import RunConfig
from tunery.schema.results.run import CheckpointRecord, DataRecord
from tunery.store.objects.objects import Objects
from tunery.train.artifacts.restore import Restored, restore
from tunery.train.artifacts.verify import ROWS
from tunery.train.predict.inference import Network


@final
@dataclass(frozen=True)
class Member:
    """A trial whose weights are kept, and its answers."""

    trial: int
    config: RunConfig
    record: CheckpointRecord
    objects: Objects
    data: DataRecord | None
    """The rows that it was trained, chosen and is compared on."""
    answers: RowTable
    """On all validation rows."""
    probes: RowTable
    """On the first of them, in fp32."""
    shape: Hashable
    """Equal for members whose weights have the same base, names and shapes."""
    base: str | None = None
    """Digest of the base that it was trained on, where it is known."""
    trust_remote_code: bool = False
    """Whether code that comes with the model is permitted."""

    def restored(self) -> Restored:
        """The model, built again."""
        return restore(
            self.config,
            self.record,
            self.objects,
            data=self.data,
            base=self.base,
            trust_remote_code=self.trust_remote_code,
        )


def member_of(
    trial: int,
    config: RunConfig,
    record: CheckpointRecord,
    objects: Objects,
    *,
    data: DataRecord | None,
    base: str | None = None,
    trust_remote_code: bool = False,
) -> Member:
    """Restore a trial's model, ask it about validation, and let it go: one model is in memory at a time.

    Args:
        base: digest of the base that the trial was trained on, where it is known.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        RequestError: when data or base are not what they were.
        Damaged: when the weights are missing or not what was written.
    """
    model = restore(config, record, objects, data=data, base=base, trust_remote_code=trust_remote_code)
    network = network_of(model)
    rows = model.prepared.splits.validation.examples
    answers, probes = network.answers(rows), network.answers(rows[:ROWS], precision="fp32")
    named, trainable = dict(model.built.module.named_parameters()), sorted(model.built.trainable)
    shape = model.built.base_digest, tuple((name, tuple(named[name].shape)) for name in trainable)
    del model, network
    gc.collect()  # models are full of cycles
    torch.cuda.empty_cache()
    return Member(trial, config, record, objects, data, answers, probes, shape, base, trust_remote_code)


def network_of(model: Restored) -> Network:
    """A restored model, to be asked."""
    return Network(model.built.module, model.prepared.tokenizer, config=model.config, task=model.prepared.task)
