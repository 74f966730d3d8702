"""How long a text is, as far as can be told without a tokenizer: words, and characters where words have no spaces."""

import re
from typing import Final, NamedTuple

TOKENS_PER_WORD: Final = 1.3
"""English text in the usual subword vocabularies."""
TOKENS_PER_CHARACTER: Final = 1.0
"""Of a script without spaces: BERT's tokenizers cut Chinese into characters; others need fewer tokens."""
UNSPACED: Final = re.compile(
    "["
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "]"
)
"""Characters of scripts that are written without spaces between words."""


class Length(NamedTuple):
    """Of a text."""

    words: int
    """What spaces separate, where the script has them."""
    characters: int
    """Of scripts that have none."""

    @property
    def tokens(self) -> float:
        """An estimate."""
        return self.words * TOKENS_PER_WORD + self.characters * TOKENS_PER_CHARACTER

    def __str__(self) -> str:
        words = f"{self.words:,} word{'' if self.words == 1 else 's'}"
        if not self.characters:
            return words
        unspaced = f"{self.characters:,} character{'' if self.characters == 1 else 's'} of a script without spaces"
        return f"{words} and {unspaced}" if self.words else unspaced


def length_of(text: str) -> Length:
    """Count the words, and the characters that belong to none."""
    if text.isascii():
        return Length(len(text.split()), 0)
    rest, characters = UNSPACED.subn(" ", text)
    return Length(len(rest.split()), characters)
