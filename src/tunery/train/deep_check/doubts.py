"""Out-of-fold probabilities of training rows become rows to look at, and what is said of them.

Where they come from does not matter here: from a simple model (`simple_model.py`), or from the models of a
cross-validation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.checks.check import NAMED
from tunery.data.checks.duplicates import SHOWN, percent, quote, rows
from tunery.data.contradictions import contradictions
from tunery.data.examples import JOINT, Example
from tunery.data.label_doubts import Doubts, Floats, Ints, Labels, doubtful_labels, doubtful_numbers, informed_labels
from tunery.data.reading.cells import joined
from tunery.data.reading.write import rounded
from tunery.data.separability import Pair, indistinct_labels, says_nothing
from tunery.errors import enumerated
from tunery.schema.results.finding import Finding

DOUBTFUL_LABEL: Final = "label is doubtful"
DOUBTFUL_NUMBER: Final = "number is far from what others of such texts have"
SAYS_NOTHING: Final = "text says nothing about its label"
MANY: Final = 0.15
"""Share of doubtful rows above which it is said that the model may be wrong and not they."""


@dataclass(frozen=True)
class Doubt:
    """A training row to look at."""

    row: int
    """From 0."""
    reasons: tuple[str, ...]
    given: tuple[str, ...]
    """Its labels, or its number."""
    suggested: tuple[str, ...] | None = None
    """What they probably should be; None: nothing is suggested."""
    given_probability: float | None = None
    """Of the given label; where there are several, of what is given of the most doubtful one. None for numbers."""
    suggested_probability: float | None = None
    other: int | None = None
    """A row, from 0, whose text is nearly the same and whose labels are others."""

    def cells(self, example: Example, separator: str) -> dict[str, Any]:
        """As columns of a table; rows are counted from 0. `example`: the row."""
        pair = {} if example.text_pair is None else {"text_pair": example.text_pair}
        probabilities = (self.given_probability, self.suggested_probability)
        given_p, suggested_p = (None if p is None else rounded(p) for p in probabilities)
        return {
            "row": self.row,
            "id": example.id,
            "text": example.text.replace(JOINT, "\n"),
            **pair,
            "given": joined(self.given, separator=separator),
            "suggested": None if self.suggested is None else joined(self.suggested, separator=separator),
            "given_probability": given_p,
            "suggested_probability": suggested_p,
            "reason": "; ".join(self.reasons),
            "other_row": self.other,
        }


@dataclass(frozen=True)
class SaidBack:
    """What out-of-fold answers say of the rows."""

    doubts: tuple[Doubt, ...]
    """Rows with doubtful labels first, the most doubtful first; then those that contradict others, then those whose
    text says nothing, the least probable label first. A row stands here once."""
    findings: tuple[Finding, ...]


def label_doubts(
    examples: Sequence[Example], probabilities: Floats, labels: Labels, folds: Ints, names: Sequence[str]
) -> SaidBack:
    """What probabilities say of rows with labels, or with levels.

    Args:
        probabilities: (rows, labels), each row by a model that was not fitted to it.
        labels: int64 (rows,), or 0 and 1 (rows, labels).
        folds: the fold of each row, (rows,); -1 where there is no such model. Its probabilities are not read.
        names: of the labels.
    """
    opposed = contradictions(examples)
    findings = [*_unchecked(examples, folds), *_contradicting(examples, opposed)]
    given_p = _given_probability(probabilities, labels)
    doubts: dict[int, Doubt] = {}
    informed = informed_labels(probabilities, labels, folds)
    if len(informed):
        doubtful = doubtful_labels(probabilities, labels, folds)
        doubts = _by_row(doubtful, examples, labels, names)
        silent = says_nothing(probabilities, labels, folds)
        findings += [
            *_doubtful(examples, doubts, len(folds)),
            *_uninformed(labels, informed, names),
            *_indistinct(indistinct_labels(probabilities, labels, folds), names),
            *_silent(examples, silent),
        ]
    else:
        silent = np.zeros(0, dtype=np.int64)
        findings.append(
            Finding(
                level="warning",
                code="no_signal",
                split="train",
                message="models that were fitted to other rows should know more of a row than how often each label "
                "occurs, but they do not: nothing is said of labels. Give more rows, or look whether `data.text` and "
                "the labels belong together",
            )
        )

    def add(row: int, reason: str, other: int | None = None) -> None:
        before = doubts.get(row) or Doubt(row, (), tuple(examples[row].labels), None, given_p(row))
        doubts[row] = replace(before, reasons=(*before.reasons, reason), other=before.other if other is None else other)

    for row, other in sorted(opposed.items(), key=lambda pair: (given_p(pair[0]) or 0.0, pair[0])):
        add(row, f"row {other} says nearly the same and has other labels", other)
    for row in sorted(silent.tolist(), key=lambda row: (given_p(row) or 0.0, row)):
        add(row, SAYS_NOTHING)
    return SaidBack(tuple(doubts.values()), tuple(findings))


def number_doubts(
    examples: Sequence[Example], predicted: Floats, given: Floats, folds: Ints, values: Sequence[float | None]
) -> SaidBack:
    """What predicted numbers say of rows with numbers.

    Args:
        predicted: (rows,), each by a model that was not fitted to the row.
        given: (rows,), in the same unit.
        folds: as in `label_doubts`.
        values: what is predicted as people read it, (rows,).
    """
    known = folds >= 0
    findings = [*_unchecked(examples, folds)]
    if not known.any() or ((predicted - given)[known] ** 2).mean() >= given[known].var():
        findings.append(
            Finding(
                level="warning",
                code="no_signal",
                split="train",
                message="models that were fitted to other rows should predict numbers better than their mean does, "
                "but they do not: nothing is said of numbers. Give more rows, or look whether `data.text` and the "
                "numbers belong together",
            )
        )
        return SaidBack((), tuple(findings))
    found = doubtful_numbers(predicted, given, folds).rows.tolist()
    doubts = [Doubt(row, (DOUBTFUL_NUMBER,), (f"{examples[row].number:g}",), (f"{values[row]:.6g}",)) for row in found]
    if found:
        findings.append(
            Finding(
                level="warning",
                code="doubtful_numbers",
                split="train",
                count=len(found),
                message=f"the numbers of {rows(len(found))} ({percent(len(found), len(folds))}) are at least 3.5 times "
                "as far from what models of other rows predict as is usual (modified z-score). Some of them are right: "
                "look at each, and correct those that are not",
                examples=tuple(
                    f"{quote(examples[doubt.row].text)} has {doubt.given[0]}, predicted {(doubt.suggested or ('',))[0]}"
                    for doubt in doubts[:SHOWN]
                ),
            )
        )
    return SaidBack(tuple(doubts), tuple(findings))


def _given_probability(probabilities: Floats, labels: Labels) -> Callable[[int], float | None]:
    """Of what is given of a row; of several labels the least. None where there is no probability."""
    if labels.ndim == 1:
        own: npt.NDArray[Any] = probabilities[np.arange(len(labels)), labels]
    else:
        own = np.where(labels > 0, probabilities, 1 - probabilities).min(axis=1)
    return lambda row: None if np.isnan(own[row]) else float(own[row])


def _by_row(doubtful: Doubts, examples: Sequence[Example], labels: Labels, names: Sequence[str]) -> dict[int, Doubt]:
    """One entry a row, at the place of its most doubtful label."""
    found: dict[int, Doubt] = {}
    for row, label, suggested, p_given, p_suggested in zip(*(field.tolist() for field in doubtful), strict=True):
        given = tuple(examples[row].labels)
        if labels.ndim == 1:
            found[row] = Doubt(row, (DOUBTFUL_LABEL,), given, (names[suggested],), p_given, p_suggested)
            continue
        before = found.get(row) or Doubt(row, (DOUBTFUL_LABEL,), given, given, p_given, p_suggested)
        rest = tuple(name for name in before.suggested or () if name != names[label])
        wanted = (*rest, names[label]) if suggested else rest
        found[row] = replace(before, suggested=wanted)
    return found


def _unchecked(examples: Sequence[Example], folds: Ints) -> Iterator[Finding]:
    """Rows that every model has to be fitted to."""
    alone = np.flatnonzero(folds < 0).tolist()
    if alone:
        told = {label for row in np.flatnonzero(folds >= 0).tolist() for label in examples[row].labels}
        kinds = sorted({label for row in alone for label in examples[row].labels} - told)
        shown = f", of {enumerated([*map(repr, kinds)], NAMED)}," if kinds else ""
        yield Finding(
            level="info",
            code="unchecked_rows",
            split="train",
            count=len(alone),
            message=f"nothing is said of {rows(len(alone))}{shown} as a label must stay known without the row that is "
            "looked at, and here it would not: two rows of a label with different texts are the least",
        )


def _doubtful(examples: Sequence[Example], doubts: Mapping[int, Doubt], total: int) -> Iterator[Finding]:
    if doubts:
        many = ". So many say more of the model than of the labels: begin with the first, and stop where they are right"
        yield Finding(
            level="warning",
            code="doubtful_labels",
            split="train",
            count=len(doubts),
            message=f"the labels of {rows(len(doubts))} ({percent(len(doubts), total)}) are doubtful: models that were "
            "fitted to other rows find others more probable, with more certainty than is usual (confident learning). "
            "Some of them are right: look at each, and correct those that are not"
            f"{many if len(doubts) > MANY * total else ''}",
            examples=tuple(
                f"{quote(examples[doubt.row].text)} has {_named(doubt.given)}, more probable {_named(doubt.suggested)}"
                for doubt in list(doubts.values())[:SHOWN]
            ),
        )


def _uninformed(labels: Labels, informed: Ints, names: Sequence[str]) -> Iterator[Finding]:
    """Labels of rows with several of which nothing is said."""
    rest = [repr(name) for label, name in enumerate(names) if label not in informed]
    if labels.ndim == 2 and rest:
        yield Finding(
            level="info",
            code="unknown_labels",
            split="train",
            count=len(rest),
            message=f"whether a row has one of {len(rest):,} labels ({enumerated(rest, NAMED)}) is not doubted: models "
            "that were fitted to other rows know no more of them than how often they occur. Give them more rows",
        )


def _named(labels: Sequence[str] | None) -> str:
    return " + ".join(labels or ()) or "no label"


def _contradicting(examples: Sequence[Example], opposed: Mapping[int, int]) -> Iterator[Finding]:
    if opposed:
        pairs = [(row, other) for row, other in opposed.items() if row < other]
        yield Finding(
            level="warning",
            code="contradictions",
            split="train",
            count=len(opposed),
            message=f"texts that are nearly the same should have the same labels, but {rows(len(opposed))} "
            f"({percent(len(opposed), len(examples))}) have others than such a text. Decide which are right",
            examples=tuple(
                f"row {row} is {_named(examples[row].labels)}, row {other} is "
                f"{_named(examples[other].labels)}: {quote(examples[row].text)}"
                for row, other in pairs[:SHOWN]
            ),
        )


def _indistinct(pairs: Sequence[Pair], names: Sequence[str]) -> Iterator[Finding]:
    if pairs:
        some = "1 pair of labels is" if len(pairs) == 1 else f"{len(pairs):,} pairs of labels are"
        yield Finding(
            level="warning",
            code="indistinct_labels",
            split="train",
            count=len(pairs),
            message=f"{some} not measurably told apart better than by chance: the 95 % interval of the area under "
            "the ROC curve, of one against the other, holds 1/2. Make one label of both, or tell those who label what "
            "the difference is",
            examples=tuple(
                f"{names[pair.first]} and {names[pair.second]}: {pair.area:.2f} ({pair.low:.2f} to {pair.high:.2f})"
                for pair in pairs[:NAMED]
            ),
        )


def _silent(examples: Sequence[Example], silent: Ints) -> Iterator[Finding]:
    if len(silent):
        yield Finding(
            level="info",
            code="says_nothing",
            split="train",
            count=len(silent),
            message=f"the texts of {rows(len(silent))} ({percent(len(silent), len(examples))}) say nothing about their "
            "label: what models of other rows say of them is how often each label occurs, but for 1 % of its entropy. "
            "They teach little: look whether the text is whole, or in another language",
            examples=tuple(quote(examples[row].text) for row in silent.tolist()[:SHOWN]),
        )
