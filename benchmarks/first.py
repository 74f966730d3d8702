"""The first answer: `tunery train` as `tunery init` writes it, beside what a user types in ten lines, on the same rows.

    python benchmarks/first.py --data ../shared/data --sets imdb200 imdb600 banking10 emotions2000 --seeds 3 \\
        --arms sklearn trainer probe train --out runs/first
    python benchmarks/first.py --data ../shared/data --sets imdb600 --seeds 3 --arm "short: train.epochs=3"

`sklearn` and `trainer` are the peers (`first_peer.py`): mean-pooled embeddings with scikit-learn's logistic regression,
and a plain `Trainer` with LoRA. `train` is the config that `init` writes, `probe` the same with `peft=probe`; `--arm`
adds one with overrides. Each is a fresh process, one after the other, imports on its clock. Printed are means over
seeds of validation and test (accuracy, or macro-F1 where a row has several labels; the cut is chosen on validation) and
of seconds. What has been run into `--out` before is not run again. Nothing should be chosen on the columns of test.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from imdb_lora import packaged_weights

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Rows:
    """How a set is drawn from its folder."""

    folder: str
    label: str
    metric: str
    length: int
    draw: Callable[[dict[str, pd.DataFrame], int], dict[str, pd.DataFrame]]


def sampled(train: int | None, held: int) -> Callable[[dict[str, pd.DataFrame], int], dict[str, pd.DataFrame]]:
    """So many rows of train, `held` of validation (of what is left of train where there is no such file), 1,000 of
    test."""

    def draw(read: dict[str, pd.DataFrame], seed: int) -> dict[str, pd.DataFrame]:
        whole = read["train"].sample(frac=1, random_state=seed)
        count = train or len(whole) - ("validation" not in read) * held
        rest = read["validation"].sample(frac=1, random_state=seed) if "validation" in read else whole.iloc[count:]
        test = read["test"].sample(frac=1, random_state=seed).iloc[:1000]
        return {"train": whole.iloc[:count], "validation": rest.iloc[:held], "test": test}

    return draw


def per_class(train: int, held: int, label: str) -> Callable[[dict[str, pd.DataFrame], int], dict[str, pd.DataFrame]]:
    """So many rows of each label for train, and for validation from the same file."""

    def draw(read: dict[str, pd.DataFrame], seed: int) -> dict[str, pd.DataFrame]:
        shuffled = read["train"].sample(frac=1, random_state=seed)
        number = shuffled.groupby(label).cumcount()
        test = read["test"].sample(frac=1, random_state=seed).iloc[:1000]
        validation = shuffled[(number >= train) & (number < train + held)]
        return {"train": shuffled[number < train], "validation": validation, "test": test}

    return draw


SETS = {
    "imdb200": Rows("imdb_small", "label", "accuracy", 128, sampled(200, 200)),
    "imdb600": Rows("imdb_small", "label", "accuracy", 128, sampled(600, 300)),
    "imdb3000": Rows("imdb_small", "label", "accuracy", 128, sampled(3000, 1000)),
    "banking2": Rows("banking77", "category", "accuracy", 32, per_class(2, 3, "category")),
    "banking10": Rows("banking77", "category", "accuracy", 64, per_class(10, 5, "category")),
    "banking": Rows("banking77", "category", "accuracy", 64, sampled(None, 1000)),
    "emotions300": Rows("goemotions", "labels", "f1_macro", 48, sampled(300, 600)),
    "emotions2000": Rows("goemotions", "labels", "f1_macro", 64, sampled(2000, 1000)),
}


def written(rows: Rows, data: Path, folder: Path, seed: int) -> Path:
    """The files of one draw; a text stands in one of them only."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {path.stem: path for path in (data / rows.folder).iterdir() if path.suffix in (".csv", ".jsonl")}
    read = {name: pd.read_csv(p) if p.suffix == ".csv" else pd.read_json(p, lines=True) for name, p in files.items()}
    texts: set[str] = set()
    for name, part in rows.draw(read, seed).items():
        part = part[~part["text"].isin(texts)].drop_duplicates("text")
        texts |= set(part["text"])
        part[["text", rows.label]].to_json(folder / f"{name}.jsonl", orient="records", lines=True, force_ascii=False)
    return folder


def run_tunery(rows: Rows, files: Path, out: Path, seed: int, overrides: list[str]) -> dict[str, Any]:
    """`init`, then `train`; both on the clock."""
    config, command = out.with_suffix(".yaml"), [sys.executable, "-m", "tunery"]
    subprocess.run([*command, "init", str(files / "train.jsonl"), "--out", str(config), "--overwrite"], check=True)
    given = [f"seed={seed}", f"model.max_length={rows.length}", *overrides]
    subprocess.run([*command, "train", str(config), *given, "--out", str(out), "--json"], check=True)
    result = json.loads((out / "result.json").read_text())
    shutil.rmtree(out / "best", ignore_errors=True)
    shutil.rmtree(out / "objects", ignore_errors=True)
    scores = {split: result["metrics"][split][rows.metric] for split in ("validation", "test")}
    return {**scores, "epochs": result["epochs"], "best_epoch": result["best_epoch"]}


def run_peer(rows: Rows, files: Path, seed: int, arm: str, times: Sequence[int] = ()) -> dict[str, Any]:
    """A peer, which knows nothing of tunery. times: seconds after which `optuna` says what it has found."""
    command = [sys.executable, str(HERE / "first_peer.py"), arm, "--data", str(files), "--label", rows.label]
    command += ["--model", str(packaged_weights()), "--length", str(rows.length), "--seed", str(seed)]
    command += ["--began", str(time.monotonic()), *(["--times", *map(str, times)] if times else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def one(rows: Rows, name: str, arm: str, overrides: list[str], seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The record of one run; read where it has been run before."""
    record = given.out / name / f"{arm}-{seed}.json"
    if record.exists():
        return dict(json.loads(record.read_text()))
    files = written(rows, given.data, given.out / name / f"rows-{seed}", seed)
    began = time.perf_counter()
    if arm in ("sklearn", "trainer"):
        found = run_peer(rows, files, seed, arm)
    else:
        found = run_tunery(rows, files, given.out / name / f"{arm}-{seed}", seed, overrides)
    found["seconds"] = time.perf_counter() - began
    record.write_text(json.dumps(found))
    return found


def main() -> None:
    """Run what is asked for and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=("sklearn", "trainer", "probe", "train"), default=[])
    parser.add_argument("--arm", action="append", default=[], metavar="NAME: OVERRIDES")
    parser.add_argument("--out", type=Path, default=Path("runs/first"))
    given = parser.parse_args()
    arms = {arm: ["peft=probe"] if arm == "probe" else [] for arm in given.arms}
    arms |= {name.strip(): text.split() for name, _, text in (arm.partition(":") for arm in given.arm)}
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print("| set | arm | validation | test | seconds |", "|---|---|---|---|---|", sep="\n", flush=True)
    for name in given.sets:
        for arm, overrides in arms.items():
            found = [one(SETS[name], name, arm, overrides, seed, given) for seed in range(given.seeds)]
            cells = [f"{fmean(each[key] for each in found):.4f}" for key in ("validation", "test")]
            spread = f" ±{stdev(each['test'] for each in found):.4f}" if len(found) > 1 else ""
            seconds = fmean(each["seconds"] for each in found)
            print(f"| {name} | {arm} | {cells[0]} | {cells[1]}{spread} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
