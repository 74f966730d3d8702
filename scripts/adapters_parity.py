"""What the `adapters` package computes: the reference for `tests/model/test_model_parity.py`.

    python scripts/adapters_parity.py tests/model/adapters_parity.json

runs in an environment of its own, with adapters 1.3.0 and transformers 4.57 (`pip install adapters==1.3.0`); that
package pins an older transformers than tunery does. It imports nothing of tunery.

No weights are stored: every parameter of the models and of the adapters is computed from its name, by the formula in
`filled`, which the test has too. An adapter's parameters have other names there; the formula is given ours.

Everything is computed in float64, so that no machine's order of additions shows.

What cannot be equal, and is not compared: training mode. `adapters` drops what an adapter adds, ours drop the hidden
layer; ours adapt a block's output before the block's own dropout, `adapters` after it. Fresh weights differ too:
`adapters` draws them near zero, ours add exactly nothing.
"""

import json
import math
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from torch import Tensor, nn
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

BOTTLENECK = 8
WIDTHS: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
MODELS: dict[str, tuple[Any, Any]] = {
    "bert": (BertModel, BertConfig(**WIDTHS)),
    "roberta": (RobertaModel, RobertaConfig(**WIDTHS, pad_token_id=1, type_vocab_size=1)),
}
SMALL = {"reduction_factor": WIDTHS["hidden_size"] / BOTTLENECK}
METHODS: dict[str, tuple[dict[str, Any], Any]] = {
    "pfeiffer": ({"method": "pfeiffer"}, adapters.SeqBnConfig(**SMALL)),
    "pfeiffer-tanh": (
        {"method": "pfeiffer", "activation": "tanh"},
        adapters.SeqBnConfig(**SMALL, non_linearity="tanh"),
    ),
    "houlsby": ({"method": "houlsby"}, adapters.DoubleSeqBnConfig(**SMALL, non_linearity="relu")),
    "houlsby-silu-scaled": (
        {"method": "houlsby", "activation": "silu", "scale": 2.0},
        adapters.DoubleSeqBnConfig(**SMALL, scaling=2.0),
    ),
    "houlsby-parallel": (
        {"method": "houlsby", "parallel": True, "scale": 4.0},
        adapters.ParBnConfig(**SMALL, mh_adapter=True),
    ),
    "compacter": ({"method": "compacter", "phm_dim": 4}, adapters.CompacterConfig(**SMALL, phm_dim=4)),
    "compacter-rank": (
        {"method": "compacter", "phm_dim": 2, "phm_rank": 3},
        adapters.CompacterConfig(**SMALL, phm_dim=2, phm_rank=3),
    ),
}

PLACES = {
    "pfeiffer": {"output.adapters": "output.LayerNorm"},
    "houlsby": {"attention.output.adapters": "attention.output.dense", "output.adapters": "output.dense"},
    "compacter": {"attention.output.adapters": "attention.output.dense", "output.adapters": "output.dense"},
}
"""Where `adapters` keeps an adapter of a layer -> where we do."""
PARTS = {
    "adapter_down.0.weight": "down.weight",
    "adapter_down.0.bias": "down.bias",
    "adapter_down.0.W_left": "down.left",
    "adapter_down.0.W_right": "down.right",
    "adapter_down.0.b": "down.bias",
    "adapter_up.weight": "up.weight",
    "adapter_up.bias": "up.bias",
    "adapter_up.W_left": "up.left",
    "adapter_up.W_right": "up.right",
    "adapter_up.b": "up.bias",
}
SHARED_RULE = "encoder.layer.0.attention.output.dense.bottleneck.down.rule"
"""Our name of the parameter that all of Compacter's layers share: that of the first that holds it."""


def filled(name: str, part: Tensor) -> Tensor:
    """0.3 sin(offset of the name + 0.7 index), plus 1 for the weights of norms; 0.9 where factors are multiplied."""
    index = torch.arange(part.numel(), dtype=torch.float64)
    size = 0.9 if name.endswith((".rule", ".left", ".right")) else 0.3
    values = size * torch.sin(zlib.crc32(name.encode()) % 1000 + 0.7 * index)
    unit = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    return (values + unit).reshape(part.shape).to(part.dtype)


def our_name(name: str, method: str) -> str:
    """The name that tunery saves a parameter under."""
    if name == "shared_parameters.probe.phm_rule":
        return SHARED_RULE
    for theirs, ours in PLACES[method].items():
        found = re.fullmatch(rf"(encoder\.layer\.\d+)\.{re.escape(theirs)}\.probe\.(.+)", name)
        if found:
            return f"{found[1]}.{ours}.bottleneck.{PARTS[found[2]]}"
    return name


def fill(model: nn.Module, method: str) -> None:
    """Overwrite every parameter; the shapes of ours are the same."""
    with torch.no_grad():
        for name, part in model.named_parameters():
            part.copy_(filled(our_name(name, method), part))


def input_ids() -> Tensor:
    """Two texts of seven tokens, without padding: (2, 7)."""
    return 2 + (torch.arange(14) * 7 % 59).reshape(2, 7)


def reference(family: str, spec: dict[str, Any], config: Any) -> dict[str, Any]:
    """What one model with one kind of adapter answers."""
    kind, model_config = MODELS[family]
    model = kind(model_config, add_pooling_layer=False)
    adapters.init(model)
    model.add_adapter("probe", config=config)
    model.double()
    model.train_adapter("probe")
    fill(model, spec["method"])
    trainable = sum(part.numel() for part in model.parameters() if part.requires_grad)
    states = answers(model)
    model.set_active_adapters(None)
    print(f"{family}, {spec}: {trainable} trained, {math.dist(states, answers(model)):.2f} away from the bare model")
    return {"family": family, "peft": {**spec, "bottleneck": BOTTLENECK}, "trainable": trainable, "states": states}


def answers(model: nn.Module) -> list[float]:
    """The last hidden states, one after the other."""
    with torch.no_grad():
        states = model.eval()(input_ids()).last_hidden_state
    return [round(value, 7) for value in states.flatten().tolist()]


def main(target: Path) -> None:
    """Write the reference."""
    cases = {
        f"{family}-{name}": reference(family, spec, config)
        for family in MODELS
        for name, (spec, config) in METHODS.items()
    }
    document = {
        "versions": {"adapters": adapters.__version__, "transformers": transformers.__version__},
        "configs": {family: {"widths": WIDTHS, **_ids(config)} for family, (_, config) in MODELS.items()},
        "input_ids": input_ids().tolist(),
        "cases": cases,
    }
    target.write_text(json.dumps(document) + "\n", encoding="utf-8")


def _ids(config: Any) -> dict[str, Any]:
    return {"pad_token_id": config.pad_token_id, "type_vocab_size": config.type_vocab_size}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
