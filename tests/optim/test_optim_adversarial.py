"""Adversarial training: what is added to the embeddings, and that nothing else is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_answers import labels_of
from tunery.errors import RunError
from tunery.model.build import Built, build
from tunery.optim.adversarial import ADVERSARIAL, CleanTraining, PerturbedTraining, make_adversarial_training
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Houlsby, Lora, NoPeft, Prefix, Prompt
from tunery.schema.config.regularization import Adversarial, Fgm, NoAdversary, Pgd
from tunery.schema.config.task import LabelOutput
from tunery.schema.reading.fields import alternatives

IDS = torch.tensor([[3, 5, 7, 0], [2, 4, 6, 8]])
MASK = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
TARGETS = torch.tensor([0, 2])


class Net(nn.Module):
    """Masked mean of token embeddings, tanh, a linear layer; notes what the layers after the embeddings were given."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words, self.linear = nn.Embedding(9, 5), nn.Linear(5, 3)
        self.seen: list[Tensor] = []

    def states(self, embedded: Tensor, mask: Tensor = MASK) -> Tensor:
        self.seen.append(embedded)
        mean = (embedded * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        logits: Tensor = self.linear(torch.tanh(mean))
        return logits

    def forward(self, ids: Tensor = IDS, mask: Tensor = MASK) -> Tensor:
        return F.cross_entropy(self.states(self.words(ids), mask), TARGETS)

    def moves(self) -> list[Tensor]:
        """What was added to the embeddings, pass by pass; (rows, tokens, hidden)."""
        return [(embedded - self.words(IDS)).detach() for embedded in self.seen]


def run(spec: Adversarial, net: Net, forward: Callable[[], Tensor] | None = None) -> Tensor:
    return make_adversarial_training(spec, net.words).backward(forward or net, lambda loss: loss.backward())  # type: ignore[no-untyped-call]


def gradients(net: nn.Module) -> list[Tensor]:
    return [torch.zeros(()) if weight.grad is None else weight.grad.clone() for weight in net.parameters()]


def lengths(texts: Tensor) -> Tensor:
    return texts.flatten(1).norm(dim=1)


def radius(net: Net, epsilon: float) -> Tensor:
    """The share of the length of each text's real tokens."""
    return epsilon * lengths(net.words(IDS).detach() * MASK[..., None])


def test_the_union_is_the_table() -> None:
    assert set(ADVERSARIAL) == set(alternatives(Adversarial))


@pytest.mark.parametrize("spec", [NoAdversary(), Fgm(epsilon=0), Pgd(epsilon=0)], ids=str)
def test_off_is_one_clean_pass(spec: Adversarial) -> None:
    net, plain = Net(), Net()
    assert isinstance(make_adversarial_training(spec, net.words), CleanTraining)
    loss, expected = run(spec, net), plain()
    expected.backward()
    assert torch.equal(loss, expected) and not loss.requires_grad and len(net.seen) == 1
    assert all(torch.equal(a, b) for a, b in zip(gradients(net), gradients(plain), strict=True))


def test_fgm_moves_as_the_formula_says() -> None:
    """Miyato et al. 2017, equations 5 and 6, with the radius as a share of each text's own length."""
    net = Net()
    run(Fgm(epsilon=0.3), net)
    embedded = net.words(IDS).detach().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(net.states(embedded), TARGETS), embedded)
    expected = (radius(net, 0.3) / lengths(g))[:, None, None] * g
    zero, moved = net.moves()[:2]
    assert not zero.any()
    assert torch.allclose(moved, expected, atol=1e-6) and moved[0, :3].all() and not moved[0, 3].any()
    assert torch.allclose(lengths(moved), radius(net, 0.3))


def test_the_gradients_of_both_passes_add_up() -> None:
    net, by_hand = Net(), Net()
    loss = run(Fgm(epsilon=0.5), net)
    clean = by_hand()
    moved = F.cross_entropy(by_hand.states(by_hand.words(IDS) + net.moves()[1]), TARGETS)
    assert moved > clean + 0.01 and torch.equal(loss, clean)
    (clean + moved).backward()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients(net), gradients(by_hand), strict=True))


def test_pgd_leaves_only_the_first_and_the_last_gradient() -> None:
    net, by_hand = Net(), Net()
    run(Pgd(epsilon=0.5, steps=3, step_size=0.6), net)
    assert len(net.seen) == 4
    (by_hand() + F.cross_entropy(by_hand.states(by_hand.words(IDS) + net.moves()[3]), TARGETS)).backward()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients(net), gradients(by_hand), strict=True))


def test_pgd_moves_and_stays_in_the_ball() -> None:
    net = Net()
    run(Pgd(epsilon=0.4, steps=4, step_size=0.4), net)
    longest = radius(net, 0.4)
    moved = [lengths(move) / longest for move in net.moves()]
    assert torch.allclose(moved[1], torch.tensor(0.4)) and (moved[2] > moved[1]).all()
    assert all((move <= 1 + 1e-6).all() for move in moved) and torch.allclose(moved[4], torch.tensor(1.0))


def test_one_full_move_of_pgd_is_fgm() -> None:
    one, other = Net(), Net()
    run(Pgd(epsilon=0.2, steps=1, step_size=1.0), one)
    run(Fgm(epsilon=0.2), other)
    assert all(torch.equal(a, b) for a, b in zip(gradients(one), gradients(other), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_rises_and_more_moves_find_more(seed: int) -> None:
    """Where it is enough to go down the gradient: a linear model of unlike texts, whose loss is convex."""

    def losses(spec: Adversarial) -> list[float]:
        net, found = Net(seed), []

        def forward() -> Tensor:
            found.append(F.cross_entropy(net.linear(net.words(IDS).mean(1)), TARGETS))
            return found[-1]

        run(spec, net, forward)
        return [loss.item() for loss in found]

    clean, fgm = losses(Fgm(epsilon=0.8))
    pgd = losses(Pgd(epsilon=0.8, steps=20, step_size=0.3))
    assert clean < fgm <= pgd[-1] + 1e-6 and pgd[0] == clean


def test_padding_changes_nothing() -> None:
    """So that the passes into which a step is cut never change what it is."""
    net, wide = Net(), Net()
    run(Fgm(epsilon=0.3), net)
    ids, mask = F.pad(IDS, (0, 3)), F.pad(MASK, (0, 3))
    run(Fgm(epsilon=0.3), wide, lambda: wide(ids, mask))
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(gradients(net), gradients(wide), strict=True))


@pytest.mark.parametrize("spec", [Fgm(epsilon=0.1), Pgd(epsilon=0.1)], ids=str)
def test_texts_without_a_gradient_stay_where_they_are(spec: Adversarial) -> None:
    net = Net()

    def forward() -> Tensor:
        return net.states(net.words(IDS))[1].square().sum()

    run(spec, net, forward)
    last = net.moves()[-1]
    assert not last[0].any() and last[1].any() and all(grad.isfinite().all() for grad in gradients(net))


def test_an_overflow_moves_nothing() -> None:
    """The loss scale of fp16 is found by overflowing; that step is skipped, and its second pass must not be NaN."""
    net = Net()
    seen: list[Tensor] = []
    adversary = make_adversarial_training(Fgm(epsilon=0.1), net.words)
    adversary.backward(net, lambda loss: (seen.append(loss), (loss * 1e38 * 1e5).backward())[0])  # type: ignore[no-untyped-call]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_loss_does_not_matter(scale: float) -> None:
    net, scaled = Net(), Net()
    run(Fgm(epsilon=0.3), net)
    make_adversarial_training(Fgm(epsilon=0.3), scaled.words).backward(scaled, lambda loss: (loss * scale).backward())  # type: ignore[no-untyped-call]
    assert torch.allclose(net.moves()[1], scaled.moves()[1], atol=1e-6)


def test_no_weight_is_touched_and_no_hook_is_left_even_when_the_model_raises() -> None:
    net = Net()
    before = [weight.detach().clone() for weight in net.parameters()]
    run(Pgd(epsilon=0.5), net)
    calls = iter([net, net])
    with pytest.raises(StopIteration):
        run(Pgd(epsilon=0.5, steps=3), net, lambda: next(calls)())
    assert not net.words._forward_hooks
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert torch.equal(net(), Net()())


def test_a_model_that_does_not_use_its_embeddings_is_refused() -> None:
    net = Net()
    with pytest.raises(RunError, match=r"but the model did not use them; write regularization.adversarial=none"):
        run(Fgm(), net, lambda: net.states(torch.ones(2, 4, 5)).sum())


METHODS: dict[str, Any] = {
    "none": NoPeft(),
    "lora": Lora(r=4),
    "houlsby": Houlsby(bottleneck=4),
    "prompt": Prompt(tokens=3),
    "prefix": Prefix(tokens=3),
}


def loss_of(built: Built, autocast: bool = False) -> Tensor:
    ids = torch.tensor([[2, 150, 160, 170, 3], [2, 151, 161, 3, 0]])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = labels_of(built.module, input_ids=ids, attention_mask=(ids != 0).long())
    return F.cross_entropy(logits.float(), torch.tensor([0, 1]))


@pytest.mark.parametrize("head", ["native", "linear"])
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_model_can_be_moved(tiny_bert: Path, method: str, head: str) -> None:
    spec = Model.model_validate({"name": str(tiny_bert), "max_length": 32, "head": {"kind": head}})
    labels = {"labels": LabelOutput(problem="single_label", labels=("a", "b"))}
    torch.manual_seed(0)
    built = build(spec, outputs=labels, peft=METHODS[method], freeze=NoFreeze())
    built.module.eval()
    before = {name: weight.detach().clone() for name, weight in built.module.named_parameters()}
    losses: list[Tensor] = []

    def forward() -> Tensor:
        losses.append(loss_of(built))
        return losses[-1]

    PerturbedTraining(built.embeddings, epsilon=0.5, steps=2, step_size=0.6).backward(
        forward,
        lambda loss: loss.backward(),  # type: ignore[no-untyped-call]
    )
    assert len(losses) == 3 and losses[0] < losses[2]
    named = dict(built.module.named_parameters())
    assert all(torch.equal(before[name], weight) for name, weight in named.items())
    assert {name for name, weight in named.items() if weight.grad is not None} <= built.trainable
    assert torch.equal(loss_of(built), losses[0])


def test_with_gradient_checkpointing_and_bf16(tiny_bert: Path) -> None:
    spec = Model(name=str(tiny_bert), max_length=32)
    labels = {"labels": LabelOutput(problem="single_label", labels=("a", "b"))}
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        built = build(spec, outputs=labels, peft=Lora(r=4), freeze=NoFreeze(), gradient_checkpointing=checkpointing)
        built.train()
        torch.manual_seed(1)
        PerturbedTraining(built.embeddings, epsilon=0.1, steps=3, step_size=0.5).backward(
            lambda built=built: loss_of(built, autocast=True),
            lambda loss: loss.backward(),  # type: ignore[no-untyped-call]
        )
        found.append(gradients(built.module))
    assert any(grad.any() for grad in found[0])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
