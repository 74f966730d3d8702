"""Each dropout is heard in its own place, in every family, or refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from families import FAMILIES, IDS, TINY
from model_answers import labels_of
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.dropout import AS_PRETRAINED, FIELDS, OWN_HEAD, Dropouts, set_all_dropouts
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.model.heads.pooling import mean_of_tokens
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import LinearHead, MlpHead, Model, NativeHead
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.task import LabelOutput

LABELS = {"labels": LabelOutput(labels=("no", "yes"), problem="single_label")}
SIZES: dict[str, dict[str, Any]] = {
    **{family: size for family, (_, size) in FAMILIES.items()},
    "camembert": TINY,
    "gpt_neox": TINY,
    "mistral": {**TINY, "num_key_value_heads": 1},
    "gemma": {**TINY, **IDS, "num_key_value_heads": 1, "head_dim": 16},
}
"""Family -> a tiny config."""

PLACES = ("head", "encoder", "attention")
READ = [(family, place) for family in FIELDS for place in PLACES if getattr(FIELDS[family], place)]
UNREAD = [(family, place) for family in FIELDS for place in PLACES if (family, place) not in READ]
FALLING_BACK = [family for family, place in READ if place == "head" and FIELDS[family].encoder]
BEFORE_THE_POOLER = "pooler_dropout"
"""A second dropout of DeBERTa's native head, 0 by default, which head dropout leaves alone."""

TOKENS = torch.arange(3, 51).reshape(4, 12)


def configured(family: str, dropouts: Dropouts, **fields: Any) -> Any:
    config = AutoConfig.for_model(family, **SIZES[family], **fields)
    config.pad_token_id = 0
    set_all_dropouts(config, dropouts)
    return config


def classifier(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).train()


def silenced(family: str) -> Any:
    """A config without any dropout that the tables know of."""
    return configured(family, Dropouts(**{place: 0.0 for place in PLACES if (family, place) in READ}))


def stages(model: nn.Module, seed: int) -> list[Tensor]:
    """What is computed in train mode: embeddings, each layer, logits."""
    torch.manual_seed(seed)
    output = model(input_ids=TOKENS, output_hidden_states=True)
    return [*output.hidden_states, output.logits]


def where_it_starts(config: Any) -> str | None:
    """The place whose dropout makes two passes differ."""
    model = classifier(config)
    same = [torch.equal(one, two) for one, two in zip(stages(model, 1), stages(model, 2), strict=True)]
    places = ["encoder", *["attention"] * (len(same) - 2), "head"]
    return next((place for place, equal in zip(places, same, strict=True) if not equal), None)


def head_strengths(model: Any) -> set[float]:
    inside = f"{model.base_model_prefix}."
    modules = {name: part for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    return {part.p for name, part in modules.items() if not name.startswith(inside)}


def test_every_family_here_is_in_the_table_and_the_other_way_round() -> None:
    assert set(SIZES) == set(FIELDS)


@pytest.mark.parametrize("family", FIELDS)
def test_with_all_at_zero_training_repeats_itself(family: str) -> None:
    assert where_it_starts(silenced(family)) is None


@pytest.mark.parametrize("family", FIELDS)
def test_zero_costs_no_random_number(family: str) -> None:
    """Drawing masks takes much of an attention's time on a CPU."""
    model = classifier(silenced(family))
    model(input_ids=TOKENS)  # BigBird makes itself a full attention on the first short batch
    before = torch.get_rng_state()
    model(input_ids=TOKENS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("family", "place"), READ)
def test_a_dropout_is_heard_in_its_own_place(family: str, place: str) -> None:
    config = silenced(family)
    set_all_dropouts(config, Dropouts(**{place: 0.5}))
    assert where_it_starts(config) == place


@pytest.mark.parametrize(("family", "place"), READ)
def test_every_field_of_a_place_is_read(family: str, place: str) -> None:
    for field in getattr(FIELDS[family], place):
        config = silenced(family)
        setattr(config, field, 0.5)
        assert where_it_starts(config) is not None, field


@pytest.mark.parametrize("family", FIELDS)
def test_no_field_that_is_read_is_left_out(family: str) -> None:
    config = AutoConfig.for_model(family)
    fields = {name for name in config.to_dict() if re.search(r"dropout|_pdrop", name)}
    known = {field for place in FIELDS[family] for field in place}
    for field in fields - known - {BEFORE_THE_POOLER}:
        config = silenced(family)
        setattr(config, field, 0.5)
        assert where_it_starts(config) is None, field


@pytest.mark.parametrize(("family", "place"), READ)
def test_the_pretrained_value_written_out_changes_nothing(family: str, place: str) -> None:
    plain = configured(family, AS_PRETRAINED)
    fields = getattr(FIELDS[family], place)
    (value,) = {getattr(plain, field, None) for field in fields}
    falls_back_to = 0.1  # what these families have in the encoder
    written = configured(family, Dropouts(**{place: falls_back_to if value is None else value}))
    both = zip(stages(classifier(plain), 1), stages(classifier(written), 1), strict=True)
    assert all(torch.equal(one, two) for one, two in both)


@pytest.mark.parametrize("family", FALLING_BACK)
def test_the_head_keeps_its_own_when_the_encoder_changes(family: str) -> None:
    (field,) = FIELDS[family].head
    before = head_strengths(classifier(configured(family, AS_PRETRAINED)))
    assert head_strengths(classifier(configured(family, Dropouts(encoder=0.4)))) == before
    assert 0.3 in head_strengths(classifier(configured(family, Dropouts(encoder=0.4), **{field: 0.3})))
    assert 0.2 in head_strengths(classifier(configured(family, Dropouts(encoder=0.4, head=0.2))))


@pytest.mark.parametrize("family", ["longformer", "mpnet"])
def test_a_head_without_a_field_of_its_own_follows_the_encoder(family: str) -> None:
    assert head_strengths(classifier(configured(family, Dropouts(encoder=0.4)))) == {0.4}


@pytest.mark.parametrize(("family", "place"), UNREAD)
def test_a_dropout_that_nothing_reads_is_refused(family: str, place: str) -> None:
    refused = {
        "head": f"a head with a dropout of its own, but the native head of '{family}' has none; remove it, or take "
        "model.head.kind=linear",
        "encoder": f"a dropout on embeddings or blocks, but '{family}' has none; remove it",
    }
    message = f"regularization.{place}_dropout=0.0 needs {refused[place]}"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        configured(family, Dropouts(**{place: 0.0}))


def test_an_unknown_family_is_refused_only_when_something_is_asked() -> None:
    config = AutoConfig.for_model("esm", vocab_size=60)
    set_all_dropouts(config, AS_PRETRAINED)
    with pytest.raises(
        ModelError, match=r"encoder_dropout=0.1 needs a family .*\(albert, .*\), but .* of 'esm'; remove"
    ):
        set_all_dropouts(config, Dropouts(encoder=0.1))


def make(folder: Path, dropout: Dropouts, *, head: Any = NativeHead(), peft: Any = NoPeft()) -> Built:  # noqa: B008
    torch.manual_seed(0)
    return build(Model(name=str(folder), head=head), outputs=LABELS, peft=peft, freeze=NoFreeze(), dropout=dropout)


def answer(module: nn.Module, *, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    logits: Tensor = labels_of(module, input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS))
    return logits


@pytest.mark.parametrize("head", [NativeHead(), LinearHead(), MlpHead(hidden=8)], ids=lambda head: head.kind)
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_distilbert"])
def test_a_built_model_hears_all_three(name: str, head: Any, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    for place in PLACES:
        one = make(folder, Dropouts(**{**dict.fromkeys(PLACES, 0.0), place: 0.5}), head=head).train()
        assert not torch.equal(answer(one, seed=1), answer(one, seed=2)), place
    none = make(folder, Dropouts(head=0, encoder=0, attention=0), head=head).train()
    assert torch.equal(answer(none, seed=1), answer(none, seed=2))


@pytest.mark.parametrize("head", [LinearHead(), MlpHead(hidden=8)], ids=lambda head: head.kind)
def test_heads_of_ours_take_theirs_in_every_family(head: Any, tiny_gpt2: Path) -> None:
    for asked, found in ((None, OWN_HEAD), (0.25, 0.25)):
        own = make(tiny_gpt2, Dropouts(head=asked), head=head).heads
        assert own is not None
        assert {part.p for part in own.modules() if isinstance(part, nn.Dropout)} == {found}
    with pytest.raises(ModelError, match="native head of 'gpt2' has none"):
        make(tiny_gpt2, Dropouts(head=0.25))


def test_an_export_says_what_it_was_trained_with(tiny_bert: Path, tmp_path: Path) -> None:
    built = make(tiny_bert, Dropouts(encoder=0.3, attention=0.05))
    spec = Model(name=str(tiny_bert), head=NativeHead())
    export(built, load_tokenizer(built.base), tmp_path, outputs=LABELS, spec=spec, peft=NoPeft())
    written = json.loads((tmp_path / "config.json").read_text())
    fields = ("classifier_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob")
    assert [written[field] for field in fields] == [0.1, 0.3, 0.05]
    again = load_exported(tmp_path, model_spec=spec, peft=NoPeft(), outputs=LABELS)
    assert torch.equal(answer(again), answer(built.module.eval()))


def test_under_a_method_the_native_head_keeps_its_dropout(tiny_bert: Path) -> None:
    module = make(tiny_bert, Dropouts(head=0.5), peft=Lora(dropout=0)).train()
    assert not torch.equal(answer(module, seed=1), answer(module, seed=2))
    module = make(tiny_bert, Dropouts(head=0), peft=Lora(dropout=0)).train()
    assert torch.equal(answer(module, seed=1), answer(module, seed=2))


@pytest.mark.parametrize("hidden", [[4], [0], [0, 1, 2, 7]], ids=str)
@pytest.mark.parametrize("family", FIELDS)
def test_a_token_out_of_the_mask_has_no_influence(family: str, hidden: list[int]) -> None:
    """What `regularization.token_dropout` relies on; a row that begins with hidden tokens is finite too."""
    torch.manual_seed(0)
    model = AutoModel.from_config(configured(family, AS_PRETRAINED)).eval()
    mask = torch.ones_like(TOKENS)
    mask[:, hidden] = 0
    others = TOKENS.clone()
    others[:, hidden] = 55
    one, two = (mean_of_tokens(model(ids, attention_mask=mask).last_hidden_state, mask) for ids in (TOKENS, others))
    assert torch.equal(one, two)
    assert not torch.allclose(one, mean_of_tokens(model(TOKENS).last_hidden_state, torch.ones_like(mask)), atol=1e-4)
    one.square().sum().backward()
    assert all(part.grad is None or bool(part.grad.isfinite().all()) for part in model.parameters())
