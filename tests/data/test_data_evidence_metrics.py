"""Metrics of evidence against definitions written as loops over sets, against scikit-learn, and by hand."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, f1_score, ndcg_score, precision_recall_curve

from tunery.data.evidence_metrics import (
    averaged,
    covered,
    instance_statistics,
    runs,
    sentence_of_units,
    unit_runs,
)

CASES = 1000


@dataclass
class Instance:
    gold: Any
    marked: Any
    scores: Any
    bounds: Any
    sentences: Any
    spans: Any


def instance(
    gold: str,
    marked: str,
    scores: Any = None,
    sentences: Any = None,
    bounds: Any = None,
    spans: Any = None,
    *,
    merge: bool = True,
) -> Instance:
    """Units as characters: x is evidence or marked. Units are two characters long, with a space between two."""
    is_gold, is_marked = (np.array([unit == "x" for unit in units], dtype=bool) for units in (gold, marked))
    places = np.array([[3 * k, 3 * k + 2] for k in range(len(gold))]).reshape(-1, 2) if bounds is None else bounds
    return Instance(
        is_gold,
        is_marked,
        np.array(is_marked if scores is None else scores, dtype=np.float32),
        places,
        np.arange(len(gold)) if sentences is None else np.array(sentences, dtype=np.int64),
        np.array(runs(is_gold, places, merge=merge) if spans is None else spans, dtype=np.int64).reshape(-1, 2),
    )


def statistics_of(instances: list[Instance], *, merge: bool = True) -> Any:
    columns = zip(*(vars(one).values() for one in instances), strict=True) if instances else [()] * 6
    return instance_statistics(*map(list, columns), merge=merge)


def score(instances: list[Instance], *, merge: bool = True) -> dict[str, float | None]:
    return averaged(statistics_of(instances, merge=merge))


def random_instance(generator: np.random.Generator, *, merge: bool) -> Instance:
    """Up to 12 words in up to 5 sentences, or 6 sentences; spaces between some of them, and scores that often tie."""
    count = int(generator.integers(1, 13 if merge else 7))
    begin, places = 0, []
    for _ in range(count):
        begin += int(generator.integers(0, 3))
        places.append((begin, begin + int(generator.integers(1, 5))))
        begin = places[-1][1]
    bounds = np.array(places)
    rates = generator.choice([0.0, 0.2, 0.6], size=2)
    gold, marked = (generator.random(count) < rate for rate in rates)
    sentences = np.minimum(np.cumsum(generator.random(count) < 0.4), 4) if merge else np.arange(count)
    scores = generator.normal(size=count).round(int(generator.integers(0, 2)))
    spans = np.array(runs(gold, bounds, merge=merge), dtype=np.int64).reshape(-1, 2)
    return Instance(gold, marked, scores, bounds, sentences, generator.permutation(spans))


# ---- the definitions, as loops


def spans_of(units: Any, *, merge: bool) -> list[set[int]]:
    result: list[set[int]] = []
    for number in np.flatnonzero(units):
        if merge and result and number - 1 in result[-1]:
            result[-1].add(number)
        else:
            result.append({number})
    return result


def f1_of_sets(gold: set[Any], marked: set[Any]) -> float:
    return 2 * len(gold & marked) / (len(gold) + len(marked))


def token_scores(instances: list[Instance]) -> dict[str, float | None]:
    """ERASER: one set of (instance, unit) each for evidence and marks; macro is the mean over instances in either."""
    gold = {(k, unit) for k, one in enumerate(instances) for unit in np.flatnonzero(one.gold)}
    marked = {(k, unit) for k, one in enumerate(instances) for unit in np.flatnonzero(one.marked)}
    f1, precision, recall = [], [], []
    for key in {key for key, _ in gold | marked}:
        ours, theirs = {unit for k, unit in marked if k == key}, {unit for k, unit in gold if k == key}
        f1.append(f1_of_sets(theirs, ours))
        precision.append(len(ours & theirs) / len(ours) if ours else 0.0)
        recall.append(len(ours & theirs) / len(theirs) if theirs else 0.0)
    if not f1:
        return dict.fromkeys(("token_f1", "token_precision", "token_recall", "token_f1_micro"))
    means = [sum(values) / len(values) for values in (f1, precision, recall)]
    return dict(
        zip(("token_f1", "token_precision", "token_recall"), means, strict=True),
        token_f1_micro=f1_of_sets(gold, marked),
    )


def iou_f1(instances: list[Instance], *, merge: bool) -> float | None:
    """ERASER: F1 of the mean precision, of instances that marked something, and the mean recall, of those with gold."""
    precision, recall = [], []
    for one in instances:
        gold, marked = spans_of(one.gold, merge=merge), spans_of(one.marked, merge=merge)
        best = [max((len(span & other) / len(span | other) for other in gold), default=0.0) for span in marked]
        right = sum(value >= 0.5 for value in best)
        if marked:
            precision.append(right / len(marked))
        if gold:
            recall.append(right / len(gold))
    if not recall:
        return None
    p, r = sum(precision) / max(len(precision), 1), sum(recall) / len(recall)
    return 2 * p * r / (p + r) if p + r else 0.0


def char_f1(instances: list[Instance], *, merge: bool) -> float:
    """SemEval-2021 task 5: F1 of sets of character offsets, 1 where both are empty, 0 where gold alone is."""
    values = []
    for one in instances:
        gold = {offset for begin, end in one.spans for offset in range(begin, end)}
        marked: set[int] = set()
        for span in spans_of(one.marked, merge=merge):
            marked |= set(range(one.bounds[min(span)][0], one.bounds[max(span)][1]))
        values.append(f1_of_sets(gold, marked) if gold else float(not marked))
    return sum(values) / len(values)


def ranks(instances: list[Instance]) -> tuple[float | None, float | None]:
    """Hit at 1 and nDCG, each the mean over every order of the sentences that their scores allow."""
    hits, gains = [], []
    for one in instances:
        if not one.gold.any():
            continue
        gold = {offset for begin, end in one.spans for offset in range(begin, end)}
        best, relevant = [], []
        for number in sorted(set(one.sentences.tolist())):
            units = np.flatnonzero(one.sentences == number)
            sentence = set(range(one.bounds[units[0]][0], one.bounds[units[-1]][1]))
            best.append(max(one.scores[units]))
            halves = [2 * len(span & sentence) >= len(span) for span in written(one) if span]
            relevant.append(2 * len(sentence & gold) >= len(sentence) or any(halves))
        ties = [[k for k, value in enumerate(best) if value == tied] for tied in sorted(set(best), reverse=True)]
        orders = [list(itertools.chain(*order)) for order in itertools.product(*map(itertools.permutations, ties))]
        discounts = [1 / math.log2(rank + 2) if rank < 10 else 0.0 for rank in range(len(best))]
        ideal = sum(discounts[: sum(relevant)])
        hits.append(sum(relevant[order[0]] for order in orders) / len(orders))
        gained = [sum(discounts[rank] for rank, k in enumerate(order) if relevant[k]) for order in orders]
        gains.append(sum(gained) / len(orders) / ideal)
    return (sum(hits) / len(hits), sum(gains) / len(gains)) if hits else (None, None)


def written(one: Instance) -> list[set[int]]:
    """Spans of evidence, those that touch as one, without the space between sentences."""
    in_sentences: set[int] = set()
    for number in set(one.sentences.tolist()):
        units = one.bounds[one.sentences == number]
        in_sentences |= set(range(units[0][0], units[-1][1]))
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(one.spans.tolist()):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return [set(range(*span)) & in_sentences for span in joined]


def areas(instances: list[Instance]) -> list[float]:
    """ERASER: trapezoids below the points of every threshold, beginning at recall 0 and precision 1."""
    result = []
    for one in instances:
        gold = set(np.flatnonzero(one.gold).tolist())
        scores = one.scores.tolist()
        points = [(0.0, 1.0)]
        for threshold in sorted(set(scores), reverse=True):
            above = {k for k, value in enumerate(scores) if value >= threshold}
            points.append((len(gold & above) / max(len(gold), 1), len(gold & above) / len(above)))
        if gold:
            result.append(sum((r - q) * (p + o) / 2 for (q, o), (r, p) in itertools.pairwise(points)))
    return result


@pytest.mark.parametrize("merge", [True, False], ids=["words", "sentences"])
def test_metrics_are_what_their_definitions_say(merge: bool) -> None:
    generator = np.random.default_rng(7)
    for _ in range(CASES):
        instances = [random_instance(generator, merge=merge) for _ in range(int(generator.integers(1, 5)))]
        with_gold = [one for one in instances if one.gold.any()]
        hit, gain = ranks(instances)
        area = areas(instances)
        wanted = {
            **token_scores(instances),
            "iou_f1": iou_f1(instances, merge=merge),
            "char_f1": char_f1(instances, merge=merge),
            "exact": np.mean(
                [spans_of(one.gold, merge=merge) == spans_of(one.marked, merge=merge) for one in with_gold]
            )
            if with_gold
            else None,
            "auprc": sum(area) / len(area) if area else None,
            "null_accuracy": np.mean([one.gold.any() == one.marked.any() for one in instances]),
            "hit_at_1": hit,
            "ndcg_at_10": gain,
        }
        measured = score(instances, merge=merge)
        assert measured.keys() == {f"evidence_{name}" for name in wanted}
        for name, value in wanted.items():
            ours = measured[f"evidence_{name}"]
            assert (ours is None) == (value is None), name
            assert value is None or ours == pytest.approx(value, abs=1e-12), name


def test_metrics_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(8)
    for _ in range(60):
        count = int(generator.integers(2, 40))
        gold, marked = generator.random(count) < 0.3, generator.random(count) < 0.4
        gold[0] = True
        one = instance("".join(".x"[int(g)] for g in gold), "".join(".x"[int(m)] for m in marked), merge=False)
        one.scores = generator.normal(size=count).round(1)
        measured = score([one], merge=False)
        precision, recall, _ = precision_recall_curve(gold, one.scores)
        assert measured["evidence_token_f1"] == pytest.approx(f1_score(gold, marked))
        assert measured["evidence_token_f1_micro"] == measured["evidence_token_f1"]
        assert measured["evidence_auprc"] == pytest.approx(auc(recall, precision))
        assert measured["evidence_ndcg_at_10"] == pytest.approx(ndcg_score([gold], [one.scores], k=10))


def test_the_two_macro_averages_of_eraser_differ() -> None:
    """Tokens: mean F1 of three instances, (1 + 0 + 0) / 3. Spans: precision (1 + 0) / 2 and recall (1 + 0) / 2."""
    right, missed, invented, empty = (
        instance(*units) for units in (("xx.", "xx."), (".x", ".."), ("..", "x."), (".", "."))
    )
    measured = score([right, missed, invented, empty])
    assert measured["evidence_token_f1"] == pytest.approx(1 / 3)
    assert measured["evidence_iou_f1"] == pytest.approx(1 / 2)
    assert measured["evidence_token_precision"] == measured["evidence_token_recall"] == pytest.approx(1 / 3)
    assert measured["evidence_token_f1_micro"] == pytest.approx(2 / 3)
    assert measured["evidence_char_f1"] == pytest.approx(2 / 4)
    assert measured["evidence_exact"] == pytest.approx(1 / 2)
    assert measured["evidence_null_accuracy"] == pytest.approx(2 / 4)


def test_spans_are_right_from_half_of_their_union_on() -> None:
    assert score([instance("xxxx......", "xxx.......")])["evidence_iou_f1"] == 1.0  # 3 of 4
    assert score([instance("..xx......", "xxxx......")])["evidence_iou_f1"] == 1.0  # 2 of 4
    assert score([instance("..xx......", "xxxxx.....")])["evidence_iou_f1"] == 0.0  # 2 of 5
    two_of_three = score([instance("xx..xx..xx", "xx..xx....")])  # precision 1, recall 2 / 3
    assert two_of_three["evidence_iou_f1"] == pytest.approx(0.8)
    assert two_of_three["evidence_exact"] == 0.0


def test_the_space_between_marked_neighbours_is_marked() -> None:
    one = instance("xx", "xx")
    assert one.spans.tolist() == [[0, 5]]
    assert score([one])["evidence_char_f1"] == 1.0
    assert score([one], merge=False)["evidence_char_f1"] == pytest.approx(2 * 4 / (5 + 4))
    within = instance("xx", "x.", spans=[(1, 4), (3, 5)])  # 4 characters that no units end with
    assert score([within])["evidence_char_f1"] == pytest.approx(2 * 1 / (4 + 2))


def test_without_evidence_there_is_nothing_to_find() -> None:
    nothing, invented = instance("..", ".."), instance("..", "x.")
    undefined = {"iou_f1", "exact", "auprc", "hit_at_1", "ndcg_at_10"}
    tokens = {"token_f1", "token_precision", "token_recall", "token_f1_micro"}
    measured = score([nothing])
    assert {name for name, value in measured.items() if value is None} == {f"evidence_{n}" for n in undefined | tokens}
    assert measured["evidence_char_f1"] == measured["evidence_null_accuracy"] == 1.0
    measured = score([invented])
    assert {name for name, value in measured.items() if value is None} == {f"evidence_{n}" for n in undefined}
    assert {value for value in measured.values() if value is not None} == {0.0}
    assert set(score([]).values()) == {None}
    without_units = score([instance("", "")])
    assert without_units["evidence_char_f1"] == 1.0 and without_units["evidence_auprc"] is None


def test_nothing_marked_where_there_is_evidence_scores_zero() -> None:
    measured = score([instance("x", ".")])
    rest = {"evidence_auprc", "evidence_hit_at_1", "evidence_ndcg_at_10"}  # the one unit is the best one all the same
    assert {name: value for name, value in measured.items() if value != 0.0} == dict.fromkeys(rest, 1.0)


def test_the_order_of_units_with_equal_scores_does_not_count() -> None:
    """The mean over all orders: one of four equal sentences is evidence."""
    for gold in ("x...", ".x..", "...x"):
        measured = score([instance(gold, "....", scores=[1, 1, 1, 1])])
        assert measured["evidence_hit_at_1"] == pytest.approx(1 / 4)
        assert measured["evidence_ndcg_at_10"] == pytest.approx(sum(1 / math.log2(k) for k in (2, 3, 4, 5)) / 4)
        assert measured["evidence_auprc"] == pytest.approx((1 + 1 / 4) / 2)
    eleventh = instance("." * 11 + "x", "." * 12, scores=range(12, 0, -1))
    assert score([eleventh])["evidence_ndcg_at_10"] == 0.0


def test_a_sentence_scores_its_best_word_and_is_evidence_by_halves() -> None:
    sentences, scores = [0, 0, 0, 1, 1, 1], [0, 5, 0, 4, 4, 4]
    few = instance("..x...", "......", scores, sentences)  # of the sentence less than half, but all of the span
    assert score([few])["evidence_hit_at_1"] == 1.0
    many = instance("..xxxx", "......", scores, sentences)  # a quarter of the span, and a third of the sentence
    assert score([many])["evidence_hit_at_1"] == 0.0
    assert score([many])["evidence_ndcg_at_10"] == pytest.approx(1 / math.log2(3))


def test_instances_are_averaged_in_any_choice() -> None:
    generator = np.random.default_rng(9)
    instances = [random_instance(generator, merge=True) for _ in range(40)]
    statistics = statistics_of(instances)
    assert len(statistics) == 40
    chosen = generator.permutation(40)[:17]
    assert averaged(statistics.take(chosen)) == pytest.approx(score([instances[k] for k in chosen]))
    assert averaged(statistics.take(np.zeros(40, dtype=bool))) == score([])


def test_runs_are_spans_of_characters() -> None:
    bounds = np.array([[0, 2], [3, 5], [5, 6], [8, 9]])
    marked = np.array([True, True, False, True])
    assert runs(marked, bounds, merge=True) == [(0, 5), (8, 9)]
    assert runs(marked, bounds, merge=False) == [(0, 2), (3, 5), (8, 9)]
    assert unit_runs(marked, merge=True).tolist() == [[0, 2], [3, 4]]
    for merge in (True, False):
        assert runs(np.zeros(4, dtype=bool), bounds, merge=merge) == []
        assert runs(np.zeros(0, dtype=bool), np.zeros((0, 2), dtype=np.int64), merge=merge) == []


def test_units_are_in_sentences_and_covered_by_halves() -> None:
    bounds = np.array([[0, 4], [5, 9], [10, 14]])
    assert sentence_of_units(bounds, np.array([[0, 9], [10, 14]])).tolist() == [0, 0, 1]
    assert covered(bounds, np.array([[2, 9]])).tolist() == [True, True, False]
    assert covered(bounds, np.array([[3, 9]])).tolist() == [False, True, False]
    assert covered(bounds, np.array([[6, 7]])).tolist() == [False, True, False]  # all of the span is in it
    assert covered(bounds, np.array([[3, 7]])).tolist() == [False, True, False]  # half of it is, and half of the span
    assert covered(bounds, np.array([[12, 14], [0, 1], [1, 2], [12, 13]])).tolist() == [True, False, True]
    assert covered(bounds, np.zeros((0, 2))).tolist() == [False, False, False]
    assert covered(bounds, np.array([[4, 5], [3, 3]])).tolist() == [False, False, False]
    assert covered(np.zeros((0, 2), dtype=np.int64), np.array([[0, 3]])).tolist() == []
