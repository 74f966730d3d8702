"""The report of a comparison: table, page and picture of results that never were."""

import csv
import io
import math
import random

import pytest

from page_reader import ATTACK, Page, checked
from report_records import make_comparison, make_failed_cell, make_summary
from tunery.report import comparison_csv, comparison_html, comparison_png, comparison_rows
from tunery.report.text.comparison_table import CSV_COLUMNS
from tunery.report.text.formatting import count, p_value, score, short_count, signed
from tunery.schema.config.peft import method_name
from tunery.schema.results.comparison import ComparisonResult


def page(result: ComparisonResult) -> Page:
    return checked(comparison_html(result))


def without_scores(methods: int = 2) -> ComparisonResult:
    """A comparison in which nothing completed."""
    made = make_comparison(methods, seeds=2)
    nothing = {
        "seeds": 0,
        "failed": 2,
        **dict.fromkeys(("mean", "low", "high", "validation", "difference", "difference_low", "difference_high")),
        **dict.fromkeys(("p_value", "significant", "parameters", "seconds", "total_seconds", "tokens_per_second")),
        **dict.fromkeys(("memory", "disk_bytes")),
    }
    return made.model_copy(
        update={
            "methods": tuple(method.model_copy(update=nothing) for method in made.methods),
            "cells": tuple(make_failed_cell(method.method, seed) for method in made.methods for seed in range(2)),
            "best": None,
            "environment": None,
        }
    )


@pytest.fixture(scope="module")
def eight() -> tuple[ComparisonResult, Page]:
    """A comparison of 8 methods with 3 seeds, and its page."""
    result = make_comparison()
    return result, page(result)


def test_the_page_has_its_parts_in_order(eight: tuple[ComparisonResult, Page]):
    assert eight[1].text_of("h2") == [
        "Methods",
        "Scores",
        "Costs",
        "What a score costs",
        "Runs",
        "How the numbers were computed",
        "Data",
        "Environment",
    ]


def test_the_verdicts_come_before_the_numbers(eight: tuple[ComparisonResult, Page]):
    result, read = eight
    ahead = "Best mean macro F1 on test, over 3 seeds: full fine-tuning with 0.8632"
    assert read.text_of("h1") == [f"{ahead}; 5 of 7 differ significantly from full fine-tuning."]
    texts = [text for _, text in read.texts]
    assert [text for text in texts if text in result.verdicts] == list(result.verdicts)
    assert texts.index(result.verdicts[-1]) < texts.index("Methods")


def test_nothing_is_concluded_where_runs_are_doubtful(eight: tuple[ComparisonResult, Page]):
    result, note = eight[0], "the model names 'a' for every row of validation"
    assert result.cells[0].result is not None
    doubtful = result.cells[0].model_copy(
        update={"result": result.cells[0].result.model_copy(update={"notes": (note,)})}
    )
    alike = [method.model_copy(update={"mean": 0.5, "significant": False}) for method in result.methods]
    for methods in (result.methods, alike):
        read = page(result.model_copy(update={"cells": (doubtful, *result.cells[1:]), "methods": tuple(methods)}))
        assert read.text_of("h1")[0].endswith(", but the scores of some runs are doubtful, so nothing is concluded.")
        assert note in read.text_of("td")
    other_tokens = page(result.model_copy(update={"verdicts": ("no conclusion: the text has other tokens",)}))
    assert other_tokens.text_of("h1")[0].endswith(", but nothing is concluded from it.")


def test_significance_and_failures_are_said_in_words(eight: tuple[ComparisonResult, Page]):
    result, read = eight
    held = sum(bool(method.significant) for method in result.methods)
    cells = read.text_of("td")
    assert (cells.count("significant"), cells.count("not significant")) == (held, len(result.methods) - 1 - held)
    assert cells.count("baseline") == 1
    assert "1 failed" in read.text_of("small")
    assert any("<script>alert('reason')</script>" in text for text in cells)


def test_the_page_says_how_the_numbers_were_made(eight: tuple[ComparisonResult, Page]):
    words = " ".join(eight[1].text_of("li"))
    for word in ("bootstrap", "paired", "Holm", "scored on the test rows once", "optimistic", "Not significant"):
        assert word in words
    assert any("The score axis runs from 0.8" in text for text in eight[1].text_of("figcaption"))


def test_every_chart_names_every_method(eight: tuple[ComparisonResult, Page]):
    result, read = eight
    drawn = read.text_of("text")
    assert read.count("svg") == 6
    for method in result.methods:
        assert sum(text.startswith(method_name(method.method)) for text in drawn) >= 2 * 3


@pytest.mark.parametrize(("methods", "seeds"), [(2, 1), (20, 5)])
def test_few_and_many_methods_are_drawn(methods: int, seeds: int):
    text = comparison_html(make_comparison(methods, seeds=seeds))
    read = checked(text)
    assert read.count("svg") == 6
    assert ("not tested" in read.text_of("td")) == (seeds == 1)
    assert len(text.encode()) < 1_500_000
    assert not [a["d"] for tag, a in read.tags if tag == "path" and "nan" in (a.get("d") or "")]


def test_equal_scores_have_no_winner_and_still_an_axis():
    made = make_comparison(3, seeds=2)
    same = {"mean": 0.5, "low": 0.5, "high": 0.5}
    read = page(
        made.model_copy(
            update={
                "methods": tuple(method.model_copy(update=same) for method in made.methods),
                "cells": tuple(cell.model_copy(update={"value": 0.5}) for cell in made.cells),
            }
        )
    )
    assert read.text_of("h1") == ["3 methods share the best mean macro F1 on test, 0.5000."]
    assert any("from 0.4900 to 0.5100" in text for text in read.text_of("figcaption"))


def test_a_comparison_in_which_nothing_completed_is_a_page_and_a_picture():
    result = without_scores()
    read = page(result)
    assert read.text_of("h1") == ["No method has a score."]
    assert "What a score costs" not in read.text_of("h2")
    assert comparison_png(result).startswith(b"\x89PNG")
    assert {row["score"] for row in comparison_rows(result)} == {"\N{EN DASH}"}


def test_markup_in_names_and_reasons_stays_text():
    made = make_comparison(3, seeds=2)
    named = make_summary(ATTACK, random.Random(1), [0.8, 0.81])
    failed = make_failed_cell(ATTACK, 1).model_copy(update={"reason": ATTACK})
    changed = made.model_copy(
        update={
            "name": ATTACK,
            "baseline": ATTACK,
            "objective": "f1_macro",
            "methods": (named, *made.methods),
            "cells": (*made.cells, failed),
            "verdicts": (ATTACK, f"  {ATTACK}"),
            "best": failed,
        }
    )
    read = page(changed)
    assert read.text_of("title") == [f"{ATTACK} · comparison"]
    assert ATTACK in read.text_of("span") and read.text_of("li")[:2] == [ATTACK, ATTACK]
    assert comparison_png(changed).startswith(b"\x89PNG")


def test_a_minimised_objective_is_ranked_and_called_so():
    made = make_comparison(4)
    result = made.model_copy(update={"objective": "loss", "direction": "minimize"})
    means = [float(row["score"]) for row in comparison_rows(result)]
    assert means == sorted(means)
    words = [text for _, text in page(result).texts]
    assert any("lower is better" in text for text in words)
    assert any("Better is to the left and down." in text for text in words)


def test_the_picture_is_1600_pixels_wide_and_the_same_every_time():
    result = make_comparison(3)
    picture = comparison_png(result)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20]) == 1600
    assert picture == comparison_png(result)


def test_the_same_comparison_gives_the_same_page():
    assert comparison_html(make_comparison(3)) == comparison_html(make_comparison(3))


def test_rows_for_the_terminal_are_best_first_and_formatted():
    rows = comparison_rows(make_comparison())
    keys = "method score half interval difference p trainable percent seconds tokens/s memory disk"
    assert [" ".join(row) for row in rows] == [keys] * 8
    assert rows[0]["method"] == "none" and rows[0]["difference"] == "\N{EN DASH}"
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


def test_csv_keeps_every_digit():
    result = make_comparison()
    read = list(csv.DictReader(io.StringIO(comparison_csv(result), newline="")))
    by_name = {method.method: method for method in result.methods}
    assert tuple(read[0]) == CSV_COLUMNS
    assert [float(row["mean"]) for row in read] == [by_name[row["method"]].mean for row in read]
    assert [row["baseline"] for row in read] == ["true"] + ["false"] * 7
    assert (read[0]["p_value"], read[0]["device_peak_bytes"]) == ("", "")


def test_csv_leaves_cells_empty_that_have_no_number():
    result = without_scores()
    odd = result.methods[0].model_copy(update={"mean": math.nan})
    read = list(csv.DictReader(io.StringIO(comparison_csv(result.model_copy(update={"methods": (odd,)})))))
    assert {name: value for name, value in read[0].items() if value} == {
        "method": "none",
        "baseline": "true",
        "seeds": "0",
        "failed": "2",
        "folds": "0",
        "on_pareto_front": "false",
    }


def test_words_for_differences_and_counts():
    perplexities = [score(value) for value in (1.25, 12.3456, 9999.4, 9999.6, 25908, 3e14)]
    assert perplexities == ["1.2500", "12.35", "9,999", "10,000", "25,908", "3.000e+14"]
    assert [signed(0.0123), signed(-0.00456), signed(-0.00001), signed(None)] == ["+0.0123", "−0.0046", "0.0000", "–"]
    spoken = [p_value(0.0004), p_value(0.0312), p_value(None), short_count(770), short_count(147_840), count(2.25)]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in spoken] == [
        "< 0.001",
        "0.031",
        "–",
        "770",
        "148 k",
        "2.2",
    ]
