"""The seam between a task and everything else: one object a task. `table.py` lists them.

`data` reads and splits rows by it, `model` builds the outputs that it asks for, `train` asks it for targets, objective,
metrics and answers. A task holds names and numbers: it must not know files, and no model.

The *objective* of a task sees the outputs of one micro-batch of training. For everything else the task *reduces*
outputs at once to the little that its metrics need of a text, so that nobody holds all outputs of a split: a
`RowTable`, of which any rows can be scored. Thresholds, jackknife and ensembles live on that.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from tunery.baselines.targets import LinearTargets
from tunery.data.checks.check import Check
from tunery.data.examples import Annotation, Example, RowReader
from tunery.data.metrics import Floats
from tunery.data.row_table import Array, RowTable, column_of
from tunery.data.splitting import by_label
from tunery.errors import RequestError
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import Outputs
from tunery.schema.results.prediction import Prediction
from tunery.schema.results.run import SplitRecord
from tunery.tasks.combine import Combiner

if TYPE_CHECKING:  # torch and transformers take seconds, and reading rows needs neither
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.data.masking import Masking
    from tunery.optim.objective import Objective

JACKKNIFE_BLOCKS: Final = 50
"""Blocks of rows, or of parts of rows, that are left out in turn to see how far the choice of rows carries."""

State = Mapping[str, Any]
"""What a task fits on validation besides the model, as plain data: it is in the record and the card of a model."""


class FittedThreshold(NamedTuple):
    """A probability from which labels are given, as it was fitted on validation."""

    labels: tuple[str, ...]
    value: float
    f1: float
    """Of these labels, their decisions pooled."""
    support: int
    """How often these labels are true."""


class FollowUp(NamedTuple):
    """Changed rows that the model is asked about once more, and what its answers say."""

    examples: Sequence[Example]
    metrics: Callable[[RowTable], Mapping[str, float | None]]
    """Answers about `examples` -> metrics."""


class Task(ABC):
    """One task, with its labels in the order of the model's numbers."""

    checks: ClassVar[Sequence[Check]]
    """What is looked for in its rows, in the order of the report."""
    quick_checks: ClassVar[Sequence[Check]]
    """What of that can be fatal and needs no tokens."""
    state_keys: ClassVar[tuple[str, ...]] = ()
    """What its state consists of; none where it has no state."""
    combiner: ClassVar[Combiner | None] = None
    """How the answers of several models become one; None: they cannot."""
    chance: ClassVar[str] = "the class frequencies"
    """What a model answers that knows nothing of the text (`chance_loss`), in words."""

    writes: ClassVar[bool] = False
    """Whether a model of it goes on from a text instead of saying something about it."""

    fills: ClassVar[bool] = False
    """Whether a model of it says which tokens may stand in place of a text's mask tokens."""

    settings: Mapping[str, str] = {}
    """What `settings_of` decided."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels: tuple[str, ...] = tuple(labels)
        """Names of what the model tells apart; empty where there are none."""

    @classmethod
    @abstractmethod
    def build(cls, spec: Any, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Task":
        """The task of a spec."""

    @staticmethod
    def settings_of(spec: Any, examples: Sequence[Example]) -> Mapping[str, str]:
        """What a spec leaves to the training rows, decided by them: it is in the card of a model."""
        return {}

    @staticmethod
    @abstractmethod
    def reader(spec: Any, data: Data) -> RowReader:
        """How this task reads what is to be learned from a row."""

    @staticmethod
    def question_reader(data: Data) -> RowReader:
        """How a row is read that a finished model is asked about: here its text alone."""
        return RowReader(columns=(), read=lambda row: Annotation())

    @staticmethod
    def as_question(example: Example, data: Data) -> Example:
        """A text that a program hands over, as such a row."""
        return example

    def prompt_ids(self, example: Example, tokenizer: Any) -> Sequence[int]:
        """The tokens that a model goes on from, of a task that writes.

        Raises:
            RequestError: the task does not write.
        """
        raise RequestError("this task answers about texts and writes none; leave out what says how to write")

    def around_masks(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int
    ) -> Iterable[Sequence[tuple[Array, Array]]]:
        """Of each row what is read to fill in its mask tokens, of a task that fills: token ids, and places of masks.

        Raises:
            RequestError: the task does not fill.
        """
        raise RequestError("this task fills in no masks; leave top_k out")

    @staticmethod
    def strata(examples: Sequence[Example]) -> Sequence[frozenset[str]]:
        """Kinds of each row, of which every split that is split off gets its share."""
        return by_label(examples)

    @property
    @abstractmethod
    def outputs(self) -> Outputs:
        """What the model must answer, by name."""

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> "Encoded":
        """What the model reads: one sequence of tokens for each row, or several windows.

        Args:
            training: whether they are trained on. Then a feature need not be of one row, where the task scores no rows
                in training (`Encoded.texts`).
        """
        from tunery.data.encode import encode

        return encode(examples, tokenizer, max_length=max_length)

    def masking(self, spec: Any, tokenizer: Any) -> "Masking | None":
        """What hides tokens of training features anew in every epoch, as the spec of a run says; None: nothing does."""
        return None

    @abstractmethod
    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """What training compares outputs with.

        Raises:
            DataError: for a label that the task does not know.
        """

    @abstractmethod
    def truth(self, examples: Sequence[Example]) -> RowTable:
        """What metrics compare answers with. Raises `DataError` for a label that the task does not know."""

    def label_numbers(self, truth: RowTable) -> Array | None:
        """Labels by which batches should be mixed: int64 (rows,), or 0 and 1 (rows, labels); None: there are none."""
        return None

    def labels_alone(self) -> "Task | None":
        """The task that learns the labels of these rows and nothing else, in which simple models are scored; None where
        there is none."""
        return None

    def linear_targets(self, truth: RowTable) -> LinearTargets | None:
        """What a linear model over one vector a text is fitted to, where it can answer all that this task asks for;
        None where it cannot."""
        return None

    @abstractmethod
    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """What training minimises.

        Args:
            truth: of the training rows.

        Raises:
            ConfigError: when the loss of the config does not fit.
        """

    @abstractmethod
    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        """The little that metrics need of the outputs for some features: columns with one entry for each of them.

        Args:
            outputs: float32.
            inputs: the batch: `input_ids`, `attention_mask`.
        """

    def of_rows(self, answers: Mapping[str, Sequence[Array]], features: "Encoded") -> RowTable:
        """What was reduced, for all features in their order -> the same for rows. Here: a feature is a row."""
        return RowTable({name: column_of(entries) for name, entries in answers.items()})

    def parts(self, answers: RowTable, truth: RowTable) -> tuple[RowTable, RowTable]:
        """What can be left out of some rows: here the rows. Where a row is a long text, consecutive parts of it, so
        that one text is enough."""
        return answers, truth

    @abstractmethod
    def untrained(self, truth: RowTable) -> RowTable:
        """Answers of a model that knows nothing about these rows, to see which metrics there can be."""

    @abstractmethod
    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Every metric that the spec lists, and detail. A metric that is undefined on these rows is None.

        Raises:
            NonFiniteLoss: a number of the answers is NaN or infinite.
        """

    @abstractmethod
    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Loss of each row, (rows,): the metric `loss` is their mean, where a row has tokens to tell, weighted by how
        many."""

    def fit_state(self, answers: RowTable, truth: RowTable) -> State | None:
        """What is fitted on validation, and on validation only: on test its scores would be too good."""
        return None

    def fitted_score(self, answers: RowTable, truth: RowTable) -> dict[str, Any]:
        """`score` of the very rows that the state is fitted on, without the advantage of that."""
        return self.score(answers, truth, None)

    def follow_up(self, examples: Sequence[Example], answers: RowTable, state: State | None) -> FollowUp | None:
        """What has to be asked beside `answers` for metrics of how the model decides; None where there are none.

        It costs forward passes, so only finished models are asked: on test, and where they are evaluated.
        """
        return None

    def state_at(self, threshold: float) -> State:
        """The state in which a label is given from one probability on.

        Raises:
            RequestError: the task gives no labels.
        """
        raise RequestError(f"a threshold is for tasks that give labels, but got {threshold}; leave it out")

    def raw_thresholds(self, state: State) -> tuple[float, ...] | None:
        """The probabilities per label from which it is given, of logits as the model gives them; None where the most
        probable label is."""
        return None

    @abstractmethod
    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The answer for each row.

        Args:
            examples: the rows; what is to be learned from them is not read.
        """

    def margins(self, answers: RowTable, state: State | None) -> Floats:
        """How sure the answer to each row is: from 0, where another is as likely, to 1, (rows,).

        Raises:
            RequestError: the task gives no labels.
        """
        raise RequestError("texts are ranked by how sure a model is of their labels, but this one gives none")

    @abstractmethod
    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        """A prediction as columns of a row, in the form in which `data` has them; names of labels are a tuple."""

    @staticmethod
    def one_answer(metrics: Mapping[str, Any], *, rows: int) -> str | None:
        """The answer that all rows got although they differ, in words; None where they got several.

        Args:
            metrics: what `fitted_score` gave for so many rows.
        """
        return None

    @staticmethod
    def ranks_right(metrics: Mapping[str, Any]) -> float | None:
        """How well rows are told apart, as an area under the ROC curve is: 1/2 for an order at random; None where it is
        not known."""
        area: float | None = metrics.get("roc_auc")
        return area

    @staticmethod
    def fitted_thresholds(spec: Any, metrics: Mapping[str, Any]) -> Sequence[FittedThreshold]:
        """The thresholds that were fitted on rows enough to say something; none where the task has none.

        Args:
            metrics: what `fitted_score` gave.
        """
        return ()

    @staticmethod
    def remark(spec: Any, metrics: Mapping[str, Any]) -> str | None:
        """What the task has to say of a finished run beside what is said of every run, in words; None: nothing.

        Args:
            metrics: what `score` gave for validation, the state included.
        """
        return None

    @staticmethod
    def chance_loss(split: SplitRecord, metrics: Mapping[str, Any]) -> float | None:
        """The loss of a model that knows how often each answer occurs in a split and nothing of the text; None where
        it cannot be computed.

        Args:
            metrics: of any split.
        """
        return None
