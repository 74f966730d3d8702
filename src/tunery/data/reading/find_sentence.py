"""Where a sentence is in a text that does not have it letter for letter.

What was annotated and what is published often differ in white space, quotes, dashes, capitals or the form of accents.
So letters and digits alone are compared next, and only what is still not found is looked for by similarity.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from heapq import nlargest
from typing import Final, Literal, NamedTuple

Place = tuple[int, int]
"""Characters of a text: from the first to before the second."""

SIMILAR: Final = 0.8
"""Share of letters in common (`difflib`, 2 M / T over both sentences) from which two sentences are taken for one. Of
210 sentences of the sample posts (`examples/posts`), taken out of their post, none had one as similar left there, nor
at 0.7; with a wrong letter in every fifth word, one word more, or another one, 97 % and more were found."""
_FEWEST_WORDS: Final = 4
"""Shorter sentences are as similar to others that say something else."""
_MOST_COMPARED: Final = 200
"""Places of a text whose letters are compared: those with the most words in common."""
_SLACK: Final = 2
"""Words by which a similar sentence may begin or end elsewhere than one of the same number of words."""


class Found(NamedTuple):
    """Where a sentence is."""

    places: Sequence[Place]
    """In the order of the text; none where it is not there, several where it is there several times."""
    by: Literal["characters", "letters", "similarity"]


def find_sentence(sentence: str, text: str) -> Found:
    """Everywhere where a sentence is in a text. By similarity it is found only where one place alone is similar."""
    sentence = sentence.strip()
    if not sentence:
        return Found((), "characters")
    exact = [(match.start(), match.end()) for match in re.finditer(re.escape(sentence), text)]
    if exact:
        return Found([place for place in exact if _is_whole(text, *place)] or exact, "characters")
    if places := [*_by_letters(sentence, text)]:
        return Found(places, "letters")
    return Found(_by_similarity(sentence, text), "similarity")


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on before or after these characters."""
    return not (_is_of_word(text[max(0, start - 1) : start]) or _is_of_word(text[end : end + 1]))


def _is_of_word(character: str) -> bool:
    """Whether it is a letter, a digit or what combines with one."""
    return character.isalnum() or (character != "" and unicodedata.category(character)[0] == "M")


@lru_cache(maxsize=4)  # several sentences of one text are looked for
def _letters(text: str) -> tuple[str, Sequence[int]]:
    """Letters and digits without case and accents, and the character that each is of."""
    letters, characters = [], []
    for position, character in enumerate(text):
        for letter in unicodedata.normalize("NFKD", character).casefold():
            if letter.isalnum():
                letters.append(letter)
                characters.append(position)
    return "".join(letters), characters


def _by_letters(sentence: str, text: str) -> Iterator[Place]:
    wanted, _ = _letters(sentence)
    letters, characters = _letters(text)
    begin = letters.find(wanted) if wanted else -1
    while begin >= 0:
        start, end = characters[begin], characters[begin + len(wanted) - 1] + 1
        while end < len(text) and unicodedata.category(text[end])[0] == "M":
            end += 1
        if _is_whole(text, start, end):
            yield _with_marks(sentence, text, start, end)
        begin = letters.find(wanted, begin + 1)


def _with_marks(sentence: str, text: str, start: int, end: int) -> Place:
    """The place with the marks (quotes, full stops) around it, where the sentence begins or ends with such."""
    if not _is_of_word(sentence[-1]):
        while end < len(text) and not _is_of_word(text[end]) and not text[end].isspace():
            end += 1
    if not _is_of_word(sentence[0]):
        while start and not _is_of_word(text[start - 1]) and not text[start - 1].isspace():
            start -= 1
    return start, end


class _Word(NamedTuple):
    letters: str
    start: int
    end: int


@lru_cache(maxsize=4)
def _words(text: str) -> Sequence[_Word]:
    """What has letters or digits between white space."""
    words = (_Word(_letters_of_word(match[0]), match.start(), match.end()) for match in re.finditer(r"\S+", text))
    return [word for word in words if word.letters]


@lru_cache(maxsize=100_000)
def _letters_of_word(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word).casefold() if c.isalnum())


def _by_similarity(sentence: str, text: str) -> Sequence[Place]:
    words, wanted = _words(text), [word.letters for word in _words(sentence)]
    if len(wanted) < _FEWEST_WORDS:
        return ()
    matcher = SequenceMatcher(None, "", " ".join(wanted), autojunk=False)

    def similarity(begin: int, end: int) -> float:
        matcher.set_seq1(" ".join(word.letters for word in words[begin:end]))
        return matcher.ratio() if matcher.quick_ratio() >= SIMILAR else 0.0

    size = len(wanted)
    likely = nlargest(_MOST_COMPARED, _shared_words([word.letters for word in words], wanted))
    compared = {-begin: similarity(-begin, -begin + size) for count, begin in likely if 2 * count >= size}
    best = max(compared, key=lambda begin: (compared[begin], -begin), default=None)
    if best is None:
        return ()
    begin, end = max(
        (
            (first, last)
            for first in range(max(0, best - _SLACK), min(best + _SLACK + 1, len(words)))
            for last in range(max(first + 1, best + size - _SLACK), min(best + size + _SLACK, len(words)) + 1)
        ),
        key=lambda ends: (similarity(*ends), ends[0] - ends[1]),
    )
    elsewhere = (ratio for other, ratio in compared.items() if other >= end or other + size <= begin)
    if similarity(begin, end) < SIMILAR or max(elsewhere, default=0.0) >= SIMILAR:
        return ()
    return [(words[begin].start, words[end - 1].end)]


def _shared_words(words: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Of each run of as many words as are wanted (or of all, where there are fewer): how many of them it has, and its
    first word, negated."""
    needed, inside, shared = Counter(wanted), Counter[str](), 0
    for position, word in enumerate(words):
        inside[word] += 1
        shared += inside[word] <= needed[word]
        if (begin := position - len(wanted)) >= 0:
            gone = words[begin]
            shared -= inside[gone] <= needed[gone]
            inside[gone] -= 1
        if position + 1 >= min(len(wanted), len(words)):
            yield shared, -max(0, begin + 1)
