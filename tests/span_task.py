"""A third task, made for tests of the seam: a text gets one label, and the characters that are the evidence for it.

Two outputs of different shape, several windows a text, targets of tokens, a searched weight, and no way to combine the
answers of several models.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from pydantic.fields import FieldInfo
from torch import Tensor, nn
from torch.nn import functional as F

from tunery.data.batches import Targets
from tunery.data.checks.check import Check
from tunery.data.checks.row_checks import ROW_CHECKS
from tunery.data.encode import Encoded, encode_windows
from tunery.data.examples import Annotation, Example, RowReader
from tunery.data.masking import NO_TARGET
from tunery.data.metrics import finite, log_softmax, sigmoid
from tunery.data.reading.cells import label_of
from tunery.data.row_table import Array, RowTable, column_of
from tunery.optim.objective import Objective
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import ClassificationTask, LabelOutput, MultilabelTask, Outputs, TaskSpec, TokenOutput
from tunery.schema.results.direction import Metrics
from tunery.schema.results.prediction import Prediction
from tunery.schema.spec import Range
from tunery.tasks.table import TASKS
from tunery.tasks.task import State, Task

WINDOW, OVERLAP = 10, 3


class SpanTask(TaskSpec):
    """One label, and the characters that are the evidence for it."""

    metrics: ClassVar[Metrics] = {"evidence_f1": "maximize", "accuracy": "maximize", "loss": "minimize"}
    training_keys: ClassVar[tuple[str, ...]] = ("evidence_weight",)
    kind: Literal["spans"] = "spans"
    evidence_weight: Annotated[float, Field(ge=0, le=10), Range(0.5, 2.0)] = 1.0
    """Weight of the evidence beside the label in the loss."""

    @property
    def label_key(self) -> str:
        return "label"


class SpanObjective(Objective):
    """Cross-entropy of the label, a mean over windows, and of the evidence, a mean over tokens."""

    def __init__(self, weight: float) -> None:
        self.module = nn.Module()
        self.weights = {"label": 1.0, "evidence": weight}

    def units(self, targets: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"label": len(targets["label"]), "evidence": int((targets["evidence"] != NO_TARGET).sum())}

    def sums(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        told = targets["evidence"] != NO_TARGET
        logits, inside = outputs["evidence"].squeeze(-1)[told], targets["evidence"][told].float()
        return {
            "label": F.cross_entropy(outputs["label"], targets["label"], reduction="sum"),
            "evidence": F.binary_cross_entropy_with_logits(logits, inside, reduction="sum"),
        }


class Spans(Task):
    """The label of a text is the mean over its windows; a character is as likely as it is where it is likeliest."""

    checks: ClassVar[Sequence[Check]] = ROW_CHECKS

    @classmethod
    def build(cls, spec: SpanTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Spans":
        return cls(labels)

    @staticmethod
    def reader(spec: SpanTask, data: Data) -> RowReader:
        def read(row: dict[str, Any]) -> Annotation:
            name = label_of(row[data.label])
            return Annotation(labels=() if name is None else (name,), target=row["spans"])

        return RowReader(columns=(("data.label", data.label), ("spans", "spans")), read=read)

    @property
    def outputs(self) -> Outputs:
        one = LabelOutput(labels=self.labels, problem="single_label")
        return {"label": one, "evidence": TokenOutput(labels=("inside",))}

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> Encoded:
        return encode_windows(examples, tokenizer, max_length=min(max_length, WINDOW), overlap=OVERLAP)

    def targets(self, examples: Sequence[Example], features: Encoded) -> Targets:
        inside = []
        for row, offsets in zip(features.rows, features.offsets or [], strict=True):
            spans = examples[row].target
            begin, end = offsets.T
            hits = sum(((begin < stop) & (end > start) for start, stop in spans), np.zeros(len(begin), dtype=bool))
            inside.append(np.where(begin == end, NO_TARGET, hits.astype(np.int64)))
        labels = np.array([self.labels.index(example.labels[0]) for example in examples], dtype=np.int64)
        return Targets({"label": labels[features.rows]}, {"evidence": inside})

    def truth(self, examples: Sequence[Example]) -> RowTable:
        inside = []
        for example in examples:
            column = np.zeros(len(example.text), dtype=bool)
            for start, stop in example.target:
                column[start:stop] = True
            inside.append(column)
        labels = np.array([self.labels.index(example.labels[0]) for example in examples], dtype=np.int64)
        return RowTable({"label": labels, "evidence": _objects(inside)})

    def objective(self, config: RunConfig, truth: RowTable) -> Objective:
        return SpanObjective(config.task.evidence_weight)  # type: ignore[union-attr]

    def reduce(self, outputs: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Mapping[str, Sequence[Array]]:
        lengths = inputs["attention_mask"].sum(1).tolist()
        scores = outputs["evidence"].squeeze(-1).cpu().numpy()
        return {
            "label": list(outputs["label"].cpu().numpy()),
            "evidence": [row[:length] for row, length in zip(scores, lengths, strict=True)],
        }

    def of_rows(self, answers: Mapping[str, Sequence[Array]], features: Encoded) -> RowTable:
        labels, characters = [], []
        for row in range(int(features.rows[-1]) + 1):
            windows = np.flatnonzero(features.rows == row)
            offsets = [(features.offsets or [])[window] for window in windows]
            scores = np.full(max(int(part.max()) for part in offsets), -30.0, dtype=np.float32)
            for window, part in zip(windows, offsets, strict=True):
                for (begin, end), score in zip(part, answers["evidence"][window], strict=True):
                    scores[begin:end] = np.maximum(scores[begin:end], score)
            labels.append(np.mean([answers["label"][window] for window in windows], axis=0))
            characters.append(scores)
        return RowTable({"label": column_of(labels), "evidence": _objects(characters)})

    def untrained(self, truth: RowTable) -> RowTable:
        scores = [np.zeros(len(row), dtype=np.float32) for row in truth["evidence"]]
        return RowTable({"label": np.zeros((len(truth), len(self.labels))), "evidence": _objects(scores)})

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        logits = finite(answers["label"])
        hits = given = actual = 0
        for scores, inside in zip(answers["evidence"], truth["evidence"], strict=True):
            marked = np.zeros(len(inside), dtype=bool)
            marked[: len(scores)] = scores[: len(inside)] > 0
            hits, given, actual = hits + (marked & inside).sum(), given + marked.sum(), actual + inside.sum()
        return {
            "evidence_f1": float(2 * hits / max(given + actual, 1)),
            "accuracy": float((logits.argmax(1) == truth["label"]).mean()),
            "loss": float(self.losses(answers, truth).mean()),
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        losses = -log_softmax(finite(answers["label"]))[np.arange(len(truth)), truth["label"]]
        for row, (scores, inside) in enumerate(zip(answers["evidence"], truth["evidence"], strict=True)):
            chance = np.clip(sigmoid(finite(scores)), 1e-9, 1 - 1e-9)
            losses[row] -= np.log(np.where(inside[: len(scores)], chance, 1 - chance)).mean()
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        chances = np.exp(log_softmax(finite(answers["label"])))
        return [
            Prediction(
                label=self.labels[int(row.argmax())],
                labels=(self.labels[int(row.argmax())],),
                confidence=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
            )
            for row in chances
        ]

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        return {"label": prediction.label}


def _objects(entries: Sequence[Array]) -> Array:
    column = np.empty(len(entries), dtype=object)
    column[:] = [np.asarray(entry) for entry in entries]
    return column


def register() -> None:
    """Make the task one of tunery's, for the rest of this process: call it before any config is read."""
    union: Any = Annotated[ClassificationTask | MultilabelTask | SpanTask, Field(discriminator="kind")]
    RunConfig.model_fields["task"] = FieldInfo.from_annotation(union)
    RunConfig.model_rebuild(force=True)
    TASKS[SpanTask] = Spans


def write_span_rows(folder: Path, *, rows: int = 60) -> dict[str, str]:
    """Write three splits and return the `data` section's file names. Texts have up to four windows."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    filler, evidence = (
        ["the", "film", "was", "and", "we", "day", "it", "very", "with", "this"],
        {"good": "great", "bad": "terrible"},
    )
    files = {}
    for split, count in {"train": rows, "validation": 24, "test": 24}.items():
        lines = []
        for number in range(count):
            label = ("good", "bad")[number % 2]
            words = [*draw.choices(filler, k=draw.randint(3, 24)), split, str(number)]
            words.insert(draw.randrange(len(words)), evidence[label])
            text = " ".join(words)
            start = len(" ".join(words[: words.index(evidence[label])])) + (words[0] != evidence[label])
            row = {"text": text, "label": label, "spans": [[start, start + len(evidence[label])]]}
            lines.append(json.dumps(row) + "\n")
        files[split] = str(folder / f"{split}.jsonl")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return files


torch.set_num_threads(1)
