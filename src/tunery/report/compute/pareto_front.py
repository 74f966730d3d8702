"""What a score costs in a study with several objectives: every trial in the plane of one cost and the objective."""

from typing import NamedTuple

from tunery.report.compute.run_and_study import Limits, view_limits
from tunery.report.compute.sampling import sampled
from tunery.report.text.cost_units import COST_WORDS, CostWords, unit_for, wide
from tunery.report.text.formatting import DASH
from tunery.report.text.numbers import finite
from tunery.schema.results.direction import minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.study import StudyResult, TrialRecord

MOST_IN_PLANE = 800
"""Trials that are drawn in one plane."""


class TrialPoint(NamedTuple):
    """One completed trial."""

    number: int
    cost: float
    """In the unit of its plane."""
    value: float
    on_front: bool
    """Whether it is Pareto-optimal, all objectives counted."""


class Plane(NamedTuple):
    """The objective against one cost."""

    title: str
    """Name and unit of the cost."""
    logarithmic: bool
    points: tuple[TrialPoint, ...]
    """In the order of the trials, sampled where there are many; the Pareto-optimal ones are complete."""
    stairs: tuple[tuple[float, float], ...]
    """Costs and values that are Pareto-optimal in this plane, from the cheapest on."""
    limits: Limits
    """Values that are drawn."""
    of: int
    """Trials of which the points are a sample."""


def costs_of(study: StudyResult) -> tuple[str, ...]:
    """Names of the costs beside the objective."""
    return study.objectives[1:]


def pareto_trials(study: StudyResult) -> list[TrialRecord]:
    """The Pareto-optimal trials, best value first."""
    by_number = {trial.number: trial for trial in study.trials}
    trials = [by_number[number] for number in study.front if number in by_number]
    return sorted(trials, key=lambda trial: ranking_key(finite(trial.value), None, direction=study.direction))


def cost_text(trial: TrialRecord, cost: str) -> str:
    """One cost of a trial as people say it; a dash where it is not known."""
    value = finite(trial.costs.get(cost))
    return DASH if value is None else COST_WORDS[cost].text(value)


def planes(study: StudyResult) -> tuple[Plane, ...]:
    """One plane for every cost that any completed trial has."""
    all_planes = (_plane(study, cost, COST_WORDS[cost]) for cost in costs_of(study))
    return tuple(plane for plane in all_planes if plane.points)


def _plane(study: StudyResult, cost: str, words: CostWords) -> Plane:
    scored = [
        (trial.number, spent, value)
        for trial in study.trials
        if trial.status == "completed"
        and (spent := finite(trial.costs.get(cost))) is not None
        and (value := finite(trial.value)) is not None
    ]
    divisor, unit = unit_for((spent for _, spent, _ in scored), words.units)
    points = [TrialPoint(number, spent / divisor, value, number in study.front) for number, spent, value in scored]
    kept = {index for index, point in enumerate(points) if point.on_front}
    costs_and_values = {
        (point.cost, point.value): (point.cost, minimized(point.value, study.direction))
        for point in points
        if point.on_front
    }
    return Plane(
        title=f"{words.name} ({unit})" if unit else words.name,
        logarithmic=wide(point.cost for point in points),
        points=tuple(points[index] for index in sampled(len(points), MOST_IN_PLANE, kept=kept)),
        stairs=tuple(sorted(pareto_front(costs_and_values))),
        limits=view_limits((point.value for point in points), study.direction),
        of=len(points),
    )
