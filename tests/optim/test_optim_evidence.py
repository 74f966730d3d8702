"""Losses of evidence, against loops over units and labels."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tunery.data.masking import NO_TARGET
from tunery.optim.crf import FORBIDDEN, NO_UNIT
from tunery.optim.evidence import (
    EVIDENCE_LOSSES,
    MOST_WEIGHT,
    UNKNOWN,
    UNMARKED,
    UNMARKED_WEIGHT,
    CriteriaObjective,
    Rarity,
)
from tunery.optim.losses import make_loss
from tunery.schema.config.loss import Bce
from tunery.schema.config.model import Biaffine, BioCrf, SentenceReranker, StartEndLinear, StartEndMlp, Tagging
from tunery.tasks import unit_codes

TEXTS, UNITS, LABELS, LONGEST = 4, 7, 3, 4
REAL = (7, 5, 1, 0)
RARITY = Rarity(cells=1000, evidence=100, spans=50)


def case(seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Outputs of every head at once, and targets with all that may be there."""
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 2, (TEXTS, UNITS, LABELS), generator=draw)
    targets[1] = torch.where(targets[1] == 0, UNMARKED, targets[1])
    targets[0, :, 2] = UNKNOWN
    for text, count in enumerate(REAL):
        targets[text, count:] = UNKNOWN
    outputs = {
        name: torch.randn(TEXTS, UNITS, *more, LABELS, generator=draw, dtype=torch.float64)
        for name, more in {"units": (), "starts": (), "ends": (), "spans": (LONGEST,)}.items()
    }
    return outputs, targets


def cross_entropy(logit: Tensor, *, right: bool, weight: float) -> float:
    return weight * math.log1p(math.exp(-float(logit) if right else float(logit)))


def weight_of(target: int, positive: float) -> float:
    return {1: positive, 0: 1.0, UNMARKED: UNMARKED_WEIGHT, UNKNOWN: 0.0}[target]


def runs_of(column: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of 1."""
    starts = [k for k in range(len(column)) if column[k] == 1 and (k == 0 or column[k - 1] != 1)]
    return [(k, next((j for j in range(k, len(column)) if column[j] != 1), len(column)) - 1) for k in starts]


@pytest.mark.parametrize("seed", range(5))
def test_tagging_starts_and_spans(seed: int) -> None:
    outputs, targets = case(seed)
    tagging = start_end = spans = 0.0
    by_unit, by_span, by_pair = 3.0, math.sqrt(950 / 50), math.sqrt((4000 - 50) / 50)
    for text in range(TEXTS):
        for label in range(LABELS):
            column = targets[text, :, label].tolist()
            runs = runs_of(column)
            for unit, target in enumerate(column):
                right = target == 1
                logit = outputs["units"][text, unit, label]
                tagging += cross_entropy(logit, right=right, weight=weight_of(target, by_unit))
                for name, ends in (("starts", [a for a, _ in runs]), ("ends", [b for _, b in runs])):
                    weight = by_span if unit in ends else weight_of(0 if right else target, 0.0)
                    start_end += cross_entropy(outputs[name][text, unit, label], right=unit in ends, weight=weight) / 2
                for further in range(min(LONGEST, UNITS - unit)):
                    last = unit + further
                    right = (unit, last) in runs or (
                        further == LONGEST - 1 and all(column[k] == 1 for k in range(unit, last + 1))
                    )
                    ends_of_span = [0 if column[k] == 1 else column[k] for k in (unit, last)]
                    weight = by_pair if right else weight_of(min(ends_of_span), 0.0)
                    spans += cross_entropy(outputs["spans"][text, unit, further, label], right=right, weight=weight)
    for spec, expected in (
        (Tagging, tagging),
        (StartEndLinear, start_end),
        (StartEndMlp, start_end),
        (Biaffine, spans),
    ):
        assert float(EVIDENCE_LOSSES[spec](outputs, targets, RARITY)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_units_compete_with_each_other_and_with_none(seed: int) -> None:
    outputs, targets = case(seed)
    expected = 0.0
    for text, label in np.ndindex(TEXTS, LABELS):
        known = [k for k in range(UNITS) if targets[text, k, label] != UNKNOWN]
        scores = [float(outputs["units"][text, k, label]) for k in known] + [0.0]
        right = [i for i, k in enumerate(known) if targets[text, k, label] == 1] or [len(known)]
        total = math.log(sum(map(math.exp, scores)))
        expected += len(known) * sum(total - scores[i] for i in right) / len(right)
    outputs["units"].requires_grad_()
    loss = EVIDENCE_LOSSES[SentenceReranker](outputs, targets, RARITY)
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = outputs["units"].grad
    assert gradient is not None and torch.isfinite(gradient).all() and not gradient[targets == UNKNOWN].any()


def consistent(tags: Sequence[int], told: Sequence[int | None]) -> bool:
    """Whether a chain of begin, inside and outside (0, 1, 2) agrees with what is known of its units: evidence, none, or
    nothing (None). Of neighbours that are known as evidence, the second goes on with the span of the first."""
    for unit, (tag, is_evidence) in enumerate(zip(tags, told, strict=True)):
        before, known_before = (tags[unit - 1], told[unit - 1]) if unit else (2, 0)
        if tag == 1 and before == 2:
            return False
        if is_evidence is not None and is_evidence != (tag != 2):
            return False
        if is_evidence and known_before and tag != 1:
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_chains_agree_with_what_is_known(seed: int) -> None:
    """Texts that are marked exhaustively and in part, with rejected units, with units of which nothing is known, and
    with places where no unit is, in the middle and at the end."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.tensor([1, 1, 0, UNMARKED, UNKNOWN])
    targets = codes[torch.randint(0, 5, (TEXTS, UNITS, LABELS), generator=draw)]
    targets[0] = targets[0] == 1
    targets[1] = torch.where(targets[1] == 1, 1, UNMARKED)
    real = torch.tensor([[unit < count for unit in range(UNITS)] for count in (7, 6, 7, 1)])
    real[2, 3] = False
    targets[~real] = UNKNOWN
    emissions = torch.randn(TEXTS, UNITS, LABELS, 3, generator=draw, dtype=torch.float64)
    emissions[~real] = torch.tensor([NO_UNIT, NO_UNIT, 0.0], dtype=torch.float64)
    transitions = torch.randn(3, 3, generator=draw, dtype=torch.float64)
    transitions[2, 1] = FORBIDDEN
    expected, log_partition = 0.0, torch.zeros(TEXTS, LABELS, dtype=torch.float64)
    for text, label in np.ndindex(TEXTS, LABELS):
        scores = emissions[text, real[text], label].tolist()
        told = targets[text, real[text], label].tolist()
        every = {
            tags: sum(scores[k][tag] + float(transitions[(2, *tags)[k], tag]) for k, tag in enumerate(tags))
            for tags in product(range(3), repeat=len(scores))
        }

        def log_sum(meaning: dict[int, int | None], told: Any = told, every: Any = every) -> float:
            known = [meaning[code] for code in told]
            return math.log(sum(math.exp(score) for tags, score in every.items() if consistent(tags, known)))

        nothing: dict[int, int | None] = dict.fromkeys((1, 0, UNMARKED, UNKNOWN))
        log_partition[text, label] = log_sum(nothing)
        marked = log_sum({**nothing, 1: 1, 0: 0})
        outside = log_sum({**nothing, 1: 1, 0: 0, UNMARKED: 0})
        one = float(log_partition[text, label]) - UNMARKED_WEIGHT * outside - (1 - UNMARKED_WEIGHT) * marked
        assert one >= -1e-9 and (one > 0 or all(code == UNKNOWN for code in told))
        expected += one
    outputs = {
        "emissions": emissions.requires_grad_(),
        "transitions": transitions.expand(TEXTS, 3, 3),
        "log_partition": log_partition,
    }
    loss = EVIDENCE_LOSSES[BioCrf](outputs, targets, RARITY)
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert emissions.grad is not None and torch.isfinite(emissions.grad).all() and not emissions.grad[~real].any()


def test_evidence_that_is_unknown_has_no_chain() -> None:
    emissions = torch.randn(TEXTS, UNITS, LABELS, 3, generator=torch.Generator().manual_seed(0))
    log_partition = torch.full((TEXTS, LABELS), 50.0, requires_grad=True)
    outputs = {"emissions": emissions, "transitions": torch.zeros(TEXTS, 3, 3), "log_partition": log_partition}
    EVIDENCE_LOSSES[BioCrf](outputs, case(0)[1], RARITY).backward()  # type: ignore[no-untyped-call]
    assert log_partition.grad is not None
    assert log_partition.grad.tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_targets_mean_the_same_where_they_are_made() -> None:
    made = (unit_codes.EVIDENCE, unit_codes.NOT_EVIDENCE, unit_codes.UNMARKED, unit_codes.UNKNOWN)
    assert made == (1, 0, UNMARKED, UNKNOWN)
    assert UNKNOWN == NO_TARGET, "what is padded is unknown"


def test_rare_evidence_weighs_more_within_bounds() -> None:
    codes = [np.array([[1, 0], [1, -1], [0, 1]]), np.zeros((0, 2), dtype=np.int8), np.full((2, 2), -100)]
    rarity = Rarity.of(codes)
    assert rarity == (10, 3, 2)
    assert rarity.weight(3, of=12) == pytest.approx(math.sqrt(3))
    assert (rarity.weight(9, of=10), rarity.weight(0, of=10**6)) == (1.0, MOST_WEIGHT)


def test_both_losses_count_by_their_weights_and_units() -> None:
    outputs, targets = case(1)
    labels = torch.ones(TEXTS, LABELS)
    loss = make_loss(Bce(), problem="multi_label", targets=labels.numpy(), labels=LABELS, smoothing=0.0)
    given: Any = {"labels": labels, "evidence": targets}
    answered: Any = {**outputs, "labels": torch.zeros(TEXTS, LABELS)}
    for weights in ({"labels": 1.0, "evidence": 0.0}, {"labels": 0.5, "evidence": 2.0}):
        objective = CriteriaObjective(loss, Tagging(), RARITY, weights=weights)
        units = objective.units(given)
        assert units == {"labels": TEXTS, "evidence": int((targets != UNKNOWN).sum())}
        evidence = float(EVIDENCE_LOSSES[Tagging](outputs, targets, RARITY)) / units["evidence"]
        expected = weights["labels"] * math.log(2) + weights["evidence"] * evidence
        assert float(objective.share(answered, given, units=units)) == pytest.approx(expected)
