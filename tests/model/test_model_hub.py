"""The cache first, then the Hub, patiently."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

from tunery.errors import ModelError
from tunery.model.backbones import hub
from tunery.model.backbones.backbone import base_digest
from tunery.model.backbones.catalog import Base

BASE = Base("electra-bse", "google/electra-base-discriminator", None, local=False)


class FakeHub:
    """Stands in for `snapshot_download`: fails as often as told, then gives a folder."""

    def __init__(
        self, folder: Path, *, cached: bool = False, failures: int = 0, error: Exception | None = None
    ) -> None:
        self.folder, self.cached, self.failures = folder, cached, failures
        self.error = error or LocalEntryNotFoundError("no connection\nat all")
        self.downloads: list[Any] = []
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")

    def __call__(self, repo: str, *, local_files_only: bool = False, **options: Any) -> str:
        if local_files_only and self.cached:
            return str(self.folder)
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        self.downloads.append(options)
        if len(self.downloads) <= self.failures:
            raise self.error
        return str(self.folder)


Install = Callable[..., FakeHub]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(*, offline: bool = False, **options: Any) -> FakeHub:
        made = FakeHub(tmp_path, **options)
        monkeypatch.setattr(hub, "snapshot_download", made)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        return made

    return install


def test_the_cache_is_enough(fake: Install, tmp_path: Path) -> None:
    made = fake(cached=True)
    assert hub.folder_of(BASE) == tmp_path
    assert not made.downloads
    assert base_digest(BASE) == f"hub:{BASE.source}@{tmp_path.name}"


def test_it_waits_longer_each_time(fake: Install, tmp_path: Path) -> None:
    waits: list[float] = []
    fake(failures=5)
    assert hub.folder_of(BASE, sleep=waits.append) == tmp_path
    assert waits == [1, 2, 4, 8, 16]


def test_it_gives_up_with_the_cache_path_and_the_command(fake: Install) -> None:
    made = fake(failures=99)
    with pytest.raises(ModelError) as caught:
        hub.folder_of(BASE, sleep=lambda seconds: None)
    message = str(caught.value)
    assert len(made.downloads) == 6
    assert str(constants.HF_HUB_CACHE) in message
    assert "(LocalEntryNotFoundError: no connection)" in message
    assert "`hf download google/electra-base-discriminator`" in message
    assert "did you mean 'electra-base'?" in message


def test_offline_does_not_wait(fake: Install) -> None:
    fake(offline=True, failures=99)
    waits: list[float] = []
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        hub.folder_of(BASE, sleep=waits.append)
    assert not waits


def test_what_the_hub_does_not_know_is_not_asked_twice(fake: Install) -> None:
    unknown = RevisionNotFoundError.__new__(RevisionNotFoundError)
    made = fake(failures=99, error=unknown)
    with pytest.raises(ModelError, match="the Hub has no model 'google/electra-base-discriminator' at revision 'v9'"):
        hub.folder_of(Base("electra", BASE.source, "v9", local=False), sleep=lambda seconds: None)
    assert len(made.downloads) == 1
