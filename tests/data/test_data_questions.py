"""Questions with answers inside a text, as SQuAD has them: criteria where they return, refused where they do not."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tunery.data.reading.load import Table, read_file
from tunery.errors import DataError

ASKED = ("Is sleep poor?", "Is there no joy?")
TEXTS = ("I lie awake. Nothing is fun, I lie awake.", "Nothing is fun.", "All is well.")
ANSWERS = [
    [[("I lie awake", 0), ("I lie awake", 29), ("I lie awake", 0)], [("Nothing is fun", 13)]],
    [[], [("Nothing is fun", 0)]],
    [[], []],
]
EXPECTED = [
    {
        "text": TEXTS[0],
        "labels": [*ASKED],
        "evidence": [[0, 11, ASKED[0]], [13, 27, ASKED[1]], [29, 40, ASKED[0]]],
    },
    {"text": TEXTS[1], "labels": [ASKED[1]], "evidence": [[0, 14, ASKED[1]]]},
    {"text": TEXTS[2], "labels": [], "evidence": []},
]


def nested(asked: Any = (ASKED,) * 3) -> dict[str, Any]:
    paragraphs = [
        {
            "context": text,
            "qas": [
                {
                    "id": f"{n}-{k}",
                    "question": asked[n][k],
                    "answers": [{"text": words, "answer_start": start} for words, start in ANSWERS[n][k]],
                }
                for k in range(2)
            ],
        }
        for n, text in enumerate(TEXTS)
    ]
    return {"version": "1", "data": [{"title": "posts", "paragraphs": paragraphs}]}


def flat() -> list[dict[str, Any]]:
    return [
        {
            "context": text,
            "question": question,
            "answers": {"text": [a[0] for a in answers], "answer_start": [a[1] for a in answers]},
        }
        for text, row in zip(TEXTS, ANSWERS, strict=True)
        for question, answers in zip(ASKED, row, strict=True)
    ]


def save(path: Path, content: Any) -> Table:
    path.write_text(json.dumps(content))
    return read_file(path)


def test_questions_that_return_are_labels(tmp_path: Path) -> None:
    table = save(tmp_path / "nested.json", nested())
    assert table.rows == EXPECTED
    assert "its 2 questions are asked of 3 texts: they are read as labels" in table.notes[0]
    (tmp_path / "flat.jsonl").write_text("\n".join(map(json.dumps, flat())))
    assert read_file(tmp_path / "flat.jsonl").rows == EXPECTED
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat()), tmp_path / "flat.parquet")
    assert read_file(tmp_path / "flat.parquet").rows == EXPECTED


def test_a_text_without_questions_and_one_without_an_answer_have_no_label(tmp_path: Path) -> None:
    document = nested()
    paragraphs = document["data"][0]["paragraphs"]
    paragraphs[2]["qas"] = []
    paragraphs[1]["qas"][1]["is_impossible"] = True
    rows = save(tmp_path / "a.json", document).rows
    assert rows[1:] == [{"text": text, "labels": [], "evidence": []} for text in TEXTS[1:]]


def test_an_answer_in_another_place_is_moved_where_there_is_one(tmp_path: Path) -> None:
    document = nested()
    document["data"][0]["paragraphs"][1]["qas"][1]["answers"][0]["answer_start"] = 3
    table = save(tmp_path / "a.json", document)
    assert table.rows == EXPECTED
    assert "1 answers are not at their `answer_start`, but once elsewhere in the text: taken there" in table.notes


def broken(change: Any) -> dict[str, Any]:
    document = nested()
    change(document["data"][0]["paragraphs"])
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            nested(asked=[("a?", "b?"), ("c?", "d?"), ("e?", "f?")]),
            "it holds 6 different questions with answers inside",
        ),
        (
            broken(lambda p: p[0]["qas"][0]["answers"][0].update(answer_start=4)),
            "the answer 'I lie awake' to question 1 does not begin at character 4 of its text, and is there more than",
        ),
        (
            broken(lambda p: p[1]["qas"][1]["answers"][0].update(text="no")),
            "the answer 'no' to question 4 does not begin at character 0 of its text, and is not in its text; correct",
        ),
        (
            broken(lambda p: p[1]["qas"][1]["answers"][0].pop("answer_start")),
            "answers have a `text` and an `answer_start`, but those of question 4 do not",
        ),
        (broken(lambda p: [row.update(qas=[]) for row in p]), "its texts have questions (as SQuAD has them), but none"),
        (broken(lambda p: p[1].pop("context")), "paragraph 2 of article 1 must hold a text 'context', as SQuAD has it"),
        (broken(lambda p: p[1].update(qas=3)), "paragraph 2 of article 1 must hold a list 'qas', as SQuAD has it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, document: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as refused:
        save(tmp_path / "a.json", document)
    assert said in str(refused.value)
