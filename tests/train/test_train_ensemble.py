"""Ensembles: blends and soups of trained models, chosen on one half and measured on the other."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny_runs import config, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.data.metrics import sigmoid
from tunery.data.row_table import RowTable
from tunery.errors import ExportMismatch, ModelError
from tunery.schema.config.task import ClassificationTask, MultilabelTask
from tunery.schema.results.study import EnsembleGain
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects
from tunery.tasks.combine import SIGMOID, SOFTMAX
from tunery.tasks.table import make_task
from tunery.train.artifacts import publish as publishing
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.ensembles.combination import COMBINATIONS, Combination, Scorer, ensemble_selection
from tunery.train.ensembles.ensemble import Members, Soup, gain_of, gains, write_ensemble
from tunery.train.ensembles.members import Member, member_of
from tunery.train.ensembles.soup import WeightAverage, greedy_soup
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate
from tunery.train.predict.predict_file import predict_file

TEXTS = ["it was great and we love it", "a terrible day", "the film was sad but good", "bad"]
TRIALS: dict[int, dict[str, Any]] = {
    0: {"peft": {"method": "lora", "r": 4, "alpha": 8}},
    1: {"peft": "none"},
    2: {"peft": {"method": "lora", "r": 4, "alpha": 64}, "optim": {"name": "adamw", "lr": 1e-2}},
    3: {"peft": {"method": "lora", "r": 2, "alpha": 8}},
    4: {"peft": "none", "optim": {"name": "adamw", "lr": 2e-3}, "seed": 1},
}
"""1 and 4 can be averaged; 2 has the shapes of 0 and another factor, 3 another rank."""


def trained(base: Path, root: Path, numbers: Sequence[int], /, **sections: Any) -> Callable[..., list[Member]]:
    """A study folder with trials; what is returned restores some of them."""
    root.mkdir()
    files = write_rows(root, multilabel=sections.get("kind") == "multilabel")
    for number in numbers:
        given = {"checkpoint": {"keep_best": 5}, **TRIALS[number], **sections}
        fit(config(str(base), files, **given), out=root / "trials" / str(number), study=root)

    def members(*wanted: int) -> list[Member]:
        return [restored(root, number) for number in wanted]

    return members


def restored(root: Path, number: int) -> Member:
    folder = RunFolder(root / "trials" / str(number), objects=Objects(root / "objects"))
    result, best = folder.result(), folder.best()
    assert result is not None and best is not None
    from tunery.schema.reading.document import validate

    return member_of(number, StoredWeights(validate(result.config), best, folder.objects, result.data, result.base))


@pytest.fixture(scope="module")
def study(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Member]]:
    return trained(tiny_bert, tmp_path_factory.mktemp("ensemble") / "study", sorted(TRIALS))


LOGITS = st.lists(st.floats(-30, 30), min_size=6, max_size=6).map(lambda values: np.array(values).reshape(2, 3))


@given(LOGITS)
def test_probabilities_become_logits_again_and_back(logits: Any) -> None:
    for link in (SOFTMAX, SIGMOID):
        found = link.probabilities(logits)
        assert link.probabilities(link.logits(found)) == pytest.approx(found, abs=1e-12)
        assert np.isfinite(link.logits(np.array([[0.0, 1.0]]))).all()


def test_a_mean_is_of_probabilities_and_a_vote_counts_members() -> None:
    sure, torn, other = np.array([[9.0, 0.0]]), np.array([[0.0, 0.1]]), np.array([[0.0, 0.2]])
    soft = SOFTMAX.probabilities
    mean = soft(Combination.even(3)([sure, torn, other], combiner=SOFTMAX))
    assert mean == pytest.approx((soft(sure) + soft(torn) + soft(other)) / 3) and mean.argmax() == 0
    vote = soft(Combination.even(3, (None,) * 3)([sure, torn, other], combiner=SOFTMAX))
    assert vote == pytest.approx((np.array([[1.0, 2.0]]) + mean) / 4) and vote.argmax() == 1


def test_of_equal_votes_the_mean_decides_and_members_vote_with_their_own_thresholds() -> None:
    two = [np.array([[3.0, -1.0]]), np.array([[-0.1, -1.0]])]
    cuts = ((0.5, 0.2), (0.5, 0.9))
    found = sigmoid(Combination.even(2, cuts)(two, combiner=SIGMOID))[0]
    assert found == pytest.approx((np.array([1, 1]) + (sigmoid(two[0]) + sigmoid(two[1]))[0] / 2) / 3)
    assert list(found >= 0.5) == [True, False]


def test_weights_are_what_makes_the_mean_best() -> None:
    """The truth is 3/4 of one member and 1/4 of another; the third is of no use."""
    rng = np.random.default_rng(0)
    parts = list(rng.random((3, 40, 2)))
    truth = 0.75 * parts[2] + 0.25 * parts[0]
    assert ensemble_selection(parts, lambda mixed: -float(np.abs(mixed - truth).sum())) == (0.25, 0.0, 0.75)
    assert ensemble_selection(parts, lambda mixed: -np.inf) == (1 / 3,) * 3
    assert ensemble_selection(parts, lambda mixed: 0.0) == (1.0, 0.0, 0.0)  # of equals the first


def test_a_soup_takes_what_does_not_make_it_worse() -> None:
    value = {(2,): 0.5, (2, 0): 0.5, (2, 0, 1): 0.4, (2, 0, 3): 0.9}
    assert greedy_soup([2, 0, 1, 3], value.__getitem__) == (2, 0, 3)


def judge(kind: str = "classification") -> tuple[Scorer, np.ndarray[Any, Any]]:
    task = make_task(ClassificationTask() if kind == "classification" else MultilabelTask(), ("bad", "good"), {})
    examples = [Example(str(n), labels=(("bad", "good")[n % 2],)) for n in range(8)]
    return Scorer(task, task.truth(examples), "f1_macro", "maximize"), np.arange(8)


def test_thresholds_are_of_the_rows_that_choose() -> None:
    stick, rows = judge("multilabel")
    later = 5 * (rows >= 4)[:, None]  # these answer higher throughout
    logits = np.where(stick.truth["labels"] > 0, 1.0, -1.0) + later
    answers, turned = RowTable({"logits": logits}), RowTable({"logits": logits[:, ::-1]})
    early, late = rows[:4], rows[4:]
    assert stick.merit(answers, late) == 1.0
    assert stick.value(answers, late, fitted_on=early) == pytest.approx(2 / 3)  # all labels are given
    assert stick.merit(turned, early) < 1


def test_what_is_less_is_better_where_the_objective_says_so() -> None:
    stick, rows = judge()
    stick = dataclasses.replace(stick, objective="loss", direction="minimize")
    logits = np.eye(2)[stick.truth["labels"]] * 4
    good, bad = RowTable({"logits": logits}), RowTable({"logits": -logits})
    assert stick.merit(good, rows) > stick.merit(bad, rows)
    area = dataclasses.replace(stick, objective="roc_auc", direction="maximize")
    assert area.merit(good, rows[:1]) == -np.inf  # one class alone has no area


class Known:
    """A member with given answers."""

    def __init__(self, trial: int, logits: Any, base: Any) -> None:
        self.trial, self.answers, self.shape = trial, RowTable({"logits": logits}), trial
        none: Any = None
        self.weights = StoredWeights(base, record=none, objects=none, data=None)


def test_a_gain_is_measured_where_nothing_was_chosen(tiny_bert: Path, tmp_path: Path) -> None:
    """Two members know one half of validation each, and are wrong on the other: what is chosen by one half fails."""
    base = config(str(tiny_bert), write_rows(tmp_path))
    blank: Any = [Known(number, np.zeros((24, 2), np.float32), base) for number in (4, 7)]
    panel = Members(blank)
    (one, other), back = panel.halves
    assert len(back) == 2 and sorted([*one, *other]) == list(range(24)) and abs(len(one) - len(other)) <= 2
    right = np.eye(2)[panel.scorer.truth["labels"]] * 8 - 4
    for member, half in zip(blank, (one, other), strict=True):
        logits = -right
        logits[half] = right[half] * 2
        member.answers = RowTable({"logits": logits})
    told = {found.method: found for found in gains(blank)[0]}
    assert told["weighted"] == EnsembleGain(method="weighted", trials=(4, 7), value=0.0, single=0.0, gain=0.0)
    assert told["mean"].value == 1.0 and told["mean"].gain == 1.0 and told["mean"].trials == (4, 7)
    assert "no two of the trials 4, 7 do" in " ".join(gains(blank)[1])


def test_half_of_the_rows_need_two_of_them(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path)
    Path(files["validation"]).write_text(json.dumps({"text": "good", "label": "good"}) + "\n")
    base = config(str(tiny_bert), {**files, "allow": ["single_class", "unseen_labels"]})  # type: ignore[dict-item]
    blank: Any = [Known(number, np.zeros((1, 2), np.float32), base) for number in (0, 1)]
    found, notes = gains(blank)
    assert found == () and "the validation rows are too few" in notes[0]


def test_members_answer_as_their_trials_do(study: Callable[..., list[Member]], tmp_path: Path) -> None:
    members = study(0, 4)
    for member in members:
        panel = Members([member])
        assert panel.scorer.value(member.answers, panel.rows, fitted_on=panel.rows) == member.weights.record.value
    assert members[0].shape != members[1].shape


def test_only_weights_that_mean_the_same_are_averaged(study: Callable[..., list[Member]]) -> None:
    lora, first, scaled, narrow, second = study(0, 1, 2, 3, 4)
    with pytest.raises(
        ModelError, match="needs two trials that share base, method and shapes .* of the trials 3, 1 do"
    ):
        WeightAverage([narrow, first])
    with pytest.raises(ModelError, match=r"no two of the trials 2, 0 do; choose trials of one peft.method"):
        WeightAverage([scaled, lora])
    average = WeightAverage([scaled, second, lora, first, narrow])
    assert average.indices == (1, 3) and scaled.shape == lora.shape != narrow.shape
    assert np.allclose(average.answers((3,))["logits"], first.answers["logits"], atol=1e-5)


def test_a_soup_is_the_mean_of_the_weights(study: Callable[..., list[Member]]) -> None:
    members = study(1, 4)
    average = WeightAverage(members)
    average.average((0, 1))
    mixed = dict(average.model.built.module.named_parameters())
    one, other = (dict(member.weights.restore().built.module.named_parameters()) for member in members)
    for name in average.model.built.trainable:
        assert torch.allclose(mixed[name], (one[name] + other[name]) / 2, atol=1e-7)
    assert any(not torch.allclose(one[name], other[name], atol=1e-4) for name in one)


@pytest.mark.parametrize("method", [*COMBINATIONS, "soup"])
def test_what_is_written_answers_as_what_was_chosen(
    study: Callable[..., list[Member]], tmp_path: Path, method: str
) -> None:
    members, out = study(1, 4, 0), tmp_path / "out"
    assert write_ensemble(method, members, out) == out
    predictor = load(out)
    card = json.loads((out / "tunery.json").read_text())
    rows = Path(members[0].weights.config.data.validation or "")
    texts = [json.loads(line)["text"] for line in rows.read_text().splitlines()]
    assert card["ensemble"]["method"] == method and set(card["ensemble"]["trials"]) <= {0, 1, 4}
    assert evaluate(out, "validation")["f1_macro"] == pytest.approx(card["weights"]["value"])
    for prediction in predictor.predict(texts):
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
    if method == "mean":  # of probabilities as the members give them; what is told is calibrated as a whole
        examples = [Example(text) for text in texts]
        each = [SOFTMAX.probabilities(load(out / name).logits(examples)) for name in card["members"]]
        told = SOFTMAX.probabilities(predictor.logits(examples))
        assert told == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    found = gain_of(out)
    assert found is not None and found == {told.method: told for told in gains(members)[0]}[method]
    assert found.gain == pytest.approx(found.value - found.single)
    assert predict_file(out, rows, tmp_path / "answers.csv") == 24


def test_members_whose_base_has_learned_more_are_joined_and_read_without_their_study(
    tiny_bert: Path, tmp_path: Path
) -> None:
    root = tmp_path / "study"
    stages = {"lr": 1e-2, "tapt": {"epochs": 2}}
    members = trained(tiny_bert, root, (0, 1, 4), pretrain=stages)
    fit(config(str(tiny_bert), write_rows(root), **TRIALS[1], seed=2), out=root / "trials" / "5", study=root)
    adapter, one, other, plain = (*members(0, 1, 4), restored(root, 5))
    assert one.shape == other.shape != plain.shape  # the same tensors, of another base
    with pytest.raises(ModelError, match="share base, method and shapes"):
        WeightAverage([plain, one])
    mean = [SOFTMAX.probabilities(member.answers["logits"]) for member in (adapter, one)]
    average = WeightAverage([one, other])
    wanted = {"mean": np.mean(mean, axis=0), "soup": SOFTMAX.probabilities(average.answers((0, 1))["logits"])}
    write_ensemble("mean", [adapter, one], tmp_path / "mean")
    write_ensemble("soup", [one, other], tmp_path / "soup")
    assert (tmp_path / "mean" / "members" / "0" / "base").is_dir()
    lines = Path(one.weights.config.data.validation or "").read_text().splitlines()
    examples = [Example(json.loads(line)["text"]) for line in lines]
    card = json.loads((tmp_path / "soup" / "tunery.json").read_text())["ensemble"]["trials"]
    if len(card) == 1:  # a greedy soup may be its best member alone
        wanted["soup"] = SOFTMAX.probabilities({1: one, 4: other}[card[0]].answers["logits"])
    shutil.rmtree(root)
    for name, probabilities in wanted.items():
        assert SOFTMAX.probabilities(load(tmp_path / name).logits(examples)) == pytest.approx(probabilities, abs=1e-5)


def test_only_adapters_are_written_for_members_with_adapters(
    study: Callable[..., list[Member]], tmp_path: Path
) -> None:
    write_ensemble("mean", study(0, 3), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["members", "tunery.json"]
    assert sorted(path.name for path in (tmp_path / "out" / "members").iterdir()) == ["0", "3"]
    assert not list((tmp_path / "out").glob("members/*/model.safetensors"))


def test_a_member_that_answers_otherwise_from_disk_lets_nothing_be_written(
    study: Callable[..., list[Member]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = publishing.export

    def broken(built: Any, tokenizer: Any, folder: Path, **named: Any) -> None:
        export(built, tokenizer, folder, **named)
        if folder.name == "2":
            shutil.copyfile(folder.parent / "0" / "adapter_model.safetensors", folder / "adapter_model.safetensors")

    monkeypatch.setattr(publishing, "export", broken)
    with pytest.raises(ExportMismatch, match="they differ by"):
        write_ensemble("vote", study(0, 2), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_multilabel_ensembles_have_thresholds_of_their_own(tiny_bert: Path, tmp_path: Path) -> None:
    members = trained(tiny_bert, tmp_path / "study", [0, 4], kind="multilabel")(0, 4)
    for method in COMBINATIONS:
        write_ensemble(method, members, tmp_path / method)
        card = json.loads((tmp_path / method / "tunery.json").read_text())
        assert len(card["task"]["state"]["thresholds"]) == 2
        assert (card["blend"]["cuts"] is not None) == (method == "vote")
        assert evaluate(tmp_path / method, "validation")["f1_macro"] == pytest.approx(card["weights"]["value"])
        assert load(tmp_path / method).predict(TEXTS)[0].label is None


def test_a_soup_in_which_all_stay_names_all(study: Callable[..., list[Member]]) -> None:
    chosen = Soup(Members(study(1, 0, 4)), keep=lambda order, merit: tuple(order)).choose(np.arange(24))
    assert sorted(chosen.indices) == [0, 2] and chosen.combination.weights == (0.5, 0.5)
