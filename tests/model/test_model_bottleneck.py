"""Where bottleneck adapters go in every family, and that they start as nothing."""

from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from test_model_families import LISTED, make, wrap
from torch import nn
from transformers import AutoConfig, AutoModel

from adapter_sizes import compacter_size, houlsby_size, pfeiffer_size
from families import FAMILIES, IDS, TINY
from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.families import closing_norm
from tunery.model.backbones.structure import find_layers
from tunery.model.peft.method import LoadedBase
from tunery.model.peft.methods import METHODS
from tunery.model.peft.tuner import AdapterLayer
from tunery.schema.config.peft import AdaLora, Compacter, Dora, Houlsby, Lora, Pfeiffer

NORMS_FIRST = {"modernbert", "gpt2", "llama", "qwen2", "qwen3"}
SPECS = {
    "pfeiffer": Pfeiffer(bottleneck=4, dropout=0),
    "houlsby": Houlsby(bottleneck=4, dropout=0, activation="gelu"),
    "parallel": Houlsby(bottleneck=4, dropout=0, activation="gelu", parallel=True, scale=2),
    "compacter": Compacter(bottleneck=4, dropout=0, phm_dim=2, phm_rank=2),
}
SIZES: dict[type, Any] = {Pfeiffer: pfeiffer_size, Houlsby: houlsby_size, Compacter: compacter_size}
TOKENS, LABELS = torch.arange(3, 51).reshape(4, 12), torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("method", SPECS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_starts_from_its_base_and_trains_all_of_an_adapter(family: str, method: str) -> None:
    spec = SPECS[method]
    if (family, method) == ("longformer", "parallel"):
        with pytest.raises(ModelError, match=r"reads \(tokens, batch, hidden\); take peft.parallel=false"):
            wrap(family, spec)
        return
    torch.manual_seed(3)
    base = make(family)
    torch.manual_seed(3)
    module = wrap(family, spec)
    with torch.no_grad():
        bare, adapted = (labels_of(model.eval(), input_ids=TOKENS) for model in (base, module))
    assert torch.equal(adapted, bare)
    trained = {name: part for name, part in module.named_parameters() if "bottleneck" in name}
    counted = sum(part.numel() for part in trained.values())
    assert counted == SIZES[type(spec)](spec, {}, hidden=32, depth=LISTED[family])
    assert silent_after_training(module, trained) == set()


def silent_after_training(module: Any, trained: dict[str, nn.Parameter]) -> set[str]:
    """Names of parameters that never got a gradient in three steps."""
    felt: set[str] = set()
    optimizer = torch.optim.AdamW([part for part in module.parameters() if part.requires_grad], lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(labels_of(module, input_ids=TOKENS), LABELS).backward()
        felt |= {name for name, part in trained.items() if part.grad is not None and part.grad.any()}
        optimizer.step()
    return trained.keys() - felt


@pytest.mark.parametrize("family", FAMILIES)
def test_the_closing_norm_is_the_last_thing_a_layer_does(family: str) -> None:
    backbone = make(family).base_model.eval()
    layer = find_layers(backbone).layer(backbone, 0)
    name = closing_norm(layer)
    assert (name is None) == (family in NORMS_FIRST)
    if name is None:
        return
    seen: list[Any] = []
    layer.get_submodule(name).register_forward_hook(lambda module, args, output: seen.append(output))
    layer.register_forward_hook(lambda module, args, output: seen.append(output))
    backbone(input_ids=TOKENS)
    closed, left = seen[-2], seen[-1] if isinstance(seen[-1], torch.Tensor) else seen[-1][0]
    assert torch.equal(closed, left)


@pytest.mark.parametrize(
    ("layers", "depth", "first"), [("all", 10, 0), ("top8", 10, 2), ("top4", 10, 6), ("top8", 3, 0)]
)
def test_only_the_topmost_layers_get_adapters(layers: Any, depth: int, first: int) -> None:
    model = AutoModel.from_config(AutoConfig.for_model("bert", **{**TINY, **IDS, "num_hidden_layers": depth}))
    carrier = LoadedBase(model, find_layers(model), "", (), "FEATURE_EXTRACTION")
    module = METHODS[Pfeiffer].wrap(Pfeiffer(bottleneck=4, layers=layers), carrier).module
    adapted = [name for name, part in module.named_modules() if isinstance(part, AdapterLayer)]
    assert adapted == [f"base_model.model.encoder.layer.{index}.output.LayerNorm" for index in range(first, depth)]


@pytest.mark.parametrize("spec", [Lora, Dora, AdaLora])
@pytest.mark.parametrize(("layers", "depth", "first"), [("all", 12, 0), ("top4", 12, 8), ("top4", 3, 0)])
def test_only_the_topmost_layers_get_updates(spec: Any, layers: Any, depth: int, first: int) -> None:
    """Also where the numbers of layers have two digits."""
    model = AutoModel.from_config(AutoConfig.for_model("bert", **{**TINY, **IDS, "num_hidden_layers": depth}))
    carrier = LoadedBase(model, find_layers(model), "", (), "FEATURE_EXTRACTION")
    module = METHODS[spec].wrap(spec(layers=layers, target=("query",)), carrier).module
    updated = [name for name, part in module.named_modules() if isinstance(part, LoraLayer)]
    query = "base_model.model.encoder.layer.{}.attention.self.query"
    assert updated == [query.format(index) for index in range(first, depth)]


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_a_parallel_adapter_reads_what_enters_the_block(family: str) -> None:
    spec = SPECS["parallel"]
    module = wrap(family, spec)
    seen: list[torch.Tensor] = []
    entered: list[torch.Tensor] = []
    for part in module.modules():
        if isinstance(part, AdapterLayer):
            part.bottleneck["default"].register_forward_pre_hook(lambda adapter, args: seen.append(args[0]))
    layer = find_layers(module.base_model.model.base_model).layer(module.base_model.model.base_model, 0)
    for block in {"bert": ("attention", "intermediate"), "gpt2": ("attn", "mlp"), "llama": ("self_attn", "mlp")}[
        family
    ]:
        layer.get_submodule(block).register_forward_pre_hook(
            lambda module, args, named: entered.append(args[0] if args else named["hidden_states"]), with_kwargs=True
        )
    module.eval()(input_ids=TOKENS)
    assert all(torch.equal(read, went_in) for read, went_in in zip(seen[:2], entered, strict=True))
