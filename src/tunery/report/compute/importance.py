"""Which parameters matter most, and in what order a report shows them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final, NamedTuple

from tunery.report.compute.parameter_axes import FEW_NUMBERS, Missing, group_name
from tunery.report.compute.sampling import sampled
from tunery.report.text.numbers import finite
from tunery.schema.results.study import StudyResult

EVALUATORS: Final = {
    "ped_anova": ("PED-ANOVA", "how much it decides whether a trial is among the best tenth"),
    "fanova": ("fANOVA", "how much of all differences it explains, of the parameters that every trial has"),
}
"""Evaluator -> how it is called, and what its numbers say."""

_MOST_TRIALS = 2_000
"""Trials from which the order of parameters without a computed importance is estimated."""


class ImportanceRow(NamedTuple):
    """One parameter."""

    path: str
    shares: tuple[float | None, ...]
    """One for each evaluator of the study."""
    trials: int


def evaluators(study: StudyResult) -> list[str]:
    """Those that were computed for this study."""
    return [name for name in EVALUATORS if study.importance.get(name)]


def importance_rows(study: StudyResult) -> list[ImportanceRow]:
    """All parameters with an importance, most important first: by the mean of what the evaluators say of each."""
    by_evaluator = [{row.path: row for row in study.importance[name]} for name in evaluators(study)]
    rows = []
    for path in dict.fromkeys(path for shares in by_evaluator for path in shares):
        importances = [shares.get(path) for shares in by_evaluator]
        shares = tuple(finite(row.share) if row else None for row in importances)
        rows.append(ImportanceRow(path, shares, max(row.trials for row in importances if row)))
    return sorted(rows, key=lambda row: -fmean([share for share in row.shares if share is not None] or [0.0]))


def most_important(study: StudyResult, columns: Mapping[str, Sequence[Any]], values: Sequence[float]) -> list[str]:
    """The paths of `columns`, most important first: as the evaluators say, else by how far they explain `values`.

    `columns` holds one value for every trial, `Missing` where it has none, `values` what each trial reached.
    """
    position = {row.path: index for index, row in enumerate(importance_rows(study))}
    ordered = sorted(position.keys() & columns.keys(), key=position.__getitem__)
    if ordered:
        return [*ordered, *(path for path in columns if path not in position)]
    indices = sampled(len(values), _MOST_TRIALS)
    reached = [values[index] for index in indices]
    related = {path: relatedness([column[index] for index in indices], reached) for path, column in columns.items()}
    return sorted(columns, key=lambda path: -related[path])


def varying(trials: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Values of every parameter that is not the same in all trials, by path; given are the parameters of each trial."""
    rows = list(trials)
    paths = dict.fromkeys(path for row in rows for path in row)
    columns = {path: [row.get(path, Missing) for row in rows] for path in paths}
    return {path: column for path, column in columns.items() if len(set(map(group_name, column))) > 1}


def relatedness(column: Sequence[Any], values: Sequence[float]) -> float:
    """Share of the variance of the values' ranks that a parameter explains, corrected for the number of its groups.

    Groups are categories or quarters of a number's range of ranks; trials without the parameter are a group of their
    own. This is epsilon squared (Kelley 1935): about 0 without relation, 1 where the groups tell all.
    """
    ranks, groups = _ranks(values), dict[str, list[int]]()
    for name, rank in zip(_grouped(column), ranks, strict=True):
        groups.setdefault(name, []).append(rank)
    middle = (len(ranks) - 1) / 2
    total = math.fsum((rank - middle) ** 2 for rank in ranks)
    inside = math.fsum(_squared_deviations(group) for group in groups.values())
    freedom = len(ranks) - len(groups)
    return 1 - inside / total * (len(ranks) - 1) / freedom if freedom > 0 and total else 0.0


def _squared_deviations(group: Sequence[int]) -> float:
    """Sum of the squared deviations from the mean."""
    mean = fmean(group)
    return math.fsum((rank - mean) ** 2 for rank in group)


def _ranks(values: Sequence[float]) -> list[int]:
    ranks = [0] * len(values)
    for rank, trial in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[trial] = rank
    return ranks


def _grouped(column: Sequence[Any]) -> list[str]:
    """The group of each trial: the name of its category, or the quarter in which its number ranks."""
    numbers = [finite(value) for value in column]
    ordered = sorted(number for number in numbers if number is not None)
    if len(set(ordered)) <= FEW_NUMBERS:
        return [group_name(value) for value in column]
    first_index = {number: index for index, number in reversed(list(enumerate(ordered)))}
    return [
        group_name(value) if number is None else str(4 * first_index[number] // len(ordered))
        for value, number in zip(column, numbers, strict=True)
    ]
