"""From a config's data section to three splits."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunery.errors import DataError
from tunery.schema.config.data import Data
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tasks.table import label_names, read_splits

ONE, ANY = ClassificationTask(), MultilabelTask()


def save(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows(count: int, *, labels: str = "ab") -> list[dict[str, Any]]:
    return [{"text": f"text {n}", "label": labels[n % len(labels)], "who": n // 4} for n in range(count)]


def test_named_splits_are_read_in_order(tmp_path: Path) -> None:
    train, test = save(tmp_path / "train.jsonl", rows(6)), save(tmp_path / "test.jsonl", rows(4))
    splits = read_splits(Data(train=train, validation=test, test=test, id="who"), ONE, seed=0)
    assert [split.name for split in splits] == ["train", "validation", "test"]
    assert [example.text for example in splits.train.examples] == [f"text {n}" for n in range(6)]
    assert (splits.train.source, splits.test.source) == (train, test)
    assert splits.train.examples[5].id == "1"
    assert splits.validation.digest == splits.test.digest != splits.train.digest


def test_missing_splits_are_split_off_and_digests_tell(tmp_path: Path) -> None:
    data = Data(train=save(tmp_path / "train.jsonl", rows(200)), validation_size=0.05, test_size=0.2)
    first, again, other = (read_splits(data, ONE, seed=seed) for seed in (0, 0, 1))
    assert [len(split.examples) for split in first] == [150, 10, 40]
    assert first == again
    assert all(one.digest != two.digest for one, two in zip(first, other, strict=True))
    assert first.validation.source == "split off from train (5 %, stratified, seed 0)"
    grouped = read_splits(data.model_copy(update={"group": "who"}), ONE, seed=7)
    assert grouped.test.source == "split off from train (20 %, stratified, grouped by who, seed 7)"
    groups = [{example.group for example in split.examples} for split in grouped]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_a_digest_is_that_of_lines_of_json(tmp_path: Path) -> None:
    """Records of earlier versions hold it."""
    texts = ['a "b"\n', "\u00e9\u2028", "\ud83d\ude00", "", "\\", " c "] * 400
    lines = [{"text": f"{one}{n}", "other": one, "labels": ["x", "\u00fc"][: n % 3]} for n, one in enumerate(texts)]
    path = save(tmp_path / "train.jsonl", lines)
    splits = read_splits(Data(train=path, test=path, validation=path, text_pair="other", id="text"), ANY, seed=0)
    lists = [[row["text"], row["other"], row["labels"], str(row["text"]).strip(), None] for row in lines]
    expected = hashlib.sha256("".join(json.dumps(row) + "\n" for row in lists).encode())
    assert splits.train.digest == expected.hexdigest()


def test_csv_and_jsonl_of_the_same_data_agree(tmp_path: Path) -> None:
    lines = [{"text": f"t{n}", "label": n % 2} for n in range(40)]
    jsonl = save(tmp_path / "train.jsonl", lines)
    (tmp_path / "train.csv").write_text("label,text\n" + "".join(f"{row['label']},{row['text']}\n" for row in lines))
    by_csv = read_splits(Data(train=str(tmp_path / "train.csv")), ONE, seed=0)
    by_json = read_splits(Data(train=jsonl), ONE, seed=0)
    assert [split.digest for split in by_csv] == [split.digest for split in by_json]
    assert label_names(ONE, Data(train=""), by_csv.train.examples) == ("0", "1")
    as_floats = [{**row, "label": float(row["label"])} for row in lines]
    by_float = read_splits(Data(train=save(tmp_path / "floats.jsonl", as_floats)), ONE, seed=0)
    assert label_names(ONE, Data(train=""), by_float.train.examples) == ("0.0", "1.0"), "labels are as they are written"


def test_multilabel_cells_and_flag_columns(tmp_path: Path) -> None:
    listed = [{"text": f"t{n}", "labels": ["a", "b"][: n % 3]} for n in range(30)]
    flagged = [{"text": row["text"], "a": int("a" in row["labels"]), "b": "b" in row["labels"]} for row in listed]
    by_list = read_splits(Data(train=save(tmp_path / "l.jsonl", listed)), ANY, seed=0)
    by_flag = read_splits(Data(train=save(tmp_path / "f.jsonl", flagged), labels=("a", "b")), ANY, seed=0)
    assert [split.digest for split in by_list] == [split.digest for split in by_flag]
    assert () in {example.labels for example in by_list.train.examples}


def test_pairs(tmp_path: Path) -> None:
    pairs = [{"text": "premise", "second": f"s{n}", "label": n % 2} for n in range(40)]
    splits = read_splits(Data(train=save(tmp_path / "p.jsonl", pairs), text_pair="second"), ONE, seed=0)
    assert splits.train.examples[0].text_pair == "s0" and len(splits.validation.examples) == 4


@pytest.mark.parametrize(
    ("broken", "data", "message"),
    [
        ({}, {"text": "txt"}, "there is no column 'txt' (data.text); did you mean 'text'? Columns there: text, label"),
        ({}, {"label": "y"}, "there is no column 'y' (data.label); choose from: label, text, who"),
        ({}, {"group": "q"}, "(data.group)"),
        (
            {"label": " "},
            {},
            "every row needs a label, but 1 of 30 rows have none (row 3); write `data.allow: [unlabelled]`",
        ),
        (
            {"label": ["a"]},
            {},
            "row 3: column 'label' must hold one value, but got a list: ['a']; several labels: task.kind=",
        ),
        ({"text": ["a"]}, {}, "row 3: column 'text' must hold a text, but got ['a']"),
    ],
)
def test_what_is_wrong_with_columns_and_cells(tmp_path: Path, broken: Any, data: Any, message: str) -> None:
    lines = rows(30)
    lines[2] |= broken
    with pytest.raises(DataError) as error:
        read_splits(Data(train=save(tmp_path / "train.jsonl", lines), **data), ONE, seed=0)
    assert message in str(error.value)


def test_only_the_first_bad_rows_are_named(tmp_path: Path) -> None:
    lines = [{**row, "label": []} for row in rows(30)]
    with pytest.raises(DataError, match=r"row 1: .*; row 2: .*; row 3: .*; and 27 more$"):
        read_splits(Data(train=save(tmp_path / "train.jsonl", lines)), ONE, seed=0)


def test_unseen_labels_stop_the_run_or_go(tmp_path: Path) -> None:
    train, test = save(tmp_path / "train.jsonl", rows(40)), save(tmp_path / "test.jsonl", rows(9, labels="abc"))
    with pytest.raises(DataError, match=r"these never do: test: 'c'; .*data.allow=\[unseen_labels\]"):
        read_splits(Data(train=train, test=test), ONE, seed=0)
    splits = read_splits(Data(train=train, test=test, allow=("unseen_labels",)), ONE, seed=0)
    assert len(splits.test.examples) == 6
    assert splits.notes == ("test: 3 rows left out for labels that train lacks: 'c'",)
    other = save(tmp_path / "other.jsonl", rows(9, labels="aB"))
    with pytest.raises(DataError, match=r"these never do: test: 'B' \(train has 'b'\);"):
        read_splits(Data(train=train, test=other), ONE, seed=0)
    only = save(tmp_path / "only.jsonl", rows(3, labels="c"))
    with pytest.raises(DataError, match="test has no row left"):
        read_splits(Data(train=train, test=only, allow=("unseen_labels",)), ONE, seed=0)


def test_what_cannot_be_split_off_says_so(tmp_path: Path) -> None:
    same = [{"text": "t", "label": "ab"[n % 2], "who": n % 2} for n in range(20)]
    with pytest.raises(DataError, match=r"validation cannot be split off from the 20 training rows: .*data.validation"):
        read_splits(Data(train=save(tmp_path / "train.jsonl", same), group="who"), ONE, seed=0)


def test_splits_of_a_hub_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    table = datasets.Dataset.from_list(rows(50))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, *, revision, split: table)
    splits = read_splits(Data(dataset="a/b", revision="c", train="train[:50]"), ONE, seed=0)
    assert splits.train.source == "a/b@c:train[:50]" and len(splits.test.examples) == 5


def test_many_rows_load_and_split(tmp_path: Path) -> None:
    data = Data(train=save(tmp_path / "train.jsonl", rows(50_000, labels="aaaaabbbcd")))
    assert len(read_splits(data, ONE, seed=0).validation.examples) == 5_000


def test_checking_data_needs_no_ml_stack() -> None:
    code = (
        "import sys, tunery.data.splits, tunery.tasks.table\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'pandas', 'pyarrow', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_share_that_is_too_small_is_named_with_one_that_will_do(tmp_path: Path) -> None:
    path = save(tmp_path / "train.jsonl", [{"text": f"t{n // 3}", "label": n // 3 % 2} for n in range(300)])
    for key in ("test_size", "validation_size"):
        with pytest.raises(DataError, match=rf"data.{key}=1e-300 is too small .* write data.{key}=0.005") as error:
            read_splits(Data(train=path, **{key: 1e-300}), ONE, seed=0)
        assert "name a file as data." in str(error.value)
        assert len(read_splits(Data(train=path, **{key: 0.005}), ONE, seed=0).train.examples) < 300
