"""What a masked language model thinks could be at some places of a text."""

from collections.abc import Sequence
from typing import Any, Final, final

import torch
from torch import nn
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerBase

from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_config, load_pretrained, load_tokenizer, longest_input
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.dropout import set_all_dropouts
from tunery.model.heads.heads import Loading

MOST: Final = 10
"""Words that are thought of for one place."""
_LOADING: Final = Loading(AutoModelForMaskedLM, "", set_all_dropouts)


@final
class MaskedLanguageModel:
    """Answers about one text at a time, so that an answer does not depend on what else is asked."""

    def __init__(self, module: nn.Module, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> None:
        """Args:
        module: in eval mode, on the device where it runs.
        tokenizer: a fast one that has a mask token.
        max_length: tokens of a window; longer texts have several.
        """
        self._module = module
        self._tokenizer = tokenizer
        self._max_length = max_length
        names = _whole_words(tokenizer)
        self._names = list(names.values())
        self._ids = torch.tensor(list(names), device=next(module.parameters()).device)

    @torch.inference_mode()
    def guess(self, text: str, places: Sequence[tuple[int, int]]) -> list[dict[str, float]]:
        """For each place up to ten words that are one token, with their probabilities: not the one that is there.

        Args:
            places: begin and end in characters, in order and apart; all are hidden at once, each by one mask token.
        """
        mask = str(self._tokenizer.mask_token)
        masked, ends, kept = "", dict[int, int](), 0
        for number, (start, end) in enumerate(places):
            masked += text[kept:start] + mask
            ends[len(masked)], kept = number, end
        batch: Any = self._tokenizer(
            masked + text[kept:],
            truncation=True,
            max_length=self._max_length,
            stride=self._max_length // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        answers: list[dict[str, float]] = [{} for _ in places]
        for window, (ids, offsets) in enumerate(zip(batch["input_ids"], batch["offset_mapping"], strict=True)):
            hidden = {
                token: ends.pop(end)
                for token, (identity, (_, end)) in enumerate(zip(ids, offsets, strict=True))
                if identity == self._tokenizer.mask_token_id and end in ends
            }
            if hidden:
                inputs = {
                    name: torch.tensor([batch[name][window]], device=self._ids.device)
                    for name in self._tokenizer.model_input_names
                }
                logits = self._module(**inputs).logits[0, list(hidden)].float()[:, self._ids]
                best = logits.softmax(dim=1).topk(min(MOST + 1, len(self._names)), dim=1)
                for place, values, numbers in zip(hidden.values(), *map(torch.Tensor.tolist, best), strict=True):
                    own = text[slice(*places[place])].lower()
                    options = ((self._names[number], value) for number, value in zip(numbers, values, strict=True))
                    others = [(name, value) for name, value in options if name.lower() != own]
                    answers[place] = dict(others[:MOST])
        return answers


def load_masked_lm(base: Base, *, max_length: int, device: torch.device) -> MaskedLanguageModel:
    """The masked language model in a base, with the head that it was trained with. Draws no random numbers.

    Args:
        max_length: tokens of a window, if the model can read that many.

    Raises:
        ModelError: it has no such head, or no tokenizer that knows masks and the characters of tokens.
    """
    tokenizer = load_tokenizer(base)
    if tokenizer.mask_token_id is None or not tokenizer.is_fast:
        lacks = "no mask token" if tokenizer.is_fast else "no fast tokenizer"
        raise ModelError(f"{_RULE}, but {base.name!r} has {lacks}; {_REMEDY}")
    config = load_config(base, outputs={}, tokenizer=tokenizer)
    with torch.random.fork_rng(devices=[]):
        module, fresh = load_pretrained(base, config=config, loading=_LOADING, tokenizer=tokenizer)
    if fresh:
        raise ModelError(f"{_RULE}, but {base.name!r} has no weights for it ({min(fresh)}); {_REMEDY}")
    length = min(max_length, longest_input(module) or max_length)
    return MaskedLanguageModel(nn.Module.to(module, device), tokenizer, max_length=length)


_RULE: Final = "augmentation by masked_lm needs a model with the head of its masked language modelling"
_REMEDY: Final = "name one that has it as regularization.augmentation.model, or choose another augmentation"


def _whole_words(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The tokens that are words of letters, of two or more: token id -> word."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    texts = [tokenizer.convert_tokens_to_string([token]).strip() for token in tokens]
    words = dict.fromkeys(text for text in texts if text.isalpha() and len(text) > 1)
    ids: Any = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    return {token_ids[0]: word for word, token_ids in zip(words, ids, strict=True) if len(token_ids) == 1}
