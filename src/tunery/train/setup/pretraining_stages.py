"""What a stage of continued pretraining is: its texts, and the run of a language model that learns from them.

Whatever the texts refuse is refused here, before anything is written.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from tunery.data.corpus import corpus_data, texts_key
from tunery.data.encode import Encoded
from tunery.data.examples import Split, Splits
from tunery.data.pretraining_texts import texts_of_rows, with_held_out, without_scored
from tunery.data.splits import load_texts
from tunery.errors import DataError, ModelError
from tunery.model.backbones.hub import folder_of
from tunery.model.heads.auto import is_causal
from tunery.report.text.formatting import epochs as epochs_text
from tunery.report.text.formatting import plural
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.model import Model
from tunery.schema.config.optim import AdamW
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.pretrain import DEFAULT_STEPS, Dapt, Tapt
from tunery.schema.config.schedule import ConstantWarmup
from tunery.schema.config.task import CausalLmTask, MlmTask
from tunery.schema.config.train import Train
from tunery.schema.results.finding import Finding
from tunery.tasks.table import TASKS
from tunery.train.setup.prepare import Prepared, prepare_texts, sample_of

LR: Final = 1e-4
"""Where all parameters are trained."""
_MOST: Final = 20_000_000
"""Characters of a stage's texts in which `check` counts tokens, about."""


@dataclass(frozen=True)
class Stage:
    """A stage of continued pretraining that is ready to train."""

    name: Literal["dapt", "tapt"]
    digest: str
    """Of all that its weights depend on; empty until its base is known, which has learned from the stage before."""
    config: RunConfig
    prepared: Prepared
    rung: int | None
    """The epoch up to which the best is taken; None: all of them."""
    left_out: int
    """Texts, or paragraphs of long texts, that were nearly the same as scored ones."""


def stages_of(config: RunConfig, prepared: Prepared) -> list[Stage]:
    """The stages of a run, in their order, as of the base's own files.

    Args:
        prepared: the rows of the run.

    Raises:
        DataError: texts cannot be read, or are too few; the message begins with the key.
        ModelError: the stage hides tokens, and the base is none that fills them in.
    """
    stages = list[Stage]()
    for spec in config.pretrain.stages:
        with _named(spec):
            splits, stage, left_out = _parts(config, spec, prepared)
            ready = prepare_texts(stage, splits, prepared.base)
        rung = spec.epochs if spec.lengths and spec.epochs != spec.lengths[-1] else None
        stages.append(Stage(spec.name, "", stage, ready, rung, left_out))
    return stages


def look_at_stages(config: RunConfig, prepared: Prepared, *, say: Callable[[str], None]) -> Iterator[Finding]:
    """What `check` says of them: how much text there is, and how long it is learned from.

    Args:
        prepared: the rows of the run, of which some may be left without tokens.
        say: is told what is done, as far as it takes long.
    """
    for spec in config.pretrain.stages:
        say(f"reading the texts of pretrain.{spec.name}")
        try:
            with _named(spec):
                splits, stage, left_out = _parts(config, spec, prepared)
                some = replace(splits, train=_some(splits.train), validation=_some(splits.validation))
                encoded = prepare_texts(stage, some, prepared.base).encoded["train"]
        except DataError as error:
            yield Finding(level="fatal", code="pretraining_texts", message=str(error))
        else:
            share = _characters(splits.train) / _characters(some.train)
            yield from _findings(spec, stage.train, splits, encoded, share=share)
            if left_out:
                yield _left_out(spec, left_out)


@contextmanager
def _named(spec: Dapt | Tapt) -> Iterator[None]:
    """Errors in the texts of a stage begin with the key that names them."""
    try:
        yield
    except DataError as error:
        reason = str(error).replace("(data.text)", f"(pretrain.{spec.name}.text)")  # as the config of the run calls it
        raise DataError(f"{texts_key(spec)}: {reason}") from error


def _parts(config: RunConfig, spec: Dapt | Tapt, prepared: Prepared) -> tuple[Splits, RunConfig, int]:
    """The texts of a stage, the run that it is, and how many texts were left out."""
    rows, left_out, data = prepared.splits, 0, config.data
    if isinstance(spec, Tapt):
        texts, data = texts_of_rows(rows.train.examples), _training_texts(data)
        splits = with_held_out(texts, source="train")
    else:
        data = corpus_data(spec, data)
        corpus = texts_of_rows(load_texts(data, reader=TASKS[MlmTask].reader(MlmTask(), data)))
        texts, left_out = without_scored(corpus, (*rows.validation.examples, *rows.test.examples))
        if corpus and not texts:
            raise DataError(
                f"all of {len(corpus):,} texts in {spec.corpus} are (nearly) in validation or test, which nothing may "
                "learn from; give it other texts"
            )
        splits = with_held_out(texts, source=spec.corpus)
    return splits, _config(config, spec, data, causal=is_causal(folder_of(prepared.base))), left_out


def _findings(spec: Dapt | Tapt, rule: Train, splits: Splits, encoded: Encoded, *, share: float) -> Iterator[Finding]:
    """Args:
    share: characters of the training texts per character of those that are encoded.
    """
    sequences, tokens = round(len(encoded.ids) * share), round(int(encoded.tokens_of_texts().sum()) * share)
    epoch, name = math.ceil(max(sequences, 1) / rule.batch_size), f"pretrain.{spec.name}"
    epochs = rule.epochs_for(sequences)
    steps, about = min(epochs * epoch, rule.max_steps or epochs * epoch), "about " if share > 1 else ""
    message = (
        f"{name} learns from {len(splits.train.examples):,} texts with {about}{tokens:,} tokens and holds out "
        f"{len(splits.validation.examples):,}: {steps:,} steps of {rule.batch_size} are {about}"
        f"{epochs_text(steps / epoch)} of {plural(epoch, 'step')}"
    )
    message += ", at most: the loss of held-out texts ends it earlier" if rule.early_stopping else ""
    yield Finding(level="info", code="pretraining", message=message)
    if sequences < rule.batch_size:
        yield Finding(
            level="warning",
            code="small_corpus",
            count=sequences,
            message=f"a step should see some of the texts and not all, but {texts_key(spec)} has {sequences:,}, or "
            f"sequences of them, and pretrain.batch_size={rule.batch_size}; lower it, or give it more text",
        )


def _left_out(spec: Dapt | Tapt, count: int) -> Finding:
    message = (
        f"{texts_key(spec)}: {count:,} texts, or paragraphs of long ones, are (nearly) in validation or test, and "
    )
    return Finding(level="info", code="pretraining_left_out", count=count, message=message + "are left out")


def _some(split: Split) -> Split:
    return replace(split, examples=tuple(sample_of(split.examples, len(split.examples), _MOST)))


def _characters(split: Split) -> int:
    return sum(len(example.text) for example in split.examples)


def _training_texts(data: Data) -> Data:
    """Where the training texts are, for the record."""
    return Data(dataset=data.dataset, revision=data.revision, train=data.train, text=data.text)


def _config(config: RunConfig, spec: Dapt | Tapt, data: Data, *, causal: bool) -> RunConfig:
    """The run that a stage is.

    Raises:
        ModelError: the stage hides tokens, and the base is none that fills them in.
    """
    rule, model = config.pretrain, config.model
    chosen = {key: value for key in ("masking", "probability") if (value := getattr(spec, key)) is not None}
    if causal and chosen:
        key, value = next(iter(chosen.items()))
        raise ModelError(
            f"pretrain.{spec.name}.{key}={value} is for models that fill in hidden tokens, but {model.name!r} goes on "
            "from left to right; remove the key"
        )
    epochs = spec.lengths[-1] if spec.lengths else None
    lr = rule.lr or (LR if isinstance(rule.peft, NoPeft) else None)
    return RunConfig(
        name=spec.name,
        seed=config.seed if rule.seed is None else rule.seed,
        task=CausalLmTask() if causal else MlmTask(**chosen),
        data=data,
        model=Model(
            name=model.name,
            revision=model.revision,
            max_length=model.max_length,
            precision=model.precision,
            trust_remote_code=model.trust_remote_code,
        ),
        peft=rule.peft,
        optim=AdamW(lr=lr),
        schedule=ConstantWarmup(),
        train=Train(
            epochs="auto" if epochs is None else epochs,
            max_steps=(spec.steps or DEFAULT_STEPS) if epochs is None else None,
            batch_size=rule.batch_size,
            micro_batch_tokens=config.train.micro_batch_tokens,
            gradient_checkpointing=config.train.gradient_checkpointing,
            eval_batch_size=config.train.eval_batch_size,
            early_stopping=Train().early_stopping if epochs is None else None,
            baselines=(),
        ),
        checkpoint=config.checkpoint.model_copy(update={"co_best": 1, "keep_after": spec.lengths[:-1]}),
    )
