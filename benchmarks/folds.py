"""What cross-validation says, on data of which the answer is known, and what it costs.

    python benchmarks/folds.py coverage --data ../shared/data --draws 100 --rows 1000 --out runs/folds
    python benchmarks/folds.py choice --data ../shared/data --draws 100 --rows 1000 --out runs/folds
    python benchmarks/folds.py times --data ../shared/data --rows 1000 --out runs/folds-times

Of the training rows of `goemotions`, with its 6 commonest labels and no others, 1,000 are drawn again and again.
`coverage`: each time a probe is cross-validated in 5 folds, thresholds and calibration are fitted out of fold, and a
probe that is fitted to all 1,000 rows is scored with these on all rows of test. Printed are how often the 95 % interval
holds that score, with and without the correction for shared training rows, how wide it is, and how far off the score
out of fold is.
`choice`: each time 20 probes are cross-validated, each over some of the features drawn at random and with a penalty
drawn at random, and the best is chosen. Printed are how far its score out of fold, and that less the advantage of
having been chosen (`value_after_choice` of a study), are from the score on test: of the models of its folds on average,
which have as many training rows as those that were scored, and of one that is fitted to all rows.
`times`: `tunery train` with one split, and with 5 folds, alternating.

Features of the frozen base (MiniLM) are computed once and kept in `--out`. Nothing is chosen by the result.
"""

import argparse
import json
import math
import shutil
import subprocess
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from tunery.baselines.linear import fit_logistic
from tunery.baselines.linear_models import fit_linear
from tunery.baselines.targets import LinearTargets
from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.hpo.analysis.choice import advantage_of_choice, score_of_rows
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


def coverage(config: Any, prepared: Prepared, features: Features, *, rows: int, number: int) -> dict[str, Any]:
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


TRIALS: Final = 20
STRENGTHS: Final = (0.1, 1000.0)
"""C of the probes of `choice`, drawn evenly on a logarithmic scale."""
FEWEST: Final = 0.1
"""Of the features that a probe of `choice` reads, at least."""


def choice(config: Any, prepared: Prepared, features: Features, *, rows: int, number: int) -> dict[str, Any]:
    """The best of 20, and what it was worth."""
    task, targets = prepared.task, prepared.linear_targets()
    assert targets is not None
    rng = np.random.default_rng(number)
    chosen = np.sort(rng.choice(POOL, rows, replace=False))
    examples: list[Example] = [prepared.splits.train.examples[row] for row in chosen]
    config = config.model_copy(update={"data": config.data.model_copy(update={"folds": 5, "seed": number})})
    (folds,) = fold_numbers(examples, config.data, config.task)
    test = prepared.splits.train.examples[POOL:]
    truth = task.truth(test)
    found = []
    for _ in range(TRIALS):
        width = features.shape[1]
        own = features[:, rng.permutation(width)[: round(width * rng.uniform(FEWEST, 1.0))]]
        strength = math.exp(rng.uniform(math.log(STRENGTHS[0]), math.log(STRENGTHS[1])))
        fit = partial(fit_logistic, labels=targets.outputs, seed=0, strengths=(strength,))
        answers, of_folds = [], []
        for fold in range(5):
            linear = fit(own[chosen[folds != fold]], targets.values[chosen[folds != fold]]).linear
            answers.append(RowTable({"logits": linear(own[chosen[folds == fold]])}))
            of_folds.append(RowTable({"logits": linear(own[POOL:])}))
        scored = score_out_of_fold(config, task, examples, answers)
        whole = RowTable({"logits": fit(own[chosen], targets.values[chosen]).linear(own[POOL:])})
        found.append((scored.metrics[OBJECTIVE], answers, of_folds, whole, scored.state))
    found.sort(key=lambda trial: -trial[0])

    def on_test(of_folds: list[RowTable], state: Any) -> float:
        return float(np.mean([task.score(each, truth, state)[OBJECTIVE] for each in of_folds]))

    value, _, of_folds, whole, state = found[0]
    scores = [score_of_rows(config, task, examples, answers) for _, answers, *_ in found]
    return {
        "oof": value,
        "after_choice": value - (advantage_of_choice(scores, rows, direction=config.direction) or 0.0),
        "test_of_folds": on_test(of_folds, state),
        "advantage_of_all": float(np.mean([oof - on_test(each, state) for oof, _, each, _, state in found])),
        "test": task.score(whole, truth, state)[OBJECTIVE],
    }


TIMED: Final = {
    "probe": ["peft=probe"],
    "half frozen": ["freeze={strategy: freeze_layers_n, n: 3}", "peft=none"],
    "lora": ["peft=lora"],
}
"""Overrides of the methods that `times` takes."""


def times(data: Path, out: Path, *, rows: int, repeats: int) -> None:
    """Whole commands, one after the other; each once before it counts."""
    files = write_rows(data, out)
    with Path(files["train"]).open(encoding="utf-8") as lines:
        some = [*islice(lines, rows)]
    Path(files["train"]).write_text("".join(some), encoding="utf-8")
    (out / "config.yaml").write_text(
        json.dumps(
            {
                "task": {"kind": "multilabel"},
                "data": {**files, "allow": ["shared_rows"]},
                "model": {"name": "minilm", "max_length": 64},
                "train": {"epochs": 3, "baselines": []},
            }
        )
    )
    print("| method | one split (s) | 5 folds (s) | ratio |")
    print("|---|---|---|---|")
    for name, overrides in TIMED.items():
        seconds: dict[str, list[float]] = {"one": [], "folds": []}
        for repeat in range(repeats):
            for kind in seconds:
                folder = out / f"{name.replace(' ', '-')}-{kind}-{repeat}"
                shutil.rmtree(folder, ignore_errors=True)
                more = ["data.folds=5"] if kind == "folds" else []
                command = ["tunery", "train", str(out / "config.yaml"), *overrides, *more, "--out", str(folder)]
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds[kind].append(time.perf_counter() - began)
        one, folds = (median(each) for each in seconds.values())
        (out / f"times-{name.replace(' ', '-')}.json").write_text(json.dumps(seconds))
        print(f"| {name} | {one:.1f} | {folds:.1f} | {folds / one:.2f} |", flush=True)


PARTS: Final = {"coverage": coverage, "choice": choice}


def main() -> None:
    """Print a table in Markdown, and keep all draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "times"])
    parser.add_argument("--repeats", type=int, default=3, help="times: of each command")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "times":
        times(given.data, given.out, rows=given.rows, repeats=given.repeats)
        return
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
    part = PARTS[given.part]
    draws = [part(config, prepared, features, rows=given.rows, number=number) for number in range(given.draws)]
    (given.out / f"{given.part}.json").write_text(json.dumps(draws, indent=1))
    if given.part == "coverage":
        off = np.array([one["oof"] - one["test"] for one in draws])
        print("| rows | draws | interval holds test | uncorrected | half width | out of fold minus test | deviation |")
        print("|---|---|---|---|---|---|---|")
        print(
            f"| {given.rows:,} | {given.draws} | {sum(one['holds'] for one in draws)} | "
            f"{sum(one['holds_uncorrected'] for one in draws)} | {np.mean([one['half_width'] for one in draws]):.4f} | "
            f"{off.mean():+.4f} | {off.std(ddof=1):.4f} |"
        )
        return
    print("| of the best of 20 | minus test of its folds | minus test of a model of all rows |")
    print("|---|---|---|")
    every = np.array([one["advantage_of_all"] for one in draws])
    print(f"| mean of all 20 | {every.mean():+.4f} ± {every.std(ddof=1) / len(every) ** 0.5:.4f} | |")
    for name in ("oof", "after_choice"):
        cells = [np.array([one[name] - one[test] for one in draws]) for test in ("test_of_folds", "test")]
        print(
            f"| {name} | " + " | ".join(f"{c.mean():+.4f} ± {c.std(ddof=1) / len(c) ** 0.5:.4f}" for c in cells) + " |"
        )


if __name__ == "__main__":
    main()
