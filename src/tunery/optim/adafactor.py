"""Adafactor that shows the rate it sets itself."""

from typing import Any, final

from transformers.optimization import Adafactor


@final
class AdafactorWithLr(Adafactor):
    """transformers' Adafactor; with `relative_step` each group's `lr` is the rate of its last step, so that logs are
    true (Shazeer & Stern 2018, arXiv 1804.04235, section 8). The scale of each tensor comes on top."""

    @staticmethod
    def _get_lr(param_group: dict[str, Any], param_state: dict[str, Any]) -> float:
        unscaled = {**param_group, "scale_parameter": False}
        param_group["lr"] = Adafactor._get_lr(unscaled, param_state)  # type: ignore[no-untyped-call]
        return float(Adafactor._get_lr(param_group, param_state))  # type: ignore[no-untyped-call]
