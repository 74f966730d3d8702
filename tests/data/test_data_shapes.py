"""Files as people have them: what is read of each, what is said, and what is refused with its remedy.

Every accepted shape goes the whole way: `init` writes a config, and `check` finds nothing fatal in it.
"""

import gzip
import io
import json
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import openpyxl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from fast_and_slow import slow_but
from tunery.cli import main
from tunery.data.first_config.profiles import are_pair, name_words
from tunery.data.reading.given import examples_from
from tunery.data.reading.load import read_file, unchanged_content
from tunery.errors import DataError
from tunery.schema import load_config
from tunery.schema.config.run import RunConfig
from tunery.train.setup.prepare import examine

WORDS: Final = (
    *("lamp", "door", "river", "stone", "bread", "cloud", "paper", "green", "seven"),
    *("quick", "table", "window", "morning", "engine", "garden", "music"),
)
SHORT: Final = ("ham", "spam")


def text(number: int, words: int = 12) -> str:
    """Different words for every number."""
    return " ".join(random.Random(number).choices(WORDS, k=words))


def lines(*columns: Callable[[int], str], count: int = 120, cut: str = ",", header: str = "") -> str:
    rows = [cut.join(column(number) for column in columns) for number in range(count)]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


def label(number: int) -> str:
    return SHORT[number % 2]


def save(folder: Path, files: dict[str, str | bytes]) -> Path:
    """The first of the files."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / next(iter(files))


class Outcome(NamedTuple):
    code: int
    said: str
    config: RunConfig | None


def init(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> Outcome:
    out = path.parent / "first.yaml"
    with pytest.raises(SystemExit) as end:
        main(["init", str(path), "--out", str(out), "--overwrite", *flags])
    printed = capsys.readouterr()
    config = load_config(out) if end.value.code == 0 else None
    return Outcome(int(end.value.code or 0), " ".join((printed.out + printed.err).split()), config)


def accepted(config: RunConfig) -> Any:
    """What `check` sees, where nothing is fatal."""
    found = examine(config)
    assert [finding.message for finding in found.findings if finding.level == "fatal"] == []
    return found


def workbook(folder: Path) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["message", "kind"])
    for number in range(120):
        book.active.append([text(number), label(number)])
    book.create_sheet("notes").append(["not read"])
    book.save(folder / "made.xlsx")
    return (folder / "made.xlsx").read_bytes()


PLAIN = lines(text, label, header="text,label")
TWO = lines(text, lambda n: text(n + 500, 40), label)
ROWS = [{"text": text(n), "label": label(n)} for n in range(120)]
OFFSETS = lines(lambda n: f'"{[*range(n % 5, n % 5 + 4), *range(25, 30)]}"', text, header="spans,text")
ANSWER: Final[Any] = {"text": [], "answer_start": []}
QUESTIONS = [
    {
        "context": f"The {word} rang. {text(n)}",
        "question": f"Is there a {asked}?",
        "answers": {"text": [word], "answer_start": [4]} if word == asked else ANSWER,
    }
    for n in range(60)
    for word in [("bell", "horn")[n % 2]]
    for asked in ("bell", "horn")
]
TAGGED = "\n\n".join(
    "\n".join(f"{word} {'B-THING' if word == 'lamp' else 'O'}" for word in text(n).split()) for n in range(90)
)
BY_COLUMN = {"text": {str(n): text(n) for n in range(120)}, "label": {str(n): label(n) for n in range(120)}}

SCORES = [{"sentence1": text(n), "sentence2": text(n + 500), "score": n % 21 / 4} for n in range(120)]

READ: Final[dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any], str]]] = {
    # files, flags, what the config says of the data, what is said
    "a header": ({"a.csv": PLAIN}, (), {"text": "text", "label": "label", "columns": None}, ""),
    "no header, columns named": (
        {"a.tsv": lines(label, text, cut="\t")},
        ("--columns", "label,text"),
        {"columns": ("label", "text")},
        "the first line is a row: 'ham'",
    ),
    "no header, three columns": (
        {"a.csv": lines(lambda n: f'"{n % 4}"', lambda n: text(n, 5), lambda n: text(n + 500, 30))},
        ("--columns", "class,title,body", "--text", "title,body"),
        {"columns": ("class", "title", "body"), "text": ("title", "body"), "label": "class"},
        "",
    ),
    "a header that is named after its label": (
        {"a.csv": lines(text, label, header="text,ham")},
        ("--columns", "text,ham"),
        {"label": "ham"},
        "",
    ),
    "semicolons": ({"a.csv": PLAIN.replace(",", ";")}, (), {"text": "text"}, "cells are separated by semicolons"),
    "vertical bars": ({"a.csv": PLAIN.replace(",", "|")}, (), {"text": "text"}, "separated by vertical bars"),
    "commas in a tsv": ({"a.tsv": PLAIN}, (), {"text": "text"}, "cells are separated by commas"),
    "single quotes": (
        {"a.csv": lines(lambda n: f"'{text(n)}, it''s'", lambda n: f"'{label(n)}'", header="'text','label'")},
        (),
        {"text": "text", "label": "label"},
        "single quotes",
    ),
    "backslashes before quotes": (
        {"a.csv": lines(lambda n: rf'"{text(n)} \"no\", ok"', label, header="text,label")},
        (),
        {"text": "text"},
        "backslashes before quotes",
    ),
    "tabs in a txt": ({"a.txt": PLAIN.replace(",", "\t")}, (), {"text": "text"}, ""),
    "a tab": ({"a.tab": PLAIN.replace(",", "\t")}, (), {"text": "text"}, ""),
    "no suffix": ({"corpus": PLAIN.replace(",", "\t")}, (), {"text": "text"}, ""),
    "packed": ({"a.csv.gz": gzip.compress(PLAIN.encode())}, (), {"text": "text"}, ""),
    "unnamed empty columns": (
        {"a.csv": lines(label, text, lambda _: ",,", header="class,message,,,")},
        (),
        {"text": "message", "label": "class"},
        "empty columns without a name are left out: 3",
    ),
    "an unnamed index": (
        {"a.csv": lines(str, text, label, header=",text,label")},
        (),
        {"id": "column_1"},
        "columns without a name are called by their number: column_1 (120 cells)",
    ),
    "a header in the middle": (
        {"a.csv": PLAIN + "text,label\n" + lines(lambda n: text(n + 500), label)},
        (),
        {"text": "text"},
        "lines that repeat the header are left out",
    ),
    "utf-16": ({"a.csv": PLAIN.encode("utf-16")}, (), {"encoding": None}, "read as utf-16"),
    "cp1252": (
        {"a.csv": PLAIN.replace("lamp", "“lamp”").encode("cp1252")},
        ("--encoding", "cp1252"),
        {"encoding": "cp1252"},
        "",
    ),
    "one list inside": ({"a.json": json.dumps({"version": 1, "data": ROWS})}, (), {"text": "text"}, "list 'data' of"),
    "by columns": ({"a.json": json.dumps(BY_COLUMN)}, (), {"text": "text"}, "a table by columns"),
    "lists by columns": (
        {"a.json": json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]})},
        (),
        {"text": "text"},
        "a table by columns",
    ),
    "rows by key": ({"a.json": json.dumps({f"k{n}": row for n, row in enumerate(ROWS)})}, (), {"text": "text"}, "keys"),
    "lists as rows": (
        {"a.json": json.dumps([[*row.values()] for row in ROWS])},
        ("--columns", "text,label"),
        {"text": "text"},
        "",
    ),
    "lines in a json": ({"a.json": "\n".join(map(json.dumps, ROWS))}, (), {"text": "text"}, ""),
    "a list in a jsonl": ({"a.jsonl": json.dumps(ROWS, indent=1)}, (), {"text": "text"}, ""),
    "two texts by number": (
        {"a.csv": lines(text, lambda n: text(n + 500), label, header="question_1,question_2,same")},
        (),
        {"text": "question_1", "text_pair": "question_2", "label": "same"},
        "",
    ),
    "two texts by letter": (
        {"a.csv": lines(text, lambda n: text(n + 500), label, header="sentence_A,sentence_B,label")},
        (),
        {"text": "sentence_A", "text_pair": "sentence_B"},
        "",
    ),
    "two texts, joined": (
        {"a.csv": lines(text, lambda n: text(n + 500, 40), label, header="claim,justification,label")},
        ("--text", "claim,justification"),
        {"text": ("claim", "justification"), "text_pair": None},
        "",
    ),
    "two texts, compared": (
        {"a.csv": lines(text, lambda n: text(n + 500, 40), label, header="claim,justification,label")},
        ("--text", "claim", "--text-pair", "justification"),
        {"text": "claim", "text_pair": "justification"},
        "",
    ),
    "a title beside the text": (
        {"a.csv": lines(lambda n: text(n, 5), lambda n: text(n + 500, 40), label, header="title,description,label")},
        (),
        {"text": "description"},
        "not used: title (text, 5 words); `--text description,title` reads both",
    ),
    "labels by suffix": (
        {
            "a.csv": lines(
                text,
                lambda n: "abc"[n % 3],
                lambda n: f"{n % 7 / 7:.2f}",
                lambda n: str(n % 5),
                header="text,airline_sentiment,airline_sentiment_confidence,retweet_count",
            )
        },
        (),
        {"label": "airline_sentiment"},
        "'airline_sentiment' is taken as the label by its name, and not retweet_count",
    ),
    "labels by a word of the name": (
        {"a.csv": lines(text, lambda n: str(n % 5), label, header="text,annotators,correctLabel")},
        (),
        {"label": "correctLabel"},
        "'correctLabel' is taken",
    ),
    "questions as names": (
        {"a.csv": lines(text, label, header="What do you think of the new lamp in the garden?,Your group?")},
        (),
        {"text": "What do you think of the new lamp in the garden?", "label": "Your group?"},
        "if it is a row, name them: --columns text,label",
    ),
    "stars": (
        {"a.csv": lines(text, lambda n: str(n % 5 + 1), header="review,stars")},
        (),
        {"label": "stars"},
        "'stars' holds grades in an order: they are learned as levels (task.ordinal); --kind classification learns "
        "them as classes",
    ),
    "stars as classes": (
        {"a.csv": lines(text, lambda n: str(n % 5 + 1), header="review,stars")},
        ("--kind", "classification"),
        {"label": "stars"},
        "classification, 5 labels: '1' 24",
    ),
    "classes that are numbers": (
        {"a.csv": lines(text, lambda n: str(n % 5), header="text,label")},
        (),
        {"label": "label"},
        "classification, 5 labels",
    ),
    "a score in csv": (
        {"a.csv": "sentence1,sentence2,score\n" + "".join(",".join(map(str, r.values())) + "\n" for r in SCORES)},
        (),
        {"label": "score", "text_pair": "sentence2"},
        "'score' holds numbers from 0 to 5: they are learned as such (task.kind: regression)",
    ),
    "a score in jsonl": (
        {"a.jsonl": "\n".join(map(json.dumps, SCORES))},
        (),
        {"label": "score"},
        "task: regression, numbers from 0 to 5",
    ),
    "whole numbers named as the label": (
        {"a.csv": lines(text, lambda n: str(n * 37 % 1009), header="text,price")},
        ("--label", "price"),
        {"label": "price"},
        "'price' holds numbers from 0 to 1006: they are learned as such",
    ),
    "numbers in three files": (
        {
            "train.csv": lines(text, lambda n: str(n / 8), header="text,price"),
            "test.csv": lines(lambda n: text(n + 900), lambda n: str(n / 7), header="text,price", count=40),
        },
        (),
        {"label": "price", "allow": ()},
        "splits: test test.csv; validation split off from train",
    ),
    "numbers that are missing": (
        {"a.csv": lines(text, lambda n: str(n / 8) if n % 9 else "", header="text,price")},
        (),
        {"label": "price", "allow": ("unlabelled",)},
        "14 rows have no number and are left out",
    ),
    "rows without a label": (
        {"a.csv": PLAIN + lines(lambda n: text(n + 900), lambda _: " ", count=4)},
        (),
        {"allow": ("unlabelled",)},
        "4 rows have no label and are left out",
    ),
    "a test file without labels that can be read": (
        {
            "train.csv": lines(text, lambda n: str(n % 2), lambda n: str(n % 3 // 2), header="text,rude,mean"),
            "test.csv": lines(lambda n: text(n + 500), lambda _: "NONE", lambda _: "NONE", header="text,rude,mean"),
        },
        (),
        {"labels": ("rude", "mean"), "test": None},
        "test.csv is left out: its labels cannot be read: row 1: column 'rude' must hold 0 or 1",
    ),
    "blank flags": (
        {
            "a.csv": lines(text, lambda n: "10"[n % 3 == 0], lambda n: ("", "1")[n % 2], header="text,rude,mean")
            + f"{text(999)},0,0\n"
        },
        (),
        {"labels": ("rude", "mean")},
        "blank cells of mean say no",
    ),
    "capital letters": (
        {
            "Train.csv": PLAIN,
            "Test.csv": lines(lambda n: text(n + 500), label, header="text,label"),
            "Valid.csv": lines(lambda n: text(n + 900), label, header="text,label"),
        },
        (),
        {"test": "Test.csv", "validation": "Valid.csv"},
        "",
    ),
    "training and testing": (
        {"x_Training.csv": PLAIN, "x_Testing.csv": lines(lambda n: text(n + 500), label, header="text,label")},
        (),
        {"test": "x_Testing.csv", "validation": None},
        "",
    ),
    "a test file that is called otherwise": (
        {"posts.csv": PLAIN, "TestSet.csv": PLAIN},
        (),
        {"test": None},
        "TestSet.csv lies beside and is not used",
    ),
    "a column of splits": (
        {
            "a.csv": lines(
                text, label, lambda n: ("train", "train", "Dev", "TEST")[n // 2 % 4], header="text,label,split"
            )
        },
        (),
        {"split": "split", "validation": None, "test": None},
        "the column 'split' says which rows are of which split",
    ),
    "numbers of characters": (
        {"a.csv": OFFSETS},
        (),
        {"evidence": "spans", "labels": None},
        "no column is taken for the labels of a text: evidence is all that is learned",
    ),
    "a tag for each word": (
        {"a.txt": TAGGED},
        (),
        {"text": "text", "labels": "labels", "evidence": "evidence"},
        "it has a tag for each word (BIO), which is read as evidence",
    ),
    "questions that return": (
        {"a.json": json.dumps(QUESTIONS)},
        (),
        {"text": "text", "labels": "labels", "evidence": "evidence"},
        "its 2 questions are asked of 60 texts: they are read as labels",
    ),
    "labels that train lacks": (
        {
            "train.csv": PLAIN,
            "test.csv": lines(lambda n: text(n + 500), lambda n: (*SHORT, "eggs")[n % 3], header="text,label"),
        },
        (),
        {"allow": ("unseen_labels",)},
        "rows with labels that train lacks are left out: 'eggs' 40",
    ),
}


@pytest.mark.parametrize(
    "shape",
    slow_but(
        READ,
        *(
            "no header, columns named",
            "semicolons",
            "single quotes",
            "an unnamed index",
            "by columns",
            "labels by suffix",
        ),
        *("two texts by number", "two texts, joined", "rows without a label", "capital letters", "a column of splits"),
    ),
)
def test_what_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: str) -> None:
    files, flags, data, said = READ[shape]
    outcome = init(save(tmp_path, files), capsys, *flags)
    assert outcome.code == 0, outcome.said
    assert said in outcome.said
    assert outcome.config is not None
    seen = {key: getattr(outcome.config.data, key) for key in data}
    assert {key: Path(v).name if key in ("test", "validation") and v else v for key, v in seen.items()} == data
    accepted(outcome.config)


def test_joined_texts_have_the_separator_of_the_tokenizer_between_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, flags, _, _ = READ["two texts, joined"]
    config = init(save(tmp_path, files), capsys, *flags).config
    assert config is not None
    seen = accepted(config)
    row, separator = seen.splits.train.examples[0], seen.tokenizer.sep_token
    plain = seen.tokenizer(row.text.replace("\x1e", f" {separator} "), truncation=True, max_length=64)["input_ids"]
    assert seen.encoded["train"].ids[0].tolist() == plain and plain.count(seen.tokenizer.sep_token_id) == 2
    given = examples_from([tuple(row.text.split("\x1e"))], parts=2, pairs=False)
    assert [example.text for example in given] == [row.text]
    with pytest.raises(DataError, match="every item must be 2 texts, as the model was trained on, but item 0 is str"):
        examples_from(["one"], parts=2, pairs=False)


def test_a_workbook_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = init(save(tmp_path, {"a.xlsx": workbook(tmp_path)}), capsys)
    assert "the first sheet, 'Sheet', is read, and not 'notes'" in outcome.said
    assert outcome.config is not None and outcome.config.data.text == "message"
    assert sum(len(split.examples) for split in accepted(outcome.config).splits) == 120


CHINESE = [
    {"text": "".join(chr(0x4E00 + (n * 7 + k * 31) % 4000) for k in range(20)), "label": n % 2} for n in range(90)
]

REFUSED: Final[dict[str, tuple[dict[str, Any], tuple[str, ...], str]]] = {
    "no header": (
        {"a.tsv": lines(label, text, cut="\t")},
        (),
        "the first line must name the columns, but it looks like a row: 'ham' is 59 times a value of its own column. "
        "Name the columns in their order: --columns label,text (of `tunery init`, `predict` and `evaluate`), or "
        "`data.columns: [label, text]` in a config",
    ),
    "no header, quoted": (
        {"a.csv": lines(lambda n: f'"{n % 4}"', lambda n: f'"{text(n, 5)}"', lambda n: f'"{text(n + 500, 30)}"')},
        (),
        "'0' is 29 times a value of its own column",
    ),
    "fewer columns than cells": (
        {"a.csv": TWO},
        ("--columns", "text,label"),
        "line 1 has 3 cells and `data.columns` names 2",
    ),
    "two plausible texts": (
        {"a.csv": lines(text, lambda n: text(n + 500, 40), label, header="claim,justification,label")},
        (),
        "if they belong together, --text claim,justification joins them (data.text); if they are compared, pass --text "
        "claim --text-pair justification (data.text_pair)",
    ),
    "a score as classes": (
        {"a.jsonl": "\n".join(map(json.dumps, SCORES))},
        ("--kind", "classification", "--label", "score"),
        "'score' holds numbers with fractions, such as 0.25: a score. Pass --kind regression",
    ),
    "names as numbers": (
        {"a.csv": PLAIN},
        ("--kind", "regression"),
        "one column must hold the numbers to be learned, but none is",
    ),
    "two columns of numbers": (
        {"a.csv": lines(text, lambda n: str(n / 8), lambda n: str(n / 9), header="text,price,weight")},
        (),
        "one column must hold the numbers to be learned, but 2 could be (price, weight). Pass --label with one of: "
        "price, weight",
    ),
    "offsets, named as the label": ({"a.csv": OFFSETS}, ("--label", "spans"), "Leave --label out: evidence is found"),
    "words that the model lacks": (
        {"a.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in CHINESE)},
        (),
        "of the tokens of 90 rows of train are unknown to minilm: they all look alike to it. Take a model for",
    ),
    "words that the model lacks, in the test file": (
        {
            "train.csv": PLAIN,
            "test.csv": "text,label\n" + "".join(f"{row['text']},{label(n)}\n" for n, row in enumerate(CHINESE)),
        },
        (),
        "of the tokens of 90 rows of test are unknown to minilm",
    ),
    "lists where texts are named": (
        {"a.jsonl": "\n".join(json.dumps({"words": text(n).split(), "label": n % 2}) for n in range(99))},
        ("--text", "words"),
        "must hold a text, but got ['",
    ),
    "several lists": (
        {"a.json": json.dumps({"train": [["t", "l"]] * 8, "val": [["t", "l"]]})},
        (),
        "it holds 2 lists (train 8, val 1); save each as a file of its own",
    ),
    "questions": (
        {"a.json": json.dumps([{"context": text(n), "question": f"{n}?", "answers": ANSWER} for n in range(40)])},
        (),
        "it holds 40 different questions with answers inside a text (question answering, as SQuAD has it)",
    ),
    "tags in a list": (
        {
            "a.jsonl": "\n".join(
                json.dumps({"tokens": text(n).split(), "ner_tags": [0] * 11 + [n % 3]}) for n in range(99)
            )
        },
        (),
        "'ner_tags' holds a tag for each word (token tagging)",
    ),
    "xml": ({"a.xml": "<a/>"}, (), "XML and HTML are not read; save the rows as csv or jsonl"),
    "stray bytes": (
        {"a.csv": PLAIN.replace("lamp", "l\u00e4mp").encode() + b"caf\xe9 two,ham\n"},
        (),
        "1 byte in line 122; correct them there, or drop those bytes alone with `iconv -c",
    ),
    "cp1252 quotes": (
        {"a.csv": PLAIN.replace("lamp", "\u201clamp\u201d").encode("cp1252")},
        (),
        "`iconv -f cp1252 -t utf-8 FILE > NEW` converts it",
    ),
    "an unknown encoding": (
        {"a.csv": PLAIN},
        ("--encoding", "klingon"),
        "the encoding must be the name of one of texts, but got 'klingon'",
    ),
    "no text at all": ({"a.csv": bytes(range(256)) * 40}, (), "but this is no text: byte 0 is 0"),
    "an empty column of labels": ({"a.csv": lines(text, lambda _: "", header="text,label")}, (), "label: empty"),
    "a label in one row": (
        {"a.csv": lines(text, lambda n: "ham" if n == 7 else "", header="text,label")},
        (),
        "label: short values, 1 different in 1 rows",
    ),
    "a class in one row of two classes": (
        {"a.csv": lines(text, lambda n: "spam" if n == 7 else "ham", header="text,label")},
        (),
        "a split needs at least two classes, but every row of validation is 'ham'",
    ),
    "a text by several authors": (
        {"a.csv": lines(lambda n: text(n % 30), label, lambda n: f"u{n % 40}", header="text,label,author")},
        (),
        "a text may be in one split only, but the same texts are in",
    ),
    "half of the texts with two labels": (
        {"a.csv": lines(lambda n: text(n // 2), label, header="text,label")},
        (),
        "Is there a second text column?",
    ),
    "one text in two splits": ({"train.csv": PLAIN, "test.csv": PLAIN}, (), "--allow shared_rows"),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_refused_and_how_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: str) -> None:
    files, flags, said = REFUSED[shape]
    outcome = init(save(tmp_path, files), capsys, *flags)
    assert outcome.code == 2 and said in outcome.said, outcome.said
    assert len(outcome.said) < 3000 and not (tmp_path / "first.yaml").exists()


SORTS: Final[dict[str, tuple[Callable[[int], str], str]]] = {
    "dates": (lambda n: f"2021-{n % 12 + 1:02}-{n % 28 + 1:02}", "a date"),
    "times": (lambda n: f"Mon Apr {n % 30 + 1:02} 22:{n % 49:02}:{n % 11:02} PDT 2009", "a date"),
    "addresses": (lambda n: f"https://example.org/{n}", "an address"),
    "mail": (lambda n: f"u{n}@example.org", "an address"),
    "long numbers": (lambda n: str(14_678_103 + n * 31), "a number"),
    "fractions": (lambda n: f"0.{n * 37 % 1000:03}", "a number"),
    "a count": (str, "a number"),
}
"""A column by row, and what is said of its first cell where it stands in the place of a name."""


@pytest.mark.parametrize("sort", SORTS)
def test_a_first_line_with_a_cell_of_the_sort_below_it_is_a_row(tmp_path: Path, sort: str) -> None:
    column, called = SORTS[sort]
    rows = lines(column, text, lambda n: label(n) if n else "only in the first line")
    path = save(tmp_path, {"a.csv": rows})
    with pytest.raises(DataError, match=f"is {called}, as what stands below it.*--columns column_1,text,label"):
        read_file(path)
    assert len(read_file(path, columns=("seen", "text", "label")).rows) == 120
    assert len(read_file(save(tmp_path, {"b.csv": "seen,text,label\n" + rows})).rows) == 120


QUESTION = "What do you think of the new lamp in the garden?"
NAMES: Final[dict[str, tuple[str, tuple[Callable[[int], str], ...], bool]]] = {
    "questions beside a time": (
        f"Timestamp,{QUESTION},In which group are you now?",
        (SORTS["dates"][0], text, label),
        False,
    ),
    "a question and an answer": (f"{QUESTION},Group", (text, label), True),
    "ticked boxes": ("text,label,ham", (text, label, lambda n: ("", "ham")[n % 3 == 0]), False),
    "years": ("text,2019,2020", (text, lambda n: str(n % 7), lambda n: str(n % 5)), False),
    "places": ("0,1,2", (lambda n: str(n + 1), text, label), False),
    "numbers above words": ("10200,10201", (text, label), False),
    "shares": ("text,0.25,0.5,mean", (text, *3 * [lambda n: f"{n * 7 % 100 / 100:.2f}"]), False),
}
"""A first line of names, what stands below it, and whether it is doubted."""


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_any_kind_are_names(tmp_path: Path, kind: str) -> None:
    header, columns, is_doubted = NAMES[kind]
    rows, notes = read_file(save(tmp_path, {"a.csv": lines(*columns, header=header)}))
    assert len(rows) == 120 and [*rows[0]] == header.split(",")
    assert any("if it is a row, name them: --columns" in note for note in notes) is is_doubted


def test_advice_that_is_followed_loses_no_row(tmp_path: Path) -> None:
    path = save(tmp_path, {"a.tsv": lines(label, text, cut="\t")})
    with pytest.raises(DataError, match="--columns label,text"):
        read_file(path)
    assert len(read_file(path, columns=("label", "text")).rows) == 120
    named = save(tmp_path, {"b.tsv": lines(label, text, cut="\t", header="ham\ttext")})
    with pytest.raises(DataError, match="if the line names them after all, repeat its names"):
        read_file(named)
    assert len(read_file(named, columns=("ham", "text")).rows) == 120


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("question_1", "question_2", True),
        ("#1 String", "#2 String", True),
        ("q1", "q2", True),
        ("sentence_A", "sentence_B", True),
        ("sentenceA", "sentenceB", True),
        ("text_a", "text_b", True),
        ("question_2", "question_1", False),
        ("text_11", "text_12", False),
        ("claim", "claimb", False),
        ("tab", "tbb", False),
        ("title", "body", False),
    ],
)
def test_names_of_two_texts(one: str, other: str, expected: bool) -> None:
    assert are_pair(one, other) is expected


def test_words_of_the_name_of_a_column() -> None:
    assert name_words("correctLabel") == name_words("correct_label") == ["correct", "label"]
    assert name_words("label2_annot_maj") == ["label", "annot", "maj"]


def test_ten_thousand_columns_and_a_very_long_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"c{number}" for number in range(9_998)]
    wide = lines(text, label, lambda n: ",".join(str((n * k) % 7) for k in range(9_998)), count=40)
    outcome = init(save(tmp_path, {"a.csv": ",".join(["text", "label", *names]) + "\n" + wide}), capsys)
    assert outcome.code == 0 and len(outcome.said) < 3000
    unlabelled = save(tmp_path, {"b.csv": ",".join(["text", "kind", *names]) + "\n" + wide})
    assert len(init(unlabelled, capsys).said) < 6000
    long = init(save(tmp_path, {"c.csv": PLAIN + "lamp " * 1_000_000 + ",ham\n"}), capsys)
    assert long.code == 0 and long.config is not None
    assert accepted(long.config).encoded["train"].lengths.max() <= 512
    longer = init(save(tmp_path, {"d.csv": PLAIN + "lamp " * 2_000_001 + ",ham\n"}), capsys)
    assert longer.code == 2
    assert "a value has at most 10,000,000 characters, but that of 'text' in row 121 has 10,000,005" in longer.said


def archive(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(name, PLAIN)
    return packed.getvalue()


NO_TEXT: Final[dict[str, tuple[Callable[[Path], Any], str]]] = {
    "a zip": (lambda path: path.write_bytes(archive("a.csv")), "it is an archive without a workbook"),
    "a damaged zip": (lambda path: path.write_bytes(archive("a.csv")[:60]), "not readable as xlsx"),
    "a png": (
        lambda path: path.write_bytes(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108")),
        "but this is an image",
    ),
    "bytes": (lambda path: path.write_bytes(bytes([7, 0, 0, 9]) * 20), "but this is no text: byte 1 is 0"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(ROWS)), "but this is a pickle"),
    "a folder": (lambda path: path.mkdir(), "{path}"),
    "a link to nothing": (lambda path: path.symlink_to("gone.csv"), "is a link to 'gone.csv', which is not there"),
}


@pytest.mark.parametrize("kind", NO_TEXT)
def test_what_is_no_file_of_text_is_refused_by_init_check_and_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    make, said = NO_TEXT[kind]
    path, config = tmp_path / "a.csv", tmp_path / "given.yaml"
    make(path)
    config.write_text("data: {train: a.csv}\ntask: {kind: classification}\nmodel: {name: minilm}\n")
    outcome = init(path, capsys)
    assert outcome.code == 2 and said.format(path=path) in outcome.said and not (tmp_path / "first.yaml").exists()
    for command in (["check", str(config)], ["train", str(config), "--out", str(tmp_path / "run")]):
        with pytest.raises(SystemExit) as left:
            main(command)
        printed = " ".join(capsys.readouterr().err.split())
        assert left.value.code == 2 and said.format(path=path) in printed and "Traceback" not in printed
    assert not (tmp_path / "run").exists()


def test_a_workbook_without_what_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, {"a.xlsx": workbook(tmp_path), "b.xlsx": archive("a.csv")})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    outcome = init(path, capsys)
    assert outcome.code == 2 and "openpyxl is not installed. Type: pip install 'tunery[xlsx]'" in outcome.said
    assert "an archive without a workbook" in init(tmp_path / "b.xlsx", capsys).said


class Growing(io.FileIO):
    """A file to which another program writes a row whenever it is read."""

    def read(self, size: int | None = -1, /) -> bytes | Any:
        content = super().read(size)
        with Path(str(self.name)).open("a") as other:
            other.write("one more,ham\n")
        return content


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, {"a.csv": PLAIN})
    with path.open("rb", buffering=0) as file:
        assert unchanged_content(file, name="a.csv") == PLAIN.encode()
    with Growing(path) as file, pytest.raises(DataError, match="a.csv: it was written to while it was read"):
        unchanged_content(file, name="a.csv")


def test_a_label_in_one_row_is_named_and_keeps_no_file_from_being_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = init(save(tmp_path, {"a.csv": PLAIN + f"{text(900)},eggs\n"}), capsys)
    assert outcome.config is not None and "eggs 1" in outcome.said
    assert "a class needs at least 2 training rows, but 1 has one (eggs)" in " ".join(
        finding.message for finding in accepted(outcome.config).findings
    )


CELLS: Final = st.sampled_from(
    ["", " ", "a", "b", "0", "1", "1.0", "2.5", "yes", "no", "a|b", "['a', 'b']", "NONE", "[[0, 900]]"]
)
KINDS: Final = {
    "few": lambda n, k: "abcdef"[(n * 7 + n // 5) % (k + 2)],
    "flag": lambda n, k: "01"[n * (k + 3) % 7 // 4],
    "blank flag": lambda n, k: ("", "0", "1")[n * (k + 3) % 7 // 3],
    "grade": lambda n, k: str(n * 3 % 5 + 1),
    "names": lambda n, k: "|".join(["x", "y", "z"][: n % 4]),
    "list": lambda n, k: json.dumps(["x", "y", "z"][: n % 4]),
    "rare": lambda n, k: "abc"[n % 2 + (n == 3)],
    "score": lambda n, k: str((n % 9) / 4),
    "offsets": lambda n, k: json.dumps([*range(n % 5, n % 5 + 4), 22, 23]),
    "ranges": lambda n, k: json.dumps([[0, 5 + n % 7]][: n % 5]),
    "named ranges": lambda n, k: json.dumps([[k, 5 + n % 7, "ab"[n % 2]], [20, 31, "b"]][: n % 4]),
    "split": lambda n, k: ("train", "train", "dev", "test")[n * 7 % 4],
    "id": lambda n, k: f"r{n}",
    "author": lambda n, k: f"u{n // 3}",
    "title": lambda n, k: text(n + 5000, 4),
    "body": lambda n, k: text(n + 9000, 20),
}
"""What a column may hold, by row and by its place."""


@settings(deadline=None)
@given(
    data=st.data(),
    label=st.sampled_from([*KINDS]),
    others=st.lists(st.sampled_from([*KINDS]), max_size=3, unique=True),
    count=st.integers(20, 120),
    beside=st.integers(0, 60),
    repeats=st.sampled_from([1, 1, 1, 2, 3]),
)
def test_what_init_writes_check_accepts(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    label: str,
    others: list[str],
    count: int,
    beside: int,
    repeats: int,
) -> None:
    folder = tmp_path_factory.mktemp("property")
    kinds = {"text": lambda n, k: text(n // repeats, 12)} | {
        name: KINDS[kind] for name, kind in [("label", label), *((kind, kind) for kind in others)]
    }
    table = [[cell(n, k) for k, cell in enumerate(kinds.values())] for n in range(count + beside)]
    for _ in range(data.draw(st.integers(0, 6))):
        row, place = data.draw(st.sampled_from(table)), data.draw(st.integers(0, len(kinds) - 1))
        row[place] = data.draw(CELLS)
    rows = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [[*kinds], *table]]
    path = save(folder, {"train.csv": "\n".join(rows[: count + 1])})
    if beside:
        save(folder, {data.draw(st.sampled_from(["test.csv", "Valid.csv"])): "\n".join([rows[0], *rows[count + 1 :]])})
    with pytest.raises(SystemExit) as end:
        main(["init", str(path), "--out", str(folder / "first.yaml")])
    event(f"init ends with {end.value.code}")
    assert end.value.code in (0, 2)
    if end.value.code == 0:
        accepted(load_config(folder / "first.yaml"))
