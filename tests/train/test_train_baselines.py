"""`train.baselines`: simple models on the rows of a run, and what the run adds to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import config, write_rows
from tunery import fit
from tunery.schema.results.run import Baseline, Metrics, RunResult
from tunery.statistics import Score, difference_interval
from tunery.train import fit as run
from tunery.train.gains import baseline_notes, with_gains


def trained(model: Path, folder: Path, *, kind: str = "classification", **sections: Any) -> RunResult:
    files = write_rows(folder, multilabel=kind == "multilabel")
    return fit(config(str(model), files, kind=kind, **sections), out=folder / "run")


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_run_is_told_beside_simple_models_that_score_what_they_score_alone(
    tiny_bert: Path, tmp_path: Path, kind: str
) -> None:
    train = {"epochs": 1, "baselines": ["majority", "tfidf", "probe"]}
    result = trained(tiny_bert, tmp_path, kind=kind, train=train)
    assert [baseline.method for baseline in result.baselines] == ["majority", "tfidf", "probe"]
    for baseline in result.baselines:
        alone = fit({**result.config, "peft": baseline.method}, out=tmp_path / baseline.method)
        assert alone.metrics.test is not None and baseline.metrics.test is not None
        for split, own in (("validation", alone.metrics.validation), ("test", alone.metrics.test)):
            simple = getattr(baseline.metrics, split)
            assert {name: simple[name] for name in ("f1_macro", "loss")} == pytest.approx(
                {name: own[name] for name in ("f1_macro", "loss")}, abs=1e-5
            )
        assert baseline.gain is not None and baseline.gain.split == "test"
        assert baseline.gain.difference == pytest.approx(result.metrics.test["f1_macro"] - simple["f1_macro"])  # type: ignore[index]


def test_baselines_change_nothing_of_the_run(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path)
    results = [
        fit(config(str(tiny_bert), files, train={"epochs": 2, "baselines": names}), out=tmp_path / str(len(names)))
        for names in ([], ["majority", "tfidf", "probe"])
    ]
    assert results[0].baselines == () and results[0].metrics == results[1].metrics
    assert results[0].checkpoints[0].digest == results[1].checkpoints[0].digest


def test_only_what_is_simpler_is_fitted_and_trials_have_none(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path)
    train = {"epochs": 1, "baselines": ["majority", "tfidf", "probe"]}
    methods = {
        method: [
            baseline.method
            for baseline in fit(
                config(str(tiny_bert), files, train=train, peft={"method": method}), out=tmp_path / method
            ).baselines
        ]
        for method in ("probe", "tfidf", "majority")
    }
    assert methods == {"probe": ["majority"], "tfidf": ["majority"], "majority": []}
    study = tmp_path / "study"
    trial = run.fit(config(str(tiny_bert), files, train=train), out=study / "trials" / "0", study=study)
    assert trial.baselines == ()


def test_they_are_measured_once_in_the_life_of_a_run(tiny_bert: Path, tmp_path: Path) -> None:
    asked, out = config(str(tiny_bert), write_rows(tmp_path), train={"epochs": 1}), tmp_path / "run"
    first = fit(asked, out=out)
    (out / "result.json").unlink()
    known = json.loads((out / "baselines.json").read_text())
    known[1]["seconds"] = 1234.0
    (out / "baselines.json").write_text(json.dumps(known))
    again = fit(asked, out=out)
    assert again.baselines[1].seconds == 1234.0 and again.baselines[1].metrics == first.baselines[1].metrics


def result_of(value: float, *, blocks: tuple[float, ...] = ()) -> Metrics:
    return Metrics(validation={"f1_macro": value}, test={"f1_macro": value}, test_without_block=blocks)


def told(baseline: Baseline, metrics: Metrics, tmp_path: Path, tiny: Path) -> list[str]:
    settings = config(str(tiny), write_rows(tmp_path))
    return list(baseline_notes(with_gains([baseline], metrics, objective="f1_macro"), metrics, settings))


def test_a_better_probe_and_a_majority_within_the_interval_are_said(tiny_bert: Path, tmp_path: Path) -> None:
    better = Baseline(method="probe", metrics=result_of(0.8), seconds=9.0)
    (sentence,) = told(better, result_of(0.7), tmp_path, tiny_bert)
    assert sentence.startswith("peft=probe is better on validation: f1_macro 0.800 in 9 s, against 0.700")
    assert told(better, result_of(0.9), tmp_path, tiny_bert) == []
    majority = Baseline(method="majority", metrics=result_of(0.5, blocks=(0.49, 0.5, 0.51)), seconds=0.0)
    (sentence,) = told(majority, result_of(0.51, blocks=(0.53, 0.51, 0.49)), tmp_path, tiny_bert)
    assert "not surely better than one answer for all rows" in sentence and "+0.010" in sentence
    assert told(majority, result_of(0.9, blocks=(0.9, 0.9, 0.9)), tmp_path, tiny_bert) == []
    (sentence,) = told(majority, majority.metrics, tmp_path, tiny_bert)
    assert sentence.endswith("(peft=majority): the same answers on test")
    (sentence,) = told(majority, result_of(0.4), tmp_path, tiny_bert)
    assert "test f1_macro -0.100" in sentence


def test_the_interval_of_a_difference_is_that_of_the_mean_where_the_score_is_one() -> None:
    """For accuracies over blocks of equal size, the jackknife's interval is Student's over the blocks."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 40, 25)) < np.array([0.8, 0.7])[:, None, None]

    def score_of(right: Any) -> Score:
        without = tuple(float(np.delete(right, block, axis=0).mean()) for block in range(len(right)))
        return Score(float(right.mean()), without)

    low, high = difference_interval(score_of(ours), score_of(theirs)) or (0.0, 0.0)
    by_block = ours.mean(axis=1) - theirs.mean(axis=1)
    reach = 2.0227 * by_block.std(ddof=1) / np.sqrt(40)
    assert (low, high) == pytest.approx((by_block.mean() - reach, by_block.mean() + reach), abs=1e-4)
    assert difference_interval(Score(0.5), Score(0.4)) is None


def test_a_gain_on_validation_has_no_interval() -> None:
    baseline = Baseline(method="probe", metrics=Metrics(validation={"loss": 0.5}), seconds=1.0)
    (known,) = with_gains([baseline], Metrics(validation={"loss": 0.4}), objective="loss")
    assert known.gain is not None and (known.gain.split, known.gain.low) == ("validation", None)
    assert known.gain.difference == pytest.approx(-0.1)
