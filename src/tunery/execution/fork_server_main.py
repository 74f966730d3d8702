"""The process that trials are forked from: `python -m tunery.execution.fork_server_main`, started by `forked` alone.

A process that has touched CUDA, or computed with several threads, is no good to fork from. This file sees to the first
before anything heavy is imported; `fork_server` does the work.
"""

import os
import socket
import sys
from importlib import import_module

from tunery.startup import imports


def main() -> None:
    """Serve the study at the other end of the socket whose number is given."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no result of the command's
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # to look for devices without waking them up
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads would not be there in a fork
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # peft imports it where it is there, and it wakes them
    with imports():
        server = import_module("tunery.execution.fork_server")
    server.serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
