"""What keeps training from running away or learning by heart."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Share, Spec


class NoAdversary(Spec):
    """Training on the texts alone."""

    name: Literal["none"] = "none"


class Fgm(Spec):
    """A second pass with the token embeddings of every text moved by `epsilon` along the gradient
    (Miyato et al. 2017, arXiv 1605.07725, equations 5 and 6); a step takes about twice as long."""

    name: Literal["fgm"] = "fgm"
    epsilon: Annotated[float, Field(ge=0, le=10), Range(0.0, 0.01)] = 0.01
    """Length of the move, as a share of the length of the text's embeddings; 0 is off."""


class Pgd(Spec):
    """Like `fgm`, in several smaller moves (Madry et al. 2018, arXiv 1706.06083, section 2.1); a step takes about
    1 + `steps` times as long."""

    name: Literal["pgd"] = "pgd"
    epsilon: Annotated[float, Field(ge=0, le=10), Range(0.0, 0.01)] = 0.01
    """Longest move in all, as a share of the length of the text's embeddings; 0 is off."""
    steps: Annotated[int, Field(ge=1, le=100), Choices((2, 3))] = 3
    """Number of moves."""
    step_size: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Length of one move, as a share of `epsilon`."""


Adversarial = Annotated[NoAdversary | Fgm | Pgd, Field(discriminator="name"), Choices(("none", "fgm", "pgd"))]


class NoAugmentation(Spec):
    """Training on the texts as they are."""

    name: Literal["none"] = "none"


class Augmented(Spec):
    """What every way to change texts has."""

    name: str
    probability: Annotated[Share, Range(0.0, 0.5)] = 0.25
    """Chance that a training row is changed, drawn anew in every epoch; 0 is off."""
    share: Annotated[float, Field(gt=0, le=1), Range(0.05, 0.3)] = 0.1
    """Share of the words of a row that is changed (of its sentences, with `back_translation`), at least one; where a
    row has evidence, of those in it."""

    @property
    def models(self) -> Mapping[str, str]:
        """The models that it needs beside the base of the run, by key."""
        return {}


class Synonym(Augmented):
    """Words are replaced by others of the training texts that have similar embeddings in the pretrained model (synonym
    replacement: Wei & Zou 2019, arXiv 1901.11196). Among these are words of opposite meaning."""

    name: Literal["synonym"] = "synonym"


class Insert(Augmented):
    """Such similar words are put in at random places (random insertion: arXiv 1901.11196)."""

    name: Literal["insert"] = "insert"


class Swap(Augmented):
    """Pairs of words trade places (random swap: arXiv 1901.11196)."""

    name: Literal["swap"] = "swap"


class Delete(Augmented):
    """Words are left out (random deletion: arXiv 1901.11196)."""

    name: Literal["delete"] = "delete"


class CharacterNoise(Augmented):
    """Words are misspelt in one letter (Belinkov & Bisk 2018, arXiv 1711.02173, section 3.2)."""

    name: Literal["character_noise"] = "character_noise"


class Mixed(Augmented):
    """One of `synonym`, `insert`, `swap` and `delete`, drawn for each row (arXiv 1901.11196)."""

    name: Literal["mixed"] = "mixed"


class MaskedLm(Augmented):
    """Words are replaced by what a masked language model expects in their place (Wu et al. 2019, arXiv 1812.06705,
    without labels). Needs `train.workers: 0`."""

    name: Literal["masked_lm"] = "masked_lm"
    model: str | None = None
    """A model with the head of its masked language modelling: a name like that of `model.name`. Null: the base of the
    run."""

    @property
    def models(self) -> Mapping[str, str]:
        """That one, where it is not the base."""
        return {} if self.model is None else {"model": self.model}


class BackTranslation(Augmented):
    """Sentences are translated into another language and back, each time by a translation that is drawn (Xie et al.
    2020, arXiv 1904.12848, section 2.2, after Sennrich et al. 2016, arXiv 1511.06709). Needs `train.workers: 0`."""

    name: Literal["back_translation"] = "back_translation"
    model: str
    """A sequence-to-sequence model that translates the texts: a name like that of `model.name`."""
    back: str
    """One that translates from that language into the language of the texts."""

    @property
    def models(self) -> Mapping[str, str]:
        """Both."""
        return {"model": self.model, "back": self.back}


Augmentation = Annotated[
    NoAugmentation | Synonym | Insert | Swap | Delete | CharacterNoise | Mixed | MaskedLm | BackTranslation,
    Field(discriminator="name"),
    Choices(("none", "synonym", "insert", "swap", "delete", "character_noise", "mixed")),
]


class Regularization(Spec):
    """Settings that hold for every method."""

    gradient_clipping: Annotated[float, Field(ge=0, le=1_000_000), Choices((0, 1, 2, 5))] = 1.0
    """Largest norm of the gradient of one step; 0 switches clipping off."""
    head_dropout: Annotated[Share | None, Range(0.0, 0.5)] = None
    """Dropout before the layers of the head; null keeps the value of the pretrained config, and means 0.1 in every head
    but `native`."""
    encoder_dropout: Annotated[Share | None, Range(0.0, 0.2)] = None
    """Dropout on embeddings and on what each block adds; null keeps the value of the pretrained config. Frozen layers
    run without."""
    attention_dropout: Annotated[Share | None, Range(0.0, 0.2)] = None
    """Dropout on attention weights; null keeps the value of the pretrained config. Frozen layers run without; 0 saves
    time on a CPU."""
    token_dropout: Annotated[Share, Range(0.0, 0.2)] = 0.0
    """Probability with which a token of a training text is hidden from the model, drawn anew in every epoch; special
    tokens always stay."""
    label_smoothing: Annotated[Share, Range(0.0, 0.2)] = 0.0
    """Share of the target that is spread over all labels (Szegedy et al. 2016, arXiv 1512.00567, section 7)."""
    adversarial: Adversarial = NoAdversary()
    """Training on texts moved against the model."""
    augmentation: Augmentation = NoAugmentation()
    """Training on texts some words of which are changed; labels stay as they are. Where a row has evidence, only that
    is changed."""
