"""What makes the scores of a finished run doubtful, in words: `notes` of its record. The only place with such rules.

The rules compare validation with the loss of the class frequencies: what a model scores that knows how often each label
occurs and nothing of the text; of numbers, with that of their mean. Their limits are chosen so that a run that has
learned and levelled off gets no note:

- One answer: exactly the same labels for all rows, although the rows differ.
- At chance: less than 2 % of the loss of the class frequencies is gone (McFadden's pseudo-R², 1974), and ROC AUC is
  below 0.6 (of numbers, (1 + Spearman's correlation) / 2). Class weights move the loss of a good model, but not its
  ranking; a bad model has neither.
- Still improving: the last epoch was the best, and either took a tenth or more of all that the validation loss has
  fallen, or made the objective better by more than it varies: by one standard error over as many rows, of a proportion
  or of a correlation ((1 - r²) / √n, Fisher 1915); of what has no upper bound, such as perplexity and errors, by 1 %.
  On a curve that levels off exponentially, a tenth in the last epoch of three means that at least as much again is
  still to come. This holds for a run that early stopping has ended, too: what it watches may stand still while the loss
  falls.
- Still improving in its only epoch, which has no score before it: of the losses of its training steps, the mean of the
  last third is below that of the middle third by more than a standard error of their difference and by a tenth or more
  of all that is gone, which is counted from the loss of the class frequencies in training. On a curve that falls
  exponentially with a rate that decays linearly to zero, a tenth means that a sixth of what there is to learn is left.
- One epoch alone cannot tell: fewer than `FEWEST` steps were logged in a third, their losses scatter so much that the
  standard error is more than such a tenth, nothing of the loss is gone, or what is minimised is not the loss of
  validation, so that there is nothing to count from.
- Low thresholds: of calibrated probabilities the threshold with the highest F1 is half of that F1, of one label and of
  several that share one (Lipton, Elkan & Naryanaswamy 2014). Here at least half of the labels to be given depend on
  thresholds below a quarter of that. Of 12,000 thresholds that were fitted to labels drawn from calibrated
  probabilities (normal logits, 25 positive rows or more) 2 were below a quarter. The threshold that labels with few
  rows share gives them as often as they are true; with calibrated probabilities it was no lower than the others. Losses
  that shift probabilities by design (weights, focal, label smoothing) are not judged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any, Final

from tunery.schema import RunConfig
from tunery.schema.config.peft import WITHOUT_STEPS, Majority
from tunery.schema.config.task import TaskSpec
from tunery.schema.config.train import MOST_EPOCHS
from tunery.schema.results.direction import best_of, is_better
from tunery.schema.results.run import DataRecord, RunResult
from tunery.tasks.table import TASKS

LEAST_R_SQUARED: Final = 0.02
"""Share of the loss of the class frequencies that has to be gone."""
LEAST_AUC: Final = 0.6
LEAST_FALL: Final = 0.001
"""Of the validation loss in the last epoch: less is not seen in its figures."""
LEAST_GAIN: Final = 0.01
"""Share by which a metric without upper bound has to fall in the last epoch."""
UNBOUNDED: Final = ("loss", "perplexity", "bits_per_byte", "mse", "mae")
CORRELATIONS: Final = ("spearman", "pearson")
LEVEL: Final = 0.1
"""Share of the fall of the validation loss that belongs to the last epoch, below which a curve counts as level."""
LOW: Final = 0.25
"""Share of F1/2 below which a fitted threshold is low."""
FEWEST: Final = 4
"""Training losses in a third of an epoch, below which their mean and scatter say nothing."""


@dataclass(frozen=True)
class Curves:
    """How a run went, scored epoch by scored epoch."""

    loss: Sequence[float | None]
    """On validation."""
    objective: Sequence[float | None]
    """On validation."""
    training: Sequence[float]
    """Losses of training steps in the last epoch, as they were logged; may be empty."""
    epochs: float
    """How many were trained."""
    steps: int
    """Optimizer steps of one."""


def notes_of(config: RunConfig, data: DataRecord, curves: Curves, validation: Mapping[str, Any]) -> tuple[str, ...]:
    """What there is to say of a run.

    Args:
        validation: metrics of the restored epoch.
    """
    return tuple(_notes(config, data, curves, validation))


def _notes(config: RunConfig, data: DataRecord, curves: Curves, validation: Mapping[str, Any]) -> Iterator[str]:
    task, rows = TASKS[type(config.task)], data.splits["validation"].rows
    if (remark := task.remark(config.task, validation)) is not None:
        yield remark
    if isinstance(config.peft, Majority):
        return
    if (same := task.one_answer(validation, rows=rows)) is not None:
        worth = f"; that alone scores accuracy {validation['accuracy']:.3f}" if "accuracy" in validation else ""
        yield f"the model names {same} for every row of validation{worth}"
    if isinstance(config.peft, WITHOUT_STEPS):
        return
    chance, area = task.chance_loss(data.splits["validation"], validation), task.ranks_right(validation)
    ranks_no_better = area is not None and area < LEAST_AUC
    if chance is not None and ranks_no_better and validation["loss"] > (1 - LEAST_R_SQUARED) * chance:
        yield _not_learned(config, data, curves, validation, chance=chance)
    elif (more := _more_to_gain(config, data, curves, metrics=validation, chance=chance)) is not None:
        yield f"{more} ({_longer(config, curves)})"
    if _is_plain(config) and (low := _low_thresholds(config, validation)) is not None:
        yield f"{low}. More steps help, and the best epoch is kept ({_longer(config, curves)})"


def answers_alike(result: RunResult, task: TaskSpec) -> bool:
    """Whether the model of a run gives every row of validation the same answer, although the rows differ."""
    if result.data is None or not result.metrics.validation:
        return False
    rows = result.data.splits["validation"].rows
    return TASKS[type(task)].one_answer(result.metrics.validation, rows=rows) is not None


def _not_learned(
    config: RunConfig, data: DataRecord, curves: Curves, metrics: Mapping[str, Any], *, chance: float
) -> str:
    answers = TASKS[type(config.task)].chance
    finding = f"validation loss {metrics['loss']:.3f} is no better than that of {answers} ({chance:.3f})"
    if curves.training and _is_plain(config):
        reached = fmean(curves.training)
        own = TASKS[type(config.task)].chance_loss(data.splits["train"], metrics)
        if own is not None and reached < (1 - LEAST_R_SQUARED) * own:
            return (
                f"{finding}, though the training loss is {reached:.3f} ({answers.removeprefix('the ')}: {own:.3f}): "
                f"what was learned holds for the training rows only; `tunery check` looks for causes in the data"
            )
    longer = _longer(config, curves)
    return f"{finding}: the model has not learned; try another optim.lr (now {config.lr:g}) or {longer}"


def _is_plain(config: RunConfig) -> bool:
    """Whether training minimises what validation calls its loss."""
    return config.task == config.task.without_training_keys() and not config.regularization.label_smoothing


def _low_thresholds(config: RunConfig, metrics: Mapping[str, Any]) -> str | None:
    """Whether labels are given at probabilities at which no calibrated model would give them."""
    fitted = TASKS[type(config.task)].fitted_thresholds(config.task, metrics)
    low = [threshold for threshold in fitted if threshold.value < LOW * threshold.f1 / 2]
    if not low or 2 * sum(threshold.support for threshold in low) < sum(threshold.support for threshold in fitted):
        return None
    labels, value, f1, _ = max(low, key=lambda threshold: threshold.support)
    who = f"{labels[0]!r} is" if len(labels) == 1 else f"{len(labels)} labels are"
    return (
        f"{who} given from a probability of {value:.3f} on, with F1 {f1:.2f}; if probabilities were calibrated, that "
        f"would be near F1/2 = {f1 / 2:.2f}. They are much too low, as after too few steps: they rank the texts, but "
        f"do not say how likely a label is"
    )


def _more_to_gain(
    config: RunConfig, data: DataRecord, curves: Curves, *, metrics: Mapping[str, Any], chance: float | None
) -> str | None:
    """Whether a longer run may be better."""
    if len(curves.loss) > 1:
        risen = _still_improving(config, curves, rows=data.splits["validation"].rows, chance=chance)
        return risen and f"{risen} in the last epoch: training longer may do better"
    if _stopped_early(config, curves):
        return None
    own = TASKS[type(config.task)].chance_loss(data.splits["train"], metrics) if _is_plain(config) else None
    return _within_one_epoch(curves.training, own)


def _within_one_epoch(training: Sequence[float], chance: float | None) -> str | None:
    """Args:
    chance: loss of the class frequencies in training; None where that is not what is minimised.
    """
    third = len(training) // 3
    if chance is None or third < FEWEST:
        return _UNCLEAR
    middle, end = training[-2 * third : -third], training[-third:]
    before, last = fmean(middle), fmean(end)
    tenth, error = LEVEL * (chance - last), math.sqrt((variance(middle) + variance(end)) / third)
    if tenth > 0 and before - last >= max(tenth, error, LEAST_FALL):
        fell = f"the training loss still fell from {before:.3f} to {last:.3f}, from the middle third of the only epoch"
        return f"{fell} to the last: training longer may do better"
    return _UNCLEAR if error >= tenth else None


_UNCLEAR: Final = "one epoch alone cannot tell whether training longer would do better"


def _still_improving(config: RunConfig, curves: Curves, *, rows: int, chance: float | None) -> str | None:
    """What rose or fell by how much."""
    losses = [loss for loss in curves.loss if loss is not None]
    if len(losses) > 1:
        before, last = min(losses[:-1]), losses[-1]
        if chance is not None and last < chance and before - last >= max(LEVEL * (chance - last), LEAST_FALL):
            return f"the validation loss still fell from {before:.3f} to {last:.3f}"
    values = [value for value in curves.objective if value is not None]
    if len(values) > 1 and (config.objective != "loss" or chance is None):
        before, last = best_of(values[:-1], config.direction), values[-1]
        varies = _varies(config.objective, last, rows=rows)
        if not is_better(before, last, direction=config.direction) and abs(last - before) > varies > 0:
            return f"validation {config.objective} still went from {_figures(before)} to {_figures(last)}"
    return None


def _varies(metric: str, value: float, *, rows: int) -> float:
    """How much of a change of a metric says nothing."""
    if metric in UNBOUNDED:
        return LEAST_GAIN * abs(value)
    if metric in CORRELATIONS:
        return (1 - value**2) / math.sqrt(rows)
    share = min(max(value, 0.0), 1.0)
    return math.sqrt(share * (1 - share) / rows)


def _figures(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _longer(config: RunConfig, curves: Curves) -> str:
    """What makes the run longer: a key with its value, or another command."""
    train, rows = config.train, curves.steps * config.train.batch_size
    planned, patience = train.epochs_for(rows), train.patience_for(rows)
    if train.max_steps is not None and (train.epochs == "auto" or curves.epochs < planned):
        return f"train.max_steps={2 * train.max_steps}"
    if patience is not None and _stopped_early(config, curves):
        return f"train.early_stopping.patience={2 * patience}"
    return f"train.epochs={min(2 * planned, MOST_EPOCHS)}" if planned < MOST_EPOCHS else "train --from goes on from it"


def _stopped_early(config: RunConfig, curves: Curves) -> bool:
    """Whether `train.early_stopping` has ended a run before its last epoch."""
    planned = config.train.epochs_for(curves.steps * config.train.batch_size)
    return config.train.max_steps is None and curves.epochs < planned
