"""Labels of a text, and the spans that are the evidence of each.

Evidence is decided of *units*: the words or the sentences of a text (`data/units.py`). Metrics count words whatever the
units are, so that both compare. A long text is read in windows; what lies in several windows is averaged over their
tokens, and a label is as likely as in the window where it is likeliest, or as on average where labels exclude each
other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from tunery.data.checks.check import Check
from tunery.data.checks.evidence_checks import EVIDENCE_CHECKS, QUICK_EVIDENCE_CHECKS
from tunery.data.evidence import annotation_of, evidence_of, evidence_reader, share_marked
from tunery.data.evidence_metrics import averaged, covered, runs, sentence_of_units
from tunery.data.examples import Example, RowReader
from tunery.data.metrics import (
    Bools,
    Counts,
    Floats,
    Ints,
    areas,
    binary_cross_entropy,
    cross_entropy,
    finite,
    mean_areas,
    one_against_rest,
)
from tunery.data.reading.write import rounded
from tunery.data.row_table import Array, RowTable, objects_of
from tunery.data.splitting import FOLDS, fold_of_rows
from tunery.data.units import UNITS, Bounds, chosen_unit, sentences, usual_neighbours, words
from tunery.errors import DataError, ModelError, did_you_mean
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import CriteriaEvidenceTask, CriteriaOutput, Outputs
from tunery.schema.results.prediction import EvidenceSpan, Prediction
from tunery.tasks.classification import Classification
from tunery.tasks.decisions import AnyLabels, Decided, Decisions, OneLabel
from tunery.tasks.evidence_instances import Decision, Instances, Pair, unit_probabilities
from tunery.tasks.evidence_thresholds import Thresholds, marked_units, tuned_evidence, untuned
from tunery.tasks.labels import LabelTask, decision_metrics, indicators
from tunery.tasks.multilabel import Multilabel
from tunery.tasks.task import FollowUp, State, Task
from tunery.tasks.unit_codes import EVIDENCE, UNKNOWN, codes_of
from tunery.tasks.windows import joined, reduced, units_of, units_within

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.optim.objective import Objective

_LEAST_TEXT: Final = 16
"""Tokens of a text that must fit beside the description of a label."""
_MOST_ASKED_AGAIN: Final = 500
"""Rows that are asked about without their evidence and without anything else."""
_INSTEAD: Final = 3
"""Labels that are recorded of those given in place of one."""


class CriteriaEvidence(Task):
    """Answers are `logits` (rows, labels), `units` (units, labels) and `bounds` (units, 2) of each row."""

    checks: ClassVar[Sequence[Check]] = EVIDENCE_CHECKS
    quick_checks: ClassVar[Sequence[Check]] = QUICK_EVIDENCE_CHECKS
    state_keys: ClassVar[tuple[str, ...]] = (
        *("thresholds", "calibration", "abstention"),
        *("null_threshold", "min_span_score"),
    )

    def __init__(self, spec: CriteriaEvidenceTask, labels: Sequence[str], settings: Mapping[str, str]) -> None:
        super().__init__(labels)
        self.settings = settings
        self._spec = spec
        if spec.exclusive:
            self.decisions: Decisions = OneLabel(labels, calibration=spec.calibration)
        else:
            self.decisions = AnyLabels(labels, threshold=spec.threshold, calibration=spec.calibration, costs=spec.costs)
        self._unit = UNITS[settings["unit"]]  # type: ignore[index]
        self._neighbours = int(settings.get("neighbours", 0))
        described = {criterion.label: criterion.description for criterion in spec.criteria}
        if unknown := next((label for label in described if label not in self.labels), None):
            message = f"task.criteria describes labels of the training rows, but none has {unknown!r}"
            raise DataError(f"{message}; {did_you_mean(unknown, self.labels)}")
        self._descriptions = tuple(described.get(label, label.replace("_", " ").lower()) for label in self.labels)

    @classmethod
    def build(
        cls, spec: CriteriaEvidenceTask, *, labels: Sequence[str], settings: Mapping[str, str]
    ) -> "CriteriaEvidence":
        return cls(spec, labels, settings)

    @staticmethod
    def settings_of(spec: CriteriaEvidenceTask, examples: Sequence[Example]) -> Mapping[str, str]:
        """`unit` and `annotation`, where the spec says auto; `neighbours`, units on each side that are of the same
        evidence, as a rule."""
        unit = chosen_unit(examples) if spec.unit == "auto" else spec.unit
        annotation = annotation_of(share_marked(examples), exclusive=spec.exclusive)
        return {
            "unit": unit,
            "annotation": annotation if spec.annotation == "auto" else spec.annotation,
            "neighbours": str(usual_neighbours(examples) if unit == "token" else 0),
        }

    @staticmethod
    def reader(spec: CriteriaEvidenceTask, data: Data) -> RowReader:
        return evidence_reader(data, exclusive=spec.exclusive)

    @property
    def outputs(self) -> Outputs:
        """Labels with their evidence; of a pair of description and text, whether the text meets it."""
        if self._is_paired:
            return {"criteria": CriteriaOutput(labels=("met",), exclusive=False, neighbours=self._neighbours)}
        return {
            "criteria": CriteriaOutput(
                labels=self.labels,
                descriptions=self._descriptions,
                exclusive=self._spec.exclusive,
                neighbours=self._neighbours,
            )
        }

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> "Encoded":
        """Windows of each text, with the unit of each token; with `binary_pairs`, beside each description.

        Raises:
            ModelError: the tokenizer does not know the characters of its tokens, or descriptions leave no room.
        """
        from tunery.data.encode import encode_windows

        if not tokenizer.is_fast:
            raise ModelError(
                "evidence is found by the characters of tokens, which only fast tokenizers know, but "
                f"{type(tokenizer).__name__} is none; take a model whose folder has a tokenizer.json"
            )
        overlap = max_length // 4 if self._spec.stride is None else self._spec.stride
        questions = self._descriptions if self._is_paired else ()
        taken = max((len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in questions), default=0)
        room = max_length - taken - tokenizer.num_special_tokens_to_add(pair=bool(questions))
        if room < overlap + _LEAST_TEXT and (questions or self._spec.stride is not None):
            beside = f" and of the longest description ({taken})" if questions else ""
            raise ModelError(
                f"a window must hold {_LEAST_TEXT} tokens of text beside those of the one before it (task.stride "
                f"{overlap}){beside}, but `model.max_length` is {max_length}; raise it, or lower task.stride"
            )
        return encode_windows(
            examples,
            tokenizer,
            max_length=max_length,
            overlap=min(overlap, max(0, room - 1)),
            units=[self._unit(example.text) for example in examples],
            questions=questions,
        )

    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """Of each window: the labels whose evidence it has, or that its row has without evidence; and its units."""
        from tunery.data.batches import Targets

        numbers = indicators(examples, self.labels)
        codes = [
            codes_of(example, units, self.labels, is_partial=self._is_partial)
            for example, units in zip(examples, units_of(features), strict=True)
        ]
        labels, evidence = [], []
        for feature, (row, ids) in enumerate(zip(features.rows, features.unit_ids or (), strict=True)):
            first, last = units_within(ids)
            has_tokens = np.isin(np.arange(first, last), ids)[:, None]  # what the model does not see is not asked about
            part, has = np.where(has_tokens, codes[row][first:last], np.int8(UNKNOWN)), numbers[row] > 0
            if not self._spec.exclusive:
                has = has & ((part == EVIDENCE).any(axis=0) | ~(codes[row] == EVIDENCE).any(axis=0))
            if not len(part):  # heads answer about one unit at least
                part = np.full((1, len(has)), UNKNOWN, dtype=np.int8)
            if features.questions is not None:
                question = features.questions[feature]
                part, has = part[:, question : question + 1], has[question : question + 1]
            labels.append(has)
            evidence.append(part)
        told = np.array(labels).reshape(len(labels), -1)
        if self._is_softmax:
            return Targets({"labels": told.argmax(axis=1)}, {"evidence": evidence})
        return Targets({"labels": told.astype(np.float32)}, {"evidence": evidence})

    def truth(self, examples: Sequence[Example]) -> RowTable:
        """`labels` (rows, labels), and of each row: its words as `bounds` (words, 2), their `unit` and `sentence`
        (words,), which are evidence as `gold` (words, labels), the `spans` (spans, 3), and the `codes` of its units."""
        columns: dict[str, list[Array]] = {
            name: [] for name in ("bounds", "unit", "sentence", "gold", "spans", "codes")
        }
        numbers, position = indicators(examples, self.labels), {label: index for index, label in enumerate(self.labels)}
        for example in examples:
            bounds, units = words(example.text), self._unit(example.text)
            spans = np.array(
                [(span.start, span.end, position[span.label]) for span in evidence_of(example).spans], dtype=np.int64
            ).reshape(-1, 3)
            columns["bounds"].append(bounds)
            columns["unit"].append(sentence_of_units(bounds, units))
            columns["sentence"].append(sentence_of_units(bounds, sentences(example.text)))
            columns["gold"].append(self._covered(bounds, spans))
            columns["spans"].append(spans)
            columns["codes"].append(codes_of(example, units, self.labels, is_partial=self._is_partial))
        return RowTable({"labels": numbers, **{name: objects_of(part) for name, part in columns.items()}})

    def label_numbers(self, truth: RowTable) -> Array | None:
        return self._targets(truth)

    def labels_alone(self) -> Task:
        """One label or any number of them, without evidence."""
        task = Classification if self._spec.exclusive else Multilabel
        return task(self.labels, self.decisions)

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """`lambda_class` times the loss of the labels, `lambda_span` times that of the evidence."""
        from tunery.optim.evidence import CriteriaObjective, Rarity
        from tunery.optim.losses import make_loss

        spec, targets = config.task, truth["labels"]
        assert isinstance(spec, CriteriaEvidenceTask)
        if self._is_softmax:
            targets = targets.argmax(axis=1)
        elif self._is_paired:
            targets = targets.reshape(-1, 1)
        loss = make_loss(
            spec.loss,
            problem="single_label" if self._is_softmax else "multi_label",
            targets=targets,
            labels=1 if self._is_paired else len(self.labels),
            smoothing=config.regularization.label_smoothing,
        )
        weights = {"labels": spec.lambda_class, "evidence": spec.lambda_span}
        return CriteriaObjective(loss, config.model.evidence_head, Rarity.of(truth["codes"]), weights=weights)

    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        """Of each window the logits, those of its units, the number of the first, and how many tokens each has."""
        arrays = (outputs["labels"], outputs["units"], inputs["unit_ids"])
        return reduced(*(tensor.cpu().numpy() for tensor in arrays))

    def of_rows(self, answers: Mapping[str, Sequence[Array]], features: "Encoded") -> RowTable:
        """Windows -> rows."""
        return joined(answers, features, labels=len(self.labels), exclusive=self._spec.exclusive)

    def untrained(self, truth: RowTable) -> RowTable:
        """All logits are 0."""
        units = [np.zeros(codes.shape, dtype=np.float32) for codes in truth["codes"]]
        bounds = [_unit_bounds(words, unit) for words, unit in zip(truth["bounds"], truth["unit"], strict=True)]
        shape = (len(truth), len(self.labels))
        return RowTable({"logits": np.zeros(shape), "units": objects_of(units), "bounds": objects_of(bounds)})

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Labels as the tasks `multilabel` and `classification` score them; evidence of the labels that are given,
        compared with the evidence of the true ones (`evidence_metrics.averaged`).

        An instance is a text and a label; where labels exclude each other it is a text, with the evidence of the
        label that is given. `joint` is the mean of `f1_macro` and `evidence_auprc`.
        """
        decided = self._decided(answers, state)
        decision = Decision(decided.given, [self._of_evidence(state)] * len(truth))
        return self._metrics(answers, truth, decided, decision, state)

    def fit_state(self, answers: RowTable, truth: RowTable) -> State:
        """Of labels as in `multilabel` and `classification`, then both thresholds of evidence together, with the
        highest token F1 of what is given then."""
        of_labels = self.decisions.fit(finite(answers["logits"]), self._targets(truth))
        state = {"thresholds": [0.0] * len(self.labels), **of_labels}
        instances = Instances(truth, self._spec.exclusive).to_tune(answers, self._decided(answers, state).given)
        return {**state, **tuned_evidence(instances, self._spec.evidence)._asdict()}

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """Each fifth of the rows, drawn at random, is scored with what was fitted on the other four."""
        fold = fold_of_rows(len(truth))
        logits, given = np.zeros(truth["labels"].shape), np.zeros(truth["labels"].shape, dtype=np.bool_)
        of_evidence = [untuned(self._spec.evidence)] * len(truth)
        for number in range(FOLDS):
            own, others = fold == number, fold != number
            rows = others if others.any() else own
            state = self.fit_state(answers.take(rows), truth.take(rows))
            found = self._of_evidence(state)
            of_evidence = [found if is_own else other for is_own, other in zip(own, of_evidence, strict=True)]
            logits[own], given[own] = self._decided(answers.take(own), state)
        decision = Decision(given, of_evidence)
        return self._metrics(answers, truth, Decided(logits, given), decision, self.fit_state(answers, truth))

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Cross-entropy of the labels, softmax or the mean of sigmoids, plus the mean over words and labels of that of
        the evidence."""
        logits, labels = finite(answers["logits"]), truth["labels"]
        if self._spec.exclusive:
            losses = cross_entropy(logits, labels.argmax(axis=1))
        else:
            losses = binary_cross_entropy(logits, labels).mean(axis=1)
        for row, (units, unit, gold) in enumerate(zip(answers["units"], truth["unit"], truth["gold"], strict=True)):
            if len(gold):
                losses[row] += binary_cross_entropy(finite(units)[unit], gold).mean()
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The labels, and the evidence of each that is given."""
        of_evidence, decided = self._of_evidence(state), self._decided(answers, state)
        probabilities = self.decisions.probabilities(finite(answers["logits"]), state)
        given, confidence = decided.given, self.decisions.confidence(decided)
        predictions = []
        for row, example in enumerate(examples):
            names = [label for label, is_given in zip(self.labels, given[row], strict=True) if is_given]
            evidence: list[EvidenceSpan] = []
            for label in np.flatnonzero(given[row]).tolist():
                scores = unit_probabilities(answers, Pair(row, label))
                marked = marked_units(scores, of_evidence)
                evidence += self._spans(label, scores, marked, answers["bounds"][row], example.text)
            predictions.append(
                Prediction(
                    label=names[0] if self._spec.exclusive and names else None,
                    labels=tuple(names),
                    confidence=float(confidence[row]),
                    probabilities=dict(zip(self.labels, probabilities[row].tolist(), strict=True)),
                    evidence=tuple(evidence),
                )
            )
        return predictions

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """Of the labels alone."""
        return self.decisions.margins(finite(answers["logits"]), state)

    def follow_up(self, examples: Sequence[Example], answers: RowTable, state: State | None) -> FollowUp:
        """Comprehensiveness and sufficiency (DeYoung et al. 2020, ERASER): how much the probability of a label that is
        given falls where its evidence is removed from the text, and where nothing else is left of it.

        Asked of at most 500 rows with evidence, at equal distances. Characters are removed; what is left of evidence
        is joined by spaces. A label that is given without evidence is not counted.
        """
        predictions = self.answer(answers, examples, state)
        rows = [row for row, prediction in enumerate(predictions) if prediction.evidence]
        rows = [rows[place] for place in np.linspace(0, len(rows) - 1, min(_MOST_ASKED_AGAIN, len(rows))).astype(int)]
        probabilities = self.decisions.probabilities(finite(answers["logits"]), state)
        before, labels, without, alone = [], [], [], []
        for row in rows:
            text, evidence = examples[row].text, predictions[row].evidence
            for label in dict.fromkeys(span.label for span in evidence):
                spans = sorted((span.start, span.end) for span in evidence if span.label == label)
                ends, begins = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
                without.append(Example(text="".join(text[end:begin] for end, begin in zip(ends, begins, strict=True))))
                alone.append(Example(text=" ".join(text[start:end] for start, end in spans)))
                labels.append(self.labels.index(label))
                before.append(probabilities[row, labels[-1]])

        def metrics(changed: RowTable) -> Mapping[str, float | None]:
            if not labels:
                return dict.fromkeys(("evidence_comprehensiveness", "evidence_sufficiency"))
            told = self.decisions.probabilities(finite(changed["logits"]), state)
            after = told[np.arange(len(changed)), labels * 2].reshape(2, -1)
            removed, kept = (np.array(before) - after).mean(axis=1).tolist()
            return {"evidence_comprehensiveness": removed, "evidence_sufficiency": kept}

        return FollowUp([*without, *alone], metrics)

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        evidence = [span.model_dump() | {"score": rounded(span.score)} for span in prediction.evidence]
        if self._spec.exclusive:
            return {"label": prediction.label, "evidence": evidence}
        if isinstance(data.labels, str | None):
            return {"labels": prediction.labels, "evidence": evidence}
        return {**{label: int(label in prediction.labels) for label in self.labels}, "evidence": evidence}

    def state_at(self, threshold: float) -> State:
        """The same threshold for all labels; that of evidence stays."""
        return {"thresholds": [threshold] * len(self.labels)}

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        return LabelTask.one_answer(metrics, rows=rows)

    @property
    def _is_paired(self) -> bool:
        return self._spec.input == "binary_pairs"

    @property
    def _is_softmax(self) -> bool:
        return self._spec.exclusive and not self._is_paired

    @property
    def _is_partial(self) -> bool:
        return self.settings["annotation"] == "partial"

    def _covered(self, bounds: Bounds, spans: Ints) -> Bools:
        """Which words or units are evidence, (units, labels)."""
        result = np.zeros((len(bounds), len(self.labels)), dtype=np.bool_)
        for label in np.unique(spans[:, 2]):
            result[:, label] = covered(bounds, spans[spans[:, 2] == label, :2])
        return result

    def _targets(self, truth: RowTable) -> Array:
        """The labels as decisions take them."""
        return truth["labels"].argmax(axis=1) if self._spec.exclusive else truth["labels"]

    def _decided(self, answers: RowTable, state: State | None) -> Decided:
        return self.decisions.decide(finite(answers["logits"]), state)

    def _of_evidence(self, state: State | None) -> Thresholds:
        if state is None:
            return untuned(self._spec.evidence)
        return Thresholds(state["null_threshold"], state["min_span_score"])

    def _metrics(
        self, answers: RowTable, truth: RowTable, decided: Decided, decision: Decision, state: State | None
    ) -> dict[str, Any]:
        is_true = truth["labels"] > 0
        given = decision.labels
        counts = Counts(hits=(given & is_true).sum(axis=0), given=given.sum(axis=0), actual=is_true.sum(axis=0))
        logits, thresholds = finite(answers["logits"]), self.decisions.thresholds(state)
        odds = one_against_rest(logits) if self._spec.exclusive else logits
        each = [areas(odds[:, k], is_true[:, k]) for k in range(len(self.labels))]
        counted = (counts.given + counts.actual > 0) if self._spec.exclusive else np.ones(len(self.labels), np.bool_)
        instances = Instances(truth, self._spec.exclusive)
        pairs = instances.pairs(given)
        statistics, label_of = instances.statistics(answers, decision, pairs), instances.labels_of(pairs)
        evidence, detail = averaged(statistics), counts.per_label(self.labels)
        for index, (label, pair) in enumerate(zip(self.labels, each, strict=True)):
            roc, precision = pair or (None, None)
            own = averaged(statistics.take(np.flatnonzero(label_of == index)))
            detail[label].update(
                roc_auc=roc,
                pr_auc=precision,
                threshold=float(thresholds[index]),
                **{name: own[name] for name in ("evidence_auprc", "evidence_token_f1", "evidence_hit_at_1")},
            )
        averages = counts.averages(counted)
        auprc = evidence["evidence_auprc"]
        return {
            **averages,
            "joint": None if auprc is None else (averages["f1_macro"] + auprc) / 2,
            "subset_accuracy": float((given == is_true).all(axis=1).mean()),
            **mean_areas(each),
            **evidence,
            **decision_metrics(self.decisions, logits, decided, self._targets(truth)),
            "loss": float(self.losses(answers, truth).mean()),
            "per_label": detail,
            "given_instead": self._given_instead(given, is_true),
        }

    def _given_instead(self, given: Bools, is_true: Bools) -> dict[str, dict[str, int]]:
        """Of each label, the labels that are wrongly given most often where it is missed, with the number of rows."""
        missed, wrong = (is_true & ~given).astype(np.int64), (given & ~is_true).astype(np.int64)
        together = missed.T @ wrong
        return {
            label: {
                self.labels[other]: int(row[other])
                for other in np.argsort(-row, kind="stable")[:_INSTEAD]
                if row[other]
            }
            for label, row in zip(self.labels, together, strict=True)
            if row.any()
        }

    def _spans(self, label: int, scores: Floats, marked: Bools, bounds: Bounds, text: str) -> Iterator[EvidenceSpan]:
        for begin, end in runs(marked, bounds, merge=self.settings["unit"] == "token"):
            inside = slice(np.searchsorted(bounds[:, 0], begin), np.searchsorted(bounds[:, 1], end, side="right"))
            yield EvidenceSpan(
                label=self.labels[label], start=begin, end=end, text=text[begin:end], score=float(scores[inside].max())
            )


def _unit_bounds(bounds: Bounds, unit: Ints) -> Bounds:
    """Begin and end of the units of words."""
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    last = np.append(first[1:], len(unit)) - 1
    return np.stack([bounds[first, 0], bounds[last[: len(first)], 1]], axis=1).reshape(-1, 2)
