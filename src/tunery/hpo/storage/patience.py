"""How long a server is waited for."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_PROMPT: Final = 1.0
"""Seconds in which a server that is well has answered: no wait ends before."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for that has answered before, what is said meanwhile, and what ends the wait."""

    say: Callable[[str], None] = lambda text: None
    leave: Callable[[], str | None] = lambda: None
    """What asks the process to leave, if anything."""
    answer: float = 20.0
    """Seconds for an answer."""
    away: float = 300.0
    """Seconds for a connection."""
    _was_in_vain: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def ended_by(self, seconds: float) -> str | None:
        """What asks the process to leave, where a wait of so many seconds is enough for that; None: wait on.

        The first wait that was in vain takes a second; those after it end at once, so that many questions to a silent
        server take no longer than one.
        """
        by = self.leave() if seconds > _PROMPT or self._was_in_vain.is_set() else None
        if by is not None:
            self._was_in_vain.set()
        return by
