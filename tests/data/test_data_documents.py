"""Texts of language models: every token is told once, packing loses none, long texts have the tokens of the whole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from conftest import byte_pairs, word_pieces
from tunery.data.document_tokens import PIECE, Frame, TextTokens, long_text_ids
from tunery.data.documents import causal_windows, encode_documents, masked_windows
from tunery.data.encode import Encoded
from tunery.data.examples import JOINT, Example
from tunery.data.packing import packs
from tunery.data.reading.turns import Completion
from tunery.errors import DataError

NONE = -100
GPT2 = byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>")
BERT = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
END = GPT2.eos_token_id


def llama() -> PreTrainedTokenizerFast:
    """With a token before a text, which it adds by itself, and one for its end, which it does not add."""
    tokenizer = byte_pairs(bos_token="<s>", eos_token="</s>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


LLAMA = llama()
TEXTS = st.lists(st.text("ab .\n", max_size=40), min_size=1, max_size=8)
SIZES = st.integers(2, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


def of_text(tokenizer: Any, text: str) -> list[int]:
    """What the definition says: begin, text, end."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*([tokenizer.bos_token_id] if tokenizer is LLAMA else []), *ids, tokenizer.eos_token_id]


@given(st.lists(st.integers(5, 50), max_size=60), SIZES)
def test_every_token_after_the_first_is_told_once_with_its_context(ids: list[int], sizes: tuple[int, int]) -> None:
    size, overlap = sizes
    windows = list(causal_windows(7, TextTokens(np.array(ids, dtype=np.int32), None), 1, size=size, overlap=overlap))
    told: list[int] = []
    for window in windows:
        assert window.row == 7 and window.targets is not None and 1 <= len(window.ids) <= size
        assert len(window.targets) == len(window.ids)
        for place, target in enumerate(window.targets.tolist()):
            if target != NONE:
                position = len(told) + 1
                assert target == ids[position]
                context = window.ids[: place + 1].tolist()  # all tokens before it, or as many as the overlap, and one
                assert context == ids[position - len(context) : position]
                assert len(context) >= min(position, overlap + 1)
                told.append(target)
    assert told == ids[1:]


@given(st.lists(st.integers(5, 50), max_size=60), st.integers(3, 12))
def test_masked_windows_have_every_token_once_between_special_tokens(ids: list[int], size: int) -> None:
    text = TextTokens(np.array(ids, dtype=np.int32), np.arange(len(ids), dtype=np.int32))
    windows = list(masked_windows(0, text, Frame((1,), (2,)), size=size))
    assert all(window.ids[0] == 1 and window.ids[-1] == 2 and len(window.ids) <= size for window in windows)
    assert [token for window in windows for token in window.ids[1:-1].tolist()] == ids
    numbers = [number for window in windows if window.words is not None for number in window.words.tolist()]
    assert [number for number in numbers if number >= 0] == list(range(len(ids)))
    assert all(window.words is not None and window.words[0] == window.words[-1] == -1 for window in windows)


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 40))
def test_packs_hold_every_text_once_and_are_few(lengths: list[int], capacity: int) -> None:
    result = packs(np.array(lengths, dtype=np.int64), capacity)
    assert sorted(text for pack in result for text in pack) == list(range(len(lengths)))
    sums = [sum(lengths[text] for text in pack) for pack in result]
    assert all(total <= capacity for total in sums)
    assert len(result) <= 11 / 9 * -(-sum(lengths) // capacity) + 4 or any(2 * n > capacity for n in lengths)
    assert all(sums[a] + sums[b] > capacity for a in range(len(sums)) for b in range(a))  # no two would fit in one


@pytest.mark.parametrize("tokenizer", [GPT2, LLAMA], ids=["gpt2", "llama"])
@given(texts=TEXTS, size=st.integers(2, 16))
def test_packed_features_have_the_tokens_of_all_texts_each_once(tokenizer: Any, texts: list[str], size: int) -> None:
    examples = [Example(text) for text in texts]
    encoded = encode_documents(examples, tokenizer, direction="causal", max_length=size, training=True, packing=True)
    assert encoded.texts is not None and encoded.rows.tolist() == list(range(len(encoded.ids)))
    pieces: dict[int, list[tuple[list[int], list[int]]]] = {row: [] for row in range(len(texts))}
    for feature, ids in enumerate(encoded.ids):
        assert len(ids) <= size and len(ids) == encoded.lengths[feature]
        for segment, row in enumerate(encoded.texts[feature].tolist()):
            here = segment_of(encoded, feature) == segment
            pieces[row].append((ids[here].tolist(), targets_of(encoded, feature)[here].tolist()))
    for row, text in enumerate(texts):
        whole = of_text(tokenizer, text)
        expected = windows_by_hand(whole, size) if text else []  # nothing is learned of a text without characters
        assert sorted(pieces[row]) == sorted(expected)
    assert encoded.of_texts is not None
    assert encoded.of_texts.tokens.tolist() == [len(tokenizer.tokenize(text)) for text in texts]


def windows_by_hand(tokens: list[int], size: int) -> list[tuple[list[int], list[int]]]:
    inputs, targets = tokens[:-1], tokens[1:]
    return [(inputs[k : k + size], targets[k : k + size]) for k in range(0, len(inputs), size)]


def segment_of(encoded: Encoded, feature: int) -> Any:
    if encoded.segments is None:
        return np.zeros(len(encoded.ids[feature]))
    return encoded.segments[feature]


def targets_of(encoded: Encoded, feature: int) -> Any:
    assert encoded.token_targets is not None
    return encoded.token_targets[feature]


def test_rows_that_are_scored_keep_their_number_even_without_text() -> None:
    texts = ["a b", "", "a b a b a b a b"]
    encoded = encode_documents([Example(t) for t in texts], GPT2, direction="causal", max_length=4, overlap=2)
    assert sorted({*encoded.rows.tolist()}) == [0, 1, 2] and encoded.texts is None
    empty = encoded.rows.tolist().index(1)
    assert encoded.ids[empty].tolist() == [END] and targets_of(encoded, empty).tolist() == [NONE]
    told = [sum(targets_of(encoded, f) != NONE) for f in range(len(encoded.ids))]
    assert np.bincount(encoded.rows, weights=told).tolist() == [len(of_text(GPT2, t)) - 1 for t in texts]


def test_texts_of_several_columns_have_a_paragraph_between_them() -> None:
    encoded = encode_documents([Example(f"a{JOINT}b")], GPT2, direction="causal", max_length=50)
    assert [*encoded.ids[0].tolist(), END] == of_text(GPT2, "a\n\nb")


@given(TEXTS, st.integers(3, 16))
def test_masked_features_have_the_tokens_of_all_texts(texts: list[str], size: int) -> None:
    examples = [Example(text) for text in texts]
    encoded = encode_documents(examples, BERT, direction="masked", max_length=size, training=True, with_words=True)
    special = {BERT.cls_token_id, BERT.sep_token_id}
    found = [token for ids in encoded.ids for token in ids.tolist() if token not in special]
    assert found == [token for text in texts for token in BERT(text, add_special_tokens=False)["input_ids"]]
    assert encoded.token_targets is None and encoded.segments is None
    for ids, words in zip(encoded.ids, encoded.unit_ids or (), strict=bool(found)):
        assert ids[0] == BERT.cls_token_id and ids[-1] == BERT.sep_token_id and len(ids) <= size
        assert all((number == -1) == (token in special) for number, token in zip(words, ids, strict=True))


def test_words_are_those_of_the_text() -> None:
    encoded = encode_documents(
        [Example("going home-made, xyz")], BERT, direction="masked", max_length=30, with_words=True
    )
    assert encoded.unit_ids is not None
    tokens = BERT.convert_ids_to_tokens(encoded.ids[0].tolist())
    by_word: dict[int, str] = {}
    for number, token in zip(encoded.unit_ids[0].tolist(), tokens, strict=True):
        by_word[number] = by_word.get(number, "") + token.removeprefix("##")
    assert by_word == {-1: "[CLS][SEP]", 0: "going", 1: "home-made", 2: ",", 3: "xyz"}


@given(st.text("ab .\n漢é", min_size=400, max_size=900), st.integers(0, 3))
def test_a_long_text_has_the_tokens_of_the_whole_text(text: str, kind: int) -> None:
    tokenizer = (GPT2, BERT, LLAMA, metaspace())[kind]
    parts = list(long_text_ids(text, tokenizer, piece=250, shared=120))
    whole = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert [token for ids, _ in parts for token in ids.tolist()] == whole["input_ids"]
    assert [tuple(pair) for _, offsets in parts for pair in offsets.tolist()] == whole["offset_mapping"]


def metaspace() -> PreTrainedTokenizerFast:
    """As SentencePiece: a space before the text, and one segment for all of it."""
    vocabulary = [("<unk>", 0.0), *((piece, -k / 10) for k, piece in enumerate(["▁", "a", "b", ".", "▁a", "ab", "ba"]))]
    inner = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<unk>")


def test_long_texts_are_read_piece_by_piece() -> None:
    text = " ".join(f"word{k % 977}" for k in range(35_000))
    assert len(text) > 2 * PIECE
    encoded = encode_documents([Example(text)], GPT2, direction="causal", max_length=512, training=True)
    ids = np.concatenate(encoded.ids).tolist()
    assert ids == GPT2(text)["input_ids"]
    assert encoded.rows.tolist() == list(range(len(encoded.ids))) and {len(ids) for ids in encoded.ids[:-1]} == {512}


@pytest.mark.parametrize(
    ("prompt", "completion", "joined"), [("say red", " red", 0), ("say red:\n", "red", 0), ("say r", "ed door", 1)]
)
def test_only_completions_are_told_and_what_ends_them(prompt: str, completion: str, joined: int) -> None:
    example = Example(f"{prompt}{JOINT}{completion}", target=Completion(prompt, completion))
    encoded = encode_documents([example], LLAMA, direction="causal", max_length=50)
    ids, targets = encoded.ids[0].tolist(), targets_of(encoded, 0).tolist()
    whole = of_text(LLAMA, prompt + completion)
    assert ids == whole[:-1]
    told = [target for target in targets if target != NONE]
    assert told == whole[len(whole) - len(told) :] and told[-1] == LLAMA.eos_token_id
    text = LLAMA.decode(told[:-1])
    assert text == (" red door" if joined else completion)  # a token that is of both is told
    assert encoded.of_texts is not None and encoded.of_texts.joined == joined
    everything = encode_documents([example], LLAMA, direction="causal", max_length=50, completion_only=False)
    assert targets_of(everything, 0).tolist() == whole[1:]


def test_windows_without_anything_to_be_told_are_not_trained_on() -> None:
    example = Example("", target=Completion("a b " * 20, "red"))
    options: Any = {"direction": "causal", "max_length": 8}
    scored = encode_documents([example], GPT2, **options)
    trained = encode_documents([example], GPT2, **options, training=True)
    assert len(scored.ids) > 2 and 1 <= len(trained.ids) <= 2
    tells = [targets.tolist() for targets in scored.token_targets or () if (targets != NONE).any()]
    assert tells == [targets.tolist() for targets in trained.token_targets or ()]


def test_what_the_tokens_do_not_give_back_is_known_with_an_example() -> None:
    def altered(tokenizer: Any, *texts: str) -> Any:
        encoded = encode_documents([Example(t) for t in texts], tokenizer, direction="causal", max_length=9)
        return encoded.of_texts.altered if encoded.of_texts else None

    assert altered(GPT2, "Red  door!\n", "né") is None
    assert altered(BERT, "red door", "Red door") == ("Red door", "red door")


def test_a_tokenizer_without_offsets_is_refused_where_they_are_needed() -> None:
    slow, example = ByT5Tokenizer(), Example("", target=Completion("a", "b"))
    plain = encode_documents([Example("ab")], slow, direction="causal", max_length=9)
    assert len(plain.ids[0]) == 2
    needed: list[dict[str, Any]] = [
        {"direction": "masked", "with_words": True, "examples": [Example("a")]},
        {"direction": "causal", "examples": [example]},
    ]
    for keys in needed:
        with pytest.raises(DataError, match=r"a fast one.*ByT5Tokenizer; take a model with a tokenizer\.json"):
            encode_documents(tokenizer=slow, max_length=9, **keys)
