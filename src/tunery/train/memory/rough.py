"""Whether memory may be short at all, by arithmetic: what is predicted or tried for it takes seconds."""

from typing import Any, Final

from transformers import PretrainedConfig

AMPLE: Final = 0.25
"""Share of what there is, below which a rough estimate is enough."""


def rough_estimate(config: PretrainedConfig, *, trained: int, rows: int, tokens: int) -> float:
    """Bytes of a step, more rather than less: activations of a transformer by Korthikanti et al. 2022 (arXiv
    2205.05198, equation 1), in float32; gradients, and a state of twice their size.

    Args:
        trained: bytes of the parameters that are trained.
        rows: of a pass, each of so many `tokens`.
    """
    shape: Any = config.get_text_config()
    sizes = [getattr(shape, name, None) for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")]
    if not all(isinstance(size, int) for size in sizes):
        return float("inf")
    layers, hidden, heads = (int(size) for size in sizes if size is not None)
    return 3.0 * trained + 2.0 * layers * rows * tokens * (34 * hidden + 5 * heads * tokens)
