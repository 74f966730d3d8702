"""Every metric exactly once, whatever was interrupted."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.tracking.jsonl import Jsonl, read_metrics


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_kills_neither_lose_nor_double_a_line(tmp_path_factory, crashes: list[int]) -> None:  # type: ignore[no-untyped-def]
    """Each crash happens after `crash` further steps; the run goes on from the last multiple of three."""
    path: Path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    step, saved = 0, 0
    for crash in [*crashes, 12]:
        step = saved
        tracker = Jsonl(path)
        tracker.start(step)
        for _ in range(crash):
            step += 1
            tracker.log(step, step / 3, {"loss": 1 / step, "lr": 0.1})
            saved = step - step % 3
        with path.open("a") as file:
            file.write('{"step": 99, "na')
    Jsonl(path).start(step)
    lines = read_metrics(path)
    assert [(line["step"], line["name"]) for line in lines] == [
        (n, m) for n in range(1, step + 1) for m in ("loss", "lr")
    ]
    assert path.read_text().endswith("\n")


def test_an_undefined_value_is_null(tmp_path: Path) -> None:
    tracker = Jsonl(tmp_path / "metrics.jsonl")
    tracker.start(0)
    tracker.log(1, 0.5, {"roc_auc": None})
    assert json.loads(tracker.path.read_text()) == {"step": 1, "epoch": 0.5, "name": "roc_auc", "value": None}
