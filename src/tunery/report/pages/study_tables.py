"""Small tables of a study's page: importance, other seeds, ensembles, pruning epoch by epoch, notes."""

from collections.abc import Sequence

from tunery.report.compute.importance import EVALUATORS, ImportanceRow, evaluators, importance_rows
from tunery.report.compute.pareto_front import cost_text, costs_of, front_rows
from tunery.report.compute.pruning import Pruning, Stopped
from tunery.report.pages.components import MOST_OPEN, collapsed, number_cell, section, share_bar, table
from tunery.report.pages.markup import Html, tag
from tunery.report.text.formatting import DASH, metric_name, percent, plural, score, signed
from tunery.report.text.study_sentences import ENSEMBLES, GAIN_NOTE, gain_measure, numbers_text, rescored_sentence
from tunery.schema.results.study import EnsembleGain, Rescored, StudyResult, TrialRecord

_MOST_NOTES = 30
"""Different notes that are shown."""


def importance_section(study: StudyResult) -> Html | None:
    """A bar for every parameter and evaluator."""
    names, rows = evaluators(study), importance_rows(study)
    if not rows:
        return None
    told = "; ".join(f"{EVALUATORS[name][0]}: {EVALUATORS[name][1]}" for name in names)
    note = f"How much each parameter decides; the shares of all add up to 100 %. {told}."
    header = [("parameter", None), *((EVALUATORS[name][0], None) for name in names), ("trials", "n")]
    first, rest = rows[:MOST_OPEN], rows[MOST_OPEN:]
    most = max(share or 0.0 for row in rows for share in row.shares) or 1.0
    shown = table(header, [_importance_row(row, most) for row in first], class_="bars")
    more = table(header, [_importance_row(row, most) for row in rest], class_="bars") if rest else None
    hidden = collapsed(f"{plural(len(rest), 'parameter')} of less importance", more, when=True) if more else None
    return section("Importance", tag("p", note, class_="quiet"), shown, hidden)


def _importance_row(row: ImportanceRow, most: float) -> Html:
    cells = [_share_cell(share, most) for share in row.shares]
    return tag("tr", tag("td", tag("code", row.path)), cells, number_cell(row.trials, f"{row.trials:,}"))


def _share_cell(share: float | None, most: float) -> Html:
    text = DASH if share is None else percent(share)
    return tag("td", tag("div", share_bar((share or 0.0) / most), tag("span", text), class_="share"))


def rescored_section(study: StudyResult) -> Html | None:
    """Every configuration that was trained again, seed by seed."""
    if not study.rescored:
        return None
    seeds = list(dict.fromkeys(seed for again in study.rescored for seed in again.seeds))
    header = [("trial", "n"), *((f"seed {seed}", "n") for seed in seeds), ("mean", "n"), ("", None)]
    best = study.best.number if study.best else None
    rows = [_rescored_row(again, seeds, wins=again.number == best) for again in study.rescored]
    content = tag("div", table(header, rows), class_="compact")
    return section("Other seeds", tag("p", rescored_sentence(study), class_="quiet"), content)


def _rescored_row(again: Rescored, seeds: Sequence[int], *, wins: bool) -> Html:
    values = dict(zip(again.seeds, again.values, strict=True))
    cells = [number_cell(values.get(seed), score(values.get(seed))) for seed in seeds]
    number, mean = number_cell(again.number, str(again.number)), number_cell(again.mean, score(again.mean))
    return tag("tr", number, cells, mean, tag("td", "winner" if wins else None), class_="winner" if wins else None)


def front_table(study: StudyResult) -> Html:
    """The Pareto-optimal trials in numbers."""
    rows = [_front_row(row.trial, study) for row in front_rows(study)]
    header = [("trial", "n"), (metric_name(study.objective), "n"), *((cost, "n") for cost in costs_of(study))]
    content = tag("div", table(header, rows, sortable=True, tall=False, class_="dense"), class_="compact")
    return collapsed(f"All {plural(len(rows), 'Pareto-optimal trial')}", content, when=len(rows) > MOST_OPEN)


def _front_row(trial: TrialRecord, study: StudyResult) -> Html:
    cells = [number_cell(trial.number, str(trial.number)), number_cell(trial.value, score(trial.value))]
    return tag("tr", cells, [number_cell(trial.costs.get(cost), cost_text(trial, cost)) for cost in costs_of(study)])


def pruned_table(stopped: Pruning) -> Html | None:
    """How many trials were pruned by which epoch."""
    if not stopped.by_epoch:
        return None
    rows = [_pruned_row(row, stopped.ended) for row in stopped.by_epoch]
    header = [("epoch", "n"), ("pruned after it", "n"), ("by then", "n"), ("of all ended trials", None)]
    content = tag("div", table(header, rows), class_="compact")
    return collapsed(f"All {len(rows)} epochs", content, when=len(rows) > MOST_OPEN)


def _pruned_row(row: Stopped, ended: int) -> Html:
    numbers = [number_cell(count, f"{count:,}") for count in row]
    return tag("tr", numbers, _share_cell(row.so_far / ended, 1.0))


def ensembles_section(study: StudyResult) -> Html | None:
    """What the best trials are worth together."""
    if not study.ensembles:
        return None
    header = [
        ("method", None),
        ("trials", None),
        (gain_measure(study), "n"),
        ("best single trial", "n"),
        ("gain", "n"),
    ]
    rows = [_ensemble_row(found) for found in study.ensembles]
    none = "" if any(found.gain > 0 for found in study.ensembles) else " None of them gained anything."
    return section("Ensembles", tag("p", GAIN_NOTE + none, class_="quiet"), table(header, rows))


def _ensemble_row(found: EnsembleGain) -> Html:
    members = tag("td", numbers_text(found.trials, most=20), class_="text")
    numbers = [(found.value, score(found.value)), (found.single, score(found.single)), (found.gain, signed(found.gain))]
    cells = [number_cell(value, text) for value, text in numbers]
    return tag("tr", tag("td", ENSEMBLES[found.method], class_="text"), members, cells)


def notes_section(study: StudyResult) -> Html | None:
    """What happened to trials on their way, the same things together."""
    found: dict[str, list[int]] = {}
    for trial in study.trials:
        for note in trial.notes:
            found.setdefault(note, []).append(trial.number)
    if not found:
        return None
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    rows = [
        tag("tr", tag("td", note), number_cell(len(of), f"{len(of):,}"), tag("td", numbers_text(tuple(of), most=10)))
        for note, of in ordered[:_MOST_NOTES]
    ]
    more = len(ordered) - len(rows)
    rest = tag("p", f"{plural(more, 'more note')}: see leaderboard.csv.", class_="quiet apart") if more else None
    return section("Notes", table([("note", None), ("trials", "n"), ("which", None)], rows), rest)
