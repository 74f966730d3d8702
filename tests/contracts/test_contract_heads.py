"""What all layers, poolings, evidence heads and couplings must do."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tunery.model.build import Built, build
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import EvidenceFirst, Independent, LinearHead, Model
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import CriteriaOutput

CRITERIA = {
    "criteria": CriteriaOutput(labels=("good_film", "bad_film", "dog"), descriptions=("a good film", "", "dog"))
}
COUPLINGS = {"evidence_first": EvidenceFirst(), "independent": Independent()}


def made(folder: Path, **changes: Any) -> Built:
    torch.manual_seed(0)
    spec = Model(name=str(folder), **{"head": LinearHead(), **changes})
    return build(spec, outputs=CRITERIA, peft=NoPeft(), freeze=NoFreeze())


BATCH = {
    "input_ids": torch.tensor([[2, 9, 30, 31, 40, 3, 0, 0], [2, 50, 51, 52, 53, 54, 55, 3], [2, 3, 0, 0, 0, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0], [1] * 8, [1, 1, 0, 0, 0, 0, 0, 0]]),
    "unit_ids": torch.tensor([[-1, 7, 7, 9, 10, -1, -1, -1], [-1, 0, 0, 0, 1, 1, 2, -1], [-1] * 8]),
}


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_answers(coupling: str, tiny_bert: Path) -> None:
    built = made(tiny_bert, coupling=COUPLINGS[coupling])
    answers = built.module.train()(**BATCH)
    assert {name: tuple(answer.shape) for name, answer in answers.items()} == {"labels": (3, 3), "units": (3, 4, 3)}
    sum(answer.sum() for answer in answers.values()).backward()
    for name, parameter in built.module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert answers["units"][0, 1].tolist() == [-30.0] * 3 == answers["units"][2, 0].tolist()
