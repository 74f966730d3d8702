"""Trained weights that are kept as an object become the model again that they were taken from."""

from dataclasses import dataclass, replace

from tunery.baselines.text_model import TextModel
from tunery.errors import DataError
from tunery.model.trainable import load_trainable
from tunery.schema import RunConfig
from tunery.schema.config.peft import WITHOUT_NETWORK
from tunery.schema.results.run import CheckpointRecord, DataRecord
from tunery.store.disk.run_lock import data_changes
from tunery.store.objects.objects import Objects
from tunery.train.artifacts.publish import LiveModel, live_model, live_text_model
from tunery.train.pretraining import recorded_pretraining
from tunery.train.setup.assemble import base_of, build_seeded, with_resolved_head
from tunery.train.setup.prepare import prepare


@dataclass(frozen=True)
class StoredWeights:
    """Weights of one epoch that are kept as an object, and what the model is built from that they belong to."""

    config: RunConfig
    record: CheckpointRecord
    objects: Objects
    data: DataRecord | None
    """The rows that they were trained on, where they are known."""
    base: str | None = None
    """Digest of the base that they were trained on, where it is known."""
    trust_remote_code: bool = False
    """Whether this call permits code that comes with the model."""

    def restore(self) -> LiveModel:
        """Build the model and give it the weights.

        Raises:
            RequestError: when data or base are not what they were.
            Damaged: when the object is missing or not what was written.
        """
        prepared = prepare(self.config, base=self.base, trust_remote_code=self.trust_remote_code)
        if self.data is not None and (changed := data_changes(self.data, prepared.record())):
            raise DataError(f"the weights were trained with other data: {changed}; put back what was there")
        if isinstance(self.config.peft, WITHOUT_NETWORK):
            tensors = self.objects.get(self.record.digest)
            model = TextModel.from_tensors({name: tensor.numpy() for name, tensor in tensors.items()})
            return live_text_model(model, prepared, self.config)
        base = recorded_pretraining(prepared.base, self.base, self.objects.root.parent)
        prepared, config = replace(prepared, base=base), with_resolved_head(self.config, prepared)
        built = build_seeded(config, prepared)
        load_trainable(built, self.objects.get(self.record.digest, reference=base_of(built, config, prepared)))
        return live_model(built, prepared, config)
