"""What simple methods reach on the sample posts: `python examples/posts/baseline.py` prints F1 per label and its mean,
and how often a lexicon finds the evidence of a label.

Labels: TF-IDF over words and pairs of words, one class-balanced logistic regression per label, thresholds tuned on
validation. Evidence: how much likelier a word, or a pair, is in evidence of the label than elsewhere in train.
"""

import csv
import json
import math
import re
import sys
from collections import Counter
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


def evidence(folder: Path, split: str) -> list[tuple[list[str], dict[str, set[int]]]]:
    """Of each post its sentences, and the numbers of those that are evidence of a label."""
    with (folder / f"{split}_posts.csv").open(encoding="utf-8", newline="") as file:
        posts = {row["post_id"]: re.split(r"(?<=[.!?]) ", row["text"]) for row in csv.DictReader(file)}
    found: dict[str, dict[str, set[int]]] = {post: {} for post in posts}
    with (folder / f"{split}_annotations.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["status"] == "1":
                number = int(row["sentence_id"].rpartition("-")[2])
                found[row["post_id"]].setdefault(row["DSM5_symptom"], set()).add(number)
    return [(posts[post], found[post]) for post in posts]


def terms(sentence: str) -> set[str]:
    """Words and pairs of words."""
    words = re.findall(r"\w+", sentence.lower())
    return {*words, *(f"{one} {other}" for one, other in zip(words, words[1:], strict=False))}


def lexicon_hits(folder: Path) -> float:
    """Share of a post's labels on test whose best sentence, by the log odds of its terms in train, is evidence."""
    train = evidence(folder, "train")
    inside: dict[str, Counter[str]] = {label: Counter() for _, found in train for label in found}
    total: Counter[str] = Counter()
    for sentences, found in train:
        for number, sentence in enumerate(sentences):
            total.update(terms(sentence))
            for label, numbers in found.items():
                if number in numbers:
                    inside[label].update(terms(sentence))

    def odds(label: str, sentence: str) -> float:
        own = inside[label]
        rate = own.total() / total.total()
        part = terms(sentence)
        logs = [math.log((own[term] + rate) / (total[term] - own[term] + 1) / rate) for term in part if term in total]
        return sum(logs) / math.sqrt(max(len(part), 1))

    def best(label: str, sentences: list[str]) -> int:
        return max(range(len(sentences)), key=lambda number: odds(label, sentences[number]))

    hits = [
        best(label, sentences) in numbers
        for sentences, found in evidence(folder, "test")
        for label, numbers in found.items()
    ]
    return sum(hits) / len(hits)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    scores = baseline(folder)
    for label, score in scores.items():
        print(f"{label:18} {score:.3f}")
    print(f"{'macro':18} {np.mean(list(scores.values())):.3f}")
    print(f"{'evidence hit@1':18} {lexicon_hits(folder):.3f}")
