"""Rows that a language model is asked about: what it goes on from."""

from tunery.data.examples import Annotation, Example, RowReader
from tunery.data.reading.cells import BadCell
from tunery.data.reading.source import Row
from tunery.data.reading.turns import ASSISTANT, USER, Completion, Conversation, Message, conversation_of, prompt_of
from tunery.schema.config.data import Data


def prompts(data: Data) -> RowReader:
    """Of rows with a prompt, with messages (an answer at their end is left out), or with a text that goes on."""

    def read(row: Row) -> Annotation:
        if data.messages is None:
            return Annotation(target=Completion(prompt_of(row, data), ""), text="")
        try:
            return _asked(conversation_of(row.get(data.messages)))
        except BadCell as problem:
            raise BadCell(f"column {data.messages!r} {problem}") from None

    if data.messages is not None:
        return RowReader(columns=(("data.messages", data.messages),), read=read, has_text=True)
    if data.prompt is None:
        return RowReader(columns=(), read=lambda row: Annotation())
    columns = tuple(("data.prompt", column) for column in data.prompt_columns)
    return RowReader(columns=columns, read=read, has_text=True)


def as_prompt(example: Example, data: Data) -> Example:
    """A text that a program hands over, as the kind of prompt that the training rows had."""
    target: Conversation | Completion | None = None
    if data.messages is not None:
        target = Conversation((Message(USER, example.text),))
    elif data.prompt is not None:
        target = Completion(example.text + data.between, "")
    return Example(example.text, target=target)


def _asked(conversation: Conversation) -> Annotation:
    messages = conversation.messages
    if messages[-1].role == ASSISTANT:
        messages = messages[:-1]
    if not messages or messages[-1].role != USER:
        raise BadCell("must hold a message of the user that is to be answered, but there is none")
    return Annotation(target=Conversation(messages), text="")
