"""Labels with their evidence: windows, targets, thresholds, metrics and answers."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from tunery.data.batches import Collator, EncodedDataset
from tunery.data.encode import Encoded
from tunery.data.evidence import Span, make_evidence
from tunery.data.examples import Example
from tunery.data.row_table import RowTable, objects_of
from tunery.errors import DataError, ModelError
from tunery.model.heads.heads import make_heads
from tunery.schema.config.data import Data
from tunery.schema.config.decision import FixedThreshold, GlobalThreshold
from tunery.schema.config.task import CriteriaEvidenceTask, Criterion, EvidenceDecision
from tunery.schema.reading.document import validate
from tunery.tasks.criteria_evidence import CriteriaEvidence

TEXT = "I slept badly. All is well at work. I am sad, and tired too."
BAD, WORK, SAD = (0, 14), (15, 35), (36, 60)


def row(text: str = TEXT, *, labels: tuple[str, ...] = (), spans: Any = (), rejected: Any = ()) -> Example:
    evidence = make_evidence([Span(*span) for span in spans], [Span(*span) for span in rejected])
    return Example(text=text, labels=labels, target=evidence)


def task_of(*, unit: str = "sentence", annotation: str = "exhaustive", **keys: Any) -> CriteriaEvidence:
    settings = {"unit": unit, "annotation": annotation}
    return CriteriaEvidence.build(CriteriaEvidenceTask(**keys), labels=("mood", "sleep"), settings=settings)


SLEEP = row(labels=("sleep",), spans=[(*BAD, "sleep")])
BOTH = row(labels=("mood", "sleep"), spans=[(*BAD, "sleep"), (*SAD, "mood")])
NONE = row("Nothing to report. It rained.")


def logits(*rows: Any) -> np.ndarray:
    """Probabilities as logits."""
    p = np.array(rows, dtype=np.float64)
    return np.log(p / (1 - p))


def answers_of(labels: Any, *units: Any) -> RowTable:
    return RowTable({"logits": logits(*labels), "units": objects_of([logits(*part) for part in units])})


def test_what_spans_windows_is_averaged_by_tokens_and_a_label_is_as_likely_as_where_it_is_likeliest() -> None:
    units = [np.array([(0, 3), (4, 9), (10, 12)]), np.zeros((0, 2), dtype=np.int64)]
    ids = [np.array(part, dtype=np.int32) for part in ([-1, 0, 1, -1], [-1, 1, 1, 1, 2, -1], [-1])]
    features = Encoded(
        ids=ids,
        type_ids=None,
        lengths=np.array([4, 6, 1]),
        rows=np.array([0, 0, 1]),
        truncated=0,
        unit_ids=ids,
        units=units,
    )
    answers = {
        "logits": [np.array([2.0, -1.0]), np.array([1.0, 3.0]), np.array([-4.0, 4.0])],
        "units": [np.array([[1.0, 0], [4, 0]]), np.array([[0.0, 8], [2, 2]]), np.zeros((0, 2))],
        "first": [np.int64(0), np.int64(1), np.int64(0)],
        "tokens": [np.array([1, 1]), np.array([3, 1]), np.zeros(0, dtype=np.int64)],
    }
    table = task_of().of_rows(answers, features)  # type: ignore[arg-type]
    assert table["logits"].tolist() == [[2, 3], [-4, 4]]
    assert table["units"][0].tolist() == [[1, 0], [1, 6], [2, 2]]
    assert table["units"][1].shape == (0, 2)
    exclusive = task_of(exclusive=True).of_rows(answers, features)  # type: ignore[arg-type]
    assert exclusive["logits"].tolist() == [[1.5, 1], [-4, 4]]


@pytest.mark.parametrize("kind", ["multi_label", "binary_pairs"])
def test_a_window_is_told_of_the_evidence_in_it(kind: str, tiny_bert: Path) -> None:
    task = task_of(input=kind, criteria=(Criterion(label="mood", description="sad"),))
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    unmarked = row(labels=("mood",))
    examples = [SLEEP, BOTH, unmarked, NONE]
    length = 20 if kind == "multi_label" else 34
    features = task.features(examples, tokenizer, max_length=length)
    assert features.questions is None if kind == "multi_label" else features.questions is not None
    targets = task.targets(examples, features)
    assert features.unit_ids is not None and np.bincount(features.rows)[0] > (1 if kind == "multi_label" else 2)
    for feature, example in enumerate(np.array(examples, dtype=object)[features.rows]):
        columns = [0, 1] if features.questions is None else [int(features.questions[feature])]
        seen = sorted({int(unit) for unit in features.unit_ids[feature] if unit >= 0})
        gold = np.zeros((3, 2), dtype=bool)
        for start, _, label in example.target.spans:
            gold[{0: 0, 15: 1, 36: 2}[start], ("mood", "sleep").index(label)] = True
        inside = gold[: len(features.units[features.rows[feature]])][seen][:, columns]  # type: ignore[index]
        assert (targets.sequences["evidence"][feature] == inside).all()
        told = targets.features["labels"][feature].astype(bool)
        without = [label in example.labels and not gold[:, k].any() for k, label in enumerate(("mood", "sleep"))]
        assert (told == (inside.any(axis=0) | np.array(without)[columns])).all()


def test_what_is_unmarked_says_little_where_not_all_is_marked() -> None:
    example = row(labels=("mood", "sleep"), spans=[(*BAD, "sleep")], rejected=[(*WORK, "sleep"), (*WORK, "other")])
    partial, whole = task_of(annotation="partial"), task_of()
    assert partial.truth([example])["codes"][0].tolist() == [[-100, 1], [-100, 0], [-100, -1]]
    assert whole.truth([example])["codes"][0].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert partial.truth([NONE])["codes"][0].tolist() == [[0, 0], [0, 0]]


def test_a_unit_without_tokens_is_not_asked_about() -> None:
    task, units = task_of(), np.array([BAD, WORK, SAD])
    ids = [np.array([-1, 0, 0, 2, 2, -1], dtype=np.int32)]
    features = Encoded(
        ids=ids, type_ids=None, lengths=np.array([6]), rows=np.array([0]), truncated=0, unit_ids=ids, units=[units]
    )
    targets = task.targets([BOTH], features)
    assert targets.sequences["evidence"][0].tolist() == [[0, 1], [-100, -100], [1, 0]]
    assert targets.features["labels"].tolist() == [[1, 1]]


@pytest.mark.parametrize("kind", ["multi_label", "binary_pairs"])
@pytest.mark.parametrize("head", ["tagging", "start_end_linear", "biaffine", "bio_crf", "sentence_reranker"])
def test_a_step_of_texts_without_units_has_a_loss(head: str, kind: str, tiny_bert: Path) -> None:
    task, examples = task_of(input=kind), [row("", labels=("mood",)), row(" \n")]
    features = task.features(examples, AutoTokenizer.from_pretrained(tiny_bert), max_length=32)
    rows = EncodedDataset(features, task.targets(examples, features))
    (batch,) = Collator(0, max_tokens=1000)([rows[0, 0], rows[0, 1]])
    config = validate(
        {
            "task": {"kind": "criteria_evidence", "input": kind},
            "data": {"train": "train.jsonl", "evidence": "evidence"},
            "model": {"head": {"kind": "linear"}, "evidence_head": {"kind": head}},
        }
    )
    heads = make_heads(config.model, task.outputs, width=8)
    assert heads is not None
    outputs = heads["criteria"]((torch.randn(*batch.inputs["input_ids"].shape, 8),), batch.inputs)
    objective = task.objective(config, task.truth(examples))
    loss = objective.share(outputs, batch.targets, units=objective.units(batch.targets))
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in heads.parameters() if parameter.grad is not None]
    assert loss.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_metrics_count_words_whatever_the_units_are() -> None:
    words = [[0.1, 0.9]] * 4 + [[0.1, 0.1]] * 6 + [[0.1, 0.1]] * 8
    by_sentence = answers_of([[0.1, 0.9]], [[0.1, 0.9], [0.1, 0.1], [0.1, 0.1]])
    by_word = answers_of([[0.1, 0.9]], words)
    scored = [task_of(unit=unit).score(answers, task_of(unit=unit).truth([SLEEP]), None) for unit, answers in
              (("sentence", by_sentence), ("token", by_word))]  # fmt: skip
    for metric in CriteriaEvidenceTask.metrics:
        if metric != "loss":
            assert scored[0][metric] == scored[1][metric], metric
    assert scored[0]["evidence_token_f1"] == scored[0]["evidence_auprc"] == scored[0]["evidence_hit_at_1"] == 1.0
    assert scored[0]["per_label"]["sleep"]["evidence_auprc"] == 1.0
    assert scored[0]["per_label"]["mood"]["evidence_auprc"] is None
    assert scored[0]["joint"] == pytest.approx((scored[0]["f1_macro"] + 1) / 2)


def test_evidence_counts_only_for_labels_that_are_given() -> None:
    task = task_of()
    truth = task.truth([SLEEP, NONE])
    units = [[0.1, 0.9], [0.1, 0.1], [0.1, 0.1]], [[0.9, 0.9], [0.1, 0.1]]
    right, missed, invented = (
        task.score(answers_of(given, *units), truth, None)
        for given in ([[0.1, 0.9], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.1]], [[0.1, 0.9], [0.9, 0.1]])
    )
    assert [scored["evidence_token_f1"] for scored in (right, missed, invented)] == [1.0, 0.0, 0.5]
    assert [scored["evidence_null_accuracy"] for scored in (right, missed, invented)] == [1.0, 0.75, 0.75]
    assert right["evidence_auprc"] == missed["evidence_auprc"] == 1.0, "of what is true, whatever is given"


def test_labels_that_exclude_each_other_are_given_by_the_largest_and_compared_with_any_evidence() -> None:
    task = task_of(exclusive=True)
    truth = task.truth([SLEEP])
    units = [[0.2, 0.9], [0.9, 0.2], [0.2, 0.2]]
    right = task.score(answers_of([[0.4, 0.45]], units), truth, None)
    wrong = task.score(answers_of([[0.45, 0.4]], units), truth, None)
    assert (right["subset_accuracy"], wrong["subset_accuracy"]) == (1.0, 0.0)
    assert (right["evidence_hit_at_1"], wrong["evidence_hit_at_1"]) == (1.0, 0.0)
    state = task.fit_state(answers_of([[0.4, 0.45]], units), truth)
    assert state["thresholds"] == [0.0, 0.0]
    (given,) = task.answer(
        RowTable({**answers_of([[0.4, 0.45]], units).columns, "bounds": objects_of([np.array([BAD, WORK, SAD])])}),
        [SLEEP],
        state,
    )
    assert given.label == "sleep" and [span.text for span in given.evidence] == [TEXT[:14]]
    assert sum(given.probabilities.values()) == pytest.approx(1)


def test_thresholds_of_evidence_have_the_highest_score_of_all_pairs_that_are_tried() -> None:
    draw, task = np.random.default_rng(3), task_of()
    examples = [(SLEEP, BOTH, NONE)[k % 3] for k in range(45)]
    truth = task.truth(examples)
    noise = [draw.normal(size=codes.shape) + 1.5 * (codes == 1) for codes in truth["codes"]]
    answers = RowTable({"logits": draw.normal(size=(45, 2)) + 2 * truth["labels"] - 1, "units": objects_of(noise)})
    state = task.fit_state(answers, truth)
    best = task.score(answers, truth, state)["evidence_token_f1"]
    grid = np.linspace(0.05, 0.95, 19)
    tried = [
        task.score(answers, truth, {**state, "null_threshold": null, "min_span_score": cut})["evidence_token_f1"]
        for null, cut in itertools.product(grid, grid)
    ]
    assert best >= max(tried) - 0.02, "the quantiles that are tried are as fine as a grid"
    crossed = task.fitted_score(answers, truth)
    assert crossed["evidence_token_f1"] <= best + 1e-9
    fixed = task_of(evidence=EvidenceDecision(null_threshold=0.0, min_span_score=0.7)).fit_state(answers, truth)
    assert (fixed["null_threshold"], fixed["min_span_score"]) == (0.0, 0.7)
    low = task_of(threshold=GlobalThreshold()).fit_state(answers, truth)
    assert len(set(low["thresholds"])) == 1
    assert task_of(threshold=FixedThreshold(value=0.3)).fit_state(answers, truth)["thresholds"] == [0.3, 0.3]


@pytest.mark.parametrize(("unit", "texts"), [("sentence", ["I slept badly.", TEXT[15:35]]), ("token", [TEXT[:35]])])
def test_neighbouring_words_are_one_span_and_sentences_are_each_their_own(unit: str, texts: list[str]) -> None:
    task = task_of(unit=unit)
    truth = task.truth([SLEEP])
    bounds = {"sentence": np.array([BAD, WORK, SAD]), "token": truth["bounds"][0]}[unit]
    probabilities = [[0.1, 0.9 if begin < 35 else 0.1] for begin in bounds[:, 0]]
    table = answers_of([[0.1, 0.9]], probabilities)
    table = RowTable({**table.columns, "bounds": objects_of([bounds])})
    state = {"thresholds": [0.5, 0.5], "null_threshold": 0.5, "min_span_score": 0.5}
    (given,) = task.answer(table, [SLEEP], state)
    assert given.labels == ("sleep",) and [span.text for span in given.evidence] == texts
    assert all(TEXT[span.start : span.end] == span.text and span.label == "sleep" for span in given.evidence)
    assert [span.score for span in given.evidence] == pytest.approx([0.9] * len(texts))
    assert task.columns(given, Data(train=""))["evidence"][0]["text"] == texts[0]
    (none,) = task.answer(table, [SLEEP], {**state, "null_threshold": 0.95})
    assert none.labels == ("sleep",) and not none.evidence


def test_unit_and_annotation_follow_from_the_training_rows() -> None:
    auto, one = CriteriaEvidenceTask(), CriteriaEvidenceTask(exclusive=True)
    whole = {"unit": "sentence", "annotation": "exhaustive", "neighbours": "0"}
    assert CriteriaEvidence.settings_of(auto, [SLEEP, BOTH]) == whole
    words = [row(labels=("sleep",), spans=[(2, 5, "sleep")])] * 3
    assert CriteriaEvidence.settings_of(auto, words) == {**whole, "unit": "token"}
    assert CriteriaEvidence.settings_of(one, words) == {**whole, "unit": "token", "annotation": "partial"}
    much = [row(labels=("sleep",), spans=[(2, 33, "sleep")])] * 3
    assert CriteriaEvidence.settings_of(one, much) == {**whole, "unit": "token", "neighbours": "3"}  # of eight words
    none = [row(labels=("sleep",), spans=[])]
    assert CriteriaEvidence.settings_of(one, none)["annotation"] == "exhaustive"
    told = CriteriaEvidenceTask(unit="token", annotation="partial")
    assert CriteriaEvidence.settings_of(told, [SLEEP]) == {"unit": "token", "annotation": "partial", "neighbours": "1"}


def test_what_cannot_be_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(DataError, match="none has 'moood'; did you mean 'mood'"):
        task_of(criteria=(Criterion(label="moood", description="sad"),))
    with pytest.raises(DataError, match="label 'appetite' is unknown to the model"):
        task_of().truth([row(labels=("appetite",), spans=[(*BAD, "appetite")])])
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    with pytest.raises(ModelError, match=r"a window must hold 16 .*\(task.stride 30\), but"):
        task_of(stride=30).features([SLEEP], tokenizer, max_length=32)
    long = Criterion(label="mood", description="sad " * 40)
    with pytest.raises(ModelError, match=r"longest description \(\d+\)"):
        task_of(input="binary_pairs", criteria=(long,)).features([SLEEP], tokenizer, max_length=48)
    slow: Any = type("Slow", (), {"is_fast": False})()
    with pytest.raises(ModelError, match="only fast tokenizers know, but Slow is none"):
        task_of().features([SLEEP], slow, max_length=48)
