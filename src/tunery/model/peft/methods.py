"""The parameter-efficient methods: spec class -> method. Adding one is a file and a line in `METHODS`, or in `chosen`
where it needs no peft."""

from functools import partial

from tunery.model.peft.adalora import ADALORA
from tunery.model.peft.bottleneck import (
    adapters,
    after_both_blocks,
    after_feed_forward,
    houlsby_placement,
    linear_adapter,
)
from tunery.model.peft.by_name import BY_NAME
from tunery.model.peft.chosen import WITHOUT_LIBRARY
from tunery.model.peft.compacter import phm_adapter
from tunery.model.peft.library import faster_b, ia3_config, layernorm_config, lora_config, through_peft
from tunery.model.peft.method import Method
from tunery.model.peft.prompting import prefix_config, prompt_config, virtual_tokens
from tunery.schema.config.peft import (
    AdaLora,
    Compacter,
    Dora,
    Houlsby,
    Ia3,
    LayerNormTuning,
    Library,
    Lora,
    LoraPlus,
    Pfeiffer,
    Prefix,
    Prompt,
    RsLora,
)
from tunery.schema.spec import Spec

METHODS: dict[type[Spec], Method] = {
    **WITHOUT_LIBRARY,
    Lora: through_peft(lora_config, is_injectable=True),
    LoraPlus: through_peft(lora_config, lr_scale=faster_b, is_injectable=True),
    Dora: through_peft(partial(lora_config, use_dora=True), no_decay="lora_magnitude_vector"),
    RsLora: through_peft(partial(lora_config, use_rslora=True), is_injectable=True),
    AdaLora: ADALORA,
    Pfeiffer: adapters(placement=after_feed_forward, make=linear_adapter),
    Houlsby: adapters(placement=houlsby_placement, make=linear_adapter),
    Compacter: adapters(placement=after_both_blocks, make=phm_adapter),
    Ia3: through_peft(ia3_config, no_decay="ia3_l", is_injectable=True),
    LayerNormTuning: through_peft(layernorm_config, is_injectable=True),
    Prefix: virtual_tokens(prefix_config),
    Prompt: virtual_tokens(prompt_config),
    Library: BY_NAME,
}
