"""A study with a clock: what `benchmarks/search.py` runs beside the peer.

    python benchmarks/timed_study.py CONFIG.json OUT SECONDS

Prints one JSON document: every validation score with the second it was known at, and the test score of the winner.
"""

import json
import sys
import threading
import time
from pathlib import Path

BEGAN = time.perf_counter()


def watch(out: Path, curve: list[tuple[float, float]], over: threading.Event) -> None:
    """Note new scores of all trials, ten times a second."""
    known: dict[Path, int] = {}
    while not over.wait(0.1):
        now = time.perf_counter() - BEGAN
        for path in out.glob("trials/*/metrics.jsonl"):
            lines = [json.loads(text) for text in path.read_text().splitlines(keepends=True) if text.endswith("\n")]
            scores = [found["value"] for found in lines if found["name"] == "validation/f1_macro"]
            curve += [(now, score) for score in scores[known.get(path, 0) :]]
            known[path] = len(scores)


def main() -> None:
    """Search until time is up."""
    from tunery import search

    document, out, seconds = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), float(sys.argv[3])
    document["search"]["timeout"] = seconds - (time.perf_counter() - BEGAN)
    curve: list[tuple[float, float]] = []
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(out, curve, over))
    watcher.start()
    try:
        result = search(document, out=out)
    finally:
        over.set()
        watcher.join()
    best = result.best
    print(json.dumps({"curve": curve, "test": best and best.test["f1_macro"], "trials": result.counts}))


if __name__ == "__main__":
    main()
