"""Features of training rows: computed once for all runs of a folder, with the same bits as if they were not shared."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from transformers import BertModel

from tiny_runs import StopAt, config, write_rows
from tunery import compare, fit, search
from tunery.comparison.comparison_store import write_records
from tunery.schema import RunConfig
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.config.model import LinearHead
from tunery.schema.results.comparison import ComparisonResult
from tunery.store.disk.ownership import FEATURES
from tunery.store.study import StudyStore
from tunery.train import fit as run
from tunery.train.loop.baselines import known_baselines
from tunery.train.setup.prepare import prepare

QUICK = {"epochs": 1, "batch_size": 8, "eval_batch_size": 16, "baselines": []}
TRAIN, OTHERS = 60, 24 + 24
"""Training rows, of which 12 are left for the last batch of 16, and rows of validation and test."""


def settings(model: Path, folder: Path, *, init: str = "probe", **sections: Any) -> RunConfig:
    files = write_rows(folder)
    spec = {"name": str(model), "max_length": 32, "precision": "fp32", "head": {"kind": "auto", "init": init}}
    return config(str(model), files, **{"model": spec, "peft": {"method": "lora"}, "train": QUICK, **sections})


def kept(root: Path) -> dict[str, int]:
    """The features that lie below a folder now, and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (root / FEATURES).glob("*")}


def freed(root: Path) -> Counter[str]:
    """How often each file of features was removed."""
    events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return Counter(event["path"] for event in events if event["path"].startswith(f"{FEATURES}/"))


@contextmanager
def rows_read() -> Iterator[list[int]]:
    """Rows of every pass through a whole model in this process."""
    rows: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, BertModel):
            rows.append(len(output.last_hidden_state))

    hook = register_module_forward_hook(count)
    try:
        yield rows
    finally:
        hook.remove()


def trial(asked: RunConfig, study: Path, number: int) -> str:
    """Train a trial; the digest of its best weights."""
    return run.fit(asked, out=study / "trials" / str(number), study=study).checkpoints[0].digest


@pytest.mark.parametrize("peft", ["lora", "probe"])
def test_trials_read_what_the_first_has_computed_and_come_out_bit_for_bit_as_alone(
    tiny_bert: Path, tmp_path: Path, peft: str
) -> None:
    seeds = {seed: settings(tiny_bert, tmp_path, peft={"method": peft}, seed=seed) for seed in (0, 1)}
    study, rule = tmp_path / "study", Checkpoint(keep_best=9)
    seeds = {seed: asked.model_copy(update={"checkpoint": rule}) for seed, asked in seeds.items()}
    together = [trial(seeds[0], study, 0), trial(seeds[1], study, 1)]
    first = kept(study)
    assert trial(seeds[1], study, 2) == together[1] and kept(study) == first and len(first) == 1
    alone = [trial(asked, tmp_path / f"alone-{seed}", 0) for seed, asked in seeds.items()]
    assert alone == together


def test_what_is_damaged_is_computed_again(tiny_bert: Path, tmp_path: Path) -> None:
    asked, study = settings(tiny_bert, tmp_path), tmp_path / "study"
    whole = trial(asked, study, 0)
    ((name, _),) = kept(study).items()
    path = study / FEATURES / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert trial(asked.model_copy(update={"name": "again"}), study, 1) == whole
    assert path.read_bytes() == content


def test_a_run_in_whose_budget_there_is_no_room_for_them_is_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    asked = settings(tiny_bert, tmp_path)
    whole, study = trial(asked, tmp_path / "roomy", 0), tmp_path / "tight"
    others = study / "features" / f"{'0' * 32}.safetensors"
    others.parent.mkdir(parents=True)
    others.write_bytes(bytes(10_000_000))  # of other rows; they go when the run needs their room for its weights
    checkpoint = asked.checkpoint.model_copy(update={"max_disk": 10_001_000})
    assert trial(asked.model_copy(update={"checkpoint": checkpoint}), study, 0) == whole
    assert freed(study) == {str(others.relative_to(study)): 1} and not kept(study)


def test_a_probe_beside_a_run_and_the_start_of_its_head_share_them_and_its_end_frees_them(
    tiny_bert: Path, tmp_path: Path
) -> None:
    """LoRA begins as its base does, bit for bit."""
    rows = {}
    for baselines in ((), ("probe",)):
        asked = settings(tiny_bert, tmp_path, train={**QUICK, "baselines": baselines})
        with rows_read() as read:
            result = fit(asked, out=tmp_path / str(len(baselines)))
        rows[baselines] = sum(read)
        assert tuple(baseline.method for baseline in result.baselines) == baselines
        assert list(freed(tmp_path / str(len(baselines))).values()) == [1]
        assert not (tmp_path / str(len(baselines)) / FEATURES).exists()
    assert rows[()] > TRAIN and rows["probe",] - rows[()] < OTHERS + TRAIN / 2


def test_what_does_not_begin_as_its_base_has_its_own(tiny_bert: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    for number, method in enumerate(("lora", "ia3", "none", "prefix")):
        trial(settings(tiny_bert, tmp_path, peft={"method": method}), study, number)
        assert len(kept(study)) == (2 if method == "prefix" else 1), method


def test_other_rows_lengths_and_poolings_have_their_own(tiny_bert: Path, tmp_path: Path) -> None:
    """Also where rows differ that are not the longest. Batches of evaluation change nothing."""
    study, base = tmp_path / "study", settings(tiny_bert, tmp_path)
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    shortest = min(range(TRAIN), key=lambda number: len(json.loads(lines[number])["text"].split()))
    (tmp_path / "other").mkdir()
    other = settings(tiny_bert, tmp_path / "other")
    lines[shortest] = lines[shortest].replace("train", "story")
    (tmp_path / "other" / "train.jsonl").write_text("\n".join(lines))
    head = LinearHead(pooling="cls", init="probe")
    changed = [
        base,
        other,
        base.model_copy(update={"model": base.model.model_copy(update={"max_length": 8})}),
        base.model_copy(update={"model": base.model.model_copy(update={"head": head})}),
    ]
    for number, asked in enumerate(changed):
        run.fit(asked, out=study / "trials" / str(number), study=study)
        (study / "data.json").unlink()  # the rows that the study remembers
        assert len(kept(study)) == number + 1
    trial(base.model_copy(update={"train": base.train.model_copy(update={"eval_batch_size": 24})}), study, len(changed))
    assert len(kept(study)) == len(changed)


def test_the_cells_of_a_comparison_share_them_and_its_end_frees_them(tiny_bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "comparison"
    asked = settings(tiny_bert, tmp_path)
    seen = []

    def write(result: ComparisonResult, out: Path) -> None:
        seen.append(kept(out))
        write_records(result, out)

    result = compare(asked, methods=["probe", "lora"], seeds=2, out=out, write=write)
    assert [cell.status for cell in result.cells] == ["completed"] * 4
    assert len(seen) == 5 and all(each == seen[0] for each in seen[:4]) and len(seen[0]) == 1
    assert list(freed(out).values()) == [1] and not list(out.rglob(FEATURES))
    (out / FEATURES).mkdir()  # as if the process had been killed before it cleared them
    (out / FEATURES / f"{'0' * 32}.safetensors").write_bytes(b"left")
    compare(asked, methods=["probe", "lora"], seeds=2, out=out)
    assert not (out / FEATURES).exists()


def test_a_study_shares_them_with_its_trials_and_its_end_frees_them(tiny_bert: Path, tmp_path: Path) -> None:
    """The probe beside the study, the probe that is its first trial, and heads that begin as it."""
    out, seen = tmp_path / "study", []

    class Watch:
        def started(self, title: str, *, number: int, total: int) -> None:
            """Nothing."""

        def ended(self, record: object) -> None:
            seen.append(kept(out))

        def say(self, text: str) -> None:
            if text.startswith("probe: validation"):
                seen.append(kept(out))

    document = settings(tiny_bert, tmp_path, train={**QUICK, "baselines": ["probe"]}).model_dump(mode="json")
    document["optim"] = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    document["search"] = {"n_trials": 3, "rescore": None}
    result = search(document, out=out, engine="here", observer=Watch())
    assert len(result.baselines) == 1 and [trial.status for trial in result.trials] == ["completed"] * 3
    assert len(seen) == 4 and all(each == seen[0] for each in seen) and len(seen[0]) == 1
    assert list(freed(out).values()) == [1] and not (out / FEATURES).exists()


def test_a_run_that_was_killed_goes_on_with_them_or_frees_them(tiny_bert: Path, tmp_path: Path) -> None:
    asked, out = settings(tiny_bert, tmp_path, checkpoint={"every": 2}), tmp_path / "run"
    with pytest.raises(MemoryError):
        run.fit(asked, [StopAt(3, "crash")], out=out)
    assert len(kept(out)) == 1
    run.fit(asked, out=out)
    assert not (out / FEATURES).exists()
    (out / FEATURES).mkdir()
    (out / FEATURES / f"{'0' * 32}.safetensors").write_bytes(b"left")
    (out / "progress.json").write_text("{}")  # as if it had been killed right after it had written its result
    run.fit(asked, out=out)
    assert not (out / FEATURES).exists()


def test_a_probe_beside_a_run_reads_so_many_rows_of_each_label_its_share(tiny_bert: Path, tmp_path: Path) -> None:
    asked = settings(tiny_bert, tmp_path, init="random", train={**QUICK, "baselines": ["majority", "probe"]})
    prepared, said = prepare(asked), list[str]()
    (tmp_path / "run").mkdir()
    store = StudyStore(tmp_path / "run", asked.checkpoint, direction="maximize")
    majority, probe = known_baselines(asked, prepared, store, say=said.append, probe_rows=20)
    assert (majority.train_rows, probe.train_rows) == (None, 20)
    assert said[0].endswith(" s") and said[1].endswith(" s, fitted to 20 of 60 training rows")
    ((name, _),) = kept(tmp_path / "run").items()
    features = store.features.find(name.removesuffix(".safetensors"))
    assert features is not None and features.shape == (20, 32)
    assert json.loads((tmp_path / "run" / "baselines.json").read_text())[1]["train_rows"] == 20
