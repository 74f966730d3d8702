"""The update of every optimizer, written down from its paper: one tensor, one step, in NumPy and float64.

Each takes the tensor `x`, its gradient `g`, the number of the step from 1, a state that is empty at first, the spec
and the learning rate, and returns the tensor after the step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunery.schema.config import optim as schema

Array = NDArray[np.float64]
State = dict[str, Any]
Paper = Callable[..., Array]


def averages(g: Array, state: State, spec: Any, *, second: Array) -> tuple[Array, Array]:
    """Running means of the gradient and of what `second` is, from zero."""
    first_rate, second_rate = spec.betas
    state["m"] = first_rate * state.get("m", 0.0) + (1 - first_rate) * g
    state["v"] = second_rate * state.get("v", 0.0) + (1 - second_rate) * second
    return state["m"], state["v"]


def unbiased(m: Array, v: Array, t: int, spec: Any) -> tuple[Array, Array]:
    return m / (1 - spec.betas[0] ** t), v / (1 - spec.betas[1] ** t)


def adam(x: Array, g: Array, t: int, state: State, *, spec: schema.Adam, lr: float) -> Array:
    """Kingma & Ba 2015, algorithm 1, on the gradient of the loss with an L2 penalty."""
    g = g + spec.weight_decay * x
    m, v = unbiased(*averages(g, state, spec, second=g**2), t, spec)
    return x - lr * m / (np.sqrt(v) + spec.eps)


def adamw(x: Array, g: Array, t: int, state: State, *, spec: schema.AdamW, lr: float) -> Array:
    """Loshchilov & Hutter 2019, algorithm 2, with a decay that is scaled by the learning rate, as all libraries do."""
    m, v = unbiased(*averages(g, state, spec, second=g**2), t, spec)
    return x - lr * (m / (np.sqrt(v) + spec.eps) + spec.weight_decay * x)


def radam(x: Array, g: Array, t: int, state: State, *, spec: schema.RAdam, lr: float) -> Array:
    """Liu et al. 2020, algorithm 2; the bound is 5 as in the authors' code, and eps as in Adam."""
    rate = spec.betas[1]
    m, v = unbiased(*averages(g, state, spec, second=g**2), t, spec)
    x = x - lr * spec.weight_decay * x
    longest = 2 / (1 - rate) - 1
    length = longest - 2 * t * rate**t / (1 - rate**t)
    if length <= 5:
        return x - lr * m
    tractable = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return x - lr * np.sqrt(tractable) * m / (np.sqrt(v) + spec.eps / np.sqrt(1 - rate**t))


def lamb(x: Array, g: Array, t: int, state: State, *, spec: schema.Lamb, lr: float) -> Array:
    """You et al. 2020, algorithm 2, with phi(z) = z."""
    m, v = unbiased(*averages(g, state, spec, second=g**2), t, spec)
    update = m / (np.sqrt(v) + spec.eps) + spec.weight_decay * x
    return x - lr * np.sqrt(np.sum(x**2)) / np.sqrt(np.sum(update**2)) * update


def sgd(x: Array, g: Array, t: int, state: State, *, spec: schema.Sgd, lr: float) -> Array:
    return x - lr * (g + spec.weight_decay * x)


def sgd_momentum(x: Array, g: Array, t: int, state: State, *, spec: schema.SgdMomentum, lr: float) -> Array:
    """Sutskever et al. 2013, equations 1 to 4, with the learning rate outside the velocity and, for Nesterov, in the
    variables of the point that is looked ahead to."""
    g = g + spec.weight_decay * x
    state["v"] = spec.momentum * state.get("v", 0.0) + g
    return x - lr * (g + spec.momentum * state["v"] if spec.nesterov else state["v"])


def novograd(x: Array, g: Array, t: int, state: State, *, spec: schema.NovoGrad, lr: float) -> Array:
    """Ginsburg et al. 2019, algorithm 1; the first moments are set and not averaged."""
    first, second = spec.betas
    state["v"] = second * state["v"] + (1 - second) * np.sum(g**2) if t > 1 else np.sum(g**2)
    update = g / (np.sqrt(state["v"]) + spec.eps) + spec.weight_decay * x
    state["m"] = first * state["m"] + update if t > 1 else update
    return x - lr * state["m"]


def adabelief(x: Array, g: Array, t: int, state: State, *, spec: schema.AdaBelief, lr: float) -> Array:
    """Zhuang et al. 2020, algorithm 2: eps is added to the running second moment, and to the root."""
    first, second = spec.betas
    state["m"] = first * state.get("m", 0.0) + (1 - first) * g
    state["s"] = second * state.get("s", 0.0) + (1 - second) * (g - state["m"]) ** 2 + spec.eps
    m, s = unbiased(state["m"], state["s"], t, spec)
    return x - lr * (m / (np.sqrt(s) + spec.eps) + spec.weight_decay * x)


def lion(x: Array, g: Array, t: int, state: State, *, spec: schema.Lion, lr: float) -> Array:
    """Chen et al. 2023, algorithm 2."""
    first, second = spec.betas
    m = state.get("m", np.zeros_like(g))
    state["m"] = second * m + (1 - second) * g
    return x - lr * (np.sign(first * m + (1 - first) * g) + spec.weight_decay * x)


def adafactor(x: Array, g: Array, t: int, state: State, *, spec: schema.Adafactor, lr: float) -> Array:
    """Shazeer & Stern 2018, algorithms 4 and 5; the first moment is of the updates, as in the T5 code."""
    if spec.relative_step:
        lr = min(1e-6 * t if spec.warmup_init else 1e-2, 1 / np.sqrt(t))
    alpha = lr * max(1e-3, rms(x)) if spec.scale_parameter else lr
    update = g / np.sqrt(second_moment(g**2 + 1e-30, state, rate=1 - t**-spec.decay_rate))
    update = alpha * update / max(1.0, rms(update) / spec.clip_threshold)
    if spec.beta1 is not None:
        state["m"] = update = spec.beta1 * state.get("m", 0.0) + (1 - spec.beta1) * update
    return x - update - alpha * spec.weight_decay * x


def second_moment(square: Array, state: State, *, rate: float) -> Array:
    """Rows times columns over the sum, in the last two dimensions; of a vector, the moment itself."""
    if square.ndim < 2:
        state["v"] = rate * state.get("v", 0.0) + (1 - rate) * square
        return np.asarray(state["v"])
    rows = state["r"] = rate * state.get("r", 0.0) + (1 - rate) * square.sum(-1)
    columns = state["c"] = rate * state.get("c", 0.0) + (1 - rate) * square.sum(-2)
    return np.asarray(rows[..., :, None] * columns[..., None, :] / rows.sum(-1)[..., None, None])


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x**2)))


PAPERS: dict[type[schema.Optimizer], Paper] = {
    schema.AdamW: adamw,
    schema.Adam: adam,
    schema.Adafactor: adafactor,
    schema.RAdam: radam,
    schema.Lamb: lamb,
    schema.Sgd: sgd,
    schema.SgdMomentum: sgd_momentum,
    schema.NovoGrad: novograd,
    schema.AdaBelief: adabelief,
    schema.Lion: lion,
    schema.AdamW8bit: adamw,
    schema.PagedAdamW: adamw,
    schema.PagedAdamW8bit: adamw,
}
