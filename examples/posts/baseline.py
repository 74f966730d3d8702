"""Bag-of-words baseline of the sample posts: `python examples/posts/baseline.py` prints macro-F1 and F1 per label.

TF-IDF over words and pairs of words, one class-balanced logistic regression per label, thresholds tuned on validation.
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

HERE = Path(__file__).resolve().parent
GRID = np.linspace(0.05, 0.95, 91)


def read(path: Path) -> tuple[list[str], list[set[str]]]:
    """Texts and label sets of one jsonl file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [set(row["labels"]) for row in rows]


def baseline(folder: Path) -> dict[str, float]:
    """F1 on test per label, fitted on train with thresholds from validation."""
    splits = {split: read(folder / f"{split}.jsonl") for split in ("train", "validation", "test")}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(splits["train"][0])
    features = {split: vectorizer.transform(texts) for split, (texts, _) in splits.items()}
    scores = {}
    for label in sorted(set().union(*splits["train"][1])):
        truth = {split: np.array([label in labels for labels in sets]) for split, (_, sets) in splits.items()}
        model = LogisticRegression(class_weight="balanced", C=10.0).fit(features["train"], truth["train"])
        chance = {split: model.predict_proba(features[split])[:, 1] for split in ("validation", "test")}
        threshold = max(GRID, key=lambda t: f1_score(truth["validation"], chance["validation"] >= t))
        scores[label] = float(f1_score(truth["test"], chance["test"] >= threshold))
    return scores


if __name__ == "__main__":
    scores = baseline(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    for label, score in scores.items():
        print(f"{label:18} {score:.3f}")
    print(f"{'macro':18} {np.mean(list(scores.values())):.3f}")
