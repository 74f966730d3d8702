"""From cells to what is said of every method."""

from collections.abc import Sequence
from statistics import fmean

from tunery.schema.results.comparison import Cell, MethodSummary
from tunery.schema.results.direction import Direction, minimized
from tunery.schema.results.pareto import pareto_front
from tunery.schema.results.run import Memory, Parameters, RunResult
from tunery.statistics import Paired, Score, holm, mean_interval, paired_test


def method_summaries(
    cells: Sequence[Cell], *, methods: Sequence[str], baseline: str, direction: Direction
) -> tuple[MethodSummary, ...]:
    """Every method over its seeds, against the baseline where both have completed the same seeds."""
    by_method = {name: [cell for cell in cells if cell.method == name] for name in methods}
    scores = {name: _scores(cells_of_method) for name, cells_of_method in by_method.items()}
    tests: dict[str, Paired] = {}
    for name in methods:
        seeds = sorted(scores[name].keys() & scores[baseline].keys())
        if name != baseline and seeds:
            own, others = ([scores[method][seed] for seed in seeds] for method in (name, baseline))
            tests[name] = paired_test(own, others)
    held = holm({name: test.p_value for name, test in tests.items() if test.p_value is not None})
    summaries = [
        _summary(name, cells_of_method, tuple(scores[name].values())).model_copy(
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


def _scores(cells: Sequence[Cell]) -> dict[int, Score]:
    """By seed; failed cells and undefined scores are left out."""
    return {
        cell.seed: Score(cell.value, cell.result.metrics.test_without_block)
        for cell in cells
        if cell.value is not None and cell.result is not None
    }


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


def _summary(method: str, cells: Sequence[Cell], scores: Sequence[Score]) -> MethodSummary:
    results = [cell.result for cell in cells if cell.status == "completed" and cell.result is not None]
    low, high = (mean_interval(scores) if scores else None) or (None, None)
    return MethodSummary(
        method=method,
        seeds=len(results),
        failed=sum(cell.status == "failed" for cell in cells),
        mean=_mean([score.value for score in scores]),
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
