"""`search.baselines`: simple models as the first trials of a study, one of which may win."""

from pathlib import Path
from typing import Any

import pytest

from tiny_runs import write_rows
from tunery import load, search
from tunery.errors import ModelError
from tunery.hpo.analysis.ensemble import ensemble
from tunery.hpo.search_space.initial_points import portfolio
from tunery.schema.results.study import StudyResult
from tunery.schema.space.default import space_of
from tunery.train.artifacts.export import export_run


def document(model: Path, folder: Path, **of_search: Any) -> dict[str, Any]:
    return {
        "task": {"kind": "classification"},
        "data": write_rows(folder),
        "model": {"name": str(model), "max_length": 32, "precision": "fp32"},
        "peft": {"method": ["lora", "ia3"]},
        "optim": {"lr": {"low": 1e-6, "high": 1e-5, "log": True}},
        "train": {"epochs": 2, "batch_size": 8, "baselines": []},
        "search": {"n_trials": 8, "rescore": None, "pruner": {"name": "median", "startup_trials": 0}, **of_search},
    }


@pytest.fixture(scope="module")
def study(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    """Rates so low that nothing is learned, and words that TF-IDF finds at once."""
    folder = tmp_path_factory.mktemp("baselines")
    return folder / "study", search(document(tiny_bert, folder), out=folder / "study", engine="here")


def test_simple_models_come_first_and_are_no_rivals(study: tuple[Path, StudyResult]) -> None:
    out, result = study
    first, second, *others = result.trials
    assert [trial.params for trial in (first, second)] == [{"peft.method": "probe"}, {"peft.method": "tfidf"}]
    assert [trial.is_baseline for trial in result.trials] == [True, True, *[False] * 6]
    assert first.status == second.status == "completed"
    defaults = portfolio(space_of(document(Path("unused"), out.parent)))
    assert [trial.params["peft.method"] for trial in others[:2]] == [point["peft.method"] for point in defaults[:2]]
    assert any(trial.status == "completed" for trial in others), "the better simple models pruned all other trials"
    assert result.scales.keys() == {"peft.method", "optim.lr"}


def test_a_simple_model_may_win(study: tuple[Path, StudyResult]) -> None:
    out, result = study
    assert result.best is not None and result.best.number == 1 and result.best.config["peft"]["method"] == "tfidf"
    assert result.best.value == max(trial.value or 0.0 for trial in result.trials)
    assert "trial 1, the winner, is a simple model: no trial that trains the model does better" in result.doubts
    assert load(out).predict(["it was a great day"])[0].label == "good"
    assert search(document(Path(result.best.config["model"]["name"]), out.parent), out=out) == result


def test_the_weights_of_a_simple_model_can_be_exported(study: tuple[Path, StudyResult], tmp_path: Path) -> None:
    out, _ = study
    export_run(out, tmp_path / "alone")
    assert load(tmp_path / "alone").predict(["a terrible film"])[0].label == "bad"


@pytest.mark.parametrize(
    ("of_search", "peft", "names"),
    [
        ({"n_trials": 3}, "lora", []),
        ({"n_trials": 4}, "lora", ["probe"]),
        ({"n_trials": 4, "baselines": ["tfidf"]}, "lora", ["tfidf"]),
        ({"n_trials": 8, "baselines": []}, "lora", []),
        ({"n_trials": 8, "sampler": "grid"}, "lora", []),
        ({"n_trials": 8}, ["probe", "lora"], ["tfidf"]),
    ],
    ids=str,
)
def test_which_simple_models_there_are(
    tiny_bert: Path, tmp_path: Path, of_search: dict[str, Any], peft: Any, names: list[str]
) -> None:
    given = {**document(tiny_bert, tmp_path, **of_search), "train": {"max_steps": 1, "baselines": []}}
    result = search({**given, "peft": {"method": peft}}, out=tmp_path / "study", engine="here")
    assert [trial.params["peft.method"] for trial in result.trials if trial.is_baseline] == names


def test_members_without_a_neural_network_answer_with_others_and_have_no_mean_weights(
    tiny_bert: Path, tmp_path: Path
) -> None:
    given = document(tiny_bert, tmp_path, n_trials=8, pruner="none")
    given["checkpoint"] = {"keep_best": 8}
    out = tmp_path / "study"
    search(given, out=out, engine="here")
    ensemble(out, tmp_path / "joined", trials=[0, 1, 2])
    assert load(tmp_path / "joined").predict(["it was a great day"])[0].label == "good"
    with pytest.raises(ModelError, match="no two of the trials 1, 2"):
        ensemble(out, tmp_path / "soup", trials=[1, 2], method="soup")
