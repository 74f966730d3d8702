"""Records of studies and runs that never took place, as realistic as a seeded generator makes them."""

import math
import random
from collections import Counter
from typing import Any

from tunery.hpo.analysis.stopped_early import pruned_by_epoch, seconds_saved
from tunery.schema.results.comparison import Cell, ComparisonResult, MethodSummary
from tunery.schema.results.record import Objective
from tunery.schema.results.run import (
    DataRecord,
    Environment,
    Memory,
    Metrics,
    Parameters,
    RunResult,
    Seconds,
    SplitRecord,
    Tokens,
)
from tunery.schema.results.storage import Disk, Storage, StoredItem
from tunery.schema.results.study import BestTrial, EnsembleGain, Importance, Rescored, StudyResult, TrialRecord

EPOCHS = 10

METHODS = (
    *(
        "none",
        "bitfit",
        "lora",
        "dora",
        "rslora",
        "pissa",
        "vera",
        "adalora",
        "ia3",
        "houlsby",
        "pfeiffer",
        "compacter",
    ),
    *("prefix", "prompt", "frozen", "lora-r4", "lora-r32", "last-2-layers", "head-only", "lora-all-linear-layers"),
)
"""Names of methods; the first is the baseline."""


def make_params(draw: random.Random) -> dict[str, Any]:
    """A conditional space: `peft.*` below lora only, `optim.momentum` below sgd only."""
    params: dict[str, Any] = {"peft.method": draw.choice(["lora", "lora", "none"])}
    if params["peft.method"] == "lora":
        params["peft.r"] = draw.choice([4, 8, 16, 32])
        params["peft.target"] = draw.choice([["query", "value"], ["query", "key", "value", "output"]])
        params["peft.dropout"] = draw.uniform(0, 0.2)
    params["optim.lr"] = 10 ** draw.uniform(-5, -2.7)
    params["optim.weight_decay"] = draw.uniform(0, 0.1)
    params["schedule.name"] = draw.choice(["linear", "cosine", "constant"])
    params["train.batch_size"] = draw.choice([8, 16, 32])
    params["regularization.gradient_clipping"] = draw.choice([None, 1.0, 5.0])
    return params


def make_history(params: dict[str, Any], draw: random.Random) -> list[float]:
    peak = 0.86 - 0.09 * abs(math.log10(params["optim.lr"]) + 3.4) - 0.02 * (params["peft.method"] == "none")
    peak += draw.gauss(0, 0.015)
    return [max(0.02, peak - 0.4 * math.exp(-epoch / 2.2) + draw.gauss(0, 0.008)) for epoch in range(1, EPOCHS + 1)]


def make_trial(number: int, draw: random.Random, earlier: list[list[float]]) -> TrialRecord:
    params, speed = make_params(draw), draw.uniform(20, 60)
    history = make_history(params, draw)
    if draw.random() < 0.05:
        reason = "NonFiniteLoss: the loss became NaN at step 40 <script>alert('reason')</script>"
        return TrialRecord(
            number=number, status="failed", value=None, params=params, seconds=speed, epochs=0.4, reason=reason
        )
    for epoch, value in enumerate(history[:-1], start=1):
        column = sorted(other[epoch - 1] for other in earlier)
        if number >= 8 and epoch >= 2 and column and value < column[len(column) // 2]:
            return TrialRecord(
                number=number,
                status="pruned",
                value=max(history[:epoch]),
                params=params,
                seconds=speed * epoch,
                epochs=epoch,
                reason=f"below the median {column[len(column) // 2]:.4f} after epoch {epoch}",
                history=tuple(history[:epoch]),
            )
    earlier.append(history)
    return TrialRecord(
        number=number,
        status="completed",
        value=max(history),
        params=params,
        seconds=speed * EPOCHS,
        epochs=EPOCHS,
        history=tuple(history),
    )


def make_per_label(labels: list[str], draw: random.Random) -> dict[str, dict[str, Any]]:
    return {
        label: {
            "precision": draw.uniform(0.7, 1),
            "recall": draw.uniform(0.6, 1),
            "f1": draw.uniform(0.5, 1),
            "support": draw.randint(3, 240),
        }
        for label in labels
    }


def make_labels(count: int) -> list[str]:
    topics = ["card_arrival", "lost_or_stolen_card", "exchange_rate", "pin_blocked", "refund_not_showing_up"]
    return [topics[i] if i < len(topics) else f"intent_{i:02d}" for i in range(count)]


def make_metrics(value: float, labels: list[str], draw: random.Random) -> dict[str, Any]:
    return {
        "f1_macro": value,
        "accuracy": value + 0.02,
        "mcc": value - 0.05,
        "roc_auc": None,
        "ece": 0.031,
        "loss": 0.42,
        "per_label": make_per_label(labels, draw),
        "confusion_matrix": [
            [40 if i == j else (3 * i + j) % 5 == 1 for j in range(len(labels))] for i in range(len(labels))
        ],
    }


def make_config(params: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": "banking77-lora",
        "seed": 0,
        "task": {"kind": "classification"},
        "data": {"train": "data/train.jsonl", "validation": None, "test": "data/test.jsonl", "text": "text"},
        "model": {"name": "minilm", "max_length": 128},
        "peft": {"method": "none"},
        "optim": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01, "betas": (0.9, 0.999)},
        "schedule": {"name": "linear", "warmup": 0.1},
        "regularization": {"gradient_clipping": 1.0},
        "train": {"epochs": EPOCHS, "batch_size": 16},
        "tracking": [{"kind": "tensorboard"}],
    }
    for path, value in params.items():
        section, _, key = path.partition(".")
        config[section][key] = value
    return config


def make_study(trials: int = 60, *, labels: int = 5, seed: int = 3, name: str = "banking77-lora") -> StudyResult:
    draw, earlier = random.Random(seed), list[list[float]]()
    made = tuple(make_trial(number, draw, earlier) for number in range(trials))
    done = [trial for trial in made if trial.status == "completed"]
    winner = max(done, key=lambda trial: trial.value or 0.0)
    best = BestTrial(
        number=winner.number,
        value=winner.value or 0.0,
        config=make_config(winner.params),
        test=make_metrics((winner.value or 0.0) - 0.013, make_labels(labels), draw),
    )
    return StudyResult(
        name=name,
        objective="f1_macro",
        direction="maximize",
        best=best,
        trials=made,
        counts={**Counter(trial.status for trial in made), "total": len(made)},
        pruned_by_epoch=pruned_by_epoch(made),
        seconds_saved=seconds_saved(made, epochs=EPOCHS),
        disk=Disk(bytes=71_000_000 + 4_000_000 * trials, keep_all_bytes=182_000_000 * 6 * trials),
        seconds=sum(trial.seconds for trial in made),
    )


def make_searched_study(
    trials: int = 60, *, params: int = 10, objectives: tuple[str, ...] = ("f1_macro",), seed: int = 3
) -> StudyResult:
    """A study with everything that a search leaves: importance, other seeds, ensembles, costs, notes.

    `params` beyond those of `make_params` are added, half of them below one method only.
    """
    plain, draw = make_study(trials, seed=seed), random.Random(seed + 1)
    made = tuple(with_more(trial, params, objectives[1:], draw) for trial in plain.trials)
    sign = 1 if plain.direction == "maximize" else -1
    done = sorted((t for t in made if t.status == "completed"), key=lambda trial: -sign * (trial.value or 0.0))
    rescored = make_rescored([trial for trial in done[:5]], draw)
    winner = next(trial for trial in done if trial.number == rescored[0].number)
    assert plain.best is not None
    best = plain.best.model_copy(
        update={"number": winner.number, "value": winner.value, "config": make_config(winner.params)}
    )
    changes = {
        "trials": made,
        "best": best,
        "objectives": objectives,
        "directions": (plain.direction, *("minimize" for _ in objectives[1:])),
        "front": make_front(done) if len(objectives) > 1 else (),
        "rescored": rescored,
        "importance": make_importance(made, draw),
        "ensembles": make_ensembles([trial.number for trial in done[:5]], done[0].value or 0.0),
        "notes": ("4 members of the ensemble were left out: their weights are gone",),
    }
    return plain.model_copy(update=changes)


def with_more(trial: TrialRecord, params: int, costs: tuple[str, ...], draw: random.Random) -> TrialRecord:
    """The same trial with more parameters, what it took, and now and then a note."""
    more = {
        f"model.extra_{i:02d}": 10 ** draw.uniform(-4, -1) if i % 3 else draw.choice(["relu", "gelu", "silu"])
        for i in range(params - 9)
        if i % 2 or trial.params["peft.method"] == "lora"
    }
    scale = {"memory": 2e9, "seconds": trial.seconds, "parameters": 3e5, "disk": 2e6}
    taken = {cost: scale[cost] * 10 ** draw.uniform(-0.8, 0.8) * (trial.value or 0.5) ** 2 for cost in costs}
    note = draw.choice(["continued by another process", "micro-batch halved to 1,024 tokens", *[None] * 30])
    return trial.model_copy(
        update={"params": trial.params | more, "beside": taken, "notes": (note,) if note is not None else ()}
    )


def make_front(done: list[TrialRecord]) -> tuple[int, ...]:
    def beats(one: TrialRecord, other: TrialRecord) -> bool:
        better = [one.value >= other.value, *(one.beside[cost] <= other.beside[cost] for cost in one.beside)]
        return all(better) and (one.value, one.beside) != (other.value, other.beside)

    some = done[:300]
    return tuple(sorted(one.number for one in some if not any(beats(other, one) for other in some)))


def make_rescored(best: list[TrialRecord], draw: random.Random) -> tuple[Rescored, ...]:
    rows = []
    for trial in best:
        values = (trial.value or 0.0, *((trial.value or 0.0) + draw.gauss(-0.006, 0.004) for _ in range(2)))
        mean = sum(values) / len(values)
        rows.append(Rescored(number=trial.number, seeds=(0, 1, 2), values=values, mean=mean))
    return tuple(sorted(rows, key=lambda row: -row.mean))


def make_importance(trials: tuple[TrialRecord, ...], draw: random.Random) -> dict[str, tuple[Importance, ...]]:
    found = {}
    paths = list(dict.fromkeys(path for trial in trials for path in trial.params))
    for name in ("ped_anova", "fanova"):
        weights = {path: (12.0 if path == "optim.lr" else 1.0) * draw.random() ** 3 for path in paths}
        total = sum(weights.values())
        rows = [
            Importance(path=path, share=weight / total, trials=sum(path in trial.params for trial in trials))
            for path, weight in weights.items()
        ]
        found[name] = tuple(sorted(rows, key=lambda row: -row.share))
    return found


def make_ensembles(members: list[int], value: float) -> tuple[EnsembleGain, ...]:
    gains = {"mean": 0.0051, "weighted": 0.0064, "vote": 0.0, "soup": -0.0032}
    return tuple(
        EnsembleGain(method=method, trials=tuple(members), value=value + gain, single=value, gain=gain)
        for method, gain in gains.items()
    )


def make_empty_study(status: str = "failed", *, trials: int = 2) -> StudyResult:
    """A study without a completed trial."""
    made = tuple(
        TrialRecord(number=i, status=status, value=None, params={"optim.lr": 1e-3}, seconds=3, epochs=0, reason="no")
        for i in range(trials)
    )
    return StudyResult(
        name="nothing",
        objective="f1_macro",
        direction="maximize",
        best=None,
        trials=made,
        counts={status: trials, "total": trials},
        disk=Disk(bytes=0, keep_all_bytes=0),
        seconds=3.0 * trials,
    )


def make_run(*, labels: int = 5, value: float | None = 0.8423, status: str = "completed", **changes: Any) -> RunResult:
    draw, names = random.Random(5), make_labels(labels)
    counts = {label: draw.randint(20, 400) for label in names}
    splits = {
        split: SplitRecord(rows=rows, digest=f"{digit}" * 64, source=source, labels=counts)
        for split, rows, digit, source in (
            ("train", 9002, "a", "data/train.jsonl"),
            ("validation", 1001, "b", "split off from train (10 %, stratified, seed 0)"),
            ("test", 3080, "c", "data/test.jsonl"),
        )
    }
    result = RunResult(
        status=status,
        objective=Objective(name="f1_macro", value=value, direction="maximize"),
        metrics=Metrics(
            validation=make_metrics(value, names, draw) if value is not None else {},
            test=make_metrics(value - 0.01, names, draw) if value is not None else None,
        ),
        parameters=Parameters(trainable=147_840, total=22_861_056, percent=0.6467),
        seconds=Seconds(load=2.1, train=312.0, evaluate=21.0, total=335.1),
        memory=Memory(host_peak_bytes=1_730_000_000),
        disk_bytes=620_000,
        written_bytes=9_300_000,
        tokens=Tokens(real=1_200_000, processed=1_310_000),
        epochs=5.0,
        best_epoch=4,
        config=make_config({"peft.method": "lora", "peft.r": 8}),
        base="sha256:" + "0" * 64,
        environment=Environment(
            python="3.12.4",
            packages={"torch": "2.8.0", "transformers": "5.23.0", "peft": "0.21.0"},
            platform="Linux x86_64, 8 cores",
            device="cpu",
            precision="bf16",
            precision_reason="the CPU has AMX",
        ),
        data=DataRecord(
            splits=splits,
            findings=(
                "12 rows stand twice in train; they count twice. Remove them or set data.allow.",
                "0.4 % of the validation rows are cut at 128 tokens; the longest has 181.",
            ),
        ),
    )
    return result.model_copy(update=changes)


def make_lines(epochs: int = 5, *, steps: int = 560) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl` of one run."""
    draw, lines = random.Random(1), list[dict[str, Any]]()
    for step in range(10, epochs * steps + 1, 10):
        loss = 0.25 + 1.7 * math.exp(-step / 600) + draw.gauss(0, 0.09)
        lines.append({"step": step, "epoch": step / steps, "name": "train/loss", "value": max(0.01, loss)})
        lines.append({"step": step, "epoch": step / steps, "name": "train/lr", "value": 1e-3 * (1 - step / 3000)})
        if step % steps == 0:
            epoch = step // steps
            score = 0.85 - 0.5 * math.exp(-epoch / 1.5) - 0.012 * max(0, epoch - 4)
            lines.append({"step": step, "epoch": epoch, "name": "validation/f1_macro", "value": score})
            lines.append({"step": step, "epoch": epoch, "name": "validation/loss", "value": 0.4 + math.exp(-epoch)})
    return lines


def make_summary(name: str, draw: random.Random, values: list[float], **changes: Any) -> MethodSummary:
    """A method whose seeds reached `values`."""
    mean = sum(values) / len(values) if values else None
    trained = 22_861_056 if name == "none" else int(10 ** draw.uniform(3, 6.2))
    seconds = draw.uniform(35, 300) if values else None
    summary = MethodSummary(
        method=name,
        seeds=len(values),
        mean=mean,
        low=None if mean is None else mean - draw.uniform(0.004, 0.012),
        high=None if mean is None else mean + draw.uniform(0.004, 0.012),
        validation=None if mean is None else mean + 0.008,
        parameters=Parameters(trainable=trained, total=22_861_056, percent=100 * trained / 22_861_056),
        seconds=seconds,
        total_seconds=None if seconds is None else 1.15 * seconds,
        tokens_per_second=None if seconds is None else 400_000 / seconds,
        memory=Memory(host_peak_bytes=int(draw.uniform(0.7e9, 2.1e9))) if values else None,
        disk_bytes=4.0 * trained + 30_000,
    )
    return summary.model_copy(update=changes)


def make_cells(name: str, values: list[float], *, first_seed: int = 0) -> list[Cell]:
    return [
        Cell(
            method=name,
            seed=seed,
            status="completed",
            value=value,
            folder=f"cells/{name}/{seed}",
            result=make_run(value=value + 0.01),
        )
        for seed, value in enumerate(values, start=first_seed)
    ]


def make_comparison(methods: int = 8, *, seeds: int = 3, seed: int = 4, spread: float = 0.006) -> ComparisonResult:
    """A comparison whose last method failed with its last seed, if there are several seeds."""
    draw, cells, summaries = random.Random(seed), list[Cell](), list[MethodSummary]()
    baseline = 0.0
    for place, name in enumerate(METHODS[:methods]):
        centre = 0.86 - draw.uniform(0, 5 * spread) * (place > 0)
        values = [centre + draw.gauss(0, spread) for _ in range(seeds)]
        failed = place == methods - 1 and seeds > 1
        cells += make_cells(name, values[: seeds - failed])
        cells += [make_failed_cell(name, seeds - 1)] if failed else []
        summary = make_summary(name, draw, values[: seeds - failed], failed=int(failed))
        baseline = baseline or summary.mean or 0.0
        summaries.append(summary if place == 0 else compared(summary, baseline, draw))
    return ComparisonResult(
        name="banking77-methods",
        objective="f1_macro",
        direction="maximize",
        baseline=METHODS[0],
        seeds=tuple(range(seeds)),
        methods=tuple(summaries),
        cells=tuple(cells),
        verdicts=(
            *(f"{s.method}: {s.mean:.4f} against {baseline:.4f} of none: not significant" for s in summaries[1:]),
            "best trade-off of score against training seconds: none, lora",
        ),
        best=cells[0],
        disk=Disk(bytes=93_000_000, keep_all_bytes=4_100_000_000),
        seconds=sum(s.total_seconds or 0.0 for s in summaries) * seeds,
        environment=make_run().environment,
    )


def make_failed_cell(name: str, seed: int) -> Cell:
    reason = "NonFiniteLoss: the loss became NaN at step 40 <script>alert('reason')</script>"
    folder = f"cells/{name}/{seed}"
    return Cell(method=name, seed=seed, status="failed", value=None, folder=folder, reason=reason, result=None)


def compared(summary: MethodSummary, baseline: float, draw: random.Random) -> MethodSummary:
    """The same with a difference to the baseline, which is tested where there are two seeds."""
    difference = (summary.mean or 0.0) - baseline
    reach, tested = draw.uniform(0.006, 0.018), summary.seeds > 1
    changes = {
        "difference": difference,
        "difference_low": difference - reach if tested else None,
        "difference_high": difference + reach if tested else None,
        "p_value": (0.0004 if abs(difference) > reach else 0.21) if tested else None,
        "significant": abs(difference) > reach if tested else None,
    }
    return summary.model_copy(update=changes)


def make_storage(resume: int = 2, *, orphans: int = 0, keep_all: int = 216_000_000) -> Storage:
    """A study that keeps its winner, an equal of it, and the training state of a running trial."""
    digest = "ab12" * 16
    items = [
        StoredItem(path="best", kind="export", why="export of trial 7, the best", bytes=720_000),
        StoredItem(path=f"objects/{digest}.safetensors", kind="best", why="best epoch of trial 7", bytes=310_000),
        StoredItem(path="objects/ff.safetensors", kind="co_best", why="epoch 4 of trial 7, an equal", bytes=305_000),
        *(
            StoredItem(path=f"trials/9/resume/step-{n}.json", kind="resume", why=f"resume point at step {n}", bytes=n)
            for n in range(10, 10 * resume + 1, 10)
        ),
        *(
            StoredItem(path=f".x.{n}.tmp", kind="orphan", why="left by a process that is gone", bytes=1_000 * n)
            for n in range(1, orphans + 1)
        ),
        StoredItem(path="study.db", kind="records", why="the study's database", bytes=84_000),
    ]
    ordered = tuple(sorted(items, key=lambda item: -item.bytes))
    weights = sum(item.bytes for item in items if item.kind != "records")
    return Storage(items=ordered, bytes=weights, record_bytes=84_000, keep_all_bytes=keep_all)
