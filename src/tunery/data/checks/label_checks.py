"""What is looked for in rows with labels: what is no label, classes that are missing, rare or written in two ways."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from tunery.data.checks.check import NAMED, SMALL, Check, Subject, counts_of
from tunery.data.checks.duplicates import is_numbered, percent, rows
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
from tunery.data.offsets import are_offsets
from tunery.data.reading.cells import is_score, same_but_for_writing
from tunery.errors import enumerated
from tunery.schema.results.finding import Finding

LOPSIDED: Final = 0.7
"""Share of the rows from which one label for all of them scores an accuracy that looks like something."""
ORDERED: Final = 0.1
"""Label changes from row to row, against those of shuffled rows, below which a split counts as ordered by label."""


def _offsets(subject: Subject) -> Iterator[Finding]:
    train = subject.splits.train
    if are_offsets((example.labels, len(example.text)) for example in train.examples):
        yield Finding(
            level="fatal",
            code="offset_labels",
            split="train",
            message="labels are names, but these are runs of whole numbers inside the length of their texts: numbers "
            "of characters. They are evidence: `tunery init FILE` writes task.kind=criteria_evidence and data.evidence",
        )


def _scores(subject: Subject) -> Iterator[Finding]:
    names = counts_of(subject.splits.train)
    if names and is_score(names):
        value = next(name for name in sorted(names) if not float(name).is_integer())
        yield Finding(
            level="fatal",
            code="score_labels",
            split="train",
            count=len(names),
            message=f"labels are names, but these are numbers with fractions, such as {value}: a score. As classes "
            "they have no order. Write task.kind=regression, or name a column with classes",
        )


def single_class(subject: Subject) -> Iterator[Finding]:
    """A split whose rows all have the same labels."""
    one_file = [example for one in subject.splits if not is_numbered(one, subject.splits) for example in one.examples]
    for split in subject.splits:
        answers = {frozenset(example.labels) for example in split.examples}
        if len(answers) != 1:
            continue
        answer = "+".join(sorted(next(iter(answers)))) or "no label"
        if is_numbered(split, subject.splits):
            cause = "Usual cause: the first N rows of a file that is sorted by label. Take rows at random instead"
        elif {frozenset(example.labels) for example in one_file} == answers:
            cause = (
                f"So are all {rows(len(one_file))} of the file that it was split off from: name the right column of "
                "labels, or add rows of other classes"
            )
        else:
            cause = (
                f"It was split off from {rows(len(one_file))}, which are too few for it: name a file with rows of "
                f"every class as `data.{split.name}`, or give more rows"
            )
        yield Finding(
            level="fatal",
            code="single_class",
            split=split.name,
            count=len(split.examples),
            message=f"a split needs at least two classes, but every row of {split.name} is {answer!r}: any model that "
            f"always answers this scores 100 %. {cause}",
        )


def unseen_labels(subject: Subject) -> Iterator[Finding]:
    """Labels of validation and test that no training row has."""
    taught = counts_of(subject.splits.train)
    for split in (subject.splits.validation, subject.splits.test):
        unseen = {label: count for label, count in counts_of(split).items() if label not in taught}
        if unseen and taught:
            yield Finding(
                level="fatal",
                code="unseen_labels",
                split=split.name,
                count=sum(unseen.values()),
                message=f"every label must occur in train, but {enumerated(sorted(map(repr, unseen)), NAMED)} "
                f"{'is' if len(unseen) == 1 else 'are'} only in {split.name} ({rows(sum(unseen.values()))}), which no "
                "model can get right. Correct the spelling, add such rows to train, or remove these",
            )


def labels_without_rows(subject: Subject) -> Iterator[Finding]:
    """Labels of the model that no training row has."""
    taught = counts_of(subject.splits.train)
    if bare := [label for label in subject.labels if label not in taught]:
        yield Finding(
            level="warning",
            code="labels_without_rows",
            split="train",
            count=len(bare),
            message="every label needs rows to learn from, but no row of train has "
            f"{enumerated([*map(repr, bare)], NAMED)}. The model answers about them all the same, and learns only "
            "never to give them: add such rows, or take them out of `data.labels`",
        )


def similar_labels(subject: Subject) -> Iterator[Finding]:
    """Labels that differ only in the way in which they are written."""
    counts = sum((counts_of(split) for split in subject.splits), Counter[str]())
    alike = [names for names in same_but_for_writing(counts) if len(names) > 1]
    if alike:
        groups = [" and ".join(f"{name!r} ({rows(counts[name])})" for name in names) for names in alike]
        shown = enumerated(groups, NAMED, letters=200, separator="; ")
        yield Finding(
            level="warning",
            code="similar_labels",
            count=sum(len(names) for names in alike),
            message="one label should be written in one way, but these differ only by case, spaces, Unicode form or "
            f"the way a number is written: {shown}. The model takes them for different labels: write them alike, "
            "unless that is meant",
        )


def missing_classes(subject: Subject) -> Iterator[Finding]:
    """Labels of train that validation or test never have."""
    taught = counts_of(subject.splits.train)
    for split in (subject.splits.validation, subject.splits.test):
        present = counts_of(split)
        missing = sorted(label for label in taught if label not in present)
        if missing and present:
            yield Finding(
                level="warning",
                code="missing_classes",
                split=split.name,
                count=len(missing),
                message=f"every class of train should be measured, but {split.name} has no row of "
                f"{len(missing):,} of {len(taught):,} classes ({enumerated(missing, NAMED)}); its macro averages "
                f"say nothing about them. Add such rows to {split.name}",
            )


def rare_classes(subject: Subject) -> Iterator[Finding]:
    """Labels of a single training row."""
    rare = sorted(label for label, count in counts_of(subject.splits.train).items() if count < 2)
    if rare:
        yield Finding(
            level="warning",
            code="rare_classes",
            split="train",
            count=len(rare),
            message=f"a class needs at least 2 training rows, but {len(rare):,} "
            f"{'has' if len(rare) == 1 else 'have'} one ({enumerated(rare, NAMED)}). Merge, collect more, or drop them",
        )


def label_order(subject: Subject) -> Iterator[Finding]:
    """Training rows that are sorted by label."""
    answers = [frozenset(example.labels) for example in subject.splits.train.examples]
    counts = Counter(answers)
    blocks = 1 + sum(one != other for one, other in zip(answers, answers[1:], strict=False))
    shuffled = len(answers) * (1 - sum((count / len(answers)) ** 2 for count in counts.values())) if answers else 0
    if len(counts) > 1 and len(answers) >= SMALL and blocks - 1 < ORDERED * shuffled:
        yield Finding(
            level="warning",
            code="label_order",
            split="train",
            count=blocks,
            message=f"rows should be in no order, but train is sorted by label ({len(counts):,} labels in {blocks:,} "
            "blocks). tunery shuffles every epoch, so this run is safe; but never take the first N rows of this file",
        )


def balance(subject: Subject) -> Iterator[Finding]:
    """How often the most and the least frequent label occur in train."""
    counts = counts_of(subject.splits.train).most_common()
    if len(counts) < 2:
        return
    (most, largest), (least, smallest) = counts[0], counts[-1]
    bare = sum(not example.labels for example in subject.splits.train.examples)
    without = f"; {rows(bare)} ({percent(bare, len(subject.splits.train.examples))}) have no label" if bare else ""
    given, named = len(counts), len(subject.labels)
    labels = f"{given:,} of {named:,} labels with rows" if named > given else f"{given:,} classes"
    single = all(len(example.labels) == 1 for example in subject.splits.train.examples)
    one_label = accuracy_of_one_label(dict(counts)) if single else None
    advice = one_label or ("judge by macro averages rather than accuracy" if largest >= 3 * smallest else "")
    yield Finding(
        level="info",
        code="balance",
        split="train",
        count=len(counts),
        message=f"{labels} in train, largest to smallest {largest / smallest:.1f} : 1 "
        f"({most!r} {largest:,}, {least!r} {smallest:,}){without}{advice and '; '}{advice}",
    )


def accuracy_of_one_label(counts: Mapping[str, int]) -> str | None:
    """What the most frequent label for every row scores, where that looks like something.

    Args:
        counts: rows per label; each row has one.
    """
    label, most = max(counts.items(), key=lambda item: item[1])
    share = most / sum(counts.values())
    sentence = f"{label!r} for every row alone scores accuracy {share:.3f}: judge by macro averages"
    return sentence if share >= LOPSIDED else None


LABEL_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    _offsets,
    _scores,
    single_class,
    unseen_labels,
    labels_without_rows,
    similar_labels,
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
"""For rows with labels."""

QUICK_CHECKS: Final[tuple[Check, ...]] = (
    empty_splits,
    _offsets,
    _scores,
    single_class,
    unseen_labels,
    empty_texts,
    equal_rows,
)
"""Those that can be fatal and need no tokens."""
