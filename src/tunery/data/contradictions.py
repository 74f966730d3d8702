"""Rows that say the same and have other labels: equal texts up to case and punctuation, and near-duplicates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tunery.data.checks.near_duplicates import Words, similar_keys
from tunery.data.examples import Example


def contradictions(examples: Sequence[Example]) -> Mapping[int, int]:
    """Row -> the first other row whose text is nearly the same and whose labels are others; both have one. Blank texts
    are compared with nothing."""
    words, rows_of = Words(), defaultdict[bytes, list[int]](list)
    for row, example in enumerate(examples):
        if example.text.strip():
            rows_of[words.key(example)].append(row)
    similar = similar_keys(list(rows_of))
    first: dict[int, int] = {}
    for key, rows in rows_of.items():
        near = sorted(row for other in similar[key] for row in rows_of[other])
        if len(near) < 2:
            continue
        labels = [frozenset(examples[row].labels) for row in near]
        for row in rows:
            own = frozenset(examples[row].labels)
            other = next((other for other, theirs in zip(near, labels, strict=True) if theirs != own), None)
            if other is not None:
                first[row] = other
    return dict(sorted(first.items()))
