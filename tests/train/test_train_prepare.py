"""Data that is prepared once for all runs that can share it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, write_evidence_rows, write_rows
from tunery.errors import DataError
from tunery.schema import RunConfig
from tunery.train.setup.prepare import examine, prepare


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return write_rows(tmp_path)


def run(model: Path, files: dict[str, str], /, max_length: int = 32, **sections: Any) -> RunConfig:
    given = {"name": str(model), "max_length": max_length, **sections.pop("model", {})}
    return config("", files, model=given, **sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 1},
        {"model": {"precision": "bf16", "head": {"kind": "linear"}}},
        {"model": {"quantization": "nf4"}, "peft": {"method": "lora"}},
        {"task": {"kind": "classification", "loss": {"name": "focal"}}},
    ],
)
def test_runs_that_read_the_same_tokens_share_them(
    tiny_bert: Path, files: dict[str, str], sections: dict[str, Any]
) -> None:
    assert prepare(run(tiny_bert, files, **sections)) is prepare(run(tiny_bert, files))


def test_other_lengths_share_the_rows_and_stay_known(tiny_bert: Path, files: dict[str, str]) -> None:
    first = [prepare(run(tiny_bert, files, length)) for length in (8, 16, 32)]
    assert [prepared.encoded["train"].lengths.max() for prepared in first] == sorted(
        {8, 16, first[2].encoded["train"].lengths.max()}
    )
    assert len({id(prepared.splits) for prepared in first}) == 1
    assert all(prepare(run(tiny_bert, files, length)) is one for length, one in zip((8, 16, 32), first, strict=True))


def test_rows_that_change_are_read_again(tiny_bert: Path, tmp_path: Path, files: dict[str, str]) -> None:
    before = prepare(run(tiny_bert, files))
    lines = (tmp_path / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:-2]))
    assert len(prepare(run(tiny_bert, files)).splits.train.examples) == len(before.splits.train.examples) - 2


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_metric_that_cannot_exist_on_a_split_is_said_before_training(
    tiny_bert: Path, tmp_path: Path, files: dict[str, str], split: str
) -> None:
    path = tmp_path / f"{split}.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if '"good"' in line))
    data = {**files, "allow": ["single_class"]}
    area = run(tiny_bert, data, search={"objective": "roc_auc"})
    (found,) = [finding for finding in examine(area).findings if finding.code == "undefined_metric"]
    assert found.split == split and f"roc_auc needs a label that some rows of {split} have" in found.message
    if split == "test":
        assert found.level == "warning" and prepare(area).findings[0] == found
        return
    with pytest.raises(DataError, match="choose another search.objective, or other rows for validation"):
        prepare(area)
    watched = run(tiny_bert, data, train={"early_stopping": {"metric": "pr_auc"}})
    with pytest.raises(DataError, match=r"pr_auc needs .* another train.early_stopping.metric"):
        prepare(watched)
    assert not [finding for finding in examine(run(tiny_bert, data)).findings if finding.code == "undefined_metric"]


@pytest.mark.parametrize("metric", ["joint", "evidence_hit_at_1"])
def test_a_metric_of_evidence_needs_evidence(tiny_bert: Path, tmp_path: Path, metric: str) -> None:
    files = write_evidence_rows(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    unmarked = "".join(json.dumps({**row, "evidence": []}) + "\n" for row in rows)
    (tmp_path / "validation.jsonl").write_text(unmarked)
    area = run(tiny_bert, files, task={"kind": "criteria_evidence"}, search={"objective": metric})
    with pytest.raises(DataError, match=f"{metric} needs evidence in rows of validation, but none has any; choose"):
        prepare(area)
