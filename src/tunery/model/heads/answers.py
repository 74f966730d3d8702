"""What a model answers."""

from torch import Tensor


class Answers(dict[str, Tensor]):
    """By the names that a task's outputs have; a model with a head of its architecture's own for labels has its
    library's form instead (`heads.answers_of`)."""
