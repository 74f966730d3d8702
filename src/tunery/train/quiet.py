"""What a person sees of warnings. Imports nothing heavy: every command begins here."""

import warnings


def quiet_libraries() -> None:
    """Keep the libraries' own warnings from the user; tunery's are shown as one line each."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module="tunery")
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
