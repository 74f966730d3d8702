"""What a linear model is fitted to. Read by tasks, which need no fit, so nothing heavy is imported here."""

from typing import Any, Literal, NamedTuple

import numpy.typing as npt

Problem = Literal["single_label", "multi_label", "number", "levels"]


class LinearTargets(NamedTuple):
    """What is right of some rows, and in which form a model answers."""

    problem: Problem
    """`single_label`: one of several labels; `multi_label`: any of them; `number`: any number; `levels`: one of several
    in an order."""
    values: npt.NDArray[Any]
    """Labels or levels as numbers, int64 (rows,); 0 and 1, (rows, labels); or numbers, float64 (rows,)."""
    outputs: int
    """Numbers of an answer: one for each label, for each level but the highest, or one."""

    def take(self, rows: npt.NDArray[Any]) -> "LinearTargets":
        """Those of some rows."""
        return self._replace(values=self.values[rows])
