"""The verb about this machine: `doctor`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tunery.cli.options import AsJson
from tunery.cli.show import plain
from tunery.schema.results.health import Health
from tunery.schema.sizes import size_text
from tunery.terminal import Terminal, reminding, write_json


def doctor(
    out: Annotated[Path | None, typer.Option("--out", help="Folder where runs would lie; default: here.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask whether the Hub answers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at versions, device, memory, disk, extras and the Hub, and say what to do about what is wrong.

    Exit code 1 where nothing can be trained before something is mended."""
    with reminding(Terminal(stderr=True).say) as say:
        say("importing torch and looking at the machine")
        from tunery.doctor import examine

        found = examine(out, network=not offline)
    if as_json:
        write_json(found)
    else:
        _print(found)
    if any(fault.stops_work for fault in found.faults):
        raise typer.Exit(1)


def _print(found: Health) -> None:
    terminal = Terminal(elsewhere=160)
    table = Table(box=None, pad_edge=False, show_header=False)
    packages = ", ".join(f"{name} {number}" for name, number in found.packages.items())
    for name, text in {
        "python": f"{found.python} on {found.platform}",
        "packages": packages,
        "device": f"{found.device}; {found.precision_reason}",
        "cores": f"{found.cores} of {found.all_cores}; a run computes with {found.threads} threads",
        "memory": f"{size_text(found.memory_left)} left for a run",
        "disk": f"{size_text(found.disk_free)} of {size_text(found.disk_total)} free at {found.folder}",
        "models": f"minilm is {'' if found.packaged_model else 'not '}packaged; {found.cached_models} in {found.cache}",
        "Hub": found.hub,
    }.items():
        table.add_row(name, plain(text))
    terminal.print(table)
    extras = Table("extra", "", "adds", box=None, pad_edge=False)
    for extra in found.extras:
        extras.add_row(extra.name, "installed" if extra.is_installed else "–", extra.adds)
    terminal.print(extras)
    for fault in found.faults:
        terminal.say(plain(f"{'error' if fault.stops_work else 'warning'}: {fault.what}\n  to do: {fault.remedy}"))
    if missing := [extra.name for extra in found.extras if not extra.is_installed]:
        terminal.say(f"an extra is added by: pip install 'tunery[{missing[0]}]'")
    if not found.faults:
        terminal.say("nothing is wrong; next: tunery init DATA")
