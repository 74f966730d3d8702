"""What every loss must do. A new loss is tested by being in the table."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional as F

from fast_and_slow import examples
from tunery.errors import ConfigError
from tunery.optim.losses import LOSSES, RowLoss, make_loss
from tunery.schema.config.loss import AdaptiveFocal, Bce, CrossEntropy, Focal, Hybrid, MultiLabelLoss, SingleLabelLoss
from tunery.schema.config.loss import WeightedBce as Weighted
from tunery.schema.reading.fields import alternatives
from tunery.schema.spec import Spec

LABELS = 4
TARGETS = {
    "single_label": np.array([0, 0, 1, 0, 2, 3, 1, 0, 0, 2]),
    "multi_label": np.array(
        [[1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 1], [0, 1, 0, 0]], dtype=np.float32
    ),
}
UNIONS = {"single_label": alternatives(SingleLabelLoss), "multi_label": alternatives(MultiLabelLoss)}
SPECS: dict[str, Any] = {
    "ce": CrossEntropy(),
    "ce-balanced": CrossEntropy(class_weights="balanced"),
    "bce": Bce(),
    "weighted_bce": Weighted(),
    "weighted_bce-capped": Weighted(max_weight=2),
    "focal": Focal(),
    "focal-none": Focal(gamma=0),
    "focal-root": Focal(gamma=0.5),
    "adaptive_focal": AdaptiveFocal(),
    "adaptive_focal-low": AdaptiveFocal(gamma=0.5, gamma_min=0, gamma_max=1),
    "hybrid": Hybrid(),
    "hybrid-both": Hybrid(alpha=0.3, bce="weighted_bce", focal="adaptive_focal", gamma=3),
}
CASES = [
    pytest.param(spec, problem, smoothing, id=f"{name}-{problem}-{smoothing}")
    for (name, spec), problem, smoothing in product(SPECS.items(), TARGETS, (0.0, 0.1))
    if type(spec) in UNIONS[problem]
]
every_loss = pytest.mark.parametrize(("spec", "problem", "smoothing"), CASES)


def make(spec: Any, problem: Any, smoothing: float = 0.0, *, targets: np.ndarray | None = None) -> RowLoss:
    seen = TARGETS[problem] if targets is None else targets
    return make_loss(spec, problem=problem, targets=seen, labels=LABELS, smoothing=smoothing)


def draw(problem: str, *, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits in float64 and the targets of the training rows."""
    targets = torch.from_numpy(TARGETS[problem])
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(len(targets), LABELS, generator=generator, dtype=torch.float64), targets


def test_schema_and_table_list_the_same_losses() -> None:
    assert {*UNIONS["single_label"], *UNIONS["multi_label"]} == set(LOSSES) == {type(spec) for spec in SPECS.values()}


# References: plain formulas over probabilities, in float64, one row and one label at a time.


def softmax_terms(row: np.ndarray, label: int, smoothing: float) -> list[tuple[float, float]]:
    """(soft target, probability) of every label."""
    p = np.exp(row) / np.exp(row).sum()
    return [((1 - smoothing) * (k == label) + smoothing / LABELS, p[k]) for k in range(LABELS)]


def sigmoid_terms(row: np.ndarray, target: Any, smoothing: float) -> list[tuple[float, float]]:
    given_labels = np.arange(LABELS) == target if np.ndim(target) == 0 else target
    return [(y * (1 - smoothing) + smoothing / 2, 1 / (1 + np.exp(-x))) for x, y in zip(row, given_labels, strict=True)]


def ce(spec: CrossEntropy, row: np.ndarray, target: Any, smoothing: float) -> float:
    plain = -sum(q * np.log(p) for q, p in softmax_terms(row, target, smoothing))
    return plain * {None: 1.0, "balanced": 10 / (4 * {0: 5, 1: 2, 2: 2, 3: 1}[int(target)])}[spec.class_weights]


def bce(spec: Bce, row: np.ndarray, target: Any, smoothing: float, weights: Any = (1, 1, 1, 1)) -> float:
    terms = zip(sigmoid_terms(row, target, smoothing), weights, strict=True)
    return float(np.mean([-(w * q * np.log(p) + (1 - q) * np.log(1 - p)) for (q, p), w in terms]))


def weighted_bce(spec: Weighted, row: np.ndarray, target: Any, smoothing: float) -> float:
    counted = {0: (5 / 5, 8 / 2, 8 / 2, 9 / 1), 1: (3 / 3, 1 / 5, 5 / 1, 4 / 2)}[np.ndim(target)]
    return bce(Bce(), row, target, smoothing, [min(max(w, 1 / spec.max_weight), spec.max_weight) for w in counted])


def focal(spec: Any, row: np.ndarray, target: Any, smoothing: float) -> float:
    if np.ndim(target) == 0:
        return -sum(q * (1 - p) ** spec.gamma * np.log(p) for q, p in softmax_terms(row, target, smoothing))
    terms, gamma = sigmoid_terms(row, target, smoothing), spec.gamma
    return -float(np.mean([q * (1 - p) ** gamma * np.log(p) + (1 - q) * p**gamma * np.log(1 - p) for q, p in terms]))


def hybrid(spec: Hybrid, row: np.ndarray, target: Any, smoothing: float) -> float:
    first = {
        "bce": bce(Bce(), row, target, smoothing),
        "weighted_bce": weighted_bce(Weighted(), row, target, smoothing),
    }
    return spec.alpha * first[spec.bce] + (1 - spec.alpha) * focal(spec, row, target, smoothing)


REFERENCES: dict[type[Spec], Callable[..., float]] = {
    CrossEntropy: ce,
    Bce: bce,
    Weighted: weighted_bce,
    Focal: focal,
    AdaptiveFocal: focal,
    Hybrid: hybrid,
}


@every_loss
def test_it_is_the_formula(spec: Any, problem: str, smoothing: float) -> None:
    logits, targets = draw(problem, scale=2)
    expected = [
        REFERENCES[type(spec)](spec, row, target, smoothing)
        for row, target in zip(logits.numpy(), targets.numpy(), strict=True)
    ]
    found = make(spec, problem, smoothing).double()(logits, targets)
    assert found.shape == (len(targets),) and found.tolist() == pytest.approx(expected, rel=1e-6)


@every_loss
def test_the_gradient_is_that_of_the_loss(spec: Any, problem: str, smoothing: float) -> None:
    """Over logits, and over whatever the loss itself learns."""
    loss = make(spec, problem, smoothing).double()
    logits, targets = draw(problem)
    learned = [parameter.detach().requires_grad_() for parameter in loss.parameters()]
    names = [name for name, _ in loss.named_parameters()]

    def run(given_logits: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (given_logits, targets))

    assert torch.autograd.gradcheck(run, (logits.requires_grad_(), *learned))


@every_loss
@examples(0.15)
@given(cut=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_passes_of_a_step_add_up(spec: Any, problem: str, smoothing: float, cut: int, seed: int) -> None:
    """No row's loss knows of another row, so gradients and losses of any split sum to those of the whole."""
    loss, (logits, targets) = make(spec, problem, smoothing).double(), draw(problem, seed=seed)
    whole = loss(logits, targets)
    parts = torch.cat([loss(logits[part], targets[part]) for part in torch.arange(len(targets)).split(cut)])
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


@every_loss
@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_it_stays_finite_however_sure_the_model_is(
    spec: Any, problem: str, smoothing: float, size: float, kind: torch.dtype
) -> None:
    """For every sign of every logit, right or wrong; in float32 as in float64, up to rounding."""
    signs = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=LABELS)))
    targets = torch.from_numpy(TARGETS[problem])[torch.arange(len(signs)) % len(TARGETS[problem])]
    found, exact = [], []
    for dtype, values in ((kind, found), (torch.float64, exact)):
        loss = make(spec, problem, smoothing).to(torch.promote_types(dtype, torch.float32))
        logits = (size * signs).to(kind).to(dtype).requires_grad_()
        rows = loss(logits, targets)
        rows.sum().backward()
        values.extend([rows.detach(), logits.grad, *(parameter.grad for parameter in loss.parameters())])
    assert found[0].dtype == torch.float32
    for value, reference in zip(found, exact, strict=True):
        assert value.isfinite().all()
        rounding = {torch.float32: 2e-5, torch.bfloat16: 2**-8}[value.dtype]
        torch.testing.assert_close(value.double(), reference, rtol=rounding, atol=1e-5)


@every_loss
def test_right_is_better_than_undecided_is_better_than_wrong(spec: Any, problem: str, smoothing: float) -> None:
    loss, targets = make(spec, problem, smoothing), torch.from_numpy(TARGETS[problem])
    signs = 2.0 * (F.one_hot(targets, LABELS) if problem == "single_label" else targets) - 1
    right, undecided, wrong = (loss(size * signs, targets) for size in (2.0, 0.0, -2.0))
    assert (right < undecided).all() and (undecided < wrong).all()


def lowest(spec: Any, problem: str, smoothing: float) -> Tensor:
    """Probabilities of the labels at the minimum, for the first training row."""
    loss, targets = make(spec, problem, smoothing).double(), torch.from_numpy(TARGETS[problem])[:1]
    logits = torch.zeros(1, LABELS, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        search.zero_grad()
        value: Tensor = loss(logits, targets).sum()
        value.backward(inputs=[logits])
        return value

    search.step(evaluate)
    return logits.detach()


@pytest.mark.parametrize(
    ("spec", "problem", "link", "minimum"),
    [
        (CrossEntropy(), "single_label", nn.Softmax(1), [0.925, 0.025, 0.025, 0.025]),
        (Focal(gamma=0), "single_label", nn.Softmax(1), [0.925, 0.025, 0.025, 0.025]),
        (Bce(), "single_label", nn.Sigmoid(), [0.95, 0.05, 0.05, 0.05]),
        (Bce(), "multi_label", nn.Sigmoid(), [0.95, 0.95, 0.05, 0.05]),
        (Focal(gamma=0), "multi_label", nn.Sigmoid(), [0.95, 0.95, 0.05, 0.05]),
    ],
    ids=str,
)
def test_smoothing_puts_the_minimum_at_the_soft_target(
    spec: Any, problem: str, link: nn.Module, minimum: list[float]
) -> None:
    """Without smoothing it lies at infinity."""
    assert link(lowest(spec, problem, 0.1))[0].tolist() == pytest.approx(minimum, abs=1e-4)


CHANGES: list[tuple[Any, dict[str, Any]]] = [
    (CrossEntropy(), {"class_weights": "balanced"}),
    (Weighted(), {"max_weight": 3}),
    (Focal(), {"gamma": 3}),
    (AdaptiveFocal(), {"gamma": 3}),
    (Hybrid(), {"alpha": 0.6}),
    (Hybrid(), {"bce": "weighted_bce"}),
    (Hybrid(), {"gamma": 3}),
]


@pytest.mark.parametrize(("spec", "change"), CHANGES, ids=str)
def test_every_key_changes_the_loss(spec: Any, change: dict[str, Any]) -> None:
    for problem in (problem for problem, union in UNIONS.items() if type(spec) in union):
        logits, targets = draw(problem)
        before, after = make(spec, problem), make(spec.model_copy(update=change), problem)
        assert not torch.allclose(before(logits, targets), after(logits, targets))


TRAINED_CHANGES: list[tuple[Any, dict[str, Any]]] = [
    (AdaptiveFocal(), {"gamma_min": 1.5}),
    (AdaptiveFocal(), {"gamma_max": 9}),
    (Hybrid(), {"focal": "adaptive_focal"}),
]


@pytest.mark.parametrize(("spec", "change"), TRAINED_CHANGES, ids=str)
@pytest.mark.parametrize("problem", TARGETS)
def test_bounds_and_adaptivity_change_the_loss_once_it_is_trained(
    spec: Any, change: dict[str, Any], problem: str
) -> None:
    logits, targets = draw(problem)
    before, after = (
        after_training(make(one, problem), logits, targets) for one in (spec, spec.model_copy(update=change))
    )
    assert not torch.allclose(before(logits, targets), after(logits, targets), rtol=1e-3)


def test_every_key_of_every_loss_is_tried() -> None:
    tried = {(type(spec), key) for spec, change in CHANGES + TRAINED_CHANGES for key in change}
    assert tried == {(spec, key) for spec in LOSSES for key in spec.model_fields if key != "name"}


def after_training(loss: RowLoss, logits: Tensor, targets: Tensor, *, steps: int = 20, lr: float = 1.0) -> RowLoss:
    """Moves what the loss learns, if anything, down its own gradient."""
    if learned := list(loss.parameters()):
        optimizer = torch.optim.SGD(learned, lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(logits, targets).mean().backward()
            optimizer.step()
    return loss


@pytest.mark.parametrize("problem", TARGETS)
def test_gamma_starts_as_given_moves_and_stays_within_its_bounds(problem: str) -> None:
    logits, targets = draw(problem)
    loss = make(AdaptiveFocal(gamma=2.5, gamma_min=0.5, gamma_max=3), problem)
    focal_loss: Any = loss
    assert focal_loss.gamma.value().item() == pytest.approx(2.5)
    after_training(loss, logits, targets, steps=50)
    moved = focal_loss.gamma.value().item()
    assert 2.6 < moved < 3
    for theta in (-1e6, 1e6):
        nn.init.constant_(focal_loss.gamma.theta, theta)
        assert 0.5 <= focal_loss.gamma.value().item() <= 3


@pytest.mark.parametrize("bound", [1.0, 5.0])
def test_gamma_that_starts_at_a_bound_can_still_learn(bound: float) -> None:
    logits, targets = draw("single_label")
    loss: Any = make(AdaptiveFocal(gamma=bound), "single_label")
    assert loss.gamma.value().item() == pytest.approx(bound, abs=0.005)
    loss(logits, targets).sum().backward()
    assert abs(loss.gamma.theta.grad.item()) > 1e-4


def test_what_is_learned_is_the_whole_state() -> None:
    """Counted weights are not: they come from the training rows again."""
    learned = {name: list(make(spec, "single_label").state_dict()) for name, spec in SPECS.items()}
    assert {name: keys for name, keys in learned.items() if keys} == {
        "adaptive_focal": ["gamma.theta"],
        "adaptive_focal-low": ["gamma.theta"],
        "hybrid-both": ["second.gamma.theta"],
    }
    moved = make(SPECS["adaptive_focal"], "single_label")
    moved.load_state_dict({"gamma.theta": torch.tensor(0.7)})
    logits, targets = draw("single_label")
    assert not torch.equal(moved(logits, targets), make(SPECS["adaptive_focal"], "single_label")(logits, targets))


# Off means off.


def test_without_options_the_losses_are_bitwise_those_of_torch() -> None:
    logits, targets = draw("single_label")
    logits = logits.float()
    assert torch.equal(
        make(CrossEntropy(), "single_label")(logits, targets), F.cross_entropy(logits, targets, reduction="none")
    )
    logits, targets = draw("multi_label")
    logits = logits.float()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    for off in (Bce(), Weighted(max_weight=1), Hybrid(alpha=1)):
        assert torch.equal(make(off, "multi_label")(logits, targets), expected)


@pytest.mark.parametrize(("problem", "plain"), [("single_label", CrossEntropy()), ("multi_label", Bce())])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gamma_0_is_plain_cross_entropy(problem: str, plain: Any, smoothing: float) -> None:
    logits, targets = draw(problem, scale=5)
    off, expected = (make(spec, problem, smoothing)(logits, targets) for spec in (Focal(gamma=0), plain))
    torch.testing.assert_close(off, expected, rtol=1e-12, atol=1e-12)


def test_balanced_weights_do_nothing_where_labels_are_balanced() -> None:
    logits, targets = torch.randn(8, LABELS), torch.arange(8) % LABELS
    plain, balanced = (
        make(CrossEntropy(class_weights=weights), "single_label", targets=targets.numpy())(logits, targets)
        for weights in (None, "balanced")
    )
    assert torch.equal(plain, balanced)


# Weights are counted in the training rows.


@examples(0.5)
@given(seed=st.integers(0, 9999), rows=st.integers(4, 60))
def test_balanced_weights_are_those_of_scikit_learn_and_1_in_the_mean(seed: int, rows: int) -> None:
    drawn = np.random.default_rng(seed).choice(LABELS, size=rows, p=[0.7, 0.2, 0.05, 0.05])
    labels = np.unique(drawn)
    loss: Any = make(CrossEntropy(class_weights="balanced"), "single_label", targets=drawn)
    weights = loss.weights.numpy()
    expected = compute_class_weight("balanced", classes=labels, y=drawn)
    np.testing.assert_allclose(weights[labels], expected, rtol=1e-6)
    assert weights[drawn].mean() == pytest.approx(1, rel=1e-5)
    assert (np.delete(weights, labels) == 1).all()


def test_weights_of_labels_that_no_row_or_every_row_has_are_capped() -> None:
    targets = np.zeros((10, LABELS), dtype=np.float32)
    targets[:, 1], targets[0, 2], targets[:5, 3] = 1, 1, 1
    loss: Any = make(Weighted(max_weight=4), "multi_label", targets=targets)
    assert loss.positive_weights.tolist() == [4, 0.25, 4, 1]


def test_cross_entropy_over_several_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="task.loss.name: 'ce' needs exactly one label a row, .* take bce"):
        make(CrossEntropy(), "multi_label")


def recall_of_the_rare_label(spec: Any) -> float:
    """A logistic regression on two overlapping clouds of 190 and 10 rows, judged on 200 fresh rows of the rare one."""
    generator = torch.Generator().manual_seed(0)
    targets = (torch.arange(200) >= 190).long()
    features = torch.randn(200, 2, generator=generator) + targets[:, None]
    fresh = torch.randn(200, 2, generator=generator) + 1
    loss = make_loss(spec, problem="single_label", targets=targets.numpy(), labels=2, smoothing=0.0)
    weight, bias = torch.zeros(2, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        loss(features @ weight + bias, targets).mean().backward()
        optimizer.step()
    return float(((fresh @ weight + bias).argmax(1) == 1).float().mean())


@pytest.mark.parametrize(
    ("plain", "weighted"), [(CrossEntropy(), CrossEntropy(class_weights="balanced")), (Bce(), Weighted())], ids=str
)
def test_weights_find_rare_labels(plain: Any, weighted: Any) -> None:
    assert recall_of_the_rare_label(weighted) > 0.6 > 0.3 > recall_of_the_rare_label(plain)
