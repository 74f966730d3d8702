"""The peer: a plain transformers `Trainer` with peft, as its documentation shows it. Knows nothing of tunery.

    python benchmarks/plain_trainer.py --data DIR --model DIR --seed 0

Prints one JSON document: test accuracy and macro-F1 of the best epoch, and seconds by phase.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def metrics(prediction: Any) -> dict[str, float]:
    """Accuracy and macro-F1."""
    guessed = np.argmax(prediction.predictions, axis=-1)
    truth = prediction.label_ids
    return {"accuracy": accuracy_score(truth, guessed), "f1_macro": f1_score(truth, guessed, average="macro")}


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/validation/test.jsonl")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--length", type=int, default=256, help="tokens of a text")
    parser.add_argument("--bf16", action="store_true", help="the peer tuned by hand: bf16 autocast")
    parser.add_argument("--group-by-length", action="store_true", help="the peer tuned by hand: length grouping")
    return parser.parse_args()


def main() -> None:
    """Train, restore the best epoch, score test."""
    given = arguments()
    set_seed(given.seed)
    started = time.perf_counter()
    files = {split: str(given.data / f"{split}.jsonl") for split in ("train", "validation", "test")}
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    rows = load_dataset("json", data_files=files)
    rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=given.length), batched=True)
    model = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=2)
    targets = ["query", "value"]
    lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=targets)
    model = get_peft_model(model, lora)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                learning_rate=1e-3,
                weight_decay=0.01,
                warmup_steps=0.06,
                lr_scheduler_type="linear",
                num_train_epochs=given.epochs,
                per_device_train_batch_size=16,
                per_device_eval_batch_size=64,
                eval_strategy="epoch",
                save_strategy="epoch",
                load_best_model_at_end=True,
                metric_for_best_model="f1_macro",
                bf16=given.bf16,
                use_cpu=not torch.cuda.is_available(),
                train_sampling_strategy="group_by_length" if given.group_by_length else "random",
                seed=given.seed,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics,
        )
        trainer.train()
        trained = time.perf_counter()
        test = trainer.evaluate(rows["test"], metric_key_prefix="test")
    seconds = {"train_and_validate": trained - started, "total": time.perf_counter() - started}
    print(json.dumps({"accuracy": test["test_accuracy"], "f1_macro": test["test_f1_macro"], "seconds": seconds}))


if __name__ == "__main__":
    main()
