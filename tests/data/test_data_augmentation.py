"""Changed training texts: what may change, how spans move, what each operation does, and by what chance."""

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import word_pieces
from fast_and_slow import examples
from tunery.data.augmentation import operations
from tunery.data.augmentation.augmenter import Augmenter
from tunery.data.augmentation.dataset import AugmentedDataset
from tunery.data.augmentation.edits import segments_of
from tunery.data.augmentation.neighbours import neighbours
from tunery.data.augmentation.operations import Operation, Word
from tunery.data.batches import Collator, EncodedDataset, Targets
from tunery.data.encode import encode, encode_windows
from tunery.data.evidence import Evidence, Span, make_evidence
from tunery.data.examples import JOINT, Example
from tunery.data.units import words

SYNONYMS = {"sad": ["unhappy", "down"], "tired": ["weary"], "day": ["week"], "film": ["movie"], "难": ["苦"]}


def guess(text: str, places: Any) -> list[dict[str, float]]:
    """Nothing for words that begin with `t`."""
    return [{} if text[start] == "t" else {"one": 0.5, "two": 0.1} for start, _ in places]


def paraphrase(sentence: str, generator: np.random.Generator) -> str:
    """The words the other way round behind one of two others, with much white space; nothing for two words."""
    turned = sentence.split()[::-1]
    return "" if len(turned) == 2 else f"\n{['so', 'thus'][int(generator.integers(2))]}{JOINT} {' '.join(turned)}\t"


OPERATIONS: dict[str, Any] = {
    "swap": operations.swap,
    "delete": operations.delete,
    "character_noise": operations.character_noise,
    "synonym": partial(operations.replace, synonyms=SYNONYMS),
    "insert": partial(operations.insert, synonyms=SYNONYMS),
    "masked_lm": partial(operations.substitute, guess=guess),
    "back_translation": partial(operations.rewrite, paraphrase=paraphrase),
}
WORDS = ["I", "am", "sad", "Tired", "film", "day", "the", "the", "don't", "n't", "U.S.", "3.50", "e\u0301te\u0301"]
BETWEEN = [" ", " ", " ", " ", ", ", ". ", " (", ") ", "!? ", " 😭 ", "  ", "\t", "\n\n", "\u2028", JOINT, "-", ""]
PIECES = st.tuples(st.sampled_from([*WORDS, "难过", "مرحبا"]), st.sampled_from(BETWEEN)).map("".join)


@st.composite
def examples_with_evidence(draw: st.DrawFn) -> Example:
    """Spans anywhere, several of a place among them, some within words."""
    text = "".join(draw(st.lists(PIECES, min_size=2, max_size=20)))
    places = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    anywhere = st.one_of(st.just([0, len(text)]), places)
    spans = draw(st.lists(st.tuples(anywhere, st.sampled_from("ab")), min_size=1, max_size=3))
    rejected = draw(st.lists(places, max_size=2))
    target = make_evidence(
        [Span(start, end, label) for (start, end), label in spans], [Span(start, end, "c") for start, end in rejected]
    )
    return Example(text, labels=("a", "b"), id="1", target=target)


def changed(operation: Any, example: Example, *, share: float = 0.1, seed: int = 0, row: int = 0) -> Example | None:
    augmenter = Augmenter(partial(operation, share=share), probability=1.0, seed=seed)
    return augmenter.changed(example, epoch=0, row=row)


def edges(evidence: Evidence) -> list[int]:
    return [edge for span in (*evidence.spans, *evidence.rejected) for edge in (span.start, span.end)]


def letters(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text) if any(map(str.isalnum, text[start:end]))]


@pytest.mark.parametrize("name", OPERATIONS)
@examples(3)
@given(example=examples_with_evidence(), share=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 9))
def test_only_evidence_changes_and_spans_move_with_it(name: str, example: Example, share: float, seed: int) -> None:
    after = changed(OPERATIONS[name], example, share=share, seed=seed)
    if after is None:
        return
    assert (after.labels, after.id) == (example.labels, example.id)
    old, new = [0, *edges(example.target), len(example.text)], [0, *edges(after.target), len(after.text)]
    moved = dict(zip(old, new, strict=True))
    assert [moved[edge] for edge in old] == new, "one place of the text is one place afterwards"
    assert [span.label for span in after.target.spans] == [span.label for span in example.target.spans]
    cuts, is_changed = sorted({*old}), False
    for start, end in zip(cuts, cuts[1:], strict=False):
        before, now = example.text[start:end], after.text[moved[start] : moved[end]]
        if not any(span.start <= start and end <= span.end for span in example.target.spans):
            assert now == before
        assert now.strip() or not before.strip()
        is_changed |= now != before
        if name == "swap":
            assert Counter(now) == Counter(before)
        if name in ("synonym", "masked_lm", "character_noise"):
            assert len(now.split()) == len(before.split())
        if name == "delete":
            assert not Counter(now) - Counter(before)
        if name == "insert":
            assert not Counter(letters(before)) - Counter(letters(now))
    assert is_changed
    assert all(start < end for start, end, _ in (*after.target.spans, *after.target.rejected))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_row_without_evidence_stays_as_it_is_where_its_task_has_evidence(name: str) -> None:
    text = "I am sad and tired the whole day"
    rejected = Evidence((), (Span(5, 8, "a"),))
    for target in (Evidence(), rejected, [[5, 8]]):
        assert changed(OPERATIONS[name], Example(text, target=target), share=1.0) is None
    assert changed(OPERATIONS[name], Example(text), share=1.0) is not None


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_texts_of_a_pair_change_and_columns_stay_apart(name: str) -> None:
    one = f"I am sad{JOINT}the film was tired"
    rows = [
        changed(OPERATIONS[name], Example(one, "a sad day in May", ("x",)), share=0.5, row=row) for row in range(30)
    ]
    found = [row for row in rows if row is not None]
    assert all(row.text.count(JOINT) == 1 and row.labels == ("x",) for row in found)
    assert any(row.text.split(JOINT)[0] != "I am sad" for row in found)
    assert any(row.text.split(JOINT)[1] != "the film was tired" for row in found)
    assert any(row.text_pair != "a sad day in May" for row in found)


TEXT = "The film was slow, and I was sad the whole day.\n\nNext day (a Monday) I slept."


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.1, 2), (0.25, 4)])
def test_the_share_is_that_of_the_words(share: float, count: int) -> None:
    """The text has 17 words."""
    for row in range(20):
        deleted = changed(operations.delete, Example(TEXT), share=share, row=row)
        misspelt = changed(operations.character_noise, Example(TEXT), share=share, row=row)
        guessed = changed(partial(operations.substitute, guess=guess), Example(TEXT), share=share, row=row)
        swapped = changed(operations.swap, Example(TEXT), share=share, row=row)
        assert deleted and misspelt
        assert len(letters(deleted.text)) == 17 - count
        assert sum(a != b for a, b in zip(letters(misspelt.text), letters(TEXT), strict=True)) == count
        if guessed is not None:
            assert sum(a != b for a, b in zip(letters(guessed.text), letters(TEXT), strict=True)) <= count
        if swapped is not None:  # words that are alike may have traded places
            assert sum(a != b for a, b in zip(letters(swapped.text), letters(TEXT), strict=True)) <= max(2, count)


def test_deleting_takes_the_spaces_behind_a_word_or_those_in_front_and_no_new_line() -> None:
    found = {changed(operations.delete, Example("One two, three.\n\nFour  five"), row=row) for row in range(200)}
    assert {row.text for row in found if row is not None} == {
        "two, three.\n\nFour  five",
        "One, three.\n\nFour  five",
        "One two,.\n\nFour  five",
        "One two, three.\n\nfive",
        "One two, three.\n\nFour",
    }
    assert changed(operations.delete, Example("word"), share=1.0) is None


def test_deleting_all_that_may_go_leaves_a_word_in_every_stretch() -> None:
    target = Evidence((Span(0, 14, "a"), Span(5, 8, "b")))
    after = changed(operations.delete, Example("I am sad today. No more.", target=target), share=1.0)
    assert after is not None and after.text.endswith(". No more.")
    assert [len(letters(after.text[start:end])) for start, end, _ in after.target.spans] == [3, 1]


def test_a_misspelt_word_is_one_step_away() -> None:
    for row in range(200):
        after = changed(operations.character_noise, Example("slept"), row=row)
        assert after is not None
        word = after.text
        if len(word) == 5:
            places = [place for place in range(5) if word[place] != "slept"[place]]
            is_swapped = len(places) == 2 and sorted(word) == sorted("slept") and places[1] == places[0] + 1
            assert is_swapped or (len(places) == 1 and word[places[0]] in "slept")
        else:
            longer, shorter = sorted([word, "slept"], key=len, reverse=True)
            assert shorter in [longer[:place] + longer[place + 1 :] for place in range(len(longer))]
    rows = {changed(operations.character_noise, Example("slept"), row=row) for row in range(200)}
    assert {len(row.text) for row in rows if row is not None} == {4, 5, 6}


def test_a_letter_keeps_its_marks() -> None:
    for row in range(50):
        after = changed(operations.character_noise, Example("e\u0301te\u0301"), row=row)
        assert after is not None and not after.text.startswith("\u0301") and "\u0301\u0301" not in after.text


def test_a_synonym_has_the_capitals_of_the_word() -> None:
    replaced = changed(OPERATIONS["synonym"], Example("SAD: Tired of it. sad"), share=1.0)
    assert replaced is not None
    first, second, *_, last = letters(replaced.text)
    assert first in ("UNHAPPY", "DOWN") and second == "Weary" and last in ("unhappy", "down")
    assert changed(OPERATIONS["synonym"], Example("nothing known here"), share=1.0) is None


def test_what_is_inserted_are_synonyms_of_words_of_the_same_stretch() -> None:
    evidence = Evidence((Span(0, 8, "a"), Span(9, 20, "b")))
    for row in range(50):
        after = changed(OPERATIONS["insert"], Example("I am sad because tired", target=evidence), share=1.0, row=row)
        assert after is not None
        (one, two) = (after.text[span.start : span.end] for span in after.target.spans)
        assert Counter(one.split()) - Counter(["I", "am", "sad"]) in (Counter(["unhappy"]), Counter(["down"]))
        assert two == "because tir"


def test_guesses_are_drawn_by_their_probability() -> None:
    counts = Counter[str]()
    for row in range(600):
        after = changed(OPERATIONS["masked_lm"], Example("Bus"), row=row)
        assert after is not None
        counts[after.text] += 1
    assert set(counts) == {"One", "Two"}
    assert 70 < counts["Two"] < 130  # a sixth of 600, three standard deviations


def test_sentences_are_rewritten_as_far_as_they_are_evidence() -> None:
    text = f"I am tired. I slept badly all week! It rains.{JOINT}Dr. Who is on: a film. Nothing helps."
    sentences = ["I am tired.", "I slept badly all week!", "It rains.", "Dr. Who is on: a film.", "Nothing helps."]

    def asked(target: Evidence | None, *, share: float = 1.0) -> list[str]:
        seen = []

        def remember(sentence: str, generator: np.random.Generator) -> str:
            seen.append(sentence)
            return "good"

        after = changed(partial(operations.rewrite, paraphrase=remember), Example(text, target=target), share=share)
        assert after is not None
        assert len(words(after.text)) == len(words(text)) + sum(1 - len(words(sentence)) for sentence in seen)
        return seen

    assert asked(None) == sentences
    assert [len(asked(None, share=share)) for share in (0.1, 0.5, 0.6)] == [1, 2, 3]

    def span(first: str, last: str) -> Span:
        return Span(text.index(first), text.index(last) + len(last), "a")

    evidence = Evidence((span("I slept", "week!"), span("Who is", "a film.")))
    assert asked(evidence) == [sentences[1], "Who is on: a film."]
    assert asked(Evidence((span("ired.", "It ra"),))) == [sentences[1], "It"], "of cut words nothing is asked"


@pytest.mark.parametrize("answer", ["", " ", "?!", "I am sad.", " I am  sad.\n", "so " * 10])
def test_a_sentence_stays_where_no_paraphrase_is_found(answer: str) -> None:
    def rewritten(answer: str) -> Example | None:
        operation = partial(operations.rewrite, paraphrase=lambda sentence, generator: answer)
        return changed(operation, Example("I am sad."), share=1.0)

    assert rewritten(answer) is None
    longest = rewritten("x" * 27)
    assert longest is not None and longest.text == "x" * 27 and rewritten("x" * 28) is None


def test_one_of_several_operations_is_drawn_for_each_row() -> None:
    ways: list[Operation] = [partial(operations.delete, share=0.1), partial(operations.swap, share=0.1)]
    mixed = Augmenter(partial(operations.one_of, operations=ways), probability=1.0, seed=0)
    rows = [mixed.changed(Example("one two three four"), epoch=0, row=row) for row in range(50)]
    assert {len(row.text.split()) for row in rows if row is not None} == {3, 4}


def test_a_word_across_a_boundary_is_of_no_segment() -> None:
    text = "I slept badly"
    (only,) = segments_of(text, Evidence((Span(0, 5, "a"),)))
    assert only.words == (Word(0, 1),)
    assert segments_of(text, Evidence((Span(3, 5, "a"),))) == []
    assert [segment.words for segment in segments_of("a b", Evidence((Span(0, 3, "a"), Span(2, 3, "b"))))] == [
        (Word(0, 1),),
        (Word(2, 3),),
    ]


def test_which_rows_change_depends_on_seed_epoch_and_row_alone() -> None:
    def rows(seed: int, epoch: int, probability: float) -> list[Example | None]:
        augmenter = Augmenter(partial(operations.swap, share=0.1), probability=probability, seed=seed)
        return [augmenter.changed(Example(TEXT), epoch=epoch, row=row) for row in range(400)]

    first = rows(0, 0, 0.25)
    assert 74 < sum(row is not None for row in first) < 126  # three standard deviations
    assert rows(0, 0, 0.25) == first
    assert rows(1, 0, 0.25) != first and rows(0, 1, 0.25) != first
    more = rows(0, 0, 0.5)
    assert all(one is None or one == other for one, other in zip(first, more, strict=True))
    assert rows(0, 0, 0.0) == [None] * 400


def test_a_changed_row_is_encoded_as_if_it_were_another_row() -> None:
    tokenizer = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    rows = [Example("the film was good and the day was long " * repeat, target=None) for repeat in (1, 3, 2)]

    def dataset(examples: list[Example]) -> EncodedDataset:
        encoded = encode_windows(examples, tokenizer, max_length=10, overlap=2)
        texts = [len(examples[row].text) for row in encoded.rows]
        return EncodedDataset(encoded, Targets({"length": np.array(texts)}, {"ids": encoded.ids}))

    augmenter = Augmenter(partial(operations.delete, share=0.3), probability=0.5, seed=0)
    augmented, plain = AugmentedDataset(dataset(rows), rows, augmenter, lambda row: dataset([row])), dataset(rows)
    assert len(augmented) == 3
    counts = Counter[bool]()
    for epoch in range(6):
        after = [augmenter.changed(row, epoch=epoch, row=number) for number, row in enumerate(rows)]
        expected = dataset([new or old for new, old in zip(after, rows, strict=True)])
        for row in range(3):
            items, others = augmented[epoch, row], expected[epoch, row]
            assert len(items) == len(others)
            for item, other in zip(items, others, strict=True):
                assert np.array_equal(item.ids, other.ids) and item.targets == other.targets
                assert np.array_equal(item.sequence_targets["ids"], other.sequence_targets["ids"])
            assert items[0].feature == plain[epoch, row][0].feature
            (micro_batch,) = Collator(0, max_tokens=10_000)([items])
            assert micro_batch.changed_rows == (after[row] is not None)
            counts[after[row] is not None] += 1
    assert counts[True] > 3 and counts[False] > 3


def test_neighbours_are_the_nearest_words_of_the_texts() -> None:
    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    table = np.random.default_rng(0).normal(size=(len(tokenizer), 64)).astype(np.float32)

    def put(word: str, near: str, *, by: float) -> None:
        (token, other) = tokenizer.convert_tokens_to_ids([word, near])
        table[token] = table[other] + by * table[token]

    put("movie", "film", by=0.5)
    put("story", "film", by=0.9)
    put("him", "he", by=0.1)
    put("book", "film", by=0.1)
    found = neighbours(["The film and Movie.", "a story of him: he", "zebras film Film"], tokenizer, table)
    assert list(found["film"]) == ["Movie", "story"]  # a book is nearer, but no word of the texts
    assert found["Movie"][0] == "film"
    assert not {"him", "he", "zebras", "Film"} & {*found, *(word for near in found.values() for word in near)}
    assert neighbours(["of the"], tokenizer, table) == {}


def test_a_text_can_be_as_short_as_nothing() -> None:
    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    for name, operation in OPERATIONS.items():
        assert changed(operation, Example(""), share=1.0) is None, name
        assert changed(operation, Example(" .\n", ""), share=1.0) is None, name
    assert len(encode([Example("")], tokenizer, max_length=8).ids) == 1
