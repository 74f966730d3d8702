"""The pretrained model and the head that is put on it."""

from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec

Pooling = Literal["cls", "mean"]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class NativeHead(Spec):
    """The architecture's own classification head, so that plain transformers loads the result."""

    kind: Literal["native"] = "native"
    dropout: Annotated[Dropout | None, Range(0.0, 0.5)] = None
    """Dropout before the last layer; null keeps the value of the pretrained config."""


class LinearHead(Spec):
    """Pooled token states, dropout, one linear layer."""

    kind: Literal["linear"] = "linear"
    pooling: Annotated[Pooling, Choices(("cls", "mean"))] = "mean"
    """How token states become one vector: the first token, or the mean over real tokens."""
    dropout: Annotated[Dropout, Range(0.0, 0.5)] = 0.1
    """Dropout on the pooled vector."""


class MlpHead(Spec):
    """Pooled token states, one hidden layer, one linear layer."""

    kind: Literal["mlp"] = "mlp"
    pooling: Annotated[Pooling, Choices(("cls", "mean"))] = "mean"
    """How token states become one vector: the first token, or the mean over real tokens."""
    hidden: Annotated[int, Field(ge=1), Choices((128, 256, 512))] = 256
    """Width of the hidden layer."""
    activation: Annotated[Literal["gelu", "silu", "relu", "tanh"], Choices(("gelu", "relu", "tanh"))] = "gelu"
    """Activation of the hidden layer."""
    dropout: Annotated[Dropout, Range(0.0, 0.5)] = 0.1
    """Dropout on the pooled vector and on the hidden layer."""


Head = Annotated[NativeHead | LinearHead | MlpHead, Field(discriminator="kind")]


class Model(Spec):
    """Which pretrained model, how much text it sees, in which precision it computes."""

    name: str = "minilm"
    """A local folder, a Hub id, or an alias that `tunery models` lists."""
    revision: str | None = None
    """Commit, tag or branch of the Hub model; the resolved commit is recorded either way."""
    max_length: Annotated[int, Field(ge=2)] = 256
    """Tokens per example, special tokens included; longer texts are cut at the end."""
    head: Head = NativeHead()
    """The layers between the encoder and the labels."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Compute precision; weights stay fp32. `auto` takes bf16 where the device has it in hardware, and says why."""
    quantization: Literal["nf4", "int8"] | None = None
    """Keep the frozen weights in 4 or 8 bits under the LoRA family (Dettmers et al. 2023, arXiv 2305.14314)."""
    trust_remote_code: bool = False
    """Run code that comes with a Hub model. Recorded in the result."""
