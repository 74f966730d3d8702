"""What a study leaves on disk, beside the same trials run with a plain `Trainer`.

    python benchmarks/disk.py --data ../shared/data/imdb_small --method lora --trials 20
    python benchmarks/disk.py --data ../shared/data/imdb_small --method none --trials 5

The trials that `tunery search` ran are run again, with the same hyper-parameters and as many epochs each, by a plain
`Trainer` (and peft): once keeping every epoch's checkpoint, once with `save_total_limit=1, load_best_model_at_end`.
Counted are the bytes of weights and training state (`.safetensors`, `.pt`, `.pth`, `.bin`); everything else is logs,
reports and tokenizers, and shown apart. The peak is looked for ten times a second. The last line says whether the best
weights came back bit for bit: every tensor of the winner's object is in `best/`. Sizes do not depend on the number of
rows, so few are enough.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from imdb_lora import packaged_weights
from plain_trainer import metrics
from tunery.model.trainable import trainable_state
from tunery.schema.reading.document import validate
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects
from tunery.train.artifacts.restore import StoredWeights

STATE = {".safetensors", ".pt", ".pth", ".bin"}
LORA = "{method: lora, r: 8, alpha: 16, target: [query, value]}"
CONFIG = """
task: {{kind: classification}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, test: {data}/test.jsonl}}
model: {{name: minilm, max_length: 64, precision: fp32}}
peft: {peft}
optim: {{name: adamw, lr: {{low: {low}, high: {high}, log: true}}}}
train: {{epochs: 3, batch_size: [8, 16]}}
search: {{pruner: {{name: none}}}}
"""


def bytes_in(folder: Path) -> tuple[int, int]:
    """Bytes of weights and training state, and of everything else."""
    state = rest = 0
    for path in folder.rglob("*"):
        try:
            size = path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # removed while we looked
            continue
        state, rest = (state + size, rest) if path.suffix in STATE else (state, rest + size)
    return state, rest


@contextmanager
def watching(folder: Path) -> Iterator[list[int]]:
    """Find the most bytes of weights and training state while the block runs."""
    peak, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            peak[0] = max(peak[0], bytes_in(folder)[0])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def take_rows(source: Path, target: Path, rows: int) -> None:
    """A small part of the data."""
    for split in ("train", "validation", "test"):
        with (source / f"{split}.jsonl").open(encoding="utf-8") as lines:
            (target / f"{split}.jsonl").write_text("".join(islice(lines, rows)), encoding="utf-8")


def search(folder: Path, method: str, trials: int) -> list[dict[str, Any]]:
    """Run the study; give what every trial's `result.json` says."""
    low, high, peft = (1e-4, 3e-3, LORA) if method == "lora" else (1e-5, 1e-4, "{method: none}")
    (folder / "study.yaml").write_text(CONFIG.format(data=folder, peft=peft, low=low, high=high))
    command = ["search", str(folder / "study.yaml"), "--trials", str(trials), "--out", str(folder / "study"), "--json"]
    subprocess.run([sys.executable, "-m", "tunery", *command], check=True, stdout=subprocess.DEVNULL)
    numbers = range(trials)
    return [json.loads((folder / "study" / "trials" / str(n) / "result.json").read_text()) for n in numbers]


def plain_trial(result: dict[str, Any], data: Path, folder: Path, *, keep_all: bool) -> None:
    """One trial by a plain `Trainer`, as its documentation shows it."""
    config = result["config"]
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(packaged_weights())
    model = AutoModelForSequenceClassification.from_pretrained(packaged_weights(), num_labels=2)
    if config["peft"]["method"] == "lora":
        model = get_peft_model(
            model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"])
        )
    limits: dict[str, Any] = {} if keep_all else {"save_total_limit": 1, "load_best_model_at_end": True}
    Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            learning_rate=config["optim"]["lr"],
            num_train_epochs=math.ceil(result["epochs"]),
            per_device_train_batch_size=config["train"]["batch_size"],
            eval_strategy="epoch",
            save_strategy="epoch",
            metric_for_best_model="f1_macro",
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,
            **limits,
        ),
        train_dataset=rows_of(data, "train", tokenizer),
        eval_dataset=rows_of(data, "validation", tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
        processing_class=tokenizer,
    ).train()


def rows_of(data: Path, split: str, tokenizer: Any) -> Dataset:
    """One tokenised split."""
    with (data / f"{split}.jsonl").open(encoding="utf-8") as lines:
        rows = Dataset.from_list([json.loads(line) for line in lines])
    names = sorted(set(rows["label"]))
    return rows.map(
        lambda row: {
            **tokenizer(row["text"], truncation=True, max_length=64),
            "label": names.index(row["label"]),
        }
    )


def came_back(study: Path) -> bool:
    """Whether what the winner stored, restored, is in `best/` to the last bit."""
    number = json.loads((study / "study.json").read_text())["best"]["number"]
    folder = RunFolder(study / "trials" / str(number), objects=Objects(study / "objects"))
    result, record = folder.result(), folder.best()
    if result is None or record is None:
        return False
    weights = StoredWeights(validate(result.config), record, folder.objects, result.data)
    built = weights.restore().built
    if built is None:
        return False
    stored = trainable_state(built)
    exported = [tensor for path in (study / "best").glob("*.safetensors") for tensor in load_file(path).values()]
    there = {(tuple(tensor.shape), tensor.numpy().tobytes()) for tensor in exported}
    return all((tuple(tensor.shape), tensor.numpy().tobytes()) in there for tensor in stored.values())


def main() -> None:
    """Run the study and its two peers; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/validation/test.jsonl")
    parser.add_argument("--method", choices=("lora", "none"), default="lora")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rows", type=int, default=128, help="rows of each split")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        take_rows(given.data, folder, given.rows)
        with watching(folder / "study") as peak:
            results = search(folder, given.method, given.trials)
        sizes = {"tunery": (*bytes_in(folder / "study"), peak[0])}
        for peer, keep_all in {"every checkpoint": True, "limit 1 + best": False}.items():
            with watching(folder / peer) as peak:
                for number, result in enumerate(results):
                    plain_trial(result, folder, folder / peer / str(number), keep_all=keep_all)
            sizes[peer] = (*bytes_in(folder / peer), peak[0])
        show(sizes)
        print(f"best restored bit for bit: {came_back(folder / 'study')}")


def show(sizes: dict[str, tuple[int, int, int]]) -> None:
    """One line per way of keeping."""
    print(f"{'':18}{'weights and state':>18}{'ours in %':>11}{'peak':>12}{'the rest':>12}   (MB)")
    for name, (state, rest, peak) in sizes.items():
        share = 100 * sizes["tunery"][0] / state
        print(f"{name:18}{state / 1e6:18.2f}{share:11.2f}{peak / 1e6:12.2f}{rest / 1e6:12.2f}")


if __name__ == "__main__":
    main()
