"""Whatever the records in a folder hold is read, or refused with the name of the file: nothing is believed unread."""

import json
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import damaged, odd, read_or_refused
from fast_and_slow import examples
from report_records import make_comparison, make_lines, make_run, make_study
from stored_runs import finish, keep_best, save_point, weights
from tunery.errors import Damaged, FolderError
from tunery.pages import write_page
from tunery.schema.reading.document import validate
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.schema.results.run import Progress
from tunery.schema.results.worst_rows import WorstRows
from tunery.store.cleaning import clean_run
from tunery.store.disk.run_lock import read_comparison, read_study
from tunery.store.exported import CARD
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.tracking.jsonl import read_metrics
from tunery.train.predict.card import read_card

DOCUMENT: Final[dict[str, Any]] = {"task": "multilabel", "data": {"train": "train.csv"}}


def make_card(*, members: int = 0) -> dict[str, Any]:
    blend = {"weights": [1 / members] * members, "cuts": [[0.5, 0.5]] * members} if members else None
    made = {"method": "vote", "trials": list(range(members)), "gain": None}
    parts = {"members": [f"members/{n}" for n in range(members)], "blend": blend, "ensemble": made} if members else {}
    config = validate(DOCUMENT).model_dump(mode="json")
    split = {"rows": 9, "digest": "0", "source": "rows.csv", "labels": {"a": 5, "b": 4}}
    where = {"step": 10, "epoch": 1.0, "value": 0.5, "unfinished": False}
    return {
        "format": 2,
        "config": config,
        "task": {"kind": "multilabel", "labels": ["a", "b"], "state": {"thresholds": [0.5, 0.4]}},
        "base": "sha256:0",
        "data": {"splits": {name: split for name in ("train", "validation", "test")}},
        "weights": where,
    } | parts


def look_at(folder: Path) -> None:
    """What is read of a folder that nobody works on, and what lies there; nothing is drawn."""
    run = RunFolder(folder)
    readers = (run.result, run.worst_rows, run.kept, run.written_bytes, partial(read_metrics, run.metrics))
    looks = (partial(read_study, folder), partial(read_comparison, folder), partial(storage_of, folder))
    for look in (*readers, *looks, partial(clean_run, folder, delete=False)):
        read_or_refused(look, folder.name)


@cache
def run_folder(root: Path) -> Path:
    folder = RunFolder(root / "a run")
    (folder.path / "best").mkdir(parents=True)
    (folder.path / "config.yaml").write_text(dump_yaml(DOCUMENT))
    (folder.path / "best" / CARD).write_text(json.dumps(make_card()))
    keep_best(folder, 560, 0.8, key="a")
    folder.write_result(make_run(labels=3))
    row = {"id": "#4", "loss": 2.5, "labels": ["a"], "answer": ["b"], "probabilities": {"a": 0.1, "b": 0.9}}
    text = {"text": "how it begins", "is_cut": True}
    folder.write_worst_rows(WorstRows(split="test", total=9, rows=[{**row, "texts": [text]}]))
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in make_lines(2, steps=20)))
    return folder.path


@cache
def study_folder(root: Path) -> Path:
    folder = RunFolder(root / "a study")
    folder.path.mkdir(parents=True)
    (folder.path / "config.yaml").write_text(dump_yaml(DOCUMENT))
    (folder.path / "study.json").write_text(make_study(9, labels=3).model_dump_json())
    trial = RunFolder(folder.path / "trials" / "0", objects=folder.objects)
    keep_best(trial, 3, 0.5, key="b")
    finish(trial, 0.5)
    return folder.path


@cache
def comparison_folder(root: Path) -> Path:
    folder = root / "a comparison"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_yaml(DOCUMENT))
    (folder / "comparison.json").write_text(make_comparison(3).model_dump_json())
    return folder


RECORDS: Final[list[tuple[Callable[[Path], Path], str]]] = [
    (run_folder, "result.json"),
    (run_folder, "checkpoints.json"),
    (run_folder, "worst_rows.json"),
    (study_folder, "study.json"),
    (study_folder, "trials/0/result.json"),
    (study_folder, "trials/0/checkpoints.json"),
    (comparison_folder, "comparison.json"),
]


@pytest.mark.parametrize(("make", "name"), RECORDS, ids=[name for _, name in RECORDS])
def test_damaged_records(tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], Path], name: str) -> None:
    folder = make(tmp_path_factory.getbasetemp())
    whole = (folder / name).read_bytes()
    document = json.loads(whole)

    @examples(0.4)
    @given(st.one_of(odd(document), odd(document), damaged(whole)))
    def look(content: bytes) -> None:
        (folder / name).write_bytes(content)
        look_at(folder)

    try:
        look()
    finally:
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize(("make", "name"), [RECORDS[0], RECORDS[2], RECORDS[3], RECORDS[6]])
def test_pages_of_odd_records(
    tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], Path], name: str
) -> None:
    folder = make(tmp_path_factory.getbasetemp())
    whole = (folder / name).read_bytes()

    @examples(0.01)
    @given(odd(json.loads(whole)))
    def draw(content: bytes) -> None:
        (folder / name).write_bytes(content)
        read_or_refused(lambda: write_page(folder), folder.name)

    try:
        draw()
    finally:
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("name", ["result.json", "checkpoints.json", "metrics.jsonl"])
def test_a_folder_in_place_of_a_record(tmp_path: Path, name: str) -> None:
    folder = run_folder(tmp_path)
    (folder / name).unlink()
    (folder / name).mkdir()
    look_at(folder)


@examples(0.3)
@given(st.data())
def test_damaged_metrics(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = run_folder(tmp_path_factory.getbasetemp())
    path, lines = folder / "metrics.jsonl", make_lines(2, steps=20)
    place = data.draw(st.integers(0, len(lines) - 1))
    texts = [json.dumps(line).encode() for line in lines]
    texts[place] = data.draw(odd(lines[place]) | damaged(texts[place]))
    path.write_bytes(b"\n".join(texts) + b"\n")
    look_at(folder)


@pytest.mark.parametrize("members", [0, 2])
def test_damaged_cards(tmp_path: Path, members: int) -> None:
    whole = make_card(members=members)

    @examples(0.5)
    @given(odd(whole) | damaged(json.dumps(whole).encode()))
    def look(content: bytes) -> None:
        (tmp_path / CARD).write_bytes(content)
        read_or_refused(lambda: read_card(tmp_path), CARD)

    look()


@pytest.mark.parametrize("content", [b"", b"{}", b"null", json.dumps(make_card()).encode()[:-40], b"[" * 10_000])
def test_a_card_that_is_empty_or_cut_off(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CARD).write_bytes(content)
    with pytest.raises(FolderError, match=f"{CARD}' is not what was written there: "):
        read_card(tmp_path)


@examples(0.5)
@given(st.data())
def test_damaged_progress(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = RunFolder(tmp_path_factory.getbasetemp() / "unfinished")
    folder.path.mkdir(exist_ok=True)
    whole = Progress(parameters=make_run().parameters, data=make_run(labels=2).data).model_dump_json()
    (folder.path / "progress.json").write_bytes(data.draw(odd(json.loads(whole)) | damaged(whole.encode())))
    read_or_refused(folder.progress, "progress.json")
    read_or_refused(folder.written_bytes, "progress.json")


@examples(0.5)
@given(st.data())
def test_a_damaged_resume_point_is_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = RunFolder(tmp_path_factory.getbasetemp() / "resumable")
    keep_best(folder, 1, 0.5, key="c")
    save_point(folder, 1, key="d")
    path = folder.resume.root / "step-1.json"
    whole = path.read_bytes()
    changed = data.draw(damaged(whole) | odd(json.loads(whole)))
    path.write_bytes(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        point = folder.resume.latest()
    assert (point is None) == (changed != whole)


@examples(0.5)
@given(st.data())
def test_a_damaged_object_is_not_read_as_another(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = RunFolder(tmp_path_factory.getbasetemp() / "objects")
    digest = folder.objects.put(weights("e")).digest
    path = folder.objects.path(digest)
    whole = path.read_bytes()
    changed = data.draw(damaged(whole))
    path.write_bytes(changed)
    try:
        for name, tensor in folder.objects.get(digest).items():
            assert tensor.equal(weights("e")[name])
    except Damaged as error:
        assert digest[:12] in str(error)
    finally:
        path.write_bytes(whole)
