"""What is printed. Control characters in a text are shown and not obeyed; a closed pipe does not stop the work.

Everything goes through here: text for people through a `Terminal`, text for programs through `write` or `write_json`.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import IO, Any, Final, final

from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except line breaks and tabs; marks that turn the direction of the text that follows; and halves of
surrogate pairs, which no encoding has."""


def shown(text: str) -> str:
    """The text with escapes in place of control characters: a label or file name must not steer the terminal."""
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)


def show_every_character() -> None:
    """What the encoding of a standard stream lacks is written as an escape from now on, in place of an error.

    Escapes and not question marks: two labels that the encoding lacks stay two.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@final
class Terminal(Console):
    """Standard output or standard error, for people: no text is taken for markup, and no control character is sent.

    Where the reader has gone (`tunery … | head`), the rest is dropped and the work goes on.
    """

    def __init__(self, *, elsewhere: int | None = None, **options: Any) -> None:
        """Args:
        elsewhere: columns where this is no terminal, such as a file; None: as rich says.
        options: of rich's `Console`.
        """
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if elsewhere is not None and not self.is_terminal:
            self.width = elsewhere

    def say(self, text: str = "") -> None:
        """Print a text as it is, however long its lines are."""
        self.print(text, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does; strings come here before they are laid out, so that escapes have room."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does; whatever is printed passes here on its way out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))

    def on_broken_pipe(self) -> None:
        """Drop what follows."""
        self.quiet = True
        _drop(self.file)


@contextmanager
def reminding(say: Callable[[str], None], *, seconds: float = 10) -> Iterator[Callable[[str], None]]:
    """Something to tell what is being done: it is said, and said again with its time while it goes on.

    Args:
        say: gets what is to be said, in a thread of its own.
        seconds: from one time to the next.
    """
    steps: SimpleQueue[str | None] = SimpleQueue()

    def speak() -> None:
        again, step, since = "", steps.get(), monotonic()
        while step is not None:
            say(again or step)
            try:
                again, step, since = "", steps.get(timeout=seconds), monotonic()
            except Empty:
                again = f"{step}: {monotonic() - since:.0f} s so far"

    thread = Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield steps.put
    finally:
        steps.put(None)
        thread.join()


def write(text: str) -> None:
    """Print a text for programs on standard output, exactly."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _drop(sys.stdout)


def write_json(document: Any) -> None:
    """Print plain data, or a record, as one JSON document: in ASCII, so that it is the same in every encoding."""
    plain = json.loads(document.model_dump_json()) if isinstance(document, BaseModel) else document
    write(json.dumps(plain, indent=1))


def write_error(text: str) -> None:
    """Print a text for people on standard error, where a `Terminal` would be too much."""
    with suppress(BrokenPipeError):
        print(shown(text), file=sys.stderr, flush=True)


def _drop(stream: IO[str]) -> None:
    """Let all that is written to the stream go nowhere; also what it holds already, which Python writes at the end."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
