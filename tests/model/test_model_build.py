"""What `build` makes of a spec."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from conftest import byte_pairs, save
from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.peft.method import plain_name
from tunery.model.trainable import count_parameters, load_trainable, trainable_state
from tunery.schema.config.freeze import FreezeEncoder, NoFreeze
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.task import LabelOutput

HEAD = {"labels": LabelOutput(labels=("no", "maybe", "yes"), problem="single_label")}
NATIVE_HEADS = {
    "tiny_bert": {"classifier.weight", "classifier.bias"},
    "tiny_distilbert": {"classifier.weight", "classifier.bias", "pre_classifier.weight", "pre_classifier.bias"},
    "tiny_roberta": {
        "classifier.dense.weight",
        "classifier.dense.bias",
        "classifier.out_proj.weight",
        "classifier.out_proj.bias",
    },
    "tiny_gpt2": {"score.weight"},
}


def make(folder: Path, *, seed: int = 0, **changes: Any) -> Built:
    spec = {"peft": NoPeft(), "freeze": NoFreeze(), "outputs": HEAD, **changes}
    torch.manual_seed(seed)
    return build(Model(name=str(folder), **{"head": NativeHead(), **spec.pop("model", {})}), **spec)


def batch_for(folder: Path, built: Built) -> dict[str, torch.Tensor]:
    texts = ["a good film", "the worst book in the world, and then some more"]
    return dict(load_tokenizer(built.base)(texts, padding=True, return_tensors="pt"))


@pytest.mark.parametrize("name", NATIVE_HEADS)
def test_the_native_head_is_all_that_is_not_backbone(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    built = make(folder)
    assert built.roles.head == NATIVE_HEADS[name]
    assert built.trainable == {parameter for parameter, _ in built.module.named_parameters()}
    assert {built.roles.depth_of(parameter) for parameter in built.trainable} == {0, 1, 2, 3}
    assert labels_of(built.module, **batch_for(folder, built)).shape == (2, 3)


@pytest.mark.parametrize("head", [LinearHead(), MlpHead(hidden=8)], ids=lambda head: head.kind)
@pytest.mark.parametrize("name", NATIVE_HEADS)
def test_own_heads_sit_on_every_family(name: str, head: Any, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    built = make(folder, model={"head": head}, peft=Lora())
    assert built.roles.head == {parameter for parameter in built.trainable if parameter.startswith("heads.")}
    assert {built.roles.depth_of(parameter) for parameter in built.trainable} == {1, 2, 3}
    assert labels_of(built.module, **batch_for(folder, built)).shape == (2, 3)


def test_no_pooler_is_loaded_for_a_head_that_reads_none(tiny_bert: Path) -> None:
    assert not any("pooler" in name for name, _ in make(tiny_bert, model={"head": LinearHead()}).module.named_modules())


def test_the_config_knows_the_task(tiny_bert: Path) -> None:
    outputs = {"labels": LabelOutput(labels=("joy", "fear"), problem="multi_label")}
    config: Any = make(tiny_bert, outputs=outputs).module.config
    assert (config.id2label, config.label2id) == ({0: "joy", 1: "fear"}, {"joy": 0, "fear": 1})
    assert config.problem_type == "multi_label_classification"


def test_new_weights_follow_the_seed_and_do_not_depend_on_the_method(tiny_bert: Path) -> None:
    def head_weight(**changes: Any) -> torch.Tensor:
        built = make(tiny_bert, **changes)
        return next(
            tensor for name, tensor in trainable_state(built).items() if name in built.roles.head and tensor.ndim == 2
        )

    assert torch.equal(head_weight(), head_weight())
    assert torch.equal(head_weight(), head_weight(peft=Lora()))
    assert not torch.equal(head_weight(), head_weight(seed=1))


def test_weights_are_fp32_whatever_the_checkpoint_holds(tiny_bert: Path, tmp_path: Path) -> None:
    half = altered(tiny_bert, tmp_path, lambda name, tensor: tensor.half())
    assert {part.dtype for part in make(half).module.parameters()} == {torch.float32}


@pytest.mark.parametrize("peft", [NoPeft(), Lora()], ids=lambda peft: peft.method)
def test_what_the_checkpoint_lacks_is_trained_like_the_head(peft: Any, tiny_bert: Path, tmp_path: Path) -> None:
    folder = altered(tiny_bert, tmp_path, lambda name, tensor: None if name.startswith("pooler.") else tensor)
    freeze = FreezeEncoder() if isinstance(peft, NoPeft) else NoFreeze()
    built = make(folder, peft=peft, freeze=freeze)
    assert len(built.roles.head) == 4
    assert sum("pooler" in name for name in built.roles.head) == 2
    assert built.roles.head <= built.trainable


def test_a_checkpoint_without_its_layers_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = altered(tiny_bert, tmp_path, lambda name, tensor: None if ".layer.1." in name else tensor)
    with pytest.raises(
        ModelError, match=r"must hold the weights of every layer, but .* lacks 16 \(first: encoder.layer.1"
    ):
        make(folder)


def test_weights_of_another_shape_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = altered(tiny_bert, tmp_path, lambda name, tensor: tensor[:7] if "word_embeddings" in name else tensor)
    with pytest.raises(ModelError, match="lacks 1 .*word_embeddings"):
        make(folder)


def test_a_head_for_other_labels_is_made_anew(tiny_bert: Path, tmp_path: Path) -> None:
    first: Any = make(tiny_bert, outputs={"labels": LabelOutput(labels=("a", "b"), problem="single_label")}).module
    first.save_pretrained(tmp_path)
    load_tokenizer(make(tiny_bert).base).save_pretrained(tmp_path)
    assert make(tmp_path).module.get_parameter("classifier.weight").shape == (3, 32)


def test_a_model_that_cannot_be_read_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    load_tokenizer(make(tiny_bert).base).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nonesuch"}')
    with pytest.raises(ModelError, match="cannot be loaded: .*nonesuch"):
        make(tmp_path)


def test_texts_longer_than_the_positions_are_refused(tiny_bert: Path, tiny_roberta: Path, tiny_gpt2: Path) -> None:
    for folder in (tiny_bert, tiny_roberta, tiny_gpt2):
        make(folder, model={"max_length": 512})
        with pytest.raises(ModelError, match=r"`model.max_length <= 512` must hold, .* but got 513; lower it"):
            make(folder, model={"max_length": 513})


def test_the_end_token_pads_where_there_is_no_padding_token(tiny_gpt2: Path) -> None:
    module: Any = make(tiny_gpt2).module
    assert module.config.pad_token_id == module.config.eos_token_id == 0


def test_spare_copies_are_not_counted(tiny_bert: Path) -> None:
    full, lora = count_parameters(make(tiny_bert)), count_parameters(make(tiny_bert, peft=Lora(r=4)))
    added = 2 * 2 * 4 * (32 + 32)
    assert lora.total == full.total + added
    assert lora.trainable == added + 3 * 32 + 3
    assert lora.percent == pytest.approx(100 * lora.trainable / lora.total)


def test_owned_state_is_a_copy_and_goes_back(tiny_bert: Path) -> None:
    built = make(tiny_bert, peft=Lora())
    state = trainable_state(built)
    with torch.no_grad():
        for parameter in built.module.parameters():
            parameter.add_(1)
    assert not any(torch.equal(state[name], tensor) for name, tensor in trainable_state(built).items())
    load_trainable(built, state)
    assert all(torch.equal(state[name], tensor) for name, tensor in trainable_state(built).items())


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(tiny_bert: Path) -> None:
    built = make(tiny_bert, freeze=FreezeEncoder())
    before = trainable_state(built)
    wrong = {"classifier.weight": torch.ones(2, 2), "stranger": torch.ones(1)}
    message = r"classifier.bias is missing; stranger is unknown; classifier.weight has shape \(2, 2\) and not \(3, 32\)"
    with pytest.raises(ModelError, match=message):
        load_trainable(built, wrong)
    assert all(torch.equal(before[name], tensor) for name, tensor in trainable_state(built).items())


def test_the_digest_follows_the_weights(tiny_bert: Path, tmp_path: Path) -> None:
    same = altered(tiny_bert, tmp_path / "same", lambda name, tensor: tensor)
    other = altered(tiny_bert, tmp_path / "other", lambda name, tensor: tensor + 1)
    digests = [make(folder).base_digest for folder in (tiny_bert, same, other)]
    assert digests[0].startswith("sha256:")
    assert digests[0] == digests[1] != digests[2]


def test_loading_is_silent(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make(tiny_bert, peft=Lora())
    assert capfd.readouterr() == ("", "")


def altered(folder: Path, target: Path, change: Any) -> Path:
    """A copy of a model folder with its tensors changed; None leaves one out."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    state = {name: change(name, tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
    kept = {name: tensor.contiguous() for name, tensor in state.items() if tensor is not None}
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    return target


GIANT = 10**9
BERT_SIZES = (
    *("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"),
    *("max_position_embeddings", "type_vocab_size"),
)


@pytest.mark.parametrize(
    ("name", "key"),
    [*(("tiny_bert", key) for key in BERT_SIZES), ("tiny_distilbert", "n_layers"), ("tiny_gpt2", "n_embd")],
)
def test_a_model_that_is_much_larger_than_its_weights_takes_no_memory(
    name: str, key: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: GIANT}))
    with pytest.raises(
        ModelError, match=r"must be those that its config.json describes, but that of .* \d+,000.* param"
    ):
        make(folder)


def test_experts_that_the_weights_do_not_hold_take_no_memory(tmp_path: Path) -> None:
    from transformers import MixtralConfig, MixtralModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    tokenizer = byte_pairs(eos_token="</s>")
    config = MixtralConfig(
        vocab_size=len(tokenizer), pad_token_id=0, num_key_value_heads=2, num_local_experts=2, **sizes
    )
    folder = save(tmp_path / "model", lambda: MixtralModel(config), tokenizer)
    assert make(folder).module.config.num_local_experts == 2
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | {"num_local_experts": GIANT}))
    with pytest.raises(ModelError, match="1,000,000,000 experts, which make 32,000,000,000 parameters"):
        make(folder)


def test_positions_without_parameters_may_be_many(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    tokenizer = byte_pairs(eos_token="</s>")
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, max_position_embeddings=10**6, **sizes)
    folder = save(tmp_path / "model", lambda: LlamaModel(config), tokenizer)
    assert make(folder).module.config.max_position_embeddings == 10**6


def test_a_head_that_comes_with_the_base_is_new_unless_it_is_for_these_labels(tiny_bert: Path, tmp_path: Path) -> None:
    """A classifier that was trained for other labels answers about others, whatever its shape."""
    make(tiny_bert).module.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    same = make(tmp_path)
    names = {"classifier.weight", "classifier.bias"}
    assert not same.roles.head and names <= same.trainable
    assert {same.roles.depth_of(name) for name in names} == {same.roles.layers + 1}
    others = {"labels": LabelOutput(labels=("bad", "fair", "good"), problem="single_label")}
    assert make(tmp_path, outputs=others).roles.head == make(tiny_bert).roles.head >= names
    adapted = make(tmp_path, peft=Lora(r=2))
    trained = {plain_name(name) for name in adapted.trainable - adapted.roles.adapter}
    assert names <= trained and not adapted.roles.head, "a head of texts is trained whatever the method"
