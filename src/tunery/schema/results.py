"""What comes out: one record per run, one per study."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tunery.schema.metrics import Direction
from tunery.schema.spec import Spec, Wording

Count = Annotated[int, Field(ge=0, lt=2**63), Wording("a whole number")]
"""What is counted, in 64 bits."""

Status = Literal["completed", "pruned", "failed"]


class Record(Spec):
    """Plain data that tunery writes and reads back; metrics of a diverged run may be null."""

    model_config = ConfigDict(ser_json_inf_nan="null")


class Objective(Record):
    """The number a run is judged by: its best epoch on the validation split."""

    name: str
    value: float | None
    direction: Direction


class Parameters(Record):
    """Parameter counts, head included."""

    trainable: Count
    total: Count
    """All that a forward pass reads. Where peft trains a copy of a head or norm, the frozen original stays in the model
    unread and is not counted, so the sum of `numel()` over the model may be larger."""
    percent: float
    """100 * trainable / total."""
    frozen_in_eval: bool | None = None
    """Whether frozen layers ran in eval mode, without dropout; null where nothing is frozen."""
    ranks: dict[str, Count] | None = None
    """Rank of every adapted module after re-allocation (adalora); null for all other methods."""


class Seconds(Record):
    """Wall-clock seconds by phase, summed over interruptions."""

    load: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    total: float = 0.0


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


class SplitRecord(Record):
    """One split: how many rows, which bytes, and where they came from."""

    rows: Count
    digest: str
    """SHA-256 over the split's rows in order."""
    source: str
    """The file or Hub split, or `carved from train`."""
    labels: dict[str, Count]
    """Rows per label."""


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


class CheckpointRecord(Record):
    """What is kept on disk, and why."""

    kind: Literal["best", "co_best"]
    """`co_best`: another epoch with the very value of the best, and no lower validation loss."""
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
    test: dict[str, Any] | None = None
    """null where test was not evaluated (trials of a study other than the winner)."""
    test_without_block: tuple[float | None, ...] = ()
    """Objective on test without each of up to 50 blocks of rows in turn (delete-a-group jackknife): from these a
    comparison knows how far the choice of test rows carries. Row i is in block i modulo their number."""


class RunResult(Record):
    """`result.json`: written last; a run is finished when this file exists."""

    status: Status
    objective: Objective
    metrics: Metrics
    parameters: Parameters | None
    seconds: Seconds
    memory: Memory
    disk_bytes: Count
    """Bytes of the exported model and of weights that are kept beside it."""
    written_bytes: Count
    """Bytes that keeping every checkpoint, uncompressed, would have taken."""
    tokens: Tokens
    epochs: float
    best_epoch: Count | None
    config: dict[str, Any]
    """The complete config; running it again reproduces the run."""
    environment: Environment | None
    base: str | None
    """What identifies the pretrained weights: `sha256:<digest>` of local files, or `hub:<id>@<commit>`."""
    data: DataRecord | None
    started_from: Start | None = None
    """The run that it went on from (`--from`); null where it began with the base's weights."""
    checkpoints: tuple[CheckpointRecord, ...] = ()
    reason: str | None = None
    """Why the run was pruned or failed."""
    notes: tuple[str, ...] = ()
    """What makes its scores doubtful: one label for every row, nothing learned, still improving in the last epoch."""
    finished_at: datetime | None = None
    """When this was written, UTC."""

    @property
    def loss(self) -> float | None:
        """On validation, of the restored best epoch."""
        found = self.metrics.validation.get("loss")
        return found if isinstance(found, int | float) else None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("status", self.status), ("objective", self.objective.name), ("validation", self.objective.value))
        yield "test", (self.metrics.test or {}).get(self.objective.name)
        yield from (("best_epoch", self.best_epoch), ("epochs", self.epochs), ("seconds", round(self.seconds.total, 1)))
        yield from [("notes", self.notes)] if self.notes else []


class Excerpt(Record):
    """How a text begins, on one line."""

    text: str
    is_cut: bool
    """Whether the text goes on."""


class WorstRow(Record):
    """A labelled row, and how it was answered."""

    id: str
    """`#n` for the n-th row of its split, from 0, where the data have no ids."""
    loss: float
    """Negative log probability of the label that is right; with several labels per row, the mean over all labels."""
    labels: tuple[str, ...]
    """Those that are right."""
    answer: tuple[str, ...]
    """Those that were given."""
    probabilities: dict[str, float]
    """Of each of these labels."""
    texts: tuple[Excerpt, ...] = ()
    """Its text, or both of a pair; none where texts are left out."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bare := [label for label in (*self.labels, *self.answer) if label not in self.probabilities]:
            raise ValueError(f"{bare[0]!r} has no probability")
        return self


class WorstRows(Record):
    """`worst_rows.json`: the rows of a split that have the highest loss, highest first."""

    split: str
    total: Count
    """Rows of the split."""
    rows: tuple[WorstRow, ...]

    @property
    def has_texts(self) -> bool:
        """Whether any row is here with its text."""
        return any(row.texts for row in self.rows)

    def without_texts(self) -> Self:
        """The same without the text of any row."""
        return self.model_copy(update={"rows": tuple(row.model_copy(update={"texts": ()}) for row in self.rows)})


class Progress(Record):
    """What is known of an unfinished run; on disk from its first minute, so that nothing spent is forgotten."""

    parameters: Parameters | None = None
    seconds: Seconds = Seconds()
    memory: Memory = Memory()
    tokens: Tokens = Tokens()
    epochs: float = 0.0
    written_bytes: Count = 0
    environment: Environment | None = None
    base: str | None = None
    data: DataRecord | None = None
    started_from: Start | None = None


class TrialRecord(Record):
    """One row of a study."""

    number: Count
    status: Literal["completed", "pruned", "failed", "running"]
    value: float | None
    loss: float | None = None
    """On validation; tells apart completed trials of the same value."""
    params: dict[str, Any]
    seconds: float
    epochs: float
    reason: str | None = None
    history: tuple[float | None, ...] = ()
    """Objective after each epoch."""
    costs: dict[str, float] = {}
    """What it took, for each cost among the objectives."""
    notes: tuple[str, ...] = ()
    """What happened to it: continued by another process, fewer tokens in a pass after memory ran out."""


class BestTrial(Record):
    """The winner of a study."""

    number: Count
    value: float
    """The trial's own value on validation; see `rescored` for its mean over seeds."""
    config: dict[str, Any]
    test: dict[str, Any]
    """Test metrics; the test split was read once, for this trial alone."""


class Disk(Record):
    """Bytes on disk against keeping every checkpoint of every trial."""

    bytes: Count
    keep_all_bytes: Count


class StoredItem(Record):
    """Something on disk: what it is, why it is there, how large."""

    path: str
    """Within the run folder."""
    kind: Literal["best", "co_best", "resume", "export", "records", "orphan"]
    """`records`: metrics, logs, reports, configs, the study's database; `orphan`: nothing needs it, `tunery clean`
    removes it."""
    why: str
    """In words: `best epoch of trial 7`, `resume point at step 120`."""
    bytes: Count


class Storage(Record):
    """What a run, study or comparison holds on disk."""

    items: tuple[StoredItem, ...]
    """Largest first; weights shared by several are named once, with all their reasons."""
    bytes: Count
    """Weights and training state."""
    record_bytes: Count
    """Metrics, logs, reports, configs, database."""
    keep_all_bytes: Count
    """Weights and training state if every checkpoint of every trial had been kept, uncompressed."""

    @property
    def disk(self) -> Disk:
        """The two numbers that every record of a study or comparison has."""
        return Disk(bytes=self.bytes, keep_all_bytes=self.keep_all_bytes)


class Importance(Record):
    """How much one parameter decides."""

    path: str
    share: float
    """Of all parameters together; they sum to 1."""
    trials: Count
    """Completed trials that have the parameter."""


class Rescored(Record):
    """A configuration that was trained again with other seeds."""

    number: Count
    """Its trial."""
    seeds: tuple[Count, ...]
    """Of the trial, then of the runs after it."""
    values: tuple[float, ...]
    """Objective on validation, seed by seed; a run that failed is left out of both."""
    mean: float


class EnsembleGain(Record):
    """What the best trials are worth together, on validation rows that chose nothing of it."""

    method: Literal["mean", "weighted", "vote", "soup"]
    trials: tuple[Count, ...]
    """The members; of a soup, those that stayed in it in either half."""
    value: float
    """Objective: chosen on one half of the rows and scored on the other, the mean of both ways."""
    single: float
    """The same for the best member alone."""
    gain: float
    """How much better the ensemble is; below 0: worse."""


class CardWeights(Record):
    """Which weights an exported folder holds."""

    step: Count
    """Optimizer step; 0 for an ensemble."""
    epoch: float = 0.0
    value: float | None = None
    """Objective on validation."""
    unfinished: bool = False
    """Whether training, or the study, may still have found better ones."""


class CardBlend(Record):
    """How the members of an ensemble answer as one."""

    weights: tuple[float, ...]
    cuts: tuple[tuple[float, ...] | None, ...] | None = None


class CardEnsemble(Record):
    """What an ensemble's folder says about its making."""

    method: str
    trials: tuple[Count, ...]
    gain: EnsembleGain | None
    """null where there were too few validation rows to measure it."""


CARD_FORMAT: Final = 2
"""Of `tunery.json`."""


class CardTask(Record):
    """What a model has learned to answer."""

    kind: str
    """`task.kind` of the config."""
    labels: tuple[str, ...] = ()
    """In the order of the model's numbers; empty where it gives none."""
    state: dict[str, Any] | None = None
    """What was fitted on validation besides the model. `thresholds`: probability per label from which it is given."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label stands twice")
        thresholds = (self.state or {}).get("thresholds")
        if thresholds is not None and (
            not isinstance(thresholds, list) or not all(isinstance(part, float | int) for part in thresholds)
        ):
            raise ValueError("thresholds are a list of numbers")
        if thresholds is not None and len(thresholds) != len(self.labels):
            raise ValueError(f"{len(thresholds)} thresholds for {len(self.labels)} labels")
        return self


class ModelCard(Record):
    """`tunery.json`: what an exported folder says about itself."""

    model_config = ConfigDict(extra="ignore")

    format: Annotated[int, Field(ge=1, le=CARD_FORMAT)]
    """Earlier versions wrote none, and `labels` and `thresholds` in place of `task`; theirs are read as format 1."""
    config: dict[str, Any]
    task: CardTask
    data: DataRecord | None = None
    """The rows that it was trained, chosen and scored on; null where an earlier version made it."""
    base: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]+|hub:.+@.+)$")] | None = None
    """Digest of the base that it was trained on; null for an ensemble, whose members have one each."""
    weights: CardWeights
    blend: CardBlend | None = None
    """null for a single model."""
    members: tuple[Annotated[str, Field(pattern=r"^members/[0-9]+$")], ...] = ()
    """Folders of an ensemble's members, within this one."""
    ensemble: CardEnsemble | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "format" in given:
            return given
        told = dict(given)
        kind, state = None, told.pop("thresholds", None)
        if isinstance(told.get("config"), dict) and isinstance(told["config"].get("task"), dict):
            kind = told["config"]["task"].get("kind")
        task = {"kind": kind, "labels": told.pop("labels", None), "state": state and {"thresholds": state}}
        return {**told, "format": 1, "task": task}

    @model_validator(mode="after")
    def _blend_fits(self) -> Self:
        if self.blend is not None and not 0 < len(self.blend.weights) == len(self.members):
            raise ValueError(f"{len(self.blend.weights)} weights for {len(self.members)} members")
        return self


class StudyResult(Record):
    """`study.json`."""

    name: str
    objective: str
    direction: Direction
    best: BestTrial | None
    trials: tuple[TrialRecord, ...]
    counts: dict[str, Count]
    """Trials per status, and `total`."""
    pruned_by_epoch: dict[Count, Count] = {}
    """How many trials were stopped after that many epochs."""
    seconds_saved: float | None = None
    """Estimated seconds that stopping early saved; null without a completed trial to judge by."""
    objectives: tuple[str, ...] = ()
    """The objective, then the costs beside it."""
    scales: dict[str, Literal["linear", "log", "category"]] = {}
    """By parameter: how its range was searched; `category` for a list of choices."""
    front: tuple[Count, ...] = ()
    """With several objectives, the trials that no other beats in one without losing in another."""
    rescored: tuple[Rescored, ...] = ()
    """Best mean first; the first one is the winner."""
    importance: dict[str, tuple[Importance, ...]] = {}
    """By evaluator, `ped_anova` and `fanova`, most important first."""
    ensembles: tuple[EnsembleGain, ...] = ()
    doubts: tuple[str, ...] = ()
    """What makes the winner's scores doubtful; told before the winner is."""
    notes: tuple[str, ...] = ()
    """What else the study has to say of itself: a space that was exhausted, members whose weights were gone."""
    disk: Disk
    seconds: float
    """Sum of the trials' seconds."""
    finished_at: datetime | None = None
    """When this was written, UTC."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("objective", self.objective), ("counts", self.counts))
        yield from [("doubts", self.doubts)] if self.doubts else []
        if self.best is not None:
            test = self.best.test.get(self.objective)
            yield from (("best", self.best.number), ("validation", self.best.value), ("test", test))
        yield "seconds", round(self.seconds, 1)


class Cell(Record):
    """One method trained with one seed."""

    method: str
    """Name of the method as it was asked for."""
    seed: Count
    status: Literal["completed", "failed"]
    value: float | None
    """Objective on test."""
    folder: str
    """Where its records are, within the comparison."""
    reason: str | None = None
    """Why it failed."""
    result: RunResult | None
    """The run's own record; null where it failed before it could write one."""

    @property
    def is_doubtful(self) -> bool:
        """Whether it has completed and its record has notes: what makes its scores doubtful."""
        return self.status == "completed" and self.result is not None and bool(self.result.notes)


class MethodSummary(Record):
    """One method over its seeds. Costs are means over the seeds."""

    method: str
    seeds: Count
    """Completed cells."""
    failed: Count = 0
    mean: float | None
    """Mean objective on test."""
    low: float | None
    """Lower end of the 95 % bootstrap interval of the mean, over seeds and test rows."""
    high: float | None
    """Upper end of that interval."""
    validation: float | None
    """Mean objective on validation, which chose the best epoch of every cell."""
    difference: float | None = None
    """Mean difference to the baseline, over the seeds that both have; null for the baseline."""
    difference_low: float | None = None
    """Lower end of the 95 % interval of the difference."""
    difference_high: float | None = None
    """Upper end of that interval."""
    p_value: float | None = None
    """Two-sided paired test against the baseline; null for the baseline, or with fewer than two seeds in common."""
    significant: bool | None = None
    """Whether the difference holds at 5 % after Holm's correction for the number of methods; null without a test."""
    parameters: Parameters | None
    seconds: float | None
    """Wall-clock seconds of training, validation left out."""
    total_seconds: float | None
    """Wall-clock seconds of the whole run."""
    tokens_per_second: float | None
    """Training tokens of the texts per second of training, padding left out."""
    memory: Memory | None
    """Peak memory of the training process."""
    disk_bytes: float | None
    """Bytes of the exported model."""
    on_pareto_front: bool = False
    """Whether no other method has both a better mean and fewer training seconds."""


class ComparisonResult(Record):
    """`comparison.json`."""

    name: str
    objective: str
    direction: Direction
    baseline: str
    seeds: tuple[Count, ...]
    methods: tuple[MethodSummary, ...]
    """In the order they were asked for."""
    cells: tuple[Cell, ...]
    verdicts: tuple[str, ...]
    """What the numbers say and do not say, in words."""
    best: Cell | None
    """The cell whose model is kept in `best/`: the best on validation."""
    disk: Disk
    seconds: float
    """Sum of the cells' seconds."""
    environment: Environment | None = None
    """Where the cells ran; null where none completed."""
    finished_at: datetime | None = None
    """When this was written, UTC."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("objective", self.objective), ("seeds", self.seeds))
        yield "methods", {method.method: method.mean for method in self.methods}
        yield "verdicts", self.verdicts


class Finding(Record):
    """One thing that `tunery check` has to say."""

    level: Literal["fatal", "warning", "info"]
    code: str
    message: str
    """The rule, the value, the remedy."""
    split: str | None = None
    count: Count | None = None
    examples: Annotated[tuple[str, ...], Field(max_length=5)] = ()


class Prediction(Record):
    """The model's answer for one row."""

    label: str | None
    """The label (classification); null where its probability is below a threshold, and for multilabel."""
    labels: tuple[str, ...]
    """All labels given: at most one for classification, any number for multilabel."""
    confidence: float
    """Probability of the most probable label (classification); for multilabel, that of the least certain of all
    decisions to give or not to give a label."""
    probabilities: dict[str, float]
    """Probability per label; sums to 1 for classification."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from [("labels", self.labels)] if self.label is None else [("label", self.label)]
        yield "confidence", round(self.confidence, 6)
