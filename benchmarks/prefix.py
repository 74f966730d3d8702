"""What it saves to compute frozen layers once: `train.cache_frozen_layers` auto and off, alternating.

    python benchmarks/prefix.py --data ../shared/data/imdb_small --json prefix.json [--parts half --model FOLDER]

- `half`: embeddings and the lower half of the layers are frozen, the rest is trained;
- `encoder`: nothing but a linear head over mean token states is trained;
- `study`: trials of LoRA in the top 4 layers, whose rate, rank and dropout are drawn at random, the same both times.

Of the first two it compares seconds of an epoch after the first, scoring of validation included; of the third those of
the whole study. Every run has a process of its own. Prints a JSON line a run, which `--json` keeps, and a table of
medians with the scores beside; nothing else should run meanwhile.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, Final

WAYS: Final = ("auto", "off")
SPLITS: Final = ("train", "validation", "test")
PARTS: Final[dict[str, dict[str, Any]]] = {
    "half": {"freeze": {"strategy": "freeze_layers_n"}},
    "encoder": {"freeze": {"strategy": "freeze_encoder"}},
    "study": {
        "peft": {"method": "lora", "layers": "top4", "r": [4, 8, 16], "dropout": {"low": 0.0, "high": 0.2}},
        "optim": {"name": "adamw", "lr": {"low": 1e-4, "high": 5e-3, "log": True}},
    },
}
"""What each part adds to the common config; half the number of layers is filled in."""


def document_of(given: argparse.Namespace, part: str, way: str) -> dict[str, Any]:
    """The config of a run, or of a study."""
    head = {"kind": "linear", "pooling": "mean"}
    document = {
        "seed": given.seed,
        "task": {"kind": "classification"},
        "data": {split: str(given.data.resolve() / f"{split}.jsonl") for split in SPLITS},
        "model": {"name": given.model, "max_length": given.max_length, "precision": given.precision, "head": head},
        "train": {"epochs": given.epochs, "batch_size": 16, "baselines": [], "cache_frozen_layers": way},
        **PARTS[part],
    }
    if part == "half":
        document["freeze"] = {"strategy": "freeze_layers_n", "n": layers_of(given.model) // 2}
    if part == "study":
        document["search"] = {"n_trials": given.trials, "sampler": "random", "pruner": "none", "rescore": None}
    return document


def layers_of(name: str) -> int:
    """How many layers a model has."""
    from transformers import AutoConfig

    from tunery.model.backbones.catalog import resolve
    from tunery.model.backbones.hub import folder_of
    from tunery.schema.config.model import Model

    return int(AutoConfig.from_pretrained(folder_of(resolve(Model(name=name)))).num_hidden_layers)


def one_run(document: dict[str, Any], out: Path) -> dict[str, Any]:
    """Seconds of each epoch of a run, with its validation."""
    from transformers import TrainerCallback

    from tunery.schema.reading.document import validate
    from tunery.train.fit import fit

    class Epochs(TrainerCallback):
        began = 0.0
        seconds: Final[list[float]] = []

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_evaluate(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self.began)

    result = fit(validate(document), [Epochs()], out=out)
    kept = result.frozen_layers.model_dump() if result.frozen_layers else None
    later = median(Epochs.seconds[1:])
    scores = {"validation": result.objective.value, "test": result.metrics.test and result.metrics.test["f1_macro"]}
    return {"seconds": later, "first": Epochs.seconds[0], **scores, "memory": result.memory.peak, "kept": kept}


def one_study(document: dict[str, Any], out: Path) -> dict[str, Any]:
    """Seconds of a study, and its scores."""
    from tunery import search

    began = time.perf_counter()
    result = search(document, out=out)
    seconds = time.perf_counter() - began
    best = result.best
    return {
        "seconds": seconds,
        "validation": best and best.value,
        "test": best and best.test and best.test["f1_macro"],
        "trials": result.counts,
        "values": [trial.value for trial in result.trials],
    }


def measured(given: argparse.Namespace, part: str, way: str) -> dict[str, Any]:
    """One run in a process of its own."""
    document = document_of(given, part, way)
    command = [sys.executable, __file__, "--run", json.dumps(document), "--parts", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"part": part, "way": way, **json.loads(done.stdout.strip().splitlines()[-1])}


def table(runs: list[dict[str, Any]]) -> str:
    """Medians of each part."""
    of: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        of[run["part"], run["way"]].append(run)
    lines = [
        "| part | off, s | auto, s | | validation, off | auto | test, off | auto |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in dict.fromkeys(run["part"] for run in runs):
        off, auto = (
            {key: median(run[key] for run in of[part, way]) for key in ("seconds", "validation", "test")}
            for way in ("off", "auto")
        )
        scores = " | ".join(f"{each[key]:.4f}" for key in ("validation", "test") for each in (off, auto))
        seconds = f"{off['seconds']:.2f} | {auto['seconds']:.2f} | {off['seconds'] / auto['seconds']:.1f} ×"
        lines.append(f"| {part} | {seconds} | {scores} |")
    return "\n".join(lines)


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run is not None:
        with tempfile.TemporaryDirectory() as folder:
            measure = one_study if given.parts == ["study"] else one_run
            print(json.dumps(measure(json.loads(given.run), Path(folder) / "run")))
        return
    if given.data is None:
        parser.error("--data is needed")
    machine = {"machine": platform.platform(), "processor": platform.processor(), "python": platform.python_version()}
    runs = []
    for part in given.parts:
        for repeat in range(given.repeats):
            for way in WAYS if repeat % 2 == 0 else WAYS[::-1]:
                runs.append({**measured(given, part, way), "repeat": repeat, "model": given.model, **machine})
                print(json.dumps(runs[-1]), flush=True)
                if given.json is not None:
                    given.json.write_text("".join(json.dumps(run) + "\n" for run in runs))
    print(f"\n{table(runs)}")


if __name__ == "__main__":
    main()
