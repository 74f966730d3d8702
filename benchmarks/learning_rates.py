"""Is the default learning rate of each (method, optimizer) a good one?

    python benchmarks/learning_rates.py examples/imdb.yaml model.max_length=128 train.epochs=2 --out runs/rates \\
        --methods lora --optimizers adamw,lion,sgd --factors 0.3,1,3 --seeds 2

Trains the config once for each method, optimizer, factor on the default rate and seed, each in a process of its own
with one thread, `--jobs` of them at a time. What follows the config are overrides for all. Prints one Markdown table
per method: validation score by factor, test score at the default, and how far that is from the best optimizer's. The
same command goes on where it was interrupted. Nothing is chosen on test.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from tunery import RunConfig, load_config

OPTIMIZERS = "adamw,adam,adafactor,radam,lamb,sgd,sgd_momentum,novograd,adabelief,lion,adamw_8bit"


@dataclass(frozen=True)
class Cell:
    """One training: what is varied."""

    method: str
    optimizer: str
    factor: float
    seed: int

    @property
    def name(self) -> str:
        """The folder of its run."""
        return f"{self.method}-{self.optimizer}-x{self.factor:g}-{self.seed}"


@dataclass(frozen=True)
class Setting:
    """What all trainings have in common."""

    config: Path
    overrides: tuple[str, ...]
    out: Path

    def written(self, cell: Cell) -> list[str]:
        """The overrides of one cell, at the default learning rate."""
        varied = [f"peft={cell.method}", f"optim={cell.optimizer}", f"seed={cell.seed}"]
        return [*varied, *self.overrides]

    def scaled(self, cell: Cell) -> list[str]:
        """The overrides of one cell at its factor, the head's rate scaled alike."""
        if cell.factor == 1:
            return self.written(cell)
        config = self.resolved(cell)
        rates = [f"optim.lr={config.lr * cell.factor!r}", f"optim.head_lr={config.head_lr * cell.factor!r}"]
        return [*self.written(cell), *rates]

    def resolved(self, cell: Cell) -> RunConfig:
        """The config of one cell at the default learning rate."""
        return load_config(self.config, self.written(cell))


def train(setting: Setting, cell: Cell) -> dict[str, Any]:
    """Score of one cell; a finished run is read and not repeated."""
    folder = setting.out / cell.name
    arguments = ["train", str(setting.config), *setting.scaled(cell), "--out", str(folder), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tunery", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{cell.name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {"cell": cell, "validation": None, "test": None}
    result = json.loads(done.stdout)
    name = result["objective"]["name"]
    found = {
        "cell": cell,
        "validation": result["objective"]["value"],
        "test": result["metrics"]["test"][name],
    }
    print(f"{cell.name}: validation {found['validation']:.4f}, test {found['test']:.4f}", file=sys.stderr)
    return found


def table(results: Sequence[dict[str, Any]], setting: Setting, method: str) -> str:
    """Markdown: one line per optimizer, best mean test score at the default rate first."""
    factors = sorted({found["cell"].factor for found in results})
    lines = [_line(results, setting, Cell(method, name, 1, 0), factors) for name in _optimizers(results, method)]
    best = max((line["test"] for line in lines if line["test"] is not None), default=None)
    lines.sort(key=lambda line: -(line["test"] or 0))
    head = ["optimizer", "default lr", *(f"validation, ×{factor:g}" for factor in factors), "test", "to the best"]
    rows = [head, ["---"] * len(head), *(_cells(line, best) for line in lines)]
    return f"### {method}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _optimizers(results: Iterable[dict[str, Any]], method: str) -> list[str]:
    return list(dict.fromkeys(found["cell"].optimizer for found in results if found["cell"].method == method))


def _line(results: Sequence[dict[str, Any]], setting: Setting, cell: Cell, factors: Sequence[float]) -> dict[str, Any]:
    own = [f for f in results if (f["cell"].method, f["cell"].optimizer) == (cell.method, cell.optimizer)]
    at_default = [found for found in own if found["cell"].factor == 1]
    return {
        "optimizer": cell.optimizer,
        "lr": setting.resolved(cell).lr,
        "validation": [_mean(f["validation"] for f in own if f["cell"].factor == factor) for factor in factors],
        "test": _mean(found["test"] for found in at_default),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean over the seeds; None where one of them failed."""
    found = list(values)
    return mean(value for value in found if value is not None) if found and None not in found else None


def _cells(line: dict[str, Any], best: float | None) -> list[str]:
    distance = None if line["test"] is None or best is None else line["test"] - best
    scores = [*line["validation"], line["test"], distance]
    texts = ["" if score is None else f"{score:.4f}" for score in scores]
    return [f"`{line['optimizer']}`", f"{line['lr']:.2g}", *texts]


def main() -> None:
    """Train all cells, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="lora")
    parser.add_argument("--optimizers", default=OPTIMIZERS)
    parser.add_argument("--factors", default="1")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_intermixed_args()
    methods, optimizers = given.methods.split(","), given.optimizers.split(",")
    factors = sorted({1.0, *map(float, given.factors.split(","))})
    setting = Setting(given.config, tuple(given.overrides), given.out)
    varied = product(range(given.seeds), methods, optimizers, factors)
    cells = [Cell(method, optimizer, factor, seed) for seed, method, optimizer, factor in varied]
    with ThreadPoolExecutor(given.jobs) as pool:
        results = list(pool.map(lambda cell: train(setting, cell), cells))
    for method in methods:
        print(table(results, setting, method))


if __name__ == "__main__":
    main()
