"""A study with several objectives: every trial in the plane of the first and one other, a cost or a metric."""

from typing import NamedTuple

from tunery.report.compute.run_and_study import Limits, view_limits
from tunery.report.compute.sampling import sampled
from tunery.report.text.cost_units import COST_WORDS, unit_for, wide, words_of
from tunery.report.text.formatting import DASH
from tunery.report.text.numbers import finite
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.study import StudyResult, TrialRecord

MOST_IN_PLANE = 800
"""Trials that are drawn in one plane."""


class TrialPoint(NamedTuple):
    """One completed trial."""

    number: int
    x: float
    """The other objective, in the unit of its plane."""
    value: float
    on_front: bool
    """Whether it is Pareto-optimal, all objectives counted."""


class Plane(NamedTuple):
    """The objective against one other."""

    title: str
    """Name and unit of the other."""
    direction: Direction
    """Which way the other is better."""
    logarithmic: bool
    points: tuple[TrialPoint, ...]
    """In the order of the trials, sampled where there are many; the Pareto-optimal ones are complete."""
    stairs: tuple[tuple[float, float], ...]
    """Points that are Pareto-optimal in this plane, from the best of the other objective on."""
    limits: Limits
    """Values that are drawn."""
    of: int
    """Trials of which the points are a sample."""


def further_objectives(study: StudyResult) -> tuple[str, ...]:
    """Names of the other metrics and the costs that count beside the objective."""
    return study.objectives[1:]


def pareto_trials(study: StudyResult) -> list[TrialRecord]:
    """The Pareto-optimal trials, best value first."""
    by_number = {trial.number: trial for trial in study.trials}
    trials = [by_number[number] for number in study.front if number in by_number]
    return sorted(trials, key=lambda trial: ranking_key(finite(trial.value), None, direction=study.direction))


def beside_text(trial: TrialRecord, name: str) -> str:
    """Another objective of a trial as people say it; a dash where it is not known."""
    value = finite(trial.beside.get(name))
    return DASH if value is None else words_of(name).text(value)


def planes(study: StudyResult) -> tuple[Plane, ...]:
    """One plane for every other objective that any completed trial has."""
    others = zip(further_objectives(study), study.directions[1:], strict=True)
    all_planes = (_plane(study, name, direction) for name, direction in others)
    return tuple(plane for plane in all_planes if plane.points)


def _plane(study: StudyResult, name: str, direction: Direction) -> Plane:
    scored = [
        (trial.number, other, value)
        for trial in study.trials
        if trial.status == "completed"
        and (other := finite(trial.beside.get(name))) is not None
        and (value := finite(trial.value)) is not None
    ]
    words = words_of(name)
    divisor, unit = unit_for((other for _, other, _ in scored), words.units)
    points = [TrialPoint(number, other / divisor, value, number in study.front) for number, other, value in scored]
    kept = {index for index, point in enumerate(points) if point.on_front}
    corners = {
        (point.x, point.value): (minimized(point.x, direction), minimized(point.value, study.direction))
        for point in points
        if point.on_front
    }
    return Plane(
        title=f"{words.name} ({unit})" if unit else words.name,
        direction=direction,
        logarithmic=name in COST_WORDS and wide(point.x for point in points),
        points=tuple(points[index] for index in sampled(len(points), MOST_IN_PLANE, kept=kept)),
        stairs=tuple(sorted(pareto_front(corners), key=lambda point: minimized(point[0], direction))),
        limits=view_limits((point.value for point in points), study.direction),
        of=len(points),
    )
