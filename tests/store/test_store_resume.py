"""Resume points count only while they and all that they name are whole."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.schema.results.run import CheckpointRecord
from tunery.store.objects.objects import Objects, Stored
from tunery.store.resume import Point, ResumePoints

Kept = tuple[CheckpointRecord, ...]


def put(objects: Objects, number: float) -> Stored:
    return objects.put({"a": torch.full((3,), number)})


def record(stored: Stored, kind: str) -> CheckpointRecord:
    fields = {"kind": kind, "digest": stored.digest, "bytes": stored.bytes}
    return CheckpointRecord.model_validate({**fields, "step": 10, "epoch": 1.0, "value": 0.1 + 0.2})


def published(folder: Path, steps: tuple[int, ...] = (10, 9, 110)) -> ResumePoints:
    """Points with weights and an optimizer each, one best epoch and one tie of it for all of them."""
    objects = Objects(folder / "objects")
    resume = ResumePoints(folder / "resume", objects)
    kept = (record(put(objects, 0.5), "best"), record(put(objects, 0.25), "co_best"))
    for step in steps:
        parts = {"weights": put(objects, step), "optimizer": put(objects, -step)}
        resume.publish(Point(step=step, documents={"trainer": {"epoch": step / 7}}, objects=parts, kept=kept))
    return resume


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    {
        "flip": lambda: path.write_bytes(content),
        "truncate": lambda: path.write_bytes(content[:-9]),
        "empty": lambda: path.write_bytes(b""),
        "remove": path.unlink,
    }[how]()


def test_points_come_back_as_they_were_newest_first(tmp_path: Path) -> None:
    resume = published(tmp_path)
    assert [point.step for point in resume.points()] == [110, 10, 9]
    newest = resume.latest()
    assert newest == resume.points()[0]
    assert newest is not None and newest.documents == {"trainer": {"epoch": 110 / 7}}
    assert newest.objects["weights"] == put(Objects(tmp_path / "objects"), 110)
    assert [kept.kind for kept in newest.kept] == ["best", "co_best"] and newest.kept[0].value == 0.1 + 0.2


DAMAGES = [
    (part, how)
    for part in ("manifest", "weights", "optimizer")
    for how in ("flip", "truncate", "empty", "remove")
    if (part, how) != ("manifest", "remove")  # that is a point that was never written
]


@pytest.mark.parametrize(("part", "how"), DAMAGES)
def test_a_damaged_point_is_dropped_and_the_loss_is_said(tmp_path: Path, part: str, how: str) -> None:
    resume = published(tmp_path)
    newest, older = resume.points()[:2]
    manifest = resume.root / "step-110.json"
    digest = "" if part == "manifest" else newest.objects[part].digest
    damage(manifest if part == "manifest" else tmp_path / "objects" / f"{digest}.safetensors", how)
    what = "step-110.json is not what was written" if part == "manifest" else f".*object {digest[:12]}[^;]*"
    match = rf"step 110 is damaged \({what}\); training goes on from step 10, 100 steps are trained again"
    with pytest.warns(UserWarning, match=match):
        assert resume.latest() == older
    assert not manifest.exists(), "it would pass for the newest one"
    assert resume.latest() == older


def test_without_the_best_weights_no_point_is_whole(tmp_path: Path) -> None:
    resume = published(tmp_path)
    (best, _) = resume.points()[0].kept
    Objects(tmp_path / "objects").remove(best.digest)
    with pytest.warns(UserWarning) as caught:
        assert resume.latest() is None
    said = [str(warning.message) for warning in caught]
    assert [text.partition("; ")[2] for text in said] == [
        f"training starts over, {step} steps are lost" for step in (110, 10, 9)
    ]
    assert not list(resume.root.iterdir())


def test_an_equal_of_the_best_that_is_gone_is_left_out(tmp_path: Path) -> None:
    resume = published(tmp_path)
    (best, equal) = resume.points()[0].kept
    Objects(tmp_path / "objects").remove(equal.digest)
    point = resume.latest()
    assert point is not None and (point.step, point.kept) == (110, (best,))


def test_what_a_point_needs(tmp_path: Path) -> None:
    point = published(tmp_path).points()[0]
    assert point.needs() == {*(stored.digest for stored in point.objects.values()), point.kept[0].digest}


def test_points_are_dropped_one_by_one_or_all_at_once(tmp_path: Path) -> None:
    resume = published(tmp_path)
    resume.drop(10)
    resume.drop(11)
    assert [point.step for point in resume.points()] == [110, 9]
    resume.clear()
    assert resume.points() == [] and resume.latest() is None and not resume.root.exists()


def test_a_manifest_is_plain_json_with_nothing_beside_it(tmp_path: Path) -> None:
    resume = published(tmp_path, steps=(3,))
    assert [path.name for path in resume.root.iterdir()] == ["step-3.json"]
    assert set(json.loads((resume.root / "step-3.json").read_text())["point"]) == {
        "step", "objects", "kept", "documents",
    }  # fmt: skip


@examples(3)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_manifest_goes_unseen(at: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    resume = published(folder, steps=(3,))
    path = resume.root / "step-3.json"
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    assert resume.points() == []
