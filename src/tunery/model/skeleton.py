"""A model that is ready to train but has no memory: to be counted and measured, for which no weights are needed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoModel, PretrainedConfig

from tunery.model.backbones.backbone import quiet, without_pooler
from tunery.model.backbones.dropout import Dropouts, set_backbone_dropouts
from tunery.model.backbones.freeze import PretrainedModules
from tunery.model.backbones.structure import find_layers
from tunery.model.heads.heads import assemble, make_heads
from tunery.model.peft.method import LoadedBase
from tunery.model.peft.methods import METHODS
from tunery.schema.config.freeze import NoFreeze, frozen_in_eval
from tunery.schema.config.model import LinearHead, Model, Pooling
from tunery.schema.config.peft import Peft
from tunery.schema.config.task import Outputs


@dataclass(frozen=True)
class Skeleton:
    """A backbone with a linear head, on the device `meta`, in training mode."""

    module: nn.Module
    weights: int
    """Bytes of all parameters and buffers."""


def skeleton(
    config: PretrainedConfig, *, outputs: Outputs, peft: Peft, pooling: Pooling = "mean", dropouts: Dropouts
) -> Skeleton:
    """What `build` makes of weights of this config, where nothing is frozen but what the method freezes.

    Raises:
        ModelError: the method does not work on the family.
    """
    set_backbone_dropouts(config, dropouts)
    kind: Any = MODEL_MAPPING[type(config)]
    with torch.device("meta"), torch.random.fork_rng(devices=()), quiet():
        options = without_pooler(kind[0] if isinstance(kind, tuple) else kind)
        backbone = AutoModel.from_config(config, **options)  # type: ignore[no-untyped-call]
        loaded = LoadedBase(backbone, find_layers(backbone), "", (), "FEATURE_EXTRACTION")
        before = PretrainedModules(backbone)
        wrapped = METHODS[type(peft)].wrap(peft, loaded)
        head = Model(head=LinearHead(pooling=pooling))
        heads = make_heads(head, outputs, width=config.get_text_config().hidden_size, dropout=dropouts.head)
        module = assemble(wrapped.module, heads, outputs)
    module.train()
    if frozen_in_eval(NoFreeze(), peft):
        for frozen in before.frozen():
            frozen.training = False
    tensors = [*module.parameters(), *module.buffers()]
    return Skeleton(module, sum(tensor.nbytes for tensor in tensors))
