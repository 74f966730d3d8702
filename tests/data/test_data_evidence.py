"""Spans of rows, and annotated sentences that are joined with their posts, become evidence."""

import io
import json
import unicodedata
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.evidence import ONLY_LABEL, Evidence, Span, evidence_reader, make_evidence
from tunery.data.examples import Splits
from tunery.data.reading.columns import examples_of
from tunery.data.reading.find_sentence import find_sentence
from tunery.data.reading.load import read_stream
from tunery.data.reading.write import WRITERS
from tunery.data.splits import load_splits
from tunery.data.splitting import by_label
from tunery.errors import DataError
from tunery.schema.config.data import Data
from tunery.schema.config.rules import broken_rules
from tunery.schema.config.task import ClassificationTask, TaskSpec
from tunery.schema.results.direction import Metrics

COLUMNS = Data(train="t", evidence="evidence", rejected="rejected", id="id")
POINTED = "\u05d0\u05e0\u05d9 \u05e2\u05b7\u05d9\u05d9\u05e3 \u05de\u05d0\u05d5\u05d3!"
"""A sentence from right to left, with a vowel point."""
POSTS = Path(__file__).parents[2] / "examples" / "posts"


class MarksTask(TaskSpec):
    """A task that learns from evidence."""

    metrics: ClassVar[Metrics] = {"loss": "minimize"}
    label_key: ClassVar[str | None] = "labels"
    reads_evidence: ClassVar[bool] = True
    kind: str = "marks"


def read(row: dict[str, Any], data: Data = COLUMNS, *, exclusive: bool = False) -> Any:
    row = {"id": None, "labels": [], "evidence": None, "rejected": None, **row}
    (example,) = examples_of([row], data, reader=evidence_reader(data, exclusive=exclusive), source="rows")
    return example


@st.composite
def canonical_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A text of letters of several scripts, with combining characters and all that a csv cell has to quote."""
    text = draw(
        st.text(st.sampled_from("ab \u05e9\u0627\u0301\u0928\u093f\U0001f642\t\n\r,;|\"'[]\\"), min_size=1, max_size=40)
    )
    labels = draw(st.lists(st.sampled_from(["SLEEP", "a|b", "\u05d0", "7"]), unique=True, max_size=3))

    def spans(names: list[str]) -> st.SearchStrategy[list[list[Any]]]:
        ends = st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))).filter(
            lambda pair: pair[0] < pair[1]
        )
        return st.lists(st.builds(lambda pair, name: [*pair, name], ends, st.sampled_from(names)), max_size=4)

    return {
        "id": "x",
        "text": text,
        "labels": labels,
        "evidence": draw(spans(labels)) if labels else [],
        "rejected": draw(spans(["SLEEP", "other"])),
    }


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@given(rows=st.lists(canonical_rows(), min_size=1, max_size=3))
def test_a_row_that_is_written_is_read_as_it_was(suffix: str, rows: list[dict[str, Any]]) -> None:
    columns = tuple(rows[0])
    table, _ = read_stream(io.BytesIO(WRITERS[suffix](rows).encode()), source="rows", columns=columns)
    reader = evidence_reader(COLUMNS, exclusive=False)
    examples = examples_of(table.rows, COLUMNS, reader=reader, source="rows")
    assert len(examples) == len(rows)
    for example, row in zip(examples, rows, strict=True):
        spans, rejected = ([Span(*span) for span in row[key]] for key in ("evidence", "rejected"))
        assert (example.text, list(example.labels)) == (row["text"], row["labels"])
        assert example.target == make_evidence(spans, rejected)
        assert set(example.target.spans) == set(spans) and not {*example.target.rejected} & {*spans}


def test_spans_have_several_forms() -> None:
    expected = Evidence((Span(0, 3, "A"), Span(4, 7, "A")))
    row = {"text": "ab\u0301 cde", "labels": ["A"]}
    for cell in (
        [[4, 7], [0, 3]],
        [[4, 7, "A"], [0.0, 3.0]],
        [{"start": 4, "end": 7}, {"start": 0, "end": 3, "label": "A"}],
        "[[4, 7], [0, 3]]",
        '[{"start": 4, "end": 7, "label": "A"}, {"start": 0, "end": 3}]',
        "[(4, 7), (0, 3, 'A')]",
        [0, 1, 2, 4, 5, 6],
    ):
        assert read({**row, "evidence": cell}).target == expected, cell
    for empty in (None, "", " ", [], "[]", float("nan")):
        assert read({**row, "evidence": empty}).target == Evidence()


def test_labels_may_come_from_spans_and_may_be_ignored() -> None:
    spans_only = Data(train="t", labels=None, evidence="evidence")
    row = {"text": "abcdef", "evidence": [[3, 5, "B"], [0, 2], [2, 3, "B"]]}
    assert read(row, spans_only).labels == (ONLY_LABEL, "B")
    assert read({"text": "abcdef"}, spans_only).labels == ()
    ignoring = spans_only.model_copy(update={"ignore_labels": ("B",)})
    assert read(row, ignoring).target == Evidence((Span(0, 2, ONLY_LABEL),))
    one = Data(train="t", label="label", evidence="evidence")
    example = read({"text": "abc", "label": " NEG ", "evidence": [[0, 1]]}, one, exclusive=True)
    assert (example.labels, example.target.spans) == (("NEG",), (Span(0, 1, "NEG"),))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"evidence": [[2, 5]]},
            r"row 1: column 'evidence' must hold spans .* 0 <= start < end <= 4, .*code points.*\[2, 5\]",
        ),
        ({"evidence": [[-1, 2]]}, r"got \[-1, 2\]"),
        ({"evidence": [[3, 1]]}, r"got \[3, 1\]"),
        ({"evidence": [[0, 1.5]]}, r"whole numbers .* got \[0, 1.5\]"),
        ({"evidence": [[True, 2]]}, r"whole numbers"),
        ({"evidence": "[[0, 2]"}, r"column 'evidence' must hold a list of spans.*correct it, or leave it empty"),
        ({"evidence": "first words"}, r"must hold a list of spans"),
        ({"evidence": [["0", "2"]]}, r"whole numbers"),
        ({"evidence": [[0, 2, "A", 3]]}, r"one of them is"),
        ({"evidence": [[0, 2, "SLEPE"]], "labels": ["SLEEP", "B"]}, r"the row has \(did you mean 'SLEEP'\?\), but"),
        ({"evidence": [[0, 2, "A"]], "labels": []}, r"the row has \(it has none\), but got"),
        ({"evidence": [[0, 2]], "labels": []}, r"must say of which label a span is"),
        ({"evidence": [[0, 2]], "labels": ["A", "B"]}, r"must say of which label a span is.*got \[0, 2\]"),
        ({"rejected": [[0, 9]]}, r"column 'rejected' must hold spans"),
        ({"text": "", "evidence": [[0, 1]]}, r"end <= 0"),
    ],
)
def test_what_is_no_evidence_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read({"text": "abcd", "labels": ["A"], **row})


def test_problems_of_all_rows_are_told_at_once() -> None:
    rows = [{"text": "ab", "labels": ["A"], "evidence": [[0, end]]} for end in (1, 3, 2, 4)]
    data = Data(train="t", evidence="evidence")
    with pytest.raises(DataError, match=r"rows: row 2: .*; row 4: "):
        examples_of(rows, data, reader=evidence_reader(data, exclusive=False), source="rows")


def problems(task: TaskSpec, **keys: Any) -> list[str]:
    data = Data(train="t", **keys)
    return [f"{path} {message}" for path, message in broken_rules({"task": task, "data": data})]


def test_keys_of_evidence_fit_the_task_and_one_another() -> None:
    plain, marks = ClassificationTask(), MarksTask()
    assert not problems(plain)
    refused = {"evidence": "e", "rejected": "r", "annotations": "a", "ignore_labels": ("x",), "labels": None}
    for key, value in refused.items():
        (problem, *_) = problems(plain, **{key: value})
        assert problem.startswith(f"data.{key} task 'classification'")
    assert not problems(marks, evidence="e", labels=None)
    assert not problems(marks, annotations=("a", "b"), id="post_id")
    broken: list[tuple[dict[str, Any], str]] = [
        ({}, "data.evidence task 'marks' learns from evidence"),
        ({"evidence": "e", "text": ("a", "b")}, "data.text spans are those of one text"),
        ({"evidence": "e", "text_pair": "b"}, "data.text_pair spans are those of one text"),
        ({"evidence": "text"}, "data.evidence a column has one meaning"),
        ({"evidence": "e", "rejected": "e"}, "data.evidence a column has one meaning"),
        ({"annotations": "a"}, "data.id annotated sentences are joined"),
        ({"annotations": (), "id": "i"}, "data.annotations there must be at least one file"),
        ({"annotations": "a", "id": "i", "evidence": "e"}, "data.evidence evidence is in columns or in data.annot"),
        ({"annotations": "a", "id": "i", "labels": ("x", "y")}, "data.labels labels are those of data.annotations"),
    ]
    for keys, start in broken:
        assert any(problem.startswith(start) for problem in problems(marks, **keys)), (keys, problems(marks, **keys))


def saved(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text(WRITERS[path.suffix](rows), encoding="utf-8", newline="")
    return str(path)


def splits_of(data: Data) -> Splits:
    return load_splits(data, reader=evidence_reader(data, exclusive=False), strata=by_label, seed=0)


def joined(folder: Path, posts: dict[str, str], lines: list[tuple[str, str, str, str, Any]], **keys: Any) -> Splits:
    """Splits of posts, all of them in each split, and of lines: post, id of the sentence, sentence, label, status."""
    train = saved(folder / "posts.csv", [{"post_id": post, "text": text} for post, text in posts.items()])
    columns = ("post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status")
    annotations = saved(folder / "annotations.csv", [dict(zip(columns, line, strict=True)) for line in lines])
    files = {"train": train, "validation": train, "test": train, "annotations": annotations}
    return splits_of(Data(**files, id="post_id", **keys))


def marked(splits: Splits, post: str) -> list[tuple[str, str]]:
    """Evidence of a post: the characters and their label."""
    (example,) = (example for example in splits.train.examples if example.id == post)
    return [(example.text[start:end], label) for start, end, label in example.target.spans]


def test_annotated_sentences_are_joined_with_their_posts(tmp_path: Path) -> None:
    posts = {
        "exact": "I slept. I can't eat at all. Good.",
        "white": "First.\r\n  \u201cI   can\u2019t\u00a0eat\u201d at all \u2026 Then more.",
        "forms": "Nu: " + unicodedata.normalize("NFD", "\u00c9tait tr\u00e8s fatigu\u00e9.") + " Fin.",
        "right": f"\u05d1\u05d5\u05e7\u05e8. {POINTED} \u05e1\u05d5\u05e3.",
        "typos": "Nothing new. I cannot fal asleep before three in the mornin. Bye.",
        "gone": "Only this. And that.",
        "none": "Nobody looked at this one.",
        "no": "I could not sleep last year. It is over.",
    }
    lines: list[tuple[str, str, str, str, Any]] = [
        ("exact", "e-1", " I can't eat at all. ", "APPETITE", 1),
        ("exact", "e-1", " I can't eat at all. ", "FATIGUE", 1),
        ("white", "w-1", '"I can\'t eat" at all...', "APPETITE", 1),
        ("forms", "f-1", "\u00e9tait tr\u00e8s fatigu\u00e9.", "FATIGUE", 1),
        ("right", "r-1", POINTED.replace("\u05b7", ""), "FATIGUE", 1),
        ("typos", "t-1", "I cannot fall asleep before three in the morning.", "SLEEP", 1),
        ("gone", "g-9", "The annotated sentence was removed afterwards.", "SLEEP", 1),
        ("no", "n-0", "I could not sleep last year.", "SLEEP", 0),
        ("elsewhere", "x-0", "Another file has it.", "SLEEP", 1),
    ]
    splits = joined(tmp_path, posts, lines)
    assert marked(splits, "exact") == [("I can't eat at all.", "APPETITE"), ("I can't eat at all.", "FATIGUE")]
    assert marked(splits, "white") == [("\u201cI   can\u2019t\u00a0eat\u201d at all", "APPETITE")]
    assert [unicodedata.normalize("NFC", text) for text, _ in marked(splits, "forms")] == [
        "\u00c9tait tr\u00e8s fatigu\u00e9."
    ]
    assert marked(splits, "right") == [
        ("\u05d0\u05e0\u05d9 \u05e2\u05b7\u05d9\u05d9\u05e3 \u05de\u05d0\u05d5\u05d3!", "FATIGUE")
    ]
    assert marked(splits, "typos") == [("I cannot fal asleep before three in the mornin.", "SLEEP")]
    assert (marked(splits, "gone"), marked(splits, "none"), marked(splits, "no")) == ([], [], [])
    by_id = {example.id: example for example in splits.train.examples}
    assert (by_id["gone"].labels, by_id["none"].labels, by_id["no"].labels) == (("SLEEP",), (), ())
    assert by_id["no"].target.rejected == (Span(0, 28, "SLEEP"),)
    said = "\n".join(splits.notes)
    assert "1 annotated posts are not among the rows (elsewhere)" in said
    assert "word for word; the most similar ones were taken (t-1" in said
    assert "their labels have no evidence there (g-9" in said
    ignoring = joined(tmp_path, posts, lines, ignore_labels=("FATIGUE",))
    assert marked(ignoring, "exact") == [("I can't eat at all.", "APPETITE")]
    assert ignoring.train.digest != splits.train.digest


def test_a_sentence_that_returns_is_the_one_that_its_number_says(tmp_path: Path) -> None:
    text = "Tired. I woke up. Tired. I went out. Tired."
    lines = [("p", "p_1", "I woke up.", "SLEEP", 1), ("p", "p_2", "Tired.", "A", 1), ("p", "p_4", "Tired.", "B", 1)]
    splits = joined(tmp_path, {"p": text}, lines)
    starts = {span.label: span.start for span in splits.train.examples[0].target.spans}
    assert starts == {"SLEEP": 7, "A": 18, "B": 37}
    assert any("several times" in note and "p_2" in note for note in splits.notes)
    unnumbered = joined(tmp_path, {"p": text}, [("p", "", "Tired.", "A", 1)])
    assert unnumbered.train.examples[0].target.spans == (Span(0, 6, "A"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("p", "1", "One.", "A", 2), r"row 2: column 'status' must hold 1 \(evidence\) or 0 .*, but got '2'"),
        (("p", "1", "One.", "A", ""), r"column 'status' is empty"),
        (("p", "1", "One.", "", 1), r"column 'DSM5_symptom' is empty"),
        (("", "1", "One.", "A", 1), r"column 'post_id' is empty"),
    ],
)
def test_lines_of_annotations_are_whole(tmp_path: Path, line: tuple[str, str, str, str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        joined(tmp_path, {"p": "One. Two."}, [("p", "1", "One.", "A", 1), line])


def test_annotations_belong_to_the_posts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row has the id of a post with annotated sentences.*'q'"):
        joined(tmp_path, {"p": "One. Two."}, [("q", "1", "One.", "A", 1)])
    train = saved(tmp_path / "p.jsonl", [{"id": "p", "text": "One."}, {"id": "p", "text": "Two."}])
    data = Data(train=train, validation=train, test=train, id="id", labels=None, evidence="evidence")
    saved(tmp_path / "p.jsonl", [{"id": "p", "text": text, "evidence": [[0, 3]]} for text in ("One.", "Two.")])
    with pytest.raises(DataError, match=r"every text needs an id of its own, but 1 ids .*: 'p' in train"):
        splits_of(data)
    saved(tmp_path / "p.jsonl", [{"id": "p", "text": "One.", "evidence": [[0, 3]]}] * 2)
    assert splits_of(data).train.examples[0].labels == (ONLY_LABEL,)


def test_the_digest_tells_where_evidence_is(tmp_path: Path) -> None:
    def digest(evidence: list[list[int]], rejected: list[list[Any]]) -> str:
        row = {"text": "some words", "labels": ["A"], "evidence": evidence, "rejected": rejected}
        path = saved(tmp_path / "rows.jsonl", [row])
        return splits_of(
            COLUMNS.model_copy(update={"train": path, "validation": path, "test": path, "id": None})
        ).train.digest

    one = digest([[0, 4], [5, 10]], [])
    assert one == digest([[5, 10], [0, 4]], [])
    assert len({one, digest([[0, 4]], []), digest([[0, 4]], [[5, 10]]), digest([[0, 4], [5, 9]], [])}) == 4


def test_the_sample_posts_are_found_whole() -> None:
    """What the generator of the sample wrote into posts is where it wrote it."""
    data = Data(
        **{split: str(POSTS / f"{split}_posts.csv") for split in ("train", "validation", "test")},
        annotations=tuple(str(POSTS / f"{split}_annotations.csv") for split in ("train", "validation", "test")),
        id="post_id",
    )
    splits = splits_of(data)
    assert not any("not in their post" in note for note in splits.notes)
    for split in splits:
        listed = [json.loads(line) for line in (POSTS / f"{split.name}.jsonl").read_text("utf-8").splitlines()]
        assert [set(example.labels) for example in split.examples] == [set(row["labels"]) for row in listed]
        for example in split.examples:
            assert {span.label for span in example.target.spans} == set(example.labels)
    assert sum(bool(example.target.rejected) for example in splits.train.examples) > 100


@given(st.data())
def test_a_sentence_is_found_where_it_was_put(data: st.DataObject) -> None:
    words = st.lists(
        st.sampled_from(["one", "two", "\u05e9\u05dc\u05d5\u05dd", "na\u0301ch", "tr\u00e8s", "\u0928\u093f", "7th"]),
        min_size=1,
        max_size=6,
    )
    before, sentence, after = (" ".join(data.draw(words)) for _ in range(3))
    text = f"{before}. {sentence}! {after}?"
    place = (len(before) + 2, len(before) + 2 + len(sentence))
    assert place in find_sentence(sentence, text).places
    loose = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), f"  {sentence.upper()}\n").replace(
        " ", "\t"
    )
    found = find_sentence(loose, text)
    assert place in found.places and all(0 <= start < end <= len(text) for start, end in found.places)
    assert not find_sentence("", text).places


def test_what_is_as_similar_twice_is_not_found() -> None:
    text = "I could hardly sleep last nights. Then I could hardly sleeep last night. End."
    assert not find_sentence("I could hardly slep last night.", text).places
    assert find_sentence("I could hardly slep last night.", text[:33]).by == "similarity"
