"""Tokens of a text that are hidden, from those around them."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from tunery.data.examples import Example
from tunery.data.masking import NO_TARGET, Masking, make_masking
from tunery.data.metrics import finite
from tunery.data.rng import row_generator
from tunery.data.row_table import Array, RowTable
from tunery.errors import ModelError
from tunery.schema.config.task import MlmTask
from tunery.tasks.language_model import MOST_NATS, LanguageModelTask
from tunery.tasks.task import FollowUp, State

if TYPE_CHECKING:
    from tunery.data.encode import Encoded


SCORED: Final = MlmTask()
"""What is hidden where texts are scored: 15 % of the tokens, each by itself."""
MOST_ALONE: Final = 1000
"""Tokens that are told each by itself, of all texts together."""


@dataclass(frozen=True)
class Alone:
    """Of a text each `every`th token is told, from number `first` on, and sees all others of its window."""

    every: int
    first: int
    target: Any
    """Of the text itself."""


class Mlm(LanguageModelTask):
    """Some tokens of each text are to be told: drawn anew in every epoch of training, as the spec says, and always the
    same ones of a text where it is scored, whatever the spec says, so that runs compare."""

    direction: ClassVar[Literal["causal", "masked"]] = "masked"
    fills: ClassVar[bool] = True

    @classmethod
    def build(cls, spec: MlmTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Mlm":
        return cls(())

    def masking(self, spec: MlmTask, tokenizer: Any) -> Masking:
        """What the spec hides in training.

        Raises:
            ModelError: the tokenizer has no mask token, or words are to be hidden and it does not know the characters
                of its tokens.
        """
        if spec.masking != "token" and not tokenizer.is_fast:
            raise ModelError(
                f"task.masking={spec.masking} finds words by the characters of tokens, which only fast tokenizers "
                f"know, but {type(tokenizer).__name__} is none; take task.masking=token, or a model with tokenizer.json"
            )
        return _masking(spec, tokenizer)

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> "Encoded":
        """Windows of each text that do not overlap; where they are scored, with tokens hidden as `SCORED` says, by a
        key of their own.

        Raises:
            ModelError: the tokenizer has no mask token.
        """
        from tunery.data.documents import encode_documents

        masking = _masking(SCORED, tokenizer)
        wanted = [example.target for example in examples if isinstance(example.target, Alone)]
        if wanted:
            examples = [replace(example, target=alone.target) for example, alone in zip(examples, wanted, strict=True)]
        encoded = encode_documents(
            examples,
            tokenizer,
            direction="masked",
            max_length=max_length,
            training=training,
            with_words=training and tokenizer.is_fast,
        )
        if training:
            return encoded
        if wanted:
            return _alone(encoded, wanted, tokenizer)
        keys = (f"mask {hashlib.sha256(ids.tobytes()).hexdigest()}" for ids in encoded.ids)
        hidden = [
            masking(ids, None, row_generator(0, epoch=0, row=0, purpose=key))
            for ids, key in zip(encoded.ids, keys, strict=True)
        ]
        return replace(encoded, ids=[part.ids for part in hidden], token_targets=[part.targets for part in hidden])

    def around_masks(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int
    ) -> Iterable[Sequence[tuple[Array, Array]]]:
        """Its own mask tokens: nothing else is hidden."""
        from tunery.data.documents import around_masks

        return around_masks(examples, tokenizer, max_length=max_length)

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Of the tokens that are hidden. There are no `bits_per_byte`: what is hidden is a part of the text."""
        scored = super().score(answers, truth, state)
        return {name: value for name, value in scored.items() if name != "bits_per_byte"}

    def follow_up(self, examples: Sequence[Example], answers: RowTable, state: State | None) -> FollowUp:
        """Pseudo-perplexity: the exponential of the mean loss of tokens, each hidden alone (Salazar et al. 2020, arXiv
        1910.14659, section 2.3). Of more than about a thousand tokens, some at equal distances stand for all."""
        tokens = int(answers["tokens"].sum()) / SCORED.probability
        every = max(1, math.ceil(tokens / MOST_ALONE))
        alone = [
            replace(example, target=Alone(every, row % every, example.target)) for row, example in enumerate(examples)
        ]

        def metrics(told: RowTable) -> Mapping[str, float | None]:
            nats, count = float(finite(told["nats"]).sum()), int(told["tokens"].sum())
            return {"pseudo_perplexity": math.exp(min(nats / count, MOST_NATS)) if count else None}

        return FollowUp(alone, metrics)


def _masking(spec: MlmTask, tokenizer: Any) -> Masking:
    if tokenizer.mask_token_id is None:
        raise ModelError(
            "task.kind=mlm hides tokens by the mask token of a model, but this one has none; take a model that was "
            "trained to tell hidden tokens, such as model.name=distilbert, or task.kind=causal_lm"
        )
    return make_masking(
        spec.masking,
        probability=spec.probability,
        mask_id=tokenizer.mask_token_id,
        special_ids=frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id},
        vocabulary=len(tokenizer),
    )


def _alone(encoded: "Encoded", wanted: Sequence[Alone], tokenizer: Any) -> "Encoded":
    """A feature for each token that is to be told, with nothing else hidden; one without for a row that has none."""
    special = np.array(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))
    ids, targets, rows, seen = [], [], [], dict.fromkeys(range(len(wanted)), 0)
    for window, row in zip(encoded.ids, encoded.rows.tolist(), strict=True):
        places = np.flatnonzero(~np.isin(window, special))
        every, first = wanted[row].every, wanted[row].first
        chosen = places[(np.arange(len(places)) + seen[row]) % every == first]
        for place in chosen if len(chosen) or seen[row] else [None]:
            hidden, told = window.copy(), np.full(len(window), NO_TARGET, dtype=np.int32)
            if place is not None:
                hidden[place], told[place] = tokenizer.mask_token_id, window[place]
            ids.append(hidden)
            targets.append(told)
            rows.append(row)
        seen[row] += len(places)
    lengths = np.array([len(window) for window in ids], dtype=np.int64)
    types = None if encoded.type_ids is None else [np.zeros(len(window), dtype=np.int8) for window in ids]
    return replace(
        encoded, ids=ids, type_ids=types, token_targets=targets, lengths=lengths, rows=np.array(rows), unit_ids=None
    )
