"""A small GPT-2 from nothing: pretrained on one text, then adapted to another, fully and by LoRA.

    python benchmarks/language_models.py --data ../shared/data/tinyshakespeare --seeds 3 --out runs/language_models
    python benchmarks/language_models.py --data ../shared/data/tinyshakespeare --small --seeds 2 --out runs/small

A GPT-2 with random weights and a byte-level BPE tokenizer, trained on the training text alone, is pretrained with
`tunery train` on the three texts in `--data`. The model that it exports is scored on another text (`tunery evaluate`),
then adapted to it with `tunery compare --methods none,lora`. The other text is the project's own documentation,
README.md and docs/*.md without the generated configuration.md: modern prose with tables and code. Of each file the
first 80 % of the characters are training text, the next 10 % validation, the rest test, cut at the ends of paragraphs.
`--other FILE` takes a text of yours, which is cut likewise.

Printed is what tunery has recorded: intervals are over seeds and parts of the test text, seconds are of training. A
step whose record is in `--out` is not run again; one that was interrupted goes on. Arguments such as
`lora:optim.lr=1e-3` are handed to `tunery compare`. Nothing should be chosen on the perplexity of test.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from tunery.schema.config.peft import method_name

ROOT: Final = Path(__file__).resolve().parents[1]
SPLITS: Final = ("train", "validation", "test")
SHARES: Final = (0.8, 0.9, 1.0)
"""Where each split of the other text ends."""
END: Final = "<|endoftext|>"
RATES: Final = ("full:optim.lr=1e-3", "lora:optim.lr=5e-3")
"""Of the adaptation. In a try with a quarter of the width and one seed, the highest of 5e-4, 2e-3 and 5e-3 was the best
of both on validation; full fine-tuning has the rate of pretraining here, since wider models bear less. Tunery's default
for it, 5e-5, is made for models of a hundred million parameters and more."""


class Shape(NamedTuple):
    """Of the model, and of its training."""

    layers: int
    width: int
    heads: int
    context: int
    words: int
    epochs: int
    """Of pretraining."""
    adapted_epochs: int
    most: int | None
    """Characters of each text; None: all."""


FULL: Final = Shape(layers=4, width=256, heads=4, context=256, words=4000, epochs=8, adapted_epochs=8, most=None)
SMALL: Final = Shape(layers=2, width=64, heads=2, context=64, words=500, epochs=1, adapted_epochs=1, most=40_000)


def write_base(folder: Path, training_text: str, shape: Shape) -> None:
    """A GPT-2 with random weights, and a tokenizer that has seen the training text."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.words, initial_alphabet=alphabet, special_tokens=[END], show_progress=False
    )
    tokenizer.train_from_iterator([training_text], trainer)
    special = {"bos_token": END, "eos_token": END, "unk_token": END}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]
    config = GPT2Config(
        vocab_size=len(wrapped),
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)


def cut(text: str) -> dict[str, str]:
    """The splits of one text, cut at the paragraph's end before the wanted place."""
    ends = [match.end() for match in re.finditer(r"\n\s*\n|\Z", text)]
    places = [max((end for end in ends if end <= share * len(text)), default=0) for share in SHARES]
    return {name: text[start:end] for name, start, end in zip(SPLITS, [0, *places], places, strict=False)}


def documentation() -> list[str]:
    """The texts of the project's own pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page.read_text() for page in pages if page.name != "configuration.md"]


def write_splits(folder: Path, texts: Mapping[str, str], *, most: int | None) -> None:
    """One file a split."""
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text[:most])


def write_config(target: Path, *, texts: Path, model: Path, context: int, **sections: Any) -> Path:
    """A config in JSON, which is YAML too; paths are absolute."""
    document = {
        "task": "causal_lm",
        "data": {name: str((texts / f"{name}.txt").resolve()) for name in SPLITS},
        "model": {"name": str(model.resolve()), "max_length": context},
        **sections,
    }
    target.write_text(json.dumps(document, indent=1))
    return target


def tunery(*arguments: str | Path) -> str:
    """Run a verb in a process of its own; what it prints on standard output."""
    command = [sys.executable, "-m", "tunery", *map(str, arguments), "--json"]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def read(path: Path) -> dict[str, Any]:
    """A record."""
    return dict(json.loads(path.read_text()))


def pretrained(out: Path, shape: Shape) -> dict[str, Any]:
    """The record of the run on the first text."""
    config = write_config(
        out / "pretraining.yaml",
        texts=out / "texts" / "first",
        model=out / "base",
        context=shape.context,
        peft="none",
        optim={"lr": 1e-3, "weight_decay": 0.1},
        schedule={"name": "cosine", "warmup": 0.05},
        train={"epochs": shape.epochs, "batch_size": 8},
    )
    tunery("train", config, "--out", out / "pretrained")
    return read(out / "pretrained" / "result.json")


def before_adaptation(out: Path) -> dict[str, Any]:
    """Metrics of the pretrained model on the test part of the other text."""
    record = out / "before.json"
    if not record.exists():
        other = out / "texts" / "other" / "test.txt"
        record.write_text(tunery("evaluate", out / "pretrained", "--input", other))
    return dict(read(record)["metrics"])


def adapted(out: Path, shape: Shape, *, seeds: int, overrides: Sequence[str]) -> dict[str, Any]:
    """The record of the comparison on the other text."""
    config = write_config(
        out / "adaptation.yaml",
        texts=out / "texts" / "other",
        model=out / "pretrained" / "best",
        context=shape.context,
        train={"epochs": shape.adapted_epochs, "batch_size": 4},
    )
    asked = ("--methods", "none,lora", "--seeds", str(seeds), "--out", out / "adapted")
    tunery("compare", config, *RATES, *overrides, *asked)
    return read(out / "adapted" / "comparison.json")


def bits(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Bits per byte, the mean of some runs."""
    return f"{fmean(each['bits_per_byte'] for each in metrics):.3f}"


def row(name: str, text: str, *, score: Sequence[str], record: Mapping[str, Any] | None) -> str:
    """One line of the table.

    Args:
        score: perplexity, its interval and bits per byte.
        record: with `parameters`, `memory`, `disk_bytes` and the seconds of training; None: nothing was trained.
    """
    taken = ["–"] * 5
    if record is not None:
        parameters, memory = record["parameters"], record["memory"]
        seconds = record["seconds"]["train"] if isinstance(record["seconds"], dict) else record["seconds"]
        taken = [f"{parameters['trainable']:,}", f"{parameters['percent']:.3g} %", f"{seconds:,.0f}"]
        taken += [f"{memory['host_peak_bytes'] / 1e6:,.0f} MB", f"{record['disk_bytes'] / 1e6:.2f} MB"]
    return f"| {' | '.join([name, text, *taken[:2], *score, *taken[2:]])} |"


def table(first: Mapping[str, Any], before: Mapping[str, Any], comparison: Mapping[str, Any]) -> list[str]:
    """The lines of the table, and what the comparison says of it."""
    header = ["model", "text", "trained", "share", "perplexity", "95 % interval", "bits per byte"]
    header += ["seconds", "peak memory", "disk"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    test = first["metrics"]["test"]
    score = [f"{test['perplexity']:.2f}", "–", bits([test])]
    lines.append(row("pretrained", "first", score=score, record=first))
    lines.append(row("the same", "other", score=[f"{before['perplexity']:.2f}", "–", bits([before])], record=None))
    for method in comparison["methods"]:
        name = method["method"]
        cells = [cell["result"]["metrics"]["test"] for cell in comparison["cells"] if cell["method"] == name]
        score = [f"{method['mean']:.2f}", f"{method['low']:.2f} to {method['high']:.2f}", bits(cells)]
        lines.append(row(f"adapted, {method_name(name)}", "other", score=score, record=method))
    return [*lines, "", *comparison["verdicts"]]


def main() -> None:
    """Run what has not been run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.txt, validation.txt and test.txt")
    parser.add_argument("--other", type=Path, help="the other text; default: the project's documentation")
    parser.add_argument("--seeds", type=int, default=3, help="of the adaptation")
    parser.add_argument("--epochs", type=int, help=f"of pretraining; default: {FULL.epochs}")
    parser.add_argument("--adapted-epochs", type=int, help=f"of the adaptation; default: {FULL.adapted_epochs}")
    parser.add_argument("--small", action="store_true", help="a try in a minute or two: little text, a smaller model")
    parser.add_argument("--out", type=Path, default=Path("runs/language_models"))
    parser.add_argument("overrides", nargs="*", help="of `tunery compare`, such as lora:optim.lr=1e-3")
    given = parser.parse_intermixed_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    shape = SMALL if given.small else FULL
    shape = shape._replace(
        epochs=given.epochs or shape.epochs, adapted_epochs=given.adapted_epochs or shape.adapted_epochs
    )
    texts = given.out / "texts"
    if not (texts / "first").exists():
        first_texts = {name: (given.data / f"{name}.txt").read_text() for name in SPLITS}
        write_splits(texts / "first", first_texts, most=shape.most)
    if not (texts / "other").exists():
        parts = [cut(text) for text in (documentation() if given.other is None else [given.other.read_text()])]
        write_splits(texts / "other", {n: "".join(part[n] for part in parts) for n in SPLITS}, most=shape.most)
    if not (given.out / "base").exists():
        write_base(given.out / "base", (texts / "first" / "train.txt").read_text(), shape)
    first = pretrained(given.out, shape)
    before = before_adaptation(given.out)
    comparison = adapted(given.out, shape, seeds=given.seeds, overrides=given.overrides)
    print("\n".join(table(first, before, comparison)))


if __name__ == "__main__":
    main()
