"""`tunery.json`: what an exported folder says about itself, as objects."""

from dataclasses import dataclass
from pathlib import Path

from tunery.errors import FolderError
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.card import ModelCard
from tunery.schema.results.run import DataRecord
from tunery.store.exported import CARD
from tunery.store.records import read_record
from tunery.tasks.table import make_task
from tunery.tasks.task import State, Task
from tunery.train.ensembles.combination import Combination


@dataclass(frozen=True)
class Card:
    """What an exported folder says about itself."""

    config: RunConfig
    task: Task
    state: State | None
    """What the task fitted on validation."""
    data: DataRecord | None
    """The rows that it was trained, chosen and scored on; None where an earlier version made it."""
    base: str | None
    """Digest of the base that it was trained on; None for an ensemble, whose members have one each."""
    step: int
    """The optimizer step that its weights are of; 0 for an ensemble."""
    combination: Combination | None
    """How an ensemble's members answer as one; None for a single model."""
    members: tuple[str, ...]
    """Folders of an ensemble's members, within this one."""

    @property
    def is_of_stages_alone(self) -> bool:
        """Whether it is the model of continued pretraining (`tunery.pretrain`), which has no test split."""
        return self.data is not None and not self.data.splits["test"].rows and self.config.data.folds is None


def read_card(folder: Path) -> Card:
    """Read `tunery.json`.

    Raises:
        FolderError: it is missing, or not what was written there.
        ConfigError: the config in it breaks a rule.
    """
    record = read_record(folder / CARD, ModelCard)
    if record is None:
        raise FolderError(f"an exported folder must hold {CARD}, but {str(folder)!r} does not")
    config = validate(record.config, source=str(folder / CARD))
    return Card(
        config=config,
        task=make_task(config.task, record.task.labels, record.task.settings),
        state=record.task.state,
        data=record.data,
        base=record.base,
        step=record.weights.step,
        combination=None if record.blend is None else Combination(record.blend.weights, record.blend.cuts),
        members=record.members,
    )
