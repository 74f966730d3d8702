"""The ways to change a text: pure functions from a text, its segments and a generator to edits.

The four of EDA (Wei & Zou 2019, arXiv 1901.11196: synonym replacement, random insertion, random swap, random deletion),
misspelt words (Belinkov & Bisk 2018, arXiv 1711.02173, section 3.2), words that a masked language model thinks of
(Kobayashi 2018, arXiv 1805.06201; Wu et al. 2019, arXiv 1812.06705, without its condition on the label), and sentences
in other words, as translation there and back gives them (Xie et al. 2020, arXiv 1904.12848, section 2.2).

As in EDA, `share` of the words is changed, but at least one; unlike there, exactly that many are deleted, too.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from numpy.random import Generator

from tunery.data.augmentation.edits import Edit, Segment, Word
from tunery.data.lengths import length_of
from tunery.data.units import sentences

T = TypeVar("T")

Operation = Callable[[str, Sequence[Segment], Generator], list[Edit]]
"""Edits of a text, in order and apart, each within one of its segments; none where nothing can be changed."""
Synonyms = Mapping[str, Sequence[str]]
"""Words that may replace a word. One that begins a sentence is looked up as it is, then in small letters."""
Guess = Callable[[str, Sequence[Word]], Sequence[Mapping[str, float]]]
"""What else could be at each of these words of a text, with its probability."""

Paraphrase = Callable[[str, Generator], str]
"""A sentence in other words, drawn by the generator; empty where there are none."""

LONGEST: Final = 3
"""Characters of a paraphrase, for each of the sentence."""


def swap(text: str, segments: Sequence[Segment], generator: Generator, *, share: float) -> list[Edit]:
    """Pairs of words trade places; both are of one segment."""
    groups = [segment.words for segment in segments if len(segment.words) > 1]
    places = [(group, number) for group, words in enumerate(groups) for number in range(len(words))]
    if not places:
        return []
    order = [list(range(len(words))) for words in groups]
    for _ in range(max(1, round(_count(segments, share) / 2))):
        group, number = places[int(generator.integers(len(places)))]
        other = int(generator.integers(len(order[group]) - 1))
        other += other >= number
        order[group][number], order[group][other] = order[group][other], order[group][number]
    edits = [
        Edit(*word, text[slice(*words[source])])
        for words, sources in zip(groups, order, strict=True)
        for word, source in zip(words, sources, strict=True)
    ]
    return [edit for edit in edits if edit.text != text[edit.start : edit.end]]


def delete(text: str, segments: Sequence[Segment], generator: Generator, *, share: float) -> list[Edit]:
    """Words go, each with the spaces behind it, or else those in front; the last word of a segment stays."""
    places = [(word, segment) for segment in segments for word in segment.words]
    left = Counter({segment: len(segment.words) for segment in segments})
    gone: list[tuple[Word, Segment]] = []
    for number in generator.permutation(len(places)).tolist():
        if len(gone) == _count(segments, share):
            break
        if left[places[number][1]] > 1:
            left[places[number][1]] -= 1
            gone.append(places[number])
    edits: list[Edit] = []
    for (start, end), segment in sorted(gone):
        behind = end + _spaces(text[end : segment.end])
        free = max(segment.start, edits[-1].end if edits else 0)
        in_front = start - _spaces(text[free:start][::-1]) if behind == end else start
        edits.append(Edit(in_front, behind, ""))
    return edits


def character_noise(text: str, segments: Sequence[Segment], generator: Generator, *, share: float) -> list[Edit]:
    """Words are misspelt in one letter: it trades places with the next, is missing, is there twice, or is another one
    of the text."""
    alphabet = sorted({letter for segment in segments for word in segment.words for letter in text[slice(*word)]})
    alphabet = [letter for letter in alphabet if letter.isalpha()]
    chosen = _drawn([word for segment in segments for word in segment.words], _count(segments, share), generator)
    return [Edit(*word, _misspelt(text[slice(*word)], alphabet, generator)) for word in chosen]


def replace(
    text: str, segments: Sequence[Segment], generator: Generator, *, share: float, synonyms: Synonyms
) -> list[Edit]:
    """Words are replaced by one of their synonyms, as far as they have any."""
    known = [word for segment in segments for word in segment.words if _synonyms_of(text[slice(*word)], synonyms)]
    return [
        Edit(*word, _one_of(_synonyms_of(text[slice(*word)], synonyms), text[slice(*word)], generator))
        for word in _drawn(known, _count(segments, share), generator)
    ]


def insert(
    text: str, segments: Sequence[Segment], generator: Generator, *, share: float, synonyms: Synonyms
) -> list[Edit]:
    """Synonyms of some words are put behind any words of the same segment."""
    known = [
        (text[slice(*word)], segment)
        for segment in segments
        for word in segment.words
        if _synonyms_of(text[slice(*word)], synonyms)
    ]
    behind: dict[Word, str] = {}
    for name, segment in _drawn(known, _count(segments, share), generator):
        word = segment.words[int(generator.integers(len(segment.words)))]
        options = _synonyms_of(name, synonyms)
        joint = "" if length_of(name).characters else " "
        behind[word] = behind.get(word, "") + joint + options[int(generator.integers(len(options)))]
    return [Edit(*word, text[slice(*word)] + added) for word, added in sorted(behind.items())]


def substitute(
    text: str, segments: Sequence[Segment], generator: Generator, *, share: float, guess: Guess
) -> list[Edit]:
    """Words are replaced by others that are drawn from what a model thinks is there, all of them hidden at once."""
    chosen = _drawn([word for segment in segments for word in segment.words], _count(segments, share), generator)
    edits = []
    for word, options in zip(chosen, guess(text, chosen), strict=True):
        if options:
            total = sum(options.values())
            drawn = generator.choice(len(options), p=[value / total for value in options.values()])
            edits.append(Edit(*word, _like(text[slice(*word)], list(options)[drawn])))
    return edits


def rewrite(
    text: str, segments: Sequence[Segment], generator: Generator, *, share: float, paraphrase: Paraphrase
) -> list[Edit]:
    """Sentences are said in other words, unless these are more than three times as long. `share` is that of the
    sentences. Of one that is not whole in a segment, the part within it is a sentence."""
    parts = [part for segment in segments for part in _sentences_of(text, segment)]
    edits = []
    for start, end in _drawn(parts, max(1, round(share * len(parts))), generator):
        old = text[start:end]
        new = " ".join(paraphrase(old, generator).split())
        if new != old and len(new) <= LONGEST * len(old) and any(map(str.isalnum, new)):
            edits.append(Edit(start, end, new))
    return edits


def _sentences_of(text: str, segment: Segment) -> Iterator[tuple[int, int]]:
    """Those with a word, without the rest of a word that an end of the segment cuts."""
    for start, end in (sentences(text[segment.start : segment.end]) + segment.start).tolist():
        inside = [word for word in segment.words if start <= word.start < end]
        if inside:
            first, last = inside[0].start, inside[-1].end
            is_cut = [any(map(str.isalnum, part)) for part in (text[start:first], text[last:end])]
            yield first if is_cut[0] else start, last if is_cut[1] else end


def one_of(
    text: str, segments: Sequence[Segment], generator: Generator, *, operations: Sequence[Operation]
) -> list[Edit]:
    """What one of these does, drawn for each row."""
    return operations[int(generator.integers(len(operations)))](text, segments, generator)


def _count(segments: Sequence[Segment], share: float) -> int:
    return max(1, round(share * sum(len(segment.words) for segment in segments)))


def _drawn(items: Sequence[T], count: int, generator: Generator) -> list[T]:
    """So many of the items, in their order."""
    numbers = generator.permutation(len(items))[:count]
    return [items[number] for number in sorted(numbers.tolist())]


def _spaces(text: str) -> int:
    return len(text) - len(text.lstrip(" \t\xa0"))


def _synonyms_of(word: str, synonyms: Synonyms) -> Sequence[str]:
    return synonyms.get(word) or synonyms.get(word.lower()) or ()


def _one_of(options: Sequence[str], word: str, generator: Generator) -> str:
    return _like(word, options[int(generator.integers(len(options)))])


def _like(word: str, other: str) -> str:
    """The other word in capitals, or with one at its beginning, where the first has them."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def _misspelt(word: str, alphabet: Sequence[str], generator: Generator) -> str:
    letters = _letters(word)
    place = int(generator.integers(len(letters)))
    letter = letters[place]
    variants = [[letter, letter]]
    if len(letters) > 1:
        variants.append([])
    if others := [other for other in alphabet if other != letter]:
        variants.append([others[int(generator.integers(len(others)))]])
    if place + 1 < len(letters) and letters[place + 1] != letter:
        variants.append([letters[place + 1], letter])
    new = variants[int(generator.integers(len(variants)))]
    taken = 2 if len(new) == 2 and new[0] != letter else 1
    return "".join([*letters[:place], *new, *letters[place + taken :]])


def _letters(word: str) -> list[str]:
    """Its characters, each with the marks that combine with it."""
    letters: list[str] = []
    for character in word:
        if letters and unicodedata.category(character).startswith("M"):
            letters[-1] += character
        else:
            letters.append(character)
    return letters
