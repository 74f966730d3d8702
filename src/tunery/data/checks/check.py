"""Looks at the splits before a model does, and says what is wrong with them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from tunery.data.checks.duplicates import find_duplicates, is_numbered, percent, rows
from tunery.data.examples import Split, Splits
from tunery.data.lengths import length_of
from tunery.data.offsets import are_offsets
from tunery.data.reading.cells import is_score, same_but_for_writing
from tunery.errors import DataError, enumerated
from tunery.schema.config.data import Allowance
from tunery.schema.results.finding import Finding

Lengths = Mapping[str, npt.NDArray[Any]]
LEVELS: Final = ("fatal", "warning", "info")
ALLOWABLE: Final[tuple[str, ...]] = get_args(Allowance)
"""Fatal findings that a user may accept."""
NAMED = 5
"""Labels or rows that a message names before it says how many more there are."""
SMALL = 30
"""A split with fewer rows gives scores that mean little."""
TRUNCATED = 0.1
"""Share of cut rows from which cutting is a warning."""
SOME_UNKNOWN, MOST_UNKNOWN = 0.05, 0.3
"""Shares of unknown tokens above which they are a warning, and fatal."""
MOST_ALIKE = 0.5
"""Share of rows that may have the tokens of another text."""
ORDERED = 0.1
"""Label changes from row to row, against those of shuffled rows, below which a split counts as ordered by label."""


@dataclass(frozen=True)
class Subject:
    """What is looked at; see `inspect`."""

    splits: Splits
    labels: Collection[str]
    lengths: Lengths
    truncated: Mapping[str, int]
    max_length: int | None
    unknown: Mapping[str, float]
    alike: Mapping[str, int]


Check = Callable[[Subject], Iterator[Finding]]


def inspect(
    splits: Splits,
    checks: Iterable[Check],
    *,
    allow: Collection[str] = (),
    labels: Collection[str] = (),
    lengths: Lengths | None = None,
    truncated: Mapping[str, int] | None = None,
    max_length: int | None = None,
    unknown: Mapping[str, float] | None = None,
    alike: Mapping[str, int] | None = None,
) -> list[Finding]:
    """Everything worth saying about the data: fatal findings first, then warnings, then information.

    Args:
        checks: what to look for (`Task.checks`).
        allow: codes that are accepted on purpose (`data.allow`); they become warnings.
        labels: the model's labels, where they are not those of the training rows.
        lengths: tokens per row by split name, special tokens included; after cutting where `truncated` is given.
        truncated: rows that were cut, by split name; without it, they are those with more than `max_length` tokens.
        max_length: tokens after which a row is cut.
        unknown: share of the tokens that the vocabulary lacks, by split name.
        alike: rows with the tokens of an earlier row whose text is another, by split name.
    """
    subject = Subject(splits, labels, lengths or {}, truncated or {}, max_length, unknown or {}, alike or {})
    findings = [
        finding.model_copy(update={"level": "warning", "message": f"{finding.message} (accepted by `data.allow`)"})
        if finding.level == "fatal" and finding.code in allow and finding.code in ALLOWABLE
        else finding
        for check in checks
        for finding in check(subject)
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def refuse_fatal(findings: Iterable[Finding], *, flag: str | None = None) -> None:
    """Stop where the data cannot give an honest result.

    Args:
        flag: of the command line, that accepts findings; None: the config does.

    Raises:
        DataError: with every fatal finding, and how to accept those that may be accepted.
    """
    fatal = [finding for finding in findings if finding.level == "fatal"]
    if not fatal:
        return
    lines = [line for f in fatal for line in (f"  {f.code}: {f.message}", *(f"    {e}" for e in f.examples))]
    codes = [code for code in ALLOWABLE if any(f.code == code for f in fatal)]
    accepting = f"pass {flag} {','.join(codes)}" if flag else f"write `data.allow: [{', '.join(codes)}]`"
    way_out = f"\nTo accept {' and '.join(codes)} on purpose, {accepting}" if codes else ""
    raise DataError(f"the data cannot give an honest result ({len(fatal)} finding(s)):\n" + "\n".join(lines) + way_out)


def _unknown_tokens(subject: Subject) -> Iterator[Finding]:
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


def _same_tokens(subject: Subject) -> Iterator[Finding]:
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


def _duplicates(subject: Subject) -> Iterator[Finding]:
    yield from find_duplicates(subject.splits)


def _equal_rows(subject: Subject) -> Iterator[Finding]:
    yield from find_duplicates(subject.splits, most_words=0)


def _offsets(subject: Subject) -> Iterator[Finding]:
    train = subject.splits.train
    if are_offsets((example.labels, len(example.text)) for example in train.examples):
        yield Finding(
            level="fatal",
            code="offset_labels",
            split="train",
            message="labels are names, but these are runs of whole numbers inside the length of their texts: numbers "
            "of characters (evidence), which tunery does not learn yet. Name a column with labels of whole texts",
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
            message=f"labels are names, but these are numbers with fractions, such as {value}: a score, which is for "
            "regression, and tunery does not learn that yet. As classes they have no order. Name a column with "
            "classes, or write low, middle and high in place of the numbers",
        )


def _empty_splits(subject: Subject) -> Iterator[Finding]:
    for split in subject.splits:
        if not split.examples:
            message = f"every split needs rows, but {split.name} ({split.source}) has none; name another file"
            yield Finding(level="fatal", code="empty_split", split=split.name, count=0, message=message)


def _empty_texts(subject: Subject) -> Iterator[Finding]:
    for split in subject.splits:
        bare = [row for row, example in enumerate(split.examples, start=1) if not example.text.strip()]
        if not bare:
            continue
        every = len(bare) == len(split.examples)
        numbers = f" ({'row' if len(bare) == 1 else 'rows'} {enumerated([*map(str, bare)], NAMED)})"
        remedy = "is `data.text` the right column?" if every else "Remove them: they teach only how frequent labels are"
        yield Finding(
            level="fatal" if every else "warning",
            code="empty_texts",
            split=split.name,
            count=len(bare),
            message=f"every row needs a text, but {rows(len(bare))} of {split.name} "
            f"({percent(len(bare), len(split.examples))}) {'is' if len(bare) == 1 else 'are'} empty or blank"
            f"{numbers if is_numbered(split, subject.splits) else ''}. {remedy}",
        )


def _single_class(subject: Subject) -> Iterator[Finding]:
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


def _unseen_labels(subject: Subject) -> Iterator[Finding]:
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


def _similar_labels(subject: Subject) -> Iterator[Finding]:
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


def _labels_without_rows(subject: Subject) -> Iterator[Finding]:
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


def _missing_classes(subject: Subject) -> Iterator[Finding]:
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


def _rare_classes(subject: Subject) -> Iterator[Finding]:
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


def _small_splits(subject: Subject) -> Iterator[Finding]:
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


def _label_order(subject: Subject) -> Iterator[Finding]:
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


def _balance(subject: Subject) -> Iterator[Finding]:
    counts = counts_of(subject.splits.train).most_common()
    if len(counts) < 2:
        return
    (most, largest), (least, smallest) = counts[0], counts[-1]
    bare = sum(not example.labels for example in subject.splits.train.examples)
    without = f"; {rows(bare)} ({percent(bare, len(subject.splits.train.examples))}) have no label" if bare else ""
    given, named = len(counts), len(subject.labels)
    labels = f"{given:,} of {named:,} labels with rows" if named > given else f"{given:,} classes"
    advice = "; judge by macro averages rather than accuracy" if largest >= 3 * smallest else ""
    yield Finding(
        level="info",
        code="balance",
        split="train",
        count=len(counts),
        message=f"{labels} in train, largest to smallest {largest / smallest:.1f} : 1 "
        f"({most!r} {largest:,}, {least!r} {smallest:,}){without}{advice}",
    )


def _tokens(subject: Subject) -> Iterator[Finding]:
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


def _truncation(subject: Subject) -> Iterator[Finding]:
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
    texts = [e for split in subject.splits if split.name in subject.lengths for e in split.examples]
    words = np.array([sum(length_of(f"{e.text} {e.text_pair or ''}")) + 1 for e in texts])
    whole = tokens < limit
    if tokens.max() > limit or not whole.any():
        estimate = np.percentile(tokens, 95)
    else:
        estimate = np.percentile(words, 95) * tokens[whole].sum() / words[whole].sum()
    enough = 8 * ceil(estimate / 8)
    return enough if enough > limit else None


def counts_of(split: Split) -> Counter[str]:
    """Rows per label."""
    return Counter(label for example in split.examples for label in example.labels)


ROW_CHECKS: Final[tuple[Check, ...]] = (
    _empty_splits,
    _empty_texts,
    _unknown_tokens,
    _same_tokens,
    _duplicates,
    _small_splits,
    _truncation,
    _tokens,
)
"""For rows of any task."""

LABEL_CHECKS: Final[tuple[Check, ...]] = (
    _empty_splits,
    _offsets,
    _scores,
    _single_class,
    _unseen_labels,
    _labels_without_rows,
    _similar_labels,
    _empty_texts,
    _unknown_tokens,
    _same_tokens,
    _duplicates,
    _missing_classes,
    _rare_classes,
    _small_splits,
    _truncation,
    _label_order,
    _balance,
    _tokens,
)
"""For rows with labels."""

QUICK_CHECKS: Final[tuple[Check, ...]] = (
    _empty_splits,
    _offsets,
    _scores,
    _single_class,
    _unseen_labels,
    _empty_texts,
    _equal_rows,
)
"""Those that can be fatal and need no tokens."""
