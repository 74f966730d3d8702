"""Which labels were taken for which."""

from page_reader import checked
from report_records import make_run
from tunery.report import run_html
from tunery.report.pages.confusion_matrix import MOST_MIX_UPS, Confusion, MixUp, confusion_of, mix_ups
from tunery.schema.results.run import Metrics


def metrics(*counts: list[int]) -> dict[str, object]:
    return {"per_label": {label: {"f1": 0.5} for label in "abc"[: len(counts)]}, "confusion_matrix": list(counts)}


def texts(found: dict[str, object]) -> list[str]:
    run = make_run(metrics=Metrics(validation={}, test={"f1_macro": 0.5, **found}))
    return [text for _, text in checked(run_html(run, metrics=[])).texts]


def test_mix_ups_are_ordered_by_their_rows_then_by_their_share():
    found = confusion_of(metrics([5, 3, 0], [2, 0, 0], [0, 3, 0]))
    assert found == Confusion(("a", "b", "c"), ((5, 3, 0), (2, 0, 0), (0, 3, 0)))
    assert mix_ups(found) == [MixUp("c", "b", 3, 1.0), MixUp("a", "b", 3, 0.375), MixUp("b", "a", 2, 1.0)]


def test_no_matrix_and_one_of_another_size_are_left_out():
    assert confusion_of({"per_label": {"a": {}}}) is None
    assert confusion_of({"per_label": {"a": {}}, "confusion_matrix": [[1, 0], [0, 1]]}) is None
    assert "Most frequent mix-ups" not in texts({"per_label": {"a": {"f1": 0.5}}})


def test_the_page_shows_the_matrix_and_the_mix_ups():
    shown = texts(metrics([1234, 1], [0, 7]))
    place = shown.index("Confusion matrix")
    assert {"1,234", "7"} <= set(shown[place:])
    after = [text for text in shown[shown.index("Most frequent mix-ups") :] if text.strip()]
    assert after[5:9] == ["a", "b", "1", "0.1 %"]
    assert "No row got a wrong label." in texts(metrics([3, 0], [0, 7]))


def test_of_many_labels_only_the_mix_ups_are_shown():
    shown = [text for _, text in checked(run_html(make_run(labels=30), metrics=[])).texts]
    assert "Confusion matrix" not in shown and "Most frequent mix-ups" in shown
    made = make_run(labels=30).metrics.test or {}
    found = confusion_of(made)
    assert found is not None
    more = mix_ups(found)[MOST_MIX_UPS:]
    assert f"And {len(more)} other pairs, {sum(pair.rows for pair in more)} rows in all." in shown
