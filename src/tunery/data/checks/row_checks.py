"""What is looked for in rows of any task: missing or repeated rows, texts that a model cannot read or that are cut."""

from collections.abc import Iterator
from math import ceil
from typing import Final

import numpy as np

from tunery.data.checks.check import NAMED, SMALL, Check, Subject
from tunery.data.checks.duplicates import find_duplicates, is_numbered, percent, rows
from tunery.data.lengths import length_of
from tunery.errors import enumerated
from tunery.schema.results.finding import Finding

TRUNCATED: Final = 0.1
"""Share of cut rows from which cutting is a warning."""
SOME_UNKNOWN, MOST_UNKNOWN = 0.05, 0.3
"""Shares of unknown tokens above which they are a warning, and fatal."""
MOST_ALIKE: Final = 0.5
"""Share of rows that may have the tokens of another text."""


def empty_splits(subject: Subject) -> Iterator[Finding]:
    """A split without rows; with cross-validation test need not have any."""
    for split in subject.splits:
        if not split.examples and not (split.name == "test" and subject.splits.pool):
            message = f"every split needs rows, but {split.name} ({split.source}) has none; name another file"
            yield Finding(level="fatal", code="empty_split", split=split.name, count=0, message=message)


def empty_texts(
    subject: Subject, *, some: str = "Remove them: they teach only how frequent labels are"
) -> Iterator[Finding]:
    """Rows whose text is empty or blank.

    Args:
        some: what is said where not all are.
    """
    for split in subject.splits:
        bare = [row for row, example in enumerate(split.examples, start=1) if not example.text.strip()]
        if not bare:
            continue
        every = len(bare) == len(split.examples)
        numbers = f" ({'row' if len(bare) == 1 else 'rows'} {enumerated([*map(str, bare)], NAMED)})"
        remedy = "is `data.text` the right column?" if every else some
        yield Finding(
            level="fatal" if every else "warning",
            code="empty_texts",
            split=split.name,
            count=len(bare),
            message=f"every row needs a text, but {rows(len(bare))} of {split.name} "
            f"({percent(len(bare), len(split.examples))}) {'is' if len(bare) == 1 else 'are'} empty or blank"
            f"{numbers if is_numbered(split, subject.splits) else ''}. {remedy}",
        )


def unknown_tokens(subject: Subject) -> Iterator[Finding]:
    """Texts with many tokens that the vocabulary lacks."""
    worst = max(subject.unknown.values(), default=0.0)
    if worst > SOME_UNKNOWN:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in subject.unknown.items())
        yield Finding(
            level="fatal" if worst > MOST_UNKNOWN else "warning",
            code="unknown_tokens",
            message=f"the model's vocabulary should hold the texts, but many tokens are unknown to it ({shares}): they "
            "all look alike to the model. Take a model for the language of the texts; model.name=xlm-roberta-base "
            "reads 100 languages",
        )


def same_tokens(subject: Subject) -> Iterator[Finding]:
    """Different texts that the model cannot tell apart, because they have the same tokens."""
    for split in subject.splits:
        count = subject.alike.get(split.name, 0)
        if count > len(split.examples) * MOST_ALIKE:
            yield Finding(
                level="fatal",
                code="same_tokens",
                split=split.name,
                count=count,
                message=f"different texts should have different tokens, but {rows(count)} of {split.name} "
                f"({percent(count, len(split.examples))}) have those of another text: the model sees no difference. "
                "Take a model that knows the language of the texts, or raise `model.max_length` if they begin alike",
            )


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Rows that are there more than once, equal or nearly so."""
    yield from find_duplicates(subject.splits)


def equal_rows(subject: Subject) -> Iterator[Finding]:
    """Rows that are there more than once, without the search for near-duplicates."""
    yield from find_duplicates(subject.splits, most_words=0)


def small_splits(subject: Subject) -> Iterator[Finding]:
    """A validation or test split whose scores mean little."""
    for split in (subject.splits.validation, subject.splits.test):
        if 0 < len(split.examples) < SMALL:
            use = "the best epoch is chosen" if split is subject.splits.validation else "the result is reported"
            yield Finding(
                level="warning",
                code="small_split",
                split=split.name,
                count=len(split.examples),
                message=f"{split.name} should have at least {SMALL} rows, but has {len(split.examples)}: one row moves "
                f"accuracy by {percent(1, len(split.examples))}, and {use} by it. Give it more rows",
            )


def truncation(subject: Subject) -> Iterator[Finding]:
    """Rows that lose their end."""
    limit = subject.max_length
    if limit is None:
        return
    cut = {name: subject.truncated.get(name, int((lengths > limit).sum())) for name, lengths in subject.lengths.items()}
    if not any(cut.values()):
        return
    worst = max(count / len(subject.lengths[name]) for name, count in cut.items() if count)
    enough = _enough(subject, limit)
    remedy = f". About {enough:,} tokens would hold 95 % of the rows, if the model reads that many" if enough else ""
    shares = ", ".join(f"{name} {percent(n, len(subject.lengths[name]))}" for name, n in cut.items() if n)
    yield Finding(
        level="warning" if worst > TRUNCATED else "info",
        code="truncation",
        count=sum(cut.values()),
        message=f"rows longer than `model.max_length: {limit}` tokens lose their end: {shares}{remedy}",
    )


def _enough(subject: Subject, limit: int) -> int | None:
    """Tokens that would hold 95 % of the rows: from words, by the tokens per word of rows that were not cut.

    A character of a script without spaces counts as a word.
    """
    tokens = np.concatenate([subject.lengths[split.name] for split in subject.splits if split.name in subject.lengths])
    counted = [split for split in subject.splits if split.name in subject.lengths]
    examples = [example for split in counted for example in subject.sample.get(split.name, split.examples)]
    words = np.array([sum(length_of(f"{e.text} {e.text_pair or ''}")) + 1 for e in examples])
    whole = tokens < limit
    if tokens.max() > limit or not whole.any():
        estimate = np.percentile(tokens, 95)
    else:
        estimate = np.percentile(words, 95) * tokens[whole].sum() / words[whole].sum()
    enough = 8 * ceil(estimate / 8)
    return enough if enough > limit else None


def token_counts(subject: Subject) -> Iterator[Finding]:
    """How many tokens rows have."""
    spread = {
        name: " / ".join(f"{tokens:,.0f}" for tokens in (*np.percentile(counts, [50, 95]), counts.max()))
        for name, counts in subject.lengths.items()
        if len(counts)
    }
    if spread:
        when = " after cutting" if any(subject.truncated.values()) else ""
        numbers = ", ".join(f"{name} {tokens}" for name, tokens in spread.items())
        message = f"tokens per row{when} (median / 95 % / longest): {numbers}"
        yield Finding(level="info", code="tokens", message=message)


ROW_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    empty_texts,
    unknown_tokens,
    same_tokens,
    duplicates,
    small_splits,
    truncation,
    token_counts,
)
"""For rows of any task."""
