"""How a process ended that should have answered, in words. Imports nothing heavy."""

import signal


def exit_text(code: int) -> str:
    """Words that follow the process' name: `was killed by SIGSEGV`. `code` is negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code} and no answer"
    hint = "; the system does that when memory runs out" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
