"""The drawings of a study's page, each with what a reader has to know to read it."""

from tunery.errors import enumerated
from tunery.report.charts.figure import Size
from tunery.report.charts.search_charts import SHADE_FROM, front_chart, reach_chart, slice_chart
from tunery.report.charts.training_charts import curves_chart, history_chart, parallel_chart
from tunery.report.compute.parallel import parallel
from tunery.report.compute.pareto_front import planes
from tunery.report.compute.pruning import Pruning, reach
from tunery.report.compute.run_and_study import history, learning_curves
from tunery.report.compute.sampling import sample_note
from tunery.report.compute.slices import slices
from tunery.report.markup import Html, tag
from tunery.report.pages.components import figure, legend, section
from tunery.report.pages.study_tables import front_table, pruned_table
from tunery.report.text.formatting import listed, metric_name, percent, plural
from tunery.report.text.study_sentences import front_sentence, pruned_sentence
from tunery.schema.results.study import StudyResult

_WIDE = (1040, 330)


def history_section(study: StudyResult) -> Html:
    """Every value and the best so far."""
    values = history(study)
    if not values.points:
        return section("History", tag("p", "No trial has a value.", class_="quiet"))

    def draw(size: Size) -> Html:
        return history_chart(values, objective=study.objective, best=study.winner, size=size)

    statuses = {point.status for point in values.points}
    marks = [("done", "dot", "completed")] if "completed" in statuses else []
    marks += [("stopped", "cross", "pruned, at its best epoch")] if "pruned" in statuses else []
    marks += [("", "dot", "running")] if "running" in statuses else []
    marks += [("best", "line", "best so far")] if values.best else []
    marks += [("best", "ring", f"trial {study.winner}, the winner")] if study.best else []
    caption = _beyond(values.limits.hidden, "trial")
    if len(values.points) < values.of:
        caption += f" An even sample of {len(values.points):,} of {values.of:,} trials is drawn; the line is of all."
    return section("History", legend(*marks), figure(draw, wide=_WIDE, phone_height=270, caption=caption.strip()))


def _beyond(hidden: int, noun: str) -> str:
    verb = "lies" if hidden == 1 else "lie"
    return f"{plural(hidden, noun)} far worse than the rest {verb} outside the drawing." if hidden else ""


def curves_section(study: StudyResult, stopped: Pruning) -> Html | None:
    """The objective after each epoch."""
    curves = learning_curves(study)
    if not curves.curves:
        return None

    def draw(size: Size) -> Html:
        return curves_chart(curves, objective=study.objective, best=study.winner, size=size)

    marks = [("done", "line", "not pruned")]
    marks += [("stopped", "cross", "pruned, at its last epoch")] if stopped.stopped else []
    marks += [("best", "line", f"trial {study.winner}, the winner")] if study.best else []
    caption = f"{_beyond(curves.limits.hidden, 'value')} {sample_note(len(curves.curves), curves.of)}".strip()
    drawing = figure(draw, wide=_WIDE, phone_height=290, caption=caption)
    return section("Learning curves", legend(*marks), drawing)


_ESTIMATE_NOTE = (
    " The estimate: each stopped trial's own seconds per epoch, times the epochs that it did not run, for as long as"
    " completed trials ran."
)


def pruning_section(study: StudyResult, stopped: Pruning) -> Html | None:
    """How far every trial came, and how many were stopped by which epoch."""
    epochs = reach(study)
    if epochs is None:
        return None

    def draw(size: Size) -> Html:
        return reach_chart(epochs, size=size)

    note = pruned_sentence(stopped) + (_ESTIMATE_NOTE if stopped.stopped and stopped.seconds_saved else "")
    if epochs.bars:
        names = {"completed": "done", "pruned": "stopped", "failed": "failed", "running": ""}
        statuses = {trial.status for trial in study.trials}
        marks = legend(*((colour, "dot", status) for status, colour in names.items() if status in statuses))
    else:
        steps = listed([percent(share) for share in SHADE_FROM])
        meaning = f"share of the trials in a column that ran so far; darker from {steps} on"
        marks = legend(("", "ramp", meaning))
    drawing = figure(draw, wide=(1040, 240), phone_height=220)
    return section("Pruning", tag("p", note, class_="quiet"), marks, drawing, pruned_table(stopped))


def slices_section(study: StudyResult) -> Html | None:
    """The objective against each of the most important parameters."""
    panels = slices(study)
    if panels is None:
        return None

    def draw(size: Size) -> Html:
        return slice_chart(panels, best=study.winner, size=size)

    note = f"What {metric_name(study.objective)} was reached with which value, the most important parameters first."
    marks = [("done", "dot", "completed")]
    marks += (
        [("stopped", "cross", "pruned, at its best epoch")]
        if any(trial.status == "pruned" for trial in study.trials)
        else []
    )
    marks += [("ink", "line", "median of a category")] if any(panel.middles for panel in panels.panels) else []
    marks += [("best", "ring", f"trial {study.winner}, the winner")] if study.best else []
    caption = f"{_beyond(panels.limits.hidden, 'trial')} {sample_note(panels.drawn, panels.of)}".strip()
    drawing = figure(draw, wide=(1040, 250), phone_height=210, caption=caption)
    return section("Slices", tag("p", note, class_="quiet"), legend(*marks), drawing)


def front_section(study: StudyResult) -> Html | None:
    """The objective against each other one, where there are several."""
    if len(study.objectives) < 2:
        return None
    charts = planes(study)
    if not charts:
        nothing = "No completed trial has a value of each objective."
        return section("Several objectives", tag("p", nothing, class_="quiet"))

    def draw(size: Size) -> Html:
        return front_chart(charts, objective=study.objective, best=study.winner, size=size)

    marks = [("done", "dot", "completed"), ("best", "dot", "Pareto-optimal")]
    wins = f"trial {study.winner}, the winner by {metric_name(study.objective)}"
    marks += [("best", "ring", wins)] if study.best else []
    sides = {"minimize": "left", "maximize": "right"}
    height = "up" if study.direction == "maximize" else "down"
    ways = (f"Better is {height}, and to the {sides[chart.direction]} for {chart.title}." for chart in charts)
    caption = " ".join(ways)
    caption += " A trial may be Pareto-optimal because of what another drawing shows." if len(charts) > 1 else ""
    caption += f" {_beyond(charts[0].limits.hidden, 'trial')}" if charts[0].limits.hidden else ""
    caption += f" {sample_note(len(charts[0].points), charts[0].of, kept='the Pareto-optimal ones')}"
    drawing = figure(draw, wide=(1040, 380), phone_height=300, caption=caption.strip())
    sentence = tag("p", front_sentence(study), class_="quiet")
    return section("Several objectives", sentence, legend(*marks), drawing, front_table(study))


def parallel_section(study: StudyResult) -> Html | None:
    """One line per trial through all important parameters."""
    lines = parallel(study)
    if lines is None:
        return None

    def draw(size: Size) -> Html:
        return parallel_chart(lines, best=study.winner, size=size)

    marks = [("", "ramp", "completed, worst to best"), ("stopped", "line", "pruned")]
    marks += [("best", "line", f"trial {study.winner}, the winner")] if study.best else []
    note = "One line per trial. A line breaks where its trial has no such parameter."
    left_out = f"Less important and not drawn: {enumerated(lines.left_out, 12)}." if lines.left_out else ""
    caption = f"{left_out} {sample_note(len(lines.lines), lines.of)}".strip()
    drawing = figure(draw, wide=(1040, 400), phone_height=30 + 62 * len(lines.axes), caption=caption)
    return section("Parameters", tag("p", note, class_="quiet"), legend(*marks), drawing)
