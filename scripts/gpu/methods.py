"""Full fine-tuning, LoRA, QLoRA and IA3 on one GPU, beside a plain `Trainer` + peft: training seconds and peak memory.

    python scripts/gpu/methods.py --data DIR --tokenizer DIR [--rows 1000 --epochs 1 --rounds 2]

The model has the shape of RoBERTa-base and random weights: speed and memory do not depend on their values; scores do,
and none are printed. Ours and the peer, with and without bf16, take turns in one process; the first round warms up and
is not counted. Peak memory is what the allocator gave out while training. Prints a Markdown table and the card's name.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import load_dataset
from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    DataCollatorWithPadding,
    RobertaConfig,
    RobertaForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from tunery import fit, load_config

TARGETS = ["query", "value"]
METHODS: dict[str, tuple[list[str], PeftConfig | None, float]] = {
    "none": (["peft=none"], None, 2e-5),
    "lora": (
        ["peft={method: lora, r: 8, alpha: 16, dropout: 0.05, target: [query, value]}"],
        LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=TARGETS),
        1e-3,
    ),
    "qlora": (
        ["peft={method: lora, r: 8, alpha: 16, dropout: 0.05, target: [query, value]}", "model.quantization=nf4"],
        LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=TARGETS),
        1e-3,
    ),
    "ia3": (
        ["peft=ia3"],
        IA3Config(
            task_type="SEQ_CLS",
            target_modules=["key", "value", "output.dense"],
            feedforward_modules=["output.dense"],
        ),
        1e-3,
    ),
}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and validation.jsonl")
    parser.add_argument("--tokenizer", required=True, help="folder of a tokenizer with at most 50,265 tokens")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2, help="counted rounds")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--layers", type=int, default=12, help="fewer for a trial without a GPU")
    return parser.parse_args()


def prepared(given: argparse.Namespace, folder: Path) -> Path:
    """The model's folder and the cut data files, below `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
    shape = RobertaConfig(
        vocab_size=50265,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_hidden_layers=given.layers,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    RobertaForSequenceClassification(shape).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    held_out = (given.data / "validation.jsonl").read_text().split("\n")
    rows = {"train": (given.data / "train.jsonl").read_text().split("\n")[: given.rows]}
    rows |= {"validation": held_out[:64], "test": held_out[64:128]}
    for split, lines in rows.items():
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "model"


def run_tunery(given: argparse.Namespace, folder: Path, method: str) -> dict[str, float]:
    """One `fit`; scoring 64 validation rows is in its time, as it is in the peer's."""
    overrides, _, rate = METHODS[method]
    document: dict[str, Any] = {
        "task": "classification",
        "data": {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"},
        "model": {"name": str(folder / "model"), "max_length": given.length},
        "optim": {"name": "adamw", "lr": rate, "weight_decay": 0.01},
        "train": {"epochs": given.epochs, "batch_size": 16},
    }
    (folder / "config.yaml").write_text(json.dumps(document))
    with tempfile.TemporaryDirectory() as out:
        result = fit(load_config(folder / "config.yaml", overrides), out=Path(out) / "run")
    assert result.seconds is not None and result.memory is not None
    return {"seconds": result.seconds.train, "bytes": result.memory.device_peak_bytes or 0}


def run_peer(given: argparse.Namespace, folder: Path, method: str, bf16: bool) -> dict[str, float]:
    """One `Trainer.train()`, as the documentation of transformers and peft shows it."""
    _, adapter, rate = METHODS[method]
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    rows = load_dataset("json", data_files={s: str(folder / f"{s}.jsonl") for s in ("train", "validation")})
    rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=given.length), batched=True)
    options: dict[str, Any] = {"num_labels": 2}
    if method == "qlora":
        four_bits = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        options |= {"quantization_config": four_bits, "device_map": {"": 0}}
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model", **options)
    if method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    if adapter is not None:
        model = get_peft_model(model, adapter)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=out,
                learning_rate=rate,
                weight_decay=0.01,
                num_train_epochs=given.epochs,
                per_device_train_batch_size=16,
                per_device_eval_batch_size=64,
                eval_strategy="epoch",
                save_strategy="no",
                bf16=bf16,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        torch.cuda.reset_peak_memory_stats()
        seconds = trainer.train().metrics["train_runtime"]
    return {"seconds": seconds, "bytes": torch.cuda.max_memory_allocated()}


def main() -> None:
    """All methods, taking turns; medians of the counted rounds."""
    given = arguments()
    measured: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(given, folder)
        for round_number in range(given.rounds + 1):
            for method in METHODS:
                runs = {
                    "tunery": lambda method=method: run_tunery(given, folder, method),
                    "Trainer": lambda method=method: run_peer(given, folder, method, bf16=False),
                    "Trainer, bf16": lambda method=method: run_peer(given, folder, method, bf16=True),
                }
                for who, run in runs.items():
                    torch.cuda.empty_cache()
                    try:
                        found = run()  # type: ignore[no-untyped-call]
                    except Exception as error:  # the table goes on, with the error in words
                        print(f"{method}, {who}: {type(error).__name__}: {error}", flush=True)
                        continue
                    print(json.dumps({"method": method, "run": who, "round": round_number, **found}), flush=True)
                    if round_number:
                        measured[method, who].append(found)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"\n{card}, torch {torch.__version__}\n\n| method | run | training s | peak memory |\n|---|---|---|---|")
    for (method, who), runs_of in measured.items():
        seconds, peak = (median(run[key] for run in runs_of) for key in ("seconds", "bytes"))
        print(f"| `{method}` | {who} | {seconds:.1f} | {peak / 1e6:,.0f} MB |")


if __name__ == "__main__":
    main()
