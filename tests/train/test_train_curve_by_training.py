"""`tunery curve --train`: the config's own method on parts of the rows outside a fold."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import after_steps, config, write_rows
from tunery.cli import main
from tunery.errors import ConfigError, DataError, FolderError, Interrupted, RequestError
from tunery.report.text.curve_sentences import curve_sentences
from tunery.schema.reading.document import validate
from tunery.schema.results.curve import LearningCurve
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.tasks.table import read_splits
from tunery.train.deep_check.curve_by_training import DRAWS, curve_by_training

RUNS = 3 * DRAWS + 1


def code_of(arguments: list[str]) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def ids(document: Any, **data: Any) -> list[str]:
    """Of the training rows, as a config with other keys below `data` sees them."""
    asked = validate({**document, "data": {**document["data"], **data}})
    return [str(example.id) for example in read_splits(asked.data, asked.task, seed=0).train.examples]


def test_parts_are_nested_in_what_is_outside_the_fold_and_have_every_label(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path, rows=200)
    given = {"train": files["train"], "id": "id", "folds": 5, "fold": 1}
    document = config(str(tiny_bert), files).model_dump(mode="json", exclude_unset=True)
    document["data"] = given
    parts = [ids(document, part=part) for part in (1 / 8, 1 / 4, 1 / 2, 1)]
    assert [len(part) for part in parts] == [18, 36, 72, 144]
    for small, large in itertools.pairwise(parts):
        assert set(small) < set(large) and small == [name for name in large if name in set(small)]
    other = ids(document, part=1 / 8, part_seed=1)
    assert len(other) == 18 and set(other) != set(parts[0]) and set(other) < set(parts[-1])
    held_out = {str(e.id) for e in read_splits(validate(document).data, validate(document).task, seed=0).test.examples}
    assert held_out.isdisjoint(parts[-1])


def test_a_curve_goes_on_where_it_was_stopped_and_more_folds_are_added(tiny_bert: Path, tmp_path: Path) -> None:
    asked = config(str(tiny_bert), write_rows(tmp_path, rows=120), train={"epochs": 1, "batch_size": 8})
    whole = curve_by_training(asked, out=tmp_path / "whole")
    assert [point.rows for point in whole.points] == [12, 24, 48, 96]
    assert [point.rows for point in whole.predictions] == [120, 240, 480]
    assert whole.held_out == 1 and "outside 1 of 5 folds" in whole.described and whole.method == "none"
    assert not any("another curve" in sentence for sentence in curve_sentences(whole))
    runs = sorted((tmp_path / "whole" / "folds").iterdir(), key=lambda run: int(run.name))
    assert len(runs) == RUNS and {item.kind for item in storage_of(tmp_path / "whole").items} == {"records"}
    results = [RunFolder(run).result() for run in runs]
    rows = [result.data.splits["train"].rows for result in results if result is not None and result.data is not None]
    assert rows == [12, 12, 24, 24, 48, 48, 96]
    stops = 0
    for steps in itertools.count(5, 5):
        try:
            again = curve_by_training(asked, out=tmp_path / "stopped", stop=after_steps(steps))
            break
        except Interrupted:
            stops += 1
    assert stops >= 2 and again == whole
    before = {run: run.stat().st_mtime_ns for run in (tmp_path / "whole" / "folds").glob("*/result.json")}
    assert curve_by_training(asked, out=tmp_path / "whole") == whole
    two = curve_by_training(asked, out=tmp_path / "whole", folds=2)
    assert two.held_out == 2 and len([*(tmp_path / "whole" / "folds").iterdir()]) == 2 * RUNS
    assert all(run.stat().st_mtime_ns == changed for run, changed in before.items())


def test_what_cannot_be_done_is_refused_before_anything_is_written(
    tiny_bert: Path, tiny_gpt2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_rows(tmp_path, rows=40)
    asked, out = config(str(tiny_bert), files), tmp_path / "curve"
    with pytest.raises(DataError, match="80 training rows or more, but has 40"):
        curve_by_training(asked, out=out)
    with pytest.raises(RequestError, match="1 to data.folds=5 folds can be held out in turn, but got 6"):
        curve_by_training(asked, out=out, folds=6)
    with pytest.raises(RequestError, match="task.kind=causal_lm has texts alone"):
        curve_by_training(config(str(tiny_gpt2), files, kind="causal_lm"), out=out)
    with pytest.raises(ConfigError, match="give data.fold too, or remove data.part"):
        config(str(tiny_bert), {**files, "part": 0.5, "folds": 5})  # type: ignore[dict-item]
    assert not out.exists()
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(asked.model_dump(mode="json", exclude_unset=True)))
    for arguments, told in ((["--train"], "give --train --out DIR"), (["--folds", "2"], "--folds is of --train")):
        assert code_of(["curve", str(path), *arguments]) == 2
        assert told in " ".join(capsys.readouterr().err.split())


def test_a_folder_is_of_one_kind_of_work_and_prints_json(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = config(str(tiny_bert), write_rows(tmp_path, rows=80), peft="tfidf")
    path, out = tmp_path / "config.yaml", tmp_path / "curve"
    path.write_text(json.dumps(asked.model_dump(mode="json", exclude_unset=True)))
    assert code_of(["curve", str(path), "--train", "--out", str(out), "--json"]) == 0
    told = LearningCurve.model_validate_json(capsys.readouterr().out)
    assert told.method == "tfidf" and told.held_out == 1
    assert code_of(["train", str(path), "--out", str(out)]) == 2
    assert "learning curve" in capsys.readouterr().err
    with pytest.raises(FolderError):
        curve_by_training(asked.model_copy(update={"seed": 1}), out=out)
