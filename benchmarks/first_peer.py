"""The peers of `first.py`, as their documentation shows them. Knows nothing of tunery.

    python benchmarks/first_peer.py sklearn --data DIR --label label --model DIR --length 128
    python benchmarks/first_peer.py trainer --data DIR --label label --model DIR --length 128 --seed 0

Prints one JSON document: validation and test accuracy, or macro-F1 where rows have lists of labels.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
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


def plain_trainer(rows: dict[str, Dataset], truth: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """The same of a `Trainer` with LoRA r 8 on query and value, 1e-3, 3 epochs, batches of 16, best epoch restored."""
    several = truth["train"].ndim > 1
    labels = truth["train"].shape[1] if several else int(truth["train"].max()) + 1
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    for split in SPLITS:
        tokens = tokenizer(list(rows[split]["text"]), truncation=True, max_length=given.length)
        targets = truth[split].astype(np.float32).tolist() if several else truth[split].tolist()
        rows[split] = Dataset.from_dict({**tokens, "labels": targets})
    model = AutoModelForSequenceClassification.from_pretrained(
        given.model,
        num_labels=labels,
        problem_type="multi_label_classification" if several else "single_label_classification",
    )
    lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["query", "value"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=get_peft_model(model, lora),
            args=TrainingArguments(
                output_dir=folder,
                learning_rate=1e-3,
                num_train_epochs=3,
                per_device_train_batch_size=16,
                per_device_eval_batch_size=64,
                eval_strategy="epoch",
                save_strategy="epoch",
                load_best_model_at_end=True,
                use_cpu=not torch.cuda.is_available(),
                seed=given.seed,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        logits = {split: np.asarray(trainer.predict(rows[split]).predictions) for split in SPLITS[1:]}
    return {split: 1 / (1 + np.exp(-values)) if several else values for split, values in logits.items()}


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
    parser.add_argument("peer", choices=("sklearn", "trainer"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
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
    peer = {"sklearn": sklearn_probe, "trainer": plain_trainer}[given.peer]
    print(json.dumps(scores(peer(rows, truth, given), truth)))


if __name__ == "__main__":
    main()
