"""The command: every verb in one list. Rooms that load torch are imported by the verb that needs them, so that `--help`
is quick."""

import atexit
import gc
import os
import sys
from typing import Annotated, Final

import typer

import tunery
from tunery.cli.exits import guarded
from tunery.cli.folders import diff, ls, rm
from tunery.cli.keeping import clean, report
from tunery.cli.machine import doctor
from tunery.cli.secrets import Secrets
from tunery.cli.starting import calibrate, check, curve, init, models, schema
from tunery.cli.using import ensemble, evaluate, export, predict, threshold
from tunery.cli.working import compare, pretrain, search, train, worker
from tunery.startup import set_wait_policy
from tunery.terminal import show_every_character, write

VERBS: Final = (
    init,
    check,
    curve,
    pretrain,
    train,
    search,
    worker,
    compare,
    evaluate,
    predict,
    threshold,
    ensemble,
    report,
    ls,
    diff,
    export,
    clean,
    rm,
    schema,
    models,
    calibrate,
    doctor,
)

app = typer.Typer(
    name="tunery",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in VERBS:
    app.command()(verb)


def _print_version(asked: bool) -> None:
    if asked:
        write(tunery.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tuning that saves disk, memory and time, and tests its results."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `tunery` command."""
    given = sys.argv[1:] if arguments is None else arguments
    set_wait_policy(os.environ)
    atexit.register(gc.freeze)  # to look for cycles among all that torch has made takes a second, or several
    show_every_character()
    secrets = Secrets([*given, *os.environ.values()])
    sys.exit(guarded(lambda: _run(given), as_json="--json" in given, secrets=secrets))


def _run(arguments: list[str]) -> object:
    """Do what typer's own `main` does, but for its ideas of what a closed pipe and an interrupt mean."""
    command = typer.main.get_command(app)
    with command.make_context("tunery", list(arguments)) as context:
        return command.invoke(context)
