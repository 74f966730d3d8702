"""How well evidence is found: the metrics of ERASER, of SemEval-2021 task 5 and of ranking, over instances.

An *instance* is one text and one label: its units (words or sentences), which of them are evidence, which were marked.
What the metrics need of each is computed once (`instance_statistics`); any of the instances can then be averaged, which
costs next to nothing.

Definitions: DeYoung et al. 2020, ERASER: A Benchmark to Evaluate Rationalized NLP Models; Pavlopoulos et al. 2021,
SemEval-2021 Task 5: Toxic Spans Detection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tunery.data.units import Bounds

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CUTOFF: Final = 10
"""How many sentences nDCG reads."""
_DISCOUNTS: Final = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, CUTOFF + 2)))])
"""Sums of the first 0 to `CUTOFF` discounts."""


def sentence_of_units(bounds: Bounds, sentence_bounds: Bounds) -> Ints:
    """The number of the sentence that each unit, such as a word, begins in, (units,)."""
    result: Ints = np.searchsorted(sentence_bounds[:, 0], bounds[:, 0], side="right").astype(np.int64) - 1
    return result


def covered(bounds: Bounds, spans: Bounds) -> Bools:
    """Which units are evidence, (units,): those of which spans cover half, and those with half of a span in them.

    Of a span the space between units does not count, so that every span is some unit's; spans that touch are one.

    Args:
        bounds: (units, 2), ascending and disjoint.
        spans: (spans, 2), characters, in any order; they may overlap.
    """
    return _covered(np.asarray(bounds, dtype=np.int64), _union(np.asarray(spans, dtype=np.int64).reshape(-1, 2)))


def unit_runs(marked: Bools, *, merge: bool) -> Ints:
    """Runs of marked units: the first and the one behind the last, (runs, 2). Without `merge` each unit is a run."""
    return _runs(marked, np.zeros(len(marked), dtype=bool), merge)


def runs(marked: Bools, bounds: Bounds, *, merge: bool) -> list[tuple[int, int]]:
    """The spans that marked units are, in characters: neighbours are one, with the space between them, or with
    `merge=False` each is its own."""
    units = unit_runs(marked, merge=merge)
    return list(zip(bounds[units[:, 0], 0].tolist(), bounds[units[:, 1] - 1, 1].tolist(), strict=True))


@dataclass(frozen=True)
class InstanceStatistics:
    """What the metrics need of each instance; every field has the shape (instances,)."""

    both: Ints
    """Units that are evidence and marked."""
    marked: Ints
    gold: Ints
    matched_spans: Ints
    """Marked spans that share half of their union with a span of evidence."""
    marked_spans: Ints
    gold_spans: Ints
    char_f1: Floats
    auprc: Floats
    """NaN, like the next two, without evidence."""
    hit_at_1: Floats
    ndcg_at_10: Floats

    def __len__(self) -> int:
        return len(self.both)

    def take(self, instances: Any) -> "InstanceStatistics":
        """Some of the instances, by numbers or by a mask."""
        return InstanceStatistics(**{name: values[instances] for name, values in vars(self).items()})

    def with_empty(self, count: int) -> "InstanceStatistics":
        """These, and so many that have neither evidence nor marks."""
        empty = {"char_f1": 1.0, "auprc": np.nan, "hit_at_1": np.nan, "ndcg_at_10": np.nan}
        return InstanceStatistics(
            **{
                name: np.append(values, np.full(count, empty.get(name, 0), dtype=values.dtype))
                for name, values in vars(self).items()
            }
        )


def instance_statistics(
    gold: Sequence[Bools],
    marked: Sequence[Bools],
    scores: Sequence[npt.NDArray[Any]],
    bounds: Sequence[Bounds],
    sentences: Sequence[Ints],
    spans: Sequence[Bounds],
    *,
    merge: bool,
) -> InstanceStatistics:
    """Compare what was marked with what is evidence. One entry an instance.

    Args:
        gold: (units,), which are evidence.
        marked: (units,).
        scores: (units,), higher where evidence is likelier; only their order counts.
        bounds: (units, 2), where each is in the text.
        sentences: (units,), the sentence that each is in, ascending.
        spans: (spans, 2), evidence in characters, in any order.
        merge: whether neighbouring units are one span.
    """
    sizes = np.array([len(units) for units in gold], dtype=np.int64)
    count = len(sizes)
    owner = np.repeat(np.arange(count), sizes)
    is_first = np.diff(owner, prepend=-1) > 0
    is_gold, is_marked = _joined(gold), _joined(marked)

    def total(values: npt.NDArray[Any], of: Ints = owner) -> Ints:
        return np.bincount(of, weights=values, minlength=count).astype(np.int64)

    both, marked_units, gold_units = total(is_gold & is_marked), total(is_marked), total(is_gold)
    gold_runs, marked_runs = _runs(is_gold, is_first, merge), _runs(is_marked, is_first, merge)
    gold_of, marked_of = owner[gold_runs[:, 0]], owner[marked_runs[:, 0]]

    # characters of all texts one behind the other, a gap between two
    span_sizes = np.array([len(entry) for entry in spans], dtype=np.int64)
    flat_bounds, flat_spans = _joined(bounds, 2), _joined(spans, 2)
    lengths = np.zeros(count, dtype=np.int64)
    np.maximum.at(lengths, owner, flat_bounds[:, 1])
    np.maximum.at(lengths, np.repeat(np.arange(count), span_sizes), flat_spans[:, 1])
    offsets = np.concatenate([[0], np.cumsum(lengths + 1)])
    flat_bounds = flat_bounds + offsets[owner, None]
    union = _union(flat_spans + np.repeat(offsets[:-1], span_sizes)[:, None])
    marked_characters = np.stack([flat_bounds[marked_runs[:, 0], 0], flat_bounds[marked_runs[:, 1] - 1, 1]], axis=1)
    pairs_marked, _, shared_by_pair = _pairs(marked_characters, union)
    shared = total(shared_by_pair, marked_of[pairs_marked])
    union_of = np.searchsorted(offsets, union[:, 0], side="right") - 1
    sizes_of_both = total(np.diff(marked_characters)[:, 0], marked_of) + total(np.diff(union)[:, 0], union_of)

    begins = np.flatnonzero(is_first | (np.diff(_joined(sentences), prepend=-1) != 0))
    ends = np.append(begins, len(owner))[1:]
    relevant = _covered(np.stack([flat_bounds[begins, 0], flat_bounds[ends - 1, 1]], axis=1), union)
    flat_scores = _joined(scores).astype(np.float64)
    best, sentence_owner = np.maximum.reduceat(flat_scores, begins), owner[begins]

    ranked_units, ranked = gold_units[owner] > 0, gold_units[sentence_owner] > 0
    hit_at_1, ndcg_at_10 = _ranking(relevant[ranked], best[ranked], sentence_owner[ranked], count)

    return InstanceStatistics(
        both=both,
        marked=marked_units,
        gold=gold_units,
        matched_spans=total(_matched(marked_runs, gold_runs), marked_of),
        marked_spans=np.bincount(marked_of, minlength=count),
        gold_spans=np.bincount(gold_of, minlength=count),
        char_f1=np.where(sizes_of_both > 0, 2 * shared / np.maximum(sizes_of_both, 1), 1.0),
        auprc=_area(is_gold[ranked_units], flat_scores[ranked_units], owner[ranked_units], gold_units),
        hit_at_1=hit_at_1,
        ndcg_at_10=ndcg_at_10,
    )


def averaged(instances: InstanceStatistics) -> dict[str, float | None]:
    """The metrics; None where no instance says anything about one.

    `evidence_token_f1`: mean of the F1 of each instance with evidence or marks, of units, which are words or sentences;
    `evidence_token_precision` and `evidence_token_recall` are means over the same instances, of zeros where one is
    undefined. `evidence_token_f1_micro`: F1 of all units together.

    `evidence_iou_f1`: F1 of mean precision, of instances with marks, and mean recall, of instances with evidence; a
    marked span is right where it shares half of its union with a span of evidence.

    `evidence_char_f1`: mean F1 of the characters, 1 where an instance has neither evidence nor marks.

    `evidence_exact`: how often exactly the units of evidence are marked, of instances that have some.
    `evidence_null_accuracy`: how often something is marked exactly where there is evidence, of all instances.

    `evidence_auprc`: mean area below the curve of precision and recall, of instances with evidence. As in ERASER points
    are joined by straight lines and the curve begins at precision 1, so that constant scores reach more than the share
    of evidence: (1 + share) / 2.

    `evidence_hit_at_1`, `evidence_ndcg_at_10`: how often the best sentence is evidence, and the discounted gain of the
    ten best, of instances with evidence. Where sentences tie it is the mean over all their orders.
    """
    both, marked, gold = instances.both, instances.marked, instances.gold
    either, with_gold, with_marks = (gold > 0) | (marked > 0), gold > 0, marked > 0
    span_precision = _mean(instances.matched_spans[with_marks] / instances.marked_spans[with_marks]) or 0.0
    span_recall = _mean(instances.matched_spans[with_gold] / instances.gold_spans[with_gold])
    return {
        "evidence_token_f1": _mean(2.0 * both[either] / (marked + gold)[either]),
        "evidence_token_precision": _mean(both[either] / np.maximum(marked[either], 1)),
        "evidence_token_recall": _mean(both[either] / np.maximum(gold[either], 1)),
        "evidence_token_f1_micro": float(2.0 * both.sum() / (marked + gold).sum()) if either.any() else None,
        "evidence_iou_f1": None if span_recall is None else _harmonic(span_precision, span_recall),
        "evidence_char_f1": _mean(instances.char_f1),
        "evidence_exact": _mean((both == gold)[with_gold] & (marked == gold)[with_gold]),
        "evidence_null_accuracy": _mean(with_gold == with_marks),
        "evidence_auprc": _mean(instances.auprc[with_gold]),
        "evidence_hit_at_1": _mean(instances.hit_at_1[np.isfinite(instances.hit_at_1)]),
        "evidence_ndcg_at_10": _mean(instances.ndcg_at_10[np.isfinite(instances.ndcg_at_10)]),
    }


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _harmonic(a: float, b: float) -> float:
    return 2.0 * a * b / (a + b) if a + b else 0.0


def _joined(entries: Sequence[npt.NDArray[Any]], *shape: int) -> npt.NDArray[Any]:
    """One behind the other; an element has the shape."""
    return np.concatenate([np.zeros((0, *shape), dtype=bool), *entries])


def _runs(marked: Bools, is_first: Bools, merge: bool) -> Ints:
    """Runs of marked units that no first unit of an instance is within, (runs, 2)."""
    if not merge:
        numbers = np.flatnonzero(marked)
        return np.stack([numbers, numbers + 1], axis=1)
    left = np.append(False, marked[:-1]) & ~is_first
    right = np.append(left[1:] & marked[1:], False) if len(marked) else marked
    return np.stack([np.flatnonzero(marked & ~left), np.flatnonzero(marked & ~right) + 1], axis=1)


def _union(spans: Bounds) -> Bounds:
    """Spans in any order -> disjoint ones, ascending, with the same characters."""
    spans = spans[spans[:, 1] > spans[:, 0]]
    spans = spans[np.argsort(spans[:, 0])]
    reach = np.maximum.accumulate(spans[:, 1])
    begins = np.flatnonzero(spans[:, 0] > np.append(-1, reach)[: len(spans)])
    return np.stack([spans[begins, 0], reach[np.append(begins, len(spans))[1:] - 1]], axis=1)


def _pairs(left: Bounds, right: Bounds) -> tuple[Ints, Ints, Ints]:
    """Which of two lists overlap, both disjoint and ascending: number in each, and by how much; (pairs,) each."""
    first = np.searchsorted(right[:, 1], left[:, 0], side="right")
    counts = np.searchsorted(right[:, 0], left[:, 1], side="left") - first
    ours = np.repeat(np.arange(len(left)), counts)
    theirs = np.arange(len(ours)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    shared = np.minimum(left[ours, 1], right[theirs, 1]) - np.maximum(left[ours, 0], right[theirs, 0])
    return ours, theirs, shared


def _covered(bounds: Bounds, union: Bounds) -> Bools:
    """`covered`, of spans that are disjoint and ascend."""
    unit, span, shared = _pairs(bounds, union)
    result = 2 * np.bincount(unit, shared, minlength=len(bounds)) >= np.diff(bounds)[:, 0]
    result[unit[2 * shared >= np.bincount(span, shared, minlength=len(union))[span]]] = True
    return result


def _matched(marked: Ints, gold: Ints) -> Bools:
    """Which runs of marked units share at least half of their union with a run of evidence."""
    ours, theirs, shared = _pairs(marked, gold)
    either = np.diff(marked)[ours, 0] + np.diff(gold)[theirs, 0] - shared
    result = np.zeros(len(marked), dtype=bool)
    result[ours[2 * shared >= either]] = True
    return result


def _area(gold: Bools, scores: Floats, owner: Ints, totals: Ints) -> Floats:
    """Area below precision and recall of each instance, (instances,); NaN without evidence."""
    order = np.lexsort((-scores, owner))
    gold, scores, owner = gold[order], scores[order], owner[order]
    first = np.searchsorted(owner, owner, side="left")
    found = np.cumsum(gold)
    found = found - (found - gold)[first]
    precision, recall = found / (np.arange(1, len(owner) + 1) - first), found / np.maximum(totals[owner], 1)
    is_last = np.append((np.diff(owner) != 0) | (np.diff(scores) != 0), True)[: len(owner)]  # of equal scores
    precision, recall, owner = precision[is_last], recall[is_last], owner[is_last]
    begins = np.diff(owner, prepend=-1) != 0
    precision_before = np.where(begins, 1.0, np.roll(precision, 1))
    recall_before = np.where(begins, 0.0, np.roll(recall, 1))
    areas = (recall - recall_before) * (precision + precision_before) / 2
    return np.where(totals > 0, np.bincount(owner, areas, minlength=len(totals)), np.nan)


def _ranking(relevant: Bools, scores: Floats, owner: Ints, count: int) -> tuple[Floats, Floats]:
    """Hit at 1 and nDCG of each instance, (instances,); NaN where none of its sentences is relevant.

    Sentences with equal scores share what their places are worth (McSherry & Najork 2008, Computing Information
    Retrieval Performance Measures Efficiently in the Presence of Tied Scores).
    """
    order = np.lexsort((-scores, owner))
    relevant, scores, owner = relevant[order], scores[order], owner[order]
    begins = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(scores, prepend=np.inf) != 0))
    ends = np.append(begins, len(owner))[1:]
    group_owner = owner[begins]
    first = np.searchsorted(owner, group_owner, side="left")
    share = np.add.reduceat(relevant.astype(np.int64), begins) / (ends - begins)
    worth = _DISCOUNTS[np.minimum(ends - first, CUTOFF)] - _DISCOUNTS[np.minimum(begins - first, CUTOFF)]
    gain = np.bincount(group_owner, share * worth, minlength=count)
    hits = np.bincount(group_owner, share * (begins == first), minlength=count)
    possible = np.bincount(owner, relevant, minlength=count).astype(np.int64)
    ideal = np.where(possible > 0, _DISCOUNTS[np.minimum(possible, CUTOFF)], np.nan)
    return np.where(possible > 0, hits, np.nan), gain / ideal
