"""Every PEFT method, some in more than one way."""

from typing import Final

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

ALL_SIX: Final = ("query", "key", "value", "output", "ffn.up", "ffn.down")
SPECS: Final[dict[str, Spec]] = {
    "none": NoPeft(),
    "lora": Lora(),
    "lora-one-rank": Lora(r=1, alpha=0.5, dropout=0.0, target=("output",)),
    "lora-its-bias": Lora(bias="lora_only"),
    "lora-all": Lora(r=4, bias="all", target=ALL_SIX),
    "lora_plus": LoraPlus(),
    "dora": Dora(),
    "rslora": RsLora(r=16),
    "adalora": AdaLora(init_r=4, target_r=2),
    "ia3": Ia3(),
    "ia3-attention": Ia3(ffn=False),
    "layernorm": LayerNormTuning(),
    "bitfit": BitFit(),
    "pfeiffer": Pfeiffer(bottleneck=8),
    "houlsby": Houlsby(bottleneck=8, activation="gelu"),
    "houlsby-parallel": Houlsby(bottleneck=8, parallel=True, scale=4),
    "compacter": Compacter(bottleneck=8, phm_dim=4),
    "prefix": Prefix(tokens=3),
    "prompt": Prompt(tokens=3),
    "peft": Library(config="LoHaConfig", arguments={"r": 2, "alpha": 4}),
}
