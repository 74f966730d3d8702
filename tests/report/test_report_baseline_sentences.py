"""What a run adds to simple models, in one sentence each."""

from tunery.report.text.baseline_sentences import baseline_sentences
from tunery.schema.results.run import Baseline, Gain, Metrics

PROBE = Baseline(
    method="probe",
    metrics=Metrics(validation={"f1_macro": 0.7}, test={"f1_macro": 0.7405}),
    seconds=9.0,
    gain=Gain(split="test", difference=0.047, low=0.0201, high=0.0739),
)


def sentences(*baselines: Baseline, seconds: float | None = None) -> list[str]:
    lines = baseline_sentences(baselines, "f1_macro", subject="this run", seconds=seconds)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def test_a_gain_is_told_with_its_interval_and_what_it_costs_beyond_the_baseline() -> None:
    assert sentences(PROBE, seconds=52.0) == [
        "probe: macro F1 0.7405 on test in 9.0 s; this run adds +0.0470 [+0.0201, +0.0739] for 43 s more"
    ]
    assert sentences(PROBE)[0].endswith("[+0.0201, +0.0739]")


def test_the_same_answers_are_told_in_words_and_a_difference_that_is_zero_by_chance_is_not() -> None:
    same = PROBE.model_copy(update={"gain": Gain(split="test", difference=0.0, low=0.0, high=0.0)})
    assert sentences(same, seconds=52.0) == [
        "probe: macro F1 0.7405 on test in 9.0 s; this run gives the same answers for 43 s more"
    ]
    others = same.model_copy(update={"gain": Gain(split="test", difference=0.0, low=-0.01, high=0.01)})
    assert sentences(others)[0].endswith("this run adds 0.0000 [−0.0100, +0.0100]")


def test_what_is_not_known_is_left_out() -> None:
    on_validation = PROBE.model_copy(update={"gain": Gain(split="validation", difference=-0.01)})
    assert sentences(on_validation) == ["probe: macro F1 0.7000 on validation in 9.0 s; this run adds −0.0100"]
    assert sentences(PROBE.model_copy(update={"gain": None})) == []
