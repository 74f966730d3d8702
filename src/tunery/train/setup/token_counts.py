"""How many tokens a model makes of texts, without torch where its tokenizer is one file."""

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tunery.errors import ModelError, reason_of
from tunery.model.backbones.catalog import Base, resolve
from tunery.schema.config.model import Model

Texts = tuple[str, str | None]
"""A text, and the second one of a pair."""
_UNKNOWN: Final = ("[UNK]", "<unk>")
"""Tokens for what a vocabulary lacks; other tokens that a tokenizer gives as its unknown one have another use."""
_MASKS: Final = ("[MASK]", "<mask>")
"""Tokens that stand for a hidden one."""


class TokenCounts:
    """The tokenizer of a model, which counts."""

    def __init__(
        self,
        model: str,
        of: Callable[[Sequence[Texts]], list[list[int]]],
        *,
        unknown: int | None,
        special: Collection[int],
        has_mask: bool,
        longest: int | None,
    ) -> None:
        """Args:
        of: gives the tokens of each text or pair, special tokens included.
        has_mask: whether there is a token that stands for a hidden one.
        longest: tokens that the model has positions for; None where its files do not say it.
        """
        self.model = model
        self.of = of
        self.unknown = unknown
        self.special = special
        self.has_mask = has_mask
        self.longest = longest


def token_counts(model: str, *, default: str) -> TokenCounts | None:
    """What counts the tokens of a model; None where it is the default and is not on this machine.

    Raises:
        ModelError: it cannot be found, or comes without a usable tokenizer.
    """
    base = resolve(Model(name=model))
    if not base.local and model == default:
        return None
    file = Path(base.source) / "tokenizer.json"
    return _of_one_file(base, file) if base.local and file.is_file() else _of_transformers(base)


def _of_one_file(base: Base, file: Path) -> TokenCounts:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
        name = json.loads(file.read_bytes())["model"].get("unk_token")
    except Exception as error:  # `tokenizers` raises nothing more special
        raise ModelError(f"the tokenizer of {base.name!r} cannot be read: {reason_of(error)}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown = tokenizer.token_to_id(name) if name in _UNKNOWN else None
    added = tokenizer.get_added_tokens_decoder().items()

    def of(texts: Sequence[Texts]) -> list[list[int]]:
        rows = [first if second is None else (first, second) for first, second in texts]
        return [encoding.ids for encoding in tokenizer.encode_batch(rows)]

    special = [number for number, token in added if token.special and number != unknown]
    has_mask = any(token.content in _MASKS for _, token in added)
    return TokenCounts(base.name, of, unknown=unknown, special=special, has_mask=has_mask, longest=_positions(base))


def _of_transformers(base: Base) -> TokenCounts:
    from tunery.model.backbones.backbone import load_tokenizer

    tokenizer = load_tokenizer(base)
    unknown = tokenizer.unk_token_id if tokenizer.unk_token in _UNKNOWN else None

    def of(texts: Sequence[Texts]) -> list[list[int]]:
        seconds = [second or "" for _, second in texts] if any(second is not None for _, second in texts) else None
        encoded = tokenizer([first for first, _ in texts], seconds, return_attention_mask=False, verbose=False)
        return [list(ids) for ids in encoded["input_ids"]]

    special = [number for number in tokenizer.all_special_ids if number != unknown]
    has_mask = tokenizer.mask_token_id is not None
    return TokenCounts(base.name, of, unknown=unknown, special=special, has_mask=has_mask, longest=_positions(base))


def _positions(base: Base) -> int | None:
    """As its config.json says; some families have two fewer, which `check` finds."""
    with suppress(OSError, ValueError, AttributeError):
        config = json.loads((Path(base.source) / "config.json").read_bytes())
        found = [config[key] for key in ("max_position_embeddings", "n_positions") if isinstance(config.get(key), int)]
        return min(found) if found and min(found) > 0 else None
    return None
