"""The rows that a model answers worst, on the page."""

import pytest

from page_reader import ATTACK, Page, checked
from report_records import make_run, make_study
from tunery.report import run_html, study_html
from tunery.schema.results.worst_rows import Excerpt, MarkedSpan, Marks, Passage, RowNumber, WorstRow, WorstRows

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


def test_a_row_of_a_language_model_has_no_label() -> None:
    told = words(rows(row(labels=(), answer=(), probabilities={})))
    place = told.index("row-7")
    assert told[place - 3 : place] == ["row", "loss", "text"] and told[place + 1] == "3.5066"
    assert told[1].startswith("The 1 of 3,080 rows of test with the highest loss, which is the mean over their tokens.")
    assert "label" not in told[1] and "wrong" not in told[1]


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


TEXT = f"It is late. {ATTACK} I am sad. \u202eevil \u05d0\u05d1. The end"
GOLD, GIVEN = TEXT.index("I am sad."), TEXT.index("evil")


def span(label: str, start: int, end: int, score: float | None = None) -> MarkedSpan:
    return MarkedSpan(label=label, start=start, end=end, score=score)


def marked(*passages: Passage, evidence: list[MarkedSpan], answer: list[MarkedSpan]) -> WorstRow:
    marks = Marks(evidence=tuple(evidence), answer=tuple(answer), passages=passages, characters=len(TEXT))
    return row(texts=(), marks=marks)


def test_evidence_of_the_data_and_of_the_model_is_marked_in_the_text_and_named() -> None:
    whole = Passage(start=0, text=TEXT)
    gold, missed = span("b", GOLD, GOLD + 9), span("c", 0, 11)
    shown = page(
        rows(marked(whole, evidence=[gold, missed], answer=[span("b", GOLD, GIVEN + 4, 0.5), span("a", 3, 5, 0.25)]))
    )
    kinds = [attributes["class"] for tag, attributes in shown.tags if tag == "mark"][3:]
    assert kinds == ["gold", "gold predicted", "gold", "gold predicted", "predicted"]
    assert shown.text_of("mark")[3:] == ["It ", "is", " late.", "I am sad.", " \u202eevil"]
    told = [text for text in shown.text_of("bdi") if text.startswith(" ")]
    names = [text for text in told if text[1:2] in ("a", "b", "c")]
    assert names == [" a 25 % (not in the data)", " c (missed)", " b", " b 50 %"]
    assert any(ATTACK in text for text in shown.text_of("bdi"))


def test_what_is_left_out_of_a_long_text_is_counted() -> None:
    start = GOLD - 3
    found = rows(
        marked(Passage(start=start, text=TEXT[start : start + 20]), evidence=[span("b", GOLD, GOLD + 500)], answer=[])
    )
    told = page(found).text_of("small")
    assert told[0].split()[1] == f"{start}" and told[-1].split()[1] == f"{len(TEXT) - start - 20}"
    assert all("left out" in text for text in told)
    bare = words(found.without_texts())
    assert "text" not in bare and "Without texts" in bare[1] and page(found.without_texts()).count("mark") == 0


def test_typical_rows_have_a_table_of_their_own() -> None:
    found = rows(row()).model_copy(update={"typical": (row(id="usual"),)})
    told = words(found)
    assert told.index("Typical rows") < told.index("usual")


def test_a_number_is_told_with_the_interval_below_it() -> None:
    numbers = (RowNumber(right=8, answer=3.25, low=1.25, high=5.25), RowNumber(right=4.5, answer=3.25))
    told = words(rows(*(row(number=number, labels=(), answer=(), probabilities={}) for number in numbers)))
    place = told.index("row-7")
    assert told[place - 5 : place] == ["row", "right", "answer", "loss", "text"]
    assert told[place : place + 5] == ["row-7", "8.0000", "3.2500", "1.2500 to 5.2500", "3.5066"]
    assert "the right number of 1 of them is not in its interval" in told[1] and "wrong answer" not in told[1]
    assert told[told.index("row-7", place + 1) :][1:4] == ["4.5000", "3.2500", "3.5066"]
