"""What `tunery check` finds in texts that language models learn from."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from conftest import byte_pairs, word_pieces
from tunery.data.checks.check import Check, inspect
from tunery.data.checks.document_checks import (
    CHECKS_OF_CAUSAL_TEXTS,
    CHECKS_OF_TEXTS,
    QUICK_CHECKS_OF_TEXTS,
    passages,
)
from tunery.data.documents import encode_documents
from tunery.data.encode import Encoded
from tunery.data.examples import Example, Split, Splits
from tunery.data.reading.turns import Completion, Conversation, Message
from tunery.schema.results.finding import Finding

GPT2 = byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>")
BERT = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
LENGTH = 64


def words(count: int, *, seed: int) -> str:
    generator = random.Random(seed)
    return " ".join("".join(generator.choices("abcdefgh", k=5)) for _ in range(count))


def story(paragraphs: int, *, seed: int) -> str:
    return "\n\n".join(words(40, seed=1000 * seed + k) for k in range(paragraphs))


CLEAN = {"train": [story(20, seed=1)], "validation": [story(10, seed=2)], "test": [story(10, seed=3)]}


def splits(texts: Mapping[str, Sequence[str | Example]]) -> Splits:
    made = {
        name: Split(name, tuple(t if isinstance(t, Example) else Example(t) for t in some), f"{name}.txt", "")
        for name, some in texts.items()
    }
    return Splits(**made)


def look(
    changed: Mapping[str, Sequence[str | Example]] | None = None,
    *,
    tokenizer: Any = GPT2,
    checks: Sequence[Check] = CHECKS_OF_CAUSAL_TEXTS,
    packing: bool = False,
) -> list[Finding]:
    given = splits({**CLEAN, **(changed or {})})
    encoded: dict[str, Encoded] = {
        split.name: encode_documents(
            split.examples,
            tokenizer,
            direction="causal",
            max_length=LENGTH,
            training=split.name == "train",
            packing=packing and split.name == "train",
        )
        for split in given
    }
    return inspect(
        given,
        checks,
        max_length=LENGTH,
        lengths={name: features.tokens_of_texts() for name, features in encoded.items()},
        texts={name: features.of_texts for name, features in encoded.items() if features.of_texts},
        unknown={name: features.unknown for name, features in encoded.items()},
    )


def only(findings: Sequence[Finding], code: str) -> Finding:
    [finding] = [finding for finding in findings if finding.code == code]
    return finding


def test_clean_texts_are_only_described() -> None:
    (tokens,) = look()
    count = len(GPT2.tokenize(CLEAN["train"][0]))
    assert tokens.level == "info"
    assert f"train {count:,} in 1 text, validation" in tokens.message
    assert tokens.message.endswith(f"`model.max_length: {LENGTH}` tokens are read in windows: 3")


def test_blank_texts_are_counted_and_all_of_them_are_fatal() -> None:
    some = only(look({"test": [*CLEAN["test"], " \n"]}), "empty_texts")
    assert (some.level, some.count) == (
        "warning",
        1,
    ) and "1 row of test (50 %) is empty or blank (row 2)" in some.message
    every = only(look({"test": ["", " "]}), "empty_texts")
    assert (every.level, every.count) == ("fatal", 2)


def test_texts_of_less_than_two_tokens_are_told_and_nothing_else_is_fatal() -> None:
    assert len(GPT2.tokenize("a")) == 1
    some = only(look({"train": [*CLEAN["train"], "a", ""]}), "short_texts")
    assert (some.level, some.split, some.count) == ("warning", "train", 2)
    every = only(look({"train": ["a"]}), "short_texts")
    assert every.level == "fatal" and "1 of 1 in train have fewer. Give it longer texts" in every.message


def test_little_text_is_told_by_its_tokens() -> None:
    short = words(12, seed=5)
    tokens = len(GPT2.tokenize(short))
    assert tokens < LENGTH
    findings = look({"train": [short], "validation": [words(50, seed=6)]})
    assert f"has {tokens} tokens and model.max_length={LENGTH}" in only(findings, "small_corpus").message
    assert only(findings, "small_split").split == "validation"


def test_how_texts_differ_in_length_is_said_of_several() -> None:
    long, short = words(80, seed=5), words(60, seed=6)
    m, n = (len(GPT2.tokenize(text)) for text in (long, short))
    alone = only(look({"train": [long], "validation": [short], "test": [short]}), "tokens").message
    assert alone.startswith(f"tokens in all: train {m} in 1 text, validation {n} in 1 text, test {n} in 1 text. ")
    several = only(look({"train": [long, long], "test": [short]}), "tokens").message
    assert several.startswith(f"tokens in all, and of a text (median / 95 % / longest): train {2 * m} in 2 texts (")
    assert f" in 2 texts ({m} / {m} / {m})" in several and f"test {n} in 1 text. " in several


@pytest.mark.parametrize(("copies", "level"), [(1, "warning"), (20, "fatal")])
def test_a_text_in_two_splits_is_fatal_where_much_of_the_split_is_known(copies: int, level: str) -> None:
    shared = [words(6, seed=70 + k) for k in range(copies)]
    finding = only(look({"train": [*CLEAN["train"], *shared], "test": [story(20, seed=8), *shared]}), "shared_rows")
    assert (finding.level, finding.split, finding.count) == (level, "test", copies)
    assert finding.examples[0] == f'"{shared[0]}"'
    quick = inspect(splits({**CLEAN, "train": shared, "test": shared}), QUICK_CHECKS_OF_TEXTS)
    assert [f.code for f in quick] == ["shared_rows"]


def test_lines_of_a_few_words_may_be_in_two_splits() -> None:
    names = ["KING:", "First Citizen:", "Enter all of them."]
    codes = [f.code for f in look({"train": [*CLEAN["train"], *names, *names], "test": [*CLEAN["test"], *names]})]
    assert codes == ["tokens"]


def test_passages_of_long_texts_that_are_nearly_those_of_another_split_are_found() -> None:
    paragraphs = CLEAN["train"][0].split("\n\n")
    changed = [paragraphs[3].replace(paragraphs[3].split()[7], "other").upper(), paragraphs[5]]
    test = "\n\n".join([*(words(40, seed=900 + k) for k in range(8)), *changed])
    finding = only(look({"test": [test]}), "near_duplicates")
    assert (finding.split, finding.count) == ("test", 2) and "of 10 passages of test 2 (20 %)" in finding.message


def test_what_a_system_says_in_every_conversation_is_no_passage() -> None:
    def chat(number: int) -> Example:
        said = [words(60, seed=0), words(30, seed=100 + number), words(30, seed=200 + number)]
        roles = ("system", "user", "assistant")
        return Example("\n".join(said), target=Conversation(tuple(map(Message, roles, said))))

    chats = {"train": [chat(k) for k in range(20)], "validation": [chat(30)], "test": [chat(40), chat(3)]}
    findings = inspect(splits(chats), CHECKS_OF_CAUSAL_TEXTS)
    assert [(f.code, f.split, f.count) for f in findings] == [("shared_rows", "test", 1)]
    nearly = Conversation((*chats["test"][1].target.messages[:-1], Message("assistant", words(29, seed=203))))
    chats["test"][1] = Example("\n".join(message.content for message in nearly.messages), target=nearly)
    findings = inspect(splits(chats), CHECKS_OF_CAUSAL_TEXTS)
    assert [(f.code, f.split, f.count) for f in findings] == [("near_duplicates", "test", 1)]


def test_texts_that_repeat_inside_a_split_are_told() -> None:
    again = words(10, seed=9)
    finding = only(look({"train": [*CLEAN["train"], again, again, again]}), "duplicates")
    assert (finding.split, finding.count) == ("train", 2)


def test_passages_are_paragraphs_and_parts_of_long_ones() -> None:
    assert passages("one two three four") == [] and passages("one two three four five") == ["one two three four five"]
    long, short = words(250, seed=1), words(19, seed=2)
    found = passages(f"{long}\n\n{short}\n \n{words(20, seed=3)}")
    assert [len(passage.split()) for passage in found] == [100, 100, 50, 20]
    assert " ".join(found[:3]).split() == long.split()


def test_unknown_tokens_are_told() -> None:
    assert only(look({"train": ["漢字 " * 500]}, tokenizer=BERT), "unknown_tokens").level == "fatal"


def test_what_packing_saves_is_told() -> None:
    texts = [words(2 + k % 5, seed=k) for k in range(40)]
    encoded = encode_documents(
        [Example(t) for t in texts], GPT2, direction="causal", max_length=LENGTH, training=True, packing=True
    )
    finding = only(look({"train": texts}, packing=True), "packing")
    sequences = len(encoded.ids)
    full = sum(len(ids) for ids in encoded.ids) / (sequences * LENGTH)
    assert f"puts 40 texts, or windows of them, into {sequences} sequences of up to {LENGTH}" in finding.message
    assert f"{100 * full:.0f} % full: an epoch has {100 * (1 - sequences / 40):.0f} % fewer steps" in finding.message
    assert not [f for f in look({"train": texts}) if f.code == "packing"]


def test_a_tokenizer_that_changes_texts_is_told_with_an_example_where_it_writes() -> None:
    text = f"{words(30, seed=1)} a Door"
    finding = only(look({"train": [text]}, tokenizer=BERT), "altered_texts")
    before, after = finding.examples[0].split(" becomes ")
    assert before.endswith(' a Door"') and after == before.lower()
    assert not [f for f in look({"train": [text]}, tokenizer=BERT, checks=CHECKS_OF_TEXTS) if f.code == "altered_texts"]


@pytest.mark.parametrize(
    ("prompt", "completion", "told"), [("red?", "yes", True), ("red? ", "yes", False), ("red?", " yes", False)]
)
def test_prompts_that_go_on_without_white_space_are_told(prompt: str, completion: str, told: bool) -> None:
    rows = [Example("", target=Completion(prompt, completion)) for _ in range(3)]
    findings = [finding for finding in look({"train": rows}) if finding.code == "glued_prompts"]
    assert [(finding.count, finding.examples) for finding in findings] == ([(3, ('"red?yes"',))] if told else [])


def test_prompts_that_share_a_token_with_their_completion_are_told() -> None:
    rows = [Example("", target=Completion(f"say number {k} r", "ed door")) for k in range(3)]
    finding = only(look({"train": [*rows, Example("", target=Completion("say red", " door"))]}), "joined_prompts")
    assert finding.count == 3 and "(train 3 of 4)" in finding.message
