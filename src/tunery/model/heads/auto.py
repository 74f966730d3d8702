"""`model.head: auto`: the head that suits a base, found in its files."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from tunery.model.backbones.catalog import Base
from tunery.model.backbones.hub import folder_of
from tunery.schema.config.model import AutoHead, Head, LinearHead, NativeHead, Pooling
from tunery.schema.config.task import Outputs, VocabularyOutput

_MODES: Final[dict[str, Pooling]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "cls": "cls",
    "mean": "mean",
    "lasttoken": "last",
}
"""What sentence-transformers calls them: a flag each, in later versions one name."""


def resolved_head(spec: Head, base: Base, outputs: Outputs) -> Head:
    """The head itself, or what `auto` means for a base: its own, where tokens of its vocabulary are to be told; else
    one linear layer over the pooling it was trained with.

    That is the pooling that a sentence-transformers folder names; else the last token for what was trained to predict
    the next one, and the mean over tokens for all others (Reimers & Gurevych 2019, arXiv 1908.10084, table 6).
    """
    if not isinstance(spec, AutoHead):
        return spec
    if any(isinstance(output, VocabularyOutput) for output in outputs.values()):
        return NativeHead()
    folder = folder_of(base)
    pooling = _of_sentence_transformers(folder) or ("last" if is_causal(folder) else "mean")
    return LinearHead(pooling=pooling, init=spec.init)


def _of_sentence_transformers(folder: Path) -> Pooling | None:
    """None where the folder names no pooling, or one that `Pooling` has not."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        (pooling,) = (module for module in modules if module["type"].endswith("Pooling"))
        config: dict[str, Any] = json.loads((folder / pooling["path"] / "config.json").read_text(encoding="utf-8"))
        named = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
        (mode,) = named or [config["pooling_mode"]]
        return _MODES.get(mode)
    return None


def is_causal(folder: Path) -> bool:
    """Whether a model goes on from left to right, and is none that fills in hidden tokens."""
    config, _ = PretrainedConfig.get_config_dict(folder, local_files_only=True)
    family = config.get("model_type")
    return family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
