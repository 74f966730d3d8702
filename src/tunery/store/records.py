"""JSON records that tunery wrote, read back: whole, or one error that names the file and the place."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from tunery.errors import FolderError, shortened

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_MOST_VALUES: Final = 2_000_000
"""In a record; a study of thousands of trials has fewer."""
_REMEDY: Final = "put it back from a copy, or take another folder"


def read_record(path: Path, kind: type[M]) -> M | None:
    """What a file says; None where there is none.

    Raises:
        FolderError: the file is not what was written there.
    """
    return read_json(path, kind.model_validate_json)


def read_json(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """The same for what is not one record: `parse` is a pydantic `validate_json`."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (IsADirectoryError, PermissionError) as error:
        raise FolderError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if content.count(b",") > _MOST_VALUES:  # pydantic would keep an error for each of them
        raise FolderError(f"{str(path)!r} is not what was written there: more than {_MOST_VALUES:,} values; {_REMEDY}")
    try:
        return parse(content)
    except ValidationError as error:
        raise FolderError(f"{str(path)!r} is not what was written there: {first_fault(error)}; {_REMEDY}") from error


def first_fault(error: ValidationError) -> str:
    """The first of pydantic's errors: where, and what."""
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(map(str, detail["loc"]))
    return shortened(f"{path}: {detail['msg']}" if path else detail["msg"])
