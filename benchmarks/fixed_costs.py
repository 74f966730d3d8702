"""What a run costs beside its training: whole commands, imports and checks included, ours and the peer alternating.

    python benchmarks/fixed_costs.py --data ../shared/data/imdb_small --out runs/fixed_costs
    python benchmarks/fixed_costs.py --data ../shared/data/imdb_small --out runs/smoke --repeats 1 --rows 32 --held 16

`train ROWS`: `tunery train` (baselines, the export read back and the page included) beside a plain `Trainer` with peft
(`plain_trainer.py`): LoRA r 8 on query and value, one epoch, batch 16, the first 300 characters of each review, 96
tokens. `evaluate` and `predict`: 20 rows by a model that was trained whole, beside a script that loads the same folder
with transformers and does nothing else; `imports` is the least of it, `import torch, transformers`. `side by side`: two
of the runs of the first ROWS at once, the time until both have ended, beside one alone; then the same with threads that
spin while they wait, as they would without tunery, and with threads that spin for a tenth of a millisecond.

Every arm of a part runs once in turn, `--repeats` times; printed are medians of seconds and their ratio to the arm that
the part names first. `fixed_costs.json` in `--out` has every time and the machine. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from imdb_lora import packaged_weights

HERE: Final = Path(__file__).resolve().parent
PARTS: Final = ("train", "use", "side by side")
LENGTH: Final = 96
CHARACTERS: Final = 300
ASKED: Final = 20
"""Rows that a finished model is asked about."""
WAITING: Final = {
    "": {},
    ", spinning": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"},
    ", spinning briefly": {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"},
}
"""How threads wait: as tunery has them, as the libraries do where nothing is said, and for a tenth of a millisecond."""

CONFIG: Final = """
task: {{kind: classification}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, test: {data}/test.jsonl}}
model: {{name: minilm, max_length: {length}, head: {head}}}
peft: {peft}
optim: {{name: adamw, lr: {lr}, weight_decay: 0.01}}
schedule: {{name: linear, warmup: 0.06}}
train: {{epochs: 1, batch_size: 16}}
"""
LORA: Final = {
    "head": "{}",
    "peft": "{method: lora, r: 8, alpha: 16, dropout: 0.05, target: [query, value]}",
    "lr": "1.0e-3",
}
WHOLE: Final = {"head": "native", "peft": "full", "lr": "5.0e-5"}

SCRIPT: Final = """
import json, sys
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, source, length = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = [json.loads(line)["text"] for line in open(source)]
with torch.inference_mode():
    batch = tokenizer(texts, padding=True, truncation=True, max_length=int(length), return_tensors="pt")
    print(model(**batch).logits.argmax(-1).tolist())
"""

Arm = Callable[[], None]


def write_data(source: Path, folder: Path, *, rows: int, held: int) -> Path:
    """So many training rows, and `held` of validation and of test, cut to `CHARACTERS`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", rows), ("validation", held), ("test", held)):
        every = [json.loads(line) for line in (source / f"{split}.jsonl").read_text().rstrip().split("\n")]
        chosen = random.Random(0).sample(every, min(count, len(every)))
        cut = [{"text": row["text"][:CHARACTERS], "label": row["label"]} for row in chosen]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in cut))
    return folder


def started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process that nobody listens to."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, env={**os.environ, **environment})


def run(*commands: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run them at once, to their ends."""
    processes = [started(command, environment or {}) for command in commands]
    for process in processes:
        if process.wait():
            raise SystemExit(f"failed: {process.args!r}")


def training(data: Path, folder: Path, settings: Mapping[str, str]) -> list[str]:
    """The command that trains on `data` in the new folder `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    config = folder.with_suffix(".yaml")
    config.write_text(CONFIG.format(data=data.resolve(), length=LENGTH, **settings))
    return [sys.executable, "-m", "tunery", "train", str(config), "--out", str(folder)]


def plain_training(data: Path) -> list[str]:
    """The peer's."""
    script = [sys.executable, str(HERE / "plain_trainer.py"), "--data", str(data), "--model", packaged_weights()]
    return [*script, "--epochs", "1", "--length", str(LENGTH)]


def train_arms(data: Path, out: Path) -> dict[str, Arm]:
    """One whole run."""
    return {
        "plain Trainer": lambda: run(plain_training(data)),
        "tunery": lambda: run(training(data, out / "run", LORA)),
    }


def use_arms(data: Path, out: Path) -> dict[str, Arm]:
    """A finished model on a few rows."""
    model, source = out / "whole", out / "asked.jsonl"
    run(training(data, model, WHOLE))
    source.write_text("".join((data / "test.jsonl").read_text().splitlines(keepends=True)[:ASKED]))
    tunery = [sys.executable, "-m", "tunery"]
    output = ["--output", str(out / "answers.jsonl"), "--overwrite"]
    return {
        "script": lambda: run([sys.executable, "-c", SCRIPT, str(model / "best"), str(source), str(LENGTH)]),
        "evaluate": lambda: run([*tunery, "evaluate", str(model), "--input", str(source)]),
        "predict": lambda: run([*tunery, "predict", str(model), "--input", str(source), *output]),
        "imports": lambda: run([sys.executable, "-c", "import torch, transformers"]),
    }


def side_by_side_arms(data: Path, out: Path) -> dict[str, Arm]:
    """Two runs at once, and one alone."""

    def arm(count: int, environment: Mapping[str, str]) -> Arm:
        return lambda: run(
            *[training(data, out / f"run{number}", LORA) for number in range(count)], environment=environment
        )

    counts = {"one": 1, "two": 2}
    return {name + how: arm(count, waiting) for how, waiting in WAITING.items() for name, count in counts.items()}


def measured(part: str, arms: Mapping[str, Arm], *, repeats: int) -> dict[str, list[float]]:
    """Seconds of every arm, one after the other, so many times."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            begun = time.perf_counter()
            arm()
            seconds[name].append(round(time.perf_counter() - begun, 2))
            print(f"{part}: {name} {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    first = median(next(iter(seconds.values())))
    for name, found in seconds.items():
        print(f"{part:14}{name:23}{median(found):8.1f} s{median(found) / first:8.2f}", flush=True)
    return seconds


def machine(run_folder: Path) -> dict[str, Any]:
    """Where it was measured, as the record of a run says it."""
    recorded = json.loads((run_folder / "result.json").read_text())["environment"]
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), None)
    return {"cores": len(os.sched_getaffinity(0)), "processor": name, **recorded}


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/validation/test.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[640, 3000], help="training rows")
    parser.add_argument("--held", type=int, default=300, help="rows of validation and of test")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    data = {rows: write_data(given.data, given.out / str(rows), rows=rows, held=given.held) for rows in given.rows}
    first = data[given.rows[0]]
    parts: list[tuple[str, Callable[[Path, Path], dict[str, Arm]], Path]] = []
    if "train" in given.parts:
        parts += [(f"train {rows}", train_arms, folder) for rows, folder in data.items()]
    if "use" in given.parts:
        parts.append(("use", use_arms, first))
    if "side by side" in given.parts:
        parts.append(("side by side", side_by_side_arms, first))
    found = {part: measured(part, arms(folder, given.out), repeats=given.repeats) for part, arms, folder in parts}
    trained = next(folder for folder in (given.out / "run", given.out / "whole", given.out / "run0") if folder.is_dir())
    document = {"machine": machine(trained), "seconds": found}
    (given.out / "fixed_costs.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
