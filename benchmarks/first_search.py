"""The best that is known after one, three and ten minutes: `tunery search` on the config that `tunery init` writes,
beside simple models, a plain `Trainer`, and `Trainer.hyperparameter_search` with Optuna, on the same rows.

    python benchmarks/first_search.py --data ../shared/data --sets imdb600 banking10 --seeds 3 --out runs/first

The sets, rows and peers are those of `first.py`, whose records in `--out` are used where they are. For each time,
printed are the test scores (accuracy, or macro-F1 where a row has several labels) of the trial that was best on
validation by then, imports on the clock; the best of the other arms that had ended by then; and the difference. One
trial or run is at work at a time, with one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from optuna import load_study
from optuna.trial import TrialState

from first import SETS, Rows, one, run_peer, written

TIMES = (60, 180, 600)
"""Seconds."""
ARMS = {"tfidf": ["peft=tfidf"], "probe": ["peft=probe"], "trainer": []}


def search(rows: Rows, files: Path, out: Path, seed: int) -> dict[str, Any]:
    """Test score of the incumbent by time, and how many trials had ended."""
    from tunery.train.artifacts.export import export_run
    from tunery.train.predict.inference import evaluate

    config, command = out.with_suffix(".yaml"), [sys.executable, "-m", "tunery"]
    subprocess.run([*command, "init", str(files / "train.jsonl"), "--out", str(config), "--overwrite"], check=True)
    given = [f"seed={seed}", f"model.max_length={rows.length}", f"search.timeout={TIMES[-1]}"]
    given += ["search.rescore=null", "search.ensemble=null", "checkpoint.keep_best=100", "checkpoint.co_best=100"]
    began = datetime.now(UTC).replace(tzinfo=None)
    subprocess.run([*command, "search", str(config), *given, "--out", str(out)], check=True)
    study = load_study(study_name=None, storage=f"sqlite:///{out / 'study.db'}")
    ended = [
        ((trial.datetime_complete - began).total_seconds(), trial.values[0], trial.number)
        for trial in study.get_trials(states=(TrialState.COMPLETE,))
        if trial.datetime_complete is not None
    ]
    found: dict[str, Any] = {}
    for limit in TIMES:
        known = [(value, -number) for seconds, value, number in ended if seconds <= limit]
        if known:
            value, number = max(known)
            with tempfile.TemporaryDirectory() as folder:
                exported = export_run(out, Path(folder) / "model", trial=-number)
                test = evaluate(exported, "test")[rows.metric]
            found[str(limit)] = {"validation": value, "test": test, "trial": -number, "trials": len(known)}
    return found


def search_record(rows: Rows, name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The same, read where it has been run before."""
    record = given.out / name / f"search-{seed}.json"
    if not record.exists():
        files = written(rows, given.data, given.out / name / f"rows-{seed}", seed)
        record.write_text(json.dumps(search(rows, files, given.out / name / f"search-{seed}", seed)))
    return dict(json.loads(record.read_text()))


def optuna_record(rows: Rows, name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The peer with Optuna; read where it has been run before."""
    record = given.out / name / f"optuna-{seed}.json"
    if not record.exists():
        files = written(rows, given.data, given.out / name / f"rows-{seed}", seed)
        record.write_text(json.dumps(run_peer(rows, files, seed, "optuna", TIMES)))
    return dict(json.loads(record.read_text()))


def main() -> None:
    """Run what is asked for and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/first"))
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print("| set | seconds | search (trials) | best of the others | difference |", "|---|---|---|---|---|", sep="\n")
    for name in given.sets:
        rows, differences = SETS[name], {limit: list[float]() for limit in TIMES}
        cells: dict[int, list[tuple[str, str]]] = {limit: [] for limit in TIMES}
        for seed in range(given.seeds):
            others = {arm: one(rows, name, arm, keys, seed, given) for arm, keys in ARMS.items()}
            ours, peer = search_record(rows, name, seed, given), optuna_record(rows, name, seed, given)
            for limit in TIMES:
                ended = {arm: found["test"] for arm, found in others.items() if found["seconds"] <= limit}
                if str(limit) in peer:
                    ended["optuna"] = peer[str(limit)]["test"]
                best = max(ended, key=lambda arm: ended[arm]) if ended else None
                own = ours.get(str(limit))
                shown = "none" if own is None else f"{own['test']:.4f} ({own['trials']})"
                cells[limit].append((shown, "none" if best is None else f"{best} {ended[best]:.4f}"))
                if own is not None and best is not None:
                    differences[limit].append(own["test"] - ended[best])
        for limit in TIMES:
            own, other = (", ".join(each) for each in zip(*cells[limit], strict=True))
            mean = f"{fmean(differences[limit]):+.4f}" if differences[limit] else ""
            print(f"| {name} | {limit} | {own} | {other} | {mean} |", flush=True)


if __name__ == "__main__":
    main()
