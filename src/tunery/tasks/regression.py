"""A number for each row: any, or one of a few levels (`levels.py`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tunery.baselines.targets import LinearTargets
from tunery.data.checks.check import Check
from tunery.data.checks.number_checks import NUMBER_CHECKS, QUICK_NUMBER_CHECKS
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import Floats, finite
from tunery.data.number_metrics import (
    NO_INTERVALS,
    conformal_quantile,
    interval_metrics,
    least_rows,
    number_metrics,
    points,
    spread,
)
from tunery.data.reading.numbers import one_number
from tunery.data.row_table import Array, RowTable
from tunery.data.splitting import FOLDS, by_label, by_number, fold_of_rows, number_bins
from tunery.errors import DataError
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import NumberOutput, Outputs, RegressionTask
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import NUMBERS, Combiner
from tunery.tasks.levels import Levels
from tunery.tasks.task import State, Task

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.optim.objective import Objective


class Regression(Task):
    """Answers and truth are a column `number` (rows,): in standard deviations of the training rows from their mean,
    which are the task's settings.

    The state is `conformal_quantile`: half the width of every interval, in the units of the data; None where validation
    has too few rows for the coverage that is asked for.
    """

    checks: ClassVar[Sequence[Check]] = NUMBER_CHECKS
    quick_checks: ClassVar[Sequence[Check]] = QUICK_NUMBER_CHECKS
    state_keys: ClassVar[tuple[str, ...]] = ("conformal_quantile",)
    combiner: ClassVar[Combiner | None] = NUMBERS
    chance: ClassVar[str] = "the same answer to every text"

    def __init__(self, settings: Mapping[str, str], *, coverage: float) -> None:
        super().__init__(())
        self.settings = settings
        self._mean, self._deviation = (float(settings[key]) for key in ("mean", "standard_deviation"))
        self._coverage = coverage

    @classmethod
    def build(cls, spec: RegressionTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> Task:
        """This task, or that of levels."""
        if spec.ordinal:
            return Levels(labels, coverage=spec.coverage)
        return cls(settings, coverage=spec.coverage)

    @staticmethod
    def settings_of(spec: RegressionTask, examples: Sequence[Example]) -> Mapping[str, str]:
        """Mean and standard deviation of the numbers."""
        if spec.ordinal:
            return {}
        mean, deviation = spread(_numbers(examples).tolist())
        return {"mean": repr(mean), "standard_deviation": repr(deviation)}

    @staticmethod
    def reader(spec: RegressionTask, data: Data) -> RowReader:
        return one_number(data, ordinal=spec.ordinal)

    @staticmethod
    def strata(examples: Sequence[Example]) -> Sequence[frozenset[str]]:
        """Levels, or bins of about as many rows each."""
        return by_label(examples) if any(example.labels for example in examples) else by_number(examples)

    @property
    def outputs(self) -> Outputs:
        """One number."""
        return {"number": NumberOutput()}

    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """The number of each row."""
        from tunery.data.batches import Targets

        return Targets({"number": self._standardised(examples).astype(np.float32)})

    def truth(self, examples: Sequence[Example]) -> RowTable:
        """The number of each row."""
        return RowTable({"number": self._standardised(examples)})

    def label_numbers(self, truth: RowTable) -> Array | None:
        """Bins of about as many rows each."""
        return number_bins(truth["number"])

    def labels_alone(self) -> Task:
        """This task."""
        return self

    def linear_targets(self, truth: RowTable) -> LinearTargets:
        """The numbers."""
        return LinearTargets("number", truth["number"], 1)

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """The loss of the config, the mean over rows."""
        from tunery.optim.number_losses import make_number_loss
        from tunery.optim.objective import RowObjective

        assert isinstance(config.task, RegressionTask)
        return RowObjective(make_number_loss(config.task.loss), output="number")

    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        """The numbers, float32."""
        return {"number": list(outputs["number"].squeeze(1).cpu().numpy())}

    def untrained(self, truth: RowTable) -> RowTable:
        """Numbers that rise from row to row: correlations are undefined for equal ones."""
        return RowTable({"number": np.linspace(-1.0, 1.0, len(truth))})

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """Split conformal prediction: the quantile of how far answers are from what is right."""
        errors = np.abs(self._values(answers) - self._values(truth))
        return {"conformal_quantile": conformal_quantile(errors, self._coverage)}

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Intervals of each fifth of the rows, drawn at random, are those that the other four give."""
        values, right, fold = self._values(answers), self._values(truth), fold_of_rows(len(truth))
        widths = np.full(len(truth), np.nan)
        for number in range(FOLDS):
            part, others = fold == number, fold != number
            quantile = conformal_quantile(np.abs(values - right)[others], self._coverage)
            widths[part] = np.nan if quantile is None else quantile
        half = None if np.isnan(widths).any() else widths
        return self._metrics(values, right, answers, truth, half=half)

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """In the units of the data, but for `loss`."""
        half = (state or {}).get("conformal_quantile")
        widths = None if half is None else np.full(len(truth), half)
        return self._metrics(self._values(answers), self._values(truth), answers, truth, half=widths)

    def _metrics(
        self, values: Floats, right: Floats, answers: RowTable, truth: RowTable, *, half: Floats | None
    ) -> dict[str, Any]:
        return {
            **number_metrics(values, right),
            "loss": float(self.losses(answers, truth).mean()),
            **(NO_INTERVALS if half is None else interval_metrics(values - half, values + half, right)),
            "answers": {"lowest": float(values.min()), "highest": float(values.max()), "loss_unit": self._deviation},
            "points": points(values, right),
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Squared errors, in standard deviations of the training rows."""
        losses: Array = np.square(finite(answers["number"]) - truth["number"])
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The number, with its interval."""
        half = (state or {}).get("conformal_quantile")
        return [
            Prediction(
                label=None,
                labels=(),
                value=value,
                low=None if half is None else value - half,
                high=None if half is None else value + half,
            )
            for value in self._values(answers).tolist()
        ]

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        """In seven digits, which are those of float32."""
        numbers = {"value": prediction.value, "low": prediction.low, "high": prediction.high}
        return {key: None if number is None else float(f"{number:.7g}") for key, number in numbers.items()}

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        """The number, or the level, that all rows got although they differ."""
        if "per_label" in metrics:
            return Levels.one_answer(metrics, rows=rows)
        answers = metrics["answers"]
        same = answers["lowest"] == answers["highest"] and metrics["r2"] is not None
        return f"{answers['lowest']:g}" if same else None

    @staticmethod
    def remark(spec: RegressionTask, metrics: Mapping[str, Any]) -> str | None:
        """That there are no intervals, and how many rows they need."""
        if metrics.get("conformal_quantile") is not None:
            return None
        return (
            f"no intervals: task.coverage={spec.coverage:g} needs at least {least_rows(spec.coverage):,} rows of "
            "validation; give it more, or ask for a lower coverage"
        )

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """Of the mean of a split: its variance, in the unit of the loss; of levels, as for labels."""
        if "per_label" in metrics:
            return Levels.chance_loss(split, metrics)
        if split.numbers is None:
            return None
        return float((split.numbers.standard_deviation / metrics["answers"]["loss_unit"]) ** 2)

    @staticmethod
    def ranks_right(metrics: Mapping[str, Any]) -> float | None:
        """From Spearman's correlation, which is 0 for an order at random."""
        return None if metrics["spearman"] is None else (1 + metrics["spearman"]) / 2

    def _standardised(self, examples: Sequence[Example]) -> Floats:
        standardised: Floats = (_numbers(examples) - self._mean) / self._deviation
        return standardised

    def _values(self, table: RowTable) -> Floats:
        """In the units of the data."""
        values: Floats = self._mean + self._deviation * finite(table["number"])
        return values


def _numbers(examples: Sequence[Example]) -> Floats:
    if any(example.number is None for example in examples):
        raise DataError("every row needs a number, but one has none")
    return np.array([example.number for example in examples], dtype=np.float64)
