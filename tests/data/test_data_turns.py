"""Prompts with completions, and conversations: what is read of a row and what is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.data.examples import JOINT, Example, RowReader
from tunery.data.reading.cells import BadCell
from tunery.data.reading.columns import examples_of
from tunery.data.reading.documents import documents
from tunery.data.reading.prompts import as_prompt, prompts
from tunery.data.reading.turns import Completion, Conversation, Message, conversation_of
from tunery.errors import DataError
from tunery.schema.config.data import Data

SYSTEM, USER, ASSISTANT = ("system", "Be kind."), ("user", "A red door?"), ("assistant", "Yes, red.")


def messages(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


def read(cell: Any, **keys: Any) -> Example:
    data = Data(train="", **(keys or {"messages": "chat"}))
    (example,) = examples_of([cell if keys else {"chat": cell}], data, reader=reader(data), source="f.jsonl")
    return example


def reader(data: Data) -> RowReader:
    return documents(data)


@pytest.mark.parametrize("begin", [(), (SYSTEM,)])
@pytest.mark.parametrize("turns", [1, 3])
def test_a_conversation_is_read_from_lists_from_json_text_and_under_the_other_names(begin: Any, turns: int) -> None:
    pairs = (*begin, *(USER, ASSISTANT) * turns)
    expected = Conversation(tuple(Message(*pair) for pair in pairs))
    others = {"system": "system", "user": "human", "assistant": "gpt"}
    shapes = (
        messages(*pairs),
        json.dumps(messages(*pairs)),
        [{"from": others[role], "value": content, "weight": 1} for role, content in pairs],
    )
    for shape in shapes:
        example = read(shape)
        assert example.target == expected and expected.learned == "\n".join(["Yes, red."] * turns)
        assert example.text == JOINT.join(content for _, content in pairs)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (messages(ASSISTANT, USER), "message 1 is of 'assistant' where 'user' is due"),
        (messages(USER, ASSISTANT, SYSTEM), "message 3 is of 'system' where 'user' is due"),
        (messages(USER, USER, ASSISTANT), "message 2 is of 'user' where 'assistant' is due"),
        (messages(SYSTEM, ASSISTANT), "message 2 is of 'assistant' where 'user' is due"),
        (messages(SYSTEM, SYSTEM, USER, ASSISTANT), "message 2 is of 'system' where 'user' is due"),
        (messages(USER), "must hold a message of the assistant"),
        (messages(USER, ("assistent", "Yes.")), "message 2 is of 'assistent'; did you mean 'assistant'?"),
        (messages(USER, ("assistant", "  ")), "that of message 2 (assistant) is ' '; write it, or remove the row"),
        ([{"role": "user", "content": None}], "that of message 1 (user) is None"),
        ([{"role": 3, "content": "a"}], "message 1 is of 3; write one of these"),
        ([{"speaker": "user", "text": "a"}], "message 1 is {'speaker': 'user', 'text': 'a'}"),
        ([], "must hold a list of messages"),
        (None, "must hold a list of messages"),
        ({"role": "user", "content": "a"}, "must hold a list of messages"),
        ("user: a red door?", "or its JSON text, but got 'user: a red door?'"),
    ],
)
def test_a_conversation_that_is_none_is_refused_with_its_row_and_a_remedy(cell: Any, problem: str) -> None:
    with pytest.raises(DataError) as error:
        read(cell)
    assert str(error.value).startswith("f.jsonl: row 1: column 'chat' ") and problem in str(error.value)


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value"]), inner | st.just("user"), max_size=4)
    ),
)


@given(CELLS | CELLS.map(json.dumps))
def test_any_cell_is_a_conversation_or_refused(cell: Any) -> None:
    with suppress(BadCell):
        assert conversation_of(cell).messages


def test_a_prompt_and_its_completion_are_taken_as_they_are_written() -> None:
    example = read({"q": " Say red: ", "a": "red\n"}, prompt="q", completion="a")
    assert example.target == Completion(" Say red: ", "red\n")
    assert example.text == f" Say red: {JOINT}red\n" and example.target.learned == "red\n"
    between = read(
        {"q": "Say", "more": " ", "r": "red", "a": "red"}, prompt=["q", "more", "r"], completion="a", between="\n"
    )
    assert between.target == Completion("Say\n\nred\n", "red")
    assert read({"q": None, "a": "red"}, prompt="q", completion="a").target == Completion("", "red")


def test_a_model_is_asked_with_the_prompts_that_it_was_trained_with() -> None:
    row, keys = {"q": "Say", "more": " ", "r": "red", "a": "red"}, {"completion": "a", "between": "\n"}
    for prompt in ("q", ["q", "more", "r"]):
        data = Data(train="", prompt=prompt, **keys)
        (asked,) = examples_of([row], data, reader=prompts(data), source="f.jsonl")
        assert asked.target == Completion(read(row, prompt=prompt, **keys).target.prompt, "")
    with pytest.raises(DataError, match=r"there is no column 'r' \(data\.prompt\)"):
        examples_of([{"q": "Say", "more": ""}], data, reader=prompts(data), source="f.jsonl")
    assert as_prompt(Example("Say\n\nred"), data).target == asked.target


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"q": "Say red.", "a": ""}, "row 1: column 'a' must hold how the prompt goes on, but it is empty"),
        ({"q": "Say red.", "a": ["red"]}, "row 1: column 'a' must hold a text"),
        ({"q": "Say red.", "answer": "red"}, "there is no column 'a' (data.completion)"),
    ],
)
def test_a_completion_that_is_none_is_refused(row: Any, problem: str) -> None:
    with pytest.raises(DataError) as error:
        read(row, prompt="q", completion="a")
    assert problem in str(error.value)


def test_a_model_is_asked_with_what_its_prompts_had() -> None:
    data = Data(train="", prompt=("q", "more"), completion="a", between="\n")
    rows = [{"q": "Say", "more": "red"}, {"q": "Say red", "more": None}]
    asked = examples_of(rows, data, reader=prompts(data), source="f.jsonl")
    assert [example.target for example in asked] == [Completion("Say\n\nred\n", ""), Completion("Say red\n", "")]
    assert as_prompt(Example("Say red"), data).target == Completion("Say red\n", "")
    with pytest.raises(DataError, match=r"there is no column 'more' \(data\.prompt\)"):
        examples_of([{"q": "Say"}], data, reader=prompts(data), source="f.jsonl")


def test_a_chat_is_asked_without_the_answer_that_it_may_have() -> None:
    data = Data(train="", messages="chat")
    rows = [{"chat": messages(USER)}, {"chat": messages(SYSTEM, USER, ASSISTANT)}]
    asked = examples_of(rows, data, reader=prompts(data), source="f.jsonl")
    assert [example.target for example in asked] == [
        Conversation((Message(*USER),)),
        Conversation((Message(*SYSTEM), Message(*USER))),
    ]
    with pytest.raises(DataError, match=r"row 1: column 'chat' must hold a message of the user that is to be answered"):
        examples_of([{"chat": messages(SYSTEM)}], data, reader=prompts(data), source="f.jsonl")
