"""Which trials become members, and what is refused before anything is loaded."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, write_rows
from tunery import load
from tunery.errors import FolderError, RequestError
from tunery.hpo.analysis.ensemble import ensemble, measure
from tunery.store.disk.lock import held
from tunery.store.disk.ownership import MARK, MARK_TEXT
from tunery.store.folder import RunFolder
from tunery.train.fit import fit


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials 0, 1 and 3 have completed; 2 has failed."""
    root = tmp_path_factory.mktemp("members") / "study"
    root.mkdir()
    files = write_rows(root)
    for number, lr in {0: 1e-4, 1: 3e-3, 2: 1e-3, 3: 1e-3}.items():
        sections: dict[str, Any] = {"peft": "bitfit", "optim": {"lr": lr}, "checkpoint": {"keep_best": 4}}
        given = config(str(tiny_bert), files, train={"epochs": 1, "batch_size": 8}, **sections)
        fit(given, out=root / "trials" / str(number), study=root)
        folder = RunFolder(root / "trials" / str(number))
        result = folder.result()
        assert result is not None
        told = {"status": "failed"} if number == 2 else {}
        value = result.objective.model_copy(update={"value": {0: 0.4, 1: 0.5, 2: 0.6, 3: 0.5}[number]})
        scores = {**result.metrics.validation, "loss": {0: 0.8, 1: 0.6, 2: 0.5, 3: 0.7}[number]}
        metrics = result.metrics.model_copy(update={"validation": scores})
        folder.write_result(result.model_copy(update={"objective": value, "metrics": metrics, **told}))
    return root


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    study = Path(shutil.copytree(trained, tmp_path / "study"))
    (study / MARK).write_text(MARK_TEXT)
    return study


def members(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "members").iterdir())


def test_all_completed_trials_with_weights_are_members_or_those_that_are_named(study: Path, tmp_path: Path) -> None:
    ensemble(study, tmp_path / "all", trials=None, method="mean")
    assert members(tmp_path / "all") == ["0", "1", "3"]
    assert load(tmp_path / "all").config.lr == 3e-3  # of equals the one with the lower loss is the best
    ensemble(study, tmp_path / "two", trials=[0, 3], method="vote")
    assert members(tmp_path / "two") == ["0", "3"] and load(tmp_path / "two").config.lr == 1e-3
    RunFolder(study / "trials" / "3").write_kept(())
    ensemble(study, tmp_path / "rest", trials=None, method="mean")
    assert members(tmp_path / "rest") == ["0", "1"]


def test_what_cannot_be_joined_is_refused_with_the_remedy(study: Path, tmp_path: Path) -> None:
    def refused(message: str, *, error: type[Exception] = FolderError, **given: Any) -> None:
        with pytest.raises(error, match=message):
            ensemble(study, given.pop("out", tmp_path / "out"), **{"trials": None, "method": "mean", **given})
        assert not (tmp_path / "out").exists()

    refused(
        "made by mean, weighted, vote, soup, but got 'means'; did you mean 'mean'", error=RequestError, method="means"
    )
    refused(r"must be a completed trial of '.*study', but 2 is not; completed are 0, 1, 3", trials=[1, 2])
    refused(r"needs the weights of two trials, but got trial 1 alone; .*checkpoint\.keep_best=N", trials=[1])
    refused("an export must lie outside of", out=study / "out")
    with held(study):
        refused("is in use by")
    RunFolder(study / "trials" / "1").write_kept(())
    gone = r"the weights of trial 1 are gone; a search with checkpoint.keep_best=N keeps .*, and `tunery train .*config"
    refused(gone, trials=[0, 1])
    for number in (0, 3):
        RunFolder(study / "trials" / str(number)).write_kept(())
    refused("keeps those of none alone; a search with checkpoint")
    shutil.rmtree(study / "trials")
    refused("but 7 is not; none is completed", trials=[7, 8])


def test_members_are_measured_and_those_without_weights_are_named(study: Path) -> None:
    RunFolder(study / "trials" / "1").write_kept(())
    (study / "objects" / f"{RunFolder(study / 'trials' / '3').kept()[0].digest}.safetensors").unlink()
    found = measure(study, (1, 3, 0))
    assert found.gains == () and len(found.notes) == 2
    assert found.notes[0].startswith("not in the ensembles: the weights of trial 1 are gone")
    assert found.notes[1].startswith("not in the ensembles: the weights of trial 3 cannot be read: object ")
