"""Translations of sentences by a sequence-to-sequence model, drawn at random."""

import warnings
from typing import Any, Final, final

import torch
from torch import nn
from transformers import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunery.errors import MissingExtra, ModelError, reason_of
from tunery.model.backbones.backbone import load_config, load_pretrained, load_tokenizer, quiet
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.dropout import set_all_dropouts
from tunery.model.heads.heads import Loading

TOP_P: Final = 0.9
"""Each token is drawn from the likeliest ones that have this probability together."""
_LOADING: Final = Loading(AutoModelForSeq2SeqLM, "", set_all_dropouts)
_PACKAGES: Final = ("sentencepiece", "sacremoses")
"""Of the extra `translation`: what tokenizers of such models need."""
_RULE: Final = "augmentation by back_translation needs two models that translate, each into one language"
_REMEDY: Final = "name others as regularization.augmentation.model and back, or choose another augmentation"


@final
class Translator:
    """Translates one sentence at a time, so that a translation does not depend on what else is asked."""

    def __init__(self, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Args:
        module: in eval mode, on the device where it runs.
        """
        self._module = module
        self._tokenizer = tokenizer
        positions = getattr(module.config, "max_position_embeddings", None)
        self._longest = min(tokenizer.model_max_length, positions or _MOST_TOKENS, _MOST_TOKENS)

    @torch.inference_mode()
    def translation(self, sentence: str, *, seed: int) -> str:
        """A translation whose tokens are drawn by nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751, section
        3.1); torch's own random numbers stay as they are.

        Returns: empty where the sentence is longer than the model can read, or where no end of its translation comes.

        Args:
            seed: the same one gives the same translation.
        """
        device = self._module.device
        given: Any = self._tokenizer(sentence, return_tensors="pt", verbose=False)["input_ids"]
        count = given.shape[1]
        if count > self._longest:
            return ""
        most = min(self._longest, 3 * count + 20)
        with quiet(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            (drawn,) = self._module.generate(  # type: ignore[operator]
                given.to(device),
                attention_mask=torch.ones_like(given, device=device),
                do_sample=True,
                num_beams=1,
                top_p=TOP_P,
                top_k=0,
                max_new_tokens=most,
            ).tolist()
        is_cut = len(drawn) > most  # it begins with a token that is not drawn
        return "" if is_cut else str(self._tokenizer.decode(drawn, skip_special_tokens=True)).strip()


_MOST_TOKENS: Final = 512
"""Of a sentence, and of its translation."""


def load_translator(base: Base, *, device: torch.device) -> Translator:
    """A model that translates, with its tokenizer. Draws no random numbers.

    Raises:
        ModelError: it is no sequence-to-sequence model, has to be told with every text into which language it
            translates, or cannot translate.
        MissingExtra: its tokenizer needs a package that is not installed.
    """
    tokenizer = _load_tokenizer(base)
    config = load_config(base, outputs={}, tokenizer=tokenizer)
    if type(config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING or not config.is_encoder_decoder:
        raise ModelError(f"{_RULE}, but {base.name!r} is no sequence-to-sequence model; {_REMEDY}")
    with torch.random.fork_rng(devices=[]):
        module, fresh = load_pretrained(base, config=config, loading=_LOADING, tokenizer=tokenizer)
    if fresh:
        raise ModelError(f"{_RULE}, but {base.name!r} has no weights for it ({min(fresh)}); {_REMEDY}")
    _require_one_language(base, config, module, tokenizer)
    nn.Module.to(module, device)
    translator = Translator(module, tokenizer)
    try:
        translator.translation("a word", seed=0)
    except Exception as error:  # what settings of generation that do not fit lead to has no common type
        raise ModelError(f"{_RULE}, but {base.name!r} cannot: {reason_of(error)}; {_REMEDY}") from error
    return translator


def _load_tokenizer(base: Base) -> PreTrainedTokenizerBase:
    with warnings.catch_warnings():
        # Marian's reads texts in another way without sacremoses
        warnings.filterwarnings("error", message="Recommended: pip install sacremoses")
        try:
            return load_tokenizer(base)
        except ModelError as error:
            reason = str(error.__cause__).lower()
            if isinstance(error.__cause__, ImportError | UserWarning):
                for package in _PACKAGES:
                    if package in reason:
                        raise MissingExtra(package, extra="translation") from error
            raise


def _require_one_language(
    base: Base, config: PretrainedConfig, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    generation: Any = module.generation_config
    if hasattr(tokenizer, "src_lang") and generation.forced_bos_token_id is None:
        raise ModelError(
            f"{_RULE}, but {base.name!r} knows many and is told which: save a copy of it whose tokenizer has the "
            "`src_lang` of the texts, and whose generation_config.json has the token of the other language as "
            "`forced_bos_token_id`"
        )
    tasks = getattr(config, "task_specific_params", None) or {}
    if prefix := next((task["prefix"] for task in tasks.values() if task.get("prefix")), None):
        raise ModelError(f"{_RULE}, but {base.name!r} is told by words before a text, as {prefix!r}; {_REMEDY}")
