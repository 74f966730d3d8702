"""The synthetic posts: reproducible, consistent, and not solvable by counting words."""

import csv
import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

POSTS = Path(__file__).resolve().parents[2] / "examples" / "posts"
SPLITS = ("train", "validation", "test")
ALL = pytest.mark.parametrize("split", SPLITS)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_posts_{name}", POSTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load("generate")


def rows(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (POSTS / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def table(name: str) -> list[dict[str, str]]:
    with (POSTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?]) ", text)


def test_generator_rewrites_the_committed_bytes(generator: ModuleType, tmp_path: Path) -> None:
    generator.generate(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == 9
    assert [name for name, content in written.items() if content != (POSTS / name).read_bytes()] == []


def test_sample_stays_small() -> None:
    assert sum(path.stat().st_size for path in POSTS.rglob("*") if path.suffix != ".pyc") < 1_000_000


def test_no_line_of_the_bank_serves_two_splits(generator: ModuleType) -> None:
    for path in sorted((POSTS / "bank").glob("*.txt")):
        sections = generator.read_sections(path)
        shares = [generator.share_of(split, sections) for split in SPLITS]
        for name, lines in sections.items():
            dealt = [line for share in shares for line in share[name]]
            assert sorted(dealt) == sorted(lines), f"{path.name} [{name}]"
            assert len(set(lines)) == len(lines), f"{path.name} [{name}] says something twice"
            assert all(share[name] for share in shares), f"{path.name} [{name}] leaves a split without a line"


def test_splits_share_no_annotated_sentence_and_no_post() -> None:
    annotated = {split: {row["sentence_text"] for row in table(f"{split}_annotations.csv")} for split in SPLITS}
    texts = {split: {row["text"] for row in rows(split)} for split in SPLITS}
    for found in (annotated, texts):
        assert not found["train"] & found["validation"]
        assert not found["train"] & found["test"]
        assert not found["validation"] & found["test"]


@ALL
def test_annotations_point_into_their_posts(split: str) -> None:
    posts = {row["post_id"]: row["text"] for row in table(f"{split}_posts.csv")}
    for row in table(f"{split}_annotations.csv"):
        assert sentences(posts[row["post_id"]])[int(row["sentence_id"].rpartition("-")[2])] == row["sentence_text"]
        assert row["status"] in ("0", "1") and row["explanation"]


@ALL
def test_labels_are_the_criteria_with_evidence(split: str) -> None:
    met: dict[str, set[str]] = {row["post_id"]: set() for row in table(f"{split}_posts.csv")}
    for row in table(f"{split}_annotations.csv"):
        if row["status"] == "1":
            met[row["post_id"]].add(row["DSM5_symptom"])
    assert {row["id"]: set(row["labels"]) for row in rows(split)} == met
    assert {row["post_id"]: row["text"] for row in table(f"{split}_posts.csv")} == {
        r["id"]: r["text"] for r in rows(split)
    }


@ALL
def test_denied_and_met_never_meet_in_one_post(split: str) -> None:
    status: dict[tuple[str, str], set[str]] = {}
    for row in table(f"{split}_annotations.csv"):
        status.setdefault((row["post_id"], row["DSM5_symptom"]), set()).add(row["status"])
    assert all(len(found) == 1 for found in status.values())


@ALL
def test_every_label_occurs_and_the_split_is_imbalanced(split: str, generator: ModuleType) -> None:
    found = rows(split)
    counts = Counter(label for row in found for label in row["labels"])
    assert set(counts) == set(generator.FREQUENCIES)
    assert min(counts.values()) >= 10
    assert max(counts.values()) >= 2 * min(counts.values())
    assert 0.18 <= sum(not row["labels"] for row in found) / len(found) <= 0.32


@ALL
def test_posts_are_three_to_twelve_sentences_and_marked_synthetic(split: str) -> None:
    for row in rows(split):
        assert 3 <= len(sentences(row["text"])) <= 12
        assert row["id"].startswith("syn-")
        assert "{" not in row["text"]


def test_counting_words_does_not_solve_it() -> None:
    scores = load("baseline").baseline(POSTS)
    assert 0.3 < sum(scores.values()) / len(scores) < 0.7


def test_a_lexicon_finds_some_of_the_evidence_as_the_readme_says() -> None:
    hits = load("baseline").lexicon_hits(POSTS)
    assert 0.5 < hits < 0.85 and f"| {hits:.3f} |" in (POSTS / "README.md").read_text(encoding="utf-8")


def test_readme_says_synthetic_and_counts_right() -> None:
    readme = (POSTS / "README.md").read_text(encoding="utf-8")
    assert "synthetic" in readme.lower()
    counts = {split: Counter(label for row in rows(split) for label in row["labels"] or ["(none)"]) for split in SPLITS}
    for label in counts["train"]:
        numbers = " | ".join(str(counts[split][label]) for split in SPLITS)
        assert f"| {label} | {numbers} |" in readme
