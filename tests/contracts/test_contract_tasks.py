"""What every task must keep, the tasks of the product and a third one (`span_task.py`)."""

import json
import subprocess
import sys
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from span_task import Spans, SpanTask, write_span_rows
from tiny_runs import BASES, FILES
from tunery.data.batches import Collator, EncodedDataset
from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.catalog import resolve
from tunery.model.build import build
from tunery.model.heads.heads import answers_of
from tunery.optim.evidence import EVIDENCE_LOSSES
from tunery.report.pages.task_sections import SECTIONS
from tunery.schema.config.data import Data
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import EvidenceHead, LinearHead, Model, NativeHead, Tagging
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import RegressionTask, TaskSpec
from tunery.store.exported import CARD
from tunery.tasks.table import TASKS, label_names, read_splits
from tunery.tasks.task import Task
from tunery.train.predict.scoring import answers_about, score, state_in

SPECS: dict[str, TaskSpec] = {
    **{spec().kind: spec() for spec in TASKS},  # type: ignore[call-arg]
    "levels": RegressionTask(ordinal=True),
    "spans": SpanTask(evidence_weight=0.7),
}
ROOT = Path(__file__).resolve().parents[1]


def made(kind: str, folder: Path) -> tuple[Task, tuple[Example, ...]]:
    """A task over the rows that it reads from files, and its training rows."""
    spec = SPECS[kind]
    files = {**FILES, "spans": write_span_rows}[kind](folder)
    data, kinds = Data(**files), {**TASKS, SpanTask: Spans}
    if kind == "spans":
        from tunery.data.splits import load_splits

        splits = load_splits(data, reader=Spans.reader(spec, data), strata=Spans.strata, seed=0)
    else:
        splits = read_splits(data, spec, seed=0)
    settings = kinds[type(spec)].settings_of(spec, splits.train.examples)
    task = kinds[type(spec)].build(spec, labels=label_names(spec, data, splits.train.examples), settings=settings)
    return task, splits.train.examples


def model_of(kind: str, request: pytest.FixtureRequest, **parts: Any) -> tuple[Model, Any]:
    """A model that the task can ask, and its tokenizer."""
    folder = request.getfixturevalue(BASES.get(kind, "tiny_bert"))
    spec = Model(name=str(folder), head=NativeHead() if kind in BASES else LinearHead(), max_length=32, **parts)
    return spec, load_tokenizer(resolve(spec))


def guesses(task: Task, truth: RowTable, seed: int) -> RowTable:
    """Answers of a model that is as good as noise."""
    draw = np.random.default_rng(seed)

    def noisy(column: Any) -> Any:
        if column.dtype == object:
            noise = np.empty(len(column), dtype=object)
            noise[:] = [noisy(entry) for entry in column]
            return noise
        return column + draw.normal(size=column.shape) if column.dtype.kind == "f" else column

    return RowTable({name: noisy(column) for name, column in task.untrained(truth).columns.items()})


@pytest.mark.parametrize("kind", SPECS)
def test_a_task_reports_the_metrics_of_its_spec_as_plain_data(kind: str, tmp_path: Path) -> None:
    task, examples = made(kind, tmp_path)
    truth, metrics = task.truth(examples), SPECS[kind].metrics
    assert metrics["loss"] == "minimize"
    scored = score(task, guesses(task, truth, 0), truth)
    assert all(type(scored[name]) is float for name in metrics)
    assert json.loads(json.dumps(scored)) == scored
    state = state_in(task, scored)
    assert state == task.fit_state(guesses(task, truth, 0), truth)
    assert set(metrics) <= set(task.score(guesses(task, truth, 0), truth, state))
    answers = guesses(task, truth, 0)
    tokens = answers.columns.get("tokens")  # of language models
    weights = None if tokens is None else tokens.sum(axis=1)
    assert scored["loss"] == pytest.approx(float(np.average(task.losses(answers, truth), weights=weights)))


@pytest.mark.parametrize("kind", SPECS)
def test_any_rows_can_be_scored_in_any_order(kind: str, tmp_path: Path) -> None:
    task, examples = made(kind, tmp_path)
    truth = task.truth(examples)
    answers = guesses(task, truth, 1)
    some = np.random.default_rng(2).permutation(len(truth))[:30]
    alone = task.truth([examples[row] for row in some])
    scored, again = (task.score(answers.take(some), part, None) for part in (truth.take(some), alone))
    assert scored == again
    turned = task.score(answers.take(some[::-1]), truth.take(some[::-1]), None)
    assert {name: turned[name] for name in SPECS[kind].metrics} == pytest.approx(
        {name: scored[name] for name in SPECS[kind].metrics}
    )


HEADS: list[tuple[str, Any]] = [(kind, Tagging()) for kind in SPECS] + [
    ("criteria_evidence", head()) for head in EVIDENCE_LOSSES
]


@pytest.mark.parametrize(("kind", "head"), HEADS, ids=[f"{kind}-{type(head).__name__}" for kind, head in HEADS])
def test_a_step_is_the_same_however_it_is_cut_into_passes(
    kind: str, head: EvidenceHead, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    task, examples = made(kind, tmp_path)
    spec, tokenizer = model_of(kind, request, evidence_head=head)
    features = task.features(examples, tokenizer, max_length=32, training=True)
    dataset = EncodedDataset(features, task.targets(examples, features))
    if kind in BASES:
        assert len(dataset) == len(features.ids), "what is read of a language model is no row"
    else:
        assert len(dataset) == len(examples) <= len(features.ids)
        assert (len(features.ids) > len(examples)) == (kind in ("spans", "criteria_evidence"))
    config: Any = type("Config", (), {"task": SPECS[kind], "model": spec, "regularization": Smoothing()})
    objective = task.objective(config, task.truth(examples))
    torch.manual_seed(0)
    module = build(spec, outputs=task.outputs, peft=NoPeft(), freeze=NoFreeze()).module.eval()
    rows, losses, gradients = [dataset[0, row] for row in range(12)], [], []
    for most in (10**6, 64):
        masking = task.masking(SPECS[kind], tokenizer)
        passes = Collator(tokenizer.pad_token_id, max_tokens=most, overhead=most, masking=masking)(rows)
        assert (len(passes) == 1) == (most == 10**6)
        assert all(len(entry) == len(part.inputs["input_ids"]) for part in passes for entry in part.targets.values())
        units: dict[str, int] = {}
        for part in passes:
            units = {name: units.get(name, 0) + count for name, count in objective.units(part.targets).items()}
        module.zero_grad()
        total = torch.zeros(())
        for part in passes:
            share = objective.share(answers_of(module, part.inputs, task.outputs), part.targets, units=units)
            share.backward()  # type: ignore[no-untyped-call]
            total += share.detach()
        losses.append(float(total))
        gradients.append(torch.cat([part.grad.ravel() for part in module.parameters() if part.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert float((gradients[0] - gradients[1]).abs().max()) < 1e-6 * max(1.0, float(gradients[0].abs().max()))


class Smoothing:
    label_smoothing = 0.0


@pytest.mark.parametrize("kind", SPECS)
def test_answers_are_of_rows_whatever_the_batches(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    task, examples = made(kind, tmp_path)
    spec, tokenizer = model_of(kind, request)
    module = build(spec, outputs=task.outputs, peft=NoPeft(), freeze=NoFreeze()).module
    about = partial(
        answers_about,
        module=module,
        task=task,
        pad_id=tokenizer.pad_token_id,
        device=torch.device("cpu"),
        precision="fp32",
    )
    whole = about(task.features(examples, tokenizer, max_length=32), batch_size=64)
    assert len(whole) == len(examples)
    one = about(task.features(examples[7:8], tokenizer, max_length=32), batch_size=1)
    flat, alone = whole.take([7]).flat(), one.flat()
    assert flat.keys() == alone.keys()
    assert all(np.allclose(flat[name], alone[name], atol=1e-5) for name in flat)
    answers = task.answer(whole, examples, state_in(task, score(task, whole, task.truth(examples))))
    assert len(answers) == len(examples)
    assert all(isinstance(task.columns(answer, Data(train="")), dict) for answer in answers)


class Sparing(Spans):
    """Needs one number of a text."""

    def reduce(self, outputs: Mapping[str, torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> Mapping[str, Any]:
        return {"mean": [np.float64(row) for row in outputs["evidence"].mean(dim=(1, 2)).tolist()]}

    def of_rows(self, answers: Mapping[str, Any], features: Any) -> RowTable:
        return RowTable({"mean": np.bincount(features.rows, weights=answers["mean"])})


class Watched(torch.nn.Module):
    """Remembers how many of its earlier outputs were still held when it was asked again."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module, self.given, self.held = module, list[Any](), list[int]()

    def forward(self, **inputs: torch.Tensor) -> Any:
        self.held.append(sum(output() is not None for output in self.given))
        answers = self.module(**inputs)
        self.given += [weakref.ref(output) for output in answers.values()]
        return answers


@pytest.mark.parametrize("kind", [kind for kind in SPECS if kind not in BASES])
def test_the_features_of_some_rows_can_be_taken_from_those_of_all(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    task, examples = made(kind, tmp_path)
    _, tokenizer = model_of(kind, request)
    numbers = [7, 3, 0, 11, len(examples) - 1]
    taken = task.features(examples, tokenizer, max_length=16).take(numbers)
    alone = task.features([examples[number] for number in numbers], tokenizer, max_length=16)
    for name in ("ids", "type_ids", "offsets", "unit_ids", "units", "lengths", "rows", "questions"):
        ours, theirs = getattr(taken, name), getattr(alone, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert len(ours) == len(theirs), name
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=name)


def test_outputs_are_let_go_once_they_are_reduced(tmp_path: Path, tiny_bert: Path) -> None:
    _, examples = made("spans", tmp_path)
    task, tokenizer = Sparing(("bad", "good")), AutoTokenizer.from_pretrained(tiny_bert)
    spec = Model(name=str(tiny_bert), head=LinearHead(), max_length=32)
    module = Watched(build(spec, outputs=task.outputs, peft=NoPeft(), freeze=NoFreeze()).module)
    features = task.features(examples, tokenizer, max_length=32)
    about = {"pad_id": tokenizer.pad_token_id, "batch_size": 8, "device": torch.device("cpu"), "precision": "fp32"}
    assert len(answers_about(features, module, task, **about)) == len(examples)  # type: ignore[arg-type]
    assert len(module.held) > 4 and max(module.held) <= 2, "outputs of the batch before, at most"


def test_every_task_of_the_product_has_sections_on_the_pages() -> None:
    assert set(SECTIONS) == set(TASKS)


def run(script: str, *given: str) -> dict[str, Any]:
    """What a script prints in a process of its own, in which the third task is one of tunery's."""
    code = f"import sys; sys.path[:0] = {[str(ROOT)]!r}\n{script}"
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


WHOLE_WAY = """
import json
from pathlib import Path
import span_task
span_task.register()
from tunery.train.artifacts.verify import read_from_a_fork
read_from_a_fork()  # a process that knows the third task
import numpy as np
from tunery import load, search
from tunery.train.fit import fit
from tunery.train.predict.inference import evaluate
from tunery.errors import ModelError, Interrupted
from tunery.schema.reading.document import validate
from tunery.hpo.analysis.ensemble import ensemble
from tunery.train.predict.predict_file import predict_file

base, folder = sys.argv[1], Path(sys.argv[2])
files = span_task.write_span_rows(folder)
document = {
    "task": {"kind": "spans"},
    "data": files,
    "model": {"name": base, "max_length": 32, "precision": "fp32", "head": "linear"},
    "optim": {"lr": 5e-3},
    "train": {"epochs": 2, "batch_size": 8},
}
config = validate(document)
result = fit(config, out=folder / "run")
predictor = load(folder / "run")
texts = [json.loads(line)["text"] for line in Path(files["test"]).read_text().splitlines()]
left = iter([None, None, "the test"])
try:
    fit(config, out=folder / "stopped", stop=lambda: next(left, "the test"))
except Interrupted:
    pass
resumed = fit(config, out=folder / "stopped")
study_document = {
    **document,
    "task": {"kind": "spans", "evidence_weight": {"low": 0.5, "high": 2.0}},
    "search": {"n_trials": 2, "ensemble": 2},
    "checkpoint": {"keep_best": 2},
}
study = search(study_document, out=folder / "study", engine="here")
refused = ""
try:
    ensemble(folder / "study", folder / "both", method="mean", trials=[0, 1])
except ModelError as error:
    refused = str(error)
no_logits = []
probe_first = {"model": {**document["model"], "head": {"kind": "linear", "init": "probe"}}}
for other in (probe_first, {"peft": "probe"}, {"peft": "tfidf"}, {"peft": "majority"}):
    try:
        fit(validate({**document, **other}), out=folder / "no_logits")
    except ModelError as error:
        no_logits.append(str(error))
print(json.dumps({
    "objective": [result.objective.name, result.objective.value],
    "metrics": sorted(result.metrics.validation),
    "test": result.metrics.test,
    "again": evaluate(folder / "run"),
    "predicted": len(predictor.predict(texts)),
    "written": predict_file(folder / "run", Path(files["test"]), folder / "answers.csv"),
    "same": resumed.metrics.validation == result.metrics.validation,
    "best": study.best.number,
    "params": [trial.params for trial in study.trials],
    "study_notes": study.notes,
    "ensembles": [gain.method for gain in study.ensembles],
    "refused": refused,
    "no_logits": [*no_logits, (folder / "no_logits").exists()],
}))
"""


def test_a_third_task_goes_the_whole_way(tiny_bert: Path, tmp_path: Path) -> None:
    told = run(WHOLE_WAY, str(tiny_bert), str(tmp_path))
    assert told["objective"][0] == "evidence_f1" and told["objective"][1] is not None
    assert told["metrics"] == ["accuracy", "evidence_f1", "loss"]
    assert told["again"] == told["test"]
    assert told["predicted"] == told["written"] == 24
    assert told["same"]
    assert all(0.5 <= params["task.evidence_weight"] <= 2.0 for params in told["params"])
    assert len({params["task.evidence_weight"] for params in told["params"]}) == 2
    assert set(told["ensembles"]) <= {"soup"}
    notes = " ".join(told["study_notes"])
    several = "answers of several models of task 'spans' cannot become one"
    assert f"no ensemble by 'mean', 'weighted', 'vote': {several}" in notes and notes.count(several) == 1
    assert "--method soup takes the mean of their weights" in told["refused"]
    asks = "gives one vector of logits a text, but this task asks the model for label, evidence"
    assert told["no_logits"] == [
        f"model.head.init=probe {asks}; take model.head.init=random",
        *(f"peft.method={method} {asks}; take peft.method=lora" for method in ("probe", "tfidf", "majority")),
        False,
    ]
    card: Mapping[str, Any] = json.loads((tmp_path / "run" / "best" / CARD).read_text())
    assert card["format"] == 2
    assert card["task"] == {
        "kind": "spans",
        "labels": ["bad", "good"],
        "settings": {},
        "state": None,
    }
    page = (tmp_path / "study" / "report.html").read_text()
    assert "evidence_f1" in page
