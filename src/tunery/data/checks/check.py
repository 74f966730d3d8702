"""Looks at the splits before a model does, and says what is wrong with them.

The checks themselves are in `row_checks.py`, for rows of any task, in `label_checks.py`, for rows with labels, in
`evidence_checks.py`, for rows with labels and their evidence, and in `document_checks.py`, for texts without labels.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy.typing as npt

from tunery.data.examples import Example, Split, Splits
from tunery.errors import DataError
from tunery.schema.config.data import Allowance
from tunery.schema.results.finding import Finding

if TYPE_CHECKING:  # transformers takes seconds
    from tunery.data.encode import TextFacts

LengthsBySplit = Mapping[str, npt.NDArray[Any]]
LEVELS: Final = ("fatal", "warning", "info")
ALLOWABLE: Final[tuple[str, ...]] = get_args(Allowance)
"""Fatal findings that a user may accept."""
NAMED: Final = 5
"""Labels or rows that a message names before it says how many more there are."""
SMALL: Final = 30
"""A split with fewer rows gives scores that mean little."""


@dataclass(frozen=True)
class Subject:
    """What is looked at; see `inspect`."""

    splits: Splits
    labels: Collection[str]
    lengths: LengthsBySplit
    truncated: Mapping[str, int]
    max_length: int | None
    unknown: Mapping[str, float]
    alike: Mapping[str, int]
    sample: Mapping[str, Sequence[Example]]
    reach: LengthsBySplit
    texts: "Mapping[str, TextFacts]"


Check = Callable[[Subject], Iterator[Finding]]


def inspect(
    splits: Splits,
    checks: Iterable[Check],
    *,
    allow: Collection[str] = (),
    labels: Collection[str] = (),
    lengths: LengthsBySplit | None = None,
    truncated: Mapping[str, int] | None = None,
    max_length: int | None = None,
    unknown: Mapping[str, float] | None = None,
    alike: Mapping[str, int] | None = None,
    sample: Mapping[str, Sequence[Example]] | None = None,
    reach: LengthsBySplit | None = None,
    texts: "Mapping[str, TextFacts] | None" = None,
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
        sample: rows that `lengths`, `truncated` and `reach` are of, by split name; without it, all of them.
        reach: characters of each row's text that its first window reads, by split name, where texts have windows.
        texts: what is known of the tokens of texts that language models learn from, by split name.
    """
    subject = Subject(
        splits,
        labels,
        lengths or {},
        truncated or {},
        max_length,
        unknown or {},
        alike or {},
        sample or {},
        reach or {},
        texts or {},
    )
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


def counts_of(split: Split) -> Counter[str]:
    """Rows per label."""
    return Counter(label for example in split.examples for label in example.labels)
