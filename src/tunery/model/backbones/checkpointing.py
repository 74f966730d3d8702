"""Less memory for more time: activations that the backward pass needs are computed again instead of kept."""

import warnings

from transformers import PreTrainedModel

from tunery.errors import ModelError


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Keep only the inputs of every layer, and run the layer a second time in the backward pass.

    Without re-entrance (torch.utils.checkpoint), so that frozen embeddings need no gradient and dropout repeats itself.

    Raises:
        ModelError: the architecture has no layers that can be run twice.
    """
    try:
        with warnings.catch_warnings():
            # the new name of this method is younger than the oldest transformers that tunery takes
            warnings.filterwarnings("ignore", message="`gradient_checkpointing_enable` is deprecated")
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ModelError(
            f"train.gradient_checkpointing=true needs an architecture that can compute its layers twice, but "
            f"{type(model).__name__} cannot: {error}; remove it, and lower train.micro_batch_tokens to save memory"
        ) from error
    # only re-entrance needs this: it would have frozen layers run twice as well
    model.disable_input_require_grads()  # type: ignore[no-untyped-call]
    model.config.use_cache = False  # what was cached in the first pass would be cached twice
