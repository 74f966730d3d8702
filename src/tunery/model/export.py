"""A trained model becomes a folder that plain transformers or PEFT loads, and comes back from it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunery.errors import ModelError, reason_of
from tunery.model.backbones.backbone import quiet, require_weights, without_pooler
from tunery.model.backbones.catalog import exported_base, recorded_base, resolve
from tunery.model.build import Built, load_base
from tunery.model.heads.heads import assemble, make_heads
from tunery.model.peft.chosen import method_of
from tunery.model.sentence_modules import write_sentence_modules
from tunery.schema.config.model import Model
from tunery.schema.config.peft import NoPeft, Peft
from tunery.schema.config.task import CriteriaOutput, Outputs

HEAD_CONFIG = "head.json"
HEAD_WEIGHTS = "head.safetensors"
WHOLE_MODEL = "config.json"
"""Its presence says that the folder holds the base's weights too."""
BASE = "base"
"""Folder with the base of an adapter, where that has learned since (continued pretraining) and is nowhere else."""


def export(
    built: Built, tokenizer: PreTrainedTokenizerBase, folder: Path, *, outputs: Outputs, spec: Model, peft: Peft
) -> None:
    """Write the model as others read it.

    `config.json` + `model.safetensors` for full and frozen training, what the method writes for PEFT; the tokenizer;
    `head.json` with the outputs and the specs of their layers; for tunery's own heads `head.safetensors`, and the
    modules of sentence-transformers where `AutoModel.from_pretrained` reads the rest as it was trained.
    """
    method = method_of(peft)
    folder.mkdir(parents=True, exist_ok=True)
    is_apart = built.base.pretrained is not None  # the base is nowhere else
    base = replace(built.base, source=BASE, revision=None) if is_apart else built.base
    with quiet():
        method.save(built.pretrained, folder, base=base)
        if is_apart and not (folder / WHOLE_MODEL).is_file():
            _write_base(built, tokenizer, folder / BASE, spec=spec)
    _write_rest(folder, tokenizer, built.heads, outputs=outputs, spec=spec)
    pretrained = cast(PreTrainedModel, built.pretrained)
    if (folder / WHOLE_MODEL).is_file():
        write_sentence_modules(folder, built.heads, spec=spec, model_args=without_pooler(type(pretrained)))
    # transformers puts an adapter on the newest revision of its base, not quantised, in the precision of its files
    elif method.is_injectable and not is_apart and built.base.revision is None and spec.quantization is None:
        write_sentence_modules(folder, built.heads, spec=spec, model_args={"dtype": "float32"})


def export_merged(
    source: Path,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    outputs: Outputs,
    spec: Model,
    peft: Peft,
    base: str | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Write what was exported to `source` as one whole model, which is read without the method.

    Args:
        base: digest of the base that the method was trained on, where it is known.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        ModelError: the base is quantised, the method is no change of weights, or the model needs code that this call
            does not permit.
    """
    if spec.quantization is not None:
        raise ModelError(
            f"what is merged must fit into the base's own weights, but model.quantization={spec.quantization} keeps "
            "them in fewer bits; export without --merge"
        )
    peft, model, heads = _read(
        source, tokenizer, spec=spec, peft=peft, outputs=outputs, base=base, trust_remote_code=trust_remote_code
    )
    merged = method_of(peft).merge(peft, model)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        merged.save_pretrained(folder)
    _write_rest(folder, tokenizer, heads, outputs=outputs, spec=spec)
    write_sentence_modules(folder, heads, spec=spec, model_args=without_pooler(type(merged)))


def load_exported(
    folder: Path,
    *,
    model_spec: Model,
    peft: Peft,
    outputs: Outputs,
    tokenizer: PreTrainedTokenizerBase | None = None,
    base: str | None = None,
    trust_remote_code: bool = False,
) -> nn.Module:
    """Read an exported folder back, in eval mode.

    Args:
        tokenizer: of the texts; None: that of the folder, or of the base.
        base: digest of the base that a method's weights are put on; None takes what `model_spec` names, unchecked.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        ModelError: the folder or the base cannot be read, weights are missing or of another shape, the base has other
            weights than `base`, the tokenizer has more tokens than the model, or the model needs code that this call
            does not permit.
    """
    _, model, heads = _read(
        folder, tokenizer, spec=model_spec, peft=peft, outputs=outputs, base=base, trust_remote_code=trust_remote_code
    )
    return assemble(model, heads, outputs).eval()


def _write_rest(
    folder: Path, tokenizer: PreTrainedTokenizerBase, heads: nn.ModuleDict | None, *, outputs: Outputs, spec: Model
) -> None:
    with quiet():
        tokenizer.save_pretrained(folder)
    of_evidence = ("evidence_head", "coupling") if any(isinstance(o, CriteriaOutput) for o in outputs.values()) else ()
    document = {
        **{key: getattr(spec, key).model_dump() for key in ("head", *of_evidence)},
        "outputs": {name: output.model_dump() for name, output in outputs.items()},
    }
    (folder / HEAD_CONFIG).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if heads is not None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.state_dict().items()}
        save_file(state, folder / HEAD_WEIGHTS)


def _read(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    spec: Model,
    peft: Peft,
    outputs: Outputs,
    base: str | None,
    trust_remote_code: bool,
) -> tuple[Peft, nn.Module, nn.ModuleDict | None]:
    """The method that is still apart from the model, the part that `save_pretrained` writes, and tunery's own heads."""
    whole = (folder / WHOLE_MODEL).is_file()
    method: Peft = NoPeft() if whole else peft
    if whole or (folder / BASE).is_dir():
        source = exported_base(folder if whole else folder / BASE, spec, trust_remote_code=trust_remote_code)
    elif base is None:
        source = resolve(spec, trust_remote_code=trust_remote_code)
    else:
        source = recorded_base(spec, base, trust_remote_code=trust_remote_code)
        require_weights(source, base)
    loaded, _ = load_base(spec, base=source, outputs=outputs, tokenizer=tokenizer, complete=whole)
    model = method_of(method).load(method, loaded, folder)
    heads = make_heads(spec, outputs, width=loaded.model.config.hidden_size)
    if heads is not None:
        _load_heads(heads, folder)
    return method, model, heads


def _write_base(built: Built, tokenizer: PreTrainedTokenizerBase, folder: Path, *, spec: Model) -> None:
    """Write what an adapter is put on, as a plain transformers folder. No random state moves."""
    with torch.random.fork_rng(devices=()):
        loaded, _ = load_base(spec, base=built.base, outputs=built.outputs, tokenizer=tokenizer)
    cast(PreTrainedModel, loaded.backbone).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load_heads(heads: nn.ModuleDict, folder: Path) -> None:
    try:
        state = load_file(folder / HEAD_WEIGHTS)
        if len(heads) == 1 and not set(state) & set(heads.state_dict()):  # earlier versions named no output
            state = {f"{name}.{key}": tensor for name in heads for key, tensor in state.items()}
        heads.load_state_dict(state)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the head in {str(folder)!r} does not fit model.head: {reason_of(error)}") from error
