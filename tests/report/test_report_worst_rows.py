"""The rows that a model answers worst, on the page."""

import pytest

from page_reader import ATTACK, Page, checked
from report_records import make_run, make_study
from tunery.report import run_html, study_html
from tunery.schema.results.worst_rows import Excerpt, WorstRow, WorstRows

PAIR = (Excerpt(text=f"first {ATTACK}", is_cut=True), Excerpt(text="second \u202etxet", is_cut=False))


def row(**changes: object) -> WorstRow:
    given = {"id": "row-7", "loss": 3.5066, "labels": ("b",), "answer": ("a",), "probabilities": {"b": 0.03, "a": 0.96}}
    return WorstRow.model_validate({**given, "texts": PAIR, **changes})


def rows(*found: WorstRow) -> WorstRows:
    return WorstRows(split="test", total=3080, rows=found)


def page(found: WorstRows) -> Page:
    return checked(run_html(make_run(), metrics=[], worst=found))


def words(found: WorstRows) -> list[str]:
    shown = [text for _, text in page(found).texts if text.strip()]
    return shown[shown.index("Worst rows") : shown.index("Config")]


def test_a_row_is_told_with_labels_answer_probabilities_loss_and_its_texts_as_they_are() -> None:
    told = words(rows(row()))
    place = told.index("row-7")
    assert told[place - 5 : place] == ["row", "label", "answer", "loss", "text"]
    assert told[place : place + 6] == ["row-7", "b", " 3.0 %", "a", " 96.0 %", "3.5066"]
    assert told[place + 6 :] == [f"first {ATTACK}", " \N{HORIZONTAL ELLIPSIS}", "second \u202etxet"]
    assert told[1].startswith("The 1 of 3,080 rows of test with the highest loss; 1 of them got a wrong answer.")
    assert "A text that ends in" in told[1]
    assert page(rows(row())).text_of("bdi") == [f"first {ATTACK}", "second \u202etxet"]


def test_what_makes_an_answer_wrong_stands_out_and_many_labels_are_counted() -> None:
    many = tuple(f"l{n}" for n in range(20))
    found = rows(
        row(
            labels=("kept", "missed"),
            answer=("kept", "given"),
            probabilities=dict.fromkeys(("kept", "missed", "given"), 0.5),
        ),
        row(labels=many, answer=many, probabilities=dict.fromkeys(many, 0.5)),
        row(labels=(), answer=(), probabilities={}),
    )
    assert page(found).text_of("b") == ["missed", "given"]
    told = words(found)
    assert told.count("and 12 more") == 2 and told.count("l7 50 %") == 2 and "l8 50 %" not in told
    assert told.index("missed") < told.index("kept 50 %")
    assert "3 of 3,080" in told[1] and "1 of them got a wrong answer" in told[1]


def test_without_texts_there_is_no_such_column_and_it_is_said() -> None:
    told = words(rows(row()).without_texts())
    assert "text" not in told and "row-7" in told and "Without texts" in told[1]


def test_the_page_of_a_study_shows_those_of_its_winner() -> None:
    study = make_study(12)
    assert "Worst rows" not in checked(study_html(study)).text_of("h2")
    shown = checked(study_html(study, worst=rows(row())))
    assert "Worst rows" in shown.text_of("h2") and "row-7" in shown.text_of("code")


def test_a_label_without_a_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="'b' has no probability"):
        row(probabilities={"a": 0.96})
