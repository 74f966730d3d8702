"""Labels with their evidence: what each coupling reaches, beside labels alone, spans alone, and no model at all.

    python benchmarks/evidence.py --data ../shared/data/movie_rationales --seeds 3 --out runs/evidence
    python benchmarks/evidence.py --data examples/posts --train train_posts.csv --arms evidence_first --seeds 1

Each arm is `tunery train` on the config that `tunery init` writes, with the overrides below, in a process of its own,
one after the other. Printed are means over seeds on validation and test; the rows without a model are those of
`evidence_baselines.py`, where files hold one set of spans a row. What has been run into `--out` before is not run
again. Nothing should be chosen on the columns of test.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from evidence_baselines import baselines, read_documents

ARMS: Final = {
    "labels only": ["task.lambda_span=0", "model.coupling=independent"],
    "spans only": ["task.lambda_class=0", "model.coupling=independent"],
    "independent": ["model.coupling=independent"],
    "coupled": ["model.coupling=coupled"],
    "evidence_first": ["model.coupling=evidence_first"],
}
SHOWN: Final = (
    "f1_macro", "evidence_auprc", "evidence_token_f1", "evidence_token_precision", "evidence_hit_at_1",
    "evidence_ndcg_at_10", "evidence_comprehensiveness", "evidence_sufficiency",
)  # fmt: skip


def run(config: Path, arm: str, overrides: list[str], seed: int, out: Path) -> dict[str, Any]:
    """The record of one run; read where it has been run before."""
    folder = out / f"{arm.replace(' ', '_')}-{seed}"
    record = folder.with_suffix(".json")
    if record.exists():
        return dict(json.loads(record.read_text()))
    began = time.perf_counter()
    command = [sys.executable, "-m", "tunery", "train", str(config), f"seed={seed}", *ARMS[arm], *overrides]
    subprocess.run([*command, "--out", str(folder), "--json"], check=True, stdout=subprocess.DEVNULL)
    result = json.loads((folder / "result.json").read_text())
    found = {
        "metrics": {
            split: {name: result["metrics"][split].get(name) for name in SHOWN} for split in ("validation", "test")
        },
        "baselines": {
            baseline["method"]: {split: baseline["metrics"][split].get("f1_macro") for split in ("validation", "test")}
            for baseline in result["baselines"]
        },
        "best_epoch": result["best_epoch"],
        "seconds": time.perf_counter() - began,
    }
    shutil.rmtree(folder / "objects", ignore_errors=True)
    shutil.rmtree(folder / "best", ignore_errors=True)
    record.write_text(json.dumps(found))
    return found


def cells(values: list[dict[str, Any]], names: tuple[str, ...] = SHOWN) -> str:
    """Mean and deviation over seeds of each metric, as cells of a Markdown table."""
    parts = []
    for name in names:
        known = [each[name] for each in values if each.get(name) is not None]
        spread = f" ±{stdev(known):.3f}" if len(known) > 1 else ""
        parts.append(f"{fmean(known):.3f}{spread}" if known else "–")
    return " | ".join(parts)


def main() -> None:
    """Run what is asked for and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with the splits")
    parser.add_argument("--train", default="train.jsonl", help="the file of the training rows in it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("overrides", nargs="*", help="of every run, such as train.epochs=3")
    given = parser.parse_intermixed_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    given.out.mkdir(parents=True, exist_ok=True)
    config = given.out / "config.yaml"
    init = [sys.executable, "-m", "tunery", "init", str(given.data / given.train)]
    subprocess.run([*init, "--out", str(config), "--overwrite"], check=True)
    print("| arm | split | " + " | ".join(SHOWN) + " | seconds |", "|---" * (len(SHOWN) + 3) + "|", sep="\n")
    simple: dict[str, dict[str, float]] = {}
    for arm in given.arms:
        found = [run(config, arm, given.overrides, seed, given.out) for seed in range(given.seeds)]
        simple |= found[0]["baselines"]
        for split in ("validation", "test"):
            seconds = f"{fmean(each['seconds'] for each in found):.0f}"
            values = [each["metrics"][split] for each in found]
            print(f"| {arm} | {split} | {cells(values)} | {seconds} |", flush=True)
    for method, of_splits in simple.items():
        for split, value in of_splits.items():
            print(f"| {method}, labels only | {split} | {cells([{'f1_macro': value}])} | – |")
    if (given.data / "train.jsonl").exists() and given.train == "train.jsonl":
        splits = [read_documents(given.data / f"{name}.jsonl") for name in ("train", "validation", "test")]
        for method, marked in baselines(*splits).items():
            for split, metrics in marked.items():
                print(f"| {method} | {split} | {cells([metrics])} | – |")


if __name__ == "__main__":
    main()
