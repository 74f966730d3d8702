"""The page of a search: what is said of objectives, seeds, ensembles, pruning and notes, and of thousands of trials."""

import math

import pytest

from page_reader import Page, checked
from report_records import make_empty_study, make_searched_study, make_study
from tunery.report import study_html
from tunery.report.pages.trials_table import FIRST_ROWS, LAST_ROWS
from tunery.schema.results.study import StudyResult, TrialRecord


def study_page(study: StudyResult) -> Page:
    return checked(study_html(study))


def test_thousands_of_trials_make_a_light_page_that_says_what_it_leaves_out():
    study = make_searched_study(4_000, params=30, objectives=("f1_macro", "memory"))
    text = study_html(study)
    page = checked(text)
    assert len(text.encode()) < 4_000_000
    notes = " ".join(page.text_of("p"))
    assert f"Shown are the first {FIRST_ROWS} and the last {LAST_ROWS} of 4,000; leaderboard.csv" in notes
    assert sum("trials are drawn: " in text or "trials is drawn; " in text for text in page.text_of("figcaption")) == 4
    failed = [trial for trial in study.trials if trial.status == "failed"]
    assert page.text_of("td").count(failed[0].reason) == LAST_ROWS


@pytest.fixture(scope="module")
def searched() -> tuple[StudyResult, Page]:
    """A study with all that a search leaves, and its page."""
    study = make_searched_study(60, params=30, objectives=("f1_macro", "memory", "seconds"))
    return study, study_page(study)


def test_a_search_has_all_its_sections(searched: tuple[StudyResult, Page]):
    study, page = searched
    assert study.best is not None
    assert page.text_of("h2") == [
        "Leaderboard",
        "Best config",
        "Other seeds",
        "Several objectives",
        "History",
        "Learning curves",
        "Pruning",
        "Importance",
        "Slices",
        "Parameters",
        "Ensembles",
        "Notes",
        f"Trial {study.best.number} in detail",
    ]
    assert page.count("svg") == 12


def test_a_winner_by_its_mean_over_seeds_is_called_so(searched: tuple[StudyResult, Page]):
    study, page = searched
    first, words = study.rescored[0], " ".join(page.text_of("p"))
    assert study.best is not None and study.best.number == first.number
    assert f"({first.mean:.4f} over 3 seeds)" in page.text_of("h1")[0]
    best = max(study.rescored, key=lambda again: again.values[0])
    assert best.number != first.number
    assert f"Trial {best.number} had the best value of its own, {best.values[0]:.4f}, but {best.mean:.4f}" in words
    assert "Over seeds" in page.text_of("dt")


def test_several_objectives_are_named_in_sentence_tile_and_table(searched: tuple[StudyResult, Page]):
    study, page = searched
    words = " ".join(page.text_of("p"))
    assert "Beside it counts: peak memory (less is better) and training time (less is better)." in words
    assert f"{len(study.front)} trials are Pareto-optimal in macro F1, peak memory and training time" in words
    assert page.texts[page.texts.index(("dt", "Pareto-optimal")) + 1] == ("dd", str(len(study.front)))
    drawn = page.text_of("text")
    assert {str(number) for number in study.front} <= set(drawn)
    assert {"peak memory (GB), log scale", "training time (min), log scale"} <= set(drawn)


def test_ensembles_say_what_they_were_measured_on(searched: tuple[StudyResult, Page]):
    page = searched[1]
    assert any("2-fold cross-validation" in text for text in page.text_of("p"))
    cells = page.text_of("td")
    place = cells.index("greedy soup of the weights")
    assert cells[place + 4] == "−0.0032"
    assert not any("None of them gained" in text for text in page.text_of("p"))
    worse = tuple(found.model_copy(update={"gain": -0.1}) for found in searched[0].ensembles)
    told = study_page(make_empty_study().model_copy(update={"ensembles": worse})).text_of("p")
    assert any("None of them gained anything." in text for text in told)


def test_pruning_is_counted_epoch_by_epoch(searched: tuple[StudyResult, Page]):
    study, page = searched
    cells = page.text_of("td")
    (first, here), (second, then) = study.pruned_by_epoch.items()
    place = cells.index(str(first), cells.index("winner"))
    assert "67 %" in page.text_of("span")
    rows = [str(first), str(here), str(here), str(second), str(then), str(here + then)]
    assert any(cells[i : i + 6] == rows for i in range(place, len(cells)))


def test_notes_of_the_study_and_of_its_trials_are_told(searched: tuple[StudyResult, Page]):
    study, page = searched
    assert set(study.notes) <= set(page.text_of("li"))
    notes = {note for trial in study.trials for note in trial.notes}
    assert notes and notes <= set(page.text_of("td"))


def test_what_makes_the_winner_doubtful_stands_above_the_headline():
    study = make_searched_study(60).model_copy(update={"doubts": ("all 15 completed trials give the same answer",)})
    text = study_html(study)
    (headline,) = study_page(study).text_of("h1")
    assert text.index("all 15 completed trials give the same answer") < text.index(headline)


def test_the_value_of_a_branch_is_marked_where_it_stands_in_the_config():
    study = make_study(12)
    assert study.best is not None
    trials = tuple(t.model_copy(update={"params": {"peft.lora.r": 8}}) for t in study.trials)
    best = study.best.model_copy(update={"config": {"peft": {"method": "lora", "r": 8}}})
    page = study_page(study.model_copy(update={"trials": trials, "best": best}))
    assert page.text_of("mark") == ["  r: 8"]


def test_a_study_of_nothing_but_pruned_trials_is_drawn_without_a_winner():
    params = [{"optim.lr": 1e-3}, {"optim.lr": 2e-3}, {"optim.lr": math.nan}]
    trials = tuple(
        TrialRecord(
            number=i, status="pruned", value=None, params=p, seconds=1, epochs=1, history=(0.1 * i,), notes=("odd",)
        )
        for i, p in enumerate(params)
    )
    changes = {
        "trials": trials,
        "pruned_by_epoch": {1: 3},
        "objectives": ("f1_macro", "disk"),
        "directions": ("maximize", "minimize"),
    }
    page = study_page(make_empty_study(trials=0).model_copy(update=changes))
    assert page.text_of("h1") == ["No trial completed."]
    assert "No completed trial has a value of each objective." in page.text_of("p")
    assert page.count("svg") == 10 and "odd" in page.text_of("td")
    assert not [a["d"] for tag, a in page.tags if tag == "path" and "nan" in (a.get("d") or "")]
