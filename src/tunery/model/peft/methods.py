"""The parameter-efficient methods: spec class -> method. Adding one is a file and a line in `METHODS`."""

from tunery.model.peft.adalora import AdaptiveRank
from tunery.model.peft.bottleneck import (
    Adapters,
    after_both_blocks,
    after_feed_forward,
    houlsby_placement,
    linear_adapter,
)
from tunery.model.peft.by_name import ByName
from tunery.model.peft.compacter import phm_adapter
from tunery.model.peft.full import Full
from tunery.model.peft.library import (
    ThroughPeft,
    dora_config,
    faster_b,
    ia3_config,
    layernorm_config,
    lora_config,
    rslora_config,
)
from tunery.model.peft.method import Method
from tunery.model.peft.prompting import VirtualTokens, prefix_config, prompt_config
from tunery.model.peft.selection import Selection, biases
from tunery.schema.config.peft import (
    AdaLora,
    BitFit,
    Compacter,
    Dora,
    Houlsby,
    Ia3,
    LayerNormTuning,
    Library,
    Lora,
    LoraPlus,
    NoPeft,
    Pfeiffer,
    Prefix,
    Prompt,
    RsLora,
)
from tunery.schema.spec import Spec

METHODS: dict[type[Spec], Method] = {
    NoPeft: Full(),
    Lora: ThroughPeft(lora_config),
    LoraPlus: ThroughPeft(lora_config, lr_scale=faster_b),
    Dora: ThroughPeft(dora_config, no_decay="lora_magnitude_vector"),
    RsLora: ThroughPeft(rslora_config),
    AdaLora: AdaptiveRank(),
    Pfeiffer: Adapters(placement=after_feed_forward, make=linear_adapter),
    Houlsby: Adapters(placement=houlsby_placement, make=linear_adapter),
    Compacter: Adapters(placement=after_both_blocks, make=phm_adapter),
    Ia3: ThroughPeft(ia3_config, no_decay="ia3_l"),
    BitFit: Selection(biases, spec=BitFit()),
    LayerNormTuning: ThroughPeft(layernorm_config),
    Prefix: VirtualTokens(prefix_config),
    Prompt: VirtualTokens(prompt_config),
    Library: ByName(),
}


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it."""
    for wrapping in (
        "base_model.model.",
        "base_model.",
        "modules_to_save.default.",
        "ln_tuning_layers.default.",
        "base_layer.",
    ):
        name = name.replace(wrapping, "")
    return name
