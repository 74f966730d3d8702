"""What is to be learned: the tasks, and what they ask of a model."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field

from tunery.schema.config.decision import CalibrationMethod, CostMatrix, Costs, PerLabelThreshold, Threshold
from tunery.schema.config.loss import Bce, CrossEntropy, Mse, MultiLabelLoss, NumberLoss, SingleLabelLoss
from tunery.schema.results.direction import Metrics
from tunery.schema.spec import Choices, Range, Spec


class TaskSpec(Spec):
    """What every task says of itself."""

    metrics: ClassVar[Metrics]
    """Of every task of this kind."""
    main_metrics: ClassVar[tuple[str, ...] | None] = None
    """Those that a terminal shows of a run beside its objective, where all would be too many; None: all."""
    training_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that only training reads: the rows do not depend on them."""
    decision_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that a finished model may be given anew, because they say how it decides and not what it learns."""
    reads_evidence: ClassVar[bool] = False
    """Whether a row's labels come with the spans of its text that are evidence of them."""
    text_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of `data` that say where texts without labels are; none where a row has a label."""
    kind: str

    @property
    def all_metrics(self) -> Metrics:
        """Those that this task is scored by: `metrics`, and `cost` where it says what errors cost."""
        return {**self.metrics, "cost": "minimize"} if getattr(self, "costs", None) is not None else self.metrics

    @property
    def label_key(self) -> str | None:
        """Key of `data` with the column, or columns, of its labels; None: it has none."""
        return None

    def without_training_keys(self) -> Self:
        """The same task with the defaults of all keys that the rows do not depend on."""
        return self.model_copy(update={key: type(self).model_fields[key].default for key in self.training_keys})


class ClassificationTask(TaskSpec):
    """One text, or a pair of texts, gets exactly one label."""

    metrics: ClassVar[Metrics] = {
        "f1_macro": "maximize",
        "accuracy": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "mcc": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "ece": "minimize",
        "brier": "minimize",
        "loss": "minimize",
    }
    training_keys: ClassVar[tuple[str, ...]] = ("loss",)
    decision_keys: ClassVar[tuple[str, ...]] = ("calibration", "costs")
    kind: Literal["classification"] = "classification"
    loss: SingleLabelLoss = CrossEntropy()
    """What training minimises."""
    calibration: CalibrationMethod = "temperature"
    """What is fitted on validation so that probabilities are as often right as they say: one number that logits are
    divided by, or, by `vector`, a factor and a bias for each label. It is left out where it does not lower the loss of
    rows that it was not fitted to. `vector` may change answers, `temperature` does not unless there are `costs`."""
    costs: CostMatrix | None = None
    """What it costs to tell one label where another is true: `{true: {told: cost}}`, for every two labels. The label
    with the lowest expected cost is told then (Elkan 2001), and the mean cost of a row is the metric `cost`. Null: the
    most probable label."""

    @property
    def label_key(self) -> str:
        """The column of the label."""
        return "label"


class MultilabelTask(TaskSpec):
    """One text, or a pair of texts, gets any number of labels."""

    metrics: ClassVar[Metrics] = {
        "f1_macro": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "subset_accuracy": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "ece": "minimize",
        "brier": "minimize",
        "loss": "minimize",
    }
    training_keys: ClassVar[tuple[str, ...]] = ("loss",)
    decision_keys: ClassVar[tuple[str, ...]] = ("threshold", "calibration", "costs")
    kind: Literal["multilabel"] = "multilabel"
    loss: MultiLabelLoss = Bce()
    """What training minimises."""
    threshold: Threshold = PerLabelThreshold()
    """Probability from which a label is given: found on validation only, or a number."""
    calibration: CalibrationMethod = "temperature"
    """What is fitted on validation, as for `classification`; thresholds are of probabilities after it."""
    costs: Costs | None = None
    """What a missed label and a wrong one cost: thresholds follow from that, in place of `threshold`, and the mean cost
    of a row is the metric `cost`."""

    @property
    def label_key(self) -> str:
        """The column, or columns, of the labels."""
        return "labels"


class Criterion(Spec):
    """What a label means, in words that the model reads."""

    label: str
    """Its name in the data."""
    description: str
    """What has to be so for it to be given."""


class EvidenceDecision(Spec):
    """From which probability on something is evidence; `tuned`: found on validation only, both together."""

    null_threshold: Annotated[float, Field(ge=0, le=1)] | Literal["tuned"] = "tuned"
    """Probability of the best word or sentence below which a label that is given has no evidence."""
    min_span_score: Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"] = "tuned"
    """Probability from which a word or sentence is evidence."""


class CriteriaEvidenceTask(TaskSpec):
    """A text gets labels, any number of them or exactly one, and the spans that are the evidence of each."""

    metrics: ClassVar[Metrics] = {
        "f1_macro": "maximize",
        "joint": "maximize",
        "f1_micro": "maximize",
        "f1_weighted": "maximize",
        "subset_accuracy": "maximize",
        "roc_auc": "maximize",
        "pr_auc": "maximize",
        "evidence_auprc": "maximize",
        "evidence_token_f1": "maximize",
        "evidence_token_precision": "maximize",
        "evidence_token_recall": "maximize",
        "evidence_token_f1_micro": "maximize",
        "evidence_iou_f1": "maximize",
        "evidence_char_f1": "maximize",
        "evidence_exact": "maximize",
        "evidence_null_accuracy": "maximize",
        "evidence_hit_at_1": "maximize",
        "evidence_ndcg_at_10": "maximize",
        "ece": "minimize",
        "brier": "minimize",
        "loss": "minimize",
    }
    main_metrics: ClassVar[tuple[str, ...]] = (
        "f1_macro",
        "joint",
        "subset_accuracy",
        "evidence_auprc",
        "evidence_token_f1",
        "evidence_token_precision",
        "evidence_token_recall",
        "evidence_hit_at_1",
        "evidence_comprehensiveness",
        "evidence_sufficiency",
        "loss",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("loss", "lambda_class", "lambda_span")
    decision_keys: ClassVar[tuple[str, ...]] = ("threshold", "calibration", "costs", "evidence")
    reads_evidence: ClassVar[bool] = True
    kind: Literal["criteria_evidence"] = "criteria_evidence"
    exclusive: bool = False
    """Every row has exactly one label (the column `data.label`), and the most probable one is given; else any number
    (`data.labels`), each from its threshold."""
    criteria: tuple[Criterion, ...] = ()
    """Descriptions of labels; one without is described by its name. With `input: multi_label` the model begins with
    them, with `binary_pairs` it reads one before each text."""
    input: Annotated[Literal["multi_label", "binary_pairs"], Choices(("multi_label", "binary_pairs"))] = "multi_label"
    """`multi_label`: a text is read once, for all labels. `binary_pairs`: it is read with the description of each label
    in turn, which takes as many times as long."""
    unit: Literal["auto", "token", "sentence"] = "auto"
    """What evidence is decided of: words (`token`) or whole sentences. `auto`: sentences where 95 % of the spans in the
    training rows are whole sentences."""
    annotation: Literal["auto", "exhaustive", "partial"] = "auto"
    """Whether all evidence is marked. With `partial`, what is unmarked counts less as something that is no evidence.
    `auto`: `partial` where every text has one label (`exclusive`) and less than 15 % of the characters of texts with
    evidence are marked."""
    stride: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Tokens that two neighbouring windows of a long text share; null: a quarter of `model.max_length`."""
    loss: SingleLabelLoss = Bce()
    """What training minimises for the labels."""
    lambda_class: Annotated[float, Field(ge=0, le=1000), Range(0.5, 2.0)] = 1.0
    """Weight of the loss of the labels."""
    lambda_span: Annotated[float, Field(ge=0, le=1000), Range(0.5, 2.0)] = 1.0
    """Weight of the loss of the evidence."""
    threshold: Threshold = PerLabelThreshold()
    """Probability from which a label is given, as for `multilabel`; not with `exclusive`."""
    calibration: CalibrationMethod = "temperature"
    """What is fitted on validation, as for `classification`; of the labels alone, not of their evidence."""
    costs: Costs | None = None
    """What a missed label and a wrong one cost, as for `multilabel`; not with `exclusive`."""
    evidence: EvidenceDecision = EvidenceDecision()
    """From when on something is evidence."""

    @property
    def label_key(self) -> str:
        """The column of the label, or of the labels."""
        return "label" if self.exclusive else "labels"


class LanguageModelTask(TaskSpec):
    """Tokens of a text are to be told, by the head that a model was pretrained with."""


class CausalLmTask(LanguageModelTask):
    """Text goes on: a model that reads from left to right learns to tell the next token."""

    metrics: ClassVar[Metrics] = {
        "perplexity": "minimize",
        "bits_per_byte": "minimize",
        "accuracy": "maximize",
        "loss": "minimize",
    }
    text_keys: ClassVar[tuple[str, ...]] = ("documents", "prompt", "completion", "messages")
    kind: Literal["causal_lm"] = "causal_lm"
    packing: bool = True
    """Short texts share one sequence of up to `model.max_length` tokens in training, and none sees another."""
    stride: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Tokens that two neighbouring windows of a long text share where it is scored: the later one has them as context
    and is not scored on them again. Null: half of `model.max_length`."""
    completion_only: bool = True
    """Where rows have a completion, or messages of an assistant, these alone are learned and scored, and the rest is
    read; false: all of it is."""


class MlmTask(LanguageModelTask):
    """Tokens of a text are hidden, and a model that reads in both directions learns to tell them."""

    metrics: ClassVar[Metrics] = {"loss": "minimize", "accuracy": "maximize"}
    main_metrics: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "pseudo_perplexity")
    text_keys: ClassVar[tuple[str, ...]] = ("documents",)
    training_keys: ClassVar[tuple[str, ...]] = ("masking", "probability")
    kind: Literal["mlm"] = "mlm"
    masking: Annotated[Literal["token", "whole_word", "span"], Choices(("token", "whole_word", "span"))] = "token"
    """What is hidden together in training: single tokens; whole words; or spans of up to ten words (SpanBERT). Texts
    are scored with single tokens, 15 % of them, whatever this and `probability` say, so that runs compare."""
    probability: Annotated[float, Field(ge=0.01, le=0.8), Range(0.15, 0.4)] = 0.15
    """Share of the tokens that are to be told in training. Of ten of them, eight are hidden by the mask token, one is
    replaced by any token, and one stays as it is."""


class RegressionTask(TaskSpec):
    """One text, or a pair of texts, gets a number: any, or one of a few levels such as 1 to 5 stars."""

    metrics: ClassVar[Metrics] = {
        "spearman": "maximize",
        "pearson": "maximize",
        "r2": "maximize",
        "mse": "minimize",
        "mae": "minimize",
        "loss": "minimize",
    }
    main_metrics: ClassVar[tuple[str, ...]] = (
        "spearman",
        "pearson",
        "r2",
        "mse",
        "mae",
        "interval_coverage",
        "interval_width",
        "loss",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("loss",)
    kind: Literal["regression"] = "regression"
    ordinal: bool = False
    """The numbers are levels in an order: the model learns for each level how probable it is that a text is above it
    (CORAL: Cao, Mirjalili & Raschka 2020, arXiv 1901.07884), and answers one of them."""
    loss: NumberLoss = Mse()
    """What training minimises, of numbers in standard deviations of the training numbers; not with `ordinal`."""
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of new rows whose number should lie in its interval, which validation rows make so wide (split conformal
    prediction: Lei et al. 2018, arXiv 1604.04173)."""

    @property
    def label_key(self) -> str:
        """The column of the number."""
        return "label"


Task = Annotated[
    ClassificationTask | MultilabelTask | CriteriaEvidenceTask | RegressionTask | CausalLmTask | MlmTask,
    Field(discriminator="kind"),
]


def main_metrics(kind: str | None) -> tuple[str, ...] | None:
    """Those of a kind of task, as a record has it."""
    specs: tuple[type[TaskSpec], ...] = get_args(get_args(Task)[0])
    return next((spec.main_metrics for spec in specs if spec.model_fields["kind"].default == kind), None)


class LabelOutput(Spec):
    """One vector a text: a number for each label."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""
    problem: Literal["single_label", "multi_label"]
    """`single_label`: softmax over the labels. `multi_label`: one sigmoid per label."""


class TokenOutput(Spec):
    """One vector a token: a number for each label."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""


class CriteriaOutput(Spec):
    """For each text a number for each label, and for each of its units (words, sentences) a number for each label: is
    it the label's evidence? Answered by the names `labels` (texts, labels), `units` (texts, units, labels), and what
    else `model.evidence_head` is trained by."""

    labels: tuple[str, ...]
    """Label names, in the order of the numbers."""
    descriptions: tuple[str, ...] | None = None
    """What each label means, in the same order; None: as its name says."""
    exclusive: bool = False
    """Every text has exactly one label: softmax over the labels in place of one sigmoid per label."""
    neighbours: int = 0
    """Units on each side that belong to the same evidence, as a rule."""

    @property
    def problem(self) -> Literal["single_label", "multi_label"]:
        """As of `LabelOutput`."""
        return "single_label" if self.exclusive else "multi_label"


class VocabularyOutput(Spec):
    """For each token to be told, how likely the model finds it: `token_loss` (features, tokens) float32, minus the
    logarithm of its probability, and `token_hits` (features, tokens) bool, whether it is the likeliest; 0 where nothing
    is to be told. The module reads `targets` (features, tokens) int64 beside the tokens: what is to be told at each
    place, -100: nothing."""

    direction: Literal["causal", "masked"]
    """`causal`: at each place the next token, from those up to this one. `masked`: the token of the place itself, from
    those around it."""
    packed: bool = False
    """Whether several texts may share a row in training: `segments` (features, tokens) int64 says then which text a
    token is of, and no token sees one of another text."""


class NumberOutput(Spec):
    """One number a text: (texts, 1)."""

    labels: tuple[str, ...] = ("number",)
    """What transformers calls its only number."""
    problem: Literal["number"] = "number"


class LevelOutput(Spec):
    """One vector a text: for each level but the highest the log odds that the text is above it. They differ by an
    offset alone, and fall from level to level: (texts, levels - 1)."""

    labels: tuple[str, ...]
    """Names of the levels, the lowest first."""


Output = LabelOutput | TokenOutput | CriteriaOutput | NumberOutput | LevelOutput | VocabularyOutput
Outputs = Mapping[str, Output]
"""What a task asks of the model, by name. The tasks room makes it, the model room reads it."""
