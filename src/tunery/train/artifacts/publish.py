"""The trained model in the ecosystem's own format, read back from disk by another process before it counts."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tunery.baselines.text_model import TextModel
from tunery.model.build import Built
from tunery.model.export import export
from tunery.schema import RunConfig
from tunery.schema.results.card import CARD_FORMAT
from tunery.schema.results.run import CheckpointRecord
from tunery.store.disk.files import remove_tree, replace_folder, with_filename, write
from tunery.store.disk.ownership import temporary
from tunery.store.exported import CARD
from tunery.train.artifacts.verify import ROWS, require_same
from tunery.train.predict.inference import Answerer, Network, Predictor, load
from tunery.train.predict.scoring import state_in
from tunery.train.predict.text_network import TextNetwork, write_text_model
from tunery.train.setup.prepare import Prepared, data_record

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@dataclass(frozen=True)
class LiveModel:
    """A trained model in this process: it can be asked, and written in the ecosystem's own format."""

    config: RunConfig
    prepared: Prepared
    network: Answerer
    write: Callable[[Path], None]
    """Writes it to a new folder, without its card."""
    built: Built | None = None
    """Its neural network; None where it has none."""


def live_model(built: Built, prepared: Prepared, config: RunConfig) -> LiveModel:
    """A neural network as a live model."""
    task, tokenizer = prepared.task, prepared.tokenizer
    network = Network(built.module, tokenizer, config=config, task=task)
    write = partial(export, built, tokenizer, outputs=task.outputs, spec=config.model, peft=config.peft)
    return LiveModel(config, prepared, network, write, built)


def live_text_model(model: TextModel, prepared: Prepared, config: RunConfig) -> LiveModel:
    """A model without a neural network as a live model."""
    return LiveModel(config, prepared, TextNetwork(model, task=prepared.task), partial(write_text_model, model))


def publish(live: LiveModel, *, best: CheckpointRecord, folder: Path) -> Predictor:
    """Export a model to `folder` and return the model that was read back from there.

    At every moment the folder is what it was before or what it is to become.

    Raises:
        ExportMismatch: when another process cannot read it, or does not get the live model's answers on validation
            rows; nothing has changed then.
    """
    with scratch_folder(temporary(folder)) as staged:
        export_checked(live, best=best, folder=staged)
        replace_folder(staged, folder)
    return load(folder, trust_remote_code=live.prepared.base.trust_remote_code)


def verify(live: LiveModel, *, best: CheckpointRecord, staging: Path) -> None:
    """Export a model to a scratch folder and compare: what a trial scored counts if its weights survive that.

    Raises:
        ExportMismatch: as `publish` does.
    """
    with scratch_folder(staging):
        export_checked(live, best=best, folder=staging)


def export_checked(live: LiveModel, *, best: CheckpointRecord, folder: Path, unfinished: bool = False) -> None:
    """Write a model and its card, and have another process compare what is there with it on validation rows.

    Args:
        best: which epoch's weights are in `live`.
        unfinished: whether training, or the study, may still find better ones; the card says so.

    Raises:
        ExportMismatch: as `publish` does.
    """
    config, prepared, task = live.config, live.prepared, live.prepared.task
    card = {
        "format": CARD_FORMAT,
        "config": config.model_dump(mode="json"),
        "task": {
            "kind": config.task.kind,
            "labels": task.labels,
            "settings": task.settings,
            "state": state_in(task, best.metrics),
        },
        "base": live.built.base_digest if live.built else None,
        "data": data_record(prepared.splits).model_dump(mode="json"),
        "weights": {"step": best.step, "epoch": best.epoch, "value": best.value, "unfinished": unfinished},
    }
    with os_errors_of_libraries(folder):
        live.write(folder)
        write(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False).encode(errors="replace"))
    examples, permitted = prepared.splits.validation.examples[:ROWS], prepared.base.trust_remote_code
    require_same(folder, live.network, examples, trust_remote_code=permitted)


@contextmanager
def os_errors_of_libraries(path: Path) -> Iterator[None]:
    """Raise `OSError` where safetensors or tokenizers fail to write: their own errors hide that it was the disk."""
    try:
        with with_filename(path):
            yield
    except Exception as error:
        if (match := _OS_ERROR.search(str(error))) is None:
            raise
        number = int(match[1])
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder that is not there before, nor afterwards."""
    remove_tree(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # an error within the block is the one to raise
