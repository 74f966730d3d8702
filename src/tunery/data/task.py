"""The seam between the data and one task.

`splits` asks it how labels are read; `train` asks it for the head, targets, thresholds, metrics and answers.
A view holds names and numbers only: it must not know files, tokens or models.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunery.data.rows import Example
from tunery.schema.data import Data
from tunery.schema.results import Prediction
from tunery.schema.task import HeadSpec

Logits = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[Any]
Thresholds = tuple[float, ...]


@dataclass(frozen=True)
class LabelReader:
    """How the labels of a row are read."""

    columns: tuple[tuple[str, str], ...]
    """Pairs of config key and column, for every column that must be there."""
    read: Callable[[dict[str, Any]], tuple[str, ...]]
    """Row -> label names; raises `BadCell`."""


class TaskView(ABC):
    """One task with its labels in the order of the model's outputs."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels: tuple[str, ...] = tuple(labels)

    @classmethod
    @abstractmethod
    def build(cls, spec: Any, *, labels: Sequence[str]) -> "TaskView":
        """The view for a task's spec."""

    @staticmethod
    @abstractmethod
    def label_reader(data: Data) -> LabelReader:
        """How this task reads labels from a row."""

    @abstractmethod
    def head(self) -> HeadSpec:
        """What the model's head must answer."""

    @abstractmethod
    def targets(self, examples: Sequence[Example]) -> Targets:
        """Labels as numbers: int64 (rows,) or float32 (rows, labels). Raises `DataError` for an unknown label."""

    @abstractmethod
    def calibrate(self, logits: Logits, targets: Targets) -> Thresholds | None:
        """Probability per label from which it is given, or None where the task has none.

        To be called with validation only: thresholds found on test would flatter it.
        """

    def tuned_metrics(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """`metrics` of the very rows that thresholds are tuned on, as fair as on other rows."""
        return self.metrics(logits, targets, thresholds=None)

    @abstractmethod
    def metrics(self, logits: Logits, targets: Targets, *, thresholds: Thresholds | None) -> dict[str, Any]:
        """Every metric that `schema.metrics.METRICS` lists for the task, and per-label detail.

        logits: (rows, labels). A metric that is undefined on these rows is None.
        Raises `NonFiniteLoss` where a logit is NaN or infinite.
        """

    @abstractmethod
    def row_losses(self, logits: Logits, targets: Targets) -> npt.NDArray[np.float64]:
        """Plain cross-entropy of each row, (rows,); `metrics` gives their mean as `loss`."""

    @abstractmethod
    def decide(self, logits: Logits, *, thresholds: Thresholds | None) -> list[Prediction]:
        """The answer for each row of logits (rows, labels).

        A label is given from its threshold on; where only one can be given, that is the most probable.
        """

    @staticmethod
    @abstractmethod
    def label_columns(prediction: Prediction, data: Data) -> dict[str, Any]:
        """The labels of a prediction as columns of a row, in the form in which `data` has them."""
