"""What a pretrained model makes of the descriptions of labels."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from tunery.model.heads.pooling import mean_of_tokens
from tunery.model.on_trial import on_trial
from tunery.model.trial_pass import TOKEN_COLUMNS
from tunery.schema.config.task import CriteriaOutput


def description_states(
    backbone: nn.Module, tokenizer: PreTrainedTokenizerBase, output: CriteriaOutput, *, max_length: int
) -> Tensor:
    """The mean token state of each label's description in eval mode, float32 (labels, hidden).

    A label without one is described by its name. Modes and random state are as before afterwards.

    Args:
        max_length: tokens of a description that are read.
    """
    descriptions, device = output.descriptions or [""] * len(output.labels), next(backbone.parameters()).device
    states = []
    with on_trial(backbone):
        for label, description in zip(output.labels, descriptions, strict=True):  # padding would change the last bits
            text = description.strip() or label.replace("_", " ").lower()
            row = tokenizer(text, truncation=True, max_length=max_length)
            inputs = {name: torch.tensor([row[name]], device=device) for name in TOKEN_COLUMNS if name in row}
            mask = torch.ones_like(inputs["input_ids"])
            last = backbone(**inputs, attention_mask=mask).last_hidden_state
            states.append(mean_of_tokens((last,), mask)[0].float().cpu())
    return torch.stack(states)
