"""What one run says of itself: scores, parameters, seconds, memory, data, checkpoints."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from tunery.schema.results.decision import DecisionChange
from tunery.schema.results.record import Count, Objective, Record, Status


class Parameters(Record):
    """Parameter counts, head included."""

    trainable: Count
    total: Count
    """All that a forward pass reads. Where peft trains a copy of a head or norm, the frozen original stays in the model
    unread and is not counted, so the sum of `numel()` over the model may be larger."""
    percent: float
    """100 * trainable / total."""
    fresh: Count = 0
    """Of the trained ones, those that were never pretrained: of a head that is new."""
    frozen_in_eval: bool | None = None
    """Whether frozen layers ran in eval mode, without dropout; null where nothing is frozen."""
    ranks: dict[str, Count] | None = None
    """Rank of every adapted module after re-allocation (adalora); null for all other methods."""


class FrozenLayers(Record):
    """What frozen layers gave of rows, computed once and not in every epoch (`train.cache_frozen_layers`)."""

    layers: Count = 0
    """How many, counted from the input."""
    kept: Literal["token states", "text vectors"] | None = None
    """What was kept of each row: a vector for each token, or, where the whole encoder is frozen and the head pools
    without weights of its own, one for the text. null: nothing."""
    splits: tuple[Literal["train", "validation"], ...] = ()
    """Of which rows."""
    bytes: Count = 0
    """That it took, in memory or on disk."""
    why: str = ""
    """What stood in the way, of these splits or of all; empty where nothing did."""


class Seconds(Record):
    """Wall-clock seconds by phase, summed over interruptions."""

    load: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    total: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(**{name: getattr(self, name) + getattr(other, name) for name in Seconds.model_fields})


class Memory(Record):
    """Peak memory of the process while it trained and validated; export and test are not in it."""

    host_peak_bytes: Count = 0
    device_peak_bytes: Count | None = None
    """null without an accelerator."""

    @property
    def peak(self) -> int:
        """Bytes that are short first: of the device where there is one, else of the host."""
        return self.host_peak_bytes if self.device_peak_bytes is None else self.device_peak_bytes


class Tokens(Record):
    """Training tokens."""

    real: Count = 0
    """Tokens of the texts."""
    processed: Count = 0
    """The same with padding."""


class NumberSummary(Record):
    """The numbers of some rows."""

    lowest: float
    highest: float
    mean: float
    standard_deviation: float
    """Of these rows, not an estimate for others."""


class SplitRecord(Record):
    """One split: how many rows, which bytes, and where they came from."""

    rows: Count
    digest: str
    """SHA-256 over the split's rows in order."""
    source: str
    """The file or Hub split, or `split off from train`."""
    labels: dict[str, Count]
    """Rows per label."""
    numbers: NumberSummary | None = None
    """null where rows have labels alone."""


class DataRecord(Record):
    """The data a run saw."""

    splits: dict[str, SplitRecord]
    findings: tuple[str, ...] = ()
    """What `check` found and did not stop at."""


class Start(Record):
    """The run whose best weights a run began with, in place of pretrained ones."""

    run: str
    """Its folder."""
    digest: str
    """Of the trained parameters that were taken over: `sha256:<digest>`."""
    step: int
    """The optimizer step that they are of."""


class PretrainRecord(Record):
    """A stage of continued pretraining, as far as a run takes what it has learned."""

    name: Literal["dapt", "tapt"]
    digest: str
    """Of all that its weights depend on; its folder is `pretrain/<digest>`."""
    texts: Count
    """That it learned from."""
    left_out: Count = 0
    """Texts of its corpus, or paragraphs of long ones, that were nearly the same as scored ones."""
    steps: Count
    """Optimizer steps up to its best epoch."""
    epoch: float
    """Its best epoch, whose weights were taken."""
    losses: tuple[float | None, ...]
    """Loss of the held-out texts after each epoch, up to the last that counts."""
    seconds: float
    """That it took, whoever trained it: all of its epochs."""
    disk_bytes: Count = 0
    """Of its weights that are kept, in all lengths that are asked for."""

    @property
    def loss(self) -> float | None:
        """Of the held-out texts, after the best epoch."""
        return min((loss for loss in self.losses if loss is not None), default=None)


class CheckpointRecord(Record):
    """What is kept on disk, and why."""

    kind: Literal["best", "co_best", "rung"]
    """`co_best`: another epoch with the very value of the best, and no lower validation loss. `rung`: the best of the
    epochs up to `rung`."""
    rung: Count | None = None
    """An epoch of `checkpoint.keep_after`; null for other kinds."""
    step: Count
    epoch: float
    digest: str
    """Name of the weights object: a digest of its tensors."""
    bytes: Count
    """Of the object on disk."""
    value: float | None = None
    """Objective at this point."""
    metrics: dict[str, Any] = {}
    """Validation metrics at this point, tuned thresholds included."""


class Environment(Record):
    """Where the run ran."""

    python: str
    packages: dict[str, str]
    platform: str
    device: str
    precision: str
    precision_reason: str


class Metrics(Record):
    """Task metrics of the restored best epoch. Nested values are per label or matrices."""

    validation: dict[str, Any] = {}
    """Of a cross-validated run without a final model that has such rows, the same as `oof`."""
    test: dict[str, Any] | None = None
    """null where test was not evaluated (trials of a study other than the winner)."""
    test_without_block: tuple[float | None, ...] = ()
    """Objective on test without each of up to 50 blocks of rows in turn (delete-a-group jackknife): from these a
    comparison knows how far the choice of test rows carries. Row i is in block i modulo their number. Of a few texts
    of language models, a block is a part of each."""
    oof: dict[str, Any] | None = None
    """Out of fold: of every training row as the model answers that had not seen it; of several repeats, the mean. null
    without cross-validation."""
    oof_without_block: tuple[float | None, ...] = ()
    """Objective of these without each block of rows in turn."""
    oof_interval: tuple[float, float] | None = None
    """95 % interval of the objective of these, over the choice of rows."""


class FoldRecord(Record):
    """A fold of cross-validation."""

    fold: Count
    """Its number, counted through all repeats; its folder is `folds/<number>`."""
    rows: Count
    """That were held out."""
    digest: str
    """SHA-256 over these rows in order."""
    value: float | None
    """Objective on them, of the model that had not seen them."""
    validation: float | None
    """Objective of its best epoch on the rows that chose it."""
    best_epoch: Count | None
    seconds: Seconds


class Gain(Record):
    """How far the objective of a run is from that of a baseline, on the same rows."""

    split: Literal["validation", "test", "oof"]
    difference: float
    """The run's minus the baseline's."""
    low: float | None = None
    high: float | None = None
    """95 % interval over the choice of rows of test, or of all folds; null where there is none."""

    @property
    def is_none(self) -> bool:
        """Whether no choice of test rows makes a difference: both give the same answers."""
        return self.difference == self.low == self.high == 0


class Baseline(Record):
    """A simple model on the rows of a run."""

    method: Literal["majority", "tfidf", "probe"]
    metrics: Metrics
    seconds: float
    """To fit and to score it."""
    train_rows: Count | None = None
    """Training rows that it was fitted to; null: all."""
    gain: Gain | None = None
    """null where one of the two has no value."""


class RunResult(Record):
    """`result.json`: written last; a run is finished when this file exists."""

    status: Status
    objective: Objective
    metrics: Metrics
    parameters: Parameters | None
    seconds: Seconds
    memory: Memory
    disk_bytes: Count
    """Bytes of the exported model and of weights that are kept beside it; those of `pretraining` are told there."""
    written_bytes: Count
    """Bytes that keeping every checkpoint, uncompressed, would have taken."""
    tokens: Tokens
    epochs: float
    best_epoch: Count | None
    config: dict[str, Any]
    """The complete config; running it again reproduces the run."""
    environment: Environment | None
    base: str | None
    """What identifies the pretrained weights: `sha256:<digest>` of local files, or `hub:<id>@<commit>`; then `+` and
    the digest of each stage of continued pretraining, with `@` and the epoch up to which it was taken."""
    augmentation_models: dict[str, str] = {}
    """The same for the models that `regularization.augmentation` names, by key."""
    frozen_layers: FrozenLayers | None = None
    """null where no layers were asked for, as of a probe."""
    micro_batch_tokens: Count | None = None
    """Most padded tokens in a pass of training, where `train.micro_batch_tokens` is `auto` as well."""
    data: DataRecord | None
    started_from: Start | None = None
    """The run that it went on from (`--from`); null where it began with the base's weights."""
    pretraining: tuple[PretrainRecord, ...] = ()
    """What the base learned before (`pretrain`), in the order of the stages."""
    folds: tuple[FoldRecord, ...] = ()
    """Of cross-validation (`data.folds`)."""
    checkpoints: tuple[CheckpointRecord, ...] = ()
    reason: str | None = None
    """Why the run was pruned or failed."""
    baselines: tuple[Baseline, ...] = ()
    """Simple models on the same rows (`train.baselines`)."""
    changed_rows: Count = 0
    """Training rows that `regularization.augmentation` changed, those of all epochs added up."""
    notes: tuple[str, ...] = ()
    """What makes its scores doubtful: one label for every row, nothing learned, still improving in the last epoch,
    probabilities that are much too low."""
    decisions: tuple[DecisionChange, ...] = ()
    """How the model was told to decide otherwise afterwards (`tunery threshold`); `metrics` are of before."""
    finished_at: datetime | None = None
    """When the run ended, UTC."""

    @property
    def seconds_to_fit_and_score(self) -> float:
        """What is compared with `Baseline.seconds`: without simple models and export, with continued pretraining."""
        spent = self.seconds
        return spent.load + spent.train + spent.evaluate + sum(stage.seconds for stage in self.pretraining)

    @property
    def loss(self) -> float | None:
        """On validation, of the restored best epoch."""
        loss = self.metrics.validation.get("loss")
        return loss if isinstance(loss, int | float) else None

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each metric that is a number, and a column for each split that was scored.

        Raises:
            ImportError: pandas is not installed.
        """
        from pandas import DataFrame

        splits = {"validation": self.metrics.validation, "oof": self.metrics.oof, "test": self.metrics.test}
        return DataFrame(
            {
                split: {name: value for name, value in metrics.items() if isinstance(value, int | float)}
                for split, metrics in splits.items()
                if metrics
            }
        )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("status", self.status), ("objective", self.objective.name), ("validation", self.objective.value))
        if self.metrics.oof is not None:
            yield "out_of_fold", self.metrics.oof.get(self.objective.name)
        yield "test", (self.metrics.test or {}).get(self.objective.name)
        yield from (("best_epoch", self.best_epoch), ("epochs", self.epochs), ("seconds", round(self.seconds.total, 1)))
        yield from [("notes", self.notes)] if self.notes else []


class Progress(Record):
    """What is known of an unfinished run; on disk from its first minute, so that nothing spent is forgotten."""

    parameters: Parameters | None = None
    seconds: Seconds = Seconds()
    memory: Memory = Memory()
    tokens: Tokens = Tokens()
    epochs: float = 0.0
    changed_rows: Count = 0
    written_bytes: Count = 0
    environment: Environment | None = None
    base: str | None = None
    augmentation_models: dict[str, str] = {}
    frozen_layers: FrozenLayers | None = None
    micro_batch_tokens: Count | None = None
    data: DataRecord | None = None
    started_from: Start | None = None
