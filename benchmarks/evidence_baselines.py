"""What evidence is found without a model: everything, the first or the last words, chance, a lexicon.

    python benchmarks/evidence_baselines.py --data ../shared/data/movie_rationales

Rows have one set of spans each (`evidence`: [[start, end], ...]). The lexicon is made of train, its threshold is chosen
on validation; nothing is chosen on test. Prints a table.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.evidence_metrics import averaged, covered, instance_statistics, sentence_of_units
from tunery.data.units import Bounds, sentences, words

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

RADIUS: Final = 5
"""Words to either side that a word's score is the mean of."""
SHOWN: Final = (
    "token_f1", "token_precision", "token_recall", "iou_f1", "char_f1", "auprc", "hit_at_1", "ndcg_at_10"
)  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A text and its evidence, by words."""

    words: tuple[str, ...]
    """In small letters."""
    bounds: Bounds
    sentences: npt.NDArray[np.int64]
    """The sentence of each word, (words,)."""
    spans: Bounds
    gold: Bools


def document(text: str, spans: Sequence[Sequence[int]]) -> Document:
    """Divide a text into words; spans are pairs of characters."""
    bounds, pairs = words(text), np.array(spans, dtype=np.int64).reshape(-1, 2)
    return Document(
        words=tuple(text[begin:end].lower() for begin, end in bounds),
        bounds=bounds,
        sentences=sentence_of_units(bounds, sentences(text)),
        spans=pairs,
        gold=covered(bounds, pairs),
    )


def read_documents(path: Path) -> list[Document]:
    """Of a JSON Lines file with `text` and `evidence`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [document(row["text"], row["evidence"]) for row in rows]


def everything(documents: Sequence[Document]) -> list[Bools]:
    """Every word."""
    return [np.ones(len(one.words), dtype=bool) for one in documents]


def first(documents: Sequence[Document], share: float) -> list[Bools]:
    """The first words of each document."""
    return [np.arange(len(one.words)) < share * len(one.words) for one in documents]


def last(documents: Sequence[Document], share: float) -> list[Bools]:
    """The last words of each document."""
    return [marks[::-1] for marks in first(documents, share)]


def chance(documents: Sequence[Document], seed: int = 0) -> list[Floats]:
    """A score between 0 and 1 for each word."""
    generator = np.random.default_rng(seed)
    return [generator.random(len(one.words)) for one in documents]


def above(scores: Sequence[Floats], threshold: float) -> list[Bools]:
    """The words with at least this score."""
    return [values >= threshold for values in scores]


def gold_share(documents: Sequence[Document]) -> float:
    """Of all words, those that are evidence."""
    return float(np.concatenate([one.gold for one in documents]).mean())


class Lexicon:
    """How much likelier a word, and the pair of it and the one before, is within evidence than outside."""

    def __init__(self, documents: Sequence[Document], *, smoothing: float = 1.0) -> None:
        inside: Counter[str | tuple[str, str]] = Counter()
        outside: Counter[str | tuple[str, str]] = Counter()
        for one in documents:
            for before, word, is_gold in zip(("", *one.words), one.words, one.gold.tolist(), strict=False):
                (inside if is_gold else outside).update((word, (before, word)))
        # half of all entries are words, half are pairs
        rate = (inside.total() + smoothing) / (outside.total() + smoothing)
        self._odds = {
            entry: float(np.log((inside[entry] + smoothing * rate) / (outside[entry] + smoothing) / rate))
            for entry in inside.keys() | outside.keys()
        }

    def of_words(self, one: Document) -> Floats:
        """Log odds of each word, (words,): those of the word and of the pair added up, 0 where train had neither."""
        odds = self._odds
        pairs = zip(("", *one.words), one.words, strict=False)
        return np.array([odds.get(word, 0.0) + odds.get((before, word), 0.0) for before, word in pairs])

    def of_windows(self, documents: Sequence[Document]) -> list[Floats]:
        """Each word scores the mean of the words around it."""
        result = []
        for one in documents:
            sums = np.concatenate([[0.0], np.cumsum(self.of_words(one))])
            place = np.arange(len(one.words))
            low, high = np.maximum(place - RADIUS, 0), np.minimum(place + RADIUS + 1, len(one.words))
            result.append((sums[high] - sums[low]) / (high - low))
        return result

    def of_sentences(self, documents: Sequence[Document]) -> list[Floats]:
        """Each word scores the sum over its sentence, divided by the root of the number of words in it."""
        result = []
        for one in documents:
            sums = np.bincount(one.sentences, self.of_words(one))
            result.append((sums / np.sqrt(np.maximum(np.bincount(one.sentences), 1)))[one.sentences])
        return result


def best_threshold(documents: Sequence[Document], scores: Sequence[Floats], *, candidates: int = 200) -> float:
    """The threshold on scores with the highest mean token F1 of documents, of quantiles of all scores."""
    owner = np.repeat(np.arange(len(documents)), [len(one.words) for one in documents])
    gold, values = np.concatenate([one.gold for one in documents]), np.concatenate(list(scores))
    gold_counts = np.bincount(owner, gold, minlength=len(documents))

    def f1(threshold: float) -> float:
        marked = values >= threshold
        both = np.bincount(owner, marked & gold, minlength=len(documents))
        total = np.bincount(owner, marked, minlength=len(documents)) + gold_counts
        return float((2 * both[total > 0] / total[total > 0]).mean())

    return max(map(float, np.quantile(values, np.linspace(0, 1, candidates))), key=f1)


def measured(
    documents: Sequence[Document], marked: Sequence[Bools], scores: Sequence[npt.NDArray[Any]] | None = None
) -> dict[str, float | None]:
    """All metrics of evidence; without scores those that rank units are None."""
    statistics = instance_statistics(
        [one.gold for one in documents],
        marked,
        scores or marked,
        [one.bounds for one in documents],
        [one.sentences for one in documents],
        [one.spans for one in documents],
        merge=True,
    )
    ranks = () if scores else ("evidence_auprc", "evidence_hit_at_1", "evidence_ndcg_at_10")
    return averaged(statistics) | dict.fromkeys(ranks)


def baselines(
    train: Sequence[Document], validation: Sequence[Document], test: Sequence[Document]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Metrics by method and split; what is chosen is chosen on validation."""
    splits = {"validation": validation, "test": test}

    def of_scores(scores: dict[str, list[Floats]], threshold: float) -> dict[str, dict[str, float | None]]:
        return {name: measured(splits[name], above(scores[name], threshold), scores[name]) for name in scores}

    result = {
        "everything": {name: measured(split, everything(split)) for name, split in splits.items()},
        "first 20 %": {name: measured(split, first(split, 0.2)) for name, split in splits.items()},
        "last 20 %": {name: measured(split, last(split, 0.2)) for name, split in splits.items()},
    }
    drawn = {name: chance(split) for name, split in splits.items()}
    for share in (gold_share(train), 0.3):
        result[f"chance, {share:.0%}"] = of_scores(drawn, 1 - share)
    lexicon = Lexicon(train)
    for unit, score in {"windows": lexicon.of_windows, "sentences": lexicon.of_sentences}.items():
        scores = {name: score(split) for name, split in splits.items()}
        result[f"lexicon, {unit}"] = of_scores(scores, best_threshold(validation, scores["validation"]))
        # test has several times the evidence of validation: with as many marks, what its threshold costs is left out
        cut = float(np.quantile(np.concatenate(scores["test"]), 0.7))
        result[f"lexicon, {unit}, 30 % of words"] = of_scores({"test": scores["test"]}, cut)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train, validation and test.jsonl")
    folder = parser.parse_args().data
    splits = [read_documents(folder / f"{name}.jsonl") for name in ("train", "validation", "test")]
    print("evidence in train, validation, test:", ", ".join(f"{gold_share(split):.1%}" for split in splits))
    table = baselines(*splits)
    print(f"{'':45}" + "".join(f"{name:>16}" for name in SHOWN))
    for method, of_splits in table.items():
        for split, values in of_splits.items():
            shown = [values[f"evidence_{name}"] for name in SHOWN]
            numbers = "".join(f"{'–':>16}" if value is None else f"{value:16.3f}" for value in shown)
            print(f"{method:33} {split:11}{numbers}")
