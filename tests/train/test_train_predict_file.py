"""Predictions for the rows of a file: what is written, and that nothing of the user's is lost."""

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, native, write_evidence_rows, write_number_rows, write_rows
from tunery.cli import main
from tunery.data.examples import Example
from tunery.errors import DataError, OutputError, RequestError
from tunery.train.fit import fit
from tunery.train.predict.inference import load
from tunery.train.predict.predict_file import STANDARD, Answer, Columns, evaluate_file, predict_file

ROWS = [{"id": "a", "text": "a great day, truly", "note": "x|y"}, {"id": "b", "text": 'so "bad"', "note": ""}]


@pytest.fixture(scope="module")
def runs(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a finished run of each kind, trained when it is first asked for."""
    root = tmp_path_factory.mktemp("runs")

    def run(kind: str) -> Path:
        folder = root / kind / "run"
        if kind == "flags" and not folder.exists():
            shutil.copytree(run("multilabel").parent, root / kind)
            card = folder / "best" / "tunery.json"
            told = json.loads(card.read_text())
            told["config"]["data"]["labels"] = ["bad", "good"]
            card.write_text(json.dumps(told))
        elif not folder.exists():
            folder.parent.mkdir()
            files = _labelled(folder.parent, multilabel=kind == "multilabel")
            files |= {"text_pair": "other"} if kind == "pairs" else {}
            files |= {"text": ["other", "text"]} if kind == "joined" else {}
            task = "multilabel" if kind == "multilabel" else "classification"
            short = {"epochs": 1, "batch_size": 8}
            fit(config(str(tiny_bert), {**files, "id": "id"}, kind=task, train=short), out=folder)
        return folder

    return run


def _labelled(folder: Path, *, multilabel: bool) -> dict[str, str]:
    """Three splits that have their labels as flags too, and a second text."""
    files = write_rows(folder, multilabel=multilabel, rows=16)
    for file in map(Path, files.values()):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row |= {name: int(name in row.get("labels", ())) for name in ("bad", "good")} | {"other": row["id"]}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return list(csv.DictReader(io.StringIO(path.read_text()), delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_row_of_the_output_is_the_row_of_the_input_its_label_and_the_confidence(
    runs: Callable[[str], Path], source: Path, tmp_path: Path, suffix: str
) -> None:
    run, target = runs("classification"), tmp_path / f"out.{suffix}"
    assert predict_file(run, source, target) == 2
    answers = load(run).predict([row["text"] for row in ROWS])
    for row, given, answer in zip(read(target), ROWS, answers, strict=True):
        assert list(row) == ["id", "text", "note", "label", "confidence"]
        assert {key: row[key] for key in given} == given and row["label"] == answer.label
        assert float(row["confidence"]) == pytest.approx(max(answer.probabilities.values()), abs=1e-6)
        assert len(str(row["confidence"])) <= 8


def test_several_labels_are_written_as_the_training_data_has_them(
    runs: Callable[[str], Path], source: Path, tmp_path: Path
) -> None:
    model = load(runs("multilabel"))
    for wrong in (2.0, -0.1, math.nan):
        with pytest.raises(RequestError, match="a threshold is a probability from 0 to 1, but got"):
            model.predict("a text", threshold=wrong)
    answers = model.predict([row["text"] for row in ROWS], threshold=0.0)
    assert answers[0].labels == ("bad", "good") and answers[0].confidence == min(answers[0].probabilities.values())
    every, none = Answer(threshold=0.0), Answer(threshold=1.0)
    expected: Any
    for kind, suffix, answer, expected in [
        ("multilabel", "csv", every, {"labels": "bad|good"}),
        ("multilabel", "csv", none, {"labels": ""}),
        ("multilabel", "jsonl", every, {"labels": ["bad", "good"]}),
        ("flags", "csv", every, {"bad": "1", "good": "1"}),
        ("flags", "jsonl", none, {"bad": 0, "good": 0}),
    ]:
        target = tmp_path / f"out.{suffix}"
        predict_file(runs(kind), source, target, answer=answer, overwrite=True)
        assert [{key: row[key] for key in expected} for row in read(target)] == [expected] * 2
        assert list(read(target)[0]) == ["id", "text", "note", *expected, "confidence"]


@pytest.fixture(scope="module")
def evidence_run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    files = {**write_evidence_rows(folder), "id": "id"}
    fit(config(str(tiny_bert), files, kind="criteria_evidence", train={"epochs": 1}), out=folder / "run")
    return folder / "run"


def test_the_evidence_of_each_label_is_written_with_its_text_and_offsets(evidence_run: Path, tmp_path: Path) -> None:
    source = evidence_run.parent / "test.jsonl"
    everything = Answer(threshold=0.0, top_k=1, probabilities=True)
    for target in (tmp_path / "out.jsonl", tmp_path / "out.csv"):
        predict_file(evidence_run, source, target, answer=everything)
    lines, cells, given = read(tmp_path / "out.jsonl"), read(tmp_path / "out.csv"), read(source)
    answers = load(evidence_run).predict([row["text"] for row in given], threshold=0.0)
    assert any(answer.evidence for answer in answers)
    for line, cell, row, answer in zip(lines, cells, given, answers, strict=True):
        assert line["labels"] == ["energy", "mood", "sleep"] and cell["labels"] == "energy|mood|sleep"
        assert json.loads(cell["evidence"]) == line["evidence"] and line["input_evidence"] == row["evidence"]
        assert [span | {"score": 0} for span in line["evidence"]] == [
            span.model_dump() | {"score": 0} for span in answer.evidence
        ]
        assert all(span["text"] == row["text"][span["start"] : span["end"]] for span in line["evidence"])
        assert all(len(str(span["score"])) <= 8 for span in line["evidence"])
        assert len(repr(answer)) < 100 and {"top", "probabilities"} <= line.keys() and "p_mood" in cell


def test_a_new_file_is_scored_by_its_column_of_evidence_or_by_annotated_sentences(
    evidence_run: Path, tmp_path: Path
) -> None:
    source = evidence_run.parent / "test.jsonl"
    expected = json.loads((evidence_run / "result.json").read_text())["metrics"]["test"]
    assert evaluate_file(evidence_run, source) == expected

    posts, annotations = tmp_path / "posts.csv", tmp_path / "annotations.csv"
    with posts.open("w", newline="") as file, annotations.open("w", newline="") as second:
        rows, sentences = csv.writer(file), csv.writer(second)
        rows.writerow(["id", "text"])
        sentences.writerow(["post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status"])
        for row in read(source):
            rows.writerow([row["id"], row["text"]])
            for number, (start, end, label) in enumerate(row["evidence"]):
                sentences.writerow([row["id"], f"{row['id']}-{number}", row["text"][start:end], label, 1])
            if not row["evidence"]:
                sentences.writerow([row["id"], f"{row['id']}-0", row["text"].split(". ")[0], "mood", 0])
    assert evaluate_file(evidence_run, posts, columns=Columns(annotations=(str(annotations),))) == expected

    other = shutil.copytree(evidence_run, tmp_path / "run")  # a model that was trained with annotated sentences
    card = other / "best" / "tunery.json"
    record = json.loads(card.read_text())
    record["config"]["data"] |= {"evidence": None, "annotations": "gone.csv"}
    card.write_text(json.dumps(record))
    assert evaluate_file(other, source) == expected


def test_what_is_written_is_chosen(runs: Callable[[str], Path], source: Path, tmp_path: Path) -> None:
    run, table, lines = runs("classification"), tmp_path / "out.csv", tmp_path / "out.jsonl"
    answer = Answer(keep=("note", "id"), threshold=1.0, top_k=1, probabilities=True)
    for target in (table, lines):
        predict_file(run, source, target, answer=answer)
    row, record = read(table)[0], read(lines)[0]
    assert list(row) == ["note", "id", "label", "confidence", "top_1", "top_1_p", "p_bad", "p_good"]
    assert (row["label"], record["label"]) == ("", None)
    assert row["top_1"] == record["top"][0]["label"] and float(row["top_1_p"]) == record["top"][0]["probability"]
    assert {f"p_{label}": str(p) for label, p in record["probabilities"].items()} == {
        key: row[key] for key in ("p_bad", "p_good")
    }
    assert float(row["confidence"]) == max(record["probabilities"].values())
    predict_file(run, source, table, answer=Answer(keep=()), overwrite=True)
    assert list(read(table)[0]) == ["label", "confidence"]


def test_a_file_without_one_of_several_text_columns_is_refused(
    runs: Callable[[str], Path], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, target = runs("joined"), tmp_path / "out.csv"
    with pytest.raises(SystemExit) as left:
        main(["predict", str(run), "--input", str(source), "--output", str(target)])
    said = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2 and not target.exists() and "Traceback" not in said
    assert "there is no column 'other' (data.text); did you mean 'note'? Columns there: id, text, note" in said
    assert predict_file(run, source, target, columns=Columns(text="note,text")) == 2


def test_a_column_of_the_input_is_never_lost_to_a_column_of_the_output(
    runs: Callable[[str], Path], tmp_path: Path
) -> None:
    source, target = tmp_path / "new.jsonl", tmp_path / "out.jsonl"
    given = {"id": "a", "text": "a great day", "label": "mine", "input_label": "too", "confidence": 3}
    source.write_text(json.dumps(given))
    predict_file(runs("classification"), source, target)
    (row,) = read(target)
    assert row["label"] in ("bad", "good") and row["confidence"] <= 1
    kept = {"input_input_label": "mine", "input_label": "too", "input_confidence": 3}
    assert {key: row[key] for key in kept} == kept


def test_columns_may_have_new_names(runs: Callable[[str], Path], tmp_path: Path) -> None:
    source, target = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("id,words,more,truth\n1,a great day,yes,good\n2,sad and bad,no,bad\n")
    keep = Answer(keep=("id",))
    predict_file(runs("classification"), source, target, columns=Columns(text="words"), answer=keep)
    named = Columns(text="words", text_pair="more")
    predict_file(runs("pairs"), source, target, columns=named, answer=keep, overwrite=True)
    answers = load(runs("pairs")).predict([("a great day", "yes"), ("sad and bad", "no")])
    assert [row["label"] for row in read(target)] == [answer.label for answer in answers]
    scores = evaluate_file(runs("classification"), source, columns=Columns(text="words", label="truth"))
    given = load(runs("classification")).predict(["a great day", "sad and bad"])
    assert scores["accuracy"] == sum(a.label == t for a, t in zip(given, ("good", "bad"), strict=True)) / 2


def test_a_new_labelled_file_is_scored_like_the_split_it_equals(runs: Callable[[str], Path]) -> None:
    for kind in ("classification", "multilabel", "flags"):
        run = runs(kind)
        scored = evaluate_file(run, run.parent / "test.jsonl")
        told = json.loads((run / "result.json").read_text())["metrics"]["test"]
        assert scored["f1_macro"] == pytest.approx(told["f1_macro"]) and scored["loss"] == pytest.approx(told["loss"])


def test_annotated_sentences_are_for_models_that_learn_evidence(runs: Callable[[str], Path], tmp_path: Path) -> None:
    columns = Columns(annotations=(str(tmp_path / "annotations.csv"),))
    with pytest.raises(DataError, match="annotated sentences are evidence, which task 'multilabel' does not learn"):
        evaluate_file(runs("multilabel"), runs("multilabel").parent / "test.jsonl", columns=columns)


def test_rows_that_the_model_was_trained_on_are_counted(runs: Callable[[str], Path], tmp_path: Path) -> None:
    told: list[str] = []
    folder = Path(shutil.copytree(runs("classification").parent, tmp_path / "copy"))
    card = json.loads((folder / "run" / "best" / "tunery.json").read_text())
    card["config"]["data"] |= {name: str(folder / f"{name}.jsonl") for name in ("train", "validation", "test")}
    (folder / "run" / "best" / "tunery.json").write_text(json.dumps(card))
    train, test = ((folder / f"{name}.jsonl").read_text().splitlines() for name in ("train", "test"))
    (tmp_path / "new.jsonl").write_text("\n".join([*test, *train[:3]]))
    known = len({json.loads(line)["text"] for line in train[:3]})
    evaluate_file(folder / "run", tmp_path / "new.jsonl", say=told.append)
    evaluate_file(folder / "run", folder / "test.jsonl", say=told.append)
    (folder / "train.jsonl").write_text("\n".join(train[1:]))
    evaluate_file(folder / "run", tmp_path / "new.jsonl", say=told.append)
    (folder / "train.jsonl").unlink()
    evaluate_file(folder / "run", tmp_path / "new.jsonl", say=told.append)
    unknown = "whether the model was trained on some of these rows could not be looked at: "
    assert told[0].startswith(f"warning: the model was trained on {known} of these {len(test) + 3} rows")
    assert told[1].startswith(f"{unknown}train had 16 rows and has 15")
    assert told[2].startswith(f"{unknown}there is no file") and len(told) == 3


def test_a_label_that_the_model_does_not_know_is_refused(runs: Callable[[str], Path], tmp_path: Path) -> None:
    source = tmp_path / "new.csv"
    source.write_text("text,label\na great day,goood\n")
    with pytest.raises(DataError, match="'goood' is unknown to the model; did you mean 'good'"):
        evaluate_file(runs("classification"), source)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no text": ("id,txt\n1,x\n", {}, r"no column 'text' \(data.text\); did you mean 'txt'\? .* --text"),
    "no id": ("text,ID\nx,1\n", {}, r"\(data.id\), but there is none; .*--keep.*did you mean 'ID'"),
    "nothing to keep": ("id,text\n1,x\n", {"answer": Answer(keep=("txt",))}, r"no column 'txt' to keep; did you mean"),
    "no rows": ("id,text\n", {}, "the file has no rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_without_what_is_needed_is_refused_and_nothing_written(
    runs: Callable[[str], Path], tmp_path: Path, case: str
) -> None:
    content, options, message = WRONG[case]
    source, target = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text(content)
    with pytest.raises(DataError, match=message):
        predict_file(runs("classification"), source, target, **options)
    assert not target.exists()


def test_an_id_is_not_needed_where_the_columns_to_keep_are_named(runs: Callable[[str], Path], tmp_path: Path) -> None:
    source, target = tmp_path / "new.csv", tmp_path / "out.csv"
    source.write_text("text\na great day\n")
    predict_file(runs("classification"), source, target, answer=Answer(keep=("text",)))
    assert read(target)[0]["text"] == "a great day"


def test_the_input_is_never_written_over(tmp_path: Path, source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(OutputError, match="two files"):
        predict_file(tmp_path / "no run is looked at", source, source, overwrite=True)
    with pytest.raises(OutputError, match="exists"):
        predict_file(tmp_path / "no run is looked at", tmp_path / "other.csv", source)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ('{"id": 1, "text": "a great day"}\n', '{"id": 1, "text": "a great day", "label": '),
        ("id,text\n1,a great day\n", "id,text,label,confidence\n1,a great day,"),
        ("id\ttext\n1\ta great day\n", "id\ttext\tlabel\tconfidence\n1\ta great day\t"),
        ('[{"id": 1, "text": "a 好 day"}]', '{"id": 1, "text": "a 好 day", "label": '),
    ],
)
def test_standard_input_and_output(
    runs: Callable[[str], Path],
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    start: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert predict_file(runs("classification"), STANDARD, STANDARD) == 1
    sys.stdout.flush()
    assert capfdbinary.readouterr().out.decode().startswith(start)


class Screen(io.TextIOWrapper):
    """Standard output where it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_no_control_character_of_the_input_reaches_a_terminal(
    runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sent = tmp_path / "new.csv", io.BytesIO()
    source.write_text("id,text\n1,a \x1b]52;c;aGk=\x07 day\n")
    for stream, text in ((Screen(sent), rb"\n1,a \x1b]52;c;aGk=\x07 day,"), (io.TextIOWrapper(sent), b"\n1,a \x1b]52")):
        monkeypatch.setattr(sys, "stdout", stream)
        predict_file(runs("classification"), source, STANDARD)
        assert text.replace(rb"\n", b"\n") in sent.getvalue()


@pytest.mark.parametrize("kind", ["classification", "multilabel", "joined"])
def test_rank_orders_rows_of_an_unlabelled_file_and_loses_none(
    runs: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    source, target, plain = tmp_path / "new.jsonl", tmp_path / "ranked.jsonl", tmp_path / "plain.jsonl"
    texts = [f"a {word} day {n}" for n in range(4) for word in ("great", "bad", "long")] + [" "]
    rows = [{"id": str(n), "text": text, "other": " ", "rank": "first"} for n, text in enumerate(texts)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert predict_file(runs(kind), source, target, answer=Answer(rank=True)) == len(rows)
    predict_file(runs(kind), source, plain)
    ranked, answered = read(target), {row["id"]: row for row in read(plain)}
    assert [row.pop("rank") for row in ranked] == [*range(1, len(rows) + 1)]
    assert ranked[-1]["id"] == str(len(rows) - 1) and {row["id"] for row in ranked} == answered.keys()
    for row in ranked:
        expected = answered[row["id"]]
        assert row.pop("input_rank") == expected.pop("rank") == "first"
        assert row.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-6) and row == expected
    again = tmp_path / "again.jsonl"
    predict_file(runs(kind), source, again, answer=Answer(rank=True))
    assert again.read_bytes() == target.read_bytes()


def test_an_empty_file_is_ranked_as_it_is_answered(runs: Callable[[str], Path], tmp_path: Path) -> None:
    source = tmp_path / "new.csv"
    source.write_text("id,text\n")
    said = []
    for answer in (Answer(), Answer(rank=True)):
        try:
            said.append(str(predict_file(runs("classification"), source, tmp_path / "out.csv", answer=answer)))
        except DataError as error:
            said.append(str(error))
    assert said[0] == said[1]


def test_texts_with_evidence_are_ranked_by_their_labels(evidence_run: Path) -> None:
    model = load(evidence_run)
    long = " ".join(f"The film {n} was very long." for n in range(30))
    rows = [Example(text) for text in (long, "I was too tired.", " ", "I was sad and empty.")]
    order = model.rank(rows).tolist()
    assert sorted(order) == [0, 1, 2, 3] and order[-1] == 2
    assert model.vectors(rows).shape == (4, 32)


def test_models_without_labels_rank_nothing(tiny_bert: Path, tmp_path: Path, source: Path) -> None:
    fit(config(str(tiny_bert), write_number_rows(tmp_path), kind="regression", train={"epochs": 1}), out=tmp_path / "r")
    with pytest.raises(RequestError, match="--rank orders texts by how sure"):
        predict_file(tmp_path / "r", source, tmp_path / "out.csv", answer=Answer(rank=True))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("spec", [{"peft": "tfidf"}, {"peft": "majority"}, {"peft": {"method": "prompt"}}, {"head": 1}])
def test_every_kind_of_model_ranks(tiny_bert: Path, tmp_path: Path, spec: dict[str, Any]) -> None:
    head = spec.pop("head", None)
    model = {"model": native(tiny_bert)} if head else {}
    short = {"epochs": 1, "batch_size": 8, "baselines": []}
    files = write_rows(tmp_path, rows=16)
    fit(config(str(tiny_bert), files, train=short, **spec, **model), out=tmp_path / "run")
    rows = [Example(text) for text in ("a great film", "the film was bad", "and we", "", "very happy day")]
    order = load(tmp_path / "run").rank(rows).tolist()
    assert sorted(order) == [0, 1, 2, 3, 4] and order[-1] == 3
