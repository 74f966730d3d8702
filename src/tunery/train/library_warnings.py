"""What a person sees of warnings. Imports nothing heavy: every command begins here."""

import warnings
from typing import Any

from tunery.terminal import shown


def quiet_libraries() -> None:
    """Keep the libraries' own warnings from the user; tunery's are shown as one line each."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", category=UserWarning, module="tunery")
    warnings.formatwarning = _one_line


def _one_line(message: Warning | str, *_: Any, **__: Any) -> str:
    return shown(f"warning: {' '.join(str(message).split())}\n")
