"""Results in a notebook: shown as a table, without markup from names, and as DataFrames."""

from report_records import make_comparison, make_run, make_study


def test_a_result_is_shown_and_nothing_in_it_is_markup() -> None:
    run = make_run()
    shown = run.model_copy(update={"notes": ("<script>alert(1)</script>",)})._repr_html_()
    assert shown.startswith("<table>") and "RunResult" in shown and f"{run.objective.value}" in shown
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    for other in (make_study(), make_comparison()):
        assert other._repr_html_().count("<tr>") == len([*other.__repr_args__()])


def test_a_study_has_a_row_for_each_trial_and_a_column_for_each_parameter() -> None:
    study = make_study()
    frame = study.to_pandas()
    assert list(frame["number"]) == [trial.number for trial in study.trials]
    first = study.trials[0]
    for path, value in first.params.items():
        assert frame.loc[0, f"params.{path}"] == value
    assert frame["value"].max() == max(trial.value for trial in study.trials if trial.value is not None)


def test_a_comparison_has_a_row_for_each_method_and_a_run_one_for_each_metric() -> None:
    comparison, run = make_comparison(), make_run()
    frame = comparison.to_pandas()
    assert list(frame["method"]) == [method.method for method in comparison.methods]
    assert list(frame["mean"]) == [method.mean for method in comparison.methods]
    known = [method.parameters.trainable for method in comparison.methods if method.parameters]
    assert [value for value in frame["trainable"] if value == value] == known
    scores = run.to_pandas()
    assert set(scores.columns) == {"validation", "test"} and run.metrics.test is not None
    assert scores.loc["f1_macro", "test"] == run.metrics.test["f1_macro"]
