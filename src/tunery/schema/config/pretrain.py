"""Continued pretraining: what the base learns from texts without labels before it is fine-tuned."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from tunery.schema.config.data import Documents
from tunery.schema.config.peft import NoPeft, Peft
from tunery.schema.config.train import MOST_EPOCHS
from tunery.schema.spec import Spec, Steps

DEFAULT_STEPS: Final = 1000
"""Optimizer steps of a stage that says neither `steps` nor `epochs`."""
Epochs = Annotated[int, Field(ge=0, le=MOST_EPOCHS)]


class PretrainStage(Spec):
    """One stage: a language model of the base is trained on texts, of which a twentieth is held out. The weights of the
    epoch with the lowest loss there are taken."""

    name: ClassVar[Literal["dapt", "tapt"]]
    epochs: Epochs | None = None
    """Passes over the texts; 0: the stage is left out. A study trains the longest of its values once, and takes the
    shorter ones on the way."""
    steps: Steps | None = None
    """Optimizer steps at most, in place of `epochs`: training ends early when the loss of the held-out texts has not
    improved for a quarter of the epochs that they make, at least 3. Both null: 1,000."""
    masking: Literal["token", "whole_word", "span"] | None = None
    """What is hidden together, as `task.masking` of `mlm`; null: `token`. Only for bases that fill in hidden tokens:
    those that go on from left to right learn that."""
    probability: Annotated[float, Field(ge=0.01, le=0.8)] | None = None
    """Share of the tokens that are to be told, as `task.probability` of `mlm`; null: 0.15. Only for the same bases."""
    rungs: tuple[Annotated[int, Field(ge=1, le=MOST_EPOCHS)], ...] = ()
    """Other lengths in epochs that are asked for beside `epochs`: the longest of all is trained, and the rest are taken
    on the way. A study fills in its own; for a comparison over `epochs` they are written by hand."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """All epochs that are asked for, ascending; empty where steps are."""
        return () if self.epochs is None else tuple(sorted({self.epochs, *self.rungs} - {0}))


class Dapt(PretrainStage):
    """Domain-adaptive pretraining, on any texts (Gururangan et al. 2020, arXiv 2004.10964, section 3)."""

    name: ClassVar[Literal["dapt", "tapt"]] = "dapt"
    corpus: str
    """A file of texts, as `data.train` is. What is nearly the same as a text of validation or test is left out."""
    text: str = "text"
    """Its column with the texts; a file of plain text has none."""
    documents: Documents | None = None
    """What is one text in a file of plain text: a line, a paragraph, or the whole file. Null: the whole file."""


class Tapt(PretrainStage):
    """Task-adaptive pretraining, on the texts of the training rows alone (Gururangan et al. 2020, section 4)."""

    name: ClassVar[Literal["dapt", "tapt"]] = "tapt"


class Pretrain(Spec):
    """Stages before fine-tuning: first `dapt`, then `tapt`, each where it is given. What they give is kept with the run
    or study by a digest of all that it depends on, so that each is trained once."""

    dapt: Dapt | None = None
    """On texts of the domain."""
    tapt: Tapt | None = None
    """On the training texts."""
    peft: Peft = NoPeft()
    """Which parameters are trained in place of all; what a method has learned is folded into the base afterwards."""
    lr: Annotated[float, Field(gt=0, le=1)] | None = None
    """Learning rate after a warm-up over 6 % of the steps, from then on constant. Null: 1e-4 for all parameters, the
    default of the method for others."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 16
    """Texts, or windows of long ones, per step."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = 0
    """Seed of these stages; apart from the run's, so that runs with other seeds share them. Null: that of the run."""

    @property
    def stages(self) -> tuple[Dapt | Tapt, ...]:
        """Those that are trained, in their order."""
        return tuple(stage for stage in (self.dapt, self.tapt) if stage is not None and stage.epochs != 0)
