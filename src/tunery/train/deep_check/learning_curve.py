"""`tunery curve`: what more labels would give, from a simple model fitted to parts of the training rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tunery.baselines.targets import LinearTargets
from tunery.data.learning_curve import SHARES, PowerLaws, fit_power_laws, jackknife_covariance, missing
from tunery.data.learning_curve import nested_order as nested
from tunery.data.rng import row_generator
from tunery.data.row_table import RowTable
from tunery.data.splitting import number_bins
from tunery.errors import DataError, RequestError
from tunery.schema import RunConfig
from tunery.schema.results.curve import ClassGain, CurvePoint, CurvePrediction, LearningCurve
from tunery.store.study import ignore
from tunery.tasks.task import Task
from tunery.train.deep_check.deep_check import folds_of
from tunery.train.deep_check.simple_model import FOLDS, Logits, Rows, SimpleModel, simple_model
from tunery.train.predict.scoring import score
from tunery.train.setup.prepare import Prepared

Floats = npt.NDArray[np.float64]

REPEATS: Final = 3
"""Draws of the rows of each part; all rows are one draw."""
BLOCKS: Final = 20
"""Of rows, each left out once to see how far the choice of rows carries."""
LEAST: Final = 80
"""Training rows from which eight of them, one part in eight of four folds of five, may tell anything."""
TIMES: Final = (1, 2, 4)
"""All training rows so many times are predicted: of a fold, one model sees four fifths of them."""


class _Scored(NamedTuple):
    """Scores of one part of the rows, more is better; `labels` those of each label, if there are any."""

    value: float
    labels: Mapping[str, float]


def learning_curve(config: RunConfig, prepared: Prepared, *, say: Callable[[str], None] = ignore) -> LearningCurve:
    """Fit the simple model to 1/8, 1/4, 1/2 and all of the rows outside each of five folds, score what all folds say of
    the rows inside, and draw power laws through these scores. Rows of test are not looked at.

    Args:
        prepared: the rows, without a fatal finding.
        say: is told what is done, as far as it takes long.

    Raises:
        RequestError: the task has no labels and no numbers, or the objective is no score of a simple model.
        DataError: train has too few rows.
    """
    return curve_of(simple_model(config, prepared, say=say), config, say=say)


def curve_of(model: SimpleModel, config: RunConfig, *, say: Callable[[str], None] = ignore) -> LearningCurve:
    """The same by a model that is at hand."""
    folds = folds_of(model, config)
    known = np.flatnonzero(folds >= 0)
    if len(known) < LEAST:
        raise DataError(f"a learning curve needs {LEAST} training rows or more, but has {len(known)}; label more")
    logits = _logits(model, folds, config.seed, say)
    return curve_through(
        [[model.answers(each[known]) for each in draws] for draws in logits],
        model.prepared.truth["train"].take(known),
        config,
        model.task,
        fitted_to=len(folds) - len(known) / FOLDS,
        total=len(folds),
        method=model.method,
        described=model.described,
    )


def curve_through(
    answers: Sequence[Sequence[RowTable]],
    truth: RowTable,
    config: RunConfig,
    task: Task,
    *,
    fitted_to: float,
    total: int,
    method: str,
    described: str,
) -> LearningCurve:
    """Score what models of parts of the rows answer about other rows, and draw power laws through the scores.

    Args:
        answers: for each of `SHARES`, several draws of that part; of all rows one may be enough. All about the same
            rows, those of `truth`.
        fitted_to: rows of the largest part.
        total: rows that a model is fitted to which is not to be scored.
        method, described: of the models, as the record has them.

    Raises:
        RequestError: the objective is no score of theirs.
    """
    sign = 1.0 if config.direction == "maximize" else -1.0

    def scored(answers: RowTable, rows: Rows) -> _Scored:
        metrics = score(task, answers.take(rows), truth.take(rows))
        value = metrics.get(config.objective)
        if value is None:
            raise RequestError(
                f"a learning curve is of a score that its models have, but {config.objective} is none on these rows; "
                "choose another search.objective"
            )
        labels = metrics.get("per_label") or {}
        return _Scored(sign * value, {name: row["f1"] for name, row in labels.items()})

    rows = np.arange(len(truth))
    each = [[scored(one, rows) for one in draws] for draws in answers]
    without = [[scored(draws[0], rows[rows % BLOCKS != block]) for draws in answers] for block in range(BLOCKS)]
    values = [[one.value for one in draws] for draws in each]
    scores = np.array([np.mean(draws) for draws in values])
    covariance = jackknife_covariance(np.array([[one.value for one in line] for line in without]))
    covariance += np.diag(_of_draws(values))
    best = 1.0 if config.direction == "maximize" else 0.0
    laws = fit_power_laws([share * fitted_to for share in SHARES], scores, covariance, best=best)
    errors = 1.96 * np.sqrt(np.diag(covariance))
    return LearningCurve(
        method=method,
        described=described,
        objective=config.objective,
        direction=config.direction,
        points=tuple(
            CurvePoint(rows=round(share * fitted_to), **_with_ends(sign, value, value - error, value + error))
            for share, value, error in zip(SHARES, scores.tolist(), errors.tolist(), strict=True)
        ),
        predictions=tuple(
            CurvePrediction(
                rows=times * total,
                says_something=one.says_something,
                **_with_ends(sign, one.score, one.low, one.high),
            )
            for times in TIMES
            for one in [laws.at(times * total)]
        ),
        rises=laws.rises,
        fits=laws.fits,
        gains=_gains(laws, each, without, total),
    )


def _with_ends(sign: float, value: float, low: float, high: float) -> dict[str, float]:
    """As the metric has them. Args: numbers of which more is better."""
    ends = sorted((sign * low, sign * high))
    return {"score": sign * value, "low": ends[0], "high": ends[1]}


def _logits(model: SimpleModel, folds: Rows, seed: int, say: Callable[[str], None]) -> list[list[Logits]]:
    """Out-of-fold logits for each part of the rows, and each draw of it."""
    kinds = _kinds(model.targets)
    found: list[list[Logits]] = []
    for share in SHARES:
        say(f"fitting {model.method} to {share:.3g} of the rows outside each fold")
        draws = range(1 if share == 1 else REPEATS)
        found.append([model.out_of_fold(folds, _part(kinds, share, seed, draw)) for draw in draws])
    return found


def _part(kinds: npt.NDArray[np.int64], share: float, seed: int, draw: int) -> Callable[[Rows], Rows]:
    """Of some rows a share, with its share of every kind; a smaller share of the same rows is a part of a larger."""

    def part(rows: Rows) -> Rows:
        generator = row_generator(seed, epoch=draw, row=int(rows[0]), purpose="learning curve")
        return rows[nested(kinds[rows], generator)[: max(2, round(share * len(rows)))]]

    return part


def _kinds(targets: LinearTargets) -> npt.NDArray[np.int64]:
    """Rows with the same labels, or with numbers in one bin, are of one kind: (rows,)."""
    values = targets.values
    if targets.problem == "number":
        return number_bins(values)
    kinds: npt.NDArray[np.int64] = np.unique(values, axis=0, return_inverse=True)[1].ravel()
    return kinds


def _of_draws(values: Sequence[Sequence[float]]) -> Floats:
    """Variance of the mean score of each part that comes from which rows are drawn, (parts,): in inverse proportion to
    the part, as the variance among draws of all smaller parts says; these share rows, which makes them too alike."""
    shares = np.array(SHARES[:-1])
    seen = np.array([np.var(draws, ddof=1) for draws in values[:-1]])
    whole = float((seen * shares / (1 - shares)).mean())
    return np.array([whole / share / len(draws) for share, draws in zip(SHARES, values, strict=True)])


def _gains(
    laws: PowerLaws, each: Sequence[Sequence[_Scored]], without: Sequence[Sequence[_Scored]], total: int
) -> tuple[ClassGain, ...]:
    """Labels whose F1 rises with the rows: a line over what the exponent of all labels together says is missing."""
    if not (laws.rises and laws.fits):
        return ()
    exponent = float(np.median(laws.exponent))
    lacks = np.array([float(missing(share, exponent)) for share in SHARES])
    slope = (lacks - lacks.mean()) / ((lacks - lacks.mean()) ** 2).sum()
    times = float(missing(total / laws.largest, exponent) - missing(2 * total / laws.largest, exponent))
    found = []
    for label in each[-1][0].labels:
        scores = np.array([np.mean([one.labels.get(label, 0.0) for one in draws]) for draws in each])
        blocks = np.array([[one.labels.get(label, 0.0) for one in line] for line in without])
        covariance = jackknife_covariance(blocks) + np.diag(
            _of_draws([[one.labels.get(label, 0.0) for one in draws] for draws in each])
        )
        gain = -times * float(slope @ scores)
        half = 1.96 * times * float(np.sqrt(slope @ covariance @ slope))
        if gain - half > 0:
            found.append(ClassGain(label=label, f1=float(scores[-1]), gain=gain, low=gain - half, high=gain + half))
    return tuple(sorted(found, key=lambda one: -one.gain))
