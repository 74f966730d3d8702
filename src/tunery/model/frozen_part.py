"""The part of a model below everything that is trained: what it gives of a row is the same in every epoch.

It is found by what is trained and not by names of methods: a layer belongs to it where all of its modules stay in eval
mode, and no gradient is asked for of what it puts out. Whether a model answers the same when it is handed that and
begins above is tried, bit for bit, so that no family has to be known.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, final

import torch
from torch import Tensor, nn

from tunery.errors import ModelError, reason_of
from tunery.model.build import Built
from tunery.model.heads.heads import HeadedModel, PooledHead, answers_of, last_states
from tunery.model.on_trial import FAILURES, on_trial
from tunery.schema.config.task import Outputs

Inputs = Mapping[str, Tensor]
"""Of a model, (rows, tokens) each."""


_FIRST: Final = "its first layer, or what goes into it, is trained or runs in training mode"


class FrozenPart(Protocol):
    """What is computed once, and how a model answers from it. Both leave modes and random state to the caller."""

    name: str
    """Tells it from other parts of the same base."""
    layers: int
    """That it has, counted from the input."""
    per_token: bool
    """Whether there is a state of each token, or a vector of the text."""

    def states(self, inputs: Inputs) -> Tensor:
        """(rows, tokens, hidden) or (rows, hidden)

        Raises:
            ModelError: the layers do not get a state for each token.
        """

    def answers(self, states: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        """What the model answers, as `heads.answers_of` has it; the part itself is not run. States of padding may be
        anything finite."""


@final
class PooledEncoder:
    """A whole encoder, with a pooling that has no weights: what is above are the layers of a head."""

    per_token = False

    def __init__(self, module: HeadedModel, head: PooledHead, *, output: str, layers: int) -> None:
        """Args:
        output: the name of what the head gives.
        layers: of the encoder.
        """
        self.name = f"last, {getattr(head.pool, '__name__', 'pooled')}"
        self.layers = layers
        self._module = module
        self._head = head
        self._output = output

    def states(self, inputs: Inputs) -> Tensor:
        """(rows, hidden)"""
        return self._head.pool((last_states(self._module, inputs),), inputs["attention_mask"])

    def answers(self, states: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        """By the layers of the head alone."""
        return {self._output: self._head.layers(states)}


class _Reached(Exception):
    """Ends a forward pass: what was asked for is known."""


@final
class LowerLayers:
    """The embeddings and some layers from below, of a model that may be of any kind."""

    per_token = True

    def __init__(
        self,
        module: nn.Module,
        outputs: Outputs,
        layers: Sequence[nn.Module],
        *,
        ends: bool,
        skipped: Sequence["_Seen"],
    ) -> None:
        """Args:
        layers: those from below.
        ends: whether there are others above, so that a pass may end where these have been run.
        skipped: modules in whose place the states are handed on.
        """
        self.name = f"layer {len(layers)}"
        self.layers = len(layers)
        self._module = module
        self._outputs = outputs
        self._last = layers[-1]
        self._ends = ends
        self._skipped = skipped

    def states(self, inputs: Inputs) -> Tensor:
        """(rows, tokens, hidden)"""
        taken: list[Tensor] = []

        def take(module: nn.Module, args: Any, output: Any) -> None:
            taken.append(output if isinstance(output, Tensor) else output[0])
            if self._ends:
                raise _Reached

        hook = self._last.register_forward_hook(take)
        try:
            answers_of(self._module, inputs, self._outputs)
        except _Reached:
            pass
        finally:
            hook.remove()
        states = taken[-1]  # layers that share their weights are run several times
        if states.shape[:2] != inputs["input_ids"].shape:
            raise ModelError("its layers get other tokens than those of the text")
        return states

    def answers(self, states: Tensor, inputs: Inputs) -> Mapping[str, Tensor]:
        """By the model, in which what is skipped hands the states on."""
        with _handing_on(self._skipped, states):
            return answers_of(self._module, inputs, self._outputs)


class _Seen(NamedTuple):
    """A module that has been run, and what it put out last."""

    module: nn.Module
    shape: tuple[int, ...]
    others: int | None
    """Values beside the first, in a tuple; None: it is no tuple."""
    is_trained: bool
    """Whether a gradient is asked for of it."""


@contextmanager
def _handing_on(skipped: Sequence[_Seen], states: Tensor) -> Iterator[None]:
    """Within, these modules do nothing but put out the states. Only their attribute `forward` is changed meanwhile, so
    that names and parameters stay as they are."""
    before = [vars(seen.module).get("forward") for seen in skipped]
    try:
        for seen in skipped:
            output = states if seen.others is None else (states, *[None] * seen.others)
            vars(seen.module)["forward"] = partial(_put_out, output)
        yield
    finally:
        for seen, forward in zip(skipped, before, strict=True):
            if forward is None:
                del vars(seen.module)["forward"]
            else:
                vars(seen.module)["forward"] = forward


def _put_out(output: Any, *args: Any, **kwargs: Any) -> Any:
    return output


def frozen_part(built: Built, inputs: Inputs) -> FrozenPart | str:
    """The largest part of a model in which nothing is trained, or why there is none; text vectors where these are
    enough.

    Weights, modes and random state are as before afterwards.

    Args:
        inputs: of a few rows, as they will be.
    """
    if not built.frozen:
        return "frozen layers run in training mode" if built.frozen_in_eval is False else "nothing is frozen"
    frozen = set(built.frozen)
    if (pooled := _pooled(built, frozen)) is not None:
        return pooled
    stem = [built.backbone.get_submodule(name) for name in built.structure.stem]
    if not all(frozen.issuperset(part.modules()) for part in stem):
        return "its embeddings are trained, or run in training mode"
    layers = [built.structure.layer(built.backbone, index) for index in range(built.structure.count)]
    resting = [layer for layer in layers if frozen.issuperset(layer.modules())]
    if layers[0] not in resting:
        return _FIRST
    with on_trial(built.module):
        try:
            return _lower_layers(built, inputs, stem, layers, resting)
        except FAILURES as error:
            return f"this model cannot begin above its first layers ({reason_of(error)})"
        except ModelError as error:
            return str(error)


def _pooled(built: Built, frozen: set[nn.Module]) -> PooledEncoder | None:
    module = built.module
    if not isinstance(module, HeadedModel) or not frozen.issuperset(module.backbone.modules()):
        return None
    heads = dict(module.heads.items())
    if len(heads) > 1 or not all(isinstance(head, PooledHead) for head in heads.values()):
        return None
    ((output, head),) = heads.items()
    assert isinstance(head, PooledHead)
    if isinstance(head.pool, nn.Module):
        return None
    return PooledEncoder(module, head, output=output, layers=built.structure.count)


def _lower_layers(
    built: Built,
    inputs: Inputs,
    stem: Sequence[nn.Module],
    layers: Sequence[nn.Module],
    resting: Sequence[nn.Module],
) -> LowerLayers | str:
    seen = _run(built, inputs, [*stem, *layers])
    free = [layer in resting and layer in seen and not seen[layer].is_trained for layer in layers]
    depth = [*free, False].index(False)
    if depth == 0:
        return _FIRST
    plain = answers_of(built.module, inputs, built.outputs)
    for count in range(depth, max(depth - 2, 0), -1):  # a head may read the layer before the last as well
        below, shape = layers[:count], seen[layers[count - 1]].shape
        embeddings = [seen[part] for part in stem if part in seen and seen[part].shape == shape]
        skipped = [*embeddings, *(seen[layer] for layer in below)]
        part = LowerLayers(built.module, built.outputs, below, ends=count < len(layers), skipped=skipped)
        states = part.states(inputs) * inputs["attention_mask"].unsqueeze(-1)
        handed = part.answers(states, inputs)
        if all(_are_equal(handed[name], plain[name], inputs["attention_mask"]) for name in plain):
            return part
    return "this architecture hands more than token states from layer to layer"


def _run(built: Built, inputs: Inputs, modules: Sequence[nn.Module]) -> dict[nn.Module, _Seen]:
    """What these put out for some rows, as far as they are run."""
    seen: dict[nn.Module, _Seen] = {}

    def note(module: nn.Module, args: Any, output: Any) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        others = None if isinstance(output, Tensor) else len(output) - 1
        seen[module] = _Seen(module, tuple(first.shape), others, first.requires_grad)

    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        with torch.enable_grad():
            answers_of(built.module, inputs, built.outputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _are_equal(one: Tensor, other: Tensor, mask: Tensor) -> bool:
    """Bit for bit, whatever is answered about padding."""
    if one.shape[:2] == mask.shape:
        one, other = one[mask.bool()], other[mask.bool()]
    return torch.equal(one, other)
