"""AdaLoRA: updates in the form of a singular value decomposition, whose ranks are taken where they matter least
(Zhang et al. 2023, arXiv 2303.10512). The layers are peft's; when ranks are taken, and which, is decided here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

import torch
from peft import AdaLoraConfig
from peft.tuners.adalora import AdaLoraLayer
from torch import Tensor, nn

from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.peft.library import load_adapter, low_rank_arguments, save_adapter, through_peft
from tunery.model.peft.library_warnings import without_noise
from tunery.model.peft.method import LoadedBase, RankAllocator, Wrapped
from tunery.schema.config.peft import AdaLora

_FACTORS = ("lora_A", "lora_B", "lora_E")
"""Right vectors (r, in), left vectors (out, r), singular values (r, 1)."""

_RANK_ZERO = r"Adapter 'default': \d+ LoRA tensor\(s\) have invalid shape"
"""peft takes an update that lost all its ranks for one that was not gathered from several machines."""

_RANK_PATTERN = "The following rank_pattern keys did not match"
"""LoRA, which AdaLoRA inherits from, does not know how AdaLoRA writes ranks down."""


@dataclass(frozen=True)
class RankSchedule:
    """When ranks are taken, and how many are left (section 3.3, equation 12)."""

    first: int
    """The last step at which all ranks are there."""
    last: int
    """The step of the last cut."""
    interval: int
    start: int
    """Ranks of all updates together at the start."""
    end: int
    """The same after the last cut."""

    def cuts(self, step: int) -> bool:
        """Whether ranks are re-allocated after this step."""
        return step == self.last or (self.first < step < self.last and step % self.interval == 0)

    def budget(self, step: int) -> int:
        """How many ranks are left then, of all updates together."""
        open_share = 1 - (step - self.first) / (self.last - self.first)
        return int((self.start - self.end) * open_share**3 + self.end)


@final
class AdaLoraAllocator(RankAllocator):
    """Scores every singular triplet by how much the loss depends on it, and switches the least off."""

    _schedule: RankSchedule

    def __init__(self, spec: AdaLora, model: Any) -> None:
        """Args:
        model: a `PeftModel` that holds AdaLoRA layers.
        """
        self._spec = spec
        self._model = model
        self._sensitivity: dict[str, Tensor] = {}
        self._uncertainty: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] = {}

    def plan(self, total_steps: int) -> None:
        """Raises:
        ModelError: there are too few steps to score a triplet before the last cut.
        """
        spec, count = self._spec, sum(1 for _ in _layers(self._model))
        first, last = int(spec.warmup * total_steps), total_steps - int(spec.settle * total_steps)
        if last < max(first + 1, 2):
            raise ModelError(
                "adalora must have a step between `peft.warmup` and `peft.settle`, and one before its last cut, but "
                f"{total_steps} steps with warmup={spec.warmup}, settle={spec.settle} leave none; train longer, or "
                "lower them"
            )
        self._schedule = RankSchedule(first, last, spec.interval, spec.init_r * count, spec.target_r * count)
        config = self._model.peft_config["default"]
        config.total_step, config.tinit, config.tfinal = total_steps, first, total_steps - last

    def penalty(self) -> Tensor:
        """Mean distance of the factors from orthogonality, weighted.

        As peft computes it, with norms where equation 4 has their squares; peft itself adds it only to a loss of the
        model's own.
        """
        distances = []
        for _, layer in _layers(self._model):
            factors: Any = layer
            right, left = factors.lora_A["default"], factors.lora_B["default"]
            for gram in (right @ right.T, left.T @ left):  # (r, r), the identity where the factors are orthogonal
                distances.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        return self._spec.orthogonality * torch.stack(distances).mean()

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Score, cut where the schedule says so, and keep switched off what was cut for good."""
        if step < self._schedule.last:
            self._score_entries()
        if self._schedule.cuts(step):
            self._kept = self._choose(self._schedule.budget(step))
            self._switch_off()
        elif step > self._schedule.last:
            self._switch_off()

    def state(self) -> dict[str, Tensor]:
        """The moving averages by parameter, and what was kept at the last cut."""
        return {
            f"{what}:{name}": tensor.detach().clone() for what, kind in self._memory() for name, tensor in kind.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put the averages and the last cut back, where the model is."""
        devices = {name: layer.lora_E["default"].device for name, layer in _layers(self._model)}
        for what, tensors in self._memory():
            tensors.clear()
            for key, tensor in state.items():
                name = key.removeprefix(f"{what}:")
                if name != key:
                    tensors[name] = tensor.to(devices[name.partition("/")[0]])

    def ranks(self) -> dict[str, int]:
        """How many singular values of an update are not zero; before the first step, all are."""
        return {name: int(_values(layer).count_nonzero()) for name, layer in _layers(self._model)}

    def _memory(self) -> tuple[tuple[str, dict[str, Tensor]], ...]:
        return ("sensitivity", self._sensitivity), ("uncertainty", self._uncertainty), ("kept", self._kept)

    def _score_entries(self) -> None:
        """Smooth |weight x gradient|, and its distance from its mean (equations 8, 9 and 10)."""
        beta = self._spec.beta
        for name, layer in _layers(self._model):
            for factor in _FACTORS:
                weight: nn.Parameter = getattr(layer, factor)["default"]
                zero, key = torch.zeros_like(weight), f"{name}/{factor}"
                gradient = zero if weight.grad is None else weight.grad
                # fp16 skips a step whose gradients overflowed, and so do the averages
                sensitivity = (weight * torch.nan_to_num(gradient, nan=0, posinf=0, neginf=0)).abs()
                mean = beta * self._sensitivity.get(key, zero) + (1 - beta) * sensitivity
                distance = (sensitivity - mean).abs()
                self._uncertainty[key] = beta * self._uncertainty.get(key, zero) + (1 - beta) * distance
                self._sensitivity[key] = mean

    def _choose(self, budget: int) -> dict[str, Tensor]:
        """The `budget` triplets with the highest scores, as a mask (r, 1) per update."""
        scores: dict[str, Tensor] = {}
        for name, _ in _layers(self._model):
            keys = [f"{name}/{factor}" for factor in _FACTORS]
            right, left, value = (self._sensitivity[key] * self._uncertainty[key] for key in keys)
            # that of a triplet's value, and the means of its vectors' (equation 7), (r,)
            scores[name] = value.flatten() + right.mean(dim=1) + left.mean(dim=0)
        every = torch.cat(list(scores.values()))
        chosen = torch.zeros_like(every, dtype=torch.bool)
        chosen[every.topk(budget).indices] = True
        masks = torch.split(chosen, [len(score) for score in scores.values()])
        return {name: mask[:, None].clone() for name, mask in zip(scores, masks, strict=True)}

    def _switch_off(self) -> None:
        for name, layer in _layers(self._model):
            layer.lora_E["default"].masked_fill_(~self._kept[name], 0.0)


def _config(spec: AdaLora, loaded: LoadedBase) -> AdaLoraConfig:
    """The number of steps is not known yet: `plan` writes it in. `beta1`, `beta2` are for training with peft alone."""
    return AdaLoraConfig(
        init_r=spec.init_r,
        target_r=spec.target_r,
        deltaT=spec.interval,
        beta1=spec.beta,
        beta2=spec.beta,
        orth_reg_weight=spec.orthogonality,
        total_step=1,
        **low_rank_arguments(spec, loaded),
    )


def _layers(model: Any) -> Iterator[tuple[str, AdaLoraLayer]]:
    """The adapted modules, by the names they have in the model that was wrapped."""
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, AdaLoraLayer):
            yield name, module


def _values(layer: AdaLoraLayer) -> Tensor:
    """The singular values, (r, 1)."""
    values: Tensor = layer.lora_E["default"].detach()
    return values


_THROUGH_PEFT: Final = through_peft(_config)


def _wrap(spec: AdaLora, loaded: LoadedBase) -> Wrapped:
    """All updates begin with rank `init_r`."""
    model = _THROUGH_PEFT.wrap(spec, loaded).module
    return Wrapped(model, rank_allocator=AdaLoraAllocator(spec, model))


def _save(model: Any, folder: Path, *, base: Base) -> None:
    """As peft does, with the ranks of the weights that are saved: those of the best epoch, not of the last."""
    config = model.peft_config["default"]
    config.rank_pattern = {f"{name}.lora_E": _values(layer).ne(0).flatten().tolist() for name, layer in _layers(model)}
    try:
        with without_noise(_RANK_ZERO):
            save_adapter(model, folder, base=base)
    finally:
        config.rank_pattern = None


def _load(spec: AdaLora, loaded: LoadedBase, folder: Path) -> nn.Module:
    """With updates of the ranks that they were saved with."""
    with without_noise(_RANK_PATTERN):
        return load_adapter(spec, loaded, folder)


ADALORA: Final = replace(_THROUGH_PEFT, wrap=_wrap, save=_save, load=_load)
