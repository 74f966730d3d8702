"""A simple model of the training rows that can be fitted to any of them: logistic or ridge regression over the features
of the frozen base, or over TF-IDF where there are none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from tunery.baselines.linear_models import fit_linear
from tunery.baselines.targets import LinearTargets
from tunery.baselines.text_model import fit_text_model
from tunery.data.calibration import probabilities_of
from tunery.data.number_metrics import level_probabilities
from tunery.data.row_table import RowTable
from tunery.data.splitting import stratified_folds
from tunery.errors import ModelError, RequestError
from tunery.schema import RunConfig
from tunery.schema.config.baselines import baseline_config, fitting
from tunery.tasks.task import Task
from tunery.train.loop.features import pooled_features
from tunery.train.loop.probing import linear_head
from tunery.train.predict.text_network import texts_of
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.prepare import Prepared

Rows = npt.NDArray[np.int64]
"""Numbers of training rows."""
Logits = npt.NDArray[np.float32]

FOLDS: Final = 5


class Fitting(Protocol):
    """Fits a linear model to some training rows. The same rows give the same model."""

    def __call__(self, rows: Rows) -> Callable[[Rows], Logits]:
        """The model: rows become logits, or numbers, (rows, outputs)."""


@dataclass(frozen=True)
class SimpleModel:
    """What is fitted to which rows."""

    method: Literal["probe", "tfidf"]
    reason: str | None
    """Why it is no probe; None: it is one."""
    prepared: Prepared
    """The rows, for learning their labels and nothing else."""
    targets: LinearTargets
    """Of the training rows."""
    fitted_to: Fitting

    @property
    def task(self) -> Task:
        """Of the labels alone."""
        return self.prepared.task

    @property
    def described(self) -> str:
        """In words."""
        if self.method == "probe":
            return "a probe (a linear model over the features of the frozen base)"
        return f"a linear model over TF-IDF of words and letters, as a probe is not possible: {self.reason}"

    def answers(self, logits: Logits) -> RowTable:
        """What the task needs of them."""
        (name,) = self.task.outputs
        columns = self.task.reduce({name: torch.from_numpy(logits)}, {})
        return RowTable({key: np.stack(list(column)) for key, column in columns.items()})

    def probabilities(self, logits: Logits) -> npt.NDArray[np.float64]:
        """Of each label or level, (rows, labels); of numbers, the numbers themselves, (rows, 1)."""
        wide, problem = logits.astype(np.float64), self.targets.problem
        if problem == "number":
            return wide
        return level_probabilities(wide) if problem == "levels" else probabilities_of(wide, problem)

    def folds(self, seed: int) -> Rows:
        """The fold of each training row, (rows,); -1 for those that a model has to be fitted to in any case."""
        examples = self.prepared.splits.train.examples
        return stratified_folds(examples, FOLDS, strata=self.task.strata, seed=seed)

    def out_of_fold(self, folds: Rows, fitted_to: Callable[[Rows], Rows] = lambda rows: rows) -> Logits:
        """Logits of every row by a model that was fitted to other folds, (rows, outputs); NaN for rows of fold -1.

        Args:
            fitted_to: of the rows outside a fold those that its model is fitted to.
        """
        logits = np.full((len(folds), self.targets.outputs), np.nan, dtype=np.float32)
        for fold in range(FOLDS):
            held = np.flatnonzero(folds == fold)
            if len(held):
                logits[held] = self.fitted_to(fitted_to(np.flatnonzero(folds != fold)))(held)
        return logits


def simple_model(config: RunConfig, prepared: Prepared, *, say: Callable[[str], None]) -> SimpleModel:
    """The probe of the config's base; TF-IDF where task or base admit none. Features are computed here, once.

    Raises:
        RequestError: the rows have no labels or numbers that a linear model could answer.
    """
    alone = prepared.labels_alone(config.model.max_length)
    targets = None if alone is None else alone.linear_targets()
    if alone is None or targets is None:
        raise RequestError(
            f"what the data says back is said of labels or numbers, but task.kind={config.task.kind} learns none from "
            "a row; `tunery check CONFIG` without --deep looks at texts"
        )
    if not fitting(config, {"probe"}):
        return _tfidf(config, alone, targets, "the base is quantised")
    say(f"reading {len(targets.values):,} training rows with the frozen base, once")
    try:
        features = probe_features(baseline_config(config, "probe"), alone)
    except ModelError as error:
        return _tfidf(config, alone, targets, str(error))
    return probe_over(features, alone, targets, seed=config.seed)


def probe_features(config: RunConfig, prepared: Prepared) -> npt.NDArray[np.float32]:
    """What the frozen base of a config with `peft=probe` gives of each training row, (rows, hidden).

    Raises:
        ModelError: the model has no linear head over such features.
    """
    run = assemble(with_resolved_head(config, prepared), prepared)
    head = linear_head(run)
    return pooled_features(run, head.encoder, np.arange(len(head.targets.values)), store=None)


def probe_over(
    features: npt.NDArray[np.float32], prepared: Prepared, targets: LinearTargets, *, seed: int
) -> SimpleModel:
    """A probe of these features, (rows, hidden)."""

    def fitted_to(rows: Rows) -> Callable[[Rows], Logits]:
        linear = fit_linear(features[rows], targets.take(rows), seed=seed)
        return lambda others: linear(features[others])

    return SimpleModel("probe", None, prepared, targets, fitted_to)


def _tfidf(config: RunConfig, prepared: Prepared, targets: LinearTargets, reason: str) -> SimpleModel:
    texts: npt.NDArray[Any] = np.array(texts_of(prepared.splits.train.examples), dtype=object)

    def fitted_to(rows: Rows) -> Callable[[Rows], Logits]:
        model = fit_text_model(texts[rows].tolist(), targets.take(rows), seed=config.seed)
        return lambda others: model(texts[others].tolist())

    return SimpleModel("tfidf", reason, prepared, targets, fitted_to)
