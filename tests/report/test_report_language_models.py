"""Language models on the page: what their scores were told from, and the texts that are told worst."""

from typing import Any

import pytest

from page_reader import checked
from report_records import make_run
from tunery.report import run_html
from tunery.report.pages.task_sections import task_sections
from tunery.report.text.formatting import score
from tunery.schema.results.run import DataRecord, SplitRecord
from tunery.schema.results.worst_rows import Excerpt, WorstRow, WorstRows


def shown(kind: str, metrics: dict[str, Any], **task: Any) -> str:
    config = {"task": {"kind": kind, **task}, "model": {"max_length": 256}}
    return "".join(task_sections(config, metrics, title="Test")).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(("given", "stride"), [(None, 128), (0, 0), (200, 200)])
def test_perplexity_comes_with_the_context_that_tokens_are_told_from(given: int | None, stride: int) -> None:
    page = shown("causal_lm", {"tokens": 12345}, stride=given)
    assert "each of 12,345 tokens is told once" in page and "window of 256 tokens" in page
    assert f"the last {stride} tokens" in page


def test_masked_tokens_are_said_to_be_that() -> None:
    page = shown("mlm", {"tokens": 51, "pseudo_perplexity": 20.6})
    assert "51 tokens are told, 15 % of all" in page and "Pseudo-perplexity hides each token alone." in page
    assert "Pseudo" not in shown("mlm", {"tokens": 51})


@pytest.mark.parametrize("kind", ["causal_lm", "mlm"])
@pytest.mark.parametrize("metrics", [{}, {"tokens": 0}, {"tokens": None}, {"tokens": "many"}])
def test_nothing_is_said_of_tokens_that_are_not_there(kind: str, metrics: dict[str, Any]) -> None:
    assert shown(kind, metrics) == ""


def test_the_worst_texts_have_tokens_and_perplexity_and_no_labels() -> None:
    text = Excerpt(text="the king", is_cut=False)
    bare: dict[str, Any] = {"labels": (), "answer": (), "probabilities": {}, "texts": (text,)}
    rows = (
        WorstRow(id="#3", loss=9.21034037, tokens=1200, **bare),
        WorstRow(id="#1", loss=2000.0, tokens=1, **bare),
    )
    page = checked(run_html(make_run(), metrics=[], worst=WorstRows(split="test", total=8, rows=rows)))
    told = [text for _, text in page.texts if text.strip()]
    place = told.index("Worst texts")
    assert told[place + 1].startswith("The 2 of 8 texts of test with the highest loss a token.")
    assert "label" not in told[place + 1]
    assert told[place + 2 : place + 7] == ["row", "tokens", "perplexity", "loss", "text"]
    assert told[place + 7 : place + 12] == ["#3", "1,200", "10,000", "9.2103", "the king"]
    assert told[place + 14] == "1.014e+304", "as the exponential of the largest loss that has one"


def test_texts_are_not_called_rows() -> None:
    def headers(labels: dict[str, int]) -> list[str]:
        split = SplitRecord(rows=8, digest="", source="a.txt", labels=labels)
        run = make_run().model_copy(update={"data": DataRecord(splits={"train": split})})
        return [text for _, text in checked(run_html(run, metrics=[])).texts]

    assert "texts" in headers({}) and "texts" not in headers({"good": 8})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9.99, "9.9900"),
        (25.216, "25.22"),
        (999.96, "1,000"),
        (12345.6, "12,346"),
        (-54321.0, "-54,321"),
        (1e30, "1.000e+30"),
    ],
)
def test_large_perplexities_are_numbers_to_read(value: float, text: str) -> None:
    assert score(value) == text
