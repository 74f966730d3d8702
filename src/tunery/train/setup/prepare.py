"""From a config to data that is ready to train on; trials of a study share it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from tunery.baselines.targets import LinearTargets
from tunery.data.batches import Targets
from tunery.data.checks.check import inspect, refuse_fatal
from tunery.data.encode import Encoded
from tunery.data.examples import Example, Split, Splits
from tunery.data.row_table import RowTable
from tunery.errors import DataError, ModelError
from tunery.model.backbones.backbone import (
    files_digest,
    learned_positions,
    load_config,
    load_tokenizer,
    require_weights,
)
from tunery.model.backbones.catalog import Base, recorded_base, resolve
from tunery.model.build import length_problem
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.model import Model
from tunery.schema.config.task import TaskSpec
from tunery.schema.results.finding import Finding
from tunery.schema.results.run import DataRecord, NumberSummary, SplitRecord
from tunery.tasks.table import fold_of, read_splits, task_of_rows
from tunery.tasks.task import Task

_SAMPLE: Final = 20_000
"""Rows of a split in which `check` counts tokens: a share of them is exact to half a percent."""
_CHARACTERS: Final = 20_000_000
"""Characters of texts without labels of a split in which it does."""


@dataclass(frozen=True)
class Prepared:
    """Tokenised splits, the task as learned from the training rows, and what `check` has to say."""

    task: Task
    base: Base
    tokenizer: Any
    splits: Splits
    encoded: Mapping[str, Encoded]
    targets: Mapping[str, Targets]
    truth: Mapping[str, RowTable]
    findings: tuple[Finding, ...]
    pool: Encoded | None = None
    """Of a fold of cross-validation, the rows of all folds, which its own are taken from."""

    @property
    def training_rows(self) -> int:
        """What an epoch consists of: rows; of language models, the sequences that their texts become."""
        rows = self.encoded["train"].rows
        return int(rows[-1]) + 1 if len(rows) else 0

    def record(self) -> DataRecord:
        """What `result.json` says about the data."""
        return data_record(self.splits, self.findings)

    def linear_targets(self) -> LinearTargets | None:
        """What a linear model of the training rows is fitted to; None where none can answer the task."""
        return self.task.linear_targets(self.truth["train"])

    def labels_alone(self, max_length: int) -> "Prepared | None":
        """The same rows for learning their labels and nothing else; None where there are none."""
        task = self.task.labels_alone()
        if task is self.task:
            return self
        if task is None:
            return None
        rows = {split.name: split.examples for split in self.splits if split.examples}
        encoded = {
            name: task.features(each, self.tokenizer, max_length=max_length, training=name == "train")
            for name, each in rows.items()
        }
        return replace(
            self,
            task=task,
            encoded=encoded,
            targets={name: task.targets(each, encoded[name]) for name, each in rows.items()},
            truth={name: task.truth(each) for name, each in rows.items()},
            pool=None,
        )

    def required_linear_targets(self, setting: str, *, remedy: str) -> LinearTargets:
        """The same, for what gives nothing but one vector a text.

        Args:
            setting: what asks for them, as a config says it: `peft.method=probe`.
            remedy: what to set in its place.

        Raises:
            ModelError: the task asks for something else.
        """
        targets = self.linear_targets()
        if targets is None:
            raise ModelError(
                f"{setting} gives one vector of logits a text, but this task asks the model for "
                f"{', '.join(self.task.outputs)}; take {remedy}"
            )
        return targets


def prepare(config: RunConfig, *, base: str | None = None, trust_remote_code: bool = False) -> Prepared:
    """Load, split, tokenise and check the data of `config`.

    Args:
        base: digest of the base that an earlier call has used, which must be the same; None: there was none.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        DataError: when the data cannot be used, or a fatal finding is not allowed by the config.
        ModelError: when the model cannot be found, has other weights than before, or needs code that this call does
            not permit.
    """
    prepared = examine(config, base=base, trust_remote_code=trust_remote_code)
    refuse_fatal(prepared.findings)
    return prepared


def examine(config: RunConfig, *, base: str | None = None, trust_remote_code: bool = False) -> Prepared:
    """The same as `prepare`, fatal findings included."""
    model = _base(config.model, base, trust_remote_code=trust_remote_code)
    files = _file_states(config.data)
    prepared = _prepared(config.data, config.task.without_training_keys(), model, config.model.max_length, files)
    more = (*_undefined_metrics(config, prepared), *_less_than_a_batch(config, prepared))
    return replace(prepared, findings=(*more, *prepared.findings)) if more else prepared


def prepare_texts(config: RunConfig, splits: Splits, base: Base) -> Prepared:
    """Texts without labels that are at hand, for a language model of `base`; nothing is scored on test.

    Raises:
        DataError: they are too short to learn or to score anything.
    """
    tokenizer = load_tokenizer(base)
    task = task_of_rows(config.task, config.data, splits)
    encoded = {
        split.name: task.features(
            split.examples, tokenizer, max_length=config.model.max_length, training=split.name == "train"
        )
        for split in splits
        if split.examples
    }
    if short := [name for name, features in encoded.items() if not len(features.rows)]:
        raise DataError(f"a text needs two tokens or more, but no text of {short[0]} has them; give it longer texts")
    rows = {split.name: split.examples for split in splits if split.examples}
    targets = {name: task.targets(examples, encoded[name]) for name, examples in rows.items()}
    truth = {name: task.truth(examples) for name, examples in rows.items()}
    return Prepared(task, base, tokenizer, splits, encoded, targets, truth, ())


def look_at(
    config: RunConfig,
    *,
    say: Callable[[str], None],
    trust_remote_code: bool = False,
    most_rows: int = _SAMPLE,
    most_characters: int = _CHARACTERS,
) -> Prepared:
    """The findings about data of any size: tokens are counted in some rows from everywhere. Nothing is remembered.

    Args:
        say: is told what is done, as far as it takes long.
        most_rows: rows of a split in which tokens are counted.
        most_characters: of texts without labels of a split in which they are: such texts may be books.
    """
    model = _base(config.model, None, trust_remote_code=trust_remote_code)
    say("reading and splitting the data")
    spec = config.task.without_training_keys()
    splits = read_splits(config.data, spec, seed=config.data.seed)
    most = (most_rows, most_characters)
    prepared = _examined(config.data, spec, model, config.model.max_length, splits, most=most, say=say)
    more = (
        *_longer_than_the_model(config, prepared),
        *_undefined_metrics(config, prepared),
        *_less_than_a_batch(config, prepared),
    )
    return replace(prepared, findings=(*more, *prepared.findings))


def _base(spec: Model, digest: str | None, *, trust_remote_code: bool) -> Base:
    if digest is None:
        return resolve(spec, trust_remote_code=trust_remote_code)
    digest = files_digest(digest)
    base = recorded_base(spec, digest, trust_remote_code=trust_remote_code)
    require_weights(base, digest)
    return base


def _undefined_metrics(config: RunConfig, prepared: Prepared) -> Iterator[Finding]:
    """The objectives and the watched metric must be defined on validation, whatever the model answers; on test a
    warning says so of the first."""
    optimised = [name for name in config.objectives if name in config.task.metrics]
    for name, metrics in (("validation", (*optimised, config.watched)), ("test", (config.objective,))):
        truth = prepared.truth.get(name)
        if truth is None or not len(truth):
            continue
        scored = prepared.task.score(prepared.task.untrained(truth), truth, None)
        for metric in dict.fromkeys(metrics):
            if scored[metric] is None:
                key = "search.objective" if metric in optimised else "train.early_stopping.metric"
                of_evidence = metric == "joint" or metric.startswith("evidence_")
                if of_evidence:
                    needs = f"evidence in rows of {name}, but none has any"
                elif getattr(prepared.splits, name).examples[0].number is not None:
                    needs = f"numbers that differ in {name}, but all are equal"
                else:
                    needs = f"a label that some rows of {name} have and others have not, but there is none"
                yield Finding(
                    level="fatal" if name == "validation" else "warning",
                    code="undefined_metric",
                    split=name,
                    message=f"{metric} needs {needs}; choose another {key}, or other rows for {name}",
                )


def _longer_than_the_model(config: RunConfig, prepared: Prepared) -> Iterator[Finding]:
    """Texts of more tokens than there are positions for, which building the model refuses."""
    if problem := length_problem(config.model, learned_positions(prepared.base)):
        yield Finding(level="fatal", code="max_length", message=problem)


def _less_than_a_batch(config: RunConfig, prepared: Prepared) -> Iterator[Finding]:
    """Texts of which a step would see all."""
    facts, size = prepared.encoded["train"].of_texts, config.train.batch_size
    if facts is not None and 0 < facts.sequences < size:
        yield Finding(
            level="warning",
            code="small_corpus",
            split="train",
            count=facts.sequences,
            message=f"a step should see some of the training texts and not all, but train has {facts.sequences:,} "
            f"sequences of up to {config.model.max_length} tokens and train.batch_size={size}; lower train.batch_size "
            "or model.max_length, or give it more text",
        )


def current_splits(config: RunConfig) -> Splits:
    """The rows that `config` would see now, without a look at any model.

    Raises:
        DataError: when they cannot be read.
    """
    return _splits(config.data, config.task.without_training_keys(), _file_states(config.data))


def data_record(splits: Splits, findings: Sequence[Finding] = ()) -> DataRecord:
    """What is remembered of the data."""
    messages = (f"{finding.level}: {finding.message}" for finding in findings)
    return DataRecord(
        splits={split.name: _split_record(split) for split in splits}, findings=(*splits.notes, *messages)
    )


def _file_states(data: Data) -> tuple[tuple[int, int] | None, ...]:
    """Size and time of the files, so that an edited file is read again."""
    states = (Path(name).stat() if Path(name).is_file() else None for name in data.files)
    return tuple(state and (state.st_size, state.st_mtime_ns) for state in states)


@lru_cache(maxsize=2)
def _splits(data: Data, spec: TaskSpec, files: object) -> Splits:
    if data.fold is not None:
        return fold_of(_splits(data.model_copy(update={"fold": None}), spec, files), data, spec)
    return read_splits(data, spec, seed=data.seed)


@lru_cache(maxsize=8)  # a study may look at several lengths and models
def _prepared(data: Data, spec: TaskSpec, base: Base, max_length: int, files: object) -> Prepared:
    if data.fold is not None:
        return _of_fold(data, spec, base, max_length, files)
    return _examined(data, spec, base, max_length, _splits(data, spec, files))


def _of_fold(data: Data, spec: TaskSpec, base: Base, max_length: int, files: object) -> Prepared:
    """What there is to say of its rows is said of all folds together."""
    splits = _splits(data, spec, files)
    task, tokenizer = task_of_rows(spec, data, splits), load_tokenizer(base)
    pool = _pool(data.model_copy(update={"fold": None}), spec, base, max_length, files)
    load_config(base, outputs=task.outputs, tokenizer=tokenizer)
    encoded = {
        split.name: pool.take(splits.in_pool[split.name])
        if split.name in splits.in_pool
        else task.features(split.examples, tokenizer, max_length=max_length)
        for split in splits
    }
    targets = {split.name: task.targets(split.examples, encoded[split.name]) for split in splits}
    truth = {split.name: task.truth(split.examples) for split in splits}
    return Prepared(task, base, tokenizer, splits, encoded, targets, truth, (), pool)


@lru_cache(maxsize=2)
def _pool(data: Data, spec: TaskSpec, base: Base, max_length: int, files: object) -> Encoded:
    """The rows of all folds."""
    splits = _splits(data, spec, files)
    task = task_of_rows(spec, data, splits)
    return task.features(splits.pool, load_tokenizer(base), max_length=max_length)


def _examined(
    data: Data,
    spec: TaskSpec,
    base: Base,
    max_length: int,
    splits: Splits,
    *,
    most: tuple[int, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Args:
    most: rows of a split, and characters of texts without labels, that are tokenised; None: all.
    """
    tokenizer = load_tokenizer(base)
    task = task_of_rows(spec, data, splits)
    sample: dict[str, Sequence[Example]] = {split.name: split.examples for split in splits if split.examples}
    if most is not None:
        rows, characters = most
        most_characters = characters if spec.text_keys else None
        sample = {name: sample_of(examples, rows, most_characters) for name, examples in sample.items()}
    say(f"counting the tokens of {sum(map(len, sample.values())):,} rows")
    encoded = {
        name: task.features(rows, tokenizer, max_length=max_length, training=name == "train")
        for name, rows in sample.items()
    }
    load_config(base, outputs=task.outputs, tokenizer=tokenizer)  # refuses a tokenizer that is not the model's
    targets = {name: task.targets(rows, encoded[name]) for name, rows in sample.items()}
    truth = {split.name: task.truth(split.examples) for split in splits if split.examples}
    lengths = {name: features.tokens_of_texts() for name, features in encoded.items()}
    truncated = {name: features.truncated for name, features in encoded.items()}
    shares = {name: len(getattr(splits, name).examples) / len(rows) for name, rows in sample.items()}

    def is_cut(split: Split) -> bool:
        return bool(split.examples) and sample[split.name] != split.examples

    say("looking for duplicates and other findings")
    findings = inspect(
        splits,
        task.checks,
        allow=data.allow,
        labels=task.labels,
        lengths=lengths,
        truncated=truncated,
        max_length=max_length,
        unknown={name: features.unknown for name, features in encoded.items()},
        alike={name: round(features.alike * shares[name]) for name, features in encoded.items()},
        sample=sample,
        texts={name: features.of_texts for name, features in encoded.items() if features.of_texts is not None},
        reach={name: reach for name, features in encoded.items() if (reach := features.reach_of_rows()) is not None},
    )
    if sampled := [_described(split, sample[split.name]) for split in splits if is_cut(split)]:
        message = f"tokens were counted in some rows from everywhere ({', '.join(sampled)}); a run counts all of them"
        findings.append(Finding(level="info", code="sample", message=message))
    return Prepared(task, base, tokenizer, splits, encoded, targets, truth, tuple(findings))


def sample_of(examples: Sequence[Example], most_rows: int, most_characters: int | None) -> Sequence[Example]:
    """At most so many rows, at equal distances, of as many characters; where a few are longer, their beginnings.

    Args:
        most_characters: None: rows are as long as they are.
    """
    step = -(-len(examples) // most_rows)
    if most_characters is not None:
        total = sum(len(example.text) for example in examples)
        step = max(step, min(-(-total // most_characters), len(examples)))
    some = examples if step <= 1 else examples[::step]
    if most_characters is None or sum(len(example.text) for example in some) <= 2 * most_characters:
        return some
    room = most_characters // len(some)
    return [replace(example, text=example.text[:room]) if example.target is None else example for example in some]


def _described(split: Split, sample: Sequence[Example]) -> str:
    """How much of a split is looked at."""
    characters = sum(len(example.text) for example in sample)
    is_cut = len(sample) == len(split.examples)
    return f"{split.name} {len(sample):,}" + (f", the first {characters:,} characters" if is_cut else "")


def _split_record(split: Split) -> SplitRecord:
    counts = Counter(label for example in split.examples for label in example.labels)
    labels = dict(sorted(counts.items()))
    return SplitRecord(
        rows=len(split.examples), digest=split.digest, source=split.source, labels=labels, numbers=_numbers(split)
    )


def _numbers(split: Split) -> NumberSummary | None:
    numbers = np.array([example.number for example in split.examples if example.number is not None])
    if not len(numbers):
        return None
    return NumberSummary(
        lowest=float(numbers.min()),
        highest=float(numbers.max()),
        mean=float(numbers.mean()),
        standard_deviation=float(numbers.std()),
    )
