"""The page of one run: its scores, what it cost and how training went."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunery.report.charts.figure import Size
from tunery.report.charts.training_charts import loss_chart, metric_chart, rate_chart
from tunery.report.compute.run_and_study import RunCurves, run_curves
from tunery.report.markup import Html, join, prose, tag
from tunery.report.pages.baselines_table import Compared, baselines_section
from tunery.report.pages.components import (
    config_block,
    data_section,
    environment_section,
    figure,
    legend,
    metrics_table,
    saved_tile,
    section,
    tiles,
)
from tunery.report.pages.disk_section import disk_section
from tunery.report.pages.doubtful_rows_table import doubtful_rows_section
from tunery.report.pages.folds_section import folds_section
from tunery.report.pages.pretraining_section import pretraining_section
from tunery.report.pages.task_sections import task_sections
from tunery.report.pages.worst_rows_table import worst_rows_section
from tunery.report.text.decision_sentences import change_sentence
from tunery.report.text.fold_sentence import reach_of_folds
from tunery.report.text.formatting import duration, metric_name, objective_sentence, score, size
from tunery.report.text.numbers import finite
from tunery.schema.results.doubtful_rows import DoubtfulRows
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.worst_rows import WorstRows


def run_body(
    result: RunResult,
    *,
    metrics: Sequence[Mapping[str, Any]],
    storage: Storage | None,
    worst: WorstRows | None,
    doubtful: DoubtfulRows | None,
) -> Html:
    """Everything between the first and the last line of the page."""
    return join(_sections(result, run_curves(metrics), storage, worst, doubtful))


def _sections(
    result: RunResult,
    curves: RunCurves,
    storage: Storage | None,
    worst: WorstRows | None,
    doubtful: DoubtfulRows | None,
) -> Iterator[Html | None]:
    yield _header(result)
    yield _tiles(result, storage)
    yield _baselines(result)
    yield _loss(curves, result)
    yield _metric(curves, result)
    yield _rate(curves)
    yield pretraining_section(result.pretraining)
    yield folds_section(result)
    yield _scores(result)
    if worst:
        yield worst_rows_section(worst)
    if doubtful:
        yield doubtful_rows_section(doubtful)
    note = tag("p", "Running it again reproduces the run.", class_="quiet")
    yield section("Config", note, config_block(result.config))
    if storage:
        yield disk_section(storage)
    yield data_section([result.data] if result.data else [])
    if result.environment:
        yield environment_section(result.environment)


def run_headline(result: RunResult) -> str:
    """The result in one sentence."""
    value, name = finite(result.objective.value), metric_name(result.objective.name)
    if value is None:
        return f"The run {_ended(result)} without a value for {name}."
    test = finite((result.metrics.test or {}).get(result.objective.name))
    on_test = "" if test is None else f" and {score(test)} on test"
    where = "on validation" if result.metrics.oof is None else "out of fold"
    reached = f"{name} {score(value)} {where}{on_test}"
    return f"The run reached {reached}." if result.status == "completed" else f"The run {_ended(result)} at {reached}."


def _ended(result: RunResult) -> str:
    return {"completed": "ended", "pruned": "was pruned", "failed": "failed"}[result.status]


def _header(result: RunResult) -> Html:
    best = f" The best epoch, {result.best_epoch}, was restored." if result.best_epoch is not None else ""
    epochs = f"{result.epochs:.4g} epoch{'' if result.epochs == 1 else 's'}"
    before = sum(stage.seconds for stage in result.pretraining)
    learned = f", after {duration(before)} of continued pretraining" if result.pretraining else ""
    ran = f"It ran {epochs} in {duration(result.seconds.total)}{learned}.{best}"
    return tag(
        "header",
        tag("p", str(result.config.get("name", "run")), class_="name"),
        tag("h1", run_headline(result)),
        tag("p", ran, class_="lead"),
        tag("p", f"Reason: {result.reason}") if result.reason else None,
        tag("ul", [tag("li", prose(note)) for note in result.notes], class_="verdicts") if result.notes else None,
        tag("p", change_sentence(result.decisions[-1])) if result.decisions else None,
        tag(
            "p",
            objective_sentence(
                result.objective.name,
                result.objective.direction,
                where="on the validation split" if result.metrics.oof is None else "out of fold",
            ),
            class_="quiet",
        ),
    )


def _tiles(result: RunResult, storage: Storage | None) -> Html:
    name = metric_name(result.objective.name)
    rows = [("Validation", score(result.objective.value), name)]
    if result.metrics.oof is not None:
        rows = [("Out of fold", score(result.objective.value), f"{name}{reach_of_folds(result)}")]
    if result.metrics.test:
        rows.append(("Test", score(result.metrics.test.get(result.objective.name)), name))
    if result.parameters:
        trained = f"{result.parameters.trainable:,} of {result.parameters.total:,} parameters"
        if result.parameters.fresh:
            trained += f"; a new head has {result.parameters.fresh:,} of them"
        rows.append(("Trained", f"{result.parameters.percent:.3g}\N{NO-BREAK SPACE}%", trained))
    phases = f"training {duration(result.seconds.train)}, evaluation {duration(result.seconds.evaluate)}"
    rows.append(("Time", duration(result.seconds.total), phases))
    device = result.memory.device_peak_bytes
    where = "host" if device is None else f"device; host {size(result.memory.host_peak_bytes)}"
    rows.append(("Peak memory", size(result.memory.peak), where))
    kept = (storage.bytes, storage.keep_all_bytes) if storage else (result.disk_bytes, result.written_bytes)
    rows.append(saved_tile(*kept))
    return tiles(rows)


def _baselines(result: RunResult) -> Html | None:
    name, test = result.objective.name, (result.metrics.test or {}).get(result.objective.name)
    compared = Compared("this run", result.objective.value, test, seconds=result.seconds_to_fit_and_score)
    return baselines_section(result.baselines, compared, objective=name)


def _loss(curves: RunCurves, result: RunResult) -> Html | None:
    if curves.train_loss is None and "loss" not in curves.validation:
        return None

    def draw(size: Size) -> Html:
        return loss_chart(curves, size=size)

    marks = [("stopped", "line", "training, as logged"), ("done", "line", "training, smoothed")]
    marks = marks if curves.train_loss is not None else []
    marks += [("best", "line", "validation")] if "loss" in curves.validation else []
    return section("Loss", legend(*marks), figure(draw, wide=(1040, 300), phone_height=260), _loss_note(result.config))


def _loss_note(config: Mapping[str, Any]) -> Html | None:
    """Where the two lines differ in kind: the validation loss is plain cross-entropy, or the squared error of numbers,
    whatever is trained, so that runs can be compared by it."""
    loss = _section_of(config, "task", "loss")
    smoothing = finite(_section_of(config, "regularization").get("label_smoothing"))
    plain = loss.get("name", "ce") in ("ce", "bce", "mse") and not loss.get("class_weights")
    if plain and not smoothing:
        return None
    weighted = " with class weights" if loss.get("class_weights") else ""
    trained = f"{loss.get('name')}{weighted}{f' with label smoothing {smoothing:g}' if smoothing else ''}"
    of_numbers = _section_of(config, "task").get("kind") == "regression"
    line = "squared error" if of_numbers else "plain cross-entropy"
    note = f"Training minimises {trained}; the validation line is {line}, so the two differ in kind."
    return tag("p", note, class_="quiet")


def _section_of(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A section of a recorded config; empty where there is none."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _rate(curves: RunCurves) -> Html | None:
    if curves.rate is None:
        return None

    def draw(size: Size) -> Html:
        return rate_chart(curves, size=size)

    return section("Learning rate", figure(draw, wide=(1040, 200), phone_height=200))


def _metric(curves: RunCurves, result: RunResult) -> Html | None:
    objective = result.objective.name
    if objective not in curves.validation or objective == "loss":
        return None

    def draw(size: Size) -> Html:
        return metric_chart(curves, objective=objective, best_epoch=result.best_epoch, size=size)

    marks = legend(("done", "line", "after each epoch"), ("best", "ring", "restored epoch"))
    return section(f"Validation {metric_name(objective)}", marks, figure(draw, wide=(1040, 280), phone_height=250))


def _scores(result: RunResult) -> Html | None:
    test = result.metrics.test or {}
    oof, validation = result.metrics.oof or {}, result.metrics.validation
    columns = {"out of fold": oof, "validation": validation if result.best_epoch or not oof else {}, "test": test}
    scalars = metrics_table(columns, objective=result.objective.name)
    shown, title = next(
        ((metrics, name) for metrics, name in ((test, "Test"), (oof, "Out of fold")) if metrics),
        (validation, "Validation"),
    )
    detail = task_sections(result.config, shown, title=title)
    if scalars is None and not detail:
        return None
    return section("Scores", scalars, detail)
