"""What is to be learned: the tasks."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.loss import Bce, CrossEntropy, MultiLabelLoss, SingleLabelLoss
from tunery.schema.spec import Spec


class ClassificationTask(Spec):
    """One text, or a pair of texts, gets exactly one label."""

    kind: Literal["classification"] = "classification"
    loss: SingleLabelLoss = CrossEntropy()
    """What training minimises."""


class MultilabelTask(Spec):
    """One text, or a pair of texts, gets any number of labels."""

    kind: Literal["multilabel"] = "multilabel"
    loss: MultiLabelLoss = Bce()
    """What training minimises."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"] = "tuned"
    """Probability from which a label is given: one number, or `tuned`: one per label, found on validation only."""


Task = Annotated[ClassificationTask | MultilabelTask, Field(discriminator="kind")]


class HeadSpec(Spec):
    """What a task asks of the model's head. The data room makes it, the model room reads it."""

    labels: tuple[str, ...]
    """Label names; the order is the order of the model's outputs."""
    problem: Literal["single_label", "multi_label"]
    """`single_label`: softmax over the labels. `multi_label`: one sigmoid per label."""
