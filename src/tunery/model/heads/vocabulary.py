"""A language model with the head that it was pretrained with, asked how likely it finds given tokens.

No logits leave it: with a vocabulary of 150,000 words those of a single text take more memory than the model. What the
model hands to its decoder, the matrix from states to logits, is taken out instead, and decoded for a few places at a
time, and only for those where something is to be told.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tunery.model.heads.answers import Answers
from tunery.model.on_trial import FAILURES, on_trial

MOST_LOGITS: Final = 1 << 25
"""Logits that are computed at once: 128 MiB in float32."""
NO_TARGET: Final = -100
NOT_READ: Final = ("targets", "segments", "unit_ids")
"""Inputs that are not for the pretrained part."""


class Told(NamedTuple):
    """About tokens that are told; both (places,)."""

    losses: Tensor
    """float32"""
    hits: Tensor
    """bool"""


@final
class LanguageModel(nn.Module):
    """A pretrained language model, with its own head."""

    def __init__(self, backbone: nn.Module) -> None:
        """Args:
        backbone: answers with logits (texts, tokens, vocabulary).
        """
        super().__init__()
        self.backbone = backbone
        self.in_chunks = _only_decodes(backbone)
        """Whether logits are what the decoder gives; families that scale or bound them answer with all at once."""

    def forward(self, **inputs: Tensor) -> Answers:
        """`token_loss` float32 and `token_hits` bool, both (texts, tokens), 0 and False where nothing is to be told.

        Args:
            inputs: (texts, tokens) each. `targets`: the token to be told at each place, -100 where none is. `segments`,
                where a row has several texts: their numbers; no token sees one of another text.
        """
        targets = inputs["targets"]
        told = targets != NO_TARGET
        tokens = {name: tensor for name, tensor in inputs.items() if name not in NOT_READ}
        if "segments" in inputs:
            tokens = _apart(tokens, inputs["segments"])
            with _no_advice():
                return self._answers(tokens, targets, told)
        return self._answers(tokens, targets, told)

    def logits_at(self, asked: Tensor, **tokens: Tensor) -> Tensor:
        """Logits at some places, (places, vocabulary), in the order of the texts and of their tokens.

        Args:
            asked: bool (texts, tokens).
            tokens: (texts, tokens) each.
        """
        if not self.in_chunks:
            logits: Tensor = self.backbone(**tokens).logits[:, -asked.shape[1] :]
            return logits[asked]
        decoder = _decoder(self.backbone)
        states = states_before(decoder, partial(self.backbone, **tokens))[:, -asked.shape[1] :]
        decoded: Tensor = decoder(states[asked])
        return decoded

    def _answers(self, tokens: Mapping[str, Tensor], targets: Tensor, told: Tensor) -> Answers:
        if self.in_chunks:
            decoder = _decoder(self.backbone)
            states = states_before(decoder, partial(self.backbone, **tokens))[:, -targets.shape[1] :]
            answers = _in_chunks(decoder, states[told], targets[told])
        else:
            logits = self.backbone(**tokens).logits[:, -targets.shape[1] :]
            answers = _compared(logits[told], targets[told])
        losses, hits = torch.zeros_like(targets, dtype=torch.float32), torch.zeros_like(targets, dtype=torch.bool)
        losses[told], hits[told] = answers
        return Answers(token_loss=losses, token_hits=hits)


def language_model(module: nn.Module) -> LanguageModel:
    """The language model that `heads.assemble` made, wherever it is by now."""
    return next(part for part in module.modules() if isinstance(part, LanguageModel))


def states_before(decoder: nn.Module, forward: Callable[[], Any]) -> Tensor:
    """What a model hands to its decoder, (texts, tokens, hidden); the decoder itself has nothing to do."""
    taken: list[Tensor] = []

    def take(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        taken.append(args[0])
        return (args[0][:, :0],)

    handle = decoder.register_forward_pre_hook(take)
    try:
        forward()
    finally:
        handle.remove()
    (states,) = taken
    return states


def _in_chunks(decoder: nn.Module, states: Tensor, targets: Tensor) -> Told:
    """(places, hidden), (places,) -> about each place. In training the logits of a chunk are computed again for its
    gradient, so that no more than those of one chunk are ever there."""
    size = max(1, MOST_LOGITS // len(decoder.weight))  # type: ignore[arg-type]
    decode: Callable[..., Told] = partial(_decoded, decoder)
    if torch.is_grad_enabled():
        decode = partial(checkpoint, decode, use_reentrant=False)
    parts = [decode(*chunk) for chunk in zip(torch.split(states, size), torch.split(targets, size), strict=True)]
    return Told(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _decoded(decoder: nn.Module, states: Tensor, targets: Tensor) -> Told:
    return _compared(decoder(states), targets)


def _compared(logits: Tensor, targets: Tensor) -> Told:
    """(places, vocabulary), (places,)"""
    return Told(F.cross_entropy(logits.float(), targets, reduction="none"), logits.argmax(dim=-1) == targets)


def _apart(tokens: Mapping[str, Tensor], segments: Tensor) -> dict[str, Tensor]:
    """The same tokens, with positions that begin anew with every segment.

    transformers keeps texts apart whose positions begin anew, where it gets no mask and keeps no cache. Padding is a
    segment of its own, behind all others, which they do not see.
    """
    places = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    positions = places - torch.where(begins, places, 0).cummax(dim=1).values
    rest = {name: tensor for name, tensor in tokens.items() if name != "attention_mask"}
    return {**rest, "position_ids": positions, "use_cache": False}  # type: ignore[dict-item]


@contextmanager
def _no_advice() -> Iterator[None]:
    """Without the advice of some families that padding needs a mask: here it is apart from all texts."""
    logger, advice = logging.getLogger("transformers.modeling_utils"), _Advice()
    logger.addFilter(advice)
    try:
        yield
    finally:
        logger.removeFilter(advice)


class _Advice(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "passing in an `attention_mask`" not in record.getMessage()


def _decoder(model: nn.Module) -> nn.Module:
    """The matrix from states to logits, whatever a method has put around the pretrained model."""
    pretrained = next(part for part in model.modules() if isinstance(part, PreTrainedModel))
    decoder: nn.Module = pretrained.get_output_embeddings()  # type: ignore[no-untyped-call]
    return decoder


def _only_decodes(model: nn.Module) -> bool:
    """Whether what the decoder puts out is what the model answers: seen by putting large numbers in its place."""
    ids = torch.ones((1, 3), dtype=torch.long, device=next(model.parameters()).device)
    with on_trial(model):
        try:
            decoder = _decoder(model)
            answer = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            numbers = torch.linspace(-100, 100, answer.numel(), device=answer.device).view_as(answer)
            handle = decoder.register_forward_hook(lambda module, args, output: numbers.to(output.dtype))
            try:
                answer = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            finally:
                handle.remove()
            states = states_before(decoder, partial(model, input_ids=ids, attention_mask=torch.ones_like(ids)))
        except FAILURES:
            return False
        virtual = states.shape[1] - answer.shape[1]  # tokens that a method puts before those of the text
        return torch.equal(answer, numbers.to(answer.dtype)) and virtual >= 0
