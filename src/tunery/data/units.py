"""Words and sentences: the units of a text of which evidence is decided.

They are found in the text, not by a tokenizer, so that they are the same for every model. Both are plain rules, for
any language. Libraries that split sentences without data files (sentencex, syntok, pysbd, blingfire) were compared on
100 film reviews: of 1,147 ends that these rules find and 3 that they do not, at least two of the four say otherwise in
17 cases, most of them ends of lines. None was worth a dependency.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tunery.data.examples import Example
from tunery.data.lengths import UNSPACED

Bounds = npt.NDArray[np.int64]
"""(units, 2): where each begins and ends, in characters (code points); ascending and disjoint."""
Unit = Literal["token", "sentence"]

WHOLE: Final = 0.95
"""From this share of evidence in whole sentences on, sentences are what annotators marked."""

_MOST_NEIGHBOURS: Final = 4

_PUNCTUATION: Final = (
    r"!-/:-@\[-`{-~"
    "¡§«¶·»¿"
    "\u2010-\u2027\u2030-\u205e\u2e00-\u2e5d"  # dashes, quotation marks, …
    "\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4"  # Armenian, Hebrew
    "\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u0970\u1361-\u1368"  # Arabic, Indic, Ethiopic
    "\u0e2f\u0e5a\u0e5b\u104a-\u104f\u17d4-\u17da"  # Thai, Burmese, Khmer
    "\u3001-\u3003\u3008-\u3011\u3014-\u301f\u30fb\ufe10-\ufe19\ufe30-\ufe6b"  # Chinese, Japanese
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
"""Punctuation and the symbols of ASCII, as the inside of a class of characters."""
_MARKS: Final = "".join(c for c in map(chr, range(0x0E00, 0x1AB0)) if unicodedata.category(c) in ("Mn", "Mc"))
"""Of unspaced scripts: vowels and tones that belong to the character before them."""
_INNER: Final = rf"(?:(?!{UNSPACED.pattern})[^\s{_PUNCTUATION}])++"
_WORD: Final = re.compile(
    rf"{UNSPACED.pattern}[{_MARKS}]*+"
    rf"|['’]?{_INNER}(?:(?:(?![<>])[{_PUNCTUATION}])++{_INNER})*+"
    rf"|(?:(?!['’][^\W\d_])[{_PUNCTUATION}])++|['’]"
)
_BREAK: Final = "<[bB][rR] ?/?>"
_CONTENT: Final = re.compile(rf"{_BREAK}|([^\s{_PUNCTUATION}]++)")
"""Line breaks of HTML and, as its group, runs of letters, digits and other characters that say something."""

_LINE: Final = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++")
_CLOSED: Final = r"""(?:["'”’»)\]}」』】〉》）］*_]|[ \xa0\u202f](?:[)\]}”»]|'')(?!\S))*+"""
_END: Final = re.compile(
    rf"(?P<marks>[.!?…‼⁇⁈⁉؟۔։።՜՞]++(?:[ ][.!?…]++)*+)(?P<closed>{_CLOSED})(?: ?{_BREAK})*+"
    rf"|(?P<attached>[。！？｡．।॥။។]++[!?…！？。]*+){_CLOSED}(?: ?{_BREAK})*+"
    rf"|(?: ?{_BREAK})++"
)
"""What may end a sentence, with the quotation marks and brackets that close behind it, and line breaks of HTML. After
`attached` marks there need not be a space. It matches wherever there is a mark, so that no text makes it slow."""
_NEXT: Final = re.compile(r"\S")
_SEPARATE: Final = re.compile(r"[^\W\d_][\w'’]*+(?![^\s,;:!?])")
"""A word without a period inside or behind it."""
_BEFORE: Final = re.compile(r"(?P<word>(?:[^\W\d_]\.)*[^\W_]+) ?$")
"""The word before a period."""

_NEVER_LAST: Final = re.compile(
    "mr|mrs|ms|mx|dr|prof|rev|capt|lt|sgt|gov|messrs|mme|mlle|sr|sra|srta|dra|st|mt|vs|cf|viz|e[.]g|i[.]e|esp|approx|"
    "bzw|z[.]b|u[.]a|d[.]h|т[.]е|т[.]к"
)
"""Abbreviations that a sentence goes on after, whatever comes next."""
_BEFORE_NUMBER: Final = re.compile("nos?|nr|pp?|vols?|chs?|figs?|eq|ca|стр|рис")
_MAYBE_LAST: Final = re.compile(
    "etc|inc|ltd|co|corp|bros|jr|al|dept|univ|est|jan|feb|apr|aug|sept|oct|nov|usw|др|пр|.+[.].+"
)
"""Abbreviations after which a small letter or a number goes on with the sentence; all with a period inside are."""


def words(text: str) -> Bounds:
    """Its words: what white space separates, without the punctuation at either end.

    A run of punctuation at an end is a word of its own, but for an apostrophe in front of a letter: `n't`, `'s`.
    Characters of scripts without spaces (`lengths`) are words one by one.
    """
    return _bounds(match.span() for match in _WORD.finditer(text))


def sentences(text: str) -> Bounds:
    """Its sentences, without white space at either end; every other character is in exactly one.

    A sentence ends at the end of a line (`<br>` is one), and at . ! ? … and their counterparts in other scripts, with
    what closes behind them, where white space follows. Abbreviations, initials and numbers of lists are no ends; nor is
    what goes on with a comma or, after … or a closing quotation mark, with a small letter. Text that is all in small
    letters, and text in which spaces separate the marks, is read by the same rules. What is punctuation alone belongs
    to the sentence before it.
    """
    result: list[tuple[int, int]] = []
    pending: int | None = None  # where a beginning without content starts
    for line in _LINE.finditer(text):
        start, stop = line.span()
        ends = [match.end() for match in _END.finditer(text, start, stop) if _is_end(text, match, start, stop)]
        for end in [*ends, stop]:
            piece = text[start:end]
            bare = piece.strip()
            if bare:
                begin = start + len(piece) - len(piece.lstrip())
                last = begin + len(bare)
                if next(_content(bare), None):
                    result.append((begin if pending is None else pending, last))
                    pending = None
                elif result:
                    result[-1] = (result[-1][0], last)
                elif pending is None:
                    pending = begin
            start = end
    if pending is not None:
        result.append((pending, len(text.rstrip())))
    return _bounds(result)


UNITS: Final[Mapping[Unit, Callable[[str], Bounds]]] = {"token": words, "sentence": sentences}


def whole_sentences(examples: Iterable[Example]) -> float | None:
    """The share of all evidence that is one sentence or several neighbouring ones; None where there is no evidence.

    White space and punctuation at either end are not compared.
    """
    whole = count = 0
    for example in examples:
        if example.target is None or not example.target.spans:
            continue
        runs = _bounds(_content(example.text))
        spans = _narrowed(np.array([span[:2] for span in example.target.spans], dtype=np.int64), runs)
        units = _narrowed(sentences(example.text), runs)
        whole += int((np.isin(spans[:, 0], units[:, 0]) & np.isin(spans[:, 1], units[:, 1])).sum())
        count += len(spans)
    return whole / count if count else None


def usual_neighbours(examples: Iterable[Example]) -> int:
    """Words on each side that are of the same evidence as a word, as a rule: so many that the run is no longer than
    half of the spans, up to 4; 0 where there is no evidence."""
    lengths = [
        len(words(example.text[start:end]))
        for example in examples
        if example.target is not None
        for start, end, _ in example.target.spans
    ]
    return min(_MOST_NEIGHBOURS, max(0, (int(np.median(lengths)) - 1) // 2)) if lengths else 0


def chosen_unit(examples: Iterable[Example]) -> Unit:
    """What evidence is decided of: sentences where nearly all evidence is whole sentences, or there is none."""
    share = whole_sentences(examples)
    return "sentence" if share is None or share >= WHOLE else "token"


def _bounds(pairs: Iterable[tuple[int, int]]) -> Bounds:
    return np.array(list(pairs), dtype=np.int64).reshape(-1, 2)


def _content(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _CONTENT.finditer(text) if match[1])


def _is_end(text: str, match: re.Match[str], start: int, stop: int) -> bool:
    """Whether a sentence of the line [start, stop) ends with this match of `_END`."""
    end, marks, closed = match.end(), match["marks"], match["closed"]
    if end == stop or text[end - 1] == ">":
        return True
    if match["attached"]:
        return not (text[end] in ",;:、，；：" or (match["attached"][-1] == "．" and text[end].isdigit()))
    if UNSPACED.match(text, end):
        return "." not in marks
    left = text[max(start, match.start() - 2) : match.start()]
    if not text[end].isspace() and not (
        text[end].isupper()
        and _SEPARATE.match(text, end, stop)
        and (closed or left[-1:] in {")", "]", '"', "”"} or (left.isalpha() and (left.islower() or marks != ".")))
    ):
        return False  # the space may be missing between two words, as in `end.Then`, but not within a name
    following = _NEXT.search(text, end, stop)
    if following is None:
        return True
    goes_on = following[0].islower()
    if following[0] in ",;:" or (goes_on and (closed.strip() or marks.count(".") > 1 or "…" in marks)):
        return False
    before = _BEFORE.search(text, max(start, match.start() - 16), match.start())
    if marks != "." or not before:
        return True
    word = before["word"]
    name = word.lower()
    is_spaced = before.end() > before.end("word")
    is_first = before.start() - start < 8 and not text[start : before.start()].strip()
    if is_first and not is_spaced and (word.isdigit() or len(word) == 1):
        return False  # the number of a list
    if closed:
        return True
    if len(word) == 1 and word not in "Iia" and (word.isupper() or (is_spaced and word.islower())):
        return False  # an initial
    if _NEVER_LAST.fullmatch(name) and not word.isupper():
        return False
    if _BEFORE_NUMBER.fullmatch(name):
        return not following[0].isdigit()
    return not (_MAYBE_LAST.fullmatch(name) and (goes_on or following[0].isdigit()))


def _narrowed(bounds: Bounds, runs: Bounds) -> Bounds:
    """The bounds without what is at either end outside the runs; both ascending. An empty one begins where it ends."""
    begins, ends = bounds[:, 0], bounds[:, 1]
    if not len(runs):
        return np.stack([ends, ends], axis=1)
    after = np.minimum(np.searchsorted(runs[:, 1], begins, side="right"), len(runs) - 1)
    before = np.maximum(np.searchsorted(runs[:, 0], ends, side="left") - 1, 0)
    return np.stack([np.maximum(begins, runs[after, 0]), np.minimum(ends, runs[before, 1])], axis=1)
