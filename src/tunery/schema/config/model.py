"""The pretrained model and the head that is put on it."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Spec, Width

Pooling = Literal["cls", "mean", "last"]
"""The first token, the mean over real tokens, or the last real token."""

HeadInit = Literal["random", "probe"]
"""Small random weights, or those of a logistic regression on pooled tokens before anything is trained (linear probing,
then fine-tuning: Kumar et al. 2022, arXiv 2202.10054, section 3.4)."""


class AutoHead(Spec):
    """One linear layer over the pooling that the model was trained with: read from its folder where that says so, as
    those of sentence-transformers do; else the mean over tokens for encoders, the last token for decoders."""

    kind: Literal["auto"] = "auto"
    init: HeadInit = "random"
    """What it starts from: small random weights, or the logistic regression on the frozen model's pooled tokens."""


class NativeHead(Spec):
    """The architecture's own classification head, so that plain transformers loads the result."""

    kind: Literal["native"] = "native"


class LinearHead(Spec):
    """Pooled token states, dropout, one linear layer."""

    kind: Literal["linear"] = "linear"
    init: HeadInit = "random"
    """What it starts from: small random weights, or the logistic regression on the frozen model's pooled tokens."""
    pooling: Pooling = "mean"
    """How token states become one vector: the mean over real tokens, the last real token, or the first one, which
    causal models (GPT-2, Llama) refuse: there it sees none of the others. Searched where a config lists several."""


class MlpHead(Spec):
    """Pooled token states, one hidden layer, one linear layer."""

    kind: Literal["mlp"] = "mlp"
    pooling: Pooling = "mean"
    """How token states become one vector: the mean over real tokens, the last real token, or the first one, which
    causal models (GPT-2, Llama) refuse: there it sees none of the others. Searched where a config lists several."""
    hidden: Annotated[Width, Choices((128, 256, 512))] = 256
    """Width of the hidden layer."""
    activation: Annotated[Literal["gelu", "silu", "relu", "tanh"], Choices(("gelu", "relu", "tanh"))] = "gelu"
    """Activation of the hidden layer."""


Head = Annotated[
    AutoHead | NativeHead | LinearHead | MlpHead, Field(discriminator="kind"), Choices(("auto", "native", "mlp"))
]


class Model(Spec):
    """Which pretrained model, how much text it sees, in which precision it computes."""

    name: str = "minilm"
    """A local folder, a Hub id, or an alias that `tunery models` lists."""
    revision: str | None = None
    """Commit, tag or branch of the Hub model; the resolved commit is recorded either way."""
    max_length: Annotated[int, Field(ge=2, le=1_000_000)] = 256
    """Tokens per example, special tokens included; longer texts are cut at the end."""
    head: Head = AutoHead()
    """The layers between the encoder and the labels."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """Compute precision; weights stay fp32. `auto` takes bf16 where the device has it in hardware, else fp16 with loss
    scaling, else fp32, and says why. `tf32` is fp32 with matrix products in TensorFloat-32."""
    quantization: Literal["nf4", "int8"] | None = None
    """Keep the frozen weights in 4 or 8 bits under the LoRA family (Dettmers et al. 2023, arXiv 2305.14314)."""
    trust_remote_code: bool = False
    """The model needs code that comes with it. A record and no permission: that is given by `--trust-remote-code`, or
    by this key as an override on the command line, in each call anew."""
