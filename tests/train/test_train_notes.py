"""What is said of doubtful scores, and that nothing is said of good ones."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from row_tables import label_table, logit_table
from tunery.data.examples import Example
from tunery.schema import RunConfig
from tunery.schema.config.loss import MultiLabelLoss
from tunery.schema.reading.document import validate
from tunery.schema.reading.fields import alternatives
from tunery.schema.results.run import DataRecord, SplitRecord
from tunery.tasks.table import make_task
from tunery.train.notes import Curves, notes_of

ROWS = 120
HAM = 104
"""Rows of validation and of training with the larger label, of 120."""


def make(**sections: Any) -> RunConfig:
    base = {"task": {"kind": "classification"}, "model": {"name": "minilm"}, "data": {"train": "rows.csv"}}
    return validate({**base, "train": {"epochs": 3}, **sections})


def data(**labels: int) -> DataRecord:
    split = SplitRecord(rows=ROWS, digest="", source="rows.csv", labels=labels)
    return DataRecord(splits={"train": split, "validation": split, "test": split})


def scored(config: RunConfig, logits: np.ndarray, labels: list[tuple[str, ...]], names: list[str]) -> dict[str, Any]:
    task = make_task(config.task, names, {})
    return task.score(logit_table(logits), task.truth([Example("", None, labels=given) for given in labels]), None)


def two_labels(strength: float, *, shift: float = 0.0) -> dict[str, Any]:
    """Validation metrics of a model that tells spam by `strength`, and otherwise knows the frequencies."""
    sign = np.where(np.arange(ROWS) < HAM, -1.0, 1.0)
    noise = np.random.default_rng(0).normal(size=ROWS)
    odds = np.log((ROWS - HAM) / HAM) + strength * (2 * sign + 1) + 0.1 * noise + shift
    labels = [("ham",)] * HAM + [("spam",)] * (ROWS - HAM)
    return scored(make(), np.stack([np.zeros(ROWS), odds], axis=1), labels, ["ham", "spam"])


def curve(loss: list[float], objective: list[float], training: list[float] | None = None) -> Curves:
    return Curves(
        loss=loss, objective=objective, training=training or [], epochs=float(len(loss)), steps=math.ceil(ROWS / 16)
    )


LEVEL = curve([0.21, 0.16, 0.155], [0.86, 0.90, 0.905])
"""Of a run that has learned; the class frequencies alone have a loss of 0.393."""


def notes(curves: Curves, metrics: dict[str, Any], config: RunConfig | None = None) -> tuple[str, ...]:
    return notes_of(config or make(), data(ham=HAM, spam=ROWS - HAM), curves, metrics)


def test_a_run_that_has_learned_and_levelled_off_has_no_notes() -> None:
    good = two_labels(2.0)
    assert good["accuracy"] > 0.95
    assert notes(LEVEL, good) == ()
    assert notes(curve([0.21], [0.86]), good) == ()
    assert notes(curve([0.3929, 0.3925], [0.86, 0.86]), good) == ()  # both are 0.39
    assert notes(curve([0.21, 0.15, 0.19], [0.86, 0.91, 0.91]), good) == ()


def test_one_answer_for_every_row_is_said_with_what_it_is_worth() -> None:
    (note,) = notes(LEVEL, two_labels(0.5, shift=-2.0))
    assert note == "the model names 'ham' for every row of validation; that alone scores accuracy 0.867"


def test_a_model_at_chance_is_said_to_have_learned_nothing_or_the_training_rows_only() -> None:
    chance = two_labels(0.0, shift=1e-3)
    assert chance["roc_auc"] < 0.6
    answer, nothing = notes(curve([0.394, 0.393, 0.393], [0.46] * 3, [0.391, 0.395]), chance)
    assert "'ham' for every row" in answer
    assert "the model has not learned" in nothing and "train.epochs=6" in nothing and "optim.lr (now" in nothing
    learned = notes(curve([0.394, 0.393], [0.46, 0.46], [0.05, 0.07]), chance)[-1]
    assert "training rows only" in learned and "0.060" in learned
    focal = make(task={"kind": "classification", "loss": {"name": "focal"}})
    assert "training loss" not in notes(curve([0.4], [0.46], [0.05]), chance, focal)[-1]


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        (curve([0.36, 0.31, 0.27], [0.6, 0.7, 0.7]), "validation loss still fell from 0.310 to 0.270"),
        (curve([0.21, 0.16, 0.155], [0.7, 0.8, 0.86]), "validation f1_macro still went from 0.800 to 0.860"),
        (curve([0.36, 0.31], [0.6, 0.7]), "validation loss still fell"),
    ],
)
def test_a_run_that_still_improves_in_its_last_epoch_names_the_key(curves: Curves, said: str) -> None:
    config = make(train={"epochs": len(curves.loss)})
    (note,) = notes(curves, two_labels(2.0), config)
    assert said in note and f"(train.epochs={2 * len(curves.loss)})" in note


STEPS = np.arange(1, 31) / 30
"""Share of an epoch after which its training loss was logged."""
NOISE = np.random.default_rng(1).normal(size=30)


def only_epoch(losses: np.ndarray) -> Curves:
    return curve([0.21], [0.86], losses.tolist())


def test_a_run_of_one_epoch_is_judged_by_its_training_loss() -> None:
    config, good = make(train={"epochs": 1}), two_labels(2.0)
    falling = 0.393 * np.exp(-STEPS) + 0.005 * NOISE
    (note,) = notes(only_epoch(falling), good, config)
    assert note.startswith(
        f"the training loss still fell from {falling[10:20].mean():.3f} to {falling[20:].mean():.3f}"
    )
    assert note.endswith("training longer may do better (train.epochs=2)")
    level = 0.05 + 0.34 * np.exp(-12 * STEPS) + 0.01 * NOISE
    assert notes(only_epoch(level), good, config) == ()
    by_steps = make(train={"epochs": 10, "max_steps": 60})
    assert "(train.max_steps=120)" in notes(only_epoch(falling), good, by_steps)[0]
    assert notes(only_epoch(falling), good, make(train={"epochs": 10})) == ()  # early stopping ended it


def test_one_epoch_that_cannot_tell_says_so() -> None:
    level = 0.05 + 0.34 * np.exp(-12 * STEPS)
    scattered, untouched = only_epoch(level + 0.2 * NOISE), only_epoch(0.4 + 0.001 * NOISE)
    focal = {"task": {"kind": "classification", "loss": {"name": "focal"}}}
    for curves, sections in (
        (only_epoch(level[:11]), {}),
        (only_epoch(level[:0]), {}),
        (scattered, {}),
        (untouched, {}),
        (only_epoch(level), focal),
    ):
        told = notes(curves, two_labels(2.0), make(train={"epochs": 1}, **sections))
        assert told == ("one epoch alone cannot tell whether training longer would do better (train.epochs=2)",)


def test_the_key_is_the_one_that_ended_the_run() -> None:
    improving, good = curve([0.36, 0.31, 0.27], [0.6, 0.7, 0.75]), two_labels(2.0)
    for train, key in (
        ({"epochs": 10, "max_steps": 60}, "train.max_steps=120"),
        ({"epochs": "auto", "max_steps": 24}, "train.max_steps=48"),  # 3 epochs of 8 steps, all of them trained
        ({"epochs": 10, "early_stopping": {"patience": 2}}, "train.early_stopping.patience=4"),
        ({"epochs": "auto"}, "train.early_stopping.patience="),
        ({"epochs": 3}, "train.epochs=6"),
    ):
        assert f"({key}" in notes(improving, good, make(train=train))[0], train


def test_the_longest_run_is_not_told_to_be_longer() -> None:
    falling = [0.39 - 0.002 * epoch for epoch in range(100)]
    for epochs, remedy in ((60, "train.epochs=100"), (100, "train --from")):
        curves = curve([*falling[: epochs - 1], 0.1], [0.8] * epochs)
        assert remedy in notes(curves, two_labels(2.0), make(train={"epochs": epochs}))[0]


def language_model(kind: str, curves: Curves, **sections: Any) -> tuple[str, ...]:
    """Notes on a run over so few documents that three of their proportions would vary by more than all metrics do."""
    split = SplitRecord(rows=3, digest="", source="a.txt", labels={})
    record = DataRecord(splits={"train": split, "validation": split, "test": split})
    config = make(task={"kind": kind}, data={"train": "a.txt"}, **sections)
    return notes_of(config, record, curves, {"loss": 3.0, "perplexity": 20.0, "accuracy": 0.3})


def test_what_has_no_upper_bound_improves_by_its_share() -> None:
    loss = [3.3, 3.1, 3.0]
    (note,) = language_model("causal_lm", curve(loss, [2030.0, 1012.0, 1000.0]))
    assert note.startswith("validation perplexity still went from 1,012.0 to 1,000.0 in the last epoch")
    assert language_model("causal_lm", curve(loss, [2030.0, 1009.0, 1000.0])) == (), "less than 1 %"
    assert language_model("causal_lm", curve(loss, [2030.0, 1000.0, 1012.0])) == ()
    assert "validation loss still went from 3.100 to 3.000" in language_model("mlm", curve(loss, loss))[0]
    assert language_model("mlm", curve([3.3, 3.02, 3.0], [3.3, 3.02, 3.0])) == ()


def test_a_correlation_improves_by_more_than_its_error() -> None:
    """(1 - 0.8²) / √120 = 0.033."""
    config, numbers = make(task={"kind": "regression"}), data()
    answers = {"lowest": 0.0, "highest": 4.0, "loss_unit": 1.0}
    level = [0.5, 0.36, 0.359]
    metrics = {"loss": 0.36, "spearman": 0.8, "r2": 0.6, "conformal_quantile": 1.0, "answers": answers}
    assert config.objective == "spearman"
    (note,) = notes_of(config, numbers, curve(level, [0.5, 0.766, 0.8]), metrics)
    assert "validation spearman still went from 0.766 to 0.800" in note
    assert notes_of(config, numbers, curve(level, [0.5, 0.768, 0.8]), metrics) == ()


def test_steps_are_counted_and_not_documents() -> None:
    """Where 300 steps are wanted, 8 epochs of 40 steps, and 20 of one step, however many documents there are."""
    improving = curve([3.3, 3.1, 3.0], [30.0, 22.0, 20.0])
    for steps, epochs, patience in ((40, 8, 3), (1, 20, 5)):
        told = language_model("causal_lm", replace(improving, steps=steps), train={"epochs": "auto"})
        assert f"(train.early_stopping.patience={2 * patience})" in told[0]
        whole = replace(improving, steps=steps, epochs=float(epochs))
        told = language_model("causal_lm", whole, train={"epochs": "auto"})
        assert f"(train.epochs={2 * epochs})" in told[0]


def test_a_run_that_ended_early_because_nothing_improves_has_no_notes() -> None:
    ended = curve([0.16, 0.15, 0.16, 0.17, 0.18], [0.88, 0.9, 0.9, 0.89, 0.9])
    assert notes(ended, two_labels(2.0), make(train={"epochs": "auto"})) == ()


def test_multilabel_rows_that_all_get_the_same_labels() -> None:
    config = make(task={"kind": "multilabel"}, data={"train": "rows.csv", "labels": "labels"})
    labels = [("a",) if row % 2 else ("a", "b") for row in range(ROWS)]
    record = data(a=ROWS, b=ROWS // 2)
    same = scored(config, np.tile([3.0, -1.0], (ROWS, 1)), labels, ["a", "b"])
    assert "names 'a' for every row" in notes_of(config, record, LEVEL, same)[0]
    none = scored(config, np.tile([-3.0, -1.0], (ROWS, 1)), labels, ["a", "b"])
    assert "names no label for every row" in notes_of(config, record, LEVEL, none)[0]
    right = np.stack([np.full(ROWS, 3.0), np.where(np.arange(ROWS) % 2, -3.0, 3.0)], axis=1)
    assert notes_of(config, record, LEVEL, scored(config, right, labels, ["a", "b"])) == ()


LABELS = ["joy", "anger", "fear", "pride"]
RATES = np.array([0.3, 0.1, 0.02, 0.01])
"""Of the labels, in 1,000 rows: the last two have too few for a threshold of their own."""


ALL = range(4)


def multilabel(
    squeezed: Iterable[int], *, loss: str = "bce", threshold: Any = "per_label", smoothing: float = 0.0
) -> list[str]:
    """Notes on a model that is calibrated but for some labels, whose probabilities are all about 0.01."""
    draw = np.random.default_rng(0)
    logits = np.log(RATES / (1 - RATES)) - 2 + 3 * draw.normal(size=(1000, len(RATES)))
    truth = (draw.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    config = make(
        task={"kind": "multilabel", "loss": {"name": loss}, "threshold": threshold, "calibration": "none"},
        data={"train": "rows.csv", "labels": "labels"},
        regularization={"label_smoothing": smoothing},
    )
    task = make_task(config.task, LABELS, {})
    for label in squeezed:
        logits[:, label] = logits[:, label] / 20 - 4.5
    metrics = task.fitted_score(logit_table(logits), label_table(truth))
    counts = dict(zip(LABELS, truth.sum(axis=0).astype(int).tolist(), strict=True))
    split = SplitRecord(rows=1000, digest="", source="rows.csv", labels=counts)
    record = DataRecord(splits={"train": split, "validation": split, "test": split})
    return [note for note in notes_of(config, record, LEVEL, metrics) if "given from" in note]


def test_thresholds_far_below_half_of_f1_are_told_with_what_helps() -> None:
    (note,) = multilabel(ALL)
    assert note.startswith("'joy' is given from a probability of 0.01") and "near F1/2 = 0.3" in note
    assert "the best epoch is kept (train.epochs=6)" in note
    assert multilabel(ALL, threshold=0.02) == [], "that was not fitted"
    assert multilabel([1, 2, 3]) == [], "most of what is given depends on another threshold"


@pytest.mark.parametrize("loss", sorted(spec.model_fields["name"].default for spec in alternatives(MultiLabelLoss)))
def test_no_loss_makes_a_calibrated_model_doubtful_and_what_shifts_by_design_is_not_judged(loss: str) -> None:
    assert multilabel([], loss=loss) == []
    assert bool(multilabel(ALL, loss=loss)) == (loss == "bce")
    assert multilabel(ALL, loss=loss, smoothing=0.1) == []
