"""Resume points count only when whole."""

from pathlib import Path

import pytest

from tunery.store.resume import MANIFEST, ResumePoints


def stage(folder: Path, step: int) -> Path:
    staged = folder / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    (staged / "weights").write_bytes(b"w" * step)
    (staged / "state").write_text(str(step))
    return staged


def points(tmp_path: Path, *, keep_last: int, steps: tuple[int, ...]) -> ResumePoints:
    resume = ResumePoints(tmp_path / "resume", keep_last=keep_last)
    for step in steps:
        resume.publish(stage(tmp_path / "staging", step), step=step)
    return resume


def test_the_newest_is_used_and_older_ones_are_dropped(tmp_path: Path) -> None:
    resume = points(tmp_path, keep_last=2, steps=(9, 10, 110))
    assert sorted(folder.name for folder in resume.root.iterdir()) == ["step-10", "step-110"]
    assert resume.latest() == (resume.root / "step-110", 110)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no manifest", "torn manifest"])
def test_a_damaged_point_is_passed_over_with_a_warning(tmp_path: Path, damage: str) -> None:
    resume = points(tmp_path, keep_last=2, steps=(10, 20))
    newest = resume.root / "step-20"
    {
        "flip": lambda: (newest / "weights").write_bytes(b"w" * 19 + b"x"),
        "truncate": lambda: (newest / "weights").write_bytes(b"w"),
        "remove": lambda: (newest / "state").unlink(),
        "no manifest": lambda: (newest / MANIFEST).unlink(),
        "torn manifest": lambda: (newest / MANIFEST).write_text('{"step": 20, "sha'),
    }[damage]()
    with pytest.warns(UserWarning, match="step-20 is damaged or incomplete"):
        assert resume.latest() == (resume.root / "step-10", 10)


def test_nothing_there_is_no_resume_point(tmp_path: Path) -> None:
    assert ResumePoints(tmp_path / "resume", keep_last=1).latest() is None
