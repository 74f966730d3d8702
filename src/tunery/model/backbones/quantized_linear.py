"""Linear layers whose frozen weights are kept in 4 or 8 bits. Needs bitsandbytes, so it is imported late."""

from typing import Any, cast, final

import torch
from bitsandbytes.autograd._functions import matmul, matmul_4bit
from bitsandbytes.nn.modules import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from torch import Tensor, nn


@final
class Nf4Linear(Linear4bit):
    """Computes in the dtype of the surrounding autocast, else in that of its input.

    The parent's forward does more: it rounds the bias for good to the dtype it computes in, and in eval mode on a CPU
    with bf16 it packs the weights, also for good, into a form through which no gradient flows.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        dtype, weight = _compute_dtype(x), cast(Params4bit, self.weight)
        out: Tensor = matmul_4bit(x.to(dtype), weight, bias=_cast(self.bias, dtype), quant_state=weight.quant_state)
        return out


@final
class Int8Linear(Linear8bitLt):
    """The same in 8 bits. Activations become 8-bit numbers too where the device multiplies them, but not on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        dtype = _compute_dtype(x)
        x, bias = x.to(dtype), _cast(self.bias, dtype)
        weight, state = cast(Int8Params, self.weight), self.state
        # the library drops the scales of the weight when a layer is moved or unpacked after its first forward
        scales = cast(Tensor, state.SCB if weight.SCB is None else weight.SCB)
        state.CB, state.SCB = weight.data, scales.to(weight.device)
        if x.device.type == "cpu":
            dequantized: Tensor = _Dequantized.apply(x, state.CB, state.SCB, bias)  # type: ignore[no-untyped-call]
            return dequantized
        out: Tensor = matmul(x, self.weight, bias=bias, state=state)
        return out


class _Dequantized(torch.autograd.Function):
    """x W^T + b with W made anew in each direction, so that neither W nor x is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
        ctx.codes, ctx.scales = codes, scales
        return nn.functional.linear(x, _weight(codes, scales, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        grad = grads[0]  # (..., out)
        of_x = grad @ _weight(ctx.codes, ctx.scales, grad.dtype) if ctx.needs_input_grad[0] else None
        of_bias = grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[3] else None
        return of_x, None, None, of_bias


def _weight(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """(out, in), (out,) -> (out, in)"""
    return (codes * (scales / 127).unsqueeze(1)).to(dtype)


def _compute_dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _cast(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.to(dtype)


REPLACED: dict[type[nn.Module], type[nn.Module]] = {Linear4bit: Nf4Linear, Linear8bitLt: Int8Linear}
"""The library's class -> tunery's."""
