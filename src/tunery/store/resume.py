"""Resume points: a Trainer checkpoint becomes one by a rename, and counts once its manifest is there and true."""

import json
import os
import shutil
import warnings
from pathlib import Path

from tunery.store.files import sha256, sync, write_text

MANIFEST = "manifest.json"


class ResumePoints:
    """The `resume/` folder of a run: `step-<n>/` with the files of a checkpoint and a manifest of their digests."""

    def __init__(self, root: Path, *, keep_last: int) -> None:
        self.root = root
        self.keep_last = keep_last

    def publish(self, staged: Path, *, step: int) -> int:
        """Take over a staged checkpoint folder and drop the points that are too old. Returns its size in bytes."""
        digests = {file.name: sha256(file) for file in sorted(staged.iterdir())}
        size = sum(file.stat().st_size for file in staged.iterdir())
        for file in staged.iterdir():
            sync(file)
        target = self.root / f"step-{step}"
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staged, target)
        write_text(target / MANIFEST, json.dumps({"step": step, "sha256": digests}, indent=1))
        sync(self.root)
        for old in self._newest_first()[self.keep_last :]:
            shutil.rmtree(old)
        return size

    def latest(self) -> tuple[Path, int] | None:
        """The newest intact resume point and its step; a damaged one is passed over with a warning."""
        for folder in self._newest_first():
            if self._intact(folder):
                return folder, _step(folder)
            warnings.warn(f"resume point {folder.name} is damaged or incomplete and is not used", stacklevel=2)
        return None

    def clear(self) -> None:
        """Remove all resume points; a finished run needs none."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self.root.glob("step-*"), key=_step, reverse=True)

    def _intact(self, folder: Path) -> bool:
        try:
            digests: dict[str, str] = json.loads((folder / MANIFEST).read_text())["sha256"]
            return all(sha256(folder / name) == digest for name, digest in digests.items())
        except (OSError, ValueError, KeyError):
            return False


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
