"""A folder keeps to the rows that it began with: data that changes is said or refused, data that moves is not."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from tiny_runs import StopAt, config, write_rows
from tunery.errors import DataError, FolderError, Interrupted, RequestError
from tunery.schema import RunConfig
from tunery.schema.results.run import Progress
from tunery.store.folder import RunFolder
from tunery.train.artifacts.export import export_run
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate

ROWS = 60


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return write_rows(tmp_path, rows=ROWS)


def make(model: Path, files: dict[str, str], **sections: Any) -> RunConfig:
    return config(str(model), files, peft={"method": "bitfit"}, **sections)


def interrupted(given: RunConfig, out: Path) -> None:
    with pytest.raises(Interrupted):
        fit(given, [StopAt(10, "signal")], out=out)


def cut(file: str, rows: int) -> None:
    path = Path(file)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:rows]))


def moved(files: dict[str, str], folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {name: str(Path(file).rename(folder / Path(file).name)) for name, file in files.items()}


def test_a_finished_run_that_is_asked_for_again_says_so_and_what_has_changed(
    tiny_bert: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    given, out, said = make(tiny_bert, files), tmp_path / "run", list[str]()
    result = fit(given, out=out)
    assert result.finished_at is not None
    assert fit(given, out=out, say=said.append) == result
    assert said == [f"already finished on {result.finished_at:%Y-%m-%d %H:%M} UTC; nothing was trained"]
    cut(files["train"], 40)
    assert fit(given, out=out, say=said.append) == result
    assert f"train had 60 rows and has 40 ({files['train']})" in said[-1] and "validation" not in said[-1]
    Path(files["train"]).unlink()
    assert fit(given, out=out, say=said.append) == result
    assert "cannot be compared" in said[-1]


def test_a_run_does_not_go_on_with_other_rows(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    given, out = make(tiny_bert, {"train": files["train"]}), tmp_path / "run"
    interrupted(given, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    cut(files["train"], 40)
    with pytest.raises(
        DataError, match=r"other data: train had 48 rows and has \d+ .*put back what was there, or choo"
    ):
        fit(given, out=out)
    with pytest.raises(DataError, match="the weights were trained with other data: train had 48 rows"):
        export_run(out, tmp_path / "export")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_data_may_be_moved_and_not_exchanged(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    out, said = tmp_path / "run", list[str]()
    interrupted(make(tiny_bert, files), out)
    files = moved(files, tmp_path / "elsewhere")
    there = make(tiny_bert, files)
    result = fit(there, out=out, say=said.append)
    assert result.config["data"]["train"] == files["train"] and said == []
    again = make(tiny_bert, moved(files, tmp_path / "again"))
    assert fit(again, out=out) == result
    cut(again.data.train, 40)
    with pytest.raises(DataError, match="train had 60 rows and has 40"):
        fit(again, out=out)
    with pytest.raises(FolderError, match="another config"):
        fit(make(tiny_bert, files, seed=7), out=out)


def test_a_split_of_a_training_file_that_has_changed_is_not_scored(
    tiny_bert: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    out = tmp_path / "run"
    result = fit(make(tiny_bert, {"train": files["train"]}), out=out)
    assert evaluate(out) == result.metrics.test
    cut(files["train"], 50)
    with pytest.raises(DataError, match=r"test had 6 rows and has 5 .*split off from a file that has changed"):
        evaluate(out)


def test_a_test_file_may_change_as_long_as_no_training_row_is_in_it(
    tiny_bert: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    out, said = tmp_path / "run", list[str]()
    before = fit(make(tiny_bert, files), out=out).metrics.test
    assert evaluate(out, say=said.append) == before and said == []
    cut(files["test"], 20)
    assert evaluate(out, say=said.append)["per_label"]["good"]["support"] == 10
    assert "test had 24 rows and has 20" in said[0]
    row = json.loads(Path(files["train"]).read_text().splitlines()[0])
    with Path(files["test"]).open("a") as test:
        test.write(json.dumps({**row, "text": row["text"].upper()}) + "\n")
    with pytest.raises(DataError, match=r"24 rows and has 21 .* and 1 of them are training rows"):
        evaluate(out)
    cut(files["train"], 40)
    with pytest.raises(DataError, match="whether training rows are in it cannot be told"):
        evaluate(out)


def test_what_changes_no_result_may_change_on_the_way(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    train = {"epochs": 2, "batch_size": 8}
    whole = fit(make(tiny_bert, files, train=train), out=tmp_path / "whole")
    interrupted(make(tiny_bert, files, train=train), tmp_path / "run")
    free = {"workers": 1, "eval_batch_size": 24, "log_every": 1, "micro_batch_tokens": 9999}
    result = fit(make(tiny_bert, files, train={**train, **free}), out=tmp_path / "run")
    assert result.metrics.validation["loss"] == pytest.approx(whole.metrics.validation["loss"], abs=1e-6)
    with pytest.raises(FolderError, match=r"train.batch_size: 8 there, 4 now"):
        fit(make(tiny_bert, files, train={**train, "batch_size": 4}), out=tmp_path / "run")


def test_what_exactness_depends_on_is_compared_when_a_run_goes_on(
    tiny_bert: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    given, out, said = make(tiny_bert, files), tmp_path / "run", list[str]()
    interrupted(given, out)
    folder = RunFolder(out)
    progress = folder.progress().model_dump()
    progress["environment"]["packages"]["torch"] = "0.1"
    folder.write_progress(Progress(**progress))
    fit(given, out=out, say=said.append)
    assert len(said) == 1 and "torch was 0.1 and is " in said[0] and "threads" not in said[0]


class Asks(TrainerCallback):
    """Begins another run in the middle of one, in this thread or another."""

    def __init__(self, given: RunConfig, out: Path) -> None:
        self._given, self._out = given, out
        self.refused: list[str] = []

    def _ask(self) -> None:
        with pytest.raises(RequestError, match="one process trains one run at a time") as caught:
            fit(self._given, out=self._out)
        self.refused.append(str(caught.value))

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._ask()
        other = threading.Thread(target=self._ask)
        other.start()
        other.join()


def test_a_process_trains_one_run_at_a_time(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    given = make(tiny_bert, files, train={"epochs": 1, "batch_size": 8})
    asks = Asks(given, tmp_path / "other")
    fit(given, [asks], out=tmp_path / "run")
    assert len(asks.refused) == 2 and not (tmp_path / "other").exists()
    fit(given, out=tmp_path / "other")


def test_the_card_of_a_model_says_which_rows_it_saw(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    result = fit(make(tiny_bert, files), out=tmp_path / "run")
    card = json.loads((tmp_path / "run" / "best" / "tunery.json").read_text())
    assert result.data is not None
    assert card["data"]["splits"] == result.data.model_dump(mode="json")["splits"]
    del card["data"]  # as earlier versions wrote it
    (tmp_path / "run" / "best" / "tunery.json").write_text(json.dumps(card))
    said = list[str]()
    assert evaluate(tmp_path / "run", say=said.append) == result.metrics.test
    assert "did not record its rows" in said[0]
