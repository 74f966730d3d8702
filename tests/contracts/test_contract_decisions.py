"""What every choice of `task.threshold`, and costs in their place, must keep."""

import json
from typing import Any, get_args

import numpy as np
import pytest

from row_tables import label_table, logit_table
from tunery.data.splitting import FOLDS, fold_of_rows
from tunery.schema.config.decision import (
    AtLeastThreshold,
    Costs,
    FixedThreshold,
    GlobalThreshold,
    PerLabelThreshold,
    Threshold,
)
from tunery.schema.config.task import CriteriaEvidenceTask, MultilabelTask
from tunery.schema.reading.document import validate
from tunery.schema.reading.fields import alternatives
from tunery.tasks.decisions import AnyLabels
from tunery.tasks.multilabel import Multilabel
from tunery.tasks.table import make_task
from tunery.tasks.thresholds import FITS

LABELS = ("joy", "anger", "low", "high")
"""The last two are what ranges are written with, and few rows have the third."""
THRESHOLDS: dict[str, Any] = {
    "per_label": PerLabelThreshold(),
    "global": GlobalThreshold(),
    "fixed": FixedThreshold(value=0.3),
    "fixed for each": FixedThreshold(value={"joy": 0.2, "anger": 0.4, "low": 0.6, "high": 0.8}),
    "precision": AtLeastThreshold(precision={"joy": 0.8}),
    "recall": AtLeastThreshold(recall={"joy": 0.7, "low": 0.7}, precision={"high": 0.9}),
}
SPECS = {name: MultilabelTask(threshold=spec, calibration="none") for name, spec in THRESHOLDS.items()}
SPECS["costs"] = MultilabelTask(costs=Costs(missed={"joy": 5, "anger": 1, "low": 2, "high": 3}, wrong=1))


def rows(count: int = 600) -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    targets = (draw.random((count, 4)) < [0.4, 0.2, 0.02, 0.1]).astype(np.float32)
    return draw.normal(size=targets.shape) + 2 * targets - 1.5, targets


def test_every_choice_of_the_schema_is_found_and_looked_at_here() -> None:
    choices = set(alternatives(get_args(Threshold)[0]))
    assert set(FITS) == choices == {type(spec) for spec in THRESHOLDS.values()}


@pytest.mark.parametrize("name", SPECS)
def test_what_is_fitted_is_plain_data_that_decides_as_it_says(name: str) -> None:
    task, (logits, targets) = make_task(SPECS[name], LABELS, {}), rows()
    answers, truth = logit_table(logits), label_table(targets)
    state = task.fit_state(answers, truth)
    assert state is not None and json.loads(json.dumps(state)) == state and set(state) == set(task.state_keys)
    metrics = task.score(answers, truth, state)
    assert [metrics["per_label"][label]["threshold"] for label in LABELS] == state["thresholds"]
    for prediction in task.answer(answers, [], state):
        least = dict(zip(LABELS, state["thresholds"], strict=True))
        assert prediction.labels == tuple(label for label, p in prediction.probabilities.items() if p >= least[label])
    assert ("cost" in metrics) == (name == "costs") == ("cost" in SPECS[name].all_metrics)


@pytest.mark.parametrize("name", SPECS)
def test_the_order_of_rows_says_nothing(name: str) -> None:
    task, (logits, targets) = make_task(SPECS[name], LABELS, {}), rows()
    order = np.random.default_rng(1).permutation(len(logits))
    states = [task.fit_state(logit_table(logits[some]), label_table(targets[some])) for some in (order, np.sort(order))]
    assert states[0]["thresholds"] == pytest.approx(states[1]["thresholds"])  # type: ignore[index]


@pytest.mark.parametrize("name", THRESHOLDS)
def test_no_row_of_validation_is_scored_with_its_own_labels(name: str) -> None:
    decisions, (logits, targets) = AnyLabels(LABELS, threshold=THRESHOLDS[name]), rows()
    fold, before = fold_of_rows(len(logits)), decisions.out_of_fold(logits, targets)
    for number in range(FOLDS):
        own = fold == number
        other = np.where(own[:, None], 1 - targets, targets)
        assert (decisions.out_of_fold(logits, other).given[own] == before.given[own]).all()


@pytest.mark.parametrize("name", SPECS)
def test_a_config_with_it_survives_being_written_down(name: str) -> None:
    for spec in (SPECS[name], CriteriaEvidenceTask(threshold=SPECS[name].threshold, costs=SPECS[name].costs)):
        keys = {"text": "text", "labels": "labels", "evidence": "evidence" if spec.reads_evidence else None}
        document = {"task": spec.model_dump(mode="json"), "data": {"train": "rows.jsonl", **keys}}
        config = validate(document)
        assert config.task == spec and validate(config.model_dump(mode="json")) == config and hash(config.task)


def test_labels_alone_of_a_task_with_evidence_are_decided_as_by_it() -> None:
    spec = CriteriaEvidenceTask(threshold=THRESHOLDS["fixed for each"])
    task = make_task(spec, LABELS, {"unit": "sentence", "annotation": "exhaustive"}).labels_alone()
    assert isinstance(task, Multilabel)
    assert task.fit_state(logit_table(rows()[0]), label_table(rows()[1]))["thresholds"] == [0.2, 0.4, 0.6, 0.8]
