"""What is printed arrives as it is, harms no terminal, and stops no work."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

import tunery
from tunery.terminal import Terminal, reminding, shown

SOURCES = Path(tunery.__file__).parent
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)
ANY = st.text(st.characters(exclude_characters="\n\t"), max_size=30)


def said(text: str, *, terminal: bool = False) -> str:
    file = io.StringIO()
    Terminal(file=file, force_terminal=terminal, width=20).say(text)
    return file.getvalue()


@given(text=PRINTABLE)
@example("data [final]/b [/a].csv")
@example("[bold]not[/bold] :smile: [link=x]y[/link]")
@example("a line much longer than the terminal is wide is not broken")
def test_a_text_arrives_as_it_is(text: str) -> None:
    if not re.search("[\u202a-\u202e\u2066-\u2069]", text):
        assert said(text) == f"{text}\n" == said(text, terminal=True)


@given(text=ANY.filter(bool))
@example("[/red] [bold]")
def test_a_cell_of_a_table_arrives_as_it_is(text: str) -> None:
    file = io.StringIO()
    table = Table("before", text, box=None, pad_edge=False)
    table.add_row(text, "after")
    Terminal(file=file, width=1000).print(table)
    head, row = file.getvalue().splitlines()
    assert head.startswith("before") and head.rstrip().endswith(shown(text).rstrip())
    assert row.startswith(shown(text)) and row.rstrip().endswith("after")


@given(text=ANY)
@example("\x1b[2J\x1b]52;c;aGk=\x07 \x9b31m \u202e \ud83d \x00 \r")
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    for sent in (said(text), shown(text)):
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in sent if letter != "\n")
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", sent)


def test_escapes_show_what_was_there() -> None:
    assert (
        shown("a\x1b[2J \u202eb\ud83d") == "a\\x1b[2J \\u202eb\\ud83d" and shown("two\nlines\tso") == "two\nlines\tso"
    )


def test_where_nobody_reads_the_work_goes_on() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        terminal = Terminal(file=file)
        for _ in range(2):
            terminal.say("nobody hears this")


def run(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    tunery = f"{sys.executable} -m tunery"
    bash = ["bash", "-c", f"set -o pipefail; {command.replace('tunery', tunery, 1)}"]
    return subprocess.run(
        bash, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize("command", ["schema space", "--help"])
def test_a_reader_that_leaves_is_no_failure(command: str, tmp_path: Path) -> None:
    done = run(f"tunery {command} | head -1", tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Broken" not in done.stderr


def test_an_encoding_that_lacks_a_label_is_no_failure(tmp_path: Path) -> None:
    rows = "".join(f"text number {n} of all,{('好评', '差评')[n % 2]}\n" for n in range(40))
    (tmp_path / "reviews.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    done = run("tunery init reviews.csv", tmp_path, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and "\\u597d\\u8bc4" in done.stdout and "\\u5dee\\u8bc4" in done.stdout
    done = run("tunery init reviews.csv --overwrite --json", tmp_path, PYTHONIOENCODING="ascii")
    assert set(json.loads(done.stdout)["guess"]["counts"]) == {"好评", "差评"}


def test_what_is_to_be_typed_next_can_be_typed(tmp_path: Path) -> None:
    (tmp_path / "a [b]").mkdir()
    rows = "".join(f"text number {n} of all,{('good', 'bad')[n % 2]}\n" for n in range(40))
    (tmp_path / "a [b]" / "c [d].csv").write_text(f"text,label\n{rows}")
    done = run("tunery init 'a [b]/c [d].csv' --out 'a [b]/e [f].yaml'", tmp_path)
    assert "written: a [b]/e [f].yaml\n" in done.stdout and "tunery check 'a [b]/e [f].yaml'\n" in done.stdout


def printed_elsewhere(path: Path) -> Iterator[str]:
    """Every way past `terminal.py` to a terminal, and every way in it to take a text for markup."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.console", "rich.markup"):
            yield from (f"imports {name.name}" for name in node.names if name.name != "ConsoleRenderable")
        if isinstance(node, ast.Import):
            yield from (f"imports {name.name}" for name in node.names if name.name.startswith("rich"))
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            markup = [word.value for word in node.keywords if word.arg == "markup"]
            if called in ("from_markup", "render_markup", "echo", "secho") or (
                called == "print" and not isinstance(node.func, ast.Attribute)
            ):
                yield f"calls {called}"
            if any(getattr(value, "value", True) is not False for value in markup):
                yield "asks for markup"
            if called == "TextColumn" and not markup:
                yield "TextColumn takes its text for markup unless told otherwise"


def test_nothing_is_printed_but_by_way_of_the_terminal() -> None:
    found = {
        str(path.relative_to(SOURCES)): ways
        for path in SOURCES.rglob("*.py")
        if path.name != "terminal.py" and (ways := list(printed_elsewhere(path)))
    }
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "from rich.console import Console",
        "import rich",
        "from rich import print",
        "print(f'{path}')",
        "terminal.print(text, markup=True)",
        "terminal.print(text, markup=wanted)",
        "Text.from_markup(text)",
        "TextColumn('{task.description}')",
        "typer.echo(path)",
    ],
)
def test_the_check_finds_every_way_around(code: str, tmp_path: Path) -> None:
    path = tmp_path / "room.py"
    path.write_text(code)
    assert list(printed_elsewhere(path))


def test_what_takes_long_is_said_again() -> None:
    lines: SimpleQueue[str] = SimpleQueue()
    with reminding(lines.put, seconds=0.01) as say:
        say("reading")
        assert lines.get(timeout=60) == "reading"
        assert re.fullmatch(r"reading: \d+ s so far", lines.get(timeout=60))
        say("counting")
        assert "counting" in iter(lambda: lines.get(timeout=60), None)
    with pytest.raises(ValueError, match="^stopped$"), reminding(lines.put) as say:
        say("looking")
        raise ValueError("stopped")
    assert "looking" in iter(lambda: lines.get(timeout=60), None)
