"""From cells to what is said of every method."""

from collections.abc import Sequence
from statistics import fmean

from tunery.schema.results.comparison import Cell, MethodSummary
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.run import Memory, Parameters, RunResult
from tunery.statistics import (
    Paired,
    Score,
    corrected_resampled_test,
    cross_validation_interval,
    holm,
    mean_interval,
    paired_test,
)


def method_summaries(
    cells: Sequence[Cell], *, methods: Sequence[str], baseline: str, direction: Direction
) -> tuple[MethodSummary, ...]:
    """Every method over its seeds, against the baseline where both have completed the same seeds."""
    by_method = {name: [cell for cell in cells if cell.method == name] for name in methods}
    results = {name: _results(cells_of_method) for name, cells_of_method in by_method.items()}
    tests: dict[str, Paired] = {}
    for name in methods:
        seeds = sorted(results[name].keys() & results[baseline].keys())
        if name != baseline and seeds:
            own, others = ([results[method][seed] for seed in seeds] for method in (name, baseline))
            tests[name] = _test(own, others)
    held = holm({name: test.p_value for name, test in tests.items() if test.p_value is not None})
    summaries = [
        _summary(name, cells_of_method, tuple(results[name].values())).model_copy(
            update=_against_the_baseline(tests.get(name), held.get(name))
        )
        for name, cells_of_method in by_method.items()
    ]
    points = {
        summary.method: (minimized(summary.mean, direction), summary.seconds)
        for summary in summaries
        if summary.mean is not None and summary.seconds is not None
    }
    front = pareto_front(points)
    return tuple(one.model_copy(update={"on_pareto_front": one.method in front}) for one in summaries)


def _results(cells: Sequence[Cell]) -> dict[int, RunResult]:
    """By seed; failed cells and undefined scores are left out."""
    return {cell.seed: cell.result for cell in cells if cell.value is not None and cell.result is not None}


def _score(result: RunResult) -> Score:
    """On test; of cross-validation, out of fold."""
    name, metrics = result.objective.name, result.metrics
    if metrics.oof is not None:
        return Score(metrics.oof[name], metrics.oof_without_block)
    return Score((metrics.test or {})[name], metrics.test_without_block)


def _test(own: Sequence[RunResult], others: Sequence[RunResult]) -> Paired:
    """Runs with the same seeds; of cross-validation, the same folds, over whose seeds differences are averaged."""
    if not all(result.folds for result in (*own, *others)):
        return paired_test([*map(_score, own)], [*map(_score, others)])
    by_fold: dict[int, list[float]] = {}
    for result, other in zip(own, others, strict=True):
        values = {fold.fold: fold.value for fold in other.folds}
        for fold in result.folds:
            if fold.value is not None and (rival := values.get(fold.fold)) is not None:
                by_fold.setdefault(fold.fold, []).append(fold.value - rival)
    return corrected_resampled_test([*map(fmean, by_fold.values())], folds=own[0].config["data"]["folds"])


def _interval(results: Sequence[RunResult]) -> tuple[float, float] | None:
    """Of the mean score."""
    scores = [*map(_score, results)]
    if not scores or not all(result.folds for result in results):
        return mean_interval(scores) if scores else None
    blocks = zip(*(score.without_block for score in scores), strict=True)
    mean = Score(
        fmean(score.value for score in scores),
        tuple(None if None in values else fmean(v for v in values if v is not None) for values in blocks),
    )
    return cross_validation_interval(mean, folds=results[0].config["data"]["folds"])


def _against_the_baseline(test: Paired | None, significant: bool | None) -> dict[str, float | bool | None]:
    if test is None:
        return {}
    return {
        "difference": test.difference,
        "difference_low": test.low,
        "difference_high": test.high,
        "p_value": test.p_value,
        "significant": significant,
    }


def _summary(method: str, cells: Sequence[Cell], scored: Sequence[RunResult]) -> MethodSummary:
    """scored: those of the cells' results that have a score."""
    results = [cell.result for cell in cells if cell.status == "completed" and cell.result is not None]
    low, high = _interval(scored) or (None, None)
    return MethodSummary(
        method=method,
        seeds=len(results),
        failed=sum(cell.status == "failed" for cell in cells),
        mean=_mean([_score(result).value for result in scored]),
        folds=min((len(result.folds) for result in scored), default=0),
        low=low,
        high=high,
        validation=_mean([result.objective.value for result in results]),
        parameters=_parameters(results),
        seconds=_mean([result.seconds.train for result in results]),
        total_seconds=_mean([result.seconds.total for result in results]),
        tokens_per_second=_mean([r.tokens.real / r.seconds.train if r.seconds.train else None for r in results]),
        memory=_memory(results),
        disk_bytes=_mean([result.disk_bytes for result in results]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _parameters(results: Sequence[RunResult]) -> Parameters | None:
    """The same for every seed; ranks that were moved in training belong to one seed and stay in its record."""
    first = next((result.parameters for result in results if result.parameters is not None), None)
    return first.model_copy(update={"ranks": None}) if first else None


def _memory(results: Sequence[RunResult]) -> Memory | None:
    if not results:
        return None
    device = _mean([result.memory.device_peak_bytes for result in results])
    host = fmean(result.memory.host_peak_bytes for result in results)
    return Memory(host_peak_bytes=round(host), device_peak_bytes=None if device is None else round(device))
