"""The page of a study: who won, by how much, at what cost, and how every trial went."""

from collections.abc import Iterator, Mapping, Sequence

from tunery.report.compute.pareto_front import further_objectives
from tunery.report.compute.pruning import Pruning, pruning
from tunery.report.compute.run_and_study import share_saved
from tunery.report.markup import Html, join, prose, tag
from tunery.report.pages.baselines_table import Compared, baselines_section
from tunery.report.pages.components import (
    config_block,
    data_section,
    environment_section,
    metrics_table,
    saved_tile,
    section,
    tiles,
)
from tunery.report.pages.disk_section import disk_section
from tunery.report.pages.doubtful_rows_table import doubtful_rows_section
from tunery.report.pages.pretraining_section import pretraining_section
from tunery.report.pages.study_figures import (
    curves_section,
    front_section,
    history_section,
    parallel_section,
    pruning_section,
    slices_section,
)
from tunery.report.pages.study_tables import ensembles_section, importance_section, notes_section, rescored_section
from tunery.report.pages.task_sections import task_sections
from tunery.report.pages.trials_table import trials_section
from tunery.report.pages.worst_rows_table import worst_rows_section
from tunery.report.text.formatting import (
    duration,
    listed,
    metric_name,
    objective_sentence,
    percent,
    plural,
    score,
    size,
)
from tunery.report.text.method_names import study_to_read
from tunery.report.text.study_sentences import beside_sentence, headline, winner_again
from tunery.schema.results.doubtful_rows import DoubtfulRows
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.study import BestTrial, StudyResult
from tunery.schema.results.worst_rows import WorstRows
from tunery.schema.space.sampled import config_path


def study_body(
    study: StudyResult,
    *,
    results: Mapping[int, RunResult],
    storage: Storage | None,
    worst: WorstRows | None,
    doubtful: DoubtfulRows | None,
) -> Html:
    """Everything between the first and the last line of the page."""
    now = study_to_read(study.model_copy(update={"disk": storage.disk}) if storage else study)
    return join(_sections(now, results, storage, worst, doubtful))


def _sections(
    study: StudyResult,
    results: Mapping[int, RunResult],
    storage: Storage | None,
    worst: WorstRows | None,
    doubtful: DoubtfulRows | None,
) -> Iterator[Html | None]:
    stopped = pruning(study)
    winner = results.get(study.best.number) if study.best else None
    records = [*([winner] if winner else []), *results.values()]
    yield _headline(study, stopped)
    yield _tiles(study, stopped)
    yield trials_section(study)
    if study.best:
        yield _baselines(study, study.best)
        yield _best_config(study, study.best)
    yield rescored_section(study)
    yield front_section(study)
    yield history_section(study)
    yield curves_section(study, stopped)
    yield pruning_section(study, stopped)
    yield importance_section(study)
    yield slices_section(study)
    yield parallel_section(study)
    yield ensembles_section(study)
    yield notes_section(study)
    if study.best:
        yield _winner(study, study.best, winner)
        yield pretraining_section(winner.pretraining) if winner else None
    if worst:
        yield worst_rows_section(worst)
    if doubtful:
        yield doubtful_rows_section(doubtful)
    if storage:
        yield disk_section(storage)
    yield data_section(record.data for record in records if record.data)
    yield from (environment_section(record.environment) for record in records[:1] if record.environment)


def _counted(study: StudyResult) -> str:
    verbs = {"completed": ("completed", "completed"), "pruned": ("was pruned", "were pruned")}
    verbs |= {"failed": ("failed", "failed"), "running": ("is still running", "are still running")}
    counts = {status: sum(trial.status == status for trial in study.trials) for status in verbs}
    counts = {status: count for status, count in counts.items() if count or status == "completed"}
    phrases = [f"{count:,} {verbs[status][count != 1]}" for status, count in counts.items()]
    return f"Of {plural(len(study.trials), 'trial')}, {listed(phrases)}, in {duration(study.seconds)} of run time."


def _savings(study: StudyResult, stopped: Pruning) -> str:
    sentences = []
    if stopped.seconds_saved:
        sentences.append(f"Stopping early saved an estimated {duration(stopped.seconds_saved)}.")
    share = share_saved(study.disk.bytes, study.disk.keep_all_bytes)
    if share is not None:
        kept, every = size(study.disk.bytes), size(study.disk.keep_all_bytes)
        sentences.append(f"The disk holds {kept} where every checkpoint would take {every}: {percent(share)} saved.")
    return " ".join(sentences)


def _headline(study: StudyResult, stopped: Pruning) -> Html:
    return tag(
        "header",
        tag("p", study.name, class_="name"),
        _remarks(study.doubts),
        tag("h1", headline(study)),
        tag("p", f"{_counted(study)} {_savings(study, stopped)}", class_="lead"),
        _remarks(study.notes),
        tag("p", objective_sentence(study.objective, study.direction, where=_where(study)), class_="quiet"),
        tag("p", beside_sentence(study), class_="quiet") if further_objectives(study) else None,
    )


def _remarks(lines: Sequence[str]) -> Html | None:
    return tag("ul", [tag("li", prose(line)) for line in lines], class_="verdicts") if lines else None


def _where(study: StudyResult) -> str:
    return "out of fold" if study.is_cross_validated else "on the validation split"


def _tiles(study: StudyResult, stopped: Pruning) -> Html:
    rows = []
    if study.best:
        name, again = metric_name(study.objective), winner_again(study)
        title, where = ("Out of fold", "out of fold") if study.is_cross_validated else ("Validation", "on validation")
        rows.append((title, score(study.best.value), f"{name}, trial {study.best.number}"))
        if study.best.value_after_choice is not None:
            note = f"less what the best of {plural(study.counts['completed'], 'trial')} owes to being the best"
            rows.append(("After choice", score(study.best.value_after_choice), note))
        if again:
            rows.append(("Over seeds", score(again.mean), f"mean of {plural(len(again.values), 'seed')} {where}"))
        if study.best.test or not study.is_cross_validated:
            rows.append(("Test", score(study.best.test.get(study.objective)), f"{name}, read once"))
    if further_objectives(study):
        rows.append(("Pareto-optimal", f"{len(study.front):,}", f"of {plural(len(study.objectives), 'objective')}"))
    share = percent(stopped.stopped / stopped.ended) if stopped.ended else "0 %"
    rows.append(("Trials", f"{len(study.trials):,}", f"{share} stopped early"))
    rows.append(("Run time", duration(study.seconds), "all trials together"))
    if stopped.seconds_saved:
        rows.append(("Time saved", duration(stopped.seconds_saved), "by stopping early, estimated"))
    rows.append(saved_tile(study.disk.bytes, study.disk.keep_all_bytes))
    return tiles(rows)


def _baselines(study: StudyResult, best: BestTrial) -> Html | None:
    seconds = next((trial.seconds for trial in study.trials if trial.number == best.number), None)
    compared = Compared("the winner", best.value, best.test.get(study.objective), seconds)
    return baselines_section(study.baselines, compared, objective=study.objective)


def _best_config(study: StudyResult, best: BestTrial) -> Html:
    params = next((trial.params for trial in study.trials if trial.number == best.number), {})
    note = "The complete config of the winner; running it again reproduces the run."
    note += " What the search chose is marked." if params else ""
    chosen = {config_path(path) for path in params}
    return section("Best config", tag("p", note, class_="quiet"), config_block(best.config, chosen=chosen))


def _winner(study: StudyResult, best: BestTrial, record: RunResult | None) -> Html | None:
    test = best.test or (record.metrics.test if record else None) or {}
    validation = record.metrics.validation if record else {}
    first = "out of fold" if study.is_cross_validated else "validation"
    scalars = metrics_table({first: validation, "test": test}, objective=study.objective)
    detail = task_sections(best.config, test, title="Test")
    if scalars is None and not detail:
        return None
    note = "The test split was read once, for this trial alone." if test else "The test split was not read."
    return section(
        f"Trial {best.number} in detail",
        tag("p", note, class_="quiet"),
        scalars,
        detail,
    )
