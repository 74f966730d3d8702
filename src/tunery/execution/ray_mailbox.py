"""Messages between a run on another machine and its study, through an actor of Ray."""

import asyncio
from typing import Any, final

from tunery.execution.messages import Message


@final
class Mailbox:
    """Boxes by name. Everything happens in one event loop; `RayTasks` has it as an actor, which both sides call."""

    def __init__(self) -> None:
        self._boxes: dict[str, asyncio.Queue[Message | None]] = {}

    async def open(self, box: str) -> None:
        """Have a box, into which messages may be sent from now on."""
        self._boxes[box] = asyncio.Queue()

    async def send(self, box: str, message: Message) -> None:
        """Put a message into a box; it is lost where the box is closed."""
        if box in self._boxes:
            self._boxes[box].put_nowait(message)

    async def receive(self, box: str, seconds: float | None = None) -> Message | None:
        """The next message; None when there is none for so long.

        Raises:
            EOFError: when the box is closed, whether before or meanwhile.
        """
        if box not in self._boxes:
            raise EOFError
        try:
            message = await asyncio.wait_for(self._boxes[box].get(), seconds)
        except TimeoutError:
            return None
        if message is None:
            raise EOFError
        return message

    async def close(self, box: str) -> None:
        """Close a box; a call that waits for a message raises `EOFError`."""
        if (queue := self._boxes.pop(box, None)) is not None:
            queue.put_nowait(None)


@final
class MailboxLine:
    """One end of the connection between a run and its study, by two boxes of a mailbox."""

    def __init__(self, mailbox: Any, *, inbox: str, outbox: str) -> None:
        """Args:
        mailbox: the handle of a Ray actor, which is a `Mailbox`.
        """
        from ray import get

        self._get = get
        self._mailbox = mailbox
        self._inbox = inbox
        self._outbox = outbox

    def send(self, message: Message) -> None:
        """Send a message."""
        self._get(self._mailbox.send.remote(self._outbox, message))

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None when there is none for so long.

        Raises:
            EOFError: when none can come any more.
        """
        message: Message | None = self._get(self._mailbox.receive.remote(self._inbox, seconds))
        return message
