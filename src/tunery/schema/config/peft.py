"""Which parameters are trained in place of all: the parameter-efficient methods."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Share, Spec, Steps, Width

Target = Literal["query", "key", "value", "output", "ffn.up", "ffn.down"]
"""Logical names of a layer's matrices; every model family maps them to its own modules."""

Topmost = Literal["all", "top4", "top8"]
"""Which of a model's layers: all, or the 4 or 8 topmost."""

_TARGETS = (
    ("query", "value"),
    ("query", "key", "value", "output"),
    ("query", "value", "ffn.up", "ffn.down"),
    ("query", "key", "value", "output", "ffn.up", "ffn.down"),
)


class NoPeft(Spec):
    """Full fine-tuning: every parameter that is not frozen is trained. Records say `none`, which is accepted too."""

    method: Literal["none"] = "none"
    written_as: ClassVar[str | None] = "full"
    default_lr: ClassVar[float] = 5e-5


def renamed_method(name: str, rename: Callable[[str], str]) -> str:
    """A method's name after `rename`. What a comparison adds to it stays: `none model.name=a` becomes
    `full model.name=a`."""
    method, *values = name.split(" ", 1)
    return " ".join([rename(method), *values])


def method_name(recorded: str) -> str:
    """What a person reads for the name of a method in a record: pages, tables and sentences take it from here."""
    return renamed_method(recorded, lambda method: "full fine-tuning" if method == "none" else method)


class LowRank(Spec):
    """What the methods of the LoRA family share."""

    method: str
    alpha: Annotated[float, Field(gt=0, le=1_000_000), Choices((8, 16, 32, 64))] = 16
    """The update is scaled by alpha / rank (`rslora`: alpha / sqrt(rank))."""
    dropout: Annotated[Share, Range(0.0, 0.2)] = 0.05
    """Dropout on the input of the update."""
    bias: Annotated[Literal["none", "lora_only", "all"], Choices(("none", "lora_only", "all"))] = "none"
    """Which bias vectors are trained too: none, those of the target layers, or all."""
    target: Annotated[tuple[Target, ...], Field(min_length=1), Choices(_TARGETS)] = ("query", "value")
    """Logical names of the matrices that get an update; every model family maps them to its own modules."""
    layers: Annotated[Topmost, Choices(("all", "top4", "top8"))] = "all"
    """Which layers of the model get updates: all, or the 4 or 8 topmost; a model with fewer has them in all. What those
    below give of a row is computed once (`train.cache_frozen_layers`)."""


class FixedRank(LowRank):
    """The members of the LoRA family whose rank stays as it is."""

    r: Annotated[Width, Choices((4, 8, 16, 32))] = 8
    """Rank of the update."""


class Lora(FixedRank):
    """Low-rank update of chosen linear layers (Hu et al. 2021, arXiv 2106.09685, section 4.1)."""

    method: Literal["lora"] = "lora"
    default_lr: ClassVar[float] = 1e-3


class LoraPlus(FixedRank):
    """LoRA whose matrix B learns faster than A (Hayou et al. 2024, arXiv 2402.12354, section 4)."""

    method: Literal["lora_plus"] = "lora_plus"
    default_lr: ClassVar[float] = 1e-3
    lr_ratio: Annotated[float, Field(ge=1, le=10_000), Choices((4, 8, 16))] = 8
    """Learning rate of B divided by that of A, which is `optim.lr`."""


class Dora(FixedRank):
    """LoRA on the direction of the weights, with a trained magnitude (Liu et al. 2024, arXiv 2402.09353, section 4)."""

    method: Literal["dora"] = "dora"
    default_lr: ClassVar[float] = 1e-3


class RsLora(FixedRank):
    """LoRA scaled by alpha / sqrt(r), stable at high rank (Kalajdzievski 2023, arXiv 2312.03732, section 3)."""

    method: Literal["rslora"] = "rslora"
    default_lr: ClassVar[float] = 1e-3


class AdaLora(LowRank):
    """Low-rank update whose rank budget moves to the layers that need it (Zhang et al. 2023, arXiv 2303.10512)."""

    method: Literal["adalora"] = "adalora"
    default_lr: ClassVar[float] = 1e-2
    init_r: Annotated[Width, Choices((6, 12, 24, 48))] = 12
    """Rank of every update at the start."""
    target_r: Annotated[Width, Choices((4, 8, 16, 32))] = 8
    """Mean rank of the updates at the end; must not exceed `init_r`."""
    warmup: Share = 0.1
    """Share of all steps before the first rank is taken away."""
    settle: Share = 0.3
    """Share of all steps, at the end, in which the ranks no longer change."""
    interval: Steps = 10
    """Steps from one re-allocation to the next."""
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """Smoothing of sensitivity and of its uncertainty (equations 9 and 10)."""
    orthogonality: Annotated[float, Field(ge=0, le=1000)] = 0.5
    """Weight of the penalty that keeps the factors orthogonal (equation 4)."""


class Ia3(Spec):
    """Learned scales on keys, values and the inner feed-forward activations (Liu et al. 2022, arXiv 2205.05638)."""

    method: Literal["ia3"] = "ia3"
    default_lr: ClassVar[float] = 2e-2
    ffn: Annotated[bool, Choices((True, False))] = True
    """Whether the feed-forward activations are scaled too."""


class Bottleneck(Spec):
    """What the adapters with a bottleneck share."""

    method: str
    bottleneck: Annotated[Width, Choices((32, 64, 128, 192))] = 64
    """Width of the hidden layer of every adapter."""
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    """Activation of the hidden layer."""
    dropout: Annotated[Share, Range(0.1, 0.3)] = 0.1
    """Dropout on the hidden layer."""
    layers: Annotated[Topmost, Choices(("all", "top4", "top8"))] = "all"
    """Which layers get adapters: all, or the 4 or 8 topmost; a model with fewer has them in all."""


class Pfeiffer(Bottleneck):
    """One bottleneck adapter per layer, after the feed-forward block (Pfeiffer et al. 2021, arXiv 2005.00247)."""

    method: Literal["pfeiffer"] = "pfeiffer"
    default_lr: ClassVar[float] = 1e-3


class Houlsby(Bottleneck):
    """Two bottleneck adapters per layer, at attention and feed-forward (Houlsby et al. 2019, arXiv 1902.00751)."""

    method: Literal["houlsby"] = "houlsby"
    default_lr: ClassVar[float] = 1e-3
    parallel: Annotated[bool, Choices((False, True))] = False
    """Read a block's input and add to its output, instead of following it (He et al. 2022, arXiv 2110.04366)."""
    scale: Annotated[float, Field(gt=0, le=1000), Choices((1, 2, 4))] = 1
    """Factor on what an adapter adds."""


class Compacter(Bottleneck):
    """Houlsby's adapters with weights that are sums of Kronecker products of shared small matrices and low-rank ones
    (Karimi Mahabadi et al. 2021, arXiv 2106.04647, section 3.2)."""

    method: Literal["compacter"] = "compacter"
    default_lr: ClassVar[float] = 3e-3
    activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu"
    """Activation of the hidden layer."""
    phm_dim: Annotated[int, Field(ge=2, le=1024), Choices((2, 4, 8))] = 4
    """Number of Kronecker products; must divide the bottleneck and the width of the model."""
    phm_rank: Width = 1
    """Rank of the second factors."""


class Prefix(Spec):
    """Trained keys and values before those of the text, in every layer (Li & Liang 2021, arXiv 2101.00190)."""

    method: Literal["prefix"] = "prefix"
    default_lr: ClassVar[float] = 1e-2
    tokens: Annotated[int, Field(ge=1, le=10_000), Choices((5, 10, 20, 30))] = 20
    """Number of virtual tokens."""


class Prompt(Spec):
    """Trained embeddings before those of the text (Lester et al. 2021, arXiv 2104.08691)."""

    method: Literal["prompt"] = "prompt"
    default_lr: ClassVar[float] = 3e-2
    tokens: Annotated[int, Field(ge=1, le=10_000), Choices((5, 10, 20, 50))] = 20
    """Number of virtual tokens."""


class BitFit(Spec):
    """Only the biases are trained (Ben Zaken et al. 2022, arXiv 2106.10199)."""

    method: Literal["bitfit"] = "bitfit"
    default_lr: ClassVar[float] = 3e-3


class LayerNormTuning(Spec):
    """Only the layer norms are trained (Qi et al. 2022, arXiv 2211.08682)."""

    method: Literal["layernorm"] = "layernorm"
    default_lr: ClassVar[float] = 3e-3


class Library(Spec):
    """Any other method of the installed peft, by the name of its config class."""

    method: Literal["peft"] = "peft"
    default_lr: ClassVar[float] = 1e-3
    config: str
    """Name of the config class, for example `VeraConfig`."""
    target: tuple[Target, ...] | None = None
    """Logical names of the adapted layers, for methods that have target modules; null takes query and value."""
    arguments: dict[str, Any] = {}
    """Keyword arguments of the config class, in peft's own words."""


class Probe(Spec):
    """Nothing of the model is trained: its pooled features go into a logistic regression with an L2 penalty, whose
    strength is chosen by training rows left out. `optim`, `schedule`, `regularization` and the length of `train` have
    no effect."""

    method: Literal["probe"] = "probe"
    default_lr: ClassVar[float] = 1e-3


class Tfidf(Spec):
    """No neural network: logistic regression over TF-IDF of words, pairs of words and 3 to 5 letters. `model`, `optim`,
    `schedule`, `regularization` and the length of `train` have no effect."""

    method: Literal["tfidf"] = "tfidf"
    default_lr: ClassVar[float] = 1e-3


class Majority(Spec):
    """No model at all: the most frequent label, or every label at its rate, whatever the text is."""

    method: Literal["majority"] = "majority"
    default_lr: ClassVar[float] = 1e-3


WITHOUT_NETWORK: Final = (Tfidf, Majority)
"""Methods that read nothing of the pretrained model."""
WITHOUT_STEPS: Final = (Probe, *WITHOUT_NETWORK)
"""Methods that are fitted at once: no learning rate, no epochs."""

Peft = Annotated[
    NoPeft
    | Lora
    | LoraPlus
    | Dora
    | RsLora
    | AdaLora
    | Pfeiffer
    | Houlsby
    | Compacter
    | Ia3
    | Prefix
    | Prompt
    | BitFit
    | LayerNormTuning
    | Library
    | Probe
    | Tfidf
    | Majority,
    Field(discriminator="method"),
    Choices(
        (
            "none",
            "lora",
            "lora_plus",
            "dora",
            "rslora",
            "adalora",
            "pfeiffer",
            "houlsby",
            "compacter",
            "ia3",
            "prefix",
            "prompt",
            "bitfit",
            "layernorm",
        )
    ),
]
