"""Tokenising: what is cut, and what a model is given."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from tunery.data.batches import pad
from tunery.data.encode import encode, encode_windows
from tunery.data.examples import Example

CLS, SEP = 1, 2


def word_tokenizer(*, special: bool) -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{k}" for k in range(50))]
    inner = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inputs = ["input_ids", "attention_mask"]
    if special:
        inner.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
        inputs.append("token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", eos_token="[SEP]", unk_token="[UNK]", model_input_names=inputs
    )


def words(count: int, *, start: int = 0) -> str:
    return " ".join(f"w{k}" for k in range(start, start + count))


def test_rows_are_cut_at_the_limit_and_counted() -> None:
    rows = [Example(text=words(count)) for count in (3, 6, 7, 30)]
    encoded = encode(rows, word_tokenizer(special=True), max_length=8)
    assert encoded.lengths.tolist() == [5, 8, 8, 8]
    assert encoded.truncated == 2
    assert encoded.ids[0].tolist() == [CLS, 4, 5, 6, SEP] and encoded.ids[0].dtype == np.int32
    assert encoded.ids[3].tolist() == [CLS, *range(4, 10), SEP]


def test_pairs_have_types_and_the_longer_text_is_cut() -> None:
    rows = [Example(text=words(2), text_pair=words(1)), Example(text=words(20), text_pair=words(2, start=30))]
    encoded = encode(rows, word_tokenizer(special=True), max_length=9)
    assert encoded.type_ids is not None
    assert encoded.type_ids[0].tolist() == [0, 0, 0, 0, 1, 1]
    assert encoded.ids[1].tolist() == [CLS, 4, 5, 6, 7, SEP, 34, 35, SEP]
    assert encoded.truncated == 1


def test_a_tokenizer_written_in_python_counts_cut_rows_too() -> None:
    tokenizer = ByT5Tokenizer()
    assert not tokenizer.is_fast
    encoded = encode([Example(text="a" * count) for count in (6, 7, 8)], tokenizer, max_length=8)
    assert encoded.lengths.tolist() == [7, 8, 8] and encoded.truncated == 1


@pytest.mark.parametrize("text", ["", "  "])
def test_no_row_is_empty(text: str) -> None:
    encoded = encode([Example(text=text)], word_tokenizer(special=False), max_length=8)
    assert encoded.ids[0].tolist() == [SEP] and encoded.lengths.tolist() == [1]
    assert encoded.type_ids is None and encoded.truncated == 0


def test_many_rows_keep_their_order() -> None:
    rows = [Example(text=f"w{k % 50}") for k in range(2_500)]
    encoded = encode(rows, word_tokenizer(special=False), max_length=8)
    assert [ids.tolist() for ids in encoded.ids] == [[4 + k % 50] for k in range(2_500)]


def test_long_rows_keep_their_order_and_are_cut() -> None:
    long = words(50) * 3_500  # two of them are more than is tokenised at once
    rows = [Example(text) for text in ("w1", long, "w2", long, long, "w3")]
    encoded = encode(rows, word_tokenizer(special=False), max_length=8)
    assert encoded.lengths.tolist() == [1, 8, 1, 8, 8, 1] and encoded.truncated == 3
    assert [row[0] for row in encoded.ids] == [5, 4, 6, 4, 4, 7]


def test_unknown_tokens_are_counted_among_those_of_the_texts() -> None:
    texts = [words(3), "w1 nowhere w2 no-where", "thai thai"]
    encoded = encode([Example(text=text) for text in texts], word_tokenizer(special=True), max_length=20)
    assert encoded.unknown == (1 + 3 + 2) / (3 + 6 + 2 + len(texts)), "[CLS] is none of its special tokens"
    every_byte = word_tokenizer(special=False)
    every_byte.eos_token = "[UNK]"
    assert encode([Example(text="nowhere")], every_byte, max_length=20).unknown == 0.0


def test_rows_that_look_alike_to_the_model_are_counted() -> None:
    texts = [words(3), words(3), words(3).upper(), "one", "two", "three", words(9), words(8)]
    encoded = encode([Example(text=text) for text in texts], word_tokenizer(special=True), max_length=8)
    assert encoded.alike == 2 + 1, "two of three unknown words, and what begins alike and is cut"


def test_windows_hold_all_of_a_text_and_know_its_characters() -> None:
    texts = ["w1", "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10", "", "w2 w2"]
    tokenizer = word_tokenizer(special=True)
    encoded = encode_windows([Example(text=text) for text in texts], tokenizer, max_length=6, overlap=2)
    assert encoded.rows.tolist() == [0, 1, 1, 1, 1, 2, 3] and encoded.truncated == 0
    assert encoded.lengths.max() == 6 and encoded.offsets is not None
    for row, text in enumerate(texts):
        seen: dict[int, str] = {}
        windows = [n for n in range(len(encoded.ids)) if encoded.rows[n] == row]
        for window in windows:
            for begin, end in encoded.offsets[window]:
                if begin < end:
                    seen[int(begin)] = text[begin:end]
        assert [seen[begin] for begin in sorted(seen)] == text.split()
    first, second = (encoded.offsets[window][1:-1].tolist() for window in (1, 2))
    assert first[-2:] == second[:2]
    whole = encode([Example(text=texts[3])], tokenizer, max_length=6)
    assert encoded.ids[-1].tolist() == whole.ids[0].tolist()


def test_tokens_know_their_units_in_windows_of_texts_and_of_pairs() -> None:
    texts = ["w1 w2. w3 w4 w5 w6 w7", "", "w8"]
    units = [np.array([(0, 5), (7, 12), (13, 21)]), np.zeros((0, 2), dtype=np.int64), np.array([(0, 2)])]
    examples, tokenizer = [Example(text=text) for text in texts], word_tokenizer(special=True)
    alone = encode_windows(examples, tokenizer, max_length=6, overlap=1, units=units)
    assert alone.unit_ids is not None and alone.offsets is None and alone.questions is None
    assert [part.tolist() for part in alone.unit_ids] == [
        [-1, 0, 0, 0, 1, -1],
        [-1, 1, 1, 2, 2, -1],
        [-1, 2, 2, -1],
        [-1, -1],
        [-1, 0, -1],
    ]
    reach = alone.reach_of_rows()
    assert reach is not None and reach.tolist() == [12, 0, 2]
    assert encode_windows(examples, tokenizer, max_length=6, overlap=1).reach_of_rows() is None
    asked = encode_windows(examples, tokenizer, max_length=9, overlap=1, units=units, questions=["w9", "w9 w10"])
    assert asked.unit_ids is not None and asked.questions is not None
    assert asked.rows.tolist() == [0] * 5 + [1] * 2 + [2] * 2
    assert asked.questions.tolist() == [0, 0, 1, 1, 1, 0, 1, 0, 1]
    assert [len(part) for part in asked.unit_ids] == asked.lengths.tolist()
    seen = [[number for number in part.tolist() if number >= 0] for part in asked.unit_ids]
    assert seen[0][:3] == [0, 0, 0] and seen[5:] == [[], [], [0], [0]]
    batch = pad(asked, [0, 5], pad_id=0)
    assert batch["unit_ids"].shape == batch["input_ids"].shape and batch["unit_ids"][1].tolist().count(-1) >= 5
