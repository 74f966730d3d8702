"""Rows with what a model is asked and how it should answer: prompts with completions, and conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tunery.data.examples import JOINT, Annotation, RowReader
from tunery.data.reading.cells import BadCell, is_missing, text_of
from tunery.data.reading.source import Row
from tunery.errors import did_you_mean, shortened
from tunery.schema.config.data import Data
from tunery.schema.reading.json_text import NotJson, parse_json

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
_ROLES: Final = {name: name for name in (SYSTEM, USER, ASSISTANT)} | {"human": USER, "gpt": ASSISTANT}
"""What each role may be called: the latter names come with the keys `from` and `value`."""
_KEYS: Final = (("role", "content"), ("from", "value"))
_BETWEEN_COLUMNS: Final = "\n\n"
_RULE: Final = 'must hold a list of messages, [{"role": "user", "content": "…"}, {"role": "assistant", …}]'


class Message(NamedTuple):
    """What one side says in a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages: an optional one of the system, then those of user and assistant in turn."""

    messages: tuple[Message, ...]

    @property
    def learned(self) -> str:
        """What the assistant says, all of it."""
        return "\n".join(message.content for message in self.messages if message.role == ASSISTANT)


@dataclass(frozen=True, slots=True)
class Completion:
    """A prompt and how it goes on, without a gap."""

    prompt: str
    completion: str

    @property
    def learned(self) -> str:
        """The completion."""
        return self.completion


Turns = Conversation | Completion


def completions(data: Data) -> RowReader:
    """Of rows with the columns `data.prompt` and `data.completion`; the target is a `Completion`."""
    answer = data.completion or ""

    def read(row: Row) -> Annotation:
        prompt, completion = prompt_of(row, data), _text(row, answer)
        if not completion:
            raise BadCell(f"column {answer!r} must hold how the prompt goes on, but it is empty")
        return Annotation(target=Completion(prompt, completion), text=f"{prompt}{JOINT}{completion}")

    named = (*(("data.prompt", column) for column in data.prompt_columns), ("data.completion", answer))
    return RowReader(columns=named, read=read, has_text=True)


def prompt_of(row: Row, data: Data) -> str:
    """What a model is asked by a row, up to where its completion begins. Raises `BadCell`."""
    cells = [_text(row, column) for column in data.prompt_columns]
    parts = cells if len(cells) == 1 else [cell for cell in cells if cell.strip()]
    return _BETWEEN_COLUMNS.join(parts) + data.between


def conversations(data: Data) -> RowReader:
    """Of rows with the column `data.messages`; the target is a `Conversation` that has a message of the assistant."""
    column = data.messages or ""

    def read(row: Row) -> Annotation:
        try:
            conversation = conversation_of(row.get(column))
            if not conversation.learned:
                raise BadCell("must hold a message of the assistant, which is what is learned, but there is none")
        except BadCell as problem:
            raise BadCell(f"column {column!r} {problem}") from None
        contents = [message.content for message in conversation.messages]
        return Annotation(target=conversation, text=JOINT.join(contents))

    return RowReader(columns=(("data.messages", column),), read=read, has_text=True)


def conversation_of(cell: Any) -> Conversation:
    """The conversation that a cell holds: a list of messages, or its JSON text.

    Raises:
        BadCell: it is no such list, a role is unknown or out of turn, or a message is empty.
    """
    messages = [_message(item, number) for number, item in enumerate(_items(cell), start=1)]
    for number, (message, expected) in enumerate(zip(messages, _in_turn(messages), strict=True), start=1):
        if message.role != expected:
            raise BadCell(
                f"must hold an optional message of the system, then those of user and assistant in turn, but message "
                f"{number} is of {message.role!r} where {expected!r} is due; join messages of one side, or remove them"
            )
    return Conversation(tuple(messages))


def _in_turn(messages: Sequence[Message]) -> list[str]:
    """Whose turn each message is."""
    begin = [SYSTEM] if messages[0].role == SYSTEM else []
    return [*begin, *((USER, ASSISTANT)[number % 2] for number in range(len(messages) - len(begin)))]


def _items(cell: Any) -> Sequence[Any]:
    value = cell
    if isinstance(cell, str):
        try:
            value = parse_json(cell)
        except NotJson as error:
            raise BadCell(f"{_RULE}, or its JSON text, but got {_shown(cell)} ({error})") from None
    if is_missing(cell) or not isinstance(value, list | tuple) or not value:
        raise BadCell(f"{_RULE}, but got {_shown(cell)}")
    return value


def _message(item: Any, number: int) -> Message:
    keys = next((keys for keys in _KEYS if isinstance(item, Mapping) and item.keys() >= set(keys)), None)
    if keys is None:
        raise BadCell(f"{_RULE}, but message {number} is {_shown(item)}")
    role, content = (item[key] for key in keys)
    if not isinstance(role, str) or role not in _ROLES:
        raise BadCell(
            f"must hold messages of {', '.join(_ROLES)}, but message {number} is of {_shown(role)}; {_meant(role)}"
        )
    if not isinstance(content, str) or not content.strip():
        raise BadCell(
            f"must hold messages with a text as their content, but that of message {number} ({role}) is "
            f"{_shown(content)}; write it, or remove the row"
        )
    return Message(_ROLES[role], text_of(content))


def _meant(role: Any) -> str:
    return did_you_mean(role, _ROLES) if isinstance(role, str) else "write one of these"


def _text(row: Row, column: str) -> str:
    try:
        return text_of(row.get(column))
    except BadCell as problem:
        raise BadCell(f"column {column!r} {problem}") from None


def _shown(value: Any) -> str:
    return shortened(repr(value), 60)
