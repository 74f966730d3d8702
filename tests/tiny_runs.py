"""Small labelled files and configs that train in a second."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback

from tunery.schema import RunConfig
from tunery.schema.reading.document import validate

WORDS = {"good": ["great", "good", "happy", "love"], "bad": ["bad", "sad", "terrible", "hate"]}
FILLER = ["the", "film", "was", "and", "we", "day", "it", "very", "with", "this"]


def write_rows(folder: Path, *, multilabel: bool = False, rows: int = 60, mark: str = "") -> dict[str, str]:
    """Write three splits and return the `data` section's file names; every text ends with the `mark`."""
    random.seed(0)
    files = {}
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": rows, "validation": 24, "test": 24}.items():
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(_row(split, n, multilabel, mark)) + "\n" for n in range(count)))
        files[split] = str(path)
    return files


def write_number_rows(folder: Path, *, levels: bool = False, rows: int = 60) -> dict[str, str]:
    """The same with a number in place of a label: how many more good words than bad ones there are, times ten and some
    noise; or, of levels, 1 to 4."""
    draw, files = random.Random(0), {}
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": rows, "validation": 24, "test": 24}.items():
        lines = []
        for number in range(count):
            good = number % 4
            clues = [*draw.choices(WORDS["good"], k=good), *draw.choices(WORDS["bad"], k=3 - good)]
            words = [*clues, *draw.choices(FILLER, k=draw.randint(3, 9)), split, str(number)]
            draw.shuffle(words)
            value = good + 1 if levels else round(10 * (2 * good - 3) + draw.gauss(0, 3), 2)
            lines.append(json.dumps({"id": f"{split}-{number}", "text": " ".join(words), "label": value}) + "\n")
        files[split] = str(folder / f"{split}.jsonl")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return files


CLUES = {"sleep": "awake all night", "mood": "sad and empty", "energy": "too tired"}


def write_evidence_rows(folder: Path, *, rows: int = 60) -> dict[str, str]:
    """The same with any number of labels and their evidence: whole sentences, two in every text and up to five."""
    draw, files = random.Random(0), {}
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": rows, "validation": 24, "test": 24}.items():
        lines = []
        for number in range(count):
            labels = draw.sample(sorted(CLUES), number % 3)
            parts = [(f"I was {CLUES[label]} {split} {number}.", label) for label in labels]
            parts += [(f"The {draw.choice(FILLER)} film {k} was {draw.choice(FILLER)}.", "") for k in range(2)]
            draw.shuffle(parts)
            text, spans = "", []
            for sentence, label in parts:
                text += " " * bool(text)
                spans += [[len(text), len(text) + len(sentence), label]] if label else []
                text += sentence
            row = {"id": f"{split}-{number}", "text": text, "labels": labels, "evidence": spans}
            lines.append(json.dumps(row) + "\n")
        files[split] = str(folder / f"{split}.jsonl")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return {**files, "evidence": "evidence"}


FILES: Final[dict[str, Callable[[Path], dict[str, str]]]] = {
    "classification": write_rows,
    "multilabel": partial(write_rows, multilabel=True),
    "criteria_evidence": write_evidence_rows,
    "regression": write_number_rows,
    "levels": partial(write_number_rows, levels=True),
    "causal_lm": write_rows,
    "mlm": write_rows,
}
"""How files are written that each task reads, the ordinal one beside the other numbers."""
BASES: Final = {"causal_lm": "tiny_gpt2", "mlm": "tiny_masked_lm"}
"""Fixtures with the models of tasks that need another than `tiny_bert`."""


def files_with(mark: str, folder: Path) -> list[str]:
    """Which files below a folder hold the mark, in the order of their names."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files if mark.encode() in path.read_bytes())


def _row(split: str, number: int, multilabel: bool, mark: str) -> dict[str, Any]:
    label = ("good", "bad")[number % 2]
    words = [random.choice(WORDS[label]), *random.choices(FILLER, k=random.randint(3, 14)), split, str(number)]
    random.shuffle(words)
    given = {"labels": [label] if number % 5 else []} if multilabel else {"label": label}
    return {"id": f"{split}-{number}", "text": " ".join([*words, mark] if mark else words), **given}


def config(model: str, files: dict[str, str], /, *, kind: str = "classification", **sections: Any) -> RunConfig:
    """A short run on a tiny model; sections given here replace the defaults."""
    document = {
        "task": {"kind": kind},
        "data": files,
        "model": {"name": model, "max_length": 32, "precision": "fp32"},
        "optim": {"name": "adamw", "lr": 3e-3},
        "train": {"epochs": 2, "batch_size": 8, "log_every": 2},
    }
    return validate({**document, **sections})


def after_steps(number: int) -> Any:
    """Asks to leave when it was asked so many times, which is once a step."""
    asked = 0

    def stop() -> str | None:
        nonlocal asked
        asked += 1
        return "a test" if asked > number else None

    return stop


def native(model: str | Path) -> dict[str, Any]:
    """The `model` section of the same with the architecture's own head, which plain transformers reads."""
    return {"name": str(model), "max_length": 32, "precision": "fp32", "head": "native"}


class StopAt(TrainerCallback):
    """Ends the process' work at one step: by a signal, or as a crash would."""

    def __init__(self, step: int, how: str) -> None:
        self.step, self.how = step, how

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step and self.how == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        elif state.global_step == self.step:
            raise MemoryError("crash")


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
