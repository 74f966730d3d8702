"""The page of a comparison: the verdicts, the methods beside one another, what they cost, and every cell."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tunery.report.charts.comparison_charts import (
    Rows,
    bar_panel,
    difference_panel,
    log_panel,
    rows_chart,
    score_panel,
    trade_off_chart,
)
from tunery.report.charts.figure import Size
from tunery.report.compute.comparison import (
    Intervals,
    difference_intervals,
    memory_cost,
    memory_kind,
    peak_bytes,
    ranked,
    score_intervals,
    time_cost,
    trade_off,
    trainable_cost,
)
from tunery.report.markup import Child, Html, join, prose, tag
from tunery.report.pages.components import (
    data_section,
    environment_section,
    figure,
    legend,
    number_cell,
    saved_tile,
    section,
    table,
    tiles,
)
from tunery.report.pages.disk_section import disk_section
from tunery.report.text.comparison_table import comparison_rows, interval, scored_title
from tunery.report.text.formatting import (
    DASH,
    cost_axes_sentence,
    count,
    duration,
    metric_name,
    objective_sentence,
    plural,
    score,
    signed,
)
from tunery.report.text.method_names import comparison_to_read
from tunery.report.text.numbers import finite
from tunery.schema.results.comparison import Cell, ComparisonResult, MethodSummary
from tunery.schema.results.storage import Storage

_WIDE = 1040


def comparison_body(result: ComparisonResult, *, storage: Storage | None) -> Html:
    """Everything between the first and the last line of the page."""
    now = comparison_to_read(result.model_copy(update={"disk": storage.disk}) if storage else result)
    return join(_sections(now, storage))


def _sections(result: ComparisonResult, storage: Storage | None) -> Iterator[Html | None]:
    yield _header(result)
    yield _tiles(result)
    yield _methods(result)
    yield _scores(result)
    yield _costs(result)
    yield _trade_offs(result)
    yield _cells(result)
    notes = _FOLD_NOTES if result.is_cross_validated else _TEST_NOTES
    lines = [*notes, *_METHOD_NOTES, f"Seeds: {', '.join(map(str, result.seeds))}."]
    yield section("How the numbers were computed", tag("ul", [tag("li", line) for line in lines], class_="findings"))
    if storage:
        yield disk_section(storage)
    yield data_section(cell.result.data for cell in result.cells if cell.result and cell.result.data)
    if result.environment:
        yield environment_section(result.environment)


def comparison_headline(result: ComparisonResult) -> str:
    """Whose mean is the best, and whether any difference is significant, in one sentence."""
    scored = [method for method in ranked(result) if finite(method.mean) is not None]
    if not scored:
        return "No method has a score."
    name, first, tied = metric_name(result.objective), scored[0], [m for m in scored if m.mean == scored[0].mean]
    if len(tied) > 1:
        shared = f"{plural(len(tied), 'method')} share the best mean {name} {result.where}, {score(first.mean)}"
        return f"{shared}{_doubt(result)}."
    over = f", over {plural(first.seeds, 'seed')}" if first.seeds > 1 else ""
    return f"Best mean {name} {result.where}{over}: {first.method} with {score(first.mean)}{_reservation(result)}."


def _reservation(result: ComparisonResult) -> str:
    tested = [method.significant for method in result.methods if method.significant is not None]
    if doubt := _doubt(result):
        return doubt
    if not tested:
        return ""
    if not any(tested):
        return f", but no method differs significantly from {result.baseline}"
    return f"; {sum(tested)} of {len(tested)} differ significantly from {result.baseline}"


def _doubt(result: ComparisonResult) -> str:
    if any(cell.is_doubtful for cell in result.cells):
        return ", but the scores of some runs are doubtful, so nothing is concluded"
    undecided = any(line.startswith("no conclusion") for line in result.verdicts)
    return ", but nothing is concluded from it" if undecided else ""


def _header(result: ComparisonResult) -> Html:
    # a line that begins with a space goes on from the one before
    lines = [tag("li", prose(line.strip()), class_="on" if line.startswith(" ") else None) for line in result.verdicts]
    return tag(
        "header",
        tag("p", result.name, class_="name"),
        tag("h1", comparison_headline(result)),
        tag("ul", lines, class_="verdicts") if lines else None,
        tag(
            "p",
            objective_sentence(
                result.objective,
                result.direction,
                where="out of fold" if result.is_cross_validated else "on the test split",
            ),
            class_="quiet",
        ),
    )


def _tiles(result: ComparisonResult) -> Html:
    failed = sum(cell.status == "failed" for cell in result.cells)
    rows = [("Methods", f"{len(result.methods)}", f"baseline: {result.baseline}")]
    rows.append(("Seeds", f"{len(result.seeds)}", "of every method, the same for all"))
    rows.append(("Runs", f"{len(result.cells)}", f"{failed} failed" if failed else "all completed"))
    rows.append(("Run time", duration(result.seconds), "all runs together"))
    if result.best:
        rows.append(("Kept", result.best.method, f"seed {result.best.seed}, the best on validation"))
    rows.append(saved_tile(result.disk.bytes, result.disk.keep_all_bytes))
    return tiles(rows)


def _methods(result: ComparisonResult) -> Html:
    where = memory_kind(result)
    header = [("method", None), (metric_name(result.objective), "n"), ("difference", "n")]
    header += [("test", None), ("trainable", "n"), ("training", "n"), ("tokens/s", "n"), (f"{where} memory", "n")]
    header += [("disk", "n"), ("seeds", "n")]
    texts = comparison_rows(result)
    rows = [_method_row(m, t, result, where) for m, t in zip(ranked(result), texts, strict=True)]
    note = f"Means over the seeds, 95 % intervals below them; differences are those to {result.baseline}."
    note += " Click a column to sort by it."
    return section(
        "Methods", tag("p", note, class_="quiet"), table(header, rows, sortable=True, tall=False, class_="dense")
    )


def _method_row(method: MethodSummary, text: Mapping[str, Any], result: ComparisonResult, where: str) -> Html:
    parameters, test = method.parameters, _significance(method, result.baseline)
    cells = [
        tag("td", tag("span", method.method, class_="method")),
        _two(method.mean, text["score"], interval(method.low, method.high)),
        _two(method.difference, text["difference"], interval(method.difference_low, method.difference_high, signed)),
        tag("td", test[0], _below(test[1]), data_v=_sorted(method.p_value)),
        _two(parameters and parameters.trainable, text["trainable"], text["percent"]),
        _two(method.seconds, duration(method.seconds), f"total {duration(method.total_seconds)}"),
        _two(method.tokens_per_second, text["tokens/s"], ""),
        _two(peak_bytes(method, where), text["memory"], ""),
        _two(method.disk_bytes, text["disk"], ""),
        _two(method.seeds, str(method.seeds), f"{method.failed} failed" if method.failed else ""),
    ]
    return tag("tr", cells, class_="baseline" if method.method == result.baseline else None)


def _two(value: Any, text: str, below: str) -> Html:
    """A number and what belongs to it, on two lines; it sorts by the number."""
    return tag("td", text, _below(below), class_="n", data_v=_sorted(value))


def _below(text: str) -> Html | None:
    return tag("small", text) if text and text != DASH else None


def _sorted(value: Any) -> str:
    number = finite(value)
    return "" if number is None else repr(number)


def _significance(method: MethodSummary, baseline: str) -> tuple[str, str]:
    """What the test says in words, and its p."""
    p_value = finite(method.p_value)
    if method.method == baseline:
        return "baseline", ""
    if p_value is None:
        return "not tested", ""
    shown = "p\N{NO-BREAK SPACE}< 0.001" if p_value < 0.001 else f"p\N{NO-BREAK SPACE}= {p_value:.3f}"
    return ("significant" if method.significant else "not significant"), shown


def _rows(result: ComparisonResult) -> Rows:
    return Rows(tuple(method.method for method in ranked(result)), result.baseline)


def _scores(result: ComparisonResult) -> Html:
    scores, differences = score_intervals(result), difference_intervals(result)
    if all(row.value is None for row in scores.rows):
        return section("Scores", tag("p", "No method has a score.", class_="quiet"))
    panels = [score_panel(scores, title=scored_title(result))]
    panels += [difference_panel(differences)] if differences else []

    def draw(size: Size) -> Html:
        return rows_chart("scores", panels, _rows(result), size=size, label="Score of every method with its interval")

    marks = [("done", "dot", "mean, small: one seed"), ("done", "line", "95 % interval")]
    marks += [("stopped", "dot", "baseline, its mean dashed")]
    marks += [("done", "ring", "difference not significant or not tested")] if differences else []
    return section("Scores", legend(*marks), figure(draw, wide=(_WIDE, 0), phone_height=0, caption=_axis_note(scores)))


def _axis_note(scores: Intervals) -> str:
    low, high, hidden = scores.limits
    note = f"The score axis runs from {score(low)} to {score(high)}, as far as the data reach, and not from zero: a"
    note += " distance on it is a difference, not a ratio."
    if hidden:
        note += f" {plural(hidden, 'method')} far off the others: an arrow at the edge, the number beside it."
    return note


def _costs(result: ComparisonResult) -> Html:
    panels = [log_panel(trainable_cost(result)), bar_panel(time_cost(result)), bar_panel(memory_cost(result))]

    def draw(size: Size) -> Html:
        return rows_chart("costs", panels, _rows(result), size=size, label="Costs of every method")

    note = "Means over the seeds. Bars start at zero; the axis of parameters is logarithmic."
    return section("Costs", figure(draw, wide=(_WIDE, 0), phone_height=0, caption=note))


def _trade_offs(result: ComparisonResult) -> Html | None:
    costs = (time_cost(result), trainable_cost(result), memory_cost(result))
    trades = [trade for trade in (trade_off(result, cost) for cost in costs) if trade.points]
    if not trades:
        return None

    def draw(size: Size) -> Html:
        height = 330 * len(trades) if size.narrow else 780
        label = "Score of every method against what it costs"
        sized = size._replace(height=height)
        return trade_off_chart(trades, title=scored_title(result), baseline=result.baseline, size=sized, label=label)

    marks = legend(("best", "dot", "Pareto-optimal: no method is better in one and not worse in the other"))
    note = (
        f"{cost_axes_sentence(result.direction)} Differences between neighbours may be chance: see the intervals above."
    )
    note += (
        " A triangle is a method far off the others; its score is written beside it."
        if any(trade.limits.hidden for trade in trades)
        else ""
    )
    return section("What a score costs", marks, figure(draw, wide=(_WIDE, 0), phone_height=0, caption=note))


def _cells(result: ComparisonResult) -> Html:
    header = [("method", None), ("seed", "n"), ("status", None), (f"test {metric_name(result.objective)}", "n")]
    header += [("validation", "n"), ("best epoch", "n"), ("seconds", "n"), ("notes", None)]
    rows = [_cell_row(cell, kept=cell == result.best) for cell in result.cells]
    note = "One run per method and seed." + (" Marked: the one whose model is kept." if result.best else "")
    return section("Runs", tag("p", note, class_="quiet"), table(header, rows, sortable=True), long=True)


def _cell_row(cell: Cell, *, kept: bool) -> Html:
    record = cell.result
    validation, epoch = (record.objective.value, record.best_epoch) if record else (None, None)
    seconds = record.seconds.total if record else None
    notes = "; ".join(filter(None, [cell.reason or record.reason, *record.notes] if record else [cell.reason]))
    cells: list[Child] = [
        tag("td", tag("span", cell.method, class_="method")),
        number_cell(cell.seed, str),
        tag("td", tag("span", cell.status, class_=f"status {cell.status}")),
        number_cell(cell.value),
        number_cell(validation),
        number_cell(epoch, str),
        number_cell(seconds, count),
        tag("td", notes, class_="wide" if notes else None),
    ]
    return tag("tr", join(cells), class_="winner" if kept else None)


_FOLD_NOTES: Final = (
    "Every method was trained on the same folds, each of which was held out once. Rows within the training rows of a"
    " fold chose its best epoch; what was held out was scored, and chose nothing.",
    "Intervals of means are of the block jackknife over all rows, widened because the training rows of folds overlap.",
    "Differences to the baseline are paired: same fold, means over seeds. Their interval and p come from the corrected"
    " resampled t test of Nadeau and Bengio (2003). Significant means that the difference holds at 5 % after Holm's"
    " correction for the number of methods. Not significant does not mean equal.",
    "A method that is chosen by its score out of fold has an optimistic one, the more so the more methods were"
    " compared.",
)
_TEST_NOTES: Final = (
    "Every method was trained with the same seeds on the same rows. The best epoch of a run was chosen on validation,"
    " and its model, read back from its exported form, was scored on the test rows once.",
    "Intervals of means are bootstrap intervals: seeds and blocks of test rows are drawn anew, 10,000 times, and the"
    " spread is stretched to Student's t for the few seeds. Of a few long texts of language models, blocks are"
    " parts. A dot is one seed.",
    "Differences to the baseline are paired: same seed, same test rows. Their interval and p come from a t test whose"
    " variance has a part for the seeds and a part for the choice of test rows. Significant means that the difference"
    " holds at 5 % after Holm's correction for the number of methods. Not significant does not mean equal.",
    "A method that is chosen by its test score has an optimistic one, the more so the more methods were compared. The"
    " model that was kept was chosen on validation.",
)
_METHOD_NOTES: Final = (
    "Seconds are wall-clock time of one run at a time on the machine below; tokens per second leave padding out; peak"
    " memory is that of the training process.",
)
