"""The trained model in the ecosystem's own format, read back from disk by another process before it counts."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

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
from tunery.train.setup.prepare import Prepared, data_record

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def publish(built: Built, prepared: Prepared, config: RunConfig, *, best: CheckpointRecord, folder: Path) -> Predictor:
    """Export the live model to `folder` and return the model that was read back from there.

    At every moment the folder is what it was before or what it is to become.

    Raises:
        ExportMismatch: when another process cannot read it, or does not get the live model's answers on validation
            rows; nothing has changed then.
    """
    with scratch_folder(temporary(folder)) as staged:
        export_checked(built, prepared, config, best=best, folder=staged)
        replace_folder(staged, folder)
    return load(folder, trust_remote_code=prepared.base.trust_remote_code)


def verify(built: Built, prepared: Prepared, config: RunConfig, *, best: CheckpointRecord, staging: Path) -> None:
    """Export the live model to a scratch folder and compare: what a trial scored counts if its weights survive that.

    Raises:
        ExportMismatch: as `publish` does.
    """
    with scratch_folder(staging):
        export_checked(built, prepared, config, best=best, folder=staging)


def export_checked(
    built: Built,
    prepared: Prepared,
    config: RunConfig,
    *,
    best: CheckpointRecord,
    folder: Path,
    unfinished: bool = False,
) -> None:
    """Export the live model, card included, and have another process compare the two on validation rows.

    Args:
        best: which epoch's weights are in `built`.
        unfinished: whether training, or the study, may still find better ones; the card says so.

    Raises:
        ExportMismatch: as `publish` does.
    """
    write_checked(
        Network(built.module, prepared.tokenizer, config=config, task=prepared.task),
        partial(export, built, prepared.tokenizer, outputs=prepared.task.outputs, spec=config.model, peft=config.peft),
        prepared,
        config,
        base=built.base_digest,
        best=best,
        folder=folder,
        unfinished=unfinished,
    )


def write_checked(
    live: Answerer,
    write_model: Callable[[Path], None],
    prepared: Prepared,
    config: RunConfig,
    *,
    base: str | None,
    best: CheckpointRecord,
    folder: Path,
    unfinished: bool = False,
) -> None:
    """Have a model written, write its card, and have another process compare what is there with the live model.

    Args:
        base: digest of the pretrained model that belongs to it; None: there is none.
        best: which epoch's weights are in `live`.
        unfinished: as in `export_checked`.

    Raises:
        ExportMismatch: as `publish` does.
    """
    task, state = prepared.task, state_in(prepared.task, best.metrics)
    card = {
        "format": CARD_FORMAT,
        "config": config.model_dump(mode="json"),
        "task": {"kind": config.task.kind, "labels": task.labels, "state": state},
        "base": base,
        "data": data_record(prepared.splits).model_dump(mode="json"),
        "weights": {"step": best.step, "epoch": best.epoch, "value": best.value, "unfinished": unfinished},
    }
    with os_errors_of_libraries(folder):
        write_model(folder)
        write(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False).encode(errors="replace"))
    examples, permitted = prepared.splits.validation.examples[:ROWS], prepared.base.trust_remote_code
    require_same(folder, live, examples, trust_remote_code=permitted)


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
