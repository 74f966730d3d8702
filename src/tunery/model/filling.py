"""A masked language model says which tokens may stand in place of masks."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from tunery.model.heads.vocabulary import language_model


class MaskWindow(NamedTuple):
    """Tokens with special tokens around them, and the masks among them that are asked about."""

    ids: Sequence[int]
    places: Sequence[int]
    """Of the masks, ascending; one at least."""


class Filling(NamedTuple):
    """A token in place of a mask."""

    text: str
    probability: float
    """Among all tokens of the vocabulary."""


@final
class Filler:
    """A masked language model with its tokenizer, in eval mode, on its device."""

    def __init__(self, module: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = language_model(module)
        self._device = next(module.parameters()).device
        self._tokenizer = tokenizer

    @torch.inference_mode()
    def fill(self, windows: Sequence[MaskWindow], top_k: int) -> list[list[list[Filling]]]:
        """For each mask of each window the likeliest tokens, the likeliest first, all in one batch. A mask is told from
        the tokens around it, the other masks as they are.

        Args:
            top_k: tokens that are named for a mask; all of the vocabulary where it has fewer.
        """
        width = max(len(window.ids) for window in windows)
        pad = int(self._tokenizer.pad_token_id)
        ids = torch.tensor([[*window.ids, *[pad] * (width - len(window.ids))] for window in windows])
        mask = torch.tensor([[1] * len(window.ids) + [0] * (width - len(window.ids)) for window in windows])
        asked = torch.zeros_like(mask, dtype=torch.bool)
        for row, window in enumerate(windows):
            asked[row, [*window.places]] = True
        batch = {"input_ids": ids.to(self._device), "attention_mask": mask.to(self._device)}
        logits = self._model.logits_at(asked.to(self._device), **batch)
        known = len(self._tokenizer)  # embeddings that are there to round their number up belong to no token
        best = logits.float().softmax(dim=1)[:, :known].topk(min(top_k, known), dim=1)
        fillings = [
            [Filling(self._text(token), probability) for token, probability in zip(tokens, values, strict=True)]
            for tokens, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        ends = torch.tensor([len(window.places) for window in windows]).cumsum(dim=0).tolist()
        return [fillings[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _text(self, token: int) -> str:
        return str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
