"""Conversations become tokens, by the template of a tokenizer; which of them the assistant says.

A template that marks what the assistant says (`{% generation %}`) says so itself. With others, the conversation is
rendered up to each message of the assistant, and with it: what is more then is that message.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from tunery.data.reading.turns import ASSISTANT, Conversation
from tunery.errors import DataError, reason_of, shortened

PLAIN_TEMPLATE: Final = (
    "{{ bos_token or '' }}{% for message in messages %}{{ message.role }}:\n"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token or '' }}{% endgeneration %}"
    "{% else %}{{ message.content }}{% endif %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
"""The template for a tokenizer that has none: each message below the name of its role."""
_MARKED: Final = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Told(NamedTuple):
    """A rendered text, and which characters of it the assistant says."""

    text: str
    spans: list[tuple[int, int]]


def with_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Give a tokenizer that has no template the plain one, which is saved with it. Returns whether it had none."""
    if tokenizer.chat_template is not None:
        return False
    tokenizer.chat_template = PLAIN_TEMPLATE
    return True


def conversation_tokens(
    conversation: Conversation, tokenizer: PreTrainedTokenizerBase, *, name: str
) -> tuple[list[int], list[bool]]:
    """The tokens of a conversation, and whether the assistant says each of them, with what ends its message.

    Args:
        tokenizer: a fast one, with a template.
        name: of the row, for messages.

    Raises:
        DataError: the template refuses the conversation, or changes what was said before when messages are added.
    """
    messages = [message._asdict() for message in conversation.messages]
    try:
        if _MARKED.search(tokenizer.get_chat_template()):
            batch: Any = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
            return batch["input_ids"], [bool(mark) for mark in batch["assistant_masks"]]
        told = _by_prefixes(messages, tokenizer, name=name)
    except (TemplateError, ValueError, TypeError) as error:
        raise DataError(
            f"row {name}: the chat template of the tokenizer refuses the conversation: "
            f"{shortened(reason_of(error), 200)}; correct or remove such rows, or take a model with another template"
        ) from error
    batch = with_offsets(told.text, tokenizer)
    return batch["input_ids"], marks_of(batch["offset_mapping"], told.spans)


def with_offsets(text: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The tokens of a text alone, `input_ids`, and the characters of each, `offset_mapping`."""
    return tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
    )


def marks_of(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each token has characters of one of the spans."""
    return [any(begin < last and first < end for first, last in spans) for begin, end in offsets]


def _by_prefixes(messages: list[dict[str, str]], tokenizer: PreTrainedTokenizerBase, *, name: str) -> Told:
    def rendered(count: int, *, to_answer: bool) -> str:
        return str(tokenizer.apply_chat_template(messages[:count], tokenize=False, add_generation_prompt=to_answer))

    text = rendered(len(messages), to_answer=False)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before, with_it = rendered(number, to_answer=True), rendered(number + 1, to_answer=False)
        if not (text.startswith(with_it) and with_it.startswith(before)):
            raise DataError(
                f"row {name}: the chat template of the tokenizer must write a message in one way, whatever comes after "
                f"it, so that it is known which tokens the assistant says, but it changes message {number + 1}; give "
                "rows with one message of the assistant each, or take a model whose template marks what is generated"
            )
        spans.append((len(before), _end(with_it, tokenizer)))
    return Told(text, spans)


def _end(text: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where a message ends: behind its last special token, if nothing but white space follows."""
    bare = text.rstrip()
    return len(bare) if any(bare.endswith(token) for token in _special(tokenizer)) else len(text)


def _special(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    yield from tokenizer.all_special_tokens
    yield from (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
