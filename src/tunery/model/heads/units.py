"""Token states become states of units: words, or sentences."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

PADDED: Final = -30.0
"""The logit of a unit that is not there."""


def unit_ids_of(inputs: Mapping[str, Tensor]) -> Tensor:
    """Which unit each token is of: int64 (texts, tokens), ascending, -1 for tokens of none. Where a batch does not say,
    every real token is a unit."""
    if (unit_ids := inputs.get("unit_ids")) is not None:
        return unit_ids
    mask = inputs["attention_mask"]
    return torch.where(mask == 1, torch.arange(mask.shape[1], device=mask.device), -1)


def unit_states(states: Tensor, unit_ids: Tensor) -> tuple[Tensor, Tensor]:
    """The mean state of the tokens of each unit, zero at padding, and which units have tokens.

    It is computed in float32, as a product of matrices: the same bits with any number of threads.

    Args:
        states: (texts, tokens, hidden)
        unit_ids: (texts, tokens), as of `unit_ids_of`. A text that continues another begins with any number.

    Returns:
        (texts, units, hidden) in float32 and bool (texts, units); units are counted from the first of each text up to
        the most that a text has, and are at least one.
    """
    inside = unit_ids >= 0
    first = unit_ids.masked_fill(~inside, torch.iinfo(unit_ids.dtype).max).amin(dim=1, keepdim=True)
    numbers = torch.where(inside, unit_ids - first, -1)  # (texts, tokens)
    count = max(int(numbers.max()) + 1, 1)
    with torch.autocast(states.device.type, enabled=False):
        belongs = (numbers.unsqueeze(1) == torch.arange(count, device=states.device).unsqueeze(-1)).float()
        tokens = belongs.sum(dim=2)  # (texts, units)
        means = belongs @ states.float() / tokens.clamp(min=1).unsqueeze(-1)
    return means, tokens > 0
