"""What a model answers in tests: one vector a text, whoever brings the head."""

from torch import Tensor, nn

from tunery.model.heads.heads import answers_of
from tunery.schema.config.task import LabelOutput

ONE = {"labels": LabelOutput(labels=(), problem="single_label")}


def labels_of(module: nn.Module, **inputs: Tensor) -> Tensor:
    """(batch, tokens) -> (batch, labels)"""
    return answers_of(module, inputs, ONE)["labels"]
