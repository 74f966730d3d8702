"""Kills `tunery train` and `tunery search` at random moments and looks whether anything is lost.

    python benchmarks/crash.py --data ../shared/data/imdb_small --kills 200
    python benchmarks/crash.py --data ../shared/data/imdb_small --kills 20 --tiny --fork

First each command runs undisturbed. Then it is started again and again in new folders; SIGKILL takes its whole process
group, half of the times after a random time (spread evenly over the life of the undisturbed one), half of the times
right before a random operation on the disk. The same command is given again, perhaps to be killed again, until it
ends. Compared with the undisturbed one, bit for bit: the best weights, every resume point (weights, optimizer, random
states), `metrics.jsonl`, and the results: scores, or all trials with their values. A killed search must go on with the
same trial at the step of its newest resume point. Exit code 1 if anything differs.

`--task` takes another task than classification on the same texts: numbers are how many words a text has, levels what is
left of that when it is divided by four; `folds` is classification with cross-validation, `pretraining` classification
after two stages of continued pretraining, in which a process may die as well. `--tiny` builds a small model for it;
`--fork` takes its processes from one that has everything imported (seconds to the first step are then without the
imports). Half of the kills are for `train`, half for `search`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from killed import Kill, Place

CONFIG = """
task: {task}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, test: {data}/test.jsonl{folds}}}
model: {{name: {model}, max_length: 64, precision: fp32}}
peft: {{method: lora, r: 4, dropout: 0.1}}
regularization: {regularization}
pretrain: {pretrain}
train: {{epochs: 3, batch_size: {batch}, log_every: 1}}
checkpoint: {{every: 3}}
optim: {{name: adamw, lr: {lr}, weight_decay: {decay}}}
search: {{n_trials: {trials}, pruner: {{name: none}}}}
"""
TASKS = {
    "classification": {"task": "{kind: classification}", "regularization": "{token_dropout: 0.1}"},
    "regression": {"task": "{kind: regression}", "regularization": "{token_dropout: 0.1}"},
    "levels": {"task": "{kind: regression, ordinal: true}", "regularization": "{token_dropout: 0.1}"},
    "causal_lm": {"task": "{kind: causal_lm}", "regularization": "{}"},
    "mlm": {"task": "{kind: mlm, masking: span, probability: 0.3}", "regularization": "{}"},
    "folds": {"task": "{kind: classification}", "regularization": "{token_dropout: 0.1}"},
    "pretraining": {"task": "{kind: classification}", "regularization": "{token_dropout: 0.1}"},
}
PRETRAIN = "{{lr: 1.0e-2, batch_size: 8, dapt: {{corpus: {data}/train.jsonl, epochs: 2}}, tapt: {{epochs: {epochs}}}}}"
"""Of `pretraining`: what a base learns before the run, or before all trials that take so many epochs of it."""
NUMBERS: dict[str, Callable[[str], int]] = {
    "regression": lambda text: len(text.split()),
    "levels": lambda text: len(text.split()) % 4,
}
VALUES = {
    "train": {"lr": "1.0e-3", "decay": "0.01", "batch": "8", "epochs": "2"},
    "search": {
        "lr": "{low: 1.0e-4, high: 1.0e-2, log: true}",
        "decay": "{low: 0.0, high: 0.1}",
        "batch": "[8, 16]",
        "epochs": "[0, 1, 2]",
    },
}
SAME = ("status", "objective", "metrics", "epochs", "best_epoch", "config", "data")
"""What two records of equal runs share; times and places differ."""


def outcome(out: Path) -> dict[str, Any]:
    """Everything that has to be equal, by what it is called."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("best/**/*.safetensors")):
        found[f"weights {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(out.rglob("metrics.jsonl")):
        found[f"metrics {path.parent.relative_to(out)}"] = path.read_text()
    for path in sorted(out.rglob("result.json")):
        record = json.loads(path.read_text())
        kept = [(entry["step"], entry["digest"]) for entry in record["checkpoints"]]
        found[f"result {path.parent.relative_to(out)}"] = {"kept": kept, **{key: record[key] for key in SAME}}
    if (out / "study.json").exists():
        record = json.loads((out / "study.json").read_text())
        keys = ("number", "status", "value", "params", "epochs", "history")
        found["trials"] = [{key: trial[key] for key in keys} for trial in record["trials"]]
        found["winner"] = record["best"]
    return found


def points(notes: Sequence[dict[str, Any]]) -> dict[tuple[str, int], set[str]]:
    """Digests of the resume points, by run and step; a point that was saved twice must have been the same twice."""
    found: dict[tuple[str, int], set[str]] = {}
    for entry in notes:
        if entry["what"] == "point":
            found.setdefault((entry["run"], entry["step"]), set()).add(entry["digest"])
    return found


def lines(found: dict[str, Any]) -> Counter[tuple[str, int, str]]:
    """How often each metric stands there."""
    return Counter(
        (name, line["step"], line["name"])
        for name, text in found.items()
        if name.startswith("metrics")
        for line in map(json.loads, text.splitlines())
    )


def newest_points(out: Path) -> dict[str, int | None]:
    """Run that has begun -> step of its newest resume point, 0 if it has none; None where it is finished."""
    from tunery.store.objects.objects import Objects
    from tunery.store.resume import ResumePoints

    found: dict[str, int | None] = {}
    for run in (path.parent for path in out.rglob("config.yaml")):
        newest = ResumePoints(run / "resume", Objects(out / "objects")).points()[:1]
        step = newest[0].step if newest else 0
        found[str(run.relative_to(out))] = None if (run / "result.json").exists() else step
    return found


@dataclass
class Tally:
    """What happened to all processes of one command."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    resumed: int = 0
    equal: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def show(self, verb: str) -> None:
        """Print it."""
        where = ", ".join(f"{count} {name}" for name, count in self.kills.most_common())
        print(f"{verb}: {self.kills.total()} kills ({where}) of {self.runs} runs")
        print(f"  resumed {self.resumed}, bit for bit equal {self.equal}", end="")
        print(f"; lines of metrics lost {self.lost}, doubled {self.doubled}")
        if self.seconds:
            worst = max(self.seconds)
            print(f"  from start to first new step: {median(self.seconds):.1f} s, at most {worst:.1f} s")
        for problem in self.problems:
            print(f"  DIFFERENT: {problem}")


@dataclass
class Torment:
    """One command, killed and started again, and what it gives undisturbed."""

    verb: str
    place: Callable[[Path], Place]
    folder: Path
    draw: random.Random
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """The undisturbed run."""
        whole, started = self.place(self.folder / f"{self.verb}-whole"), time.time()
        _, code = whole.run(Kill())
        if code != 0:
            raise SystemExit(f"{self.verb} fails undisturbed:\n{whole.out.with_suffix('.log').read_text()[-3000:]}")
        self.life = time.time() - started
        self.wanted, self.points = outcome(whole.out), points(whole.noted())
        self.operations = whole.noted()[-1]["operations"]
        self.last = {run: max(step for name, step in self.points if name == run) for run, _ in self.points}
        print(f"{self.verb}: {self.life:.1f} s undisturbed, {self.operations} operations on the disk", flush=True)

    def kill_often(self, times: int) -> Tally:
        """Kill so many processes."""
        moments = [(place + self.draw.random()) / times for place in range(times)]
        self.draw.shuffle(moments)
        kills = [self._kill(moment, number) for number, moment in enumerate(moments)]
        while self.tally.kills.total() < times:
            self._one_run(kills, times)
        return self.tally

    def _kill(self, moment: float, number: int) -> Kill:
        return Kill(operation=1 + int(moment * self.operations)) if number % 2 else Kill(seconds=moment * self.life)

    def _one_run(self, kills: list[Kill], times: int) -> None:
        self.tally.runs += 1
        place = self.place(self.folder / f"{self.verb}-{self.tally.runs}")
        waiting: dict[str, int | None] = {}
        for _ in range(min(self.draw.choice((1, 2, 3)), times - self.tally.kills.total())):
            kill = kills.pop() if kills else self._kill(self.draw.random(), self.draw.randrange(2))
            pid, code = place.run(kill)
            self._continued(place, pid, waiting)
            if code != -signal.SIGKILL:
                break
            self.tally.kills[_where(place, pid)] += 1
            waiting = newest_points(place.out)
        else:
            pid, code = place.run(Kill())
            self._continued(place, pid, waiting)
        self._compare(place, code)

    def _continued(self, place: Place, pid: int, waiting: dict[str, int | None]) -> None:
        """Whether a process that was started after a kill has gone on where the one before it had to stop: of the runs
        in the order in which the undisturbed command trained them, with the first that was not trained to its end."""
        own = [entry for entry in place.noted() if entry["pid"] == pid]
        self.tally.seconds += [entry["seconds"] for entry in own if entry["what"] == "step" and waiting]
        begun = [(entry["run"], entry["step"]) for entry in own if entry["what"] == "begin"]
        steps = {run: waiting.get(run, 0) for run in self.last}
        left = [(run, step) for run, step in steps.items() if step is not None and step < self.last[run]]
        if begun and waiting and left and begun[0] != left[0]:
            self.tally.problems.append(f"{place.out.name} went on at {begun[0]} and not at {left[0]}")

    def _compare(self, place: Place, code: int) -> None:
        if code != 0:
            text = place.out.with_suffix(".log").read_text()[-1500:]
            self.tally.problems.append(f"{place.out.name} ended with exit code {code}: {text}")
            return
        self.tally.resumed += 1
        found = outcome(place.out)
        differ = sorted(name for name in found.keys() | self.wanted.keys() if found.get(name) != self.wanted.get(name))
        saved = points(place.noted())
        differ += [f"point {key}" for key, digests in saved.items() if digests != self.points.get(key)]
        self.tally.equal += not differ
        self.tally.problems += [f"{place.out.name}: {', '.join(differ)}"] if differ else []
        have, want = lines(found), lines(self.wanted)
        self.tally.lost += (want - have).total()
        self.tally.doubled += sum(count - 1 for count in have.values())


def _where(place: Place, pid: int) -> str:
    """What a process had done last."""
    last = [entry["what"] for entry in place.noted() if entry["pid"] == pid][-1:]
    names = {"begin": "training", "step": "training", "point": "training", "trained": "scoring and exporting"}
    return names[last[0]] if last else "loading"


# Putting it together


def take_rows(source: Path, target: Path, rows: int, *, task: str) -> None:
    """A small part of the data, with numbers in place of labels where the task learns them."""
    target.mkdir()
    for split in ("train", "validation", "test"):
        with (source / f"{split}.jsonl").open(encoding="utf-8") as whole:
            some = [json.loads(line) for line in islice(whole, rows)]
        if task in NUMBERS:
            some = [{**row, "label": NUMBERS[task](row["text"])} for row in some]
        (target / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")


def build_tiny(folder: Path, data: Path, *, task: str) -> None:
    """A random BERT, or GPT-2, of two layers that knows the words of the training texts."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    texts = [json.loads(line)["text"] for line in (data / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    words = Counter(word for text in texts for word in text.split())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate([*special, *sorted(words)[:4000]])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    inputs = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **names)  # type: ignore[no-untyped-call]
    fast.save_pretrained(folder)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    torch.manual_seed(0)
    if task == "causal_lm":
        gpt2 = GPT2Config(vocab_size=len(vocabulary), n_embd=32, n_layer=2, n_head=2, bos_token_id=3, eos_token_id=3)
        GPT2LMHeadModel(gpt2).save_pretrained(folder)
    else:
        BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), pad_token_id=0, **sizes)).save_pretrained(folder)


def apart(action: Callable[[], None]) -> None:
    """Act in a process of its own, so that this one starts no threads and may go on forking."""
    pid = os.fork()
    if not pid:
        action()
        os._exit(0)
    os.waitpid(pid, 0)


def import_all() -> None:
    """Whatever a run imports, so that a fork of this process starts at once."""
    import tunery.cli.watch_study
    import tunery.hpo.session
    import tunery.train.artifacts.export
    import tunery.train.loop.console
    import tunery.train.run_report  # noqa: F401


def main() -> int:
    """Kill both commands and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/validation/test.jsonl")
    parser.add_argument("--task", choices=TASKS, default="classification")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--tiny", action="store_true", help="a small model, built here")
    parser.add_argument("--fork", action="store_true", help="processes that have everything imported")
    parser.add_argument("--rows", type=int, default=64, help="rows of each split")
    parser.add_argument("--trials", type=int, default=4, help="trials of each study")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import_all()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, model = folder / "data", folder / "tiny"
        take_rows(given.data, data, given.rows, task=given.task)
        if given.tiny:
            apart(partial(build_tiny, model, data, task=given.task))
        tallies = []
        for verb, values in VALUES.items():
            config = folder / f"{verb}.yaml"
            names = {"data": data, "model": model if given.tiny else given.model, "trials": given.trials}
            is_pretrained = given.task == "pretraining"
            names["pretrain"] = PRETRAIN.format(data=data, epochs=values["epochs"]) if is_pretrained else "{}"
            names["folds"] = ", folds: 3" if given.task == "folds" else ""
            config.write_text(CONFIG.format(**names, **TASKS[given.task], **values))
            place = partial(Place, [verb, str(config)], given.fork)
            torment = Torment(verb, place, folder, random.Random(f"{given.seed} {verb}"))
            tallies.append(torment.kill_often(given.kills // 2))
            tallies[-1].show(verb)
        return int(any(tally.problems for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
