"""The augmentation of a config, with the model that it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from numpy.random import Generator
from torch.utils.data import Dataset

from tunery.data.augmentation import operations
from tunery.data.augmentation.augmenter import Augmenter
from tunery.data.augmentation.dataset import AugmentedDataset
from tunery.data.augmentation.neighbours import neighbours
from tunery.data.augmentation.operations import Operation, Synonyms
from tunery.data.batches import EncodedDataset, Item
from tunery.data.examples import Example
from tunery.errors import ModelError
from tunery.model.backbones.backbone import require_weights
from tunery.model.backbones.catalog import HUB, Base, recorded_base, resolve
from tunery.model.build import Built
from tunery.model.masked_lm import load_masked_lm
from tunery.model.translation import Translator, load_translator
from tunery.schema import RunConfig
from tunery.schema.config.model import Model
from tunery.schema.config.regularization import (
    Augmented,
    BackTranslation,
    CharacterNoise,
    Delete,
    Insert,
    MaskedLm,
    Mixed,
    NoAugmentation,
    Swap,
    Synonym,
)
from tunery.tasks.task import Task
from tunery.train.setup.prepare import Prepared


@dataclass(frozen=True)
class Sources:
    """What ways to change texts are made from."""

    config: RunConfig
    prepared: Prepared
    built: Built
    models: Mapping[str, Base]
    """Those that the config names, by key."""
    device: torch.device

    def synonyms(self) -> Synonyms:
        """For the words of the training texts. Raises `ModelError` for a model that embeds no words."""
        table, name = getattr(self.built.embeddings, "weight", None), self.config.regularization.augmentation.name
        if not isinstance(table, torch.Tensor) or len(table) < len(self.prepared.tokenizer):
            raise ModelError(
                f"regularization.augmentation.name={name} finds similar words by the embeddings of a model's tokens, "
                f"but {self.config.model.name!r} has no such table; choose swap, delete or character_noise"
            )
        texts = (text for example in self.prepared.splits.train.examples for text in _texts(example))
        return neighbours(texts, self.prepared.tokenizer, table.detach().float().cpu().numpy())


def _texts(example: Example) -> tuple[str, ...]:
    return (example.text,) if example.text_pair is None else (example.text, example.text_pair)


def _masked_lm(spec: MaskedLm, sources: Sources) -> Operation:
    base = sources.models.get("model", sources.prepared.base)
    model = load_masked_lm(base, max_length=sources.config.model.max_length, device=sources.device)
    return partial(operations.substitute, share=spec.share, guess=model.guess)


def _back_translation(spec: BackTranslation, sources: Sources) -> Operation:
    there, back = (load_translator(sources.models[key], device=sources.device) for key in ("model", "back"))
    return partial(operations.rewrite, share=spec.share, paraphrase=partial(_there_and_back, there=there, back=back))


def _there_and_back(sentence: str, generator: Generator, *, there: Translator, back: Translator) -> str:
    for translator in (there, back):
        sentence = sentence and translator.translation(sentence, seed=int(generator.integers(2**63)))
    return sentence


def _mixed(spec: Mixed, sources: Sources) -> Operation:
    synonyms = sources.synonyms()
    return partial(
        operations.one_of,
        operations=(
            partial(operations.replace, share=spec.share, synonyms=synonyms),
            partial(operations.insert, share=spec.share, synonyms=synonyms),
            partial(operations.swap, share=spec.share),
            partial(operations.delete, share=spec.share),
        ),
    )


OPERATIONS: Final[dict[type[Augmented], Callable[[Any, Sources], Operation]]] = {
    Synonym: lambda spec, sources: partial(operations.replace, share=spec.share, synonyms=sources.synonyms()),
    Insert: lambda spec, sources: partial(operations.insert, share=spec.share, synonyms=sources.synonyms()),
    Swap: lambda spec, sources: partial(operations.swap, share=spec.share),
    Delete: lambda spec, sources: partial(operations.delete, share=spec.share),
    CharacterNoise: lambda spec, sources: partial(operations.character_noise, share=spec.share),
    Mixed: _mixed,
    MaskedLm: _masked_lm,
    BackTranslation: _back_translation,
}


def models_of_augmentation(config: RunConfig, began_with: Mapping[str, str]) -> dict[str, Base]:
    """The models that training rows are changed with, beside the base of the run; by key.

    Args:
        began_with: what `base_digest` was of each when the run began; empty where it begins now.

    Raises:
        ModelError: one cannot be found, or has other weights than then.
    """
    spec = config.regularization.augmentation
    if isinstance(spec, NoAugmentation) or not spec.probability:
        return {}
    models = {}
    for key, name in spec.models.items():
        path, digest, named = f"regularization.augmentation.{key}", began_with.get(key, ""), Model(name=name)
        try:
            models[key] = recorded_base(named, digest) if digest.startswith(HUB) else resolve(named)
        except ModelError as error:
            raise ModelError(f"{path} names a model as model.name does: {error}") from error
        if digest:
            require_weights(models[key], digest, what=f"the model that changed its texts ({path})")
    return models


def make_augmenter(
    config: RunConfig, prepared: Prepared, built: Built, models: Mapping[str, Base], device: torch.device
) -> Augmenter | None:
    """What changes training rows; None where nothing does.

    Args:
        built: before it is trained, so that a resumed run finds the same synonyms.
        models: what `models_of_augmentation` gives.

    Raises:
        ModelError: the model that it needs cannot be had, or does not have what it needs.
    """
    spec = config.regularization.augmentation
    if isinstance(spec, NoAugmentation) or not spec.probability:
        return None
    operation = OPERATIONS[type(spec)](spec, Sources(config, prepared, built, models, device))
    return Augmenter(operation, probability=spec.probability, seed=config.seed)


def augmented(
    plain: EncodedDataset, augmenter: Augmenter | None, prepared: Prepared, *, max_length: int
) -> Dataset[list[Item]]:
    """The training rows as the augmenter leaves them."""
    if augmenter is None:
        return plain
    encode = partial(_encoded, task=prepared.task, tokenizer=prepared.tokenizer, max_length=max_length)
    return AugmentedDataset(plain, prepared.splits.train.examples, augmenter, encode)


def _encoded(example: Example, *, task: Task, tokenizer: Any, max_length: int) -> EncodedDataset:
    features = task.features([example], tokenizer, max_length=max_length, training=True)
    return EncodedDataset(features, task.targets([example], features))
