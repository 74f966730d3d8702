"""Trained weights that are kept as an object become the model again that they were taken from."""

from dataclasses import dataclass

from tunery.errors import DataError
from tunery.model.build import Built
from tunery.model.trainable import load_trainable
from tunery.schema import RunConfig
from tunery.schema.results.run import CheckpointRecord, DataRecord
from tunery.store.disk.run_lock import data_changes
from tunery.store.objects.objects import Objects
from tunery.train.setup.assemble import base_of, build_seeded
from tunery.train.setup.prepare import Prepared, prepare


@dataclass(frozen=True)
class Restored:
    """A model as it was at the end of one epoch."""

    config: RunConfig
    prepared: Prepared
    built: Built


def restore(
    config: RunConfig,
    record: CheckpointRecord,
    objects: Objects,
    *,
    data: DataRecord | None,
    base: str | None = None,
    trust_remote_code: bool = False,
) -> Restored:
    """Build the model of a config and give it the weights of a record.

    Args:
        data: the rows that the weights were trained on, where they are known.
        base: digest of the base that they were trained on, where it is known.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        RequestError: when data or base are not what they were.
        Damaged: when the object is missing or not what was written.
    """
    prepared = prepare(config, base=base, trust_remote_code=trust_remote_code)
    if data is not None and (changed := data_changes(data, prepared.record())):
        raise DataError(f"the weights were trained with other data: {changed}; put back what was there")
    built = build_seeded(config, prepared)
    load_trainable(built, objects.get(record.digest, reference=base_of(built, config, prepared)))
    return Restored(config, prepared, built)
