"""Our adapters are those of the `adapters` package: the same counts and, with the same weights, the same outputs.

The reference was written by `scripts/adapters_parity.py`, which says what cannot be equal; `filled` is the formula of
that script.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from tunery.model.backbones.structure import find_layers
from tunery.model.peft.method import LoadedBase
from tunery.model.peft.methods import METHODS
from tunery.model.peft.tuner import saved_name
from tunery.schema.config.peft import Peft

REFERENCE = json.loads((Path(__file__).parent / "adapters_parity.json").read_text())
KINDS: dict[str, Any] = {"bert": (BertModel, BertConfig), "roberta": (RobertaModel, RobertaConfig)}


def filled(name: str, part: Tensor) -> Tensor:
    index = torch.arange(part.numel(), dtype=torch.float64)
    size = 0.9 if name.endswith((".rule", ".left", ".right")) else 0.3
    values = size * torch.sin(zlib.crc32(name.encode()) % 1000 + 0.7 * index)
    unit = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    return (values + unit).reshape(part.shape).to(part.dtype)


@pytest.mark.parametrize("case", REFERENCE["cases"])
def test_counts_and_outputs_are_those_of_the_adapters_package(case: str) -> None:
    told = REFERENCE["cases"][case]
    module = rebuild(told["family"], told["peft"])
    assert sum(part.numel() for part in module.parameters() if part.requires_grad) == told["trainable"]
    with torch.no_grad():
        for name, part in module.double().named_parameters():
            part.copy_(filled(saved_name(name), part))
        states = module.eval()(input_ids=torch.tensor(REFERENCE["input_ids"])).last_hidden_state
    expected = torch.tensor(told["states"], dtype=torch.float64)
    assert (states.flatten() - expected).abs().max() < 1e-6  # the reference is rounded to 1e-7


def rebuild(family: str, peft: dict[str, Any]) -> Any:
    told = REFERENCE["configs"][family]
    kind, config = KINDS[family]
    widths = {name: value for name, value in told.items() if name != "widths"}
    model = kind(config(**told["widths"], **widths), add_pooling_layer=False)
    spec: Any = TypeAdapter(Peft).validate_python(peft)
    carrier = LoadedBase(model, find_layers(model), "", (), "FEATURE_EXTRACTION")
    return METHODS[type(spec)].wrap(spec, carrier).module
