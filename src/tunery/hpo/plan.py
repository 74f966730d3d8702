"""What a study is to do, and who is told of it. Imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

import optuna

from tunery.schema import RunConfig
from tunery.schema.reading.document import Document
from tunery.schema.results.study import TrialRecord


class Observer(Protocol):
    """Who is told about trials as they come and go, from whichever thread."""

    def trial_started(self, number: int, config: RunConfig) -> None:
        """A trial begins, or goes on."""

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial has completed, was pruned or failed."""

    def say(self, text: str) -> None:
        """Something that a person should know: disk space, damaged resume points."""


@dataclass(frozen=True)
class Plan:
    """What stays the same over the whole study."""

    document: Document
    base: RunConfig
    out: Path
    study: optuna.Study
    trust_remote_code: bool = False
    """Whether this call permits code that comes with the models."""
    texts: bool = True
    """Whether records may hold the texts of rows."""


@final
class Silent:
    """Tells nobody."""

    def trial_started(self, number: int, config: RunConfig) -> None:
        """Nothing."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
