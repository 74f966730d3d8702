"""What a shorter patience would have cost: runs that were trained to their last epoch are stopped afterwards, on paper.

    python benchmarks/first.py --data ../shared/data --sets banking2 banking10 imdb200 emotions300 --seeds 3 \\
        --arm "whole: train.early_stopping=null" --arm "full: train.early_stopping=null peft=full" --out runs/first
    python benchmarks/patience.py runs/first --arms whole full

A run that is stopped has the same epochs as before up to there, its schedule included, so nothing is trained again. A
share is of the planned epochs, at least `--least`. Printed are, for each share, means over the seeds of a set: epochs
trained, and how many points (hundredths) of the objective on validation the best of them is below the best of all; in
brackets that of the worst seed. Test is not read.
"""

import argparse
import json
import math
from pathlib import Path
from statistics import fmean

from tunery.schema.results.direction import best_of
from tunery.train.loop.callbacks import epochs_without_improvement, history

MIN_DELTA = 0.001
"""The default of `train.early_stopping.min_delta`."""


def stopped_at(values: list[float | None], patience: int) -> int:
    """After which epoch training ends."""
    for epoch in range(1, len(values)):
        if epochs_without_improvement(values[:epoch], direction="maximize", min_delta=MIN_DELTA) >= patience:
            return epoch
    return len(values)


def reached(values: list[float | None]) -> float:
    """The value of the epoch that is restored."""
    return best_of([value for value in values if value is not None], "maximize")


def main() -> None:
    """Print a Markdown table: a row for each set and arm, a column for each share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="what benchmarks/first.py had as --out")
    parser.add_argument("--arms", nargs="+", default=["whole"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.15, 0.2, 0.25, 0.35, 0.5])
    parser.add_argument("--least", type=int, default=3)
    given = parser.parse_args()
    curves: dict[str, list[list[float | None]]] = {}
    for record in sorted(given.runs.glob("*/*/result.json")):
        arm = record.parent.name.rpartition("-")[0]
        if arm in given.arms:
            values = history(record.parent / "metrics.jsonl", json.loads(record.read_text())["objective"]["name"])
            curves.setdefault(f"{record.parent.parent.name}, {arm}", []).append(values)
    print(f"| set | epochs, the best | {' | '.join(f'{share:g}' for share in given.shares)} |")
    print("|---|---|" + "---|" * len(given.shares))
    lost: dict[float, list[float]] = {share: [] for share in given.shares}
    for name, runs in curves.items():
        bests = ", ".join(str(values.index(reached(values)) + 1) for values in runs)
        cells = [f"{len(runs[0])}: {bests}"]
        for share in given.shares:
            ends = [stopped_at(values, max(given.least, math.ceil(share * len(values)))) for values in runs]
            losses = [100 * (reached(v) - reached(v[:end])) for v, end in zip(runs, ends, strict=True)]
            lost[share] += losses
            cells.append(f"{fmean(ends):.1f}, {fmean(losses):.2f} ({max(losses):.2f})")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"| all | | {' | '.join(f'{fmean(losses):.2f} ({max(losses):.2f})' for losses in lost.values())} |")


if __name__ == "__main__":
    main()
