"""The optimizers and their parameters."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec

Rate = Annotated[float, Field(gt=0, le=1000)]
PeakRate = Annotated[
    Rate | None, Field(description="Peak learning rate; null takes the default of the PEFT method and the optimizer.")
]
HeadRate = Annotated[
    Rate | None,
    Field(
        description="Peak learning rate of the head, which starts from noise; null means ten times `lr`, up to a limit "
        "(0.01 for AdamW) unless `lr` itself is more."
    ),
]
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
NoDecay = Literal["bias", "norm", "embedding"]

_BETAS = ((0.9, 0.999), (0.9, 0.98), (0.95, 0.999))
_EPS = (1e-8, 1e-7, 1e-6)


class Optimizer(Spec):
    """What all optimizers have."""

    lr_ratio: ClassVar[float]
    """The default learning rate is that of the PEFT method, which is made for AdamW, times this."""

    name: str
    lr: Annotated[PeakRate, Range(5e-6, 3e-1, log=True)] = None
    head_lr: Annotated[HeadRate, Range(1e-4, 5e-2, log=True)] = None
    adapter_lr: Rate | None = None
    """Peak learning rate of what a PEFT method adds; null means `lr`, which is then that of the pretrained parameters
    that are trained beside it."""
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1), Choices((1.0, 0.95, 0.9, 0.85, 0.75))] = 1.0
    """Factor on the learning rate from each layer to the one below (Howard & Ruder 2018, arXiv 1801.06146, section
    3.2): the top layer has `lr`, the embeddings the least; 1 is off."""
    weight_decay: Annotated[float, Field(ge=0, le=1000), Range(0.0, 0.1)] = 0.01
    """How strongly weights are pulled to zero."""
    no_decay: tuple[NoDecay, ...] = ("bias", "norm", "embedding")
    """What weight decay spares; with an empty list it takes every weight."""

    @property
    def sets_its_own_rate(self) -> bool:
        """Whether the optimizer computes its learning rate, so that none may be given."""
        return False


class WithMoments(Optimizer):
    """What the relatives of Adam have."""

    betas: Annotated[Betas, Choices(_BETAS)] = (0.9, 0.999)
    """Decay rates of the two moment estimates."""
    eps: Annotated[float, Field(gt=0, le=1), Choices(_EPS)] = 1e-8
    """Added to the root of the second moment."""


class AdamW(WithMoments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2)."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["adamw"] = "adamw"


class Adam(WithMoments):
    """Steps scaled by running moments (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1); weight decay is an L2 penalty
    in the gradient."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["adam"] = "adam"


class Adafactor(Optimizer):
    """Adam's second moment kept as row and column sums, without a first moment unless `beta1` is set
    (Shazeer & Stern 2018, arXiv 1804.04235, algorithms 4 and 5)."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["adafactor"] = "adafactor"
    scale_parameter: Annotated[bool, Choices((False, True))] = False
    """Scale steps by the root mean square of the parameter (section 8)."""
    relative_step: bool = False
    """Let the optimizer set its own rate, min(0.01, 1 / sqrt(step)) (section 8); then no learning rate may be given
    and the schedule must be `none`."""
    warmup_init: bool = False
    """Start the relative step small: min(1e-6 * step, 1 / sqrt(step)); needs `relative_step`."""
    clip_threshold: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """Largest root mean square of one update (section 6)."""
    decay_rate: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Exponent by which the memory of the second moment grows (section 7.2)."""
    beta1: Beta | None = None
    """Decay rate of the first moment; null keeps none."""

    @property
    def sets_its_own_rate(self) -> bool:
        """Whether the optimizer computes its learning rate, so that none may be given."""
        return self.relative_step


class RAdam(WithMoments):
    """Adam that does not adapt until the variance of its second moment is tractable
    (Liu et al. 2020, arXiv 1908.03265, algorithm 2); weight decay is decoupled."""

    lr_ratio: ClassVar[float] = 5.0
    name: Literal["radam"] = "radam"
    lr: Annotated[PeakRate, Range(2.5e-05, 1.5, log=True)] = None
    head_lr: Annotated[HeadRate, Range(0.0005, 0.25, log=True)] = None


class Lamb(WithMoments):
    """Adam whose step in each tensor is as long as the tensor times the learning rate
    (You et al. 2020, arXiv 1904.00962, algorithm 2)."""

    lr_ratio: ClassVar[float] = 35.0
    name: Literal["lamb"] = "lamb"
    lr: Annotated[PeakRate, Range(0.00018, 10.0, log=True)] = None
    head_lr: Annotated[HeadRate, Range(0.0035, 1.8, log=True)] = None
    eps: Annotated[float, Field(gt=0, le=1), Choices(_EPS)] = 1e-6
    """Added to the root of the second moment."""


class Sgd(Optimizer):
    """Plain stochastic gradient descent; weight decay is an L2 penalty in the gradient."""

    lr_ratio: ClassVar[float] = 300.0
    name: Literal["sgd"] = "sgd"
    lr: Annotated[PeakRate, Range(0.0015, 90.0, log=True)] = None
    head_lr: Annotated[HeadRate, Range(0.03, 15.0, log=True)] = None


class SgdMomentum(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013, section 2); weight decay is an L2 penalty."""

    lr_ratio: ClassVar[float] = 70.0
    name: Literal["sgd_momentum"] = "sgd_momentum"
    lr: Annotated[PeakRate, Range(0.00035, 21.0, log=True)] = None
    head_lr: Annotated[HeadRate, Range(0.007, 3.5, log=True)] = None
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the previous update that is kept."""
    nesterov: Annotated[bool, Choices((False, True))] = False
    """Look ahead along the momentum before the gradient is taken."""


class NovoGrad(WithMoments):
    """Gradients normalised by a second moment kept for each tensor (Ginsburg et al. 2019, arXiv 1905.11286,
    algorithm 1)."""

    lr_ratio: ClassVar[float] = 3.0
    name: Literal["novograd"] = "novograd"
    lr: Annotated[PeakRate, Range(1.5e-05, 0.9, log=True)] = None
    head_lr: Annotated[HeadRate, Range(0.0003, 0.15, log=True)] = None
    betas: Annotated[Betas, Choices(((0.95, 0.98), *_BETAS))] = (0.95, 0.98)
    """Decay rates of the two moment estimates."""


class AdaBelief(WithMoments):
    """Adam that divides by how far gradients stray from their running mean (Zhuang et al. 2020, arXiv 2010.07468,
    algorithm 2); weight decay is decoupled."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["adabelief"] = "adabelief"
    eps: Annotated[float, Field(gt=0, le=1), Choices((1e-16, 1e-12, 1e-8))] = 1e-16
    """Added to the second moment, and to its root."""


class Lion(Optimizer):
    """Steps along the sign of an interpolated momentum (Chen et al. 2023, arXiv 2302.06675, algorithm 2)."""

    lr_ratio: ClassVar[float] = 0.5
    name: Literal["lion"] = "lion"
    lr: Annotated[PeakRate, Range(2.5e-06, 0.15, log=True)] = None
    head_lr: Annotated[HeadRate, Range(5e-05, 0.025, log=True)] = None
    betas: Annotated[Betas, Choices(((0.9, 0.99), (0.95, 0.98)))] = (0.9, 0.99)
    """Interpolation of the step's direction, and decay rate of the momentum."""


class AdamW8bit(WithMoments):
    """AdamW with its moments in 8 bits, block by block (Dettmers et al. 2022, arXiv 2110.02861); needs the extra
    `quant`. Tensors below 4,096 values keep 32 bits."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["adamw_8bit"] = "adamw_8bit"


class PagedAdamW(WithMoments):
    """AdamW whose moments may be moved to host memory when the GPU is full (Dettmers et al. 2023, arXiv 2305.14314,
    section 3); needs the extra `quant` and a CUDA device."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["paged_adamw"] = "paged_adamw"


class PagedAdamW8bit(WithMoments):
    """`adamw_8bit` and `paged_adamw` together."""

    lr_ratio: ClassVar[float] = 1.0
    name: Literal["paged_adamw_8bit"] = "paged_adamw_8bit"


Optim = Annotated[
    AdamW
    | Adam
    | Adafactor
    | RAdam
    | Lamb
    | Sgd
    | SgdMomentum
    | NovoGrad
    | AdaBelief
    | Lion
    | AdamW8bit
    | PagedAdamW
    | PagedAdamW8bit,
    Field(discriminator="name"),
    Choices(
        (
            "adamw",
            "adam",
            "adafactor",
            "radam",
            "lamb",
            "sgd",
            "sgd_momentum",
            "novograd",
            "adabelief",
            "lion",
        )
    ),
]
