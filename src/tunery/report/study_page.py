"""The page of a study: who won, by how much, at what cost, and how every trial went."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunery.report.canvas import Size
from tunery.report.charts import curves_chart, history_chart, parallel_chart
from tunery.report.compute import EARLY_EPOCHS, Pruning, history, learning_curves, pruning, share_saved
from tunery.report.disk_section import disk_section
from tunery.report.finite import finite
from tunery.report.leaderboard import FIXED, leaderboard_rows, searched
from tunery.report.markup import Html, join, tag
from tunery.report.parallel import parallel
from tunery.report.parts import (
    classes,
    config_block,
    data_section,
    environment_section,
    figure,
    legend,
    metrics_table,
    number_cell,
    saved_tile,
    section,
    table,
    tiles,
)
from tunery.report.stored import disk
from tunery.report.words import (
    duration,
    listed,
    metric_name,
    objective_sentence,
    percent,
    plural,
    score,
    size,
    value_text,
)
from tunery.schema.results import BestTrial, RunResult, Storage, StudyResult

_WIDE = (1040, 330)


def study_body(study: StudyResult, *, results: Mapping[int, RunResult], storage: Storage | None) -> Html:
    """Everything between the first and the last line of the page."""
    now = study.model_copy(update={"disk": disk(storage)}) if storage else study
    return join(_sections(now, results, storage))


def _sections(study: StudyResult, results: Mapping[int, RunResult], storage: Storage | None) -> Iterator[Html | None]:
    stopped = pruning(study, results=results)
    winner = results.get(study.best.number) if study.best else None
    records = [*([winner] if winner else []), *results.values()]
    yield _headline(study, stopped)
    yield _tiles(study, stopped)
    if study.best:
        yield _best_config(study, study.best)
    yield _history(study)
    yield _curves(study, stopped)
    yield _parallel(study)
    yield _trials(study)
    if study.best:
        yield _winner(study, study.best, winner)
    if storage:
        yield disk_section(storage)
    yield data_section(record.data for record in records if record.data)
    yield from (environment_section(record.environment) for record in records[:1] if record.environment)


def headline(study: StudyResult) -> str:
    """The result in one sentence."""
    if study.best is None:
        running = any(trial.status == "running" for trial in study.trials)
        return "No trial has completed yet." if running else "No trial completed."
    test = finite(study.best.test.get(study.objective))
    on_test = "" if test is None else f" and {score(test)} on test"
    name = metric_name(study.objective)
    return f"Trial {study.best.number} won with {name} {score(study.best.value)} on validation{on_test}."


def _counted(study: StudyResult) -> str:
    verbs = {"completed": ("completed", "completed"), "pruned": ("was pruned", "were pruned")}
    verbs |= {"failed": ("failed", "failed"), "running": ("is still running", "are still running")}
    counts = {status: sum(trial.status == status for trial in study.trials) for status in verbs}
    counts = {status: count for status, count in counts.items() if count or status == "completed"}
    told = [f"{count} {verbs[status][count != 1]}" for status, count in counts.items()]
    return f"Of {plural(len(study.trials), 'trial')}, {listed(told)}, in {duration(study.seconds)} of computing."


def _thrift(study: StudyResult, stopped: Pruning) -> str:
    told = []
    if stopped.seconds_saved:
        told.append(f"Stopping early saved an estimated {duration(stopped.seconds_saved)}.")
    share = share_saved(study.disk.bytes, study.disk.keep_all_bytes)
    if share is not None:
        kept, every = size(study.disk.bytes), size(study.disk.keep_all_bytes)
        told.append(f"The disk holds {kept} where every checkpoint would take {every}: {percent(share)} saved.")
    return " ".join(told)


def _headline(study: StudyResult, stopped: Pruning) -> Html:
    return tag(
        "header",
        tag("p", study.name, class_="name"),
        tag("h1", headline(study)),
        tag("p", f"{_counted(study)} {_thrift(study, stopped)}", class_="lead"),
        tag("p", objective_sentence(study.objective, study.direction), class_="quiet"),
    )


def _tiles(study: StudyResult, stopped: Pruning) -> Html:
    rows = []
    if study.best:
        name = metric_name(study.objective)
        rows.append(("Validation", score(study.best.value), f"{name}, trial {study.best.number}"))
        rows.append(("Test", score(study.best.test.get(study.objective)), f"{name}, read once"))
    share = percent(stopped.stopped / stopped.ended) if stopped.ended else "0 %"
    rows.append(("Trials", f"{len(study.trials):,}", f"{share} stopped early"))
    rows.append(("Computing", duration(study.seconds), "all trials together"))
    if stopped.seconds_saved:
        rows.append(("Time saved", duration(stopped.seconds_saved), "by stopping early, estimated"))
    rows.append(saved_tile(study.disk.bytes, study.disk.keep_all_bytes))
    return tiles(rows)


def _best_config(study: StudyResult, best: BestTrial) -> Html:
    params = next((trial.params for trial in study.trials if trial.number == best.number), {})
    note = "The complete config of the winner; running it again reproduces the run."
    note += " What the search chose is marked." if params else ""
    return section("Best config", tag("p", note, class_="quiet"), config_block(best.config, chosen=params))


def _history(study: StudyResult) -> Html:
    found = history(study)
    if not found.points:
        return section("History", tag("p", "No trial has a value.", class_="quiet"))
    best = study.best.number if study.best else None

    def draw(size: Size) -> Html:
        return history_chart(found, objective=study.objective, best=best, size=size)

    statuses = {point.status for point in found.points}
    marks = [("done", "dot", "completed")] if "completed" in statuses else []
    marks += [("stopped", "cross", "pruned, at its best epoch")] if "pruned" in statuses else []
    marks += [("", "dot", "running")] if "running" in statuses else []
    marks += [("best", "line", "best so far")] if found.best else []
    beyond = _beyond(found.limits.hidden, "trial")
    return section("History", legend(*marks), figure(draw, wide=_WIDE, phone_height=270, caption=beyond))


def _beyond(hidden: int, noun: str) -> str:
    return f"{plural(hidden, noun)} far worse than the rest lie outside the drawing." if hidden else ""


def _curves(study: StudyResult, stopped: Pruning) -> Html | None:
    found = learning_curves(study)
    if not found.curves:
        return None
    best = study.best.number if study.best else None

    def draw(size: Size) -> Html:
        return curves_chart(found, objective=study.objective, best=best, size=size)

    marks = [("done", "line", "not pruned")]
    marks += [("stopped", "cross", "pruned, at its last epoch")] if stopped.stopped else []
    marks += [("best", "line", f"trial {best}, the winner")] if best is not None else []
    return section(
        "Learning curves",
        tag("p", _pruning_sentence(stopped), class_="quiet"),
        legend(*marks),
        figure(draw, wide=_WIDE, phone_height=290, caption=_beyond(found.limits.hidden, "value")),
    )


def _pruning_sentence(stopped: Pruning) -> str:
    if not stopped.stopped:
        return "No trial was stopped early."
    share, early = percent(stopped.stopped / stopped.ended), percent(stopped.early / stopped.ended)
    told = f"{stopped.stopped} of {plural(stopped.ended, 'ended trial')} ({share}) were stopped early, "
    told += f"{stopped.early} of them ({early} of all) by epoch {EARLY_EPOCHS}."
    if stopped.seconds_saved is None:
        return told
    return told + (
        f" That saved an estimated {duration(stopped.seconds_saved)}: each trial's own seconds per epoch, times the"
        " epochs that it did not run, judged by how long completed trials ran."
    )


def _parallel(study: StudyResult) -> Html | None:
    found = parallel(study)
    if found is None:
        return None
    best = study.best.number if study.best else None

    def draw(size: Size) -> Html:
        return parallel_chart(found, best=best, size=size)

    marks = [("", "ramp", "completed, worst to best"), ("stopped", "line", "pruned")]
    marks += [("best", "line", f"trial {best}, the winner")] if best is not None else []
    note = "One line per trial. A line breaks where its trial has no such parameter."
    left_out = (
        f"Not drawn, being least related to the objective here: {listed(found.left_out)}." if found.left_out else ""
    )
    drawing = figure(draw, wide=(1040, 400), phone_height=30 + 62 * len(found.axes), caption=left_out)
    return section("Parameters", tag("p", note, class_="quiet"), legend(*marks), drawing)


def _trials(study: StudyResult) -> Html:
    rows = leaderboard_rows(study)
    paths = searched(study)
    numeric = {path for path in paths if any(finite(row[path]) is not None for row in rows)}
    names = [*(metric_name(study.objective) if name == "value" else name for name in FIXED[:-1]), *paths, FIXED[-1]]
    right = {"rank", "number", metric_name(study.objective), "epochs", "seconds", *numeric}
    best = study.best.number if study.best else None
    body = [_trial_row(row, paths, numeric, wins=row["number"] == best) for row in rows]
    note = "Click a column to sort by it. Only completed trials are ranked."
    content = table([(name, "n" if name in right else None) for name in names], body, sortable=True)
    return section("Trials", tag("p", note, class_="quiet"), content, long=True)


def _trial_row(row: Mapping[str, Any], paths: Sequence[str], numeric: set[str], *, wins: bool) -> Html:
    cells = [
        number_cell(row["rank"], str(row["rank"] or "")),
        number_cell(row["number"], str(row["number"])),
        tag("td", tag("span", row["status"], class_=f"status {row['status']}")),
        number_cell(row["value"], score(row["value"])),
        number_cell(row["epochs"], f"{row['epochs']:.4g}"),
        number_cell(row["seconds"], f"{row['seconds']:,.0f}" if row["seconds"] >= 10 else f"{row['seconds']:.1f}"),
        *(_param_cell(row[path], path in numeric) for path in paths),
        tag("td", row["reason"], class_="wide" if row["reason"] else None),
    ]
    return tag("tr", cells, class_="winner" if wins else None)


def _param_cell(value: Any, numeric: bool) -> Html:
    if value is None:
        return tag("td", class_="n" if numeric else None)
    return number_cell(value, value_text(value)) if finite(value) is not None else _text_cell(value)


def _text_cell(value: Any) -> Html:
    text = value_text(value)
    return tag("td", text, class_="text" if len(text) > 20 else None)


def _winner(study: StudyResult, best: BestTrial, record: RunResult | None) -> Html | None:
    test = best.test or (record.metrics.test if record else None) or {}
    validation = record.metrics.validation if record else {}
    scalars, per_class = metrics_table(validation, test, objective=study.objective), classes(test)
    if scalars is None and per_class is None:
        return None
    note = "The test split was read once, for this trial alone." if test else "The test split was not read."
    heading = tag("h3", "Test, per label") if per_class else None
    return section(f"Trial {best.number} in detail", tag("p", note, class_="quiet"), scalars, heading, per_class)
