"""What a run on another machine and its study say to one another."""

import asyncio

from tunery.execution.ray_mailbox import Mailbox
from tunery.execution.runner import Epoch
from tunery.schema.results.run import Progress

FIRST = Epoch(1, 0.5, Progress())


def test_an_epoch_is_seen_once_and_answered() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        assert await mailbox.look(7) == (None, None)
        asked = asyncio.create_task(mailbox.ask(7, FIRST))
        await asyncio.sleep(0)
        silent, epoch = await mailbox.look(7)
        assert silent is not None and epoch == FIRST
        assert (await mailbox.look(7))[1] is None and (await mailbox.look(8))[1] is None
        await mailbox.answer(7, "worse than others")
        assert await asked == "worse than others"

    asyncio.run(talk())


def test_who_makes_progress_hears_whether_to_leave() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        assert await mailbox.alive(1) is None
        await mailbox.leave(1, "SIGTERM")
        assert await mailbox.alive(1) == "SIGTERM" and await mailbox.alive(2) is None
        assert (await mailbox.look(1))[0] is not None
        await mailbox.forget(1)
        assert await mailbox.look(1) == (None, None)

    asyncio.run(talk())
