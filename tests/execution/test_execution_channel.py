"""Messages between a study and the process of a trial."""

import fcntl
import resource
import socket
from collections.abc import Iterator

import pytest

from tunery.execution.channel import Channel
from tunery.execution.messages import Begun, Ended


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may have more than 1,024 files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("this user may not have so many files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_channel_works_beyond_a_thousand_open_files(many_files: None) -> None:
    """`select` takes no descriptor beyond 1,023."""
    one, other = socket.socketpair()
    far = socket.socket(fileno=fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 2000))
    one.close()
    mine, its = Channel(far), Channel(other)
    assert far.fileno() >= 2000 and mine.receive(0.0) is None
    its.send(Begun(3))
    assert mine.receive(5.0) == Begun(3) and mine.receive(0.01) is None
    its.close()
    with pytest.raises(EOFError):
        mine.receive()
    mine.close()


def test_what_a_writer_left_torn_is_skipped() -> None:
    """The parent of a process that died in the middle of a line finishes on the same socket."""
    one, other = socket.socketpair()
    channel = Channel(other)
    one.sendall(b'\n["Begun", {"pid')
    Channel(one).send(Ended(-9))
    assert channel.receive(5.0) == Ended(-9)
    one.close()
    channel.close()


def test_an_end_that_is_closed_here_has_nothing_more_to_read() -> None:
    here, there = (Channel(end) for end in socket.socketpair())
    here.close()
    with pytest.raises(EOFError):
        here.receive()
    there.close()
