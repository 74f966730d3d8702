"""Every family of the catalog with every method: one step, stored and loaded, exported and read back.

The models have the architecture of their family and a tiny config; the shapes of the real ones are asserted without
memory. A new model of the catalog is tested by its family, a new method by being in `peft_specs`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from test_contract_peft import LABELS, batch, logits, train
from transformers import MODEL_MAPPING, AutoConfig, AutoModel

from conftest import save, word_pieces
from families import FAMILIES
from fast_and_slow import slow_but
from model_answers import labels_of
from peft_specs import SPECS
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer, without_pooler
from tunery.model.backbones.catalog import LAYOUT_OF, resolve
from tunery.model.backbones.checked_models import CATALOG
from tunery.model.backbones.families import layout_of
from tunery.model.backbones.layouts import LAYOUTS
from tunery.model.backbones.structure import find_layers
from tunery.model.build import build
from tunery.model.export import export, load_exported
from tunery.model.heads.auto import resolved_head
from tunery.model.trainable import load_trainable, trainable_state
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import AutoHead, LinearHead, Model

OF_CATALOG: Final = sorted({entry.family for entry in CATALOG.values() if entry.family})
POSITIONS: Final = {"gpt2": "n_positions"}
WITH_POOLER: Final = {
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "xlm-roberta-base": 278_043_648,
    "xlm-roberta-large": 559_890_432,
    "minilm": 22_713_216,
    "longformer-base": 148_659_456,
}
"""Parameters that `AutoModel` of transformers has, where that makes a pooler."""
REFUSED: Final[dict[tuple[str, str], str]] = {
    **{
        (family, "prefix"): "prefix does not work on"
        for family in ("deberta-v2", "distilbert", "longformer", "modernbert")
    },
    **{(family, "bitfit"): "needs biases to train" for family in ("llama", "modernbert")},
    ("longformer", "houlsby-parallel"): "take peft.parallel=false",
    ("gpt2", "peft"): "LoHaConfig does not work on",
}
"""(family, method) that do not go together -> what the error says."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
            shape = {**FAMILIES[family][1], "vocab_size": len(tokenizer), "pad_token_id": 0}
            config = AutoConfig.for_model(family, **shape)
            made[family] = save(
                tmp_path_factory.mktemp(family.replace("-", "_")), lambda: AutoModel.from_config(config), tokenizer
            )
        return made[family]

    return folder


@pytest.mark.parametrize("method", SPECS)
@pytest.mark.parametrize("family", slow_but(OF_CATALOG, "roberta"))
def test_one_step_stored_and_exported(tiny: Callable[[str], Path], tmp_path: Path, family: str, method: str) -> None:
    peft: Any = SPECS[method]
    spec = Model(name=str(tiny(family)), head=LinearHead(), max_length=28)  # BigBird's attention is full up to there

    def make() -> Any:
        torch.manual_seed(7)
        built = build(spec, outputs=LABELS, peft=peft, freeze=NoFreeze())
        if built.rank_allocator is not None:
            built.rank_allocator.plan(100)
        return built

    if (family, method) in REFUSED:
        with pytest.raises(ModelError, match=REFUSED[family, method]):
            make()
        return
    built = make()
    before = logits(built)
    train(built, steps=1)
    after = logits(built)
    assert torch.isfinite(after).all() and not torch.equal(after, before)
    again = make()
    load_trainable(again, {name: value.clone() for name, value in trainable_state(built).items()})
    assert torch.equal(logits(again), after)
    export(built, load_tokenizer(built.base), tmp_path / "best", outputs=LABELS, spec=spec, peft=peft)
    read = load_exported(tmp_path / "best", model_spec=spec, peft=peft, outputs=LABELS)
    assert torch.allclose(labels_of(read, **batch(built)), after, atol=1e-6)


@pytest.mark.parametrize("alias", [alias for alias, entry in CATALOG.items() if entry.shape is not None])
def test_shapes_have_as_many_parameters_as_the_catalog_says(alias: str) -> None:
    entry = CATALOG[alias]
    assert entry.shape is not None and entry.family is not None
    config: Any = AutoConfig.for_model(entry.family, **entry.shape)
    known: Any = MODEL_MAPPING[type(config)]
    with torch.device("meta"):
        backbone = AutoModel.from_config(config, **without_pooler(known[0] if isinstance(known, tuple) else known))
        whole = AutoModel.from_config(config)
    assert sum(part.numel() for part in backbone.parameters()) == entry.parameters
    if alias in WITH_POOLER:
        assert sum(part.numel() for part in whole.parameters()) == WITH_POOLER[alias]
    structure = find_layers(backbone)
    assert layout_of(structure.layer(backbone, 0)) is LAYOUTS[LAYOUT_OF[entry.family]]
    assert (
        entry.max_length is None
        or entry.max_length <= getattr(config, POSITIONS.get(entry.family, "max_position_embeddings"))
        or (
            entry.family == "deberta-v2"  # its positions are relative
        )
    )


@pytest.mark.parametrize("family", OF_CATALOG)
def test_the_catalog_says_how_the_automatic_head_pools(tiny: Callable[[str], Path], family: str) -> None:
    head: Any = resolved_head(AutoHead(), resolve(Model(name=str(tiny(family)))), LABELS)
    assert {entry.pooling for entry in CATALOG.values() if entry.family == family} == {head.pooling}


def test_every_name_is_a_hub_id_and_there_once() -> None:
    names = [entry.hub for entry in CATALOG.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in names)
