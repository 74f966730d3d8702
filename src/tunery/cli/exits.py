"""From errors to exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted but resumable."""

import json
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

import typer

from tunery.errors import ConfigError, Interrupted, Problem, RequestError, TuneryError
from tunery.train.quiet import quiet_libraries

INTERRUPTED = 130
_PASSWORDS: Final = re.compile(r"(?<=://)([^\s:/@]*:)\S+(?=@)|(\bpassword=)[^\s&'\"]+")
_USAGE: Any = typer.BadParameter.__bases__[0]  # from click, or from the copy of click inside newer typers


def guarded(command: Callable[[], object], *, as_json: bool) -> int:
    """Run a command and turn whatever it raises into one clear message and an exit code."""
    quiet_libraries()
    try:
        code = command()
    except typer.Exit as left:
        return left.exit_code
    except _USAGE as error:
        told = error.format_message()  # empty where the help was printed in its place
        return _report(error, f"{told.rstrip('.')}; see --help", 2, as_json=as_json) if told else 2
    except (KeyboardInterrupt, typer.Abort) as error:
        return _report(error, "stopped; the same command starts or resumes the work", INTERRUPTED, as_json=as_json)
    except TuneryError as error:
        return _report(error, str(error), _code(error), as_json=as_json)
    except BrokenPipeError:
        return 0
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _report(error, f"{what}; once that is mended, the same command resumes", 1, as_json=as_json)
    except Exception as error:
        print(without_passwords(traceback.format_exc()), end="", file=sys.stderr)
        return _report(error, f"{type(error).__name__}: {error}", 1, as_json=as_json)
    return code if isinstance(code, int) else 0


def _code(error: TuneryError) -> int:
    if isinstance(error, Interrupted):
        return INTERRUPTED
    return 2 if isinstance(error, RequestError) else 1


def _report(error: BaseException, message: str, code: int, *, as_json: bool) -> int:
    message = without_passwords(message)
    print(f"{'stopped' if code == INTERRUPTED else 'error'}: {message}", file=sys.stderr)
    if as_json:
        told = [map(without_passwords, problem) for problem in error.problems] if isinstance(error, ConfigError) else []
        problems = [dict(zip(Problem._fields, texts, strict=True)) for texts in told]
        kind = type(error).__name__
        print(json.dumps({"error": {"kind": kind, "message": message, "problems": problems}, "exit_code": code}))
    return code


def without_passwords(text: str) -> str:
    """What is printed of a text that may hold the URL of a database."""
    return _PASSWORDS.sub(r"\1\2***", text)
