"""`tunery check --deep`: what a simple model, fitted to other rows, says of each training row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunery.data.examples import Example
from tunery.errors import DataError
from tunery.schema import RunConfig
from tunery.schema.results.finding import Finding
from tunery.store.study import ignore
from tunery.train.deep_check.doubts import Doubt, SaidBack, label_doubts, number_doubts
from tunery.train.deep_check.simple_model import Logits, Rows, SimpleModel, simple_model
from tunery.train.setup.prepare import Prepared


@dataclass(frozen=True)
class DeepCheck:
    """What was found, and by which model."""

    method: str
    """`probe`, `tfidf`, or the folder of a cross-validated run."""
    examples: tuple[Example, ...]
    """The training rows."""
    doubts: tuple[Doubt, ...]
    findings: tuple[Finding, ...]

    def table(self, separator: str) -> list[dict[str, Any]]:
        """The doubtful rows, for a file. separator: between several labels of a row."""
        return [doubt.cells(self.examples[doubt.row], separator) for doubt in self.doubts]


def deep_check(config: RunConfig, prepared: Prepared, *, say: Callable[[str], None] = ignore) -> DeepCheck:
    """Fit the simple model to the rows outside each of five folds, and look at what it says of the rows inside.

    Args:
        prepared: the rows, without a fatal finding.
        say: is told what is done, as far as it takes long.

    Raises:
        RequestError: the task has no labels and no numbers.
        DataError: the training rows cannot be shared out to folds.
    """
    return doubts_of(simple_model(config, prepared, say=say), config, say=say)


def doubts_of(model: SimpleModel, config: RunConfig, *, say: Callable[[str], None] = ignore) -> DeepCheck:
    """The same by a model that is at hand."""
    folds = folds_of(model, config)
    say(f"fitting {model.described} to the rows outside each of {folds.max() + 1} folds")
    logits = model.out_of_fold(folds)
    said = _said(model, logits, folds)
    by_what = Finding(level="info", code="deep_check", message=f"rows were looked at by {model.described}")
    return DeepCheck(model.method, model.prepared.splits.train.examples, said.doubts, (by_what, *said.findings))


def folds_of(model: SimpleModel, config: RunConfig) -> Rows:
    """The fold of each training row, (rows,); -1 for those that stay in training.

    Raises:
        DataError: no row can be left out.
    """
    folds = model.folds(config.data.seed)
    if (folds >= 0).sum() < 2:
        raise DataError(
            "a row is judged by a model of the other rows, which must know its labels, but no label of train has two "
            "rows with different texts; give each label more rows"
        )
    return folds


def _said(model: SimpleModel, logits: Logits, folds: Rows) -> SaidBack:
    examples, told = model.prepared.splits.train.examples, model.probabilities(logits)
    if model.targets.problem != "number":
        return label_doubts(examples, told, model.targets.values, folds, model.task.labels)
    known = np.flatnonzero(folds >= 0)
    answers = model.task.answer(model.answers(logits[known]), [examples[row] for row in known], None)
    values: list[float | None] = [None] * len(folds)
    for row, answer in zip(known.tolist(), answers, strict=True):
        values[row] = answer.value
    return number_doubts(examples, told[:, 0], model.targets.values, folds, values)
