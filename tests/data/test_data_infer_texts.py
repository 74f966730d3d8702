"""What `tunery init` makes of texts without labels: prose, prompts with completions, conversations."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tunery.data.first_config.infer import Guess, guess, render, suggested_name
from tunery.data.first_config.template import Kind
from tunery.errors import DataError
from tunery.schema import RunConfig, load_config, load_document
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains
from tunery.tasks.table import read_splits

PROSE = "\n\n".join(f"This is paragraph {k}, of a story.\nIt has {k * 7} words, more or less." for k in range(60))


class Counted:
    """A tokenizer for which a word is a token."""

    unknown = None
    special: tuple[int, ...] = ()
    longest: int | None = None

    def __init__(self, model: str, *, has_mask: bool) -> None:
        self.model = model
        self.has_mask = has_mask

    def of(self, texts: Sequence[tuple[str, str | None]]) -> list[list[int]]:
        return [[*range(len(first.split()))] for first, _ in texts]


GPT2 = Counted("gpt2", has_mask=False)


def sentence(number: int) -> str:
    return f"this is sentence number {number} and it says something about {number * 7} different things"


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_of(found: Guess, folder: Path) -> RunConfig:
    """The config that is written, whose data a run can read."""
    path = folder / f"{suggested_name(found)}.yaml"
    path.write_text(render(found, folder))
    config = load_config(path)
    splits = read_splits(config.data, config.task, seed=0)
    assert all(split.examples for split in splits)
    return config


def test_no_more_tokens_are_asked_for_than_the_model_reads(tmp_path: Path) -> None:
    path, small = tmp_path / "story.txt", Counted("tiny", has_mask=False)
    path.write_text(PROSE * 40)
    small.longest = 300
    found = guess(path, kind="causal_lm", tokens=small)
    assert config_of(found, tmp_path).model.max_length == 256  # the longest of those that are usual, of 300
    small.longest = 40
    found = guess(path, kind="causal_lm", tokens=small)
    assert config_of(found, tmp_path).model.max_length == 40
    written = render(found, tmp_path)
    assert "texts of more than 40 tokens are read in windows" in written and "\n\n\n" not in written
    assert "# 1 row, texts alone." in written


def test_prose_is_one_text_for_the_default_model_with_hidden_tokens(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text(PROSE)
    found = guess(path)
    assert any("--kind causal_lm --model gpt2" in note for note in found.notes)
    assert found.explain()[2] == "task:    mlm, texts alone" and found.rows == 1
    config = config_of(found, tmp_path)
    assert (config.task.kind, config.data.documents, config.model.name) == ("mlm", "file", "minilm")


def test_a_model_without_mask_goes_on_with_texts(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text(PROSE)
    config = config_of(guess(path, tokens=GPT2), tmp_path)
    assert (config.task.kind, config.model.name, config.model.max_length) == ("causal_lm", "gpt2", 512)
    asked = guess(path, kind="causal_lm", tokens=Counted("minilm", has_mask=True))
    assert config_of(asked, tmp_path).model.name == "gpt2" and not asked.is_measured


def test_files_of_the_splits_beside_are_found_and_read_whole(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n\n{PROSE}")
    found = guess(tmp_path)
    assert [*found.files] == ["train", "validation", "test"]
    config = config_of(found, tmp_path)
    splits = read_splits(config.data, config.task, seed=0)
    assert [len(split.examples) for split in splits] == [1, 1, 1] and not splits.test.is_split_off


@pytest.mark.parametrize("more", [{}, {"id": 1}])
def test_rows_with_a_text_alone_are_texts(more: Mapping[str, Any], tmp_path: Path) -> None:
    rows = [{"body": sentence(n), **{key: n for key in more}} for n in range(60)]
    found = guess(jsonl(tmp_path / "a.jsonl", rows))
    config = config_of(found, tmp_path)
    assert (config.task.kind, config.data.text, config.data.documents) == ("mlm", "body", None)
    assert found.max_length == 64


def test_prompts_with_completions_are_answered(tmp_path: Path) -> None:
    rows = [{"instruction": sentence(n), "output": f"number {n}", "source": "ab"[n % 2]} for n in range(60)]
    config = config_of(guess(jsonl(tmp_path / "a.jsonl", rows)), tmp_path)
    assert (config.data.prompt, config.data.completion, config.data.between) == ("instruction", "output", "\n")
    assert (config.task.kind, config.model.name) == ("causal_lm", "gpt2")


def test_what_is_asked_may_be_in_two_columns_and_separate(tmp_path: Path) -> None:
    rows = [{"instruction": "Say it.", "input": sentence(n), "response": f" number {n}"} for n in range(60)]
    found = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert "columns: prompt = instruction, input, completion = response" in found.explain()
    config = config_of(found, tmp_path)
    assert (config.data.prompt, config.data.between) == (("instruction", "input"), "")


@pytest.mark.parametrize("as_text", [False, True])
def test_conversations_are_answered(as_text: bool, tmp_path: Path) -> None:
    chats = [
        [{"role": "user", "content": sentence(n)}, {"role": "assistant", "content": f"number {n}"}] for n in range(60)
    ]
    rows = [{"chat": json.dumps(chat) if as_text else chat, "id": n} for n, chat in enumerate(chats)]
    found = guess(jsonl(tmp_path / "a.jsonl", rows))
    assert "columns: messages = chat, id = id" in found.explain()
    config = config_of(found, tmp_path)
    assert (config.task.kind, config.data.messages, config.data.id) == ("causal_lm", "chat", "id")


def test_labels_go_before_texts_alone_unless_these_are_asked_for(tmp_path: Path) -> None:
    rows = [{"prompt": sentence(n), "completion": sentence(n + 1), "label": "ab"[n % 2]} for n in range(60)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert guess(path, text="prompt").kind == "classification"
    assert config_of(guess(path, kind="causal_lm"), tmp_path).data.prompt == "prompt"
    assert config_of(guess(path, kind="mlm", text="completion"), tmp_path).data.text == "completion"
    assert config_of(guess(path, kind="mlm", text="prompt,completion"), tmp_path).data.text == ("prompt", "completion")
    with pytest.raises(DataError, match="--kind mlm learns texts alone, but --label names 'label'; leave one"):
        guess(path, kind="mlm", label="label")


def test_texts_alone_may_be_asked_for_where_there_is_evidence(tmp_path: Path) -> None:
    rows = [{"text": sentence(n), "label": "ab"[n % 2], "evidence": [[0, 4]]} for n in range(60)]
    assert config_of(guess(jsonl(tmp_path / "a.jsonl", rows), kind="mlm"), tmp_path).task.kind == "mlm"


def test_a_column_of_names_is_no_text_and_other_columns_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none looks like one"):
        guess(jsonl(tmp_path / "names.jsonl", [{"name": f"x{n}"} for n in range(60)]))
    rows = [{"title": f"t{n}", "text": sentence(n), "date": f"2020-01-{n % 28 + 1:02} 10:{n:02}"} for n in range(60)]
    path = jsonl(tmp_path / "pages.jsonl", rows)
    with pytest.raises(DataError, match="or pass --kind mlm or causal_lm: the texts alone are learned then"):
        guess(path)
    assert config_of(guess(path, kind="mlm"), tmp_path).data.text == "text"


def test_a_conversation_in_a_wrong_order_is_refused_with_its_row(tmp_path: Path) -> None:
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = jsonl(tmp_path / "a.jsonl", [{"messages": good}] * 30 + [{"messages": good[::-1]}])
    with pytest.raises(DataError, match="row 31: column 'messages' must .* message 1 is of 'assistant'"):
        guess(path)


@pytest.mark.parametrize(("kind", "keys"), [("mlm", {"probability"}), ("causal_lm", set())])
def test_the_commented_ranges_are_a_space(kind: Kind, keys: set[str], tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text(PROSE)
    lines = render(guess(path, kind=kind), tmp_path).splitlines()
    ranges = {line.split("#")[1].split(":")[0].strip(): line for line in lines if line.endswith("# range")}
    assert ranges.keys() == {"method", "r", "lr", "epochs", "batch_size"} | keys
    opened = [line for line in lines if line in ranges.values() or line.split(":")[0].strip() not in ranges]
    config = tmp_path / "space.yaml"
    config.write_text("\n".join(re.sub(r"^  # (.*)# range$", r"  \1", line) for line in opened))
    document = load_document(config)
    assert len(domains(document)) == len(ranges)
    check_space(document)
