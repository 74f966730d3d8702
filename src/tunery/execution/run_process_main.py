"""An interpreter for one run: `python -m tunery.execution.run_process_main`, started by `own_interpreter` alone.

Imports nothing heavy before the process that will read the run's export does so too.
"""

import os
import socket
import sys

from tunery.execution.channel import Channel
from tunery.execution.messages import Train, decode
from tunery.startup import imports
from tunery.train.artifacts.reader_process import READER
from tunery.train.library_warnings import quiet_libraries


def main() -> None:
    """Train what standard input says, and answer into the socket whose number is the argument."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no result of the command's
    quiet_libraries()
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.register_at_fork(after_in_child=channel.close)  # a process that it forks has nothing to say
    request = decode(sys.stdin.read())
    if not isinstance(request, Train):
        return
    if not request.job.config.data.cross_validates:
        READER.start()
    with imports():
        import torch

        from tunery.execution.run_process import train
    train(request, channel, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
