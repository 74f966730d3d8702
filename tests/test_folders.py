"""`tunery ls`, `diff` and `rm`: what folders say of themselves, and that nothing else is touched."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import after_steps, config, write_rows
from tunery.cli import main
from tunery.errors import FolderError, Interrupted
from tunery.folders import difference, list_runs, listed, remove_run
from tunery.store.disk.lock import held
from tunery.train.fit import fit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Two finished runs, one of them deeper, and one that is not finished."""
    root = tmp_path_factory.mktemp("runs")
    files = write_rows(root / "data")
    for name, method in (("first", "tfidf"), ("deeper/second", "majority")):
        fit(config(str(tiny_bert), files, peft=method, train={"epochs": 1}, name=name), out=root / name)
    third = config(str(tiny_bert), files, name="third")
    with pytest.raises(Interrupted):
        fit(third, out=root / "third", stop=after_steps(2))
    (root / "notes").mkdir()
    (root / "notes" / "result.json").write_text("{}")
    return root


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    streams = capsys.readouterr()
    return ended.value.code, streams.out + streams.err


def test_a_list_has_every_run_below_and_nothing_else(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {Path(one.path).relative_to(runs).as_posix(): one for one in list_runs(runs)}
    assert set(found) == {"first", "deeper/second", "third"}
    first, third = found["first"], found["third"]
    result = json.loads((runs / "first" / "result.json").read_text())
    assert (first.kind, first.status, first.name, first.method) == ("run", "finished", "first", "tfidf")
    assert (first.value, first.test) == (result["objective"]["value"], result["metrics"]["test"]["f1_macro"])
    assert first.seconds == result["seconds"]["total"]
    assert first.bytes == sum(path.stat().st_size for path in (runs / "first").rglob("*") if path.is_file())
    assert (third.status, third.value, third.name) == ("unfinished", None, "third")
    with held(runs / "third"):
        assert listed(runs / "third").status == "running"
    by_score = told(["ls", str(runs), "--sort", "score", "--json"], capsys)
    assert by_score[0] == 0
    assert [Path(one["path"]).name for one in json.loads(by_score[1])] == ["first", "second", "third"]
    code, text = told(["ls", str(runs)], capsys)
    assert code == 0 and "goes on with the command that began it" in text
    assert told(["ls", str(runs / "nowhere")], capsys)[0] == 2
    assert told(["ls", str(runs / "notes")], capsys)[0] == 0


def test_a_difference_is_of_configs_scores_and_rows(
    runs: Path, tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = difference(runs / "first", runs / "deeper" / "second")
    changed = {one.path: (one.left, one.right) for one in found.config}
    assert changed == {"peft.method": ("tfidf", "majority")}
    assert found.same_rows == {"train": True, "validation": True, "test": True}
    first = next(one for one in found.scores if one.split == "test")
    assert first.metric == "f1_macro" and first.left == found.left.test and first.right == found.right.test
    files = {split: str(runs / "data" / f"{split}.jsonl") for split in ("validation", "test")}
    files["train"] = write_rows(tmp_path / "data", rows=40)["train"]
    other = config(str(tiny_bert), files, peft="majority", name="other")
    fit(other, out=tmp_path / "other")
    assert difference(runs / "first", tmp_path / "other").same_rows == {
        "train": False,
        "validation": True,
        "test": True,
    }
    code, text = told(["diff", str(runs / "first"), str(tmp_path / "other")], capsys)
    assert code == 0 and "rows of train differ" in text and "peft.method" in text
    code, text = told(["diff", str(runs / "first"), str(runs / "third")], capsys)
    assert code == 2 and "goes on with it" in text
    assert told(["diff", str(runs / "first"), str(runs / "notes")], capsys)[0] == 2


def test_removing_takes_what_is_tunerys_and_leaves_the_rest(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, files = tmp_path / "run", write_rows(tmp_path / "data")
    fit(config(str(tiny_bert), files, peft="majority"), out=run)
    (run / "mine.txt").write_text("mine")
    (run / "plots").mkdir()
    (run / "plots" / "one.png").write_bytes(b"png")
    own = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    own -= len("mine") + len("png") + (run / ".lock").stat().st_size
    code, text = told(["rm", str(run)], capsys)
    assert code == 0 and "nothing was removed" in text and (run / "result.json").exists()
    with held(run), pytest.raises(FolderError, match="is in use by"):
        remove_run(run, delete=True)
    code, text = told(["rm", str(run), str(tmp_path / "data"), "--yes"], capsys)
    assert code == 2 and (run / "result.json").exists(), "one that is refused keeps all others"
    removed = remove_run(run, delete=True)
    assert removed.bytes == own and removed.others == ("mine.txt", "plots")
    assert {path.name for path in run.iterdir()} == {"mine.txt", "plots"}
    assert (run / "plots" / "one.png").read_bytes() == b"png"
    with pytest.raises(FolderError):
        remove_run(run, delete=True)
    fit(config(str(tiny_bert), files, peft="majority"), out=tmp_path / "whole")
    os.symlink(tmp_path / "whole", tmp_path / "link")
    assert told(["rm", str(tmp_path / "link"), "--yes", "--json"], capsys)[0] == 0
    assert not (tmp_path / "whole").exists()


def test_no_link_inside_is_followed(tiny_bert: Path, tmp_path: Path) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    fit(config(str(tiny_bert), write_rows(tmp_path / "data"), peft="majority"), out=run)
    away.mkdir()
    (away / "kept.txt").write_text("kept")
    os.symlink(away, run / "resume")
    with pytest.raises(FolderError, match="no link is followed"):
        remove_run(run, delete=True)
    assert (away / "kept.txt").read_text() == "kept" and (run / "result.json").exists()
