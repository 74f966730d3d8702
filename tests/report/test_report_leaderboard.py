"""The leaderboard as rows and as CSV."""

import csv
import io
import json

import pytest

from report_records import make_empty_study, make_searched_study, make_study
from tunery.report import leaderboard_csv, leaderboard_rows
from tunery.report.text.leaderboard import FIXED


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_rows_are_ranked_best_first_and_only_completed_trials_are_ranked(direction):
    study = make_study().model_copy(update={"direction": direction, "best": None})
    rows = leaderboard_rows(study)
    ranked = [row for row in rows if row["rank"] is not None]
    values = [row["value"] for row in ranked]
    assert len(rows) == len(study.trials)
    assert values == sorted(values, reverse=direction == "maximize")
    assert [row["rank"] for row in rows[: len(ranked)]] == list(range(1, len(ranked) + 1))
    assert {row["status"] for row in ranked} == {"completed"}


def test_a_tie_goes_to_the_winner():
    study = make_study()
    assert study.best is not None
    trials = tuple(t.model_copy(update={"value": 0.5}) if t.status == "completed" else t for t in study.trials)
    assert leaderboard_rows(study.model_copy(update={"trials": trials}))[0]["number"] == study.best.number


def test_a_completed_trial_without_a_value_comes_after_those_with_one():
    study = make_study(5)
    trials = (study.trials[0].model_copy(update={"value": None}), *study.trials[1:])
    rows = [
        row for row in leaderboard_rows(study.model_copy(update={"trials": trials})) if row["status"] == "completed"
    ]
    assert rows[-1]["number"] == 0
    assert rows[-1]["rank"] is None


def test_every_row_has_every_searched_parameter():
    rows = leaderboard_rows(make_study())
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert set(rows[0]) > {*FIXED, "peft.r", "optim.lr"}
    assert all(row["peft.r"] is None for row in rows if row["peft.method"] == "none")


def test_csv_reads_back():
    study = make_study()
    read = list(csv.DictReader(io.StringIO(leaderboard_csv(study), newline="")))
    rows = leaderboard_rows(study)
    assert [row["reason"] for row in read] == [row["reason"] or "" for row in rows]
    assert [float(row["optim.lr"]) for row in read] == [row["optim.lr"] for row in rows]
    assert '["query", "value"]' in {row["peft.target"] for row in read}


def test_rescored_trials_stand_first_by_their_mean():
    study = make_searched_study(60)
    rows = leaderboard_rows(study)
    assert [row["number"] for row in rows[:5]] == [again.number for again in study.rescored]
    assert [row["rank"] for row in rows[:6]] == [1, 2, 3, 4, 5, 6]
    rest = [row["value"] for row in rows[5:] if row["rank"]]
    assert rest == sorted(rest, reverse=True)


def test_csv_has_costs_values_of_other_seeds_and_notes():
    study = make_searched_study(60, objectives=("f1_macro", "memory", "seconds"))
    read = list(csv.DictReader(io.StringIO(leaderboard_csv(study), newline="")))
    trials = {trial.number: trial for trial in study.trials}
    more = ["cost.memory", "cost.seconds", "rescored.mean", *(f"rescored.seed_{seed}" for seed in (0, 1, 2)), "notes"]
    assert list(read[0])[: len(FIXED) + 7] == [*FIXED, *more]
    assert [float(row["cost.seconds"]) for row in read] == [trials[int(r["number"])].beside["seconds"] for r in read]
    assert float(read[0]["rescored.mean"]) == study.rescored[0].mean
    assert float(read[0]["rescored.seed_2"]) == study.rescored[0].values[2]
    assert {row["rescored.mean"] for row in read[5:]} == {""}
    noted = [json.loads(row["notes"]) for row in read if row["notes"]]
    assert sorted(noted) == sorted(list(trial.notes) for trial in study.trials if trial.notes)


def test_a_plain_study_has_no_columns_for_what_it_has_not():
    assert list(leaderboard_rows(make_study())[0])[: len(FIXED) + 1] == [*FIXED, "peft.method"]


def test_a_study_without_trials_is_a_header():
    assert leaderboard_csv(make_empty_study(trials=0)) == ",".join(FIXED) + "\n"
