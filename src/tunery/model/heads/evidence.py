"""What finds the evidence of a label among the units of a text."""

from collections.abc import Callable, Mapping
from functools import partial
from math import log
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunery.model.heads.crf import BEGIN, FORBIDDEN, INSIDE, OUTSIDE, all_chains
from tunery.model.heads.layers import WEIGHT_STD, Residual
from tunery.model.heads.units import PADDED
from tunery.schema.config.model import (
    Biaffine,
    BioCrf,
    SentenceReranker,
    StartEndLinear,
    StartEndMlp,
    Tagging,
)
from tunery.schema.spec import Spec

PRIOR: Final = 0.1
"""Probability of a new model that a unit is evidence, as most are not (Lin et al. 2017, arXiv 1708.02002, section
4.1)."""
PRIOR_LOGIT: Final = log(PRIOR / (1 - PRIOR))
_ROOT_LOGIT: Final = -log(PRIOR**-0.5 - 1)
"""Of a probability whose square is the prior."""


@final
class LabelScorer(nn.Module):
    """s_uc = (W x_u) · q_c / √d + b_c with W = I + V / √d: how well a unit fits the query of a label.

    V begins with zeros, so that queries that are states of texts are compared with units as they are. It is divided by
    √d because queries are long: a step of an optimizer then changes a score about as much as that of a linear layer.
    """

    def __init__(self, width: int, *, labels: int, prior: float) -> None:
        """Args:
        prior: logit of a unit that fits no label better than another.
        """
        super().__init__()
        self.change = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((labels,), prior))
        nn.init.zeros_(self.change.weight)

    def forward(self, units: Tensor, queries: Tensor) -> Tensor:
        """(texts, units, hidden), (labels, hidden) -> (texts, units, labels)"""
        root = queries.shape[1] ** 0.5
        scores: Tensor = (units + self.change(units) / root) @ (queries / root).T + self.bias
        return scores


@final
class MlpScorer(nn.Module):
    """A `LabelScorer` of f(x_u) and g(q_c), where f and g add what a hidden layer makes of their input to it."""

    def __init__(self, width: int, *, labels: int, prior: float, spec: StartEndMlp, dropout: float) -> None:
        super().__init__()
        block = partial(Residual, width, hidden=spec.hidden, activation=spec.activation, dropout=dropout)
        self.of_unit, self.of_query = block(), block()
        self.score = LabelScorer(width, labels=labels, prior=prior)

    def forward(self, units: Tensor, queries: Tensor) -> Tensor:
        """(texts, units, hidden), (labels, hidden) -> (texts, units, labels)"""
        scores: Tensor = self.score(self.of_unit(units), self.of_query(queries))
        return scores


@final
class TaggingHead(nn.Module):
    """Scores every unit by itself, then takes the mean of neighbouring ones."""

    def __init__(self, score: nn.Module, *, neighbours: int) -> None:
        """Args:
        neighbours: units on each side whose scores are part of the mean.
        """
        super().__init__()
        self.score = score
        self.neighbours = neighbours

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`"""
        scores = self.score(units, queries)
        if self.neighbours:
            there = real.unsqueeze(-1).to(scores.dtype)
            scores = self._sums(scores * there) / self._sums(there).clamp(min=1.0)
        return {"units": _padded(scores, real)}

    def _sums(self, values: Tensor) -> Tensor:
        """Of a unit and its neighbours: (texts, units, ...)"""
        reach, units = self.neighbours, values.shape[1]
        padded = F.pad(values, (0, 0, reach, reach))
        return torch.stack([padded[:, start : start + units] for start in range(2 * reach + 1)]).sum(dim=0)


@final
class StartEndHead(nn.Module):
    """Scores every unit as the start and as the end of a span, whose probability is the product of both."""

    def __init__(self, start: nn.Module, end: nn.Module, *, max_span: int) -> None:
        super().__init__()
        self.start = start
        self.end = end
        self.max_span = max_span

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`; `starts` and `ends` (texts, units, labels)"""
        starts, ends = (_padded(score(units, queries).float(), real) for score in (self.start, self.end))
        log_spans = F.logsigmoid(starts).unsqueeze(2) + _from_each(F.logsigmoid(ends), self.max_span)
        covering = _best_covering(_padded(log_spans, _spans_within(real, self.max_span)))
        log_odds = -(-covering).clamp(min=1e-6, max=-PADDED).expm1().log()  # of a probability, from its logarithm
        return {"units": _padded(log_odds, real), "starts": starts, "ends": ends}


@final
class BiaffineHead(nn.Module):
    """Scores every span by both of its ends together."""

    def __init__(self, width: int, *, labels: int, hidden: int, max_span: int) -> None:
        super().__init__()
        self.start = LabelScorer(width, labels=labels, prior=PRIOR_LOGIT / 2)
        self.end = LabelScorer(width, labels=labels, prior=PRIOR_LOGIT / 2)
        self.of_start = nn.Linear(width, hidden, bias=False)
        self.of_end = nn.Linear(width, hidden, bias=False)
        self.of_query = nn.Linear(width, hidden, bias=False)
        for layer in (self.of_start, self.of_end, self.of_query):
            nn.init.normal_(layer.weight, std=WEIGHT_STD)
        self.max_span = max_span

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`; `spans` (texts, units, max_span, labels): entry (i, d) is the span from unit i to i + d"""
        ends = _from_each(self.end(units, queries), self.max_span)
        alone = self.start(units, queries).unsqueeze(2) + ends
        starts = self.of_start(units).unsqueeze(2) * self.of_query(queries)  # (texts, units, labels, hidden)
        together = starts @ _from_each(self.of_end(units), self.max_span).transpose(-1, -2)
        spans = (alone + together.transpose(-1, -2)).float()
        spans = _padded(spans, _spans_within(real, self.max_span))
        return {"units": _padded(_best_covering(spans), real), "spans": spans}


@final
class BioCrfHead(nn.Module):
    """Scores every unit as the begin and as the inside of evidence, and outside as 0."""

    def __init__(self, width: int, *, labels: int) -> None:
        super().__init__()
        self.begin = LabelScorer(width, labels=labels, prior=PRIOR_LOGIT)
        self.inside = LabelScorer(width, labels=labels, prior=PRIOR_LOGIT)
        self.transitions = nn.Parameter(torch.zeros(3, 3))

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`; `emissions` (texts, units, labels, 3) and `transitions` (texts, 3, 3) of the tags begin, inside,
        outside; `log_partition` (texts, labels)"""
        begin, inside = (_padded(score(units, queries).float(), real) for score in (self.begin, self.inside))
        emissions = torch.stack([begin, inside, torch.zeros_like(begin)], dim=-1)
        forbidden = torch.zeros_like(self.transitions)
        forbidden[OUTSIDE, INSIDE] = FORBIDDEN
        transitions = self.transitions + forbidden
        chains = all_chains(emissions, transitions, real)
        inside_any = chains.log_marginals[..., [BEGIN, INSIDE]].logsumexp(dim=-1)
        return {
            "units": _padded(inside_any - chains.log_marginals[..., OUTSIDE], real),
            "emissions": emissions,
            "transitions": transitions.expand(len(units), 3, 3),
            "log_partition": chains.log_partition,
        }


@final
class RerankerHead(nn.Module):
    """Scores units that have seen one another, against the score of no evidence."""

    def __init__(self, width: int, *, labels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        heads = next(count for count in (8, 4, 2, 1) if width % count == 0)
        self.layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        for last in (self.layer.self_attn.out_proj, self.layer.linear2):  # nearly the identity at first
            nn.init.normal_(last.weight, std=WEIGHT_STD)
            nn.init.zeros_(last.bias)
        self.score = LabelScorer(width, labels=labels, prior=PRIOR_LOGIT)
        self.null = nn.Parameter(torch.zeros(labels))

    def forward(self, units: Tensor, real: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """`units`: above the score of none; `null` (texts, labels): that score"""
        hidden = ~real
        hidden[:, 0] &= real.any(dim=1)  # attention over nothing has no answer
        scores = self.score(self.layer(units, src_key_padding_mask=hidden), queries)
        return {"units": _padded(scores - self.null, real), "null": self.null.expand(len(units), -1)}


def _padded(logits: Tensor, real: Tensor) -> Tensor:
    """(..., labels), (...)"""
    return logits.masked_fill(~real.unsqueeze(-1), PADDED)


def _from_each(values: Tensor, count: int) -> Tensor:
    """Those of each unit and of the next ones: (texts, units, ...) -> (texts, units, count, ...). Beyond the last unit
    its own are repeated."""
    units = torch.arange(values.shape[1], device=values.device)
    return values[:, (units.unsqueeze(1) + torch.arange(count, device=values.device)).clamp(max=len(units) - 1)]


def _spans_within(real: Tensor, max_span: int) -> Tensor:
    """Which spans begin and end at a real unit: (texts, units) -> (texts, units, max_span)"""
    units, lengths = (torch.arange(count, device=real.device) for count in (real.shape[1], max_span))
    return real.unsqueeze(2) & _from_each(real, max_span) & (units.unsqueeze(1) + lengths < len(units))


def _best_covering(spans: Tensor) -> Tensor:
    """The highest score of a span that a unit is in: (texts, units, max_span, labels) -> (texts, units, labels)"""
    units, lengths = (torch.arange(count, device=spans.device) for count in spans.shape[1:3])
    longer = spans.flip(2).cummax(dim=2).values.flip(2)  # entry (i, d): of the spans from unit i to i + d or further
    starts = units.unsqueeze(1) - lengths  # (units, max_span)
    covering = longer[:, starts.clamp(min=0), lengths]
    return covering.masked_fill((starts < 0).unsqueeze(-1), PADDED).amax(dim=2)


class Given(NamedTuple):
    """What evidence heads are made of beside their spec."""

    width: int
    """Of a unit state."""
    labels: int
    dropout: float
    neighbours: int
    """As of `CriteriaOutput`."""

    def scorer(self, prior: float = PRIOR_LOGIT) -> LabelScorer:
        """One for each label."""
        return LabelScorer(self.width, labels=self.labels, prior=prior)


def _tagging(spec: Tagging, given: Given) -> nn.Module:
    return TaggingHead(given.scorer(), neighbours=given.neighbours if spec.neighbours is None else spec.neighbours)


def _start_end_linear(spec: StartEndLinear, given: Given) -> nn.Module:
    return StartEndHead(given.scorer(_ROOT_LOGIT), given.scorer(_ROOT_LOGIT), max_span=spec.max_span)


def _start_end_mlp(spec: StartEndMlp, given: Given) -> nn.Module:
    start, end = (
        MlpScorer(given.width, labels=given.labels, prior=_ROOT_LOGIT, spec=spec, dropout=given.dropout)
        for _ in range(2)
    )
    return StartEndHead(start, end, max_span=spec.max_span)


def _biaffine(spec: Biaffine, given: Given) -> nn.Module:
    return BiaffineHead(given.width, labels=given.labels, hidden=spec.hidden, max_span=spec.max_span)


def _bio_crf(spec: BioCrf, given: Given) -> nn.Module:
    return BioCrfHead(given.width, labels=given.labels)


def _sentence_reranker(spec: SentenceReranker, given: Given) -> nn.Module:
    return RerankerHead(given.width, labels=given.labels, hidden=spec.hidden, dropout=given.dropout)


EVIDENCE_HEADS: Final[Mapping[type[Spec], Callable[[Any, Given], nn.Module]]] = {
    Tagging: _tagging,
    StartEndLinear: _start_end_linear,
    StartEndMlp: _start_end_mlp,
    Biaffine: _biaffine,
    BioCrf: _bio_crf,
    SentenceReranker: _sentence_reranker,
}
"""Spec -> what makes a module of it: states (texts, units, hidden), which units are real (texts, units), and queries
(labels, hidden) become answers by name. One is `units` (texts, units, labels): logits of being evidence, `PADDED` where
no unit is."""
