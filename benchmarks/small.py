"""What the data says back, on data of which the answer is known.

    python benchmarks/small.py labels --data ../shared/data --out runs/small --rows 2000 --seeds 5
    python benchmarks/small.py curve --data ../shared/data --out runs/small --seeds 10

`labels`: 5 % of the labels are replaced by another one, drawn at random; printed are the share of these that
`tunery check --deep` names (recall), and the share of the named rows that are among them (precision; errors that the
set has itself count against it). Beside it what the clean labels give: accuracy of the probe, and rows that are named.
`curve`: `tunery curve` on n rows predicts accuracy at 2 n and 4 n rows; the truth is that of a probe fitted to so many
rows, on held-out rows. Printed are how many predictions are within 1.5 points, how many intervals hold the truth, and
the same for those that are not called silent.

The prior of exponents was chosen on drawn normal distributions and on rows of `goemotions` with the labels 7 to 12 by
number, which are in none of these sets.

Sets are all of `banking77`, the training and test rows of `imdb_small`, and the rows of `goemotions` with one label, of
its 6 commonest. Features of the frozen base (MiniLM) are computed once for each set and kept in `--out`.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from tunery.schema import RunConfig
from tunery.schema.config.baselines import baseline_config
from tunery.schema.reading.document import validate
from tunery.train.deep_check.deep_check import doubts_of, folds_of
from tunery.train.deep_check.doubts import DOUBTFUL_LABEL
from tunery.train.deep_check.learning_curve import curve_of
from tunery.train.deep_check.simple_model import SimpleModel, probe_features, probe_over
from tunery.train.setup.prepare import Prepared, prepare

Rows = npt.NDArray[np.int64]
HELD: Final = 200
"""Rows of validation and of test, which a config must have; nothing is asked of them."""
WRONG: Final = 0.05
POINTS: Final = 0.015
SPLITS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class Set:
    """Rows of a set, and how many a learning curve begins with."""

    length: int
    """Tokens that are read."""
    most: int
    """Rows."""
    begin: int
    """n"""
    test: int
    """Rows that the truth is measured on."""


SETS: Final = {
    "banking77": Set(length=64, most=12_600, begin=1_000, test=3_000),
    "imdb_small": Set(length=128, most=4_600, begin=600, test=2_000),
    "goemotions": Set(length=48, most=12_000, begin=750, test=3_000),
}


def read(name: str, data: Path) -> pd.DataFrame:
    """Columns `text` and `label`, no text twice."""
    files = [data / name / f"{split}.{'csv' if name == 'banking77' else 'jsonl'}" for split in ("train", "test")]
    rows = pd.concat([pd.read_csv(f) if f.suffix == ".csv" else pd.read_json(f, lines=True) for f in files])
    if name == "banking77":
        rows = rows.rename(columns={"category": "label"})
    if name == "goemotions":
        rows = rows[rows["labels"].map(len) == 1].assign(label=lambda frame: frame["labels"].map(lambda one: one[0]))
        rows = rows[rows["label"].isin(rows["label"].value_counts().index[:6])]
    return rows[["text", "label"]].astype(str).drop_duplicates("text")


@dataclass(frozen=True)
class Pool:
    """A set with its features."""

    config: RunConfig
    prepared: Prepared
    features: npt.NDArray[np.float32]

    def probe(self, rows: Rows, labels: list[str] | None = None) -> SimpleModel:
        """Of some rows, with other labels than theirs if they are given."""
        examples = [self.prepared.splits.train.examples[row] for row in rows]
        if labels is not None:
            examples = [replace(one, labels=(label,)) for one, label in zip(examples, labels, strict=True)]
        splits = replace(self.prepared.splits, train=replace(self.prepared.splits.train, examples=tuple(examples)))
        truth = {**self.prepared.truth, "train": self.prepared.task.truth(examples)}
        prepared = replace(self.prepared, splits=splits, truth=truth)
        targets = prepared.linear_targets()
        assert targets is not None
        return probe_over(self.features[rows], prepared, targets, seed=0)


def pool_of(name: str, data: Path, out: Path) -> Pool:
    """Features are read from `out` where they are there."""
    spec, folder = SETS[name], out / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = read(name, data).sample(frac=1, random_state=0).iloc[: spec.most + 2 * HELD]
    ends = [0, spec.most, spec.most + HELD, spec.most + 2 * HELD]
    for split, begin, end in zip(SPLITS, ends, ends[1:], strict=False):
        rows.iloc[begin:end].to_json(folder / f"{split}.jsonl", orient="records", lines=True)
    files = {split: str(folder / f"{split}.jsonl") for split in SPLITS}
    config = validate(
        {
            "task": {"kind": "classification"},
            "data": {**files, "allow": ["shared_rows", "unseen_labels"]},
            "model": {"name": "minilm", "max_length": spec.length},
            "search": {"objective": "accuracy"},
        }
    )
    prepared, kept = prepare(config), out / f"{name}.npy"
    if not kept.is_file():
        np.save(kept, probe_features(baseline_config(config, "probe"), prepared))
    return Pool(config, prepared, np.load(kept))


def labels(pool: Pool, count: int, seed: int) -> dict[str, Any]:
    """What is found of labels that were replaced."""
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(pool.features))[:count]
    names, clean = pool.prepared.task.labels, pool.probe(rows)
    right = [example.labels[0] for example in clean.prepared.splits.train.examples]
    wrong = set(draw.choice(count, round(WRONG * count), replace=False).tolist())
    given = [
        str(draw.choice([name for name in names if name != label])) if row in wrong else label
        for row, label in enumerate(right)
    ]
    found = [d for d in doubts_of(pool.probe(rows, given), pool.config).doubts if DOUBTFUL_LABEL in d.reasons]
    hits = [doubt for doubt in found if doubt.row in wrong]
    first = [doubt for doubt in found[: len(wrong)] if doubt.row in wrong]
    folds = folds_of(clean, pool.config)
    known = folds >= 0
    answers = clean.out_of_fold(folds)[known].argmax(axis=1)
    before = [d for d in doubts_of(clean, pool.config).doubts if DOUBTFUL_LABEL in d.reasons]
    return {
        "recall": len(hits) / len(wrong),
        "precision": len(hits) / max(len(found), 1),
        "precision of the first as many": len(first) / len(wrong),
        "suggested is right": float(np.mean([doubt.suggested == (right[doubt.row],) for doubt in hits])),
        "accuracy": float((answers == clean.targets.values[known]).mean()),
        "named of clean labels": len(before) / count,
    }


def curve(pool: Pool, spec: Set, seed: int) -> Iterator[dict[str, Any]]:
    """Each prediction beside the truth."""
    order = np.random.default_rng(seed).permutation(len(pool.features))
    test, rows = order[: spec.test], order[spec.test :]
    found = curve_of(pool.probe(rows[: spec.begin]), pool.config)
    for times, predicted in zip((2, 4), found.predictions[1:], strict=True):
        every = pool.probe(np.concatenate([rows[: times * spec.begin], test]))
        count = times * spec.begin
        answers = every.fitted_to(np.arange(count))(np.arange(count, count + spec.test)).argmax(axis=1)
        truth = float((answers == every.targets.values[count:]).mean())
        yield {
            "times": times,
            "measured": [point.score for point in found.points],
            "truth": truth,
            "score": predicted.score,
            "is_near": abs(predicted.score - truth) <= POINTS,
            "is_held": predicted.low <= truth <= predicted.high,
            "width": predicted.high - predicted.low,
            "says_something": predicted.says_something,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["labels", "curve"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", type=int, default=2_000, help="labels: rows of each draw")
    parser.add_argument("--begin", type=int, help="curve: n, in place of that of each set")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    lines: list[dict[str, Any]] = []
    for name in given.sets:
        pool = pool_of(name, given.data, given.out)
        for seed in range(given.seeds):
            spec = SETS[name] if given.begin is None else replace(SETS[name], begin=given.begin)
            new = [labels(pool, given.rows, seed)] if given.part == "labels" else list(curve(pool, spec, seed))
            for line in new:
                lines.append({"set": name, "seed": seed, **line})
                print(json.dumps(lines[-1]), flush=True)
    frame = pd.DataFrame(lines).drop(columns=["seed", "measured"], errors="ignore")
    frame.to_csv(given.out / f"{given.part}.csv", index=False)
    keys = ["set"] if given.part == "labels" else ["set", "times"]
    print(frame.groupby(keys).mean(numeric_only=True).round(3).to_string())
    if given.part == "curve":
        print(f"all {len(frame)}: within 1.5 points {frame['is_near'].mean():.3f}, held {frame['is_held'].mean():.3f}")
        some = frame[frame["says_something"]]
        print(f"not silent {len(some)}: {some['is_near'].mean():.3f}, held {some['is_held'].mean():.3f}")


if __name__ == "__main__":
    main()
