"""One of a few levels in an order for each row, such as 1 to 5 stars: regression with `task.ordinal`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tunery.baselines.targets import LinearTargets
from tunery.data.checks.check import Check
from tunery.data.checks.number_checks import LEVEL_CHECKS, QUICK_NUMBER_CHECKS
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import Counts, Floats, Ints, binary_cross_entropy, confusion_matrix, finite
from tunery.data.number_metrics import (
    NO_INTERVALS,
    conformal_quantile,
    interval_metrics,
    interval_of,
    level_probabilities,
    masses,
    middle_levels,
    number_metrics,
)
from tunery.data.ranking import top_two_margin
from tunery.data.reading.numbers import one_number
from tunery.data.row_table import Array, RowTable
from tunery.data.splitting import FOLDS, fold_of_rows
from tunery.errors import DataError, did_you_mean
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import LevelOutput, Outputs, RegressionTask
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import LEVELS, Combiner
from tunery.tasks.labels import LabelTask
from tunery.tasks.task import State, Task

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.optim.objective import Objective


class Levels(Task):
    """Answers are a column `logits` (rows, levels - 1): the log odds of being above each level but the highest. The
    truth is a column `level` (rows,) of numbers of levels, from 0.

    The state is `conformal_quantile`: the most probability that an interval of levels holds; None where validation has
    too few rows for the coverage that is asked for.
    """

    checks: ClassVar[Sequence[Check]] = LEVEL_CHECKS
    quick_checks: ClassVar[Sequence[Check]] = QUICK_NUMBER_CHECKS
    state_keys: ClassVar[tuple[str, ...]] = ("conformal_quantile",)
    combiner: ClassVar[Combiner | None] = LEVELS

    def __init__(self, labels: Sequence[str], *, coverage: float) -> None:
        super().__init__(labels)
        self._numbers: Floats = np.array([float(label) for label in self.labels])
        self._coverage = coverage

    @classmethod
    def build(cls, spec: RegressionTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Levels":
        return cls(labels, coverage=spec.coverage)

    @staticmethod
    def reader(spec: RegressionTask, data: Data) -> RowReader:
        return one_number(data, ordinal=True)

    @property
    def outputs(self) -> Outputs:
        """Log odds of being above each level but the highest."""
        return {"levels": LevelOutput(labels=self.labels)}

    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """The level of each row."""
        from tunery.data.batches import Targets

        return Targets({"levels": self._levels(examples)})

    def truth(self, examples: Sequence[Example]) -> RowTable:
        """The level of each row."""
        return RowTable({"level": self._levels(examples)})

    def label_numbers(self, truth: RowTable) -> Array | None:
        """The levels."""
        return truth["level"]

    def labels_alone(self) -> Task:
        """This task."""
        return self

    def linear_targets(self, truth: RowTable) -> LinearTargets:
        """The levels."""
        return LinearTargets("levels", truth["level"], len(self.labels) - 1)

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """The loss of CORAL, the mean over rows."""
        from tunery.optim.number_losses import LevelLoss
        from tunery.optim.objective import RowObjective

        return RowObjective(LevelLoss(), output="levels")

    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        """The log odds, float32."""
        return {"logits": list(outputs["levels"].cpu().numpy())}

    def untrained(self, truth: RowTable) -> RowTable:
        """Every level in turn: correlations are undefined for equal answers."""
        steps = len(self.labels) - 1
        level = np.arange(len(truth)) % len(self.labels)
        return RowTable({"logits": np.where(level[:, None] > np.arange(steps), 1.0, -1.0)})

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """Split conformal prediction: the quantile of the probability that intervals need to hold the right level."""
        return {"conformal_quantile": conformal_quantile(self._needed(answers, truth), self._coverage)}

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Intervals of each fifth of the rows, drawn at random, are those that the other four give."""
        needed, fold = self._needed(answers, truth), fold_of_rows(len(truth))
        low, high = np.zeros((2, len(truth)), dtype=np.int64)
        for number in range(FOLDS):
            part, others = fold == number, fold != number
            quantile = conformal_quantile(needed[others], self._coverage)
            if quantile is None:
                return self._metrics(answers, truth, bounds=None)
            low[part], high[part] = self._bounds(answers.take(part), quantile)
        return self._metrics(answers, truth, bounds=(low, high))

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Errors are those of the numbers that levels are called by. Correlations are of the mean of each row's
        distribution, which tells rows apart that get one level."""
        quantile = (state or {}).get("conformal_quantile")
        bounds = None if quantile is None else self._bounds(answers, quantile)
        return self._metrics(answers, truth, bounds=bounds)

    def _metrics(self, answers: RowTable, truth: RowTable, *, bounds: tuple[Ints, Ints] | None) -> dict[str, Any]:
        logits, right = finite(answers["logits"]), truth["level"]
        given, mean = middle_levels(logits), level_probabilities(logits) @ self._numbers
        confusion = confusion_matrix(right, given, labels=len(self.labels))
        counts = Counts(hits=np.diag(confusion), given=confusion.sum(axis=0), actual=confusion.sum(axis=1))
        intervals: Mapping[str, float | None] = NO_INTERVALS
        if bounds is not None:
            intervals = interval_metrics(self._numbers[bounds[0]], self._numbers[bounds[1]], self._numbers[right])
        return {
            **number_metrics(self._numbers[given], self._numbers[right], order=mean),
            "loss": float(self.losses(answers, truth).mean()),
            **intervals,
            "accuracy": float(counts.hits.sum() / len(right)),
            "per_label": counts.per_label(self.labels),
            "confusion_matrix": confusion.tolist(),
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """The mean over levels but the highest of the sigmoid cross-entropy of whether a row is above them."""
        above = truth["level"][:, None] > np.arange(len(self.labels) - 1)
        losses: Array = binary_cross_entropy(finite(answers["logits"]), above).mean(axis=1)
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The level in the middle of its distribution, with an interval of levels."""
        logits = finite(answers["logits"])
        given, probabilities = middle_levels(logits), level_probabilities(logits)
        quantile = (state or {}).get("conformal_quantile")
        low, high = (given, given) if quantile is None else self._bounds(answers, quantile)
        return [
            Prediction(
                label=self.labels[level],
                labels=(self.labels[level],),
                confidence=row[level],
                probabilities=dict(zip(self.labels, row, strict=True)),
                value=float(self._numbers[level]),
                low=None if quantile is None else float(self._numbers[first]),
                high=None if quantile is None else float(self._numbers[last]),
            )
            for level, first, last, row in zip(given, low, high, probabilities.tolist(), strict=True)
        ]

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """Between the two most probable levels."""
        return top_two_margin(level_probabilities(finite(answers["logits"])))

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        return {"value": prediction.value, "low": prediction.low, "high": prediction.high}

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        """The level that all rows got although they differ."""
        return LabelTask.one_answer(metrics, rows=rows)

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Sigmoid cross-entropy of the frequencies of rows above each level but the highest, the mean over levels."""
        counts = np.array([split.labels.get(label, 0) for label in metrics["per_label"]], dtype=np.float64)
        above = 1 - counts.cumsum()[:-1] / counts.sum()
        terms = [share * np.log(share) + (1 - share) * np.log1p(-share) for share in above if 0 < share < 1]
        return float(-sum(terms) / len(above))

    def _levels(self, examples: Sequence[Example]) -> Ints:
        position = {label: index for index, label in enumerate(self.labels)}
        for example in examples:
            if len(example.labels) != 1 or example.labels[0] not in position:
                level = example.labels[0] if example.labels else "none"
                raise DataError(f"level {level!r} is unknown to the model; {did_you_mean(level, self.labels)}")
        return np.array([position[example.labels[0]] for example in examples], dtype=np.int64)

    def _needed(self, answers: RowTable, truth: RowTable) -> Floats:
        """The probability of the shortest interval that holds the right level, (rows,)."""
        logits = finite(answers["logits"])
        mass = masses(level_probabilities(logits), middle_levels(logits))
        needed: Floats = mass[np.arange(len(mass)), truth["level"]]
        return needed

    def _bounds(self, answers: RowTable, quantile: float) -> tuple[Ints, Ints]:
        """The lowest and highest level of each interval."""
        logits = finite(answers["logits"])
        middle = middle_levels(logits)
        return interval_of(masses(level_probabilities(logits), middle), middle, quantile)
