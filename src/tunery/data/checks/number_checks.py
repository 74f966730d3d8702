"""What is looked for in rows with numbers, and with levels in an order: what cannot be learned, what is far off, and
numbers that are levels."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np

from tunery.data.checks.check import NAMED, Check, Subject, counts_of
from tunery.data.checks.duplicates import SHOWN, percent, quote, rows
from tunery.data.checks.label_checks import (
    balance,
    label_order,
    labels_without_rows,
    missing_classes,
    rare_classes,
    unseen_labels,
)
from tunery.data.checks.row_checks import (
    duplicates,
    empty_splits,
    empty_texts,
    equal_rows,
    same_tokens,
    small_splits,
    token_counts,
    truncation,
    unknown_tokens,
)
from tunery.data.examples import Split
from tunery.data.metrics import Floats
from tunery.errors import enumerated
from tunery.schema.results.finding import Finding

FEW_LEVELS: Final = 10
"""Different numbers up to which they are probably levels."""
MOST_LEVELS: Final = 100
FAR_OUT: Final = 5.0
"""Interquartile ranges from the median beyond which a number counts as far off; 1 row of 10^11 from a normal
distribution is."""
CONFLICT: Final = 0.05
"""Of the variance of a split, between equal texts, before that is a warning."""
BEYOND: Final = 0.1
"""Of the range of the training numbers, by which others lie outside of it before that is a warning."""


def constant_numbers(subject: Subject) -> Iterator[Finding]:
    """A split whose rows all have the same number."""
    for split in subject.splits:
        numbers = _numbers(split)
        if len(numbers) and numbers.min() == numbers.max():
            effect = "there is nothing to learn" if split is subject.splits.train else "no correlation is defined"
            yield Finding(
                level="fatal",
                code="constant_target",
                split=split.name,
                count=len(numbers),
                message=f"numbers should differ, but every row of {split.name} has {numbers[0]:g}: {effect}. Is "
                "`data.label` the right column? Else give the split rows with other numbers",
            )


def too_many_levels(subject: Subject) -> Iterator[Finding]:
    """Numbers that are no levels, although the config says so."""
    counts = counts_of(subject.splits.train)
    if len(counts) > MOST_LEVELS:
        yield Finding(
            level="fatal",
            code="too_many_levels",
            split="train",
            count=len(counts),
            message=f"levels are few numbers in an order, at most {MOST_LEVELS}, but train has {len(counts):,} "
            "different ones: write task.ordinal=false, which learns any number",
        )


def few_numbers(subject: Subject) -> Iterator[Finding]:
    """Few different numbers, which may be levels."""
    different = np.unique(_numbers(subject.splits.train))
    if 2 < len(different) <= FEW_LEVELS and len(subject.splits.train.examples) >= 5 * len(different):
        shown = enumerated([f"{number:g}" for number in different], FEW_LEVELS)
        yield Finding(
            level="info",
            code="few_numbers",
            split="train",
            count=len(different),
            message=f"train has {len(different)} different numbers ({shown}): where these are the only answers that "
            "there are, such as stars, task.ordinal=true learns how probable each is and answers one of them",
        )


def outliers(subject: Subject) -> Iterator[Finding]:
    """Training rows whose number is far from all others."""
    numbers = _numbers(subject.splits.train)
    if not len(numbers):
        return
    low, median, high = np.percentile(numbers, [25, 50, 75])
    far = numbers[np.abs(numbers - median) > FAR_OUT * (high - low)] if high > low else numbers[:0]
    if len(far):
        shown = enumerated([f"{number:g}" for number in sorted(far, key=lambda n: -abs(n - median))], NAMED)
        yield Finding(
            level="warning",
            code="outliers",
            split="train",
            count=len(far),
            message=f"{rows(len(far))} of train ({percent(len(far), len(numbers))}) have a number that is far from the "
            f"others, whose middle half is from {low:g} to {high:g}: {shown}. With squared errors these rows decide "
            "much of what is learned: correct them, write the logarithm in their place, or take task.loss=huber",
        )


def outside_range(subject: Subject) -> Iterator[Finding]:
    """Numbers of validation and test that are beyond all of train."""
    taught = _numbers(subject.splits.train)
    if not len(taught):
        return
    low, high = taught.min(), taught.max()
    for split in (subject.splits.validation, subject.splits.test):
        numbers = _numbers(split)
        outside = numbers[(numbers < low) | (numbers > high)]
        if len(outside):
            beyond = max(low - outside.min(), outside.max() - high)
            yield Finding(
                level="warning" if beyond > BEYOND * (high - low) else "info",
                code="outside_range",
                split=split.name,
                count=len(outside),
                message=f"{rows(len(outside))} of {split.name} ({percent(len(outside), len(numbers))}) have a number "
                f"outside those of train, {low:g} to {high:g}, up to {outside.min():g} and {outside.max():g}: a model "
                "seldom answers what it has never seen. Add such rows to train",
            )


def conflicting_numbers(subject: Subject) -> Iterator[Finding]:
    """Equal texts with other numbers: how much of the spread no model can explain."""
    for split in subject.splits:
        together: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        for example in split.examples:
            if example.number is not None and example.text.strip():
                together[example.text, example.text_pair].append(example.number)
        several = {text: numbers for text, numbers in together.items() if len(set(numbers)) > 1}
        if not several:
            continue
        count, spread = sum(map(len, several.values())), _numbers(split).var()
        within = sum(len(numbers) * float(np.var(numbers)) for numbers in several.values()) / len(split.examples)
        widest = sorted(several, key=lambda text: min(several[text]) - max(several[text]))[:SHOWN]
        yield Finding(
            level="warning" if within > CONFLICT * spread else "info",
            code="conflicting_numbers",
            split=split.name,
            count=count,
            message=f"the same text should have the same number, but {rows(count)} of {split.name} "
            f"({percent(count, len(split.examples))}) share a text with rows that have others: "
            f"{percent(round(1000 * within / spread), 1000)} of the variance is between equal texts, and no model "
            "explains it. Write their mean where they are measurements; look for a second text column "
            "(data.text_pair) where many do",
            examples=tuple(
                f"{quote(text[0])} is {' and '.join(f'{number:g}' for number in sorted(set(several[text]))[:NAMED])}"
                for text in widest
            ),
        )


def number_spread(subject: Subject) -> Iterator[Finding]:
    """Where the numbers of train lie."""
    numbers = _numbers(subject.splits.train)
    if len(numbers):
        yield Finding(
            level="info",
            code="numbers",
            split="train",
            count=len(np.unique(numbers)),
            message=f"numbers in train are from {numbers.min():g} to {numbers.max():g}, mean {numbers.mean():.4g}, "
            f"standard deviation {numbers.std():.4g}, {len(np.unique(numbers)):,} different ones; the mean for every "
            f"row alone has a mean squared error of {numbers.var():.4g}",
        )


def _numbers(split: Split) -> Floats:
    return np.array([example.number for example in split.examples if example.number is not None], dtype=np.float64)


NUMBER_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    constant_numbers,
    empty_texts,
    unknown_tokens,
    same_tokens,
    duplicates,
    outliers,
    outside_range,
    conflicting_numbers,
    few_numbers,
    small_splits,
    truncation,
    number_spread,
    token_counts,
)
"""For rows with numbers."""

LEVEL_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    constant_numbers,
    too_many_levels,
    unseen_labels,
    labels_without_rows,
    empty_texts,
    unknown_tokens,
    same_tokens,
    duplicates,
    missing_classes,
    rare_classes,
    small_splits,
    truncation,
    label_order,
    balance,
    token_counts,
)
"""For rows with levels."""

QUICK_NUMBER_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    constant_numbers,
    too_many_levels,
    unseen_labels,
    empty_texts,
    equal_rows,
)
"""Of both, those that can be fatal and need no tokens."""
