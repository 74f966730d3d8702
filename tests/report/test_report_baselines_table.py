"""The table of simple models on the pages of runs and studies."""

from typing import get_args

from page_reader import Page, checked
from report_records import make_lines, make_run, make_study
from tunery.report import run_html, study_html
from tunery.report.pages.baselines_table import MEANINGS, Compared, baselines_section
from tunery.schema.results.run import Baseline, Gain, Metrics

MAJORITY = Baseline(
    method="majority",
    metrics=Metrics(validation={"f1_macro": 0.0123}, test={"f1_macro": 0.0119}),
    seconds=0.31,
    gain=Gain(split="test", difference=0.8204, low=0.801, high=0.84),
)
PROBE = Baseline(
    method="probe",
    metrics=Metrics(validation={"f1_macro": 0.85}),
    seconds=120.0,
    train_rows=20_000,
    gain=Gain(split="validation", difference=-0.0077),
)
SAME = MAJORITY.model_copy(update={"gain": Gain(split="test", difference=0.0, low=0.0, high=0.0)})
UNKNOWN = PROBE.model_copy(update={"method": "tfidf", "metrics": Metrics(), "gain": None, "train_rows": None})


def test_every_simple_model_has_a_row_and_the_run_the_last() -> None:
    compared = Compared("this run", validation=0.8423, test=0.8323, seconds=335.1)
    section = baselines_section((MAJORITY, PROBE, UNKNOWN), compared, objective="f1_macro")
    page = Page(section or "")
    assert [text for name, text in page.texts if name in ("th", "td", "small")] == [
        *("method", "validation", "test", "time", "this run adds"),
        *(
            "majority",
            "the most frequent labels, or the mean",
            "0.0123",
            "0.0119",
            "0.3 s",
            "+0.8204",
            "+0.8010 to +0.8400",
        ),
        *("probe", "a linear head on the frozen model, fitted to 20,000 training rows"),
        *("0.8500", "–", "2.0 min", "−0.0077", "on validation"),
        *("tfidf", "a linear model on TF-IDF", "–", "–", "2.0 min", "–"),
        *("this run", "0.8423", "0.8323", "5.6 min"),
    ]
    same = Page(baselines_section((SAME,), compared, objective="f1_macro") or "").text_of("td")
    assert same[same.index("0.3 s") + 1] == "the same answers"
    assert baselines_section((), compared, objective="f1_macro") is None


def test_pages_compare_the_run_or_the_winner_of_the_study() -> None:
    run = make_run(baselines=(MAJORITY,))
    page = checked(run_html(run, metrics=make_lines()))
    assert "Simple models" in page.text_of("h2") and "this run adds" in page.text_of("th")
    study = make_study(20).model_copy(update={"baselines": (MAJORITY,)})
    assert study.best is not None
    cells = checked(study_html(study)).text_of("td")
    own = cells.index("the winner")
    assert cells[own + 1 : own + 3] == [f"{study.best.value:.4f}", f"{study.best.test['f1_macro']:.4f}"]


def test_every_simple_model_has_a_meaning() -> None:
    assert set(MEANINGS) == set(get_args(Baseline.model_fields["method"].annotation))
