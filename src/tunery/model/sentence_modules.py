"""A head of tunery's own as modules of sentence-transformers, which then reads an exported folder without tunery."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import nn

from tunery.model.heads.heads import PooledHead
from tunery.model.heads.layers import LevelLinear
from tunery.schema.config.model import LEARNED_POOLINGS, LinearHead, MlpHead, Model, Pooling

_FLAGS: Final[dict[Pooling, str]] = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "last": "pooling_mode_lasttoken",
}
"""What `Pooling` of sentence-transformers calls them: names that all of its versions read."""


def write_sentence_modules(
    folder: Path, heads: nn.ModuleDict | None, *, spec: Model, model_args: Mapping[str, Any]
) -> None:
    """Write beside an exported backbone what `SentenceTransformer(folder)` needs for its `encode` to give the logits.

    A `Dense` module for each linear layer of the head holds a copy of its weights; `load_exported` reads
    `head.safetensors`. Nothing is written where `encode` could not answer: for a head of the architecture's own or of
    other layers, a pooling with parameters, more than one output, or an output of tokens.

    Args:
        folder: what `AutoModel.from_pretrained` reads as the trained backbone.
        model_args: its arguments for that.
    """
    head, *others = heads.values() if heads is not None else (None,)
    if others or not isinstance(head, PooledHead) or not isinstance(spec.head, LinearHead | MlpHead):
        return
    if spec.head.pooling in LEARNED_POOLINGS:
        return
    dense = list(_dense(head.layers))
    width = dense[0][0].in_features
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    _write(
        folder / "sentence_bert_config.json",
        {
            "max_seq_length": spec.max_length,
            "do_lower_case": False,
            "model_args": dict(model_args),
            "tokenizer_args": {"padding_side": "right"},  # as in training, whatever the tokenizer says
        },
    )
    pooling = {flag: name == spec.head.pooling for name, flag in _FLAGS.items()}
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **pooling})
    for number, (linear, activation) in enumerate(dense, start=len(modules)):
        subfolder = folder / f"{number}_Dense"
        settings = {
            "in_features": linear.in_features,
            "out_features": linear.out_features,
            "bias": True,
            "activation_function": f"{type(activation).__module__}.{type(activation).__qualname__}",
        }
        _write(subfolder / "config.json", settings)
        state = {f"linear.{name}": tensor.detach().cpu().contiguous() for name, tensor in linear.state_dict().items()}
        save_file(state, subfolder / "model.safetensors")
        modules.append((subfolder.name, "Dense"))
    _write(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )


def _dense(layers: nn.Module) -> Iterator[tuple[nn.Linear, nn.Module]]:
    """Each linear layer of a head with what follows it; dropout does nothing outside of training."""
    rest = [layer for layer in layers.children() if not isinstance(layer, nn.Dropout)]
    for layer, following in zip(rest, [*rest[1:], nn.Identity()], strict=True):
        if isinstance(layer, LevelLinear):
            yield layer.as_linear(), nn.Identity()
        if isinstance(layer, nn.Linear):
            yield layer, nn.Identity() if isinstance(following, nn.Linear | LevelLinear) else following


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
