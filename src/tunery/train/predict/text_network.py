"""Models without a neural network: they answer as others do, and lie in one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from tunery.baselines.text_model import TextModel
from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.errors import ModelError, reason_of
from tunery.tasks.task import Task

TEXT_MODEL: Final = "text_model.safetensors"


@final
class TextNetwork:
    """A text model with its task."""

    def __init__(self, model: TextModel, *, task: Task) -> None:
        self._model = model
        self._task = task

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        """What the task needs of the logits; they are float32, whatever `precision` is."""
        (name,) = self._task.outputs
        logits = torch.from_numpy(self._model(texts_of(examples)))
        columns = self._task.reduce({name: logits}, {})
        return RowTable({key: np.stack(list(column)) for key, column in columns.items()})

    def vectors(self, examples: Sequence[Example]) -> csr_matrix:
        """TF-IDF of words and letters, (rows, features)."""
        return self._model.features(texts_of(examples))


def texts_of(examples: Sequence[Example]) -> list[str]:
    """The text of each row; of a pair the two in one."""
    return [
        example.text if example.text_pair is None else f"{example.text}\n{example.text_pair}" for example in examples
    ]


def write_text_model(model: TextModel, folder: Path) -> None:
    """One safetensors file in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in model.tensors().items()}, folder / TEXT_MODEL)


def read_text_model(folder: Path) -> TextModel:
    """What `write_text_model` wrote.

    Raises:
        ModelError: the file is missing, or not what was written there.
    """
    try:
        return TextModel.from_tensors(load_file(folder / TEXT_MODEL))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{str(folder / TEXT_MODEL)!r} must be what was written there: {reason_of(error)}") from error
