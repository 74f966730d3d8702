"""Numbers and levels: units, what is undefined, intervals, and what knows nothing of the text."""

from typing import Any

import numpy as np
import pytest

from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.errors import DataError, NonFiniteLoss
from tunery.schema.config.data import Data
from tunery.schema.config.task import RegressionTask
from tunery.schema.results.run import NumberSummary, SplitRecord
from tunery.tasks.regression import Regression
from tunery.tasks.table import make_task
from tunery.tasks.task import Task
from tunery.train.predict.scoring import jackknife, score, state_in

SPEC, LEVELS = RegressionTask(), RegressionTask(ordinal=True)


def rows(*numbers: float, levels: bool = False) -> list[Example]:
    return [Example("t", labels=(f"{number:g}",) if levels else (), number=number) for number in numbers]


def numbers_task(*numbers: float, coverage: float = 0.9) -> Task:
    spec = RegressionTask(coverage=coverage)
    return make_task(spec, (), Regression.settings_of(spec, rows(*numbers)))


def level_logits(*answers: float, levels: int) -> RowTable:
    """Sure answers: a level from 0."""
    given = np.array(answers)
    return RowTable({"logits": 4 * (given[:, None] - np.arange(levels - 1) - 0.5)})


def test_numbers_are_in_the_units_of_the_data_whatever_these_are() -> None:
    """All metrics but the loss follow the unit, and answers do."""
    draw = np.random.default_rng(0)
    right, noise = draw.normal(size=80), draw.normal(size=80) / 3
    scored, predicted = [], []
    for scale, shift in ((1.0, 0.0), (1000.0, -50_000.0)):
        task = numbers_task(*(scale * right + shift))
        truth = task.truth(rows(*(scale * right + shift)))
        answers = RowTable({"number": truth["number"] + noise.astype(np.float32)})
        metrics = score(task, answers, truth)
        scored.append(metrics)
        predicted.append(task.answer(answers, rows(*right), state_in(task, metrics))[0])
    small, large = scored
    for name, power in {
        "spearman": 0,
        "pearson": 0,
        "r2": 0,
        "mae": 1,
        "mse": 2,
        "loss": 0,
        "interval_width": 1,
    }.items():
        assert large[name] == pytest.approx(1000**power * small[name], rel=1e-5), name
    assert small["loss"] == pytest.approx(small["mse"] / right.var())
    assert large["interval_coverage"] == small["interval_coverage"]
    assert [getattr(predicted[1], key) for key in ("low", "value", "high")] == pytest.approx(
        [1000 * getattr(predicted[0], key) - 50_000 for key in ("low", "value", "high")]
    )
    assert predicted[0].label is None and predicted[0].confidence is None and not predicted[0].probabilities


def test_settings_come_back_from_a_card_to_the_last_bit() -> None:
    settings = Regression.settings_of(SPEC, rows(0.1, 0.2, 0.7))
    again = make_task(SPEC, (), {key: str(value) for key, value in settings.items()})
    assert again.settings == settings and again.labels == ()
    assert np.array_equal(again.truth(rows(5.0))["number"], numbers_task(0.1, 0.2, 0.7).truth(rows(5.0))["number"])


@pytest.mark.parametrize("levels", [False, True])
def test_constant_answers_and_truth_have_no_correlation(levels: bool) -> None:
    task = make_task(LEVELS, ("1", "2", "3"), {}) if levels else numbers_task(1, 2, 3)
    truth = task.truth(rows(1, 2, 3, levels=levels))
    same = task.untrained(truth).take([0, 0, 0])
    scored = task.score(same, truth, None)
    assert scored["spearman"] is scored["pearson"] is None and scored["r2"] is not None
    equal = truth.take([1, 1, 1])
    assert {name: task.score(task.untrained(equal), equal, None)[name] for name in ("spearman", "pearson", "r2")} == {
        "spearman": None,
        "pearson": None,
        "r2": None,
    }
    assert task.one_answer(scored, rows=3) is not None, "all rows got one answer although they differ"
    assert task.one_answer(task.score(same, equal, None), rows=3) is None
    assert task.one_answer(task.score(task.untrained(truth), truth, None), rows=3) is None


def test_untrained_answers_show_every_metric() -> None:
    for task, truth in (
        (numbers_task(1, 2, 5), rows(1, 2, 5)),
        (make_task(LEVELS, ("1", "2"), {}), rows(1, 2, levels=True)),
    ):
        table = task.truth(truth)
        scored = task.score(task.untrained(table), table, None)
        assert all(scored[name] is not None for name in SPEC.metrics)


@pytest.mark.parametrize("levels", [False, True])
def test_too_few_rows_give_no_interval(levels: bool) -> None:
    numbers = [1.0, 2.0, 3.0, 2.0] * 2
    task = make_task(LEVELS, ("1", "2", "3"), {}) if levels else numbers_task(*numbers)
    truth = task.truth(rows(*numbers, levels=levels))
    scored = score(task, task.untrained(truth), truth)
    assert scored["conformal_quantile"] is scored["interval_coverage"] is scored["interval_width"] is None
    (answer, *_) = task.answer(task.untrained(truth), rows(*numbers), state_in(task, scored))
    assert answer.low is answer.high is None and answer.value is not None
    assert task.columns(answer, Data(train="")) == {"value": pytest.approx(answer.value), "low": None, "high": None}


@pytest.mark.parametrize("levels", [False, True])
def test_intervals_of_new_rows_cover_as_often_as_asked_for(levels: bool) -> None:
    """Over draws of 40 validation and 40 test rows: at least 80 %, and hardly more where numbers are continuous; and
    the coverage that is said of validation is honest, too."""
    draw, said, reached = np.random.default_rng(3), list[float](), list[float]()
    for _ in range(300):
        hidden = draw.normal(size=80)
        if levels:
            task: Task = make_task(RegressionTask(ordinal=True, coverage=0.8), ("1", "2", "3", "4"), {})
            numbers = 1 + np.clip(np.round(hidden + 1.5 + draw.normal(size=80)), 0, 3)
            answers = RowTable({"logits": 3 * (hidden[:, None] + 1 - np.arange(3))})
        else:
            task = numbers_task(*hidden, coverage=0.8)
            numbers = hidden + draw.standard_t(3, size=80)
            answers = RowTable({"number": hidden})
        truth = task.truth(rows(*numbers, levels=levels))
        validation, test = np.arange(40), np.arange(40, 80)
        scored = score(task, answers.take(validation), truth.take(validation))
        on_test = task.score(answers.take(test), truth.take(test), state_in(task, scored))
        said.append(scored["interval_coverage"])
        reached.append(on_test["interval_coverage"])
    assert 0.79 < np.mean(reached) < (1.0 if levels else 0.8 + 1 / 41 + 0.01)
    assert np.mean(said) > 0.79 and abs(np.mean(said) - np.mean(reached)) < 0.02


def test_a_level_is_the_middle_of_its_distribution() -> None:
    task = make_task(LEVELS, ("1", "2", "3", "5"), {})
    truth = task.truth(rows(1, 3, 5, levels=True))
    (first, second, third) = task.answer(level_logits(0, 2, 3, levels=4), rows(1, 3, 5), {"conformal_quantile": 0.99})
    assert [one.value for one in (first, second, third)] == [1.0, 3.0, 5.0]
    assert second.label == "3" and second.labels == ("3",) and list(second.probabilities) == ["1", "2", "3", "5"]
    assert sum(second.probabilities.values()) == pytest.approx(1)
    assert second.confidence == second.probabilities["3"] == max(second.probabilities.values())
    assert second.low is not None and second.high is not None and second.low <= 3 <= second.high
    scored = task.score(level_logits(1, 2, 1, levels=4), truth, None)
    assert scored["mae"] == pytest.approx((1 + 0 + 3) / 3), "in the numbers that levels are called by"
    assert scored["accuracy"] == pytest.approx(1 / 3)
    assert scored["confusion_matrix"][3] == [0, 1, 0, 0]


def test_chance_knows_the_mean_or_the_frequencies() -> None:
    numbers = np.random.default_rng(0).normal(5, 3, size=50)
    task = numbers_task(*numbers)
    truth = task.truth(rows(*numbers))
    mean = RowTable({"number": np.zeros(50)})
    summary = NumberSummary(lowest=0, highest=1, mean=5, standard_deviation=float(numbers.std()))
    record = SplitRecord(rows=50, digest="", source="", labels={}, numbers=summary)
    scored = task.score(mean, truth, None)
    assert task.chance_loss(record, scored) == pytest.approx(scored["loss"]) == pytest.approx(1.0)
    assert task.ranks_right(scored) is None and task.ranks_right({"spearman": 1.0}) == 1.0
    levels = make_task(LEVELS, ("1", "2", "3"), {})
    given = levels.truth(rows(1, 1, 2, 3, 3, 3, levels=True))
    odds = np.log([4 / 2, 3 / 3])
    scored = levels.score(RowTable({"logits": np.tile(odds, (6, 1))}), given, None)
    record = SplitRecord(rows=6, digest="", source="", labels={"1": 2, "2": 1, "3": 3})
    assert Regression.chance_loss(record, scored) == pytest.approx(scored["loss"])


def test_blocks_are_scored_with_the_intervals_of_validation() -> None:
    numbers = np.arange(60.0)
    task = numbers_task(*numbers)
    truth = task.truth(rows(*numbers))
    scored, without_block = jackknife(task, truth, truth, {"conformal_quantile": 2.0}, objective="r2")
    assert scored["interval_width"] == pytest.approx(4) and scored["interval_coverage"] == 1.0
    assert len(without_block) == 50 and set(without_block) == {1.0}


def test_what_cannot_be_is_refused() -> None:
    task = make_task(LEVELS, ("1", "2", "3"), {})
    with pytest.raises(DataError, match="level '7' is unknown to the model"):
        task.truth(rows(1, 7, levels=True))
    numbers = numbers_task(1, 2)
    with pytest.raises(DataError, match="every row needs a number"):
        numbers.truth([Example("t")])
    bad: Any = RowTable({"number": np.array([0.0, np.nan])})
    with pytest.raises(NonFiniteLoss):
        numbers.score(bad, numbers.truth(rows(1, 2)), None)
    with pytest.raises(Exception, match="a threshold is for tasks that give labels"):
        numbers.state_at(0.5)
