"""`tunery.json`: what an exported model needs to be loaded and used."""

from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, model_validator

from tunery.schema.results.decision import DecisionChange
from tunery.schema.results.record import Count, Record
from tunery.schema.results.run import DataRecord
from tunery.schema.results.study import EnsembleGain


class CardWeights(Record):
    """Which weights an exported folder holds."""

    step: Count
    """Optimizer step; 0 for an ensemble."""
    epoch: float = 0.0
    value: float | None = None
    """Objective on validation."""
    unfinished: bool = False
    """Whether training, or the study, may still have found better ones."""


class CardBlend(Record):
    """How the members of an ensemble answer as one."""

    weights: tuple[float, ...]
    cuts: tuple[tuple[float, ...] | None, ...] | None = None


class CardEnsemble(Record):
    """What an ensemble's folder says about its making."""

    method: str
    trials: tuple[Count, ...]
    gain: EnsembleGain | None
    """null where there were too few validation rows to measure it."""


CARD_FORMAT: Final = 2
"""Of `tunery.json`."""


class CardTask(Record):
    """What a model has learned to answer."""

    kind: str
    """`task.kind` of the config."""
    labels: tuple[str, ...] = ()
    """In the order of the model's numbers; empty where it gives none."""
    settings: dict[str, str] = {}
    """What its config leaves to the training rows, decided by them."""
    state: dict[str, Any] | None = None
    """What was fitted on validation besides the model. `thresholds`: probability per label from which it is given."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label is there twice")
        thresholds = (self.state or {}).get("thresholds")
        if thresholds is not None and (
            not isinstance(thresholds, list) or not all(isinstance(number, float | int) for number in thresholds)
        ):
            raise ValueError("thresholds are a list of numbers")
        if thresholds is not None and len(thresholds) != len(self.labels):
            raise ValueError(f"{len(thresholds)} thresholds for {len(self.labels)} labels")
        return self


class ModelCard(Record):
    """`tunery.json`: what an exported folder says about itself."""

    model_config = ConfigDict(extra="ignore")

    format: Annotated[int, Field(ge=1, le=CARD_FORMAT)]
    """Earlier versions wrote none, and `labels` and `thresholds` in place of `task`; theirs are read as format 1."""
    config: dict[str, Any]
    task: CardTask
    data: DataRecord | None = None
    """The rows that it was trained, chosen and scored on; null where an earlier version made it."""
    base: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]+|hub:.+@[^+]+)(\+[0-9a-f]+(@[0-9]+)?)*$")] | None = None
    """Digest of the base that it was trained on; null for an ensemble, whose members have one each."""
    weights: CardWeights
    blend: CardBlend | None = None
    """null for a single model."""
    decisions: tuple[DecisionChange, ...] = ()
    """Of `tunery threshold`, the last of which holds: `config` and `task.state` have what it says."""
    members: tuple[Annotated[str, Field(pattern=r"^members/[0-9]+$")], ...] = ()
    """Folders of an ensemble's members, within this one."""
    ensemble: CardEnsemble | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "format" in given:
            return given
        card = dict(given)
        kind, thresholds, labels = None, card.pop("thresholds", None), card.pop("labels", None)
        if isinstance(card.get("config"), dict) and isinstance(card["config"].get("task"), dict):
            kind = card["config"]["task"].get("kind")
        state = thresholds and {"thresholds": thresholds}
        return {**card, "format": 1, "task": {"kind": kind, "labels": labels, "state": state}}

    @model_validator(mode="after")
    def _blend_fits(self) -> Self:
        if self.blend is not None and not 0 < len(self.blend.weights) == len(self.members):
            raise ValueError(f"{len(self.blend.weights)} weights for {len(self.members)} members")
        return self
