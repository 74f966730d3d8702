"""Boxes of messages between a run on another machine and its study."""

import asyncio

import pytest

from tunery.execution.messages import Alive, Leave
from tunery.execution.ray_mailbox import Mailbox


def test_messages_come_in_order_and_in_their_own_box() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.open("a")
        await mailbox.open("b")
        await mailbox.send("a", Alive())
        await mailbox.send("a", Leave("SIGTERM"))
        assert await mailbox.receive("b", 0.01) is None
        assert [await mailbox.receive("a"), await mailbox.receive("a")] == [Alive(), Leave("SIGTERM")]

    asyncio.run(talk())


def test_a_closed_box_tells_who_waits_and_who_comes_later_that_nobody_will_write() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.open("a")
        waiting = asyncio.create_task(mailbox.receive("a"))
        await asyncio.sleep(0)
        await mailbox.close("a")
        for reader in (waiting, mailbox.receive("a")):
            with pytest.raises(EOFError):
                await reader
        await mailbox.send("a", Alive())
        await mailbox.close("a")

    asyncio.run(talk())
