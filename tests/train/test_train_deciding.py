"""How a finished model decides is changed without training: what is written, what is refused, what test says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults import FaultyDisk, faulty
from tiny_runs import config, write_evidence_rows, write_rows
from tunery import threshold
from tunery.cli import main
from tunery.errors import ConfigError, DataError, FolderError, RequestError
from tunery.pages import write_page
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.store.folder import RunFolder
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate, load

SHORT = {"epochs": 2, "batch_size": 8}
BIASED = {"missed": {"good": 9.0, "bad": 1.0}, "wrong": 1.0}


@pytest.fixture(scope="module")
def trained(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a copy of a finished run of a kind, which is trained when it is first asked for."""
    root, made = tmp_path_factory.mktemp("deciding"), dict[str, dict[str, str]]()

    def copied(kind: str, folder: Path) -> Path:
        if kind not in made:
            (root / kind).mkdir()
            is_evidence = kind == "criteria_evidence"
            files = write_evidence_rows(root / kind) if is_evidence else _rows(root / kind, kind)
            made[kind] = files
            fit(config(str(tiny_bert), files, kind=kind, train=SHORT), out=root / kind / "run")
        shutil.copytree(root / kind / "run", folder / "run")
        return folder / "run"

    def _rows(folder: Path, kind: str) -> dict[str, str]:
        return write_rows(folder, multilabel=kind == "multilabel", rows=40)

    copied.files = made  # type: ignore[attr-defined]
    return copied


def card_of(run: Path) -> Any:
    return json.loads((run / "best" / "tunery.json").read_text())


@pytest.mark.parametrize("kind", ["multilabel", "criteria_evidence"])
def test_a_model_decides_as_it_is_told_and_test_is_said_to_be_of_before(
    kind: str, tmp_path: Path, trained: Any
) -> None:
    run = trained(kind, tmp_path)
    before, said = RunFolder(run).result(), list[str]()
    assert before is not None
    decided = threshold(run, {"threshold": 0.3}, say=said.append)
    labels = load(run).labels
    assert decided.is_written and decided.state["thresholds"] == [0.3] * len(labels) == list(load(run).thresholds or ())
    assert decided.before["f1_macro"] == pytest.approx(before.metrics.validation["f1_macro"], abs=1e-6)
    assert evaluate(run, "validation")["f1_macro"] == pytest.approx(decided.metrics["f1_macro"])
    after = RunFolder(run).result()
    assert after is not None and after.metrics == before.metrics and after.config == before.config
    (change,) = after.decisions
    assert change.before["threshold"] == {"method": "per_label"} and change.after["threshold"]["value"] == 0.3
    assert card_of(run)["decisions"] == [change.model_dump(mode="json")]
    assert "test scores in its record are of the decisions before" in said[-1]
    page = write_page(run)
    assert page is not None and "decides otherwise" in page.read_text()
    again = threshold(run, ["task.threshold=global"])
    assert len(set(again.state["thresholds"])) == 1
    assert len((RunFolder(run).result() or after).decisions) == 2


def test_costs_make_a_classifier_tell_what_is_cheaper(tmp_path: Path, trained: Any) -> None:
    run = trained("classification", tmp_path)
    costs = {"good": {"bad": 1000.0}, "bad": {"good": 0.001}}
    decided = threshold(run, {"costs": costs})
    assert decided.metrics["cost"] < 0.01 and "cost" not in decided.before
    model = load(run)
    assert {answer.label for answer in model.predict(["a bad film", "sad and terrible", "the day"])} == {"good"}
    back = threshold(run, {"costs": None})
    assert "cost" not in back.metrics and back.metrics["accuracy"] == decided.before["accuracy"]


def test_a_target_is_reached_with_the_highest_recall(tmp_path: Path, trained: Any) -> None:
    run = trained("multilabel", tmp_path)
    decided = threshold(run, {"threshold": {"method": "at_least", "recall": {"good": 0.95}}})
    model, rows = load(run), validation_rows(trained.files["multilabel"])
    given = np.array(["good" in answer.labels for answer in model.predict([row["text"] for row in rows])])
    true = np.array(["good" in row["labels"] for row in rows])
    assert (given & true).sum() >= 0.95 * true.sum()
    assert decided.metrics["per_label"]["good"]["threshold"] == decided.state["thresholds"][model.labels.index("good")]


def validation_rows(files: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(files["validation"]).read_text().splitlines()]


def test_without_changes_and_in_a_trial_nothing_is_written(tmp_path: Path, trained: Any) -> None:
    run = trained("multilabel", tmp_path)
    content = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    shown, tried = threshold(run), threshold(run, {"costs": BIASED}, dry_run=True)
    assert not shown.is_written and shown.metrics == shown.before
    assert not tried.is_written and tried.metrics["cost"] > 0 and tried.state["thresholds"] == [0.5, 0.1]
    left = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert left == content


def test_an_exported_folder_alone_is_changed_in_one_piece(tmp_path: Path, trained: Any) -> None:
    run = trained("multilabel", tmp_path)
    shutil.copytree(run / "best", tmp_path / "model")
    threshold(tmp_path / "model", {"costs": BIASED})
    assert load(tmp_path / "model").thresholds == (0.5, 0.1)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(
        path.name for path in (run / "best").iterdir()
    )
    assert load(run).thresholds != (0.5, 0.1)


@pytest.mark.parametrize("power", [False, True])
def test_a_process_that_dies_leaves_the_old_or_the_new(power: bool, tmp_path: Path, trained: Any) -> None:
    run, crashes = trained("multilabel", tmp_path), list[Path]()
    old = load(run).thresholds

    def copied(disk: FaultyDisk) -> None:
        crashes.append(tmp_path / f"crash-{len(crashes)}")
        disk.crashed(crashes[-1], power=power)

    with faulty(FaultyDisk(run, before=copied)) as disk:
        threshold(run, {"threshold": 0.25})
    assert len(crashes) > 6 and any("tunery.json" in line for line in disk.log)
    left = [tuple(card_of(crash)["task"]["state"]["thresholds"]) for crash in crashes]
    assert left[0] == old and left[-1] == (0.25, 0.25) and set(left) == {old, (0.25, 0.25)}
    halfway = crashes[left.index((0.25, 0.25))]
    assert not (RunFolder(halfway).result() or pytest.fail("no result")).decisions
    threshold(halfway, {"threshold": 0.25})
    assert len((RunFolder(halfway).result() or pytest.fail("no result")).decisions) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["optim.lr=0.1"], "optim.lr: a finished model is not trained again, so this cannot be changed"),
        (["task.treshold=global"], "task.treshold: .* did you mean 'task.threshold'?"),
        (["task.threshold=tune"], "task.threshold.method: unknown choice 'tune'; choose from"),
        (["task.threshold=1.5"], "task.threshold.value: must be a number > 0 and < 1, or a mapping of labels, but got"),
        (["task.threshold={method: fixed, value: {good: 0.3}}"], "there is nothing for 'bad'; add what is missing"),
        (
            ["task.costs={missed: {good: 1, bda: 2}, wrong: 1}"],
            "the label 'bda'; did you mean 'bad'",
        ),
        (["task.costs={missed: 1, wrong: 1}", "task.threshold=0.4"], "thresholds follow from task.costs"),
        (["task.threshold"], "an override is written key.path=value"),
    ],
)
def test_what_is_no_decision_is_refused(changes: list[str], message: str, tmp_path: Path, trained: Any) -> None:
    run = trained("multilabel", tmp_path)
    card = card_of(run)
    with pytest.raises(ConfigError, match=message):
        threshold(run, changes)
    assert card_of(run) == card


def test_other_rows_and_other_folders_are_refused(tmp_path: Path, trained: Any, tiny_bert: Path) -> None:
    run = trained("multilabel", tmp_path)
    card = card_of(run)
    rows = validation_rows(trained.files["multilabel"])
    (tmp_path / "fewer.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    card["config"]["data"]["validation"] = str(tmp_path / "fewer.jsonl")
    (run / "best" / "tunery.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="validation had 24 rows and has 23 .*put back the rows"):
        threshold(run, {"threshold": 0.3})
    with pytest.raises(FolderError, match="a finished model is needed"):
        threshold(tmp_path, {"threshold": 0.3})
    files = write_rows(tmp_path, rows=16)
    number = config(str(tiny_bert), files, kind="mlm", peft="full", train={"epochs": 1, "batch_size": 8})
    assert number.task.decision_keys == ()


def test_the_verb(tmp_path: Path, trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained("multilabel", tmp_path)
    assert code_of(["threshold", str(run), "task.threshold=nothing"]) == 2
    assert "unknown choice 'nothing'" in capsys.readouterr().err
    assert code_of(["threshold", str(run / "nowhere"), "task.threshold=global"]) == 2
    capsys.readouterr()
    assert code_of(["threshold", str(run), "task.threshold=global", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "f1_macro" in shown.out and "good" in shown.out and "nothing was written" in shown.out
    assert code_of(["threshold", str(run), "task.threshold=global", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] and told["decisions"]["threshold"] == {"method": "global"}
    assert told["validation"]["before"]["f1_macro"] == pytest.approx(told["validation"]["before"]["f1_macro"])
    assert set(told["validation"]) == {"before", "after"} and len(told["thresholds"]) == 2


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


def test_a_model_that_abstains_leaves_out_what_it_says_it_will(
    tmp_path: Path, trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("classification", tmp_path)
    model, rows = load(run), validation_rows(trained.files["classification"])
    texts = [row["text"] for row in rows]
    sure = sorted(answer.confidence or 0 for answer in model.predict(texts))
    below = (sure[11] + sure[12]) / 2
    answers = model.predict(texts, abstain_below=below)
    assert sum(answer.abstained for answer in answers) == 12
    assert all((answer.label is None) == answer.abstained == (not answer.labels) for answer in answers)
    assert all(answer.probabilities for answer in answers)
    expected = model.expected(below)
    assert expected is not None and abs(expected.abstained - 0.5) < 0.3 and 0 <= (expected.accuracy or 0) <= 1
    assert model.expected(0.0) == (0.0, pytest.approx(model.expected(0.0).accuracy))  # type: ignore[union-attr]
    assert model.expected(1.0).abstained == 1.0 and model.expected(1.0).accuracy is None  # type: ignore[union-attr]
    for wrong in (-0.1, 1.1):
        with pytest.raises(RequestError, match="a confidence is a probability from 0 to 1, but got"):
            model.predict(texts, abstain_below=wrong)
    given, out = Path(trained.files["classification"]["validation"]), tmp_path / "answers.csv"
    arguments = ["predict", str(run), "--input", str(given), "--output", str(out), "--abstain-below", str(below)]
    assert code_of(arguments) == 0
    said = capsys.readouterr().err
    assert "12 of 24 rows (50.0%) were left without an answer" in said and "on validation" in said
    lines = out.read_text().splitlines()
    assert "abstained" in lines[0] and sum(line.endswith(",1") or ",1," in line for line in lines[1:]) >= 12


@pytest.mark.parametrize("final", ["refit", "best_fold"])
def test_after_cross_validation_answers_out_of_fold_say_how(final: str, tmp_path: Path, tiny_bert: Path) -> None:
    files = write_rows(tmp_path, multilabel=True, rows=40)
    data = {"train": files["train"], "test": files["test"], "folds": 2, "final": final}
    made = config(str(tiny_bert), data, kind="multilabel", train={"epochs": 1, "batch_size": 8})  # type: ignore[arg-type]
    result = fit(made, out=tmp_path / "run")
    assert result.metrics.oof is not None
    decided = threshold(tmp_path / "run", {"threshold": "global"})
    assert decided.before["f1_macro"] == pytest.approx(result.metrics.oof["f1_macro"])
    assert decided.rows.startswith("rows that a fold had not seen")
    assert load(tmp_path / "run").thresholds == tuple(decided.state["thresholds"])
    assert len(set(decided.state["thresholds"])) == 1
    shutil.copytree(tmp_path / "run" / "best", tmp_path / "model")
    with pytest.raises(FolderError, match="answers out of fold, .* name the folder of the run"):
        threshold(tmp_path / "model", {"threshold": "global"})


def test_what_errors_cost_can_be_what_a_run_is_chosen_by(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_rows(tmp_path, rows=32)
    costs = {"good": {"bad": 4.0}, "bad": {"good": 1.0}}
    task, once = {"kind": "classification", "costs": costs}, {"epochs": 1, "batch_size": 8}
    chosen = config(str(tiny_bert), files, task=task, search={"objective": "cost"}, train=once)
    result = fit(chosen, out=tmp_path / "run")
    assert (result.objective.name, result.objective.direction) == ("cost", "minimize")
    assert result.objective.value == result.metrics.validation["cost"] and result.metrics.test is not None
    wrong = np.array(result.metrics.test["confusion_matrix"])  # of bad, then of good
    assert result.metrics.test["cost"] == pytest.approx((wrong[0, 1] * 1 + wrong[1, 0] * 4) / wrong.sum())
    (tmp_path / "run.yaml").write_text(dump_yaml(chosen.model_dump(mode="json")))
    arguments = ["train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "other"), "task.costs={good: {bad: 1}}"]
    assert code_of(arguments) == 2
    assert "task.costs: every label must be covered, but there is nothing for 'bad'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
