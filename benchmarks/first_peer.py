"""The peers of `first.py`, as their documentation shows them. Knows nothing of tunery.

    python benchmarks/first_peer.py sklearn --data DIR --label label --model DIR --length 128
    python benchmarks/first_peer.py trainer --data DIR --label label --model DIR --length 128 --seed 0
    python benchmarks/first_peer.py optuna --data DIR --label label --model DIR --length 128 --times 60 180

Prints one JSON document: validation and test accuracy, or macro-F1 where rows have lists of labels; `optuna` these by
time.
"""

import argparse
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from datasets import Dataset, load_dataset
from peft import LoraConfig, get_peft_model
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

SPLITS = ("train", "validation", "test")


def sklearn_probe(rows: dict[str, Dataset], truth: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Logits of validation and test: mean-pooled embeddings, logistic regression with scikit-learn's defaults."""
    tokenizer, model = AutoTokenizer.from_pretrained(given.model), AutoModel.from_pretrained(given.model).eval()
    features = {}
    for split in SPLITS:
        texts, parts = list(rows[split]["text"]), []
        order = np.argsort([len(text) for text in texts], kind="stable")
        for begin in range(0, len(texts), 64):
            chosen = [texts[i] for i in order[begin : begin + 64]]
            batch = tokenizer(chosen, truncation=True, max_length=given.length, padding=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            parts.append(((states * mask).sum(1) / mask.sum(1)).numpy())
        features[split] = np.concatenate(parts)[np.argsort(order, kind="stable")]
    classifier = LogisticRegression(max_iter=1000)
    if truth["train"].ndim > 1:
        classifier = OneVsRestClassifier(classifier)
    classifier.fit(features["train"], truth["train"])
    return {split: classifier.predict_proba(features[split]) for split in SPLITS[1:]}


class Encoded:
    """The rows as a `Trainer` takes them, and what it is told of them."""

    def __init__(self, rows: dict[str, Dataset], truth: dict[str, Any], given: argparse.Namespace) -> None:
        self.several = truth["train"].ndim > 1
        self.labels = truth["train"].shape[1] if self.several else int(truth["train"].max()) + 1
        self.model = given.model
        self.tokenizer = AutoTokenizer.from_pretrained(given.model)
        self.rows = {}
        for split in SPLITS:
            tokens = self.tokenizer(list(rows[split]["text"]), truncation=True, max_length=given.length)
            targets = truth[split].astype(np.float32).tolist() if self.several else truth[split].tolist()
            self.rows[split] = Dataset.from_dict({**tokens, "labels": targets})

    def adapted(self, trial: Any = None) -> Any:
        """The model with LoRA r 8 on query and value, and a new head."""
        model = AutoModelForSequenceClassification.from_pretrained(
            self.model,
            num_labels=self.labels,
            problem_type="multi_label_classification" if self.several else "single_label_classification",
        )
        lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["query", "value"])
        return get_peft_model(model, lora)

    def answers(self, trainer: Trainer) -> dict[str, Any]:
        """Probabilities, or logits where a row has one label, of validation and test."""
        logits = {split: np.asarray(trainer.predict(self.rows[split]).predictions) for split in SPLITS[1:]}
        return {split: 1 / (1 + np.exp(-values)) if self.several else values for split, values in logits.items()}

    def arguments(self, folder: str, given: argparse.Namespace, **more: Any) -> TrainingArguments:
        """What both peers say."""
        return TrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=64,
            eval_strategy="epoch",
            use_cpu=not torch.cuda.is_available(),
            seed=given.seed,
            report_to="none",
            disable_tqdm=True,
            **more,
        )


def plain_trainer(rows: dict[str, Dataset], truth: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """The same of a `Trainer` with LoRA, 1e-3, 3 epochs, batches of 16, best epoch restored."""
    encoded = Encoded(rows, truth, given)
    more = {"learning_rate": 1e-3, "num_train_epochs": 3, "per_device_train_batch_size": 16}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=encoded.adapted(),
            args=encoded.arguments(folder, given, save_strategy="epoch", load_best_model_at_end=True, **more),
            train_dataset=encoded.rows["train"],
            eval_dataset=encoded.rows["validation"],
            data_collator=DataCollatorWithPadding(encoded.tokenizer),
        )
        trainer.train()
        return encoded.answers(trainer)


class Clock(TrainerCallback):
    """Scores validation after each epoch, and test where that is the best so far; it stands still meanwhile."""

    def __init__(self, encoded: Encoded, truth: dict[str, Any], given: argparse.Namespace) -> None:
        self.encoded, self.truth = encoded, truth
        self.began, self.times = given.began, given.times
        self.trainer: Trainer | None = None
        self.best = self.latest = -1.0
        self.known: list[tuple[float, dict[str, float]]] = []
        self.is_at_it = False

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After each epoch."""
        if self.is_at_it or self.trainer is None:
            return
        now = time.monotonic() - self.began
        self.is_at_it = True
        found = scores(self.encoded.answers(self.trainer), self.truth)
        self.is_at_it = False
        self.latest = found["validation"]
        if self.latest > self.best:
            self.best = self.latest
            self.known.append((now, found))
        self.began = time.monotonic() - now
        if now > max(self.times):
            raise KeyboardInterrupt


def optuna_search(rows: dict[str, Dataset], truth: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """`Trainer.hyperparameter_search` with Optuna over rate, epochs and batch of the same model, until time is up: by
    time, the scores of the epoch that was best on validation by then."""
    encoded = Encoded(rows, truth, given)
    clock = Clock(encoded, truth, given)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model_init=encoded.adapted,
            args=encoded.arguments(folder, given, save_strategy="no"),
            train_dataset=encoded.rows["train"],
            eval_dataset=encoded.rows["validation"],
            data_collator=DataCollatorWithPadding(encoded.tokenizer),
            callbacks=[clock],
        )
        clock.trainer = trainer
        with suppress(KeyboardInterrupt):
            trainer.hyperparameter_search(
                hp_space=lambda trial: {
                    "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
                    "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 10),
                    "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [8, 16]),
                },
                compute_objective=lambda found: clock.latest,
                n_trials=1000,
                direction="maximize",
                backend="optuna",
                sampler=optuna.samplers.TPESampler(seed=given.seed),
            )
    by_time = {limit: [found for second, found in clock.known if second <= limit] for limit in given.times}
    return {str(limit): found[-1] for limit, found in by_time.items() if found}


def scores(answers: dict[str, Any], truth: dict[str, Any]) -> dict[str, float]:
    """Accuracy; with several labels macro-F1 at the one cut that is best on validation."""
    if truth["train"].ndim == 1:
        return {split: accuracy_score(truth[split], answers[split].argmax(axis=1)) for split in SPLITS[1:]}

    def f1_at(split: str, cut: float) -> float:
        return float(f1_score(truth[split], answers[split] >= cut, average="macro", zero_division=0))

    best = max(np.linspace(0.02, 0.9, 45), key=lambda cut: f1_at("validation", cut))
    return {split: f1_at(split, best) for split in SPLITS[1:]}


def main() -> None:
    """Fit and score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("sklearn", "trainer", "optuna"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--began", type=float, default=time.monotonic(), help="a reading of time.monotonic")
    parser.add_argument("--times", type=int, nargs="+", default=[60], help="of optuna: seconds")
    given = parser.parse_args()
    set_seed(given.seed)
    files = {split: str(given.data / f"{split}.jsonl") for split in SPLITS}
    rows = dict(load_dataset("json", data_files=files))
    if isinstance(rows["train"][0][given.label], list):
        names = MultiLabelBinarizer().fit(rows["train"][given.label])
        truth = {split: names.transform(rows[split][given.label]) for split in SPLITS}
    else:
        known = sorted(set(rows["train"][given.label]))
        truth = {split: np.array([known.index(label) for label in rows[split][given.label]]) for split in SPLITS}
    if given.peer == "optuna":
        print(json.dumps(optuna_search(rows, truth, given)))
    else:
        peer = {"sklearn": sklearn_probe, "trainer": plain_trainer}[given.peer]
        print(json.dumps(scores(peer(rows, truth, given), truth)))


if __name__ == "__main__":
    main()
