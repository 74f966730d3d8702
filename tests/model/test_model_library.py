"""The methods of the peft library: what they train, how fast, and what they refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.structure import find_layers
from tunery.model.peft.method import LoadedBase, Wrapped
from tunery.model.peft.methods import METHODS
from tunery.schema.config.peft import AdaLora, Dora, Ia3, LayerNormTuning, Library, Lora, LoraPlus, RsLora

WORDS = torch.arange(5, 29).reshape(4, 6)
BASE = Base("base", "base", None, local=True, trust_remote_code=False)
BY_NAME: dict[str, dict[str, Any]] = {
    "VeraConfig": {},
    "LoHaConfig": {},
    "LoKrConfig": {},
    "FourierFTConfig": {"n_frequency": 50},
    "BOFTConfig": {},
    "OFTConfig": {},
    "HRAConfig": {},
    "LilyConfig": {},
    "RandLoraConfig": {},
    "MissConfig": {"r": 8},
    "VBLoRAConfig": {"vector_length": 16},
    "LoraConfig": {"init_lora_weights": "pissa"},
}
"""Config class -> the arguments that suit a model as small as this one."""


def carrier(folder: Path, *, whole: tuple[str, ...] = ("classifier",)) -> LoadedBase:
    torch.manual_seed(3)
    return around(AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3), whole=whole)


def around(model: Any, *, whole: tuple[str, ...] = ()) -> LoadedBase:
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    task = "SEQ_CLS" if prefix else "FEATURE_EXTRACTION"
    return LoadedBase(model, find_layers(model.base_model), prefix, whole, task)


def wrap(spec: Any, on: LoadedBase) -> Wrapped:
    torch.manual_seed(4)
    return METHODS[type(spec)].wrap(spec, on)


def train(module: nn.Module, *, steps: int = 3) -> None:
    torch.manual_seed(5)
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(labels_of(module.train(), input_ids=WORDS), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def answers(module: nn.Module) -> Tensor:
    with torch.no_grad():
        logits: Tensor = labels_of(module.eval(), input_ids=WORDS)
    return logits


def trained(module: nn.Module) -> dict[str, int]:
    return {name: part.numel() for name, part in module.named_parameters() if part.requires_grad}


@pytest.mark.parametrize("spec", [Dora(), AdaLora(bias="all"), Ia3(), Library(config="VeraConfig")], ids=repr)
def test_matrices_kept_the_other_way_round_work_too(spec: Any, tiny_gpt2: Path) -> None:
    on = carrier(tiny_gpt2, whole=("score",))
    on.model.config.pad_token_id = 0
    before = answers(on.model)
    module = wrap(spec, on).module
    torch.testing.assert_close(answers(module), before)
    train(module)
    assert not torch.equal(answers(module), before)


def test_a_method_that_knows_linear_layers_only_says_so(tiny_gpt2: Path) -> None:
    with pytest.raises(ModelError, match="LoHaConfig does not work on GPT2For.*Conv1D'> not supported"):
        wrap(Library(config="LoHaConfig"), carrier(tiny_gpt2, whole=("score",)))


def test_lora_plus_names_every_matrix_b_and_nothing_else(tiny_bert: Path) -> None:
    wrapped = wrap(LoraPlus(lr_ratio=4), carrier(tiny_bert))
    expected = {name for name in trained(wrapped.module) if ".lora_B." in name}
    assert wrapped.lr_scale == dict.fromkeys(expected, 4)
    assert len(expected) == 4
    assert not wrap(Lora(), carrier(tiny_bert)).lr_scale


def test_dora_trains_a_magnitude_per_column_beside_lora(tiny_bert: Path) -> None:
    plain, apart = (sum(trained(wrap(spec, carrier(tiny_bert)).module).values()) for spec in (Lora(), Dora()))
    assert apart - plain == 2 * 2 * 32  # layers, targets, columns


def test_rslora_scales_by_the_root_of_the_rank(tiny_bert: Path) -> None:
    deltas = []
    for spec in (Lora(r=16, alpha=8, dropout=0), RsLora(r=16, alpha=8, dropout=0)):
        module = wrap(spec, carrier(tiny_bert)).module
        layer: Any = module.get_submodule("base_model.model.bert.encoder.layer.0.attention.self.query")
        layer.lora_B["default"].weight.data.fill_(1.0)
        deltas.append(layer.get_delta_weight("default"))
    torch.testing.assert_close(deltas[1], 4 * deltas[0])


@pytest.mark.parametrize("ffn", [True, False])
def test_ia3_scales_outputs_of_key_and_value_and_the_input_of_the_way_down(tiny_bert: Path, ffn: bool) -> None:
    module = wrap(Ia3(ffn=ffn), carrier(tiny_bert)).module
    shapes = {name: tuple(part.shape) for name, part in module.named_parameters() if "ia3_l" in name}
    parts = {
        "attention.self.key": (32, 1),
        "attention.self.value": (32, 1),
        **({"output.dense": (1, 64)} if ffn else {}),
    }
    inside = "base_model.model.bert.encoder.layer"
    assert shapes == {f"{inside}.{n}.{part}.ia3_l.default": s for n in range(2) for part, s in parts.items()}


def test_layernorm_trains_the_norms_by_type(tiny_bert: Path) -> None:
    module = wrap(LayerNormTuning(), carrier(tiny_bert)).module
    head = 32 * 3 + 3
    assert sum(trained(module).values()) == 2 * 32 * (1 + 2 * 2) + head  # weight and bias; embeddings, two per layer
    with pytest.raises(ModelError, match="must have layer norms to train, but Linear has none"):
        on = carrier(tiny_bert)
        METHODS[LayerNormTuning].wrap(LayerNormTuning(), LoadedBase(nn.Linear(2, 2), on.structure, "", (), ""))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BY_NAME)
def test_any_class_by_name_trains_and_comes_back_from_disk(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    spec = Library(config=name, arguments=BY_NAME[name])
    module = wrap(spec, carrier(tiny_bert)).module
    before = answers(module)
    train(module)
    assert not torch.equal(answers(module), before)
    METHODS[Library].save(module, tmp_path, base=BASE)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    torch.testing.assert_close(answers(METHODS[Library].load(spec, carrier(tiny_bert), tmp_path)), answers(module))


def test_targets_and_modules_of_the_arguments_are_taken(tiny_bert: Path) -> None:
    both = wrap(Library(config="VeraConfig", target=("ffn.up", "query")), carrier(tiny_bert)).module
    touched = {name.split(".vera_")[0].split("layer.")[1] for name in trained(both) if "vera_" in name}
    assert touched == {f"{n}.{part}" for n in range(2) for part in ("intermediate.dense", "attention.self.query")}
    own = {"target_modules": ["intermediate.dense"], "modules_to_save": ["pooler"]}
    names = trained(wrap(Library(config="LoraConfig", arguments=own), carrier(tiny_bert)).module)
    assert all(any(part in name for part in ("intermediate.dense", "pooler", "classifier")) for name in names)
    assert all(any(part in name for name in names) for part in ("intermediate.dense", "pooler", "classifier"))


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown class": (
        {"config": "VerraConfig"},
        "config class of the installed peft, but got 'VerraConfig'; did you mean",
    ),
    "unknown argument": (
        {"config": "VeraConfig", "arguments": {"rank": 3}},
        "keyword arguments of VeraConfig, but got rank; (did you mean|choose from: .*vera_dropout)",
    ),
    "value": ({"config": "VeraConfig", "arguments": {"r": 0}}, "VeraConfig does not work on BertFor.*: ZeroDivision"),
    "no targets": ({"config": "PromptEncoderConfig", "target": ("query",)}, "target modules, but PromptEncoderConfig"),
    "two targets": (
        {"config": "VeraConfig", "target": ("query",), "arguments": {"target_modules": "x"}},
        "say the same thing; remove one",
    ),
    "ours": ({"config": "AdaLoraConfig"}, "does not work on its own; take peft.method=adalora"),
    "virtual tokens": ({"config": "PromptEncoderConfig"}, "take peft.method=prefix or prompt"),
    "another family": ({"config": "AdaptionPromptConfig"}, "AdaptionPromptConfig does not work on BertFor"),
    "causal only": ({"config": "CPTConfig"}, "CPTConfig does not work on BertFor"),
    "needs more inputs": ({"config": "PolyConfig"}, "PolyConfig does not work on BertFor.*task_ids"),
    "fails in the forward pass": ({"config": "ShadowConfig"}, "ShadowConfig does not work on BertFor"),
    "a mixture of adapters": ({"config": "XLoraConfig"}, "XLoraConfig does not work on BertFor"),
    "trains nothing": ({"config": "LoraConfig", "arguments": {"inference_mode": True}}, "it leaves .* untrained"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_work_says_so(case: str, tiny_bert: Path) -> None:
    fields, message = REFUSALS[case]
    with pytest.raises(ModelError, match=message):
        wrap(Library(**fields), carrier(tiny_bert))


def test_an_adapter_that_does_not_fit_its_base_says_so(tiny_bert: Path, tmp_path: Path) -> None:
    METHODS[Lora].save(wrap(Lora(), carrier(tiny_bert)).module, tmp_path, base=BASE)
    for key, value in {"r": 4, "target_modules": r"bert\.encoder\.layer\.\d+\.attention\.self\.\w+"}.items():
        config = json.loads((tmp_path / "adapter_config.json").read_text())
        (tmp_path / "adapter_config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(ModelError, match=f"the adapter in {re.escape(repr(str(tmp_path)))} does not fit its base"):
            METHODS[Lora].load(Lora(), carrier(tiny_bert), tmp_path)
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_file_that_an_adapter_lacks_is_not_asked_of_the_hub(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The library takes a folder without it for the name of a repository: `runs/best` may be somebody's."""
    folder = tmp_path / "runs" / "best"
    METHODS[Lora].save(wrap(Lora(), carrier(tiny_bert)).module, folder, base=BASE)
    (folder / name).unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"an adapter must hold {name}, but 'runs/best' does not"):
        METHODS[Lora].load(Lora(), carrier(tiny_bert), Path("runs/best"))


GPT2, ROBERTA = (
    AutoConfig.for_model("gpt2"),
    AutoConfig.for_model("roberta", max_position_embeddings=514, vocab_size=50265),
)


def test_counts_of_gpt2_are_the_published_ones() -> None:
    with torch.device("meta"):
        module = wrap(Lora(r=8, target=("query",)), around(AutoModel.from_config(GPT2))).module
    total = sum(part.numel() for part in module.parameters())
    assert (sum(trained(module).values()), total) == (294_912, 124_734_720)
    assert round(100 * 294_912 / total, 3) == 0.236


def test_counts_of_roberta_are_the_closed_formula() -> None:
    ROBERTA.type_vocab_size = 1
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(ROBERTA)
        base = sum(part.numel() for part in model.parameters())
        module = wrap(Lora(r=8), around(model, whole=("classifier",))).module
    added = sum(size for name, size in trained(module).items() if "lora_" in name)
    head = 768 * 768 + 768 + 768 * 2 + 2
    assert base == 124_647_170
    assert (added, sum(trained(module).values())) == (294_912, 294_912 + head)
