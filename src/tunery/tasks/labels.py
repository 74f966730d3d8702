"""What tasks share that give a text labels: one vector of logits a row."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from tunery.baselines.targets import LinearTargets
from tunery.data.calibration import quality
from tunery.data.checks.check import Check
from tunery.data.checks.label_checks import QUICK_CHECKS
from tunery.data.examples import Example
from tunery.data.metrics import Floats, finite
from tunery.data.row_table import Array, RowTable
from tunery.errors import DataError, did_you_mean
from tunery.schema import RunConfig
from tunery.schema.config.task import LabelOutput, Outputs
from tunery.tasks.decisions import Decided, Decisions
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


def decision_metrics(decisions: Decisions, raw: Floats, decided: Decided, targets: Numbers) -> dict[str, Any]:
    """`ece` and `brier` of the probabilities that are told, both forms of them beside one another, and the `cost` of a
    row where errors have costs.

    Args:
        raw: logits as the model gives them, (rows, labels).
        targets: as `Decisions` takes them.
    """
    before = quality(raw, targets, decisions.problem)
    after = before if decided.logits is raw else quality(decided.logits, targets, decisions.problem)
    cost = decisions.cost(decided.given, targets)
    return {
        "ece": after["ece"],
        "brier": after["brier"],
        "probabilities": {"before": before, "after": after},
        **({} if cost is None else {"cost": cost}),
    }


class LabelTask(Task):
    """Answers are a column `logits` (rows, labels), the truth a column `labels` (`numbers`); the state is that of its
    decisions."""

    quick_checks: ClassVar[Sequence[Check]] = QUICK_CHECKS

    def __init__(self, labels: Sequence[str], decisions: Decisions) -> None:
        super().__init__(labels)
        self.decisions = decisions
        """How labels follow from logits."""

    @abstractmethod
    def numbers(self, examples: Sequence[Example]) -> Numbers:
        """Labels as numbers: int64 (rows,) or float32 (rows, labels). Raises `DataError` for an unknown label."""

    @property
    def outputs(self) -> Outputs:
        """Logits of the labels."""
        return {"labels": LabelOutput(labels=self.labels, problem=self.decisions.problem)}

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
        return LinearTargets(self.decisions.problem, truth["labels"], len(self.labels))

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """The loss of the config, the mean over rows."""
        from tunery.optim.losses import make_loss
        from tunery.optim.objective import RowObjective

        loss = make_loss(
            config.task.loss,  # type: ignore[union-attr]
            problem=self.decisions.problem,
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

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """What its decisions fit."""
        return self.decisions.fit(finite(answers["logits"]), truth["labels"])

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Each fifth of the rows, drawn at random, is scored with what was fitted to the other four."""
        logits = finite(answers["logits"])
        decided = self.decisions.out_of_fold(logits, truth["labels"])
        return self._scored(logits, decided, truth, self.fit_state(answers, truth))

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """As in scikit-learn, F1 macro is taken over all labels where a row may have several, and one that is neither
        true nor given counts 0; else over the labels that are true or given somewhere in these rows. Areas are one
        label against the rest, averaged over the labels. `loss` is of the logits as they are, whatever the
        calibration."""
        logits = finite(answers["logits"])
        return self._scored(logits, self.decisions.decide(logits, state), truth, state)

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """Those of its decisions."""
        return self.decisions.margins(finite(answers["logits"]), state)

    def _scored(self, logits: Floats, decided: Decided, truth: RowTable, state: State | None) -> dict[str, Any]:
        return {
            **self._metrics(logits, decided, truth, state),
            **decision_metrics(self.decisions, logits, decided, truth["labels"]),
        }

    @abstractmethod
    def _metrics(self, raw: Floats, decided: Decided, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Metrics of the labels that are given, and those of logits as they are."""

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        """The labels that all rows got, where every row got the same although not every row has the same."""
        per_label = metrics["per_label"]
        alike = all(row["predicted"] in (0, rows) for row in per_label.values())
        differ = any(row["support"] not in (0, rows) for row in per_label.values())
        if not (alike and differ):
            return None
        return " and ".join(repr(name) for name, row in per_label.items() if row["predicted"] == rows) or "no label"
