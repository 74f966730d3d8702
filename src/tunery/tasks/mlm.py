"""Tokens of a text that are hidden, from those around them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunery.data.examples import Example
from tunery.data.masking import Masking, make_masking
from tunery.data.rng import row_generator
from tunery.errors import ModelError
from tunery.schema.config.task import MlmTask
from tunery.tasks.language_model import LanguageModelTask

if TYPE_CHECKING:
    from tunery.data.encode import Encoded


class Mlm(LanguageModelTask):
    """Some tokens of each text are to be told: drawn anew in every epoch of training, and always the same ones of a
    text where it is scored."""

    direction: ClassVar[Literal["causal", "masked"]] = "masked"

    def __init__(self, spec: MlmTask) -> None:
        super().__init__(())
        self._spec = spec

    @classmethod
    def build(cls, spec: MlmTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "Mlm":
        return cls(spec)

    def masking(self, tokenizer: Any) -> Masking:
        """What the spec hides.

        Raises:
            ModelError: the tokenizer has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "task.kind=mlm hides tokens by the mask token of a model, but this one has none; take a model that was "
                "trained to tell hidden tokens, such as model.name=distilbert, or task.kind=causal_lm"
            )
        return make_masking(
            self._spec.masking,
            probability=self._spec.probability,
            mask_id=tokenizer.mask_token_id,
            special_ids=frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id},
            vocabulary=len(tokenizer),
        )

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> "Encoded":
        """Windows of each text that do not overlap; where they are scored, with tokens hidden by a key of their own.

        Raises:
            ModelError: the tokenizer has no mask token.
            DataError: words are hidden, and the tokenizer does not know the characters of its tokens.
        """
        from tunery.data.documents import encode_documents

        masking = self.masking(tokenizer)
        encoded = encode_documents(
            examples,
            tokenizer,
            direction="masked",
            max_length=max_length,
            training=training,
            with_words=self._spec.masking != "token",
        )
        if training:
            return encoded
        unit_ids: Sequence[Any] = encoded.unit_ids or [None] * len(encoded.ids)
        keys = (f"mask {hashlib.sha256(ids.tobytes()).hexdigest()}" for ids in encoded.ids)
        hidden = [
            masking(ids, of_words, row_generator(0, epoch=0, row=0, purpose=key))
            for ids, of_words, key in zip(encoded.ids, unit_ids, keys, strict=True)
        ]
        ids, targets = ([*column] for column in zip(*hidden, strict=True)) if hidden else ([], [])
        return replace(encoded, ids=ids, token_targets=targets, unit_ids=None)
