"""Who is told about the runs of a study or a comparison as they come and go. Imports nothing heavy."""

from typing import Protocol, TypeVar, final

Record = TypeVar("Record", contravariant=True)


class Observer(Protocol[Record]):
    """Is told in the thread that has the run trained. `Record` is what is known of a run that has ended."""

    def started(self, title: str, *, number: int, total: int) -> None:
        """A run begins, or goes on.

        Args:
            title: `trial 3`, `lora seed 1`.
            number: counts from 1 and includes the runs of earlier calls.
        """

    def ended(self, record: Record) -> None:
        """A run has completed, was pruned or failed."""

    def say(self, text: str) -> None:
        """Something that a person should know: disk space, damaged resume points, a learning rate far from a method's
        default."""


@final
class Silent:
    """Reports nothing."""

    def started(self, title: str, *, number: int, total: int) -> None:
        """Nothing."""

    def ended(self, record: object) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""
