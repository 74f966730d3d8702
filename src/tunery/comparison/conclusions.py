"""What the numbers of a comparison say, and do not say, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tunery.comparison.methods import rate_notes
from tunery.report.text.method_names import named
from tunery.schema.config.peft import method_name
from tunery.schema.reading.document import validate
from tunery.schema.results.comparison import Cell, MethodSummary
from tunery.schema.results.direction import Direction, is_better
from tunery.statistics import LEVEL

_OF_TOKENS: Final = ("perplexity", "loss", "accuracy")
"""Metrics that are means over the tokens of a text, where `tokens` of test says how many these are."""


def conclusions(
    methods: Sequence[MethodSummary], cells: Sequence[Cell], *, baseline: str, direction: Direction
) -> tuple[str, ...]:
    """What forbids a conclusion, one line per method against the baseline, then what limits all of them.

    Where the notes of runs make their scores doubtful, or scores are of other tokens, the numbers are there and nothing
    is concluded from them.
    """
    methods, cells, baseline = named(methods), named(cells), method_name(baseline)
    doubts: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.is_doubtful:
            doubts.setdefault(cell.method, []).append(cell)
    against = next((method for method in methods if method.method == baseline), None)
    others = [method for method in methods if method.method != baseline and method.mean is not None]
    tests = sum(method.p_value is not None for method in methods)
    lines = [_against_line(m, against, direction, tests) for m in others if against and against.mean is not None]
    other_tokens = [*_other_tokens(cells)]
    concluded = () if doubts or other_tokens else (*_alike(cells), *_trade_off(methods))
    configs = {cell.method: validate(cell.result.config) for cell in cells if cell.result is not None}
    return (
        *other_tokens,
        *_inconclusive(doubts, cells),
        *lines,
        *_limits(methods),
        *rate_notes(configs),  # a method may be worse for its learning rate alone
        *concluded,
        *_left_out(cells),
    )


def _inconclusive(doubts: Mapping[str, Sequence[Cell]], cells: Sequence[Cell]) -> Iterator[str]:
    """How many runs are doubtful, and of each method the notes of its first one."""
    if not doubts:
        return
    completed = Counter(cell.method for cell in cells if cell.status == "completed")
    count = sum(map(len, doubts.values()))
    doubtful = f"the scores of {count} of {completed.total()} runs are doubtful, so that a difference, or its absence,"
    yield f"no conclusion: {doubtful} may come from how the runs were trained and not from the methods:"
    for method, cells_of_method in doubts.items():
        first = cells_of_method[0].result
        notes = "; ".join(first.notes if first else ())
        yield f"  {method}, {len(cells_of_method)} of {completed[method]} runs: {notes}"


def _other_tokens(cells: Sequence[Cell]) -> Iterator[str]:
    """Whether language models were scored on other tokens of the same text."""
    of_tokens = [cell.result for cell in cells if cell.result and cell.result.objective.name in _OF_TOKENS]
    counts = sorted({(result.metrics.test or {}).get("tokens", 0) for result in of_tokens})
    if len(counts) > 1:
        cut = f"the text of test has {counts[0]:,} tokens for one method and {counts[-1]:,} for another"
        scores = f"so that {of_tokens[0].objective.name}, which is of tokens, does not compare"
        yield f"no conclusion: {cut}, {scores}; search.objective=bits_per_byte does"


def _against_line(method: MethodSummary, against: MethodSummary, direction: Direction, tests: int) -> str:
    means = f"{method.method}: {method.mean:.4f} against {against.mean:.4f} of {against.method}"
    if method.difference is None:
        return f"{means}: no seed in common, so there is no test"
    reach = "" if method.difference_low is None else f" [{method.difference_low:.4f}, {method.difference_high:.4f}]"
    of = f" over {method.folds} folds" if method.folds else ""
    return f"{means}, difference{of} {method.difference:.4f}{reach}: {_test(method, direction, tests)}"


def _test(method: MethodSummary, direction: Direction, tests: int) -> str:
    p_value = method.p_value
    if p_value is None:
        return "not tested, one seed in common"
    shown = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
    if method.significant:
        better = is_better(method.difference or 0.0, 0.0, direction=direction)
        return f"significantly {'better' if better else 'worse'} ({shown})"
    correction = f"; Holm's correction for {tests} tests" if p_value <= LEVEL and tests > 1 else ""
    return f"not significant ({shown}{correction})"


def _limits(methods: Sequence[MethodSummary]) -> Iterator[str]:
    if methods and max(method.seeds for method in methods) == 1 and not any(method.folds for method in methods):
        yield "one seed proves nothing: the intervals are about the test rows alone; repeat with --seeds 3 or more"


def _alike(cells: Sequence[Cell]) -> Iterator[str]:
    values = {cell.value for cell in cells if cell.value is not None}
    if len({cell.method for cell in cells if cell.value is not None}) > 1 and len(values) == 1:
        yield f"every run scores {values.pop():.4f}: the data decide this, not the methods; what check says of them:"
        records = [cell.result.data for cell in cells if cell.result is not None and cell.result.data is not None]
        findings = records[0].findings if records else ()
        yield from (f"  {finding}" for finding in findings or ["nothing; the task is too easy, or nothing was learned"])


def _trade_off(methods: Sequence[MethodSummary]) -> Iterator[str]:
    front = [method.method for method in methods if method.on_pareto_front]
    if front and len(methods) > 1:
        yield f"best trade-off of score against training seconds: {', '.join(front)}"


def _left_out(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        if cell.status == "failed":
            reason = (cell.reason or "no reason given").strip().splitlines()[0]
            yield f"left out: {cell.method} seed {cell.seed} failed ({reason}); run again to retry"
        elif cell.value is None:
            yield f"left out: {cell.method} seed {cell.seed}, whose score on test is undefined"
