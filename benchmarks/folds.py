"""Does the interval of cross-validation hold the score on rows that nothing has seen?

    python benchmarks/folds.py --data ../shared/data --draws 100 --rows 1000 --out runs/folds-coverage

Of the training rows of `goemotions`, with its 6 commonest labels and no others, 1,000 are drawn again and again. Each
time a probe is cross-validated in 5 folds, thresholds and calibration are fitted out of fold, and a probe that is
fitted to all 1,000 rows is scored with these on all rows of test. Printed are how often the 95 % interval holds that
score, with and without the correction for shared training rows, how wide it is, and how far off the score out of fold
is.

Features of the frozen base (MiniLM) are computed once and kept in `--out`. Nothing is chosen by the result.
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from tunery.baselines.linear_models import fit_linear
from tunery.baselines.targets import LinearTargets
from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.schema.config.baselines import baseline_config
from tunery.schema.reading.document import validate
from tunery.statistics import Score, pseudo_values
from tunery.tasks.table import fold_numbers
from tunery.train.deep_check.simple_model import probe_features
from tunery.train.out_of_fold import score_out_of_fold
from tunery.train.setup.prepare import Prepared, prepare

LABELS: Final = 6
POOL: Final = 12_000
"""Training rows that are drawn from."""
OBJECTIVE: Final = "f1_macro"
Features = npt.NDArray[np.float32]


def write_rows(data: Path, out: Path) -> dict[str, str]:
    """Pool and test as one training file, and a few rows for the splits that a config must have."""
    read = {
        split: [json.loads(line) for line in (data / "goemotions" / f"{split}.jsonl").read_text("utf-8").splitlines()]
        for split in ("train", "validation", "test")
    }
    counts = Counter(label for row in read["train"] for label in row["labels"])
    common = {label for label, _ in counts.most_common(LABELS)}
    order = np.random.default_rng(0).permutation(len(read["train"]))[:POOL]
    pool = [*(read["train"][row] for row in order), *read["test"]]
    files = {}
    for split, rows in {
        "train": pool,
        "validation": read["validation"][:200],
        "test": read["validation"][200:400],
    }.items():
        path = out / f"{split}.jsonl"
        lines = [{"text": row["text"], "labels": [one for one in row["labels"] if one in common]} for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        files[split] = str(path)
    return files


def logits(features: Features, rows: npt.NDArray[np.int64], targets: LinearTargets, asked: Features) -> RowTable:
    """What a probe that is fitted to some rows answers about others."""
    linear = fit_linear(features[rows], targets.take(rows), seed=0)
    return RowTable({"logits": asked @ linear.weight.T + linear.bias})


def draw(config: Any, prepared: Prepared, features: Features, *, rows: int, number: int) -> dict[str, Any]:
    """One cross-validation, and what it was worth."""
    task, targets = prepared.task, prepared.linear_targets()
    assert targets is not None
    chosen = np.sort(np.random.default_rng(number).choice(POOL, rows, replace=False))
    examples: list[Example] = [prepared.splits.train.examples[row] for row in chosen]
    config = config.model_copy(update={"data": config.data.model_copy(update={"folds": 5, "seed": number})})
    (folds,) = fold_numbers(examples, config.data, config.task)
    answers = [logits(features, chosen[folds != fold], targets, features[chosen[folds == fold]]) for fold in range(5)]
    scored = score_out_of_fold(config, task, examples, answers)
    test = prepared.splits.train.examples[POOL:]
    truth = task.truth(test)
    final = logits(features, chosen, targets, features[POOL:])
    reached = task.score(final, truth, scored.state)[OBJECTIVE]
    assert scored.interval is not None
    (by_block,) = pseudo_values([Score(scored.metrics[OBJECTIVE], scored.without_block)])
    plain = stats.t.ppf(0.975, len(by_block) - 1) * by_block.std(ddof=1) / math.sqrt(len(by_block))
    low, high = scored.interval
    return {
        "oof": scored.metrics[OBJECTIVE],
        "test": reached,
        "holds": bool(low <= reached <= high),
        "holds_uncorrected": bool(abs(scored.metrics[OBJECTIVE] - reached) <= plain),
        "half_width": (high - low) / 2,
    }


def main() -> None:
    """Print one line in Markdown, and keep all draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    config = validate(
        {
            "task": {"kind": "multilabel"},
            "data": {**write_rows(given.data, given.out), "allow": ["shared_rows"]},
            "model": {"name": "minilm", "max_length": 48},
            "search": {"objective": OBJECTIVE},
        }
    )
    prepared, kept = prepare(config), given.out / "features.npy"
    if not kept.is_file():
        np.save(kept, probe_features(baseline_config(config, "probe"), prepared))
    features = np.load(kept)
    draws = [draw(config, prepared, features, rows=given.rows, number=number) for number in range(given.draws)]
    (given.out / "draws.json").write_text(json.dumps(draws, indent=1))
    off = np.array([one["oof"] - one["test"] for one in draws])
    print("| rows | draws | interval holds test | uncorrected | half width | out of fold minus test | its deviation |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {given.rows:,} | {given.draws} | {sum(one['holds'] for one in draws)} | "
        f"{sum(one['holds_uncorrected'] for one in draws)} | {np.mean([one['half_width'] for one in draws]):.4f} | "
        f"{off.mean():+.4f} | {off.std(ddof=1):.4f} |"
    )


if __name__ == "__main__":
    main()
