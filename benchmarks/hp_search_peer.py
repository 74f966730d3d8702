"""The peer: `Trainer.hyperparameter_search` with Optuna, as its documentation shows it. Knows nothing of tunery.

    python benchmarks/hp_search_peer.py --data FILES.json --model DIR --seed 0 --trials 30 --pruner none

Prints one JSON document: the validation score after every evaluation with the second it was known at, and the test
score of the best so far. The clock begins at `--began`, a reading of `time.monotonic`, so that imports can be on it,
and stands still while test is scored; no checkpoint is written.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

PRUNERS = {"none": optuna.pruners.NopPruner, "median": optuna.pruners.MedianPruner}


def space(trial: optuna.Trial) -> dict[str, Any]:
    """What `TrainingArguments` know; the adapter's keys are drawn by `model_init`."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [8, 16, 32]),
        "warmup_steps": trial.suggest_float("warmup_steps", 0.0, 0.2),
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
    }


def adapter(trial: optuna.Trial | None) -> LoraConfig:
    """The adapter of a trial; the first call of the library has none."""
    if trial is None:
        return LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"])
    return LoraConfig(
        task_type="SEQ_CLS",
        r=trial.suggest_categorical("r", [4, 8, 16, 32]),
        lora_alpha=trial.suggest_categorical("alpha", [8, 16, 32, 64]),
        lora_dropout=trial.suggest_float("dropout", 0.0, 0.2),
        target_modules=["query", "value"],
    )


class Clock(TrainerCallback):
    """Notes every score, and scores test where validation is the best so far, off the clock."""

    def __init__(self, test: Dataset, *, began: float) -> None:
        self.test = test
        self.trainer: Trainer | None = None
        self.started = began
        self.curve: list[tuple[float, float]] = []
        self.test_score = float("nan")
        self.busy = False

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        """After each epoch."""
        if self.busy or self.trainer is None or metrics is None:
            return
        now, value = time.monotonic() - self.started, metrics["eval_f1_macro"]
        if value > max((score for _, score in self.curve), default=-1.0):
            self.busy = True
            self.test_score = (self.trainer.predict(self.test).metrics or {})["test_f1_macro"]
            self.busy = False
        self.curve.append((now, value))
        self.started = time.monotonic() - now


def main() -> None:
    """Search, and print what happened when."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="JSON that benchmarks/search.py writes")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--pruner", choices=sorted(PRUNERS), default="none")
    parser.add_argument("--began", type=float, default=time.monotonic())
    given = parser.parse_args()
    data = json.loads(given.data.read_text())
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    clock: Clock

    def rows(name: str) -> Dataset:
        texts = Dataset.from_list([{"text": text, "label": label} for text, label in data[name]])
        return texts.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=data["length"]), batched=True
        ).remove_columns("text")

    def model_init(trial: optuna.Trial | None = None) -> Any:
        torch.manual_seed(given.seed)
        count = len(data["labels"])
        model = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=count)
        return get_peft_model(model, adapter(trial))

    def metrics(prediction: Any) -> dict[str, float]:
        guessed = np.argmax(prediction.predictions, axis=-1)
        return {"f1_macro": f1_score(prediction.label_ids, guessed, average="macro")}

    clock = Clock(rows("test"), began=given.began)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model_init=model_init,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=data["epochs"],
                per_device_eval_batch_size=64,
                eval_strategy="epoch",
                save_strategy="no",
                logging_strategy="no",
                use_cpu=not torch.cuda.is_available(),
                seed=given.seed,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows("train"),
            eval_dataset=rows("validation"),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics,
            callbacks=[clock],
        )
        clock.trainer = trainer
        trainer.hyperparameter_search(
            hp_space=space,
            compute_objective=lambda found: found["eval_f1_macro"],
            n_trials=given.trials,
            direction="maximize",
            backend="optuna",
            sampler=optuna.samplers.TPESampler(seed=given.seed),
            pruner=PRUNERS[given.pruner](),
        )
        seconds = time.monotonic() - clock.started
    print(json.dumps({"curve": clock.curve, "test": clock.test_score, "seconds": seconds}))


if __name__ == "__main__":
    main()
