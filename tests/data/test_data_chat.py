"""Conversations: which tokens the assistant says, over the shapes that chat templates have."""

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from conftest import byte_pairs
from tunery.data.chat import PLAIN_TEMPLATE, with_template
from tunery.data.documents import encode_documents
from tunery.data.examples import Example
from tunery.data.reading.turns import Conversation, Message
from tunery.errors import DataError

NONE = -100
LOOP = "{% for m in messages %}"
CHATML = (
    LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED = (
    LOOP + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{%- generation -%}{{ m.content }}<|im_end|>"
    "{%- endgeneration -%}{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
)
LLAMA2 = (
    LOOP + "{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}{{ bos_token }}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
THINKING = (
    LOOP + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML


def with_chat(template: str | None) -> PreTrainedTokenizerFast:
    made: PreTrainedTokenizerFast = byte_pairs(bos_token="<s>", eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = template
    return made


def conversation(*contents: str, system: bool = False) -> Conversation:
    roles = [*(["system"] if system else []), *(["user", "assistant"] * len(contents))]
    return Conversation(tuple(Message(role, content) for role, content in zip(roles, contents, strict=False)))


def told(chat: Conversation, tokenizer: Any, **options: Any) -> tuple[str, list[str]]:
    """The text of all tokens, and of each run of tokens to be told."""
    example = Example("", target=chat)
    encoded = encode_documents([example], tokenizer, direction="causal", max_length=10_000, **options)
    assert encoded.token_targets is not None
    targets = encoded.token_targets[0].tolist()
    runs = [[*run] for is_told, run in groupby(targets, key=lambda target: target != NONE) if is_told]
    last = targets[-1:] if targets[-1] != NONE else []
    return tokenizer.decode([*encoded.ids[0].tolist(), *last]), [tokenizer.decode(run) for run in runs]


CONTENTS = st.lists(st.text("ab .\n漢", min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=6)


@pytest.mark.parametrize(
    ("template", "before", "end"),
    [
        (CHATML, "", "<|im_end|>"),
        (MARKED, "", "<|im_end|>"),
        (LLAMA2, " ", "</s>"),
        (PLAIN_TEMPLATE, "", "</s>"),
    ],
    ids=["chatml", "marked", "llama2", "plain"],
)
@given(contents=CONTENTS)
def test_what_the_assistant_says_is_told_with_its_end_and_nothing_else(
    template: str, before: str, end: str, contents: list[str]
) -> None:
    made = with_chat(template)
    contents = contents[: len(contents) // 2 * 2]
    text, runs = told(conversation(*contents), made)
    assert runs == [f"{before}{content}{end}" for content in contents[1::2]]
    messages = [m._asdict() for m in conversation(*contents).messages]
    whole = made.apply_chat_template(messages, tokenize=False)
    assert whole.startswith(text) and not whole[len(text) :].strip()


def test_all_is_told_where_the_config_says_so() -> None:
    made = with_chat(CHATML)
    text, runs = told(conversation("red?", "yes"), made, completion_only=False)
    assert runs == [text.removeprefix("<|im_start|>")] and text.endswith("yes<|im_end|>\n")


def test_a_tokenizer_without_template_gets_the_plain_one_and_keeps_it(tmp_path: Any) -> None:
    made = with_chat(None)
    text, runs = told(conversation("Be kind.", "red?", "yes", system=True), made)
    assert text == "<s>system:\nBe kind.\n\nuser:\nred?\n\nassistant:\nyes</s>" and runs == ["yes</s>"]
    assert not with_template(made)
    made.save_pretrained(tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).chat_template == PLAIN_TEMPLATE


def test_a_template_that_changes_what_was_said_is_refused_but_for_one_message() -> None:
    made = with_chat(THINKING)
    assert told(conversation("red?", "yes"), made)[1] == ["<think></think>yes<|im_end|>"]
    with pytest.raises(DataError, match=r"row #0: .* one way, .* changes message 2; give rows with one message"):
        told(conversation("red?", "yes", "blue?", "no"), made)


def test_a_template_that_refuses_a_role_says_so_with_the_row() -> None:
    with pytest.raises(DataError, match=r"row #0: the chat template .* no system role; correct or remove"):
        told(conversation("Be kind.", "red?", "yes", system=True), with_chat(WITHOUT_SYSTEM))
