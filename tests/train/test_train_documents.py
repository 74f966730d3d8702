"""Texts without labels, from files to what a run is given: what is refused and what is warned of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tunery.data.chat import PLAIN_TEMPLATE
from tunery.errors import RequestError
from tunery.schema import RunConfig
from tunery.train.setup.prepare import Prepared, examine, look_at, prepare

STORY = "\n\n".join(f"The king said {k} words, and went home on day {k}." for k in range(200))
USER, ASSISTANT = {"role": "user", "content": "is it red?"}, {"role": "assistant", "content": "it is"}


def config(folder: Path, model: Path, files: Mapping[str, str], *, kind: str = "causal_lm", **data: Any) -> RunConfig:
    for name, content in files.items():
        (folder / name).write_text(content)
    named = {name.partition(".")[0]: str(folder / name) for name in files}
    return RunConfig(task={"kind": kind}, data={**named, **data}, model={"name": str(model), "max_length": 32})


def levels(prepared: Prepared) -> dict[str, str]:
    return {finding.code: finding.level for finding in prepared.findings}


def rows(*values: Any, key: str = "messages") -> str:
    return "".join(json.dumps({key: value}) + "\n" for value in values)


@pytest.mark.parametrize("kind", ["causal_lm", "mlm"])
def test_one_text_is_ready_to_train_on(kind: str, tiny_gpt2: Path, tiny_masked_lm: Path, tmp_path: Path) -> None:
    model = tiny_gpt2 if kind == "causal_lm" else tiny_masked_lm
    prepared = prepare(config(tmp_path, model, {"train.txt": STORY}, kind=kind))
    assert levels(prepared)["tokens"] == "info" and "fatal" not in levels(prepared).values()
    texts = [example.text for split in prepared.splits for example in split.examples]
    assert "".join("".join(texts).split()) == "".join(STORY.split())
    train, test = prepared.encoded["train"], prepared.encoded["test"]
    assert len(train.ids) > 100 and train.rows.tolist() == list(range(len(train.ids)))
    assert set(test.rows.tolist()) == {0}


def test_conversations_of_a_model_without_template_get_the_plain_one(tiny_gpt2: Path, tmp_path: Path) -> None:
    chats = [[{**USER, "content": f"is day {k} red?"}, ASSISTANT] for k in range(40)]
    prepared = prepare(config(tmp_path, tiny_gpt2, {"train.jsonl": rows(*chats)}, messages="messages"))
    assert prepared.tokenizer.chat_template == PLAIN_TEMPLATE
    targets = prepared.encoded["validation"].token_targets
    assert targets is not None
    told = [target for target in targets[0].tolist() if target != -100]
    assert prepared.tokenizer.decode(told) == "it is<|endoftext|>"
    said = prepared.truth["validation"]["bytes"].tolist()
    assert set(said) == {len(b"it is")}


@pytest.mark.parametrize(
    ("files", "data", "problem"),
    [
        ({"train.txt": " \n\n"}, {}, "the file is empty"),
        ({"train.txt": "a"}, {}, r"validation cannot be split off .* 1 characters"),
        ({"train.txt": "a", "validation.txt": STORY, "test.txt": STORY}, {}, r"short_texts: .* 1 of 1 in train"),
        ({"train.txt": STORY, "validation.txt": STORY, "test.txt": "b"}, {}, r"shared_rows: .*of validation \(100"),
        ({"train.jsonl": rows([ASSISTANT, USER])}, {"messages": "messages"}, r"row 1: .*'user' is due"),
        ({"train.jsonl": rows([USER, ASSISTANT])}, {"messages": "chat"}, r"no column 'chat' \(data\.messages\)"),
        ({"train.jsonl": rows("a b c", key="text")}, {"text": "body"}, r"no column 'body' \(data\.text\)"),
    ],
)
def test_texts_that_cannot_be_learned_from_are_refused(
    files: dict[str, str], data: dict[str, Any], problem: str, tiny_gpt2: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=f"(?s){problem}"):
        prepare(config(tmp_path, tiny_gpt2, files, **data))


def test_tokens_of_long_texts_are_counted_in_a_part_of_them(tiny_gpt2: Path, tmp_path: Path) -> None:
    story = STORY * 4
    files = {"train.txt": story, "validation.txt": STORY[:3000], "test.txt": "so be it. " * 9}
    given = config(tmp_path, tiny_gpt2, files)
    whole, part = (look_at(given, say=lambda _: None, most_characters=most) for most in (10**6, 5000))
    exact = sum(whole.encoded["train"].tokens_of_texts())
    assert sum(part.encoded["train"].tokens_of_texts()) < exact / 5
    messages = {finding.code: finding.message for finding in part.findings}
    assert "(train 1, the first 5,000 characters); a run counts all of them" in messages["sample"]
    estimate = int(messages["tokens"].split(" in 1 text")[0].split()[-1].replace(",", ""))
    assert estimate == pytest.approx(exact, rel=0.02)
    assert "sample" not in levels(whole)
    lines = look_at(config(tmp_path, tiny_gpt2, files, documents="line"), say=lambda _: None, most_characters=5000)
    count, step = len(story.split("\n\n")), -(-len(story.replace("\n", "")) // 5000)
    assert len(lines.encoded["train"].tokens_of_texts()) == -(-count // step)


def test_masks_on_a_model_without_mask_token_are_refused(tiny_gpt2: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"mask token of a model, but this one has none; take a model"):
        prepare(config(tmp_path, tiny_gpt2, {"train.txt": STORY}, kind="mlm"))


def test_less_text_than_a_batch_is_warned_of(tiny_gpt2: Path, tmp_path: Path) -> None:
    files = {"train.txt": "the king went home and said a word. " * 9, "validation.txt": STORY, "test.txt": "so be it."}
    found = examine(config(tmp_path, tiny_gpt2, files)).findings
    (small,) = [finding for finding in found if finding.code == "small_corpus"]
    assert small.level == "warning" and "sequences of up to 32 tokens and train.batch_size=" in small.message
