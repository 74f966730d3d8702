"""The rules of cross-validation; `rules.py` asks them with the others."""

from collections.abc import Callable, Iterator
from typing import Final

from tunery.errors import Problem
from tunery.schema.config.data import Data
from tunery.schema.config.task import LanguageModelTask, Task


def _folds_are_of_rows(task: Task, data: Data) -> Iterator[Problem]:
    if isinstance(task, LanguageModelTask) and data.folds is not None:
        message = f"folds are of rows with labels, evidence or numbers, but task.kind={task.kind!r} has texts alone; "
        yield Problem("data.folds", message + "remove the key")


def _the_fold_is_one_of_them(data: Data) -> Iterator[Problem]:
    for key, is_given in (("repeats", data.repeats > 1), ("fold", data.fold is not None)):
        if data.folds is None and is_given:
            yield Problem(f"data.{key}", f"it belongs to cross-validation; give data.folds too, or remove data.{key}")
    if data.part < 1 and data.fold is None:
        message = (
            "a part of the training rows is that of one fold, whose other rows are scored; give data.fold too, or "
        )
        yield Problem("data.part", message + "remove data.part (`tunery curve CONFIG --train` trains several parts)")
    if data.folds is not None and data.fold is not None and data.fold >= data.folds * data.repeats:
        count = f"data.folds={data.folds}" + (f" times data.repeats={data.repeats}" if data.repeats > 1 else "")
        message = f"folds are counted from 0, and {count} make {data.folds * data.repeats}, but got {data.fold}; "
        yield Problem("data.fold", f"{message}take {data.folds * data.repeats - 1} or less")


DATA_RULES: Final[tuple[Callable[..., Iterator[Problem]], ...]] = (_folds_are_of_rows, _the_fold_is_one_of_them)
