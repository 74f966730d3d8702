"""What a run will take of memory, predicted before it begins: from its config and data, without weights."""

from contextlib import suppress
from typing import NamedTuple

import torch
from transformers import AutoConfig, PretrainedConfig

from tunery.errors import TuneryError
from tunery.hardware import pick_device, pick_precision
from tunery.model.backbones.dropout import Dropouts
from tunery.model.backbones.hub import folder_of
from tunery.schema import RunConfig
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.peft import WITHOUT_STEPS, Peft
from tunery.schema.config.task import CriteriaOutput, Outputs, VocabularyOutput
from tunery.schema.config.train import USUAL_TOKENS
from tunery.train.memory.rough import AMPLE, rough_estimate
from tunery.train.setup.prepare import prepare


class Expected(NamedTuple):
    """Bytes at the highest = `rest` + `each` * tokens of the largest pass; less rather than more: what a process needs
    besides is not counted."""

    rest: float
    each: float


def expected(config: RunConfig, longest: int, *, limit: float, trust_remote_code: bool = False) -> Expected | None:
    """What a run takes with passes of its longest rows.

    Args:
        longest: tokens of the longest training row.
        limit: bytes that it may take.

    Returns:
        None where it fits by far, by a rough estimate, where nothing is trained in steps, and where nothing can be said
        without the model itself: frozen layers, quantised weights, activations that are computed again, language
        models, evidence, foreign code.
    """
    if not isinstance(config.freeze, NoFreeze) or config.model.quantization or config.train.gradient_checkpointing:
        return None
    if isinstance(config.peft, WITHOUT_STEPS) or trust_remote_code or config.model.trust_remote_code:
        return None
    with suppress(TuneryError, OSError, ValueError):  # whatever is wrong, the run says it
        prepared = prepare(config)
        outputs = prepared.task.outputs
        if any(isinstance(output, CriteriaOutput | VocabularyOutput) for output in outputs.values()):
            return None
        shape: PretrainedConfig = AutoConfig.from_pretrained(folder_of(prepared.base), local_files_only=True)
        return _expected(config, shape, outputs, longest=longest, limit=limit)
    return None


def _expected(
    config: RunConfig, shape: PretrainedConfig, outputs: Outputs, *, longest: int, limit: float
) -> Expected | None:
    from tunery.model.skeleton import skeleton
    from tunery.optim.optimizers import OPTIMIZERS
    from tunery.train.memory.prediction import Inputs, Work, predict
    from tunery.train.memory.ratios import known_ratio, ratio_key

    rule, device = config.regularization, pick_device()
    peft: Peft = config.peft
    dropouts = Dropouts(head=rule.head_dropout, encoder=rule.encoder_dropout, attention=rule.attention_dropout)
    made = skeleton(shape, outputs=outputs, peft=peft, dropouts=dropouts)
    rows = max(USUAL_TOKENS // longest, 1)
    trained = sum(part.nbytes for part in made.module.parameters() if part.requires_grad)
    if rough_estimate(shape, trained=trained, rows=rows, tokens=longest) + made.weights < AMPLE * limit:
        return None

    def inputs(count: int) -> Inputs:
        return {name: torch.ones(count, longest, dtype=torch.int64) for name in ("input_ids", "attention_mask")}

    def optimizer(module: torch.nn.Module) -> torch.optim.Optimizer:
        parts = [part for part in module.parameters() if part.requires_grad]
        group = {"params": parts, "lr": config.lr, "weight_decay": config.optim.weight_decay, "role": "encoder"}
        return OPTIMIZERS[type(config.optim)]([group], config.optim)

    def ask(module: torch.nn.Module, given: Inputs) -> dict[str, torch.Tensor]:
        return dict(module(**given))

    precision, _ = pick_precision(config.model.precision, device)
    found = predict(Work(made.module, inputs, ask, optimizer, device, precision))
    if found is None:
        return None
    line = found.activations.times(known_ratio(ratio_key(device, precision, found.attention)) or 1.0)
    return Expected(made.weights + found.fixed + line.rest, line.each / longest)
