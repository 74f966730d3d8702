"""What is to be learned: the tasks, and what they ask of a model."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from tunery.schema.config.loss import Bce, CrossEntropy, MultiLabelLoss, SingleLabelLoss
from tunery.schema.results.direction import Metrics
from tunery.schema.spec import Spec


class TaskSpec(Spec):
    """What every task says of itself."""

    metrics: ClassVar[Metrics]
    training_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that only training reads: the rows do not depend on them."""
    label_key: ClassVar[str | None] = None
    """Key of `data` with the column, or columns, of its labels; None: it has none."""
    reads_evidence: ClassVar[bool] = False
    """Whether a row's labels come with the spans of its text that are evidence of them."""
    kind: str

    def without_training_keys(self) -> Self:
        """The same task with the defaults of all keys that the rows do not depend on."""
        return self.model_copy(update={key: type(self).model_fields[key].default for key in self.training_keys})


class ClassificationTask(TaskSpec):
    """One text, or a pair of texts, gets exactly one label."""

    metrics: ClassVar[Metrics] = {
        "f1_macro": "maximize",
        "accuracy": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "mcc": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "ece": "minimize",
        "loss": "minimize",
    }
    training_keys: ClassVar[tuple[str, ...]] = ("loss",)
    label_key: ClassVar[str | None] = "label"
    kind: Literal["classification"] = "classification"
    loss: SingleLabelLoss = CrossEntropy()
    """What training minimises."""


class MultilabelTask(TaskSpec):
    """One text, or a pair of texts, gets any number of labels."""

    metrics: ClassVar[Metrics] = {
        "f1_macro": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "subset_accuracy": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "loss": "minimize",
    }
    training_keys: ClassVar[tuple[str, ...]] = ("loss",)
    label_key: ClassVar[str | None] = "labels"
    kind: Literal["multilabel"] = "multilabel"
    loss: MultiLabelLoss = Bce()
    """What training minimises."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"] = "tuned"
    """Probability from which a label is given: one number, or `tuned`: one per label, found on validation only."""


Task = Annotated[ClassificationTask | MultilabelTask, Field(discriminator="kind")]


class LabelOutput(Spec):
    """One vector a text: a number for each label."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""
    problem: Literal["single_label", "multi_label"]
    """`single_label`: softmax over the labels. `multi_label`: one sigmoid per label."""


class TokenOutput(Spec):
    """One vector a token: a number for each label."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""


class CriteriaOutput(Spec):
    """For each text a number for each label, and for each of its units (words, sentences) a number for each label: is
    it the label's evidence? Answered by the names `labels` (texts, labels), `units` (texts, units, labels), and what
    else `model.evidence_head` is trained by."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""
    descriptions: tuple[str, ...] | None = None
    """What each label means, in the same order; None: as its name says."""
    exclusive: bool = False
    """Every text has exactly one label: softmax over the labels in place of one sigmoid per label."""

    @property
    def problem(self) -> Literal["single_label", "multi_label"]:
        """As of `LabelOutput`."""
        return "single_label" if self.exclusive else "multi_label"


Output = LabelOutput | TokenOutput | CriteriaOutput
Outputs = Mapping[str, Output]
"""What a task asks of the model, by name. The tasks room makes it, the model room reads it."""
