"""Reads one file with one reader, in a process of its own, and prints what that took: `bounded.py READER FILE`."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tunery.data.reading.load import read_file
from tunery.errors import TuneryError
from tunery.schema import load_config
from tunery.schema.reading.document import override
from tunery.store.disk.run_lock import read_comparison, read_study
from tunery.store.folder import RunFolder
from tunery.tracking.jsonl import read_metrics


def card(path: Path) -> object:
    from tunery.train.predict.card import read_card  # imports torch

    return read_card(path.parent)


def adapter(path: Path) -> object:
    from tunery.model.peft.adapter_files import read_trained  # imports torch

    return read_trained({}, path.parent, needed=set(), peft={})


READERS: Final[dict[str, Callable[[Path], object]]] = {
    "data": read_file,
    "config": load_config,
    "override": lambda path: override({}, [path.read_text()]),
    "card": card,
    "adapter": adapter,
    "result": lambda path: RunFolder(path.parent).result(),
    "study": lambda path: read_study(path.parent),
    "comparison": lambda path: read_comparison(path.parent),
    "metrics": read_metrics,
}


def main(reader: str, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))  # where a reader does not end
    begin, told = time.process_time(), None
    try:
        READERS[reader](path)
    except TuneryError as error:
        told = str(error)
    seconds = time.process_time() - begin
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "bytes": most, "told": told}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
