"""What tasks share that give a text labels: one vector of logits a row."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tunery.baselines.targets import LinearTargets
from tunery.data.calibration import Fitted, calibrated, fit_calibration, probabilities_of, quality
from tunery.data.checks.check import Check
from tunery.data.checks.label_checks import QUICK_CHECKS
from tunery.data.examples import Example
from tunery.data.metrics import Floats, finite
from tunery.data.row_table import Array, RowTable
from tunery.errors import DataError, did_you_mean
from tunery.schema import RunConfig
from tunery.schema.config.task import CalibrationMethod, LabelOutput, Outputs
from tunery.tasks.task import State, Task

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.optim.objective import Objective

Numbers = npt.NDArray[Any]


def indicators(examples: Sequence[Example], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """1 where a row has a label, else 0: (rows, labels). Raises `DataError` for a label that is not among them."""
    position = {label: index for index, label in enumerate(labels)}
    result = np.zeros((len(examples), len(labels)), dtype=np.float32)
    for row, example in enumerate(examples):
        for label in example.labels:
            if label not in position:
                raise DataError(f"label {label!r} is unknown to the model; {did_you_mean(label, position)}")
            result[row, position[label]] = 1.0
    return result


class LabelTask(Task):
    """Answers are a column `logits` (rows, labels), the truth a column `labels` (`numbers`).

    The state are `thresholds`, the probability per label from which it is given, and `calibration`: what makes
    probabilities of logits, where it is no plain softmax or sigmoid (`data/calibration.py`).
    """

    quick_checks: ClassVar[Sequence[Check]] = QUICK_CHECKS
    problem: ClassVar[Literal["single_label", "multi_label"]]

    def __init__(self, labels: Sequence[str], *, calibration: CalibrationMethod = "none") -> None:
        super().__init__(labels)
        self.calibration = calibration

    @abstractmethod
    def numbers(self, examples: Sequence[Example]) -> Numbers:
        """Labels as numbers: int64 (rows,) or float32 (rows, labels). Raises `DataError` for an unknown label."""

    @property
    def outputs(self) -> Outputs:
        """Logits of the labels."""
        return {"labels": LabelOutput(labels=self.labels, problem=self.problem)}

    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """The labels of each row."""
        from tunery.data.batches import Targets

        return Targets({"labels": self.numbers(examples)})

    def truth(self, examples: Sequence[Example]) -> RowTable:
        """The labels of each row."""
        return RowTable({"labels": self.numbers(examples)})

    def label_numbers(self, truth: RowTable) -> Array | None:
        """The labels."""
        return truth["labels"]

    def labels_alone(self) -> Task:
        """This task."""
        return self

    def linear_targets(self, truth: RowTable) -> LinearTargets:
        """The labels."""
        return LinearTargets(self.problem, truth["labels"], len(self.labels))

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """The loss of the config, the mean over rows."""
        from tunery.optim.losses import make_loss
        from tunery.optim.objective import RowObjective

        loss = make_loss(
            config.task.loss,  # type: ignore[union-attr]
            problem=self.problem,
            targets=truth["labels"],
            labels=len(self.labels),
            smoothing=config.regularization.label_smoothing,
        )
        return RowObjective(loss)

    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        """The logits, float32."""
        return {"logits": list(outputs["labels"].cpu().numpy())}

    def untrained(self, truth: RowTable) -> RowTable:
        """All logits are 0."""
        return RowTable({"logits": np.zeros((len(truth), len(self.labels)))})

    def state_at(self, threshold: float) -> State:
        """The same threshold for all labels."""
        return {"thresholds": [threshold] * len(self.labels)}

    def fitted(self, answers: RowTable, truth: RowTable) -> Fitted:
        """The calibration that the spec asks for."""
        return fit_calibration(self.calibration, finite(answers["logits"]), truth["labels"], self.problem)

    def probabilities(self, answers: RowTable, state: State | None) -> Floats:
        """As they are told, (rows, labels)."""
        logits = calibrated(finite(answers["logits"]), (state or {}).get("calibration"))
        return probabilities_of(logits, self.problem)

    def calibration_metrics(self, raw: Floats, told: Floats, truth: RowTable) -> dict[str, Any]:
        """`ece` and `brier` of the probabilities that are told, and both forms beside one another.

        Args:
            raw: logits as the model gives them, (rows, labels).
            told: the same after calibration.
        """
        before = quality(raw, truth["labels"], self.problem)
        after = before if told is raw else quality(told, truth["labels"], self.problem)
        return {"ece": after["ece"], "brier": after["brier"], "probabilities": {"before": before, "after": after}}

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        """The labels that all rows got, where every row got the same although not every row has the same."""
        per_label = metrics["per_label"]
        alike = all(row["predicted"] in (0, rows) for row in per_label.values())
        differ = any(row["support"] not in (0, rows) for row in per_label.values())
        if not (alike and differ):
            return None
        return " and ".join(repr(name) for name, row in per_label.items() if row["predicted"] == rows) or "no label"
