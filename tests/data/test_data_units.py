"""Words and sentences: properties that hold for any text, what is no end of a sentence, and real data."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fast_and_slow import examples
from tunery.data.evidence import Evidence, Span
from tunery.data.examples import Example
from tunery.data.units import UNITS, Bounds, chosen_unit, sentences, usual_neighbours, whole_sentences, words

POSTS = Path(__file__).parents[2] / "examples" / "posts"
PIECES = re.split(
    "~",
    ".~!~?~...~…~?!~。~！~؟~۔~।~॥~.\"~.)~。」~”~'~(~\"~-~,~:~*~<br />~;~n't~'s~I~i~ ~  ~\t~\n~\r\n~\x1e~\u2028~\xa0~"
    "Mr.~U.S.~e.g.~J.~3.~3.50~No.~etc.~a~b.~Word~word.~don't~www.example.com~x.Then~"
    "我~难过~สวัสดี~ครับ~が~행복~מאוד~حزين~मैं~हूँ~e\u0301~👩\u200d👧~😭~\U00020000~\u200b",
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


def pieces(text: str, bounds: Bounds) -> list[str]:
    return [text[begin:end] for begin, end in bounds]


@pytest.mark.parametrize("unit", UNITS)
@examples(4)
@given(text=TEXTS)
def test_every_character_but_white_space_is_in_exactly_one_unit(unit: Any, text: str) -> None:
    bounds = UNITS[unit](text)
    assert bounds.dtype == np.int64 and bounds.shape == (len(bounds), 2)
    covered = np.zeros(len(text), dtype=int)
    for begin, end in bounds:
        assert 0 <= begin < end <= len(text)
        assert not text[begin].isspace() and not text[end - 1].isspace()
        covered[begin:end] += 1
    assert (np.diff(bounds.ravel()) >= 0).all() and (covered <= 1).all()
    assert all(inside or character.isspace() for inside, character in zip(covered, text, strict=True))


@examples(4)
@given(TEXTS, TEXTS)
def test_units_of_a_line_do_not_depend_on_other_lines(text: str, other: str) -> None:
    text, other = f"One{text}", f"Two{other}"  # what is punctuation alone belongs to the sentence before it
    for unit in (words, sentences):
        alone = np.concatenate([unit(text), unit(other) + len(text) + 1])
        assert unit(f"{text}\n{other}").tolist() == alone.tolist()


@examples(2)
@given(TEXTS)
def test_words_have_no_white_space(text: str) -> None:
    assert "".join(pieces(text, words(text))) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('She said: "I can\'t (really)."', ["She", "said", ":", '"', "I", "can't", "(", "really", ')."']),
        ("ca n't , 's dogs' 'Tis", ["ca", "n't", ",", "'s", "dogs", "'", "'Tis"]),
        ("well-known 3.50 a/b C++ #tag", ["well-known", "3.50", "a/b", "C", "++", "#", "tag"]),
        ("bad.<br />Good", ["bad", ".<", "br", "/>", "Good"]),
        ("我很sad。สวัสดี", ["我", "很", "sad", "。", "ส", "วั", "ส", "ดี"]),
        ("हूँ। ok", ["हूँ", "।", "ok"]),
        ("cafe\u0301! 👩\u200d👧", ["cafe\u0301", "!", "👩\u200d👧"]),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert pieces(text, words(text)) == wanted


@pytest.mark.parametrize(
    "sentences_of_text",
    [
        ["Mr. Smith met Dr. J. R. R. Tolkien in the U.S. on Jan. 5.", "He paid $3.50 for No. 7.", "Then he left."],
        ["i feel sad.", "i can't sleep!!", "why me?", "nothing helps... i don't know"],
        ['"Why?" he asked.', '"I am here."', "(He left.)", "Gone.", "So do I.", "Well"],
        ["He was . . . well , tired .", "then walter j . hill left .", "it is ( ok . ) next"],
        [
            "Wait, what?!, she said.",
            "They sell pens etc. here.",
            "I have MS.",
            "See www.example.com.",
            "At 5 p.m. we left.",
        ],
        ["1. First thing.", "Second thing.", "I was in ward 3.", "Then home."],
        ["He said the end… was near…", "Then it came.", "Hello 😭!", "Next."],
        ["هل أنت بخير؟", "نعم.", "أنا حزين۔", "شكرا"],
        ["मैं दुखी हूँ।", "क्या हाल है?", "ठीक।"],
        ["מה שלומך?", "אני עצוב.", "תודה"],
    ],
)
def test_sentences_between_spaces(sentences_of_text: list[str]) -> None:
    text = " ".join(sentences_of_text)
    assert pieces(text, sentences(text)) == sentences_of_text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "我很难过。你呢？3.5元！「走吧。」真的?我不知道",
            ["我很难过。", "你呢？", "3.5元！", "「走吧。」", "真的?", "我不知道"],
        ),
        ("no mark\nOther line\n\n !!!\n- last", ["no mark", "Other line\n\n !!!", "- last"]),
        ("bad.<br /><br />4/10 <br>Done", ["bad.<br /><br />", "4/10 <br>", "Done"]),
        (
            "the end.Then a name: www.A.org, Node.js, Ph.D and e.g.It",
            ["the end.", "Then a name: www.A.org, Node.js, Ph.D and e.g.It"],
        ),
        ("first\x1esecond", ["first", "second"]),
        (" 2.) Third (see A.) Then\nb. Last", ["2.) Third (see A.)", "Then", "b. Last"]),
        ("...", ["..."]),
        (" ?! Yes", ["?! Yes"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, wanted: list[str]) -> None:
    assert pieces(text, sentences(text)) == wanted


@pytest.mark.parametrize("piece", [".", ". ", "a.", "'", "Mr. ", "a ", ".a", " ", "\n", "。", "<br>", "\u0301", "! ("])
def test_units_of_a_long_text_are_found_in_steps_of_its_length(piece: str) -> None:
    """What is slow by the square of the length would take hours here."""
    for unit in (words, sentences):
        unit(piece * (300_000 // len(piece)) + "a")


def row(text: str, *spans: tuple[int, int]) -> Example:
    return Example(text, target=Evidence(tuple(Span(*span, "x") for span in spans)))


def test_sentences_are_the_unit_where_evidence_is_whole_sentences() -> None:
    text = 'I am sad. "I cannot sleep." All is well'
    first, second, both = (0, 9), (11, 25), (0, 28)  # without quotation marks; two neighbours with the space behind
    assert whole_sentences([row(text, first, second, both), row(text), Example(text)]) == 1.0
    assert whole_sentences([row(text, first, (0, 4), (2, 9), (0, 15))]) == 0.25
    assert whole_sentences([row("... !!!", (0, 3))]) == 0.0
    assert whole_sentences([row(text), Example(text)]) is None
    nineteen = [row(text, first)] * 19
    assert chosen_unit([*nineteen, row(text, (2, 4))]) == "sentence"
    assert chosen_unit([*nineteen, row(text, (2, 4), (5, 9))]) == "token"
    assert chosen_unit([row(text)]) == chosen_unit([]) == "sentence"


@pytest.mark.parametrize(
    ("words_of_spans", "wanted"), [([], 0), ([1], 0), ([2, 2, 9], 0), ([3], 1), ([6], 2), ([40], 4)]
)
def test_neighbours_are_a_run_within_half_of_the_spans(words_of_spans: list[int], wanted: int) -> None:
    text = " ".join("ab" for _ in range(50))
    spans = tuple(Span(0, 3 * count - 1, "x") for count in words_of_spans)
    assert usual_neighbours([Example(text, target=Evidence(spans)), Example(text)]) == wanted


def test_annotated_sentences_are_found() -> None:
    whole = []
    for split in ("train", "validation", "test"):
        with (POSTS / f"{split}_posts.csv").open(newline="") as file:
            texts = {post["post_id"]: post["text"] for post in csv.DictReader(file)}
        with (POSTS / f"{split}_annotations.csv").open(newline="") as file:
            for annotation in csv.DictReader(file):
                text = texts[annotation["post_id"]]
                whole.append(annotation["sentence_text"] in pieces(text, sentences(text)))
    assert len(whole) > 2000 and all(whole)


def test_tokenised_text_has_the_words_it_was_given(data_dir: Path) -> None:
    equal = count = 0
    for line in (data_dir / "movie_rationales" / "validation.jsonl").read_text().splitlines():
        text = json.loads(line)["text"]
        begin, found = 0, {tuple(pair) for pair in words(text).tolist()}
        for token in text.split():
            begin = text.index(token, begin)
            equal += (begin, begin + len(token)) in found
            begin, count = begin + len(token), count + 1
    assert count > 100_000 and equal / count > 0.999
