"""Several GPUs on one machine, with the number of them put in from outside."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunery.errors import RequestError
from tunery.execution import devices
from tunery.execution.devices import Devices, shared_devices, visible_devices
from tunery.schema.config.search import Search


def test_what_can_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "DRIVER", tmp_path)
    for number in range(3):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    monkeypatch.setattr(devices, "version", lambda package: "2.13.0+cpu")
    assert visible_devices() == ()
    monkeypatch.setattr(devices, "version", lambda package: "2.13.0+cu130")
    assert visible_devices() == ("0", "1", "2")
    for named, expected in {"2, GPU-8f": ("2", "GPU-8f"), "": ()}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert visible_devices() == expected


def test_all_are_taken_unless_the_config_says_which() -> None:
    three = ("0", "1", "2")
    assert shared_devices(Search(), three) == (0, 1, 2)
    assert shared_devices(Search(), ("0",)) is None and shared_devices(Search(), ()) is None
    assert shared_devices(Search(devices=(2, 0)), three) == (2, 0)
    with pytest.raises(RequestError, match="counted from 0, but got 3 and there are 3; remove it, or set CUDA_VISIBLE"):
        shared_devices(Search(devices=(0, 3)), three)
    with pytest.raises(RequestError, match="got 0 and there are 0"):
        shared_devices(Search(devices=(0,)), ())


@pytest.mark.parametrize(
    ("search", "jobs", "sharing"),
    [
        (Search(), 1, 1),
        (Search(n_jobs=3), 3, 3),
        (Search(devices=(0, 1)), 2, 1),
        (Search(devices=(0, 1), n_jobs=3), 3, 2),
        (Search(devices=(0, 1), n_jobs=1), 1, 1),
    ],
)
def test_one_trial_a_device_unless_another_number_is_asked_for(search: Search, jobs: int, sharing: int) -> None:
    assert (search.jobs, search.runs_per_device) == (jobs, sharing)


def test_each_run_has_the_device_with_the_fewest() -> None:
    shared, both = Devices(Search(devices=(0, 2)), ("a", "b", "c")), threading.Barrier(4, timeout=20)

    def run(_: int) -> str | None:
        with shared.one() as device:
            both.wait()
            return device

    with ThreadPoolExecutor(4) as threads:
        assert sorted(map(str, threads.map(run, range(4)))) == ["a", "a", "c", "c"]
    with shared.one() as first, shared.one() as second:
        assert {first, second} == {"a", "c"}
    with Devices(Search(), ()).one() as none:
        assert none is None
