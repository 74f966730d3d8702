"""A language model goes on from prompts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final, NamedTuple, cast, final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    TextIteratorStreamer,
)

from tunery.errors import RequestError
from tunery.model.backbones.backbone import longest_input, quiet
from tunery.model.heads.vocabulary import language_model
from tunery.model.peft.library_models import is_peft_model
from tunery.model.peft.library_warnings import without_noise
from tunery.schema.config.generation import Generation

_HARMLESS: Final = ("Position ids are not supported",)  # without padding they are the usual ones
_UNSET: Final = 10**9
"""Longest input of a model that says none."""


class Prompt(NamedTuple):
    """What a text goes on from."""

    ids: Sequence[int]
    row: int
    """Place among all that is asked: the key of what is drawn for it."""


class Written(NamedTuple):
    """What came after a prompt."""

    text: str
    confidence: float
    """Geometric mean of the probabilities that the model gave the tokens."""


@final
class Writer:
    """A language model with its tokenizer, in eval mode, on its device."""

    def __init__(self, module: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = language_model(module).backbone
        self._tokenizer = tokenizer
        self._pretrained = next(part for part in self._model.modules() if isinstance(part, PreTrainedModel))

    def write(self, prompts: Sequence[Prompt], generation: Generation) -> list[Written]:
        """What comes after each prompt, all in one batch.

        Raises:
            RequestError: nothing fits before the tokens that are to be written.
        """
        if len(prompts) > 1 and any(config.peft_type == "PROMPT_TUNING" for config in self._prompt_configs()):
            # the library puts virtual tokens before the padding, which moves the positions of a shorter text
            return [written for prompt in prompts for written in self.write([prompt], generation)]
        batch, choice = self._batch(prompts, generation), _Choice(prompts, generation)
        with self._plainly():
            ids = self._generate(batch, choice, generation)
        start, ends = batch["input_ids"].shape[1], self._ends()
        log_p = torch.stack(choice.log_p, dim=1).cpu().numpy()  # (texts, tokens)
        texts = []
        for row, prompt in enumerate(prompts):
            new = ids[row, start:].tolist()
            count = next((place + 1 for place, token in enumerate(new) if token in ends), len(new))
            text = self._text([*prompt.ids, *new[:count]])[len(self._text(prompt.ids)) :]
            texts.append(Written(_before(text, generation.stop), float(np.exp(log_p[row, :count].mean()))))
        return texts

    def stream(self, prompt: Prompt, generation: Generation) -> Iterator[str]:
        """The same text piece by piece, as it is written. The model stops when the iterator is closed.

        Raises:
            RequestError: as `write` does.
        """
        batch, choice, left = self._batch([prompt], generation), _Choice([prompt], generation), Event()
        pieces = TextIteratorStreamer(cast(Any, self._tokenizer), skip_prompt=True, skip_special_tokens=True)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                with self._plainly():
                    self._generate(batch, choice, generation, streamer=pieces, stopping_criteria=[_Left(left)])
            except BaseException as error:
                failures.append(error)
                pieces.end()  # type: ignore[no-untyped-call]

        thread = Thread(target=work, daemon=True)
        thread.start()
        kept, held = "", max(map(len, generation.stop), default=1) - 1  # the end may be the beginning of a stop string
        try:
            for piece in pieces:
                kept += piece
                if (text := _before(kept, generation.stop)) != kept:
                    kept = ""
                    yield from [text] if text else []
                    break
                ready = len(kept) - held
                if ready > 0:
                    yield kept[:ready]
                    kept = kept[ready:]
            if kept:
                yield kept
        finally:
            left.set()
            thread.join()
        if failures:
            raise failures[0]

    def _batch(self, prompts: Sequence[Prompt], generation: Generation) -> dict[str, Tensor]:
        """Prompts that are padded on the left; of one that is too long, its end."""
        longest = longest_input(self._pretrained) or self._pretrained.config.get_text_config().to_dict().get(
            "max_position_embeddings", _UNSET
        )
        virtual = sum(config.num_virtual_tokens for config in self._prompt_configs())
        room = longest - virtual - generation.max_new_tokens
        if room < 1:
            raise RequestError(
                f"the model reads {longest - virtual} tokens at most, of which max_new_tokens="
                f"{generation.max_new_tokens} leave none for a prompt; lower it"
            )
        rows = [torch.tensor([*prompt.ids][-room:], dtype=torch.long) for prompt in prompts]
        width = max(map(len, rows))
        pad = int(self._tokenizer.pad_token_id)
        ids = torch.stack([nn.functional.pad(row, (width - len(row), 0), value=pad) for row in rows])
        mask = torch.stack([nn.functional.pad(torch.ones_like(row), (width - len(row), 0)) for row in rows])
        device = self._pretrained.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def _prompt_configs(self) -> list[Any]:
        model: Any = self._model
        configs = model.peft_config.values() if is_peft_model(model) else ()
        return [config for config in configs if config.is_prompt_learning]

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Without what the base's authors recommend: temperatures, penalties; and without advice about masks, which
        transformers gives where a text is the token that pads, and nothing is padded."""
        recommended = self._pretrained.generation_config
        self._pretrained.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        try:
            with torch.inference_mode(), without_noise(*_HARMLESS), quiet():
                yield
        finally:
            self._pretrained.generation_config = recommended

    def _generate(self, batch: dict[str, Tensor], choice: "_Choice", generation: Generation, **more: Any) -> Tensor:
        model: Any = self._model if is_peft_model(self._model) else self._pretrained
        stop = {"stop_strings": [*generation.stop], "tokenizer": self._tokenizer} if generation.stop else {}
        ids: Tensor = model.generate(
            **batch,
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=sorted(self._ends()) or None,
            pad_token_id=self._tokenizer.pad_token_id,
            logits_processor=[choice],
            **stop,
            **more,
        )
        return ids

    def _ends(self) -> set[int]:
        """Tokens that end a text: the tokenizer's, and those that the model's authors name."""
        named: Any = self._pretrained.config.get_text_config().eos_token_id
        ends = {self._tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
        return {int(token) for token in ends if token is not None}

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode([*ids], skip_special_tokens=True))


@final
class _Choice(LogitsProcessor):
    """Chooses the next token of each text, which then is the only one that is possible."""

    def __init__(self, prompts: Sequence[Prompt], generation: Generation) -> None:
        self._draws = [np.random.default_rng([generation.seed, prompt.row]) for prompt in prompts]
        self._temperature, self._top_p = generation.temperature, generation.top_p
        self.log_p: list[Tensor] = []
        """Of the chosen tokens, step by step: (texts,)."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(texts, vocabulary)"""
        log_p = scores.float().log_softmax(dim=1)
        chosen = self._drawn(log_p / self._temperature) if self._temperature else log_p.argmax(dim=1)
        self.log_p.append(log_p.gather(1, chosen[:, None])[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)

    def _drawn(self, logits: Tensor) -> Tensor:
        p, tokens = logits.softmax(dim=1).double().sort(dim=1, descending=True, stable=True)
        before = p.cumsum(dim=1) - p
        reached = (p * (before < self._top_p)).cumsum(dim=1)
        places = torch.tensor([[draw.random()] for draw in self._draws], device=p.device, dtype=p.dtype)
        ranks = (reached <= places * reached[:, -1:]).sum(dim=1, keepdim=True).clamp(max=p.shape[1] - 1)
        return tokens.gather(1, ranks)[:, 0]


@final
class _Left(StoppingCriteria):
    """Stops where nobody reads any more."""

    def __init__(self, left: Event) -> None:
        self._left = left

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(texts,)"""
        return torch.full((len(input_ids),), self._left.is_set(), device=input_ids.device, dtype=torch.bool)


def _before(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop string."""
    return text[: min((place for word in stop if (place := text.find(word)) >= 0), default=len(text))]
