"""Small tables of a study's page: importance, other seeds, ensembles, pruning epoch by epoch, notes."""

from collections.abc import Sequence

from tunery.report.compute.importance import EVALUATORS, ImportanceRow, evaluators, importance_rows
from tunery.report.compute.pareto_front import further_objectives, pareto_trials
from tunery.report.compute.pruning import Pruning
from tunery.report.markup import Html, tag
from tunery.report.pages.components import MOST_OPEN, collapsed, number_cell, section, share_bar, table
from tunery.report.text.cost_units import words_of
from tunery.report.text.formatting import count, metric_name, percent, plural, signed
from tunery.report.text.study_sentences import ENSEMBLES, GAIN_NOTE, gain_measure, numbers_text, rescored_sentence
from tunery.schema.results.study import StudyResult

_MOST_NOTES = 30
"""Different notes that are shown."""


def importance_section(study: StudyResult) -> Html | None:
    """A bar for every parameter and evaluator."""
    names, rows = evaluators(study), importance_rows(study)
    if not rows:
        return None
    meanings = "; ".join(f"{EVALUATORS[name][0]}: {EVALUATORS[name][1]}" for name in names)
    note = f"How much each parameter decides; the shares of all add up to 100 %. {meanings}."
    header = [("parameter", None), *((EVALUATORS[name][0], None) for name in names), ("trials", "n")]
    first, rest = rows[:MOST_OPEN], rows[MOST_OPEN:]
    most = max(share or 0.0 for row in rows for share in row.shares) or 1.0

    def bars(rows: Sequence[ImportanceRow]) -> Html:
        cells = [[_share_cell(share, most) for share in row.shares] for row in rows]
        lines = [
            tag("tr", tag("td", tag("code", row.path)), shares, number_cell(row.trials, count))
            for row, shares in zip(rows, cells, strict=True)
        ]
        return table(header, lines, class_="bars")

    summary = f"{plural(len(rest), 'parameter')} of less importance"
    hidden = collapsed(summary, bars(rest), when=True) if rest else None
    return section("Importance", tag("p", note, class_="quiet"), bars(first), hidden)


def _share_cell(share: float | None, most: float) -> Html:
    return tag("td", tag("div", share_bar((share or 0.0) / most), tag("span", percent(share)), class_="share"))


def rescored_section(study: StudyResult) -> Html | None:
    """Every configuration that was trained again, seed by seed."""
    if not study.rescored:
        return None
    seeds = list(dict.fromkeys(seed for again in study.rescored for seed in again.seeds))
    header = [("trial", "n"), *((f"seed {seed}", "n") for seed in seeds), ("mean", "n"), ("", None)]
    rows = []
    for again in study.rescored:
        values, wins = dict(zip(again.seeds, again.values, strict=True)), again.number == study.winner
        cells = [number_cell(again.number, str), *(number_cell(values.get(seed)) for seed in seeds)]
        cells += [number_cell(again.mean), tag("td", "winner" if wins else None)]
        rows.append(tag("tr", cells, class_="winner" if wins else None))
    content = tag("div", table(header, rows), class_="compact")
    return section("Other seeds", tag("p", rescored_sentence(study), class_="quiet"), content)


def front_table(study: StudyResult) -> Html:
    """The Pareto-optimal trials in numbers."""
    names, rows = further_objectives(study), []
    for trial in pareto_trials(study):
        beside = [number_cell(trial.beside.get(name), words_of(name).text) for name in names]
        rows.append(tag("tr", number_cell(trial.number, str), number_cell(trial.value), beside))
    header = [("trial", "n"), (metric_name(study.objective), "n"), *((words_of(name).name, "n") for name in names)]
    content = tag("div", table(header, rows, sortable=True, tall=False, class_="dense"), class_="compact")
    return collapsed(f"All {plural(len(rows), 'Pareto-optimal trial')}", content, when=len(rows) > MOST_OPEN)


def pruned_table(stopped: Pruning) -> Html | None:
    """How many trials were pruned by which epoch."""
    if not stopped.by_epoch:
        return None
    rows = [
        tag("tr", [number_cell(number, count) for number in row], _share_cell(row.so_far / stopped.ended, 1.0))
        for row in stopped.by_epoch
    ]
    header = [("epoch", "n"), ("pruned after it", "n"), ("by then", "n"), ("of all ended trials", None)]
    content = tag("div", table(header, rows), class_="compact")
    return collapsed(f"All {len(rows)} epochs", content, when=len(rows) > MOST_OPEN)


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
    rows = []
    for ensemble in study.ensembles:
        members = tag("td", numbers_text(ensemble.trials, most=20), class_="text")
        values = [number_cell(ensemble.value), number_cell(ensemble.single), number_cell(ensemble.gain, signed)]
        rows.append(tag("tr", tag("td", ENSEMBLES[ensemble.method], class_="text"), members, values))
    none = "" if any(ensemble.gain > 0 for ensemble in study.ensembles) else " None of them gained anything."
    return section("Ensembles", tag("p", GAIN_NOTE + none, class_="quiet"), table(header, rows))


def notes_section(study: StudyResult) -> Html | None:
    """What happened to trials on their way, the same things together."""
    trials_of: dict[str, list[int]] = {}
    for trial in study.trials:
        for note in trial.notes:
            trials_of.setdefault(note, []).append(trial.number)
    if not trials_of:
        return None
    ordered = sorted(trials_of.items(), key=lambda item: -len(item[1]))
    rows = [
        tag("tr", tag("td", note), number_cell(len(numbers), count), tag("td", numbers_text(numbers, most=10)))
        for note, numbers in ordered[:_MOST_NOTES]
    ]
    more = len(ordered) - len(rows)
    rest = tag("p", f"{plural(more, 'more note')}: see leaderboard.csv.", class_="quiet apart") if more else None
    return section("Notes", table([("note", None), ("trials", "n"), ("which", None)], rows), rest)
