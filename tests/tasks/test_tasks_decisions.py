"""Costs, targets and shrinkage, held against what they are defined as."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from row_tables import label_table, logit_table
from tunery.data.metrics import NEVER, abstention_curve, target_threshold
from tunery.errors import ConfigError
from tunery.schema.config.decision import AtLeastThreshold, Costs, FixedThreshold
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tasks.decisions import OneLabel
from tunery.tasks.table import make_task
from tunery.tasks.thresholds import shrunk

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.floats(0.001, 0.999)


@examples(0.5)
@given(SEEDS, st.integers(2, 5), st.booleans())
def test_the_label_that_is_told_has_the_lowest_expected_cost(seed: int, labels: int, is_calibrated: bool) -> None:
    draw = np.random.default_rng(seed)
    names, logits = [str(k) for k in range(labels)], 3 * draw.normal(size=(20, labels))
    costs = {a: {b: float(draw.exponential()) for b in names if b != a} for a in names}
    decisions = OneLabel(names, costs=costs)  # type: ignore[arg-type]
    state = {"calibration": {"temperature": 2.0}} if is_calibrated else None
    p = decisions.probabilities(logits, state)
    for row, told in zip(p, decisions.decide(logits, state).given, strict=True):
        expected = [sum(row[j] * costs[names[j]].get(names[k], 0.0) for j in range(labels)) for k in range(labels)]
        assert told.sum() == 1 and expected[int(told.argmax())] == pytest.approx(min(expected))


@examples(0.5)
@given(SEEDS, st.integers(1, 4))
def test_no_set_of_labels_costs_less(seed: int, labels: int) -> None:
    draw = np.random.default_rng(seed)
    names, logits = [str(k) for k in range(labels)], 2 * draw.normal(size=(12, labels))
    missed, wrong = (dict(zip(names, draw.exponential(size=labels) + 0.01, strict=True)) for _ in range(2))
    task = make_task(MultilabelTask(costs=Costs(missed=missed, wrong=wrong)), names, {})
    targets = (draw.random(logits.shape) < 0.5).astype(np.float32)
    state: Any = task.fit_state(logit_table(logits), label_table(targets))
    answers = task.answer(logit_table(logits), [], state)

    def cost(chosen: Any, p: Any) -> float:
        terms = zip(names, chosen, p, strict=True)
        return sum((1 - q) * wrong[n] if is_given else q * missed[n] for n, is_given, q in terms)

    for answer in answers:
        p = [*answer.probabilities.values()]
        best = min(cost(chosen, p) for chosen in product((0, 1), repeat=labels))
        assert cost([name in answer.labels for name in names], p) == pytest.approx(best)
    told = [cost([n in answer.labels for n in names], row) for answer, row in zip(answers, targets, strict=True)]
    assert task.score(logit_table(logits), label_table(targets), state)["cost"] == pytest.approx(np.mean(told))


def test_errors_that_cost_the_same_are_decided_at_one_half() -> None:
    draw = np.random.default_rng(0)
    logits, names = 4 * draw.normal(size=(300, 3)), ("a", "b", "c")
    targets = (draw.random(logits.shape) < 1 / (1 + np.exp(-logits / 3))).astype(np.float32)
    even = make_task(MultilabelTask(costs=Costs(missed=2, wrong=2)), names, {})
    half = make_task(MultilabelTask(threshold=FixedThreshold(value=0.5)), names, {})
    tables = logit_table(logits), label_table(targets)
    assert even.fit_state(*tables) == half.fit_state(*tables)
    by_cost, by_half = even.fitted_score(*tables), half.fitted_score(*tables)
    assert by_cost.pop("cost") == pytest.approx(2 * 3 * np.mean(wrong_decisions(half, tables)))
    assert by_cost == by_half
    one: Any = {a: {b: 1.0 for b in names if b != a} for a in names}
    plain, costly = make_task(ClassificationTask(), names, {}), make_task(ClassificationTask(costs=one), names, {})
    truth = label_table(logits.argmax(axis=1))
    scores = costly.score(tables[0], truth, None)
    assert scores["confusion_matrix"] == plain.score(tables[0], truth, None)["confusion_matrix"]
    assert scores["cost"] == 1 - scores["accuracy"]


def wrong_decisions(task: Any, tables: Any) -> Any:
    logits, targets = tables[0]["logits"], tables[1]["labels"]
    return task.decisions.out_of_fold(logits, targets).given != (targets > 0)


@examples(0.3)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 1000)), min_size=1), NUMBERS)
def test_shrunk_thresholds_lie_between_the_two(labels: list[tuple[float, float, int]], shared: float) -> None:
    own, _, support = (np.array(column) for column in zip(*labels, strict=True))
    result = shrunk(own, shared, support)
    assert (np.minimum(own, shared) - 1e-12 <= result).all() and (result <= np.maximum(own, shared) + 1e-12).all()
    assert (result[support == 0] == shared).all()
    assert (np.abs(shrunk(own, shared, support + 10) - own) <= np.abs(result - own) + 1e-12).all()


@examples(1.0)
@given(
    st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 7).tolist()), st.booleans()), min_size=1, max_size=25),
    st.sampled_from(["precision", "recall"]),
    st.floats(0.05, 0.95),
)
def test_a_target_is_reached_at_the_highest_other(rows: list[tuple[float, bool]], metric: Any, least: float) -> None:
    p, truth = (np.array(column) for column in zip(*rows, strict=True))

    def both(cut: float) -> tuple[float, float]:
        given_rows = p >= cut
        hits = (truth & given_rows).sum()
        pair = float(hits / max(given_rows.sum(), 1)), float(hits / max(truth.sum(), 1))
        return pair if metric == "precision" else pair[::-1]

    tried = [both(cut) for cut in np.linspace(0, 1, 121)]
    fitting = [(other, reached) for reached, other in tried if reached >= least]
    cut = target_threshold(p, truth, metric=metric, least=least)
    if fitting:
        assert both(cut)[::-1] == max(fitting)
    else:
        assert cut == NEVER and not (p >= cut).any()


@examples(0.3)
@given(SEEDS, st.integers(1, 200))
def test_what_to_expect_of_abstaining_is_what_happens_on_these_rows(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    confidence, right = draw.random(count).round(2), draw.random(count) < 0.7
    curve = abstention_curve(confidence, right)
    assert curve[0][1] == 0.0 and curve == sorted(curve) and len(curve) <= 50
    for least, share, accuracy in curve:
        assert share == pytest.approx((confidence < least).mean())
        assert accuracy == pytest.approx(right[confidence >= least].mean())


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        (
            MultilabelTask(threshold=FixedThreshold(value={"joy": 0.3, "angr": 0.2})),
            [
                ("task.threshold.value", "no training row has the label 'angr'; did you mean 'anger'?"),
                ("task.threshold.value", "every label must be covered, but there is nothing for 'anger', 'fear'; "),
            ],
        ),
        (
            MultilabelTask(costs=Costs(missed={"joy": 1, "anger": 2}, wrong=1)),
            [("task.costs.missed", "every label must be covered, but there is nothing for 'fear'; ")],
        ),
        (
            ClassificationTask(costs={"joy": {"anger": 1, "fear": 1}, "anger": {"joy": 1, "fere": 2}}),  # type: ignore[arg-type]
            [
                ("task.costs", "every label must be covered, but there is nothing for 'fear'; "),
                ("task.costs.anger", "no training row has the label 'fere'; did you mean 'fear'?"),
                ("task.costs.anger", "every label must be covered, but there is nothing for 'fear'; "),
            ],
        ),
    ],
)
def test_labels_that_are_not_covered_or_not_there_are_named(spec: Any, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(ConfigError) as refused:
        make_task(spec, ("joy", "anger", "fear"), {})
    found = refused.value.problems
    assert [problem.path for problem in found] == [path for path, _ in problems]
    assert all(problem.message.startswith(text) for problem, (_, text) in zip(found, problems, strict=True))


def test_a_target_for_a_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no training row has the label 'jooy'; did you mean 'joy'"):
        make_task(MultilabelTask(threshold=AtLeastThreshold(precision={"jooy": 0.9})), ("joy", "anger"), {})
