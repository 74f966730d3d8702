"""The trackers beside JSONL."""

from pathlib import Path

import pytest

from tunery.schema.config.tracking import TensorBoard, Tracker
from tunery.schema.reading.fields import alternatives
from tunery.tracking.table import TRACKERS, make_trackers


def test_the_schema_and_the_table_list_the_same_trackers() -> None:
    assert set(alternatives(Tracker)) == set(TRACKERS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_scalar(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for tracker in make_trackers([TensorBoard()], tmp_path):
        tracker.start(0)
        tracker.log(3, 1.0, {"validation/f1_macro": 0.5, "validation/roc_auc": None})
        tracker.finish()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["validation/f1_macro"]
    assert [(event.step, event.value) for event in events.Scalars("validation/f1_macro")] == [(3, 0.5)]
