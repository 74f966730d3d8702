"""What a save and a resume cost, beside a plain `Trainer`; and how small trained weights become.

    python benchmarks/save.py --data ../shared/data/imdb_small
    python benchmarks/save.py --data ../shared/data/imdb_small --base-steps 0     # MiniLM only

Full fine-tuning of the packaged MiniLM, then of a model of BERT-base's shape with random weights. Whenever the run
saves a resume point, a plain `Trainer` with `save_total_limit=1` saves its checkpoint of the same model, optimizer and
schedule: same process, same moment, one after the other. The `Trainer` leaves the file to the system's cache and has
no digests; so it is timed as it is, and with its files made to reach the disk, as tunery's have by then. A resume is
all that comes after the model has been built: finding the resume point, checking it, loading weights, optimizer and
random state. Medians over all saves. Prints Markdown tables; nothing else should run meanwhile.
"""

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils.logging import disable_progress_bar
from zstandard import ZstdCompressor

from imdb_lora import packaged_weights
from precision import base_sized
from tunery.model.trainable import load_trainable
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.store.disk.files import size
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects, Reference
from tunery.train.fit import fit
from tunery.train.loop.callbacks import KeepBest, SaveResumePoints
from tunery.train.loop.resume import read
from tunery.train.loop.state import restore_random_state, unpack
from tunery.train.setup.assemble import Assembled, assemble
from tunery.train.setup.prepare import prepare

REPEATS = 5
MB = 1e6


class Times(dict[str, list[float]]):
    """Seconds of everything that was done more than once."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        yield
        self.setdefault(name, []).append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        """Seconds."""
        return median(self[name])


class Beside(TrainerCallback):
    """Lets a plain `Trainer` save and resume beside the run, and measures what the run has stored."""

    def __init__(self, config: RunConfig, out: Path, peer: Path, times: Times) -> None:
        self.config, self.out, self.peer, self.times = config, out, peer, times
        self.bytes: dict[str, int] = {}
        self.saved: dict[str, float] = {}
        self.epoch_steps = 0

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.times.setdefault("step", []).append(time.perf_counter() - self.began)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        trainer = plain(given["model"], self.peer, given["optimizer"], given["lr_scheduler"])
        trainer.state = state
        with self.times.of("save, Trainer + fsync"):
            with self.times.of("save, Trainer"):
                trainer._save_checkpoint(given["model"], None)
            for path in self.peer.rglob("*"):
                with path.open("rb") if path.is_file() else tempfile.TemporaryFile() as file:
                    os.fsync(file.fileno())

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        folder, checkpoint = RunFolder(self.out), next(self.peer.glob("checkpoint-*"))
        point = folder.resume.latest()
        assert point is not None
        self.bytes = {"tunery": sum(part.bytes for part in point.objects.values()), "Trainer": size(checkpoint)}
        for _ in range(REPEATS):
            run = assemble(self.config, prepare(self.config))
            optimizer = run.optimizer()
            with self.times.of("resume, tunery"):
                resume(folder, run, optimizer)
            trainer = plain(run.built.module, self.peer, optimizer, given["lr_scheduler"])
            with self.times.of("resume, Trainer"):
                trainer._load_from_checkpoint(str(checkpoint))
                trainer._load_optimizer_and_scheduler(str(checkpoint))
                trainer._load_rng_state(str(checkpoint))
        self.epoch_steps = len(run.batches)
        weights = {
            name: part.detach() for name, part in given["model"].named_parameters() if name in run.built.trainable
        }
        self.saved = compressed(weights, run.reference)


def plain(model: Any, folder: Path, optimizer: Any, schedule: Any) -> Trainer:
    """A `Trainer` as its documentation has it."""
    arguments = TrainingArguments(str(folder), save_total_limit=1, report_to="none", use_cpu=True, seed=0)
    return Trainer(model, arguments, optimizers=(optimizer, schedule))


def resume(folder: RunFolder, run: Assembled, optimizer: Any) -> None:
    """What `fit` does between building the model and the first step, with nothing read or mapped before."""
    reference = run.reference and Reference(run.reference.digest, run.reference.load.__wrapped__)  # type: ignore[attr-defined]
    found = folder.resume.read_latest(functools.partial(read, objects=folder.objects, reference=reference))
    assert found is not None
    _, snapshot = found
    load_trainable(run.built, snapshot.weights)
    parts = unpack(snapshot.documents["state"], snapshot.state)
    optimizer.load_state_dict(parts["optimizer"])
    restore_random_state(parts["random"])


def compressed(weights: Mapping[str, Tensor], reference: Reference | None) -> dict[str, float]:
    """Percent saved, by dtype and way."""
    base = reference.load() if reference else {}
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        after = {name: part.to(dtype) for name, part in weights.items()}
        before = {name: part.to(dtype) for name, part in base.items()}
        whole = sum(part.nbytes for part in after.values())
        raw = (part.view(torch.uint8).numpy().tobytes() for part in after.values())
        ways = {"plain zstd": sum(len(ZstdCompressor(level=3).compress(part)) for part in raw)}
        for way, given in (("planes", None), ("delta", Reference("base", functools.partial(dict, before)))):
            with tempfile.TemporaryDirectory() as folder:
                ways[way] = Objects(Path(folder)).put(after, reference=given).bytes
        found |= {f"{str(dtype).removeprefix('torch.')}, {way}": 100 * (1 - part / whole) for way, part in ways.items()}
    return found


def timed(times: Times, owner: type, method: str, name: str) -> None:
    """Time a method of a class from now on."""
    original: Callable[..., None] = getattr(owner, method)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        with times.of(name):
            original(*args, **kwargs)

    setattr(owner, method, wrapper)


def measure(name: str, data: Path, *, steps: int, every: int, length: int, batch: int) -> tuple[Times, Beside]:
    """One run."""
    times = Times()
    before = SaveResumePoints.on_save, KeepBest.on_evaluate
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for split, rows in {"train": None, "validation": 40, "test": 40}.items():
            lines = (data / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")[:rows]
            (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        config = validate(
            {
                "task": {"kind": "classification"},
                "data": {split: str(folder / f"{split}.jsonl") for split in ("train", "validation", "test")},
                "model": {"name": name, "max_length": length, "precision": "fp32"},
                "optim": {"name": "adamw", "lr": 2e-5},
                "train": {"max_steps": steps, "batch_size": batch},
                "checkpoint": {"every": every},
            }
        )
        beside = Beside(config, folder / "run", folder / "peer", times)
        timed(times, SaveResumePoints, "on_save", "save, tunery")
        timed(times, KeepBest, "on_evaluate", "best, tunery")
        try:
            fit(config, [beside], out=folder / "run")
        finally:
            SaveResumePoints.on_save, KeepBest.on_evaluate = before  # type: ignore[method-assign]
    return times, beside


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100, help="of MiniLM, with ten saves")
    parser.add_argument("--base-steps", type=int, default=10, help="of BERT-base, a save after each; 0: leave it out")
    given = parser.parse_args()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    rows, saved = [], {}
    with tempfile.TemporaryDirectory() as folder:
        runs = [("MiniLM", packaged_weights(), {"steps": given.steps, "every": given.steps // 10, "length": 128})]
        if given.base_steps:
            runs += [("BERT-base", base_sized(Path(folder)), {"steps": given.base_steps, "every": 1, "length": 32})]
        for label, name, options in runs:
            times, beside = measure(name, given.data, batch=16, **options)
            rows += [row(label, what, times, beside) for what in ("save", "resume")]
            epoch = times.median("step") * beside.epoch_steps
            rows[-2] += f" {100 * times.median('save, tunery') / epoch:.2f} % |"
            rows[-1] += " |"
            saved[f"{label}, {options['steps']} steps"] = beside.saved
    print("| model | what | tunery, s | `Trainer`, s | + fsync, s | tunery / `Trainer` | MB | MB | of an epoch |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    ways = next(iter(saved.values()))
    print(f"\n| percent saved | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for label, found in saved.items():
        print(f"| {label} | {' | '.join(f'{found[way]:.1f}' for way in ways)} |")


def row(label: str, what: str, times: Times, beside: Beside) -> str:
    """One line of the first table."""
    ours, theirs = times.median(f"{what}, tunery"), times.median(f"{what}, Trainer")
    durable = f"{times.median('save, Trainer + fsync'):.3f}" if what == "save" else ""
    sizes = " | ".join(f"{beside.bytes[who] / MB:.0f}" for who in ("tunery", "Trainer"))
    return f"| {label} | {what} | {ours:.3f} | {theirs:.3f} | {durable} | {ours / theirs:.2f} | {sizes} |"


if __name__ == "__main__":
    main()
