"""The texts of continued pretraining: those of training rows, or of a corpus without what is scored later."""

from collections.abc import Iterable, Sequence
from typing import Final

from tunery.data.checks.document_checks import PARAGRAPH, passages
from tunery.data.checks.near_duplicates import Words, similar_keys
from tunery.data.examples import JOINT, Example, Split, Splits
from tunery.data.splits import digest_of_rows
from tunery.data.splitting import cut_off, split_off
from tunery.errors import DataError

HELD_OUT: Final = 0.05
"""Share of the texts by whose loss the best epoch is chosen."""


def texts_of_rows(examples: Iterable[Example]) -> list[Example]:
    """The texts of labelled rows, both of a pair, each once, without anything else but their group."""
    texts: dict[str, str | None] = {}
    for example in examples:
        for text in (example.text, example.text_pair):
            if text is not None and text.strip():
                texts.setdefault(text.replace(JOINT, "\n"), example.group)
    return [Example(text, group=group) for text, group in texts.items()]


def without_scored(corpus: Sequence[Example], scored: Iterable[Example]) -> tuple[list[Example], int]:
    """A corpus without what is nearly the same as a scored text, or a passage of one (`near_duplicates`), and how many
    texts, or paragraphs of long texts, that was."""
    words = Words()

    def keys(text: str) -> set[bytes]:
        return {words.key(Example(passage)) for passage in passages(text) or [text]}

    pieces = [[text.text] if passages(text.text) == [text.text] else PARAGRAPH.split(text.text) for text in corpus]
    of_pieces = [[keys(piece) for piece in text] for text in pieces]
    of_scored = {key for example in texts_of_rows(scored) for key in keys(example.text)}
    everything = of_scored.union(*(found for text in of_pieces for found in text))
    similar = similar_keys(sorted(everything))
    overlapping = {key for key in everything if not similar[key].isdisjoint(of_scored)}
    kept: list[Example] = []
    removed = 0
    for text, parts, found in zip(corpus, pieces, of_pieces, strict=True):
        rest = [part for part, each in zip(parts, found, strict=True) if each.isdisjoint(overlapping)]
        removed += len(parts) - len(rest)
        if len(rest) == len(parts):
            kept.append(text)
        elif any(part.strip() for part in rest):
            kept.append(Example("\n\n".join(rest), group=text.group))
    return kept, removed


def with_held_out(texts: Sequence[Example], *, source: str) -> Splits:
    """The texts with a twentieth of them as validation, whole texts where there are enough, and nothing as test.

    Raises:
        DataError: they are too few to hold anything out.
    """
    shares = {"validation": HELD_OUT}
    if len(texts) * HELD_OUT >= 1:
        rows = split_off(texts, shares, seed=0)
        parts = {name: [texts[row] for row in numbers] for name, numbers in rows.items()}
    else:
        parts = cut_off(texts, shares) if texts else {}
    if not parts.get("train") or not parts.get("validation"):
        characters = sum(len(text.text) for text in texts)
        raise DataError(
            f"continued pretraining needs texts of which a twentieth can be held out, but {source} has "
            f"{len(texts):,} with {characters:,} characters; give it more text, or remove the stage"
        )

    def split(name: str) -> Split:
        examples = tuple(parts.get(name, ()))
        return Split(name, examples, source, digest_of_rows(examples), is_split_off=name != "train")

    return Splits(train=split("train"), validation=split("validation"), test=split("test"))
