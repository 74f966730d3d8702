"""How soon a study finds what `Trainer.hyperparameter_search` finds, and what it has found after the same time.

    python benchmarks/search.py --data ../shared/data/banking77 --label category --rows 500 --seeds 3

For each seed: the peer with Optuna's TPE and no pruner, the peer with a median pruner, and `tunery search` on the same
rows, in the same space, for as long as the first of them took. Printed are the seconds until a validation
macro-F1 at least as good as the peer's best was known, the ratio of the two, and the test macro-F1 of the winners; the
best-so-far curves are drawn in `--out`. Everything runs in fresh processes, one after the other, and every clock begins
with its process: imports are on all of them.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from imdb_lora import packaged_weights

HERE = Path(__file__).parent
PRUNERS = ("none", "median")
COLOURS = ("#888888", "#d08020", "#2060c0")
Curve = Sequence[tuple[float, float]]


def config(data: Path, given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The study: the peer's space, as tunery writes it."""
    return {
        "name": "race",
        "seed": seed,
        "task": {"kind": "classification"},
        "data": {name: str(data / f"{name}.csv") for name in ("train", "validation", "test")},
        "model": {"name": "minilm", "max_length": given.length},
        "peft": {
            "method": "lora",
            "r": [4, 8, 16, 32],
            "alpha": [8, 16, 32, 64],
            "dropout": {"low": 0.0, "high": 0.2},
        },
        "optim": {
            "lr": {"low": 1e-4, "high": 1e-2, "log": True},
            "weight_decay": {"low": 0.0, "high": 0.1},
        },
        "schedule": {"name": "linear", "warmup": {"low": 0.0, "high": 0.2}},
        "train": {"epochs": given.epochs, "batch_size": [8, 16, 32]},
        "search": {"rescore": None, "ensemble": None, **json.loads(given.search)},
    }


def write_rows(given: argparse.Namespace, folder: Path, seed: int) -> None:
    """A sample of the rows, drawn by the seed: csv files for tunery, one JSON file for the peer. No text is in two."""
    files = {path.stem: path for path in given.data.iterdir() if path.suffix in (".csv", ".jsonl")}
    read = {name: pd.read_csv(p) if p.suffix == ".csv" else pd.read_json(p, lines=True) for name, p in files.items()}
    read = {name: one_label_each(rows, given.label) for name, rows in read.items()}
    known = read["train"][given.label].value_counts(sort=True).index[: given.labels]
    read = {name: rows[rows[given.label].isin(known)] for name, rows in read.items()}
    whole = read["train"].sample(frac=1, random_state=seed)
    held = read.get("validation", whole.iloc[given.rows :])
    parts = {
        "train": whole.iloc[: given.rows],
        "validation": held.iloc[: given.held],
        "test": read["test"].sample(frac=1, random_state=seed).iloc[: 2 * given.held],
    }
    labels = sorted({str(label) for label in parts["train"][given.label]})
    known_texts: set[str] = set()
    document: dict[str, Any] = {"labels": labels, "epochs": given.epochs, "length": given.length}
    for name, rows in parts.items():
        seen = rows[rows[given.label].astype(str).isin(labels) & ~rows[given.text].isin(known_texts)]
        known_texts |= set(rows[given.text])
        pairs = [(str(text), str(label)) for text, label in zip(seen[given.text], seen[given.label], strict=True)]
        pd.DataFrame(pairs, columns=["text", "label"]).to_csv(folder / f"{name}.csv", index=False)
        document[name] = [(text, labels.index(label)) for text, label in pairs]
    (folder / "peer.json").write_text(json.dumps(document))


def one_label_each(rows: pd.DataFrame, label: str) -> pd.DataFrame:
    """Where a row has a list of labels, the rows that have one, which the peer can learn."""
    if not isinstance(rows[label].iloc[0], list):
        return rows
    alone = rows[rows[label].str.len() == 1]
    return alone.assign(**{label: alone[label].str[0]})


def run_peer(folder: Path, given: argparse.Namespace, seed: int, pruner: str) -> dict[str, Any]:
    """One study of the peer; where it has been run into this folder before, what it found then."""
    record = folder / f"peer-{pruner}.json"
    if record.exists():
        return dict(json.loads(record.read_text()))
    command = [sys.executable, str(HERE / "hp_search_peer.py"), "--data", str(folder / "peer.json")]
    command += ["--model", str(packaged_weights()), "--seed", str(seed), "--trials", str(given.trials)]
    command += ["--pruner", pruner, "--began", str(time.monotonic())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    record.write_text(done.stdout.splitlines()[-1])
    return dict(json.loads(record.read_text()))


def run_tunery(folder: Path, given: argparse.Namespace, seed: int, seconds: float) -> dict[str, Any]:
    """One study of ours, in a process of its own; imports are on the clock."""
    out = folder / "study"
    shutil.rmtree(out, ignore_errors=True)
    (folder / "config.json").write_text(json.dumps(config(folder, given, seed)))
    command = [sys.executable, str(HERE / "timed_study.py"), str(folder / "config.json"), str(out)]
    began = time.perf_counter()
    done = subprocess.run([*command, str(seconds)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "seconds": time.perf_counter() - began}


def reached(curve: Curve, target: float) -> float:
    """Seconds until a score of at least `target`."""
    return next((second for second, value in curve if value >= target), math.inf)


def draw(arms: dict[str, list[Curve]], path: Path) -> None:
    """Best so far against seconds, a line per seed."""
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for colour, (name, curves) in zip((*COLOURS[: len(arms) - 1], COLOURS[-1]), arms.items(), strict=True):
        for place, curve in enumerate(curves):
            best = [max(value for _, value in curve[: end + 1]) for end in range(len(curve))]
            label = name if place == 0 else None
            axes.step([second for second, _ in curve], best, where="post", color=colour, label=label)
    axes.set(xlabel="seconds", ylabel="best validation macro-F1 so far")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120, bbox_inches="tight")


def rows_parser(description: str | None) -> argparse.ArgumentParser:
    """A command line that says which rows to take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train and test, csv or jsonl")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--labels", type=int, default=1000, help="keep the rows of the most frequent labels")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--held", type=int, default=500, help="rows of validation; test has twice as many")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    return parser


def main() -> None:
    """Race, seed by seed."""
    parser = rows_parser(__doc__)
    parser.add_argument("--trials", type=int, default=30, help="of the peer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pruners", nargs="+", choices=PRUNERS, default=PRUNERS, help="of the peer; each is a study")
    parser.add_argument(
        "--search", default="{}", help="JSON: keys of the section `search` that differ from the defaults"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/race"))
    given = parser.parse_args()
    arms: dict[str, list[Curve]] = {**{f"peer, pruner {name}": [] for name in given.pruners}, "tunery": []}
    lines = []
    for seed in range(given.seeds):
        folder = given.out / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(given, folder, seed)
        peers = [run_peer(folder, given, seed, pruner) for pruner in given.pruners]
        ours = run_tunery(folder, given, seed, peers[0]["seconds"])
        for curves, arm in zip(arms.values(), [*peers, ours], strict=True):
            curves.append(arm["curve"])
        lines.append(line(seed, dict(zip(given.pruners, peers, strict=True)), ours))
        print(json.dumps(lines[-1]), flush=True)
        (given.out / "race.json").write_text(json.dumps({"lines": lines, "arms": arms}))
    draw(arms, given.out / "race.png")
    for key in (*(f"ratio_{name}" for name in given.pruners), "test_difference"):
        print(f"{key}: mean {fmean(found[key] for found in lines):.3f}", [round(found[key], 3) for found in lines])


def line(seed: int, peers: Mapping[str, dict[str, Any]], ours: dict[str, Any]) -> dict[str, Any]:
    """What one seed says."""
    found: dict[str, Any] = {"seed": seed}
    for name, peer in peers.items():
        target = max(value for _, value in peer["curve"])
        there, here = reached(peer["curve"], target), reached(ours["curve"], target)
        found |= {
            f"best_{name}": target,
            f"peer_{name}_s": there,
            f"ours_{name}_s": here,
            f"ratio_{name}": there / here,
        }
        found |= {f"test_{name}": peer["test"], f"seconds_{name}": peer["seconds"]}
    best = max(value for _, value in ours["curve"])
    found |= {"best": best, "test": ours["test"], "trials": ours["trials"], "seconds": ours["seconds"]}
    return {**found, "test_difference": ours["test"] - next(iter(peers.values()))["test"]}


if __name__ == "__main__":
    main()
