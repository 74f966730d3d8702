"""Cross-validation: every row is answered once, by a model that has not seen it, and each fold is an ordinary run."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_runs import FILES, after_steps, config, write_rows
from tunery.data.splitting import stratified_folds
from tunery.errors import DataError, Interrupted, ModelError
from tunery.schema import RunConfig
from tunery.schema.reading.document import validate
from tunery.schema.results.run import RunResult
from tunery.store.cleaning import clean_run
from tunery.store.folder import RunFolder
from tunery.store.inventory import storage_of
from tunery.tasks.table import read_splits
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate, load
from tunery.train.run import fit as fit_with_page


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_rows(tmp_path_factory.mktemp("rows"))


def with_folds(model: Path, files: dict[str, str], *, folds: int = 3, **sections: Any) -> RunConfig:
    data = {key: files[key] for key in files if key not in ("validation", "test")}
    data |= {"folds": folds, "validation_size": 0.2, "id": "id", **sections.pop("data", {})}
    sections = {"train": {"epochs": 2, "batch_size": 8, "baselines": []}, **sections}
    return config(str(model), data, **sections)


def oof(run: Path) -> list[dict[str, str]]:
    with (run / "oof.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rows_of(files: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(files["train"]).read_text().splitlines()]


def test_every_row_is_answered_once_as_the_run_of_its_fold_does(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    whole = with_folds(tiny_bert, files)
    result = fit(whole, out=tmp_path / "run")
    lines = oof(tmp_path / "run")
    assert [int(line["row"]) for line in lines] == [*range(60)]
    assert [line["id"] for line in lines] == [row["id"] for row in rows_of(files)]
    assert [line["given"] for line in lines] == [row["label"] for row in rows_of(files)]
    assert result.metrics.test is None  # no test file: folds do what splitting one off would
    with pytest.raises(DataError, match="cross-validated"):
        evaluate(tmp_path / "run")
    by_fold = {fold.fold: fold for fold in result.folds}
    assert sorted(by_fold) == [0, 1, 2]
    for fold in (0, 2):
        alone = with_folds(tiny_bert, files, data={"fold": fold})
        of_fold = fit(alone, out=tmp_path / f"alone-{fold}")
        assert of_fold.data is not None and of_fold.metrics.test is not None
        held_out = [line["id"] for line in lines if int(line["fold"]) == fold]
        assert held_out == [example.id for example in read_splits(alone.data, alone.task, seed=0).test.examples]
        assert by_fold[fold].digest == of_fold.data.splits["test"].digest
        assert by_fold[fold].value == pytest.approx(of_fold.metrics.test["f1_macro"])
        assert by_fold[fold].best_epoch == of_fold.best_epoch
    right = np.mean([line["given"] == line["predicted_label"] for line in lines])
    assert result.metrics.oof is not None
    assert result.metrics.oof["accuracy"] == pytest.approx(right)
    assert result.objective.value == result.metrics.oof["f1_macro"]
    assert len(result.metrics.oof_without_block) == 50
    assert result.metrics.oof_interval is not None
    assert result.metrics.oof_interval[0] < result.objective.value < result.metrics.oof_interval[1]


def test_a_page_names_rows_to_look_at_and_those_answered_worst_out_of_fold(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    rows = rows_of(files)
    wrong = {"good": "bad", "bad": "good"}
    for number in (3, 40):
        rows[number]["label"] = wrong[rows[number]["label"]]
    path = tmp_path / "turned.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = with_folds(tiny_bert, {**files, "train": str(path)}, peft="tfidf", train={"baselines": []})
    fit_with_page(text, out=tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    doubtful, worst = folder.doubtful_rows(), folder.worst_rows()
    assert doubtful is not None and worst is not None
    assert {rows[3]["id"], rows[40]["id"]} <= {row.id for row in doubtful.rows} and doubtful.of == 60
    assert all(row.suggested != row.given and row.texts for row in doubtful.rows)
    assert worst.split == "train, out of fold" and {rows[3]["id"], rows[40]["id"]} <= {row.id for row in worst.rows[:6]}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Training rows to look at" in page and "of train, out of fold" in page and rows[3]["text"][:20] in page
    fit_with_page(text, out=tmp_path / "run", texts=False)
    bare, page = folder.doubtful_rows(), (tmp_path / "run" / "report.html").read_text()
    assert bare is not None and not bare.has_texts and rows[3]["text"][:20] not in page


def test_a_fold_is_the_run_of_its_three_splits(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    """What is held out chooses nothing: with wrong labels there, the rest comes out the same."""
    one = with_folds(tiny_bert, files, data={"fold": 1})
    of_fold = fit(one, out=tmp_path / "fold")
    other, written = {"good": "bad", "bad": "good"}, {}
    for split in read_splits(one.data, one.task, seed=0):
        is_test = split.name == "test"
        rows = [
            {"id": e.id, "text": e.text, "label": other[e.labels[0]] if is_test else e.labels[0]}
            for e in split.examples
        ]
        written[split.name] = str(tmp_path / f"{split.name}.jsonl")
        Path(written[split.name]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    spoiled = fit(
        config(str(tiny_bert), {**written, "id": "id"}, train=one.train.model_dump()), out=tmp_path / "spoiled"
    )
    assert spoiled.metrics.validation == of_fold.metrics.validation
    assert spoiled.metrics.test is not None and of_fold.metrics.test is not None
    assert spoiled.metrics.test["accuracy"] == pytest.approx(1 - of_fold.metrics.test["accuracy"])
    texts = [row["text"] for row in rows_of(files)]
    assert load(tmp_path / "spoiled").predict(texts) == load(tmp_path / "fold").predict(texts)


@pytest.mark.parametrize("final", ["refit", "ensemble"])
def test_stopped_in_any_fold_it_ends_as_if_it_had_not_been(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str], final: str
) -> None:
    both = with_folds(tiny_bert, files, data={"final": final})
    whole = fit(both, out=tmp_path / "whole")
    resumed: RunResult | None = None
    for steps in (3, 9, 8, 100):
        try:
            resumed = fit(both, out=tmp_path / "stopped", stop=after_steps(steps))
            break
        except Interrupted:
            assert not (tmp_path / "stopped" / "result.json").exists()
    assert resumed is not None and steps == 100
    assert (tmp_path / "stopped" / "oof.csv").read_bytes() == (tmp_path / "whole" / "oof.csv").read_bytes()
    assert resumed.metrics == whole.metrics
    texts = [row["text"] for row in rows_of(files)]
    assert load(tmp_path / "stopped").predict(texts) == load(tmp_path / "whole").predict(texts)


def test_final_models(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    texts = [json.loads(line)["text"] for line in Path(files["test"]).read_text().splitlines()]
    given = {"test": files["test"], "validation": files["validation"]}
    results = {
        final: fit(with_folds(tiny_bert, files, data={"final": final, **given}), out=tmp_path / final)
        for final in ("refit", "ensemble", "best_fold")
    }
    scores = {final: result.metrics.oof for final, result in results.items()}
    assert scores["refit"] == scores["ensemble"] == scores["best_fold"]
    assert len({str(result.metrics.test) for result in results.values()}) == 3
    for final, result in results.items():
        assert result.metrics.test is not None
        assert load(tmp_path / final).state == load(tmp_path / "refit").state  # fitted out of fold, whatever the model
        assert not (tmp_path / final / "folds" / "0" / "objects").exists() or not any(
            path.suffix == ".safetensors" for path in (tmp_path / final / "folds" / "0" / "objects").iterdir()
        )
    assert evaluate(tmp_path / "refit") == results["refit"].metrics.test

    members = [load(path) for path in sorted((tmp_path / "ensemble" / "best" / "members").iterdir())]
    assert len(members) == 3
    each = [model.predict(texts) for model in members]
    state = members[0].state
    assert state is not None and state["calibration"] is None  # so that the mean of probabilities is what is told
    for row, together in enumerate(load(tmp_path / "ensemble").predict(texts)):
        mean = np.mean([answers[row].probabilities["good"] for answers in each])
        assert together.probabilities["good"] == pytest.approx(mean, abs=1e-6)

    values = [fold.value for fold in results["best_fold"].folds]
    best = values.index(max(values, key=lambda value: value or 0.0))
    assert load(tmp_path / "best_fold").predict(texts) == members[best].predict(texts)


@pytest.mark.parametrize("task", ["multilabel", "criteria_evidence", "regression", "levels"])
def test_other_tasks(tmp_path: Path, tiny_bert: Path, task: str) -> None:
    files = FILES[task](tmp_path / "rows")
    kind, further = ("regression", {"ordinal": True}) if task == "levels" else (task, {})
    sections = {"task": {"kind": kind, **further}}
    result = fit(with_folds(tiny_bert, files, **sections), out=tmp_path / "run")
    assert [int(line["row"]) for line in oof(tmp_path / "run")] == [*range(60)]
    assert result.metrics.oof is not None
    assert set(result.metrics.oof) >= set(validate(result.config).task.metrics)
    if task == "criteria_evidence":
        ensemble = with_folds(tiny_bert, files, data={"final": "ensemble"}, **sections)
        with pytest.raises(ModelError, match="take data.final=refit"):
            fit(ensemble, out=tmp_path / "ensemble")
        assert not (tmp_path / "ensemble").exists()


def test_repeats_share_rows_out_anew_and_count_equally(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    twice = with_folds(tiny_bert, files, folds=2, data={"repeats": 2}, peft="tfidf", optim={"name": "adamw"})
    result = fit(twice, out=tmp_path / "run")
    lines = oof(tmp_path / "run")
    assert [int(line["row"]) for line in lines] == [*range(60)] * 2
    first, second = ({line["id"] for line in lines if line["fold"] == fold} for fold in ("0", "2"))
    assert first != second and len(first) == len(second) == 30
    right = np.array([line["given"] == line["predicted_label"] for line in lines]).reshape(2, 60)
    assert result.metrics.oof is not None
    assert result.metrics.oof["accuracy"] == pytest.approx(right.mean(axis=1).mean())


def test_groups_stay_in_one_fold_and_a_label_that_one_has_stays_in_training(tmp_path: Path, tiny_bert: Path) -> None:
    rows = [
        {"text": f"the film was {'great' if n % 2 else 'bad'} {n}", "label": "ab"[n % 2], "by": str(n // 4)}
        for n in range(40)
    ]
    rows += [{"text": f"we hate this day {n}", "label": "c", "by": "alone"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"train": str(tmp_path / "rows.jsonl"), "group": "by"}
    data = {"id": None, "allow": ["shared_rows"]}
    result = fit(with_folds(tiny_bert, files, data=data, peft="tfidf", optim={"name": "adamw"}), out=tmp_path / "run")
    lines = oof(tmp_path / "run")
    assert [int(line["row"]) for line in lines] == [*range(40)]  # those of `c` are in no fold
    folds_of_group: dict[str, set[str]] = {}
    for line in lines:
        folds_of_group.setdefault(rows[int(line["row"])]["by"], set()).add(line["fold"])
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert result.data is not None
    assert any("are in no fold" in finding and "'c' 4" in finding for finding in result.data.findings)


def test_too_few_rows_are_refused_before_anything_is_written(tmp_path: Path, tiny_bert: Path) -> None:
    rows = [{"text": f"the film was {n}", "label": "ab"[n % 2], "by": str(n // 20)} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"train": str(tmp_path / "rows.jsonl"), "group": "by", "validation": str(tmp_path / "rows.jsonl")}
    few = config(str(tiny_bert), {**files, "folds": 5, "allow": ["shared_rows"]})
    with pytest.raises(DataError, match=r"those of one group .* lower data\.folds"):
        fit(few, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folds_are_part_of_what_lies_there(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    three = with_folds(tiny_bert, files)
    with pytest.raises(Interrupted):
        fit(three, out=tmp_path / "run", stop=after_steps(8))
    held = [item for item in storage_of(tmp_path / "run").items if item.path.startswith("folds/") and item.bytes]
    assert {item.kind for item in held} >= {"records", "resume", "best"}
    assert not any(item.kind == "orphan" for item in held)
    fit(three, out=tmp_path / "run")
    assert clean_run(tmp_path / "run", delete=False) == ()
    kinds = {item.kind for item in storage_of(tmp_path / "run").items if item.path.startswith("folds/")}
    assert kinds == {"records"}


def test_folds_share_out_the_rows_of_the_file(tiny_bert: Path, files: dict[str, str]) -> None:
    every = with_folds(tiny_bert, files)
    splits = read_splits(every.data, every.task, seed=0)
    fold = stratified_folds(splits.pool, 3, seed=every.data.seed)
    for number in range(3):
        one = with_folds(tiny_bert, files, data={"fold": number})
        of_fold = read_splits(one.data, one.task, seed=0)
        assert of_fold.test.examples == tuple(splits.pool[row] for row in np.flatnonzero(fold == number))
        ids = [example.id for split in of_fold for example in split.examples]
        assert sorted(map(str, ids)) == sorted(str(example.id) for example in splits.pool)


def test_simple_models_are_compared_out_of_fold(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    train = {"epochs": 2, "batch_size": 8, "baselines": ["majority", "tfidf"]}
    result = fit(with_folds(tiny_bert, files, train=train), out=tmp_path / "run", baselines=True)
    by_method = {baseline.method: baseline for baseline in result.baselines}
    alone = with_folds(tiny_bert, files, peft="tfidf", optim={"name": "adamw"})
    tfidf = fit(alone, out=tmp_path / "tfidf")
    assert by_method["tfidf"].metrics.oof == tfidf.metrics.oof
    assert by_method["tfidf"].metrics.oof_without_block == tfidf.metrics.oof_without_block
    gain = by_method["majority"].gain
    assert gain is not None and gain.split == "oof" and result.metrics.oof is not None
    majority = by_method["majority"].metrics.oof
    assert majority is not None
    assert gain.difference == pytest.approx(result.metrics.oof["f1_macro"] - majority["f1_macro"])
    assert gain.low is not None and gain.high is not None and gain.low < gain.difference < gain.high


def test_continued_pretraining_of_a_fold_reads_its_training_rows_alone(
    tmp_path: Path, tiny_bert: Path, files: dict[str, str]
) -> None:
    adapted = with_folds(tiny_bert, files, folds=2, pretrain={"lr": 1e-2, "tapt": {"steps": 3}})
    result = fit(adapted, out=tmp_path / "run")
    digests = set()
    for number in (0, 1):
        of_fold = RunFolder(tmp_path / "run" / "folds" / str(number)).result()
        assert of_fold is not None and of_fold.data is not None
        (stage,) = of_fold.pretraining
        assert stage.texts + held_out_texts(tmp_path / "run", stage.digest) == of_fold.data.splits["train"].rows
        digests.add(stage.digest)
    (final,) = result.pretraining
    assert len(digests | {final.digest}) == 3


def held_out_texts(run: Path, digest: str) -> int:
    record = RunFolder(run / "pretrain" / digest).result()
    assert record is not None and record.data is not None
    return record.data.splits["validation"].rows


def test_folds_share_what_the_frozen_model_gives(tmp_path: Path, tiny_bert: Path, files: dict[str, str]) -> None:
    probe = with_folds(tiny_bert, files, peft="probe", optim={"name": "adamw"})
    with pytest.raises(Interrupted):
        fit(probe, out=tmp_path / "run", stop=lambda: "a test" if folder_of_second_fold(tmp_path) else None)
    assert len([*(tmp_path / "run" / "features").glob("*.safetensors")]) == 1
    result = fit(probe, out=tmp_path / "run")
    assert not (tmp_path / "run" / "features").exists()
    alone = fit(
        with_folds(tiny_bert, files, data={"fold": 1}, peft="probe", optim={"name": "adamw"}), out=tmp_path / "one"
    )
    assert alone.metrics.test is not None
    assert result.folds[1].value == alone.metrics.test["f1_macro"]


def folder_of_second_fold(root: Path) -> bool:
    return (root / "run" / "folds" / "1").exists()
