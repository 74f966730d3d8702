"""The trained model in the ecosystem's own format, read back from disk and compared before it counts."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tunery.errors import ExportMismatch
from tunery.model.build import Built
from tunery.model.export import export
from tunery.schema import RunConfig
from tunery.schema.results import CheckpointRecord
from tunery.store.files import write_text
from tunery.store.objects import naming_the_disk
from tunery.train.inference import CARD, Predictor, load
from tunery.train.prepare import Prepared
from tunery.train.scoring import thresholds_in

_ROWS, _TOLERANCE = 32, 1e-4


def publish(built: Built, prepared: Prepared, config: RunConfig, *, best: CheckpointRecord, folder: Path) -> Predictor:
    """Export the live model to `folder` and return the model that was read back from there.

    Raises:
        ExportMismatch: when the two do not give the same logits on validation rows.
    """
    staged = folder.with_name(f".{folder.name}.tmp")
    try:
        thresholds = thresholds_in(best.metrics)
        _write(built, prepared, config, thresholds=thresholds, folder=staged)
        task = prepared.task
        live = Predictor(built.module, prepared.tokenizer, task=task, config=config, thresholds=thresholds)
        stored = load(staged)
        _compare(live, stored, prepared)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return stored


def _write(
    built: Built, prepared: Prepared, config: RunConfig, *, thresholds: Sequence[float] | None, folder: Path
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    head = prepared.task.head()
    with naming_the_disk(folder):
        export(built, prepared.tokenizer, folder, head=head, spec=config.model, peft=config.peft)
    card = {
        "config": config.model_dump(mode="json"),
        "labels": head.labels,
        "thresholds": thresholds,
        "base": built.base_digest,
    }
    write_text(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False))


def _compare(live: Predictor, stored: Predictor, prepared: Prepared) -> None:
    examples = prepared.splits.validation.examples[:_ROWS]
    here, there = live.logits(examples, precision="fp32"), stored.logits(examples, precision="fp32")
    gap = float(np.abs(here - there).max())
    if not gap <= _TOLERANCE * max(1.0, float(np.abs(here).max())):
        message = f"the exported model must give the trained model's logits, but they differ by {gap:.2e}; "
        raise ExportMismatch(message + "nothing was published: please report this")
