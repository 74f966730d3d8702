"""Real data sets, where they are there: `$TUNERY_TEST_DATA`, or `shared/data` beside the checkout."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tunery.data.examples import Split
from tunery.schema.config.data import Data
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.tasks.table import label_names, read_splits

PLACE = Path(os.environ.get("TUNERY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def folder(name: str) -> Path:
    if not (PLACE / name).is_dir():
        pytest.skip(f"needs the data set {name} in $TUNERY_TEST_DATA or ../shared/data")
    return PLACE / name


def frequency(split: Split) -> Counter[str]:
    return Counter(label for example in split.examples for label in example.labels)


def test_banking77_gets_a_stratified_validation_split() -> None:
    place = folder("banking77")
    data = Data(train=str(place / "train.csv"), test=str(place / "test.csv"), label="category")
    splits = read_splits(data, ClassificationTask(), seed=0)
    assert [len(split.examples) for split in splits] == [9003, 1000, 3080]
    train, validation = frequency(splits.train), frequency(splits.validation)
    assert len(label_names(ClassificationTask(), data, splits.train.examples)) == len(validation) == 77
    assert all(abs(validation[label] - 0.1 * (train[label] + validation[label])) <= 1 for label in train)
    texts = [{" ".join(e.text.lower().split()) for e in split.examples} for split in splits]
    assert not texts[0] & texts[1]


def test_goemotions_has_lists_of_names_and_is_split_by_rare_labels() -> None:
    place = folder("goemotions")
    names = ("train", "validation", "test")
    read = read_splits(
        Data(**{name: str(place / f"{name}.jsonl") for name in names}, id="id"), MultilabelTask(), seed=0
    )
    assert [len(split.examples) for split in read] == [43410, 5426, 5427]
    assert len(label_names(MultilabelTask(), Data(train=""), read.train.examples)) == 28
    assert max(len(example.labels) for example in read.train.examples) > 1
    splits = read_splits(Data(train=str(place / "train.jsonl")), MultilabelTask(), seed=0)
    whole = frequency(read.train)
    for split in (splits.validation, splits.test):
        assert abs(len(split.examples) - 4341) <= 2
        share = {label: count / whole[label] for label, count in frequency(split).items()}
        assert len(share) == 28 and min(share.values()) > 0.07 and max(share.values()) < 0.13


def test_imdb_has_whole_numbers_as_labels() -> None:
    place = folder("imdb_small")
    data = Data(train=str(place / "train.jsonl"))
    splits = read_splits(data, ClassificationTask(), seed=0)
    assert label_names(ClassificationTask(), data, splits.train.examples) == ("0", "1")
    assert frequency(splits.validation) == {"0": 150, "1": 150}
