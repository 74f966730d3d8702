"""From errors to exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted but resumable."""

import traceback
from collections.abc import Callable
from typing import Any

import typer

from tunery.cli.secrets import Secrets
from tunery.errors import ConfigError, Interrupted, RequestError, TuneryError
from tunery.terminal import write_error, write_json
from tunery.train.library_warnings import quiet_libraries

INTERRUPTED = 130
_USAGE: Any = typer.BadParameter.__bases__[0]  # from click, or from the copy of click inside newer typers


def guarded(command: Callable[[], object], *, as_json: bool, secrets: Secrets | None = None) -> int:
    """Run a command and turn whatever it raises into one clear message and an exit code.

    Args:
        secrets: what no message may hold.
    """
    quiet_libraries()
    try:
        code = command()
    except typer.Exit as exit_request:
        return exit_request.exit_code
    except SystemExit as exit_request:
        if isinstance(exit_request.__context__, BrokenPipeError):  # rich exits like this where nobody reads its help
            return 0
        raise
    except (Exception, KeyboardInterrupt) as error:
        secrets = secrets or Secrets()
        message, code = _message_and_code(error)
        if message is None:
            return code
        if code == 1 and not isinstance(error, TuneryError | OSError):
            write_error(secrets.masked(traceback.format_exc().rstrip()))
        message = secrets.masked(message)
        write_error(f"{'stopped' if code == INTERRUPTED else 'error'}: {message}")
        if as_json:
            problems = [
                {"path": secrets.masked(problem.path), "message": secrets.masked(problem.message)}
                for problem in (error.problems if isinstance(error, ConfigError) else ())
            ]
            kind = type(error).__name__
            write_json({"error": {"kind": kind, "message": message, "problems": problems}, "exit_code": code})
        return code
    return code if isinstance(code, int) else 0


def _message_and_code(error: BaseException) -> tuple[str | None, int]:
    """The message for an error, None where one has been printed already, and the exit code."""
    if isinstance(error, _USAGE):
        usage = error.format_message()  # empty where the help was printed in its place
        return f"{usage.rstrip('.')}{' See' if usage.endswith('?') else '; see'} --help" if usage else None, 2
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "stopped; the same command starts or resumes the work", INTERRUPTED
    if isinstance(error, Interrupted):
        return str(error), INTERRUPTED
    if isinstance(error, TuneryError):
        return str(error), 2 if isinstance(error, RequestError) else 1
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return f"{what}; once that is fixed, the same command resumes", 1
    return f"{type(error).__name__}: {error}", 1
