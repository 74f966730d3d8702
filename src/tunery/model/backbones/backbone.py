"""A base model becomes a pretrained module, a tokenizer and a digest."""

import hashlib
import inspect
import logging as standard_logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, TypeVar, cast

import torch
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.utils import logging

from tunery.errors import ModelError, TuneryError, reason_of
from tunery.model.backbones.catalog import HUB, Base, Pretrained
from tunery.model.backbones.hub import folder_of, weight_files
from tunery.model.backbones.quantization import loading_options, make_trainable
from tunery.model.backbones.structure import find_layers
from tunery.model.backbones.weight_names import renaming
from tunery.model.heads.heads import Loading
from tunery.schema.config.task import CriteriaOutput, LabelOutput, NumberOutput, Outputs
from tunery.schema.reading.json_text import NotJson, parse_json
from tunery.schema.reading.utf8 import NotUtf8, decode_utf8
from tunery.schema.sizes import size_text

T = TypeVar("T")

PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "number": "regression",
}
"""What transformers calls them."""

PRETRAINED: Final = "+"
"""In the digest of a base, before that of what it has learned in continued pretraining."""
_HARMLESS: Final = 250_000_000
"""Parameters that are loaded without a question: 1 GB."""
_MANY: Final = 1000
"""Layers, or experts in a layer, from which their number is compared with the size of the weights."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and reports from the user: a head that is newly initialised is what was asked for."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(standard_logging.ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(base: Base) -> PreTrainedTokenizerBase:
    """The tokenizer of the base; where it has no padding token, the end-of-text token pads.

    Raises:
        ModelError: the model comes without a usable tokenizer.
    """
    folder = folder_of(base)

    def load() -> PreTrainedTokenizerBase:
        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=base.trust_remote_code)
        if loaded.pad_token is None:
            loaded.pad_token = loaded.eos_token
        loaded("a word", "and another", truncation=True, max_length=8)  # some settings are looked at only now
        return cast(PreTrainedTokenizerBase, loaded)

    tokenizer = _or_model_error(base, load)
    if tokenizer.pad_token is None:
        raise ModelError(f"the tokenizer of {base.name!r} needs a padding or end-of-text token, but has neither")
    return tokenizer


def load_config(base: Base, *, outputs: Outputs, tokenizer: PreTrainedTokenizerBase | None = None) -> PretrainedConfig:
    """The base's config, with the labels of texts written into it, where the task has any, or that it gives a number.

    Args:
        tokenizer: of the texts; None: that of the base.

    Raises:
        ModelError: the config cannot be read, or the tokenizer has tokens that the model has no embeddings for.
    """
    tokenizer = tokenizer or load_tokenizer(base)
    settings: dict[str, Any] = {}
    of_texts = (
        output for output in outputs.values() if isinstance(output, LabelOutput | NumberOutput | CriteriaOutput)
    )
    if (output := next(of_texts, None)) is not None:
        settings = {
            "id2label": dict(enumerate(output.labels)),
            "label2id": {label: number for number, label in enumerate(output.labels)},
            "problem_type": PROBLEM_TYPES[output.problem],
        }
    config = _or_model_error(
        base,
        lambda: AutoConfig.from_pretrained(
            folder_of(base), local_files_only=True, trust_remote_code=base.trust_remote_code, **settings
        ),
    )
    _check_vocabulary(base, tokenizer, embeddings=getattr(config.get_text_config(), "vocab_size", None))
    return cast(PretrainedConfig, config)


def pretrained_labels(base: Base) -> tuple[str, ...] | None:
    """The labels that a base's own head was trained for; None where its config names none."""
    document, _ = _or_model_error(
        base,
        lambda: PretrainedConfig.get_config_dict(
            folder_of(base), local_files_only=True, trust_remote_code=base.trust_remote_code
        ),
    )
    names = document.get("id2label")
    return tuple(names[number] for number in sorted(names, key=int)) if names else None


def _check_vocabulary(base: Base, tokenizer: PreTrainedTokenizerBase, *, embeddings: int | None) -> None:
    """Args:
    embeddings: how many tokens the model embeds; None where it embeds characters in another way.
    """
    if embeddings is None:
        return
    tokens = 1 + max(tokenizer.get_vocab().values())
    if tokens > embeddings:
        raise ModelError(
            f"every token must have an embedding, but the tokenizer has {tokens} tokens and {base.name!r} embeds "
            f"{embeddings}; take the tokenizer that the model was trained with, or enlarge the model with "
            f"`model.resize_token_embeddings({tokens})` of transformers and save both"
        )


def load_pretrained(
    base: Base,
    *,
    config: PretrainedConfig,
    loading: Loading,
    tokenizer: PreTrainedTokenizerBase,
    quantization: str | None = None,
) -> tuple[PreTrainedModel, frozenset[str]]:
    """The pretrained module in fp32 and eval mode, and the names of parameters the checkpoint does not have, or has in
    another shape.

    Those are drawn from torch's global generator: seed it first. With `quantization`, the matrices of the layers are
    kept in fewer bits, and all else as ever.

    The tokenizer's padding token becomes that of `config`: decoders find the last token of a text by it.

    Raises:
        ModelError: the folder cannot be read, its weights are of another shape than its config says, or its config
            describes a model that is much larger than its weights.
        MissingExtra: quantisation is asked for, and its library is not installed.
    """
    trained_pad_id = config.pad_token_id
    config.pad_token_id = config.get_text_config().pad_token_id = tokenizer.pad_token_id
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": base.trust_remote_code}
    if loading.auto_class is AutoModel:
        options |= without_pooler(_backbone_class(config, base))
    _refuse_giant(base, loading, config, options)
    if quantization is not None:
        options |= loading_options(quantization, layers=find_layers(_without_memory(loading, config, options)).path)

    def load(**more: Any) -> tuple[Any, dict[str, Any]]:
        loaded: tuple[Any, dict[str, Any]] = _or_model_error(
            base,
            lambda: loading.auto_class.from_pretrained(
                folder_of(base),
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
                **more,
            ),
        )
        return loaded

    model, info = load()
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    own, missing, unexpected = dict(model.named_parameters()), info["missing_keys"], info["unexpected_keys"]
    if names := renaming(own, missing=missing, unexpected=unexpected, backbone=prefix):
        model, info = load(key_mapping=names)
    if _lacks_decoder(model, info["missing_keys"]):  # a base without a head gets one that shares its embeddings
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = True
        return load_pretrained(base, config=config, loading=loading, tokenizer=tokenizer, quantization=quantization)
    _check_positions(base, model, tokenizer, trained_pad_id=trained_pad_id)
    if base.pretrained is not None:
        _take_over(model.base_model, base.pretrained)
    if quantization is not None:
        make_trainable(model)
    reshaped = {name for name, *_ in info["mismatched_keys"]}
    fresh = {name for name, _ in model.named_parameters()} & (set(info["missing_keys"]) | reshaped)
    return cast(PreTrainedModel, model), frozenset(fresh)


@torch.no_grad()
def _take_over(backbone: nn.Module, pretrained: Pretrained) -> None:
    """Put what was learned in continued pretraining in the place of what the files have."""
    values, named = pretrained.read(), dict(backbone.named_parameters())
    for name, parameter in named.items():
        if name in values:  # an encoder may have a pooler that its language model has not
            parameter.copy_(values[name])
    if lost := sorted(values.keys() - named.keys()):
        raise ModelError(f"the backbone of the fine-tuned model must be that of pretraining, but lacks {lost[0]!r}")


def _lacks_decoder(model: Any, missing: Iterable[str]) -> bool:
    """Whether a matrix from states to the vocabulary is missing that is no copy of the embeddings."""
    decoder, named = model.get_output_embeddings(), dict(model.named_parameters())
    return decoder is not None and any(named.get(name) is decoder.weight for name in missing)


def without_pooler(kind: Any) -> dict[str, bool]:
    """What keeps a class from making a pooler, which no head of tunery reads; empty where it makes none."""
    takes_it = kind is not None and "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if takes_it else {}


def _backbone_class(config: PretrainedConfig, base: Base) -> Any:
    """What `AutoModel` makes; of some families a tuple of classes, none of which makes a pooler on demand."""
    own = getattr(config, "auto_map", {}).get("AutoModel")
    if base.trust_remote_code and own is not None:  # transformers knows it only once it has been loaded
        return get_class_from_dynamic_module(own, str(folder_of(base)), local_files_only=True)
    return MODEL_MAPPING.get(type(config), None)


def longest_input(backbone: nn.Module) -> int | None:
    """How many tokens the learned position embeddings allow; None where positions are relative or computed.

    Families that number positions from their padding index lose that many rows of the table.
    """
    table = _position_table(backbone)
    if table is None:
        return None
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def learned_positions(base: Base) -> int | None:
    """`longest_input` of a base whose weights are not read; None also where its config alone makes no model of one
    layer, or where that would run its code."""
    if base.trust_remote_code:
        return None
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=()), quiet():
            config = AutoConfig.from_pretrained(folder_of(base), local_files_only=True)
            config.num_hidden_layers = 1  # the table is the same, however many there are
            return longest_input(AutoModel.from_config(config))  # type: ignore[no-untyped-call]
    except Exception:  # of no common type; whatever it is, loading the model says it
        return None


def _position_table(backbone: nn.Module) -> nn.Embedding | None:
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            return module
    return None


def _check_positions(
    base: Base, model: nn.Module, tokenizer: PreTrainedTokenizerBase, *, trained_pad_id: int | None
) -> None:
    """Args:
    trained_pad_id: `pad_token_id` as the base was trained with it.
    """
    table, pad_id = _position_table(model), tokenizer.pad_token_id
    if table is not None and trained_pad_id is not None and table.padding_idx == pad_id != trained_pad_id:
        raise ModelError(
            f"{base.name!r} numbers the positions of a text from its padding token (pad_token_id={trained_pad_id}), "
            f"but its tokenizer pads with {tokenizer.pad_token!r} (id {pad_id}), which would move all positions; in "
            f"its tokenizer_config.json, make the token with id {trained_pad_id} the pad_token"
        )


def base_digest(base: Base) -> str:
    """What identifies the base's weights: `hub:<id>@<commit>`, or SHA-256 over the weight files of a folder; then `+`
    and the digest of what it has learned in continued pretraining."""
    folder = folder_of(base)
    files = weights_digest(folder) if base.local else f"{HUB}{base.source}@{folder.name}"
    return files if base.pretrained is None else f"{files}{PRETRAINED}{base.pretrained.digest}"


def files_digest(digest: str) -> str:
    """The part of a base's digest that says which files it is loaded from."""
    return digest.partition(PRETRAINED)[0]


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the weight files in a folder."""
    stamps = ((file, file.stat()) for file in weight_files(folder))
    return _digest(tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in stamps))


def require_weights(base: Base, digest: str, *, what: str = "the base that it was trained on") -> None:
    """Look whether a model still has the weights that something was trained with.

    Args:
        digest: what `base_digest` was then. The files of a folder or package may be a Hub model's by now.
        what: was done with the model.

    Raises:
        ModelError: it has others.
    """
    digest = files_digest(digest)
    now = files_digest(base_digest(base)) if digest.startswith(HUB) else weights_digest(folder_of(base))
    if now != digest:
        source = f" ({base.source})" if base.source != base.name else ""
        raise ModelError(
            f"what was trained needs {what}, {_shortened(digest)}, but the weights of {base.name!r}{source} are "
            f"{_shortened(now)} now; put the old ones back, or train anew in another folder"
        )


def _shortened(digest: str) -> str:
    kind, _, rest = digest.partition(":")
    name, at, value = rest.rpartition("@")
    return f"{kind}:{name}{at}{value[:12]}"


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _refuse_giant(base: Base, loading: Loading, config: PretrainedConfig, options: dict[str, Any]) -> None:
    """Look, before any memory is taken, whether the model of a config could have its weights in the base's files.

    A byte holds two parameters at most. Every layer and every expert has a vector of the hidden size, and some matrix
    is as wide as it is long; where another number seems too large, such as that of positions, which need not have
    parameters, a model without memory is counted. What any machine can load is loaded, so that damaged weights are
    told as such.
    """
    size, shape = sum(file.stat().st_size for file in weight_files(folder_of(base))), config.get_text_config()
    width, most = getattr(shape, "hidden_size", None), max(2 * size, _HARMLESS)
    if not size or not isinstance(width, int):
        return
    numbers = {name: value for name, value in shape.to_dict().items() if type(value) is int}
    # the largest number of experts that a config names; how many of them a token goes to is not more
    experts = max((number for name, number in numbers.items() if "experts" in name), default=0)
    layers = getattr(shape, "num_hidden_layers", 0)
    counts = {"layers": layers if isinstance(layers, int) else 0, "experts": experts}
    if width * width > most:
        raise _giant(base, f"hidden_size={width:,}, which makes {width * width:,} parameters or more", size)
    for part, count in counts.items():
        if count > _MANY and width * count > 2 * size:
            raise _giant(base, f"{count:,} {part}, which make {width * count:,} parameters or more", size)
    if any(width * number > most for number in numbers.values()):
        model = _or_model_error(base, lambda: _without_memory(loading, config, options))
        count = sum(parameter.numel() for parameter in model.parameters())
        if count > most + 2 * width * width:  # a pooler and a head may be new
            raise _giant(base, f"{count:,} parameters", size)


def _giant(base: Base, what: str, size: int) -> ModelError:
    rule = "the weights of a model must be those that its config.json describes"
    return ModelError(
        f"{rule}, but that of {base.name!r} says {what}, and its weights have {size_text(size)}; put back the "
        "file that is not as it was"
    )


def _without_memory(loading: Loading, config: PretrainedConfig, options: dict[str, Any]) -> PreTrainedModel:
    rest = {name: value for name, value in options.items() if name != "local_files_only"}
    with torch.device("meta"), torch.random.fork_rng(devices=()), quiet():
        return cast(PreTrainedModel, loading.auto_class.from_config(config, **rest))


def _or_model_error(base: Base, load: Callable[[], T]) -> T:
    try:
        with quiet():
            return load()
    except (TuneryError, MemoryError):
        raise
    except Exception as error:  # what these libraries make of a bad file has no common type: tokenizers raise Exception
        if not base.trust_remote_code and "trust_remote_code" in str(error):
            raise ModelError(
                f"{base.name!r} cannot be loaded without code that comes with it: read the Python files of "
                f"{base.source!r}, then add --trust-remote-code to this command (trust_remote_code=True in Python)"
            ) from error
        reason = reason_of(error)
        if isinstance(error, UnpicklingError) or "weights_only" in str(error):  # torch advises to run what it refused
            reason = "its weights are a pickle with more in it than tensors, which would run as code; take safetensors"
        reason = _broken_document(base) or reason
        where = f"{base.name!r}" if base.source == base.name else f"{base.name!r} ({base.source})"
        raise ModelError(f"{where} cannot be loaded: {reason}") from error


def _broken_document(base: Base) -> str | None:
    """Which of the folder's documents is no JSON, and where."""
    for path in sorted(Path(base.source).glob("*.json")) if base.local else ():
        try:
            parse_json(decode_utf8(path.read_bytes()))
        except (OSError, NotJson, NotUtf8) as error:
            return f"{path.name}: {error}"
    return None
