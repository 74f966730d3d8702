"""What `tunery init` makes of files it has never seen."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.data.first_config.infer import Guess, guess, render, suggested_name
from tunery.errors import DataError
from tunery.schema import RunConfig, load_config, load_document
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.run import default_lr
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains

REAL = Path(os.environ.get("TUNERY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason="real data not there (../shared/data, $TUNERY_TEST_DATA)"
)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sentence(number: int) -> str:
    return f"this is sentence number {number} and it says something about {number * 7} different things"


def config_of(found: Guess, folder: Path) -> RunConfig:
    path = folder / f"{suggested_name(found)}.yaml"
    path.write_text(render(found, folder), encoding="utf-8")
    return load_config(path)


def test_the_config_that_is_written_is_the_config_that_is_read(tmp_path: Path) -> None:
    rows = [{"id": n, "text": sentence(n), "label": "abc"[n % 3]} for n in range(90)]
    path = write(tmp_path / "mails" / "train.csv", rows[:60])
    write(tmp_path / "mails" / "dev.csv", rows[60:70])
    write(tmp_path / "mails" / "test.jsonl", rows[70:])
    found = guess(path)
    assert (found.kind, found.text, found.label, found.id) == ("classification", "text", ("label",), "id")
    assert found.counts == {"a": 20, "b": 20, "c": 20} and found.max_length == 64
    text = render(found, tmp_path / "mails")
    assert text.startswith("# tunery train mails.yaml --out runs/mails\n")
    assert "train: train.csv" in text and "validation: dev.csv" in text and "test: test.jsonl" in text
    config = config_of(found, tmp_path / "mails")
    assert Path(config.data.train) == path.resolve()
    assert (config.name, config.peft.method, config.lr, config.train.epochs) == ("mails", "lora", 1e-3, "auto")
    assert str(path.resolve().as_posix()) in render(found, tmp_path / "elsewhere")
    assert render(found, tmp_path, name="other").startswith("# tunery train other.yaml --out runs/other\n")


def test_what_was_seen_is_told_to_people_and_to_programs(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [{"text": sentence(n), "label": "ab"[n % 2]} for n in range(40)])
    write(tmp_path / "test.csv", [{"text": sentence(n), "label": "ab"[n % 2]} for n in range(40, 50)])
    found = guess(path)
    assert found.explain() == (
        "rows:    40 in train.csv",
        "splits:  test test.csv; validation split off from train",
        "task:    classification, 2 labels: a 20, b 20",
        "columns: text = text, label = label",
        "length:  95 % of the rows have at most about 19 tokens: max_length 64",
    )
    summary = json.loads(json.dumps(found.summary()))
    assert (summary["label"], summary["files"]["train"], summary["max_length"]) == (["label"], str(path), 64)


@pytest.mark.parametrize(
    ("piece", "tokens", "max_length"),
    [
        ("这部电影非常好看", 90, 128),
        ("ภาพยนตร์เรื่องนี้ดี", 211, 256),
        ("この映画はPythonです ", 94, 128),
        ("이 영화는 좋다 ", 45, 64),
    ],
)
def test_texts_without_spaces_are_counted_by_characters(
    tmp_path: Path, piece: str, tokens: int, max_length: int
) -> None:
    rows = [{"text": piece * (3 + number % 9), "label": number % 2} for number in range(90)]
    found = guess(write(tmp_path / "films.jsonl", rows))
    assert (
        found.explain()[-1] == f"length:  95 % of the rows have at most about {tokens} tokens: max_length {max_length}"
    )
    assert config_of(found, tmp_path).model.max_length == max_length
    assert f"at most about {tokens} tokens" in render(found, tmp_path)


def test_the_commented_ranges_are_a_space(tmp_path: Path) -> None:
    path = write(tmp_path / "mails.csv", [{"text": sentence(n), "label": n % 2} for n in range(20)])
    lines = render(guess(path), tmp_path).splitlines()
    ranges = {line.split("#")[1].split(":")[0].strip(): line for line in lines if line.endswith("# range")}
    assert ranges.keys() == {"method", "r", "lr", "epochs", "batch_size"}
    opened = [line for line in lines if line in ranges.values() or line.split(":")[0].strip() not in ranges]
    config = tmp_path / "space.yaml"
    config.write_text("\n".join(re.sub(r"^  # (.*)# range$", r"  \1", line) for line in opened), encoding="utf-8")
    document = load_document(config)
    assert len(domains(document)) == 5
    check_space(document)
    rate = domains(document)["optim.lr"]
    assert all(rate.low <= method.default_lr <= rate.high for method in (Lora, NoPeft))


@pytest.mark.parametrize("override", ["peft.method=none", "peft=ia3", "optim.name=sgd", "peft.method=pfeiffer"])
def test_another_method_or_optimizer_over_the_config_has_its_own_rate(tmp_path: Path, override: str) -> None:
    path = write(tmp_path / "mails.csv", [{"text": sentence(n), "label": n % 2} for n in range(20)])
    config = tmp_path / "mails.yaml"
    config.write_text(render(guess(path), tmp_path), encoding="utf-8")
    changed = load_config(config, [override])
    assert changed.lr == default_lr(changed.optim, peft=changed.peft, freeze=changed.freeze)


def test_a_split_without_labels_is_left_out(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "target": n % 2} for n in range(40)]
    path = write(tmp_path / "train.csv", rows)
    write(tmp_path / "test.csv", [{"text": sentence(n)} for n in range(5)])
    found = guess(path)
    assert found.files == {"train": path}
    assert found.notes == ("test.csv has no column 'target' and is left out: test is split off from train",)
    assert "# Note: test.csv has no column 'target'" in render(found, tmp_path)


@pytest.mark.parametrize(
    ("labels", "kind", "separator"),
    [
        (lambda n: {"tags": ["red", "blue"][: n % 3]}, "multilabel", None),
        (lambda n: {"tags": ["red", "red|blue", "blue|green", "green"][n % 4]}, "multilabel", "|"),
        (lambda n: {"tags": ["red", "red, blue", "blue, green", "green"][n % 4]}, "multilabel", ","),
        (
            lambda n: {"toxic": int(n % 5 == 0), "insult": int(n % 7 == 0), "threat": int(n % 3 == 0)},
            "multilabel",
            None,
        ),
        (lambda n: {"spam": "NY"[n % 5 == 0], "rude": "NY"[n % 7 == 0]}, "multilabel", None),
        (lambda n: {"tags": "['red' 'blue']" if n % 2 else "['red']"}, "multilabel", None),
        (lambda n: {"verdict": ["yes", "no"][n % 2]}, "classification", None),
        (lambda n: {"spam": n % 2 == 0}, "classification", None),
        (lambda n: {"class": ["arts, crafts", "music, dance"][n % 2]}, "classification", None),
        (lambda n: {"label": n % 2, "note": n % 7, "flag": n % 3 == 0}, "classification", None),
    ],
)
def test_labels_in_every_shape(tmp_path: Path, labels: Any, kind: str, separator: str | None) -> None:
    path = write(tmp_path / "t.jsonl", [{"text": sentence(n), **labels(n)} for n in range(60)])
    found = guess(path)
    assert (found.kind, found.separator) == (kind, separator)
    config = config_of(found, tmp_path)
    assert config.task.kind == kind
    named = config.data.label if kind == "classification" else config.data.labels
    assert ((named,) if isinstance(named, str) else named) == found.label
    if separator:
        assert (found.counts.keys(), config.data.label_separator) == ({"red", "blue", "green"}, separator)


def test_flags_by_position_are_refused_with_the_remedy(tmp_path: Path) -> None:
    vectors = ([1, 0, 0], [0, 1, 0], [0, 1, 1])
    rows = [{"text": sentence(n), "labels": vectors[n % 3]} for n in range(40)]
    for name in ("t.csv", "t.jsonl"):
        path = write(tmp_path / name, rows)
        for label in ("labels", None):
            with pytest.raises(DataError, match="one flag per label without their names"):
                guess(path, label=label)


def test_half_of_a_character_keeps_no_file_from_being_looked_at(tmp_path: Path) -> None:
    rows = [{"text": f"{sentence(n)} \ud83d", "label": "ab"[n % 2]} for n in range(40)]
    found = guess(write(tmp_path / "t.jsonl", rows))
    assert (found.text, found.label) == ("text", ("label",))
    render(found, tmp_path).encode()
    with pytest.raises(DataError, match="row 1: column 'label' must hold whole characters"):
        guess(write(tmp_path / "t.jsonl", [{**row, "label": row["label"] + "\ud83d"} for row in rows]))


def test_lists_in_a_csv_are_lists(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "tags": json.dumps(["a", "b"][: n % 3]), "spans": f"[[{n}, 5]]"} for n in range(40)]
    found = guess(write(tmp_path / "t.csv", rows))
    assert (found.kind, found.label, found.separator) == ("multilabel", ("tags",), None)


def test_pairs_ids_and_groups(tmp_path: Path) -> None:
    rows = [
        {
            "pair_id": f"p{n}",
            "author": f"u{n // 2}",
            "premise": sentence(n),
            "hypothesis": f"so {n}",
            "gold": "ab"[n % 2],
        }
        for n in range(80)
    ]
    found = guess(write(tmp_path / "nli.jsonl", rows))
    assert (found.text, found.text_pair, found.label) == ("premise", "hypothesis", ("gold",))
    assert (found.id, found.group) == ("pair_id", "author")
    data = config_of(found, tmp_path).data
    assert (data.text_pair, data.id, data.group) == ("hypothesis", "pair_id", "author")


def test_names_are_preferred_to_their_numbers(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": n % 3, "label_text": "abc"[n % 3]} for n in range(60)]
    found = guess(write(tmp_path / "t.jsonl", rows))
    assert found.label == ("label_text",)
    assert found.notes == ("'label_text' is taken; it says in words what 'label' says in numbers",)


def test_texts_in_two_splits_are_accepted_in_the_open_or_not_at_all(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": "ab"[n % 2]} for n in range(400)]
    path = write(tmp_path / "train.jsonl", rows[:300])
    write(tmp_path / "test.jsonl", [*rows[300:], rows[0]])
    text = render(guess(path), tmp_path)
    assert re.search(
        r"^  allow: \[shared_rows\] +# rows whose text is in two splits: 1 \(at most 1.0 % of one\)", text, re.M
    )
    write(tmp_path / "test.jsonl", [*rows[300:], *rows[:50]])
    with pytest.raises(
        DataError, match=r"50 rows are in two of train, test \(up to 33.3 % of one\).*--allow shared_rows"
    ):
        guess(path)
    assert config_of(guess(path, allow=["shared_rows"]), tmp_path).data.allow == ("shared_rows",)


def test_what_is_ambiguous_is_asked_with_what_was_seen(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "mood": "ab"[n % 2], "place": "cd"[n // 2 % 2]} for n in range(60)]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(
        DataError,
        match=r"(?s)2 could be \(mood, place\)\. Pass --label with one of: mood, place\..*  mood: short values, 2 diff",
    ):
        guess(path)
    assert guess(path, label="place").label == ("place",)
    with pytest.raises(DataError, match="--label names a column, but 'plaec' is none; did you mean 'place'"):
        guess(path, label="plaec")
    with pytest.raises(DataError, match="--text names a column, but 'x' is none"):
        guess(path, text="x")
    twins = write(tmp_path / "u.csv", [{"left": sentence(n), "right": sentence(n + 9), "y": n % 2} for n in range(60)])
    with pytest.raises(
        DataError,
        match=r"2 look like it \(left, right\)\. Pass --text with one of: left, right; if they belong together, --text "
        r"left,right joins them \(data.text\); if they are compared, pass --text left --text-pair right",
    ):
        guess(twins)
    assert guess(twins, text="right").text == "right"
    assert guess(twins, text="left,right").text == ("left", "right")
    paired = guess(twins, text="left", text_pair="right")
    assert (paired.text, paired.text_pair) == ("left", "right")


def test_nothing_to_learn_from_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"(?s)'score' holds numbers with fractions, such as 0.5: a score.*score: scores from 0.5 to 49.5",
    ):
        path = write(tmp_path / "a.jsonl", [{"text": sentence(n), "score": n + 0.5} for n in range(50)])
        guess(path, label="score", kind="classification")
    marks = {3: "n/a", 7: "3,5"}
    path = write(tmp_path / "s.jsonl", [{"text": sentence(n), "label": marks.get(n, n + 0.5)} for n in range(50)])
    spoilt = (
        r"'label' holds numbers with fractions, but 2 of 50 cells are none \('n/a', '3,5'\)\. Write them as numbers"
    )
    for named in ({}, {"label": "label"}, {"label": "label", "kind": "regression"}):
        with pytest.raises(DataError, match=spoilt):
            guess(path, **named)
    many = [{"text": sentence(n), "label": f"{n % 3}.5" if n % 2 else "none"} for n in range(50)]
    assert guess(write(tmp_path / "m.jsonl", many), label="label").kind == "classification"  # names, as ever
    with pytest.raises(DataError, match=r"a column with texts, but none looks like one\. No column can be the text"):
        guess(write(tmp_path / "b.jsonl", [{"length": n, "label": n % 2} for n in range(50)]))
    path = write(tmp_path / "c.jsonl", [{"text": sentence(n), "label": ["a", "b"][: n % 3]} for n in range(50)])
    with pytest.raises(DataError, match="a classification label is one value, but 'label' holds lists"):
        guess(path, label="label", kind="classification")


@pytest.mark.parametrize(
    ("number", "name", "told"),
    [
        (lambda n: n % 5 + 1, "stars", (True, "regression, 5 levels: 1 12, 2 12")),
        (lambda n: float(n % 5 + 1), "overall_rating", (True, "regression, 5 levels: 1 12, 2 12")),
        (lambda n: n % 40, "score", (False, "regression, numbers from 0 to 39")),
        (lambda n: n % 40 / 1e7, "price", (False, "regression, numbers from 0 to 3.9e-06")),
        (lambda n: n % 3 - 1, "polarity", (None, "classification, 3 labels")),
        (lambda n: n % 2, "score", (None, "classification, 2 labels")),
    ],
)
def test_numbers_are_told_from_classes_and_levels(number: Any, name: str, told: Any, tmp_path: Path) -> None:
    found = guess(write(tmp_path / "a.jsonl", [{"text": sentence(n), name: number(n)} for n in range(60)]))
    assert found.explain()[2].startswith(f"task:    {told[1]}"), found.explain()
    config = config_of(found, tmp_path)
    assert getattr(config.task, "ordinal", None) is told[0] and config.data.label == name
    assert json.loads(json.dumps(found.summary()))["ordinal"] is bool(told[0])


LABEL = "ab"
FILES: list[list[dict[str, Any]]] = [
    [{"text": sentence(n)} for n in range(60)],
    [{"label": LABEL[n % 2]} for n in range(60)],
    [{"id": n, "text": sentence(n), "code": f"c{n}"} for n in range(60)],
    [{"text": sentence(n), "label": "always"} for n in range(60)],
    [{"text": sentence(n), "label": None} for n in range(60)],
    [{"text": sentence(n), "label": {"value": n % 2}} for n in range(60)],
    [{"text": sentence(n), "labels": "0 1 0" if n % 2 else "1 0 0"} for n in range(60)],
    [{"text": sentence(n), "score": str((n * n % 57) / 7)} for n in range(60)],
    [{"text": sentence(n), "colour": "rgb"[n % 3], "size": "sml"[n % 4 % 3]} for n in range(60)],
    [{"text": sentence(n), "tags": ["a", "b"][: n % 3], "other": n} for n in range(60)],
    [{"left": sentence(n), "right": sentence(n + 9), "one": n % 2, "two": n % 3} for n in range(60)],
    [{"premise": sentence(n), "hypothesis": sentence(n + 9), "one": n % 2, "two": n % 3} for n in range(60)],
]


@pytest.mark.parametrize("rows", FILES)
@pytest.mark.parametrize("kind", [None, "classification", "multilabel", "regression"])
def test_advice_that_is_followed_leads_to_a_config_or_to_another_file(
    tmp_path: Path, rows: list[dict[str, Any]], kind: Any
) -> None:
    path, said = write(tmp_path / "a.jsonl", rows), dict[str, Any](kind=kind)
    for _ in range(4):
        try:
            guess(path, **said)
            return
        except DataError as error:
            if re.search("No column can be the (text|label): give the file one|Give the file a column", str(error)):
                return
            advice = re.search(r"Pass --(text|label|kind) (?:with one of: )?(\w+)", str(error))
            assert advice is not None
            assert said.get(advice[1]) != advice[2], "what was passed is asked for again"
            said[advice[1]] = advice[2]
    raise AssertionError("the advice goes round in a circle")


def test_a_column_is_text_or_label_and_not_both(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", FILES[-2])
    with pytest.raises(DataError, match="--text and --label must name different columns, but both name 'left'"):
        guess(path, text="left", label="left")
    assert guess(path, label="left").text == "right"


def test_the_training_file_is_found_or_named(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": n % 2} for n in range(80)]
    train = write(tmp_path / "reviews_train.csv", rows[:40])
    test = write(tmp_path / "reviews_test.csv", rows[40:])
    assert guess(tmp_path).files == {"train": train, "test": test}
    assert suggested_name(guess(tmp_path)) == "reviews"
    with pytest.raises(DataError, match="reviews_test.csv is the test file; pass reviews_train.csv"):
        guess(test)
    with pytest.raises(DataError, match=r"must be called train\.\*, but none is"):
        guess(write(tmp_path / "empty" / "x.csv", rows).parent)


names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=12)


@examples(1.5)
@given(st.lists(names, min_size=3, max_size=5, unique=True), st.sampled_from(["|", ",", ": ", " #", None]))
def test_any_column_name_survives_the_yaml(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], separator: str | None
) -> None:
    text, key, *label = columns
    folder = tmp_path_factory.getbasetemp()
    found = Guess(
        kind="multilabel",
        files={"train": folder / "no such place" / "train: 1 #2.csv"},
        rows=10,
        text=text,
        text_pair=key,
        label=tuple(label),
        separator=separator,
        id=key,
        group=text,
        counts=dict.fromkeys(label, 3),
        tokens=40,
        is_measured=True,
    )
    data = config_of(found, folder).data
    assert (data.text, data.text_pair, data.id, data.group) == (text, key, key, text)
    assert data.labels == (label[0] if len(label) == 1 else tuple(label))
    assert data.label_separator == (separator or "|")


@needs_real_data
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("imdb_small", ("classification", "text", ("label",), "id", 2, 512, ("train", "validation", "test"))),
        ("banking77", ("classification", "text", ("category",), None, 77, 64, ("train", "test"))),
        ("goemotions", ("multilabel", "text", ("labels",), "id", 28, 64, ("train", "validation", "test"))),
        ("movie_rationales", ("criteria_evidence", "text", ("label",), "id", 2, 512, ("train", "validation", "test"))),
    ],
)
def test_real_data_needs_nothing_written_by_hand(folder: str, expected: tuple[Any, ...], tmp_path: Path) -> None:
    found = guess(REAL / folder)
    seen = (found.kind, found.text, found.label, found.id, len(found.counts), found.max_length, tuple(found.files))
    assert seen == expected and found.notes == (found.evidence.notes if found.evidence else ())
    config = config_of(found, tmp_path)
    assert config.name == folder and config.data.allow == (("shared_rows",) if folder == "goemotions" else ())


def test_looking_at_data_loads_no_torch() -> None:
    code = (
        "import sys, tunery.data.checks.check, tunery.data.first_config.infer; "
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
