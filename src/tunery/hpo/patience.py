"""How long a server is waited for."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long a server that was there is waited for, who is told of it, and what ends it."""

    say: Callable[[str], None] = lambda text: None
    leave: Callable[[], str | None] = lambda: None
    """What asks the process to leave, if anything."""
    answer: float = 20.0
    """Seconds for an answer."""
    away: float = 300.0
    """Seconds for a connection."""
