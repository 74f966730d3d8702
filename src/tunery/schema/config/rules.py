"""The rules between sections; each names the sections it reads as its parameters."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from inspect import signature
from typing import Any

from tunery.errors import Problem, did_you_mean
from tunery.schema.config.data import Data
from tunery.schema.config.data_rules import DATA_RULES
from tunery.schema.config.decision_rules import DECISION_RULES
from tunery.schema.config.freeze import Freeze, FreezeEncoder, FreezeToAdapter, Freezing, NoFreeze, frozen_in_eval
from tunery.schema.config.language_model_rules import LANGUAGE_MODEL_RULES
from tunery.schema.config.loss import AdaptiveFocal, CrossEntropy, Hybrid, Mse
from tunery.schema.config.model import LEARNED_POOLINGS, AutoHead, EvidenceFirst, LinearHead, Model, NativeHead, Pooled
from tunery.schema.config.optim import Adafactor, Optim
from tunery.schema.config.peft import (
    AdaLora,
    BitFit,
    Compacter,
    LayerNormTuning,
    LoraPlus,
    LowRank,
    NoPeft,
    Peft,
    Prefix,
    Probe,
)
from tunery.schema.config.pretrain_rules import PRETRAIN_RULES
from tunery.schema.config.regularization import BackTranslation, MaskedLm, Regularization
from tunery.schema.config.schedule import NoSchedule, Schedule, WarmedUp
from tunery.schema.config.search import COSTS, CmaEs, Search
from tunery.schema.config.task import CriteriaEvidenceTask, RegressionTask, Task
from tunery.schema.config.train import Train
from tunery.schema.reading.fields import written_name
from tunery.schema.results.direction import Direction

Rule = Callable[..., Iterator[Problem]]


def _known_metric(task: Task, path: str, metric: str | None) -> Iterator[Problem]:
    if metric is not None and metric not in task.all_metrics:
        if metric == "cost" and "costs" in type(task).model_fields:
            yield Problem(path, "'cost' is what errors cost, which nothing says; write task.costs, or another metric")
        else:
            meant = did_you_mean(metric, task.all_metrics)
            yield Problem(path, f"{metric!r} is not a metric of task {task.kind!r}; {meant}")


def _objective_exists(task: Task, search: Search) -> Iterator[Problem]:
    names = objectives_of(task, search)
    yield from _known_metric(task, "search.objective", names[0])
    for name in dict.fromkeys(names[1:]):
        if name not in COSTS and name not in task.all_metrics:
            rule = f"after the first metric come other metrics or costs ({', '.join(COSTS)}), but got {name!r}"
            yield Problem("search.objective", f"{rule}; {did_you_mean(name, (*COSTS, *task.all_metrics))}")
        elif names.count(name) > 1:
            yield Problem("search.objective", f"every objective is named once, but got {name!r} twice")


def _sampler_fits_the_objectives(task: Task, search: Search) -> Iterator[Problem]:
    names = objectives_of(task, search)
    if isinstance(search.sampler, CmaEs) and len(names) > 1:
        message = f"'cmaes' is for one objective, but got {', '.join(names)}; take nsga2 or tpe"
        yield Problem("search.sampler.name", message)


def _watched_metric_exists(task: Task, train: Train) -> Iterator[Problem]:
    if train.early_stopping is not None:
        yield from _known_metric(task, "train.early_stopping.metric", train.early_stopping.metric)


def _agrees(task: Task, metric: str, path: str, direction: Direction | None) -> Iterator[Problem]:
    right = task.all_metrics.get(metric)
    if right and direction and direction != right:
        yield Problem(path, f"{metric} gets better when you {right} it; remove the key or write {right!r}")


def _direction_agrees(task: Task, search: Search) -> Iterator[Problem]:
    yield from _agrees(task, objective_of(task, search), "search.direction", search.direction)


def _mode_agrees(task: Task, train: Train, search: Search) -> Iterator[Problem]:
    if (rule := train.early_stopping) is not None:
        watched = rule.metric or objective_of(task, search)
        yield from _agrees(task, watched, "train.early_stopping.mode", rule.mode)


def objective_of(task: Task, search: Search) -> str:
    """Name of the validation metric by which runs are ranked."""
    return objectives_of(task, search)[0]


def objectives_of(task: Task, search: Search) -> tuple[str, ...]:
    """That metric, then the other metrics and the costs that count in a study."""
    given = search.objective or next(iter(task.all_metrics))
    return (given,) if isinstance(given, str) else given


def _freezing_fits_the_method(peft: Peft, freeze: Freeze) -> Iterator[Problem]:
    if isinstance(freeze, FreezeToAdapter):
        if isinstance(peft, NoPeft):
            message = "'adapter' needs a PEFT method, but peft.method is 'full'; take freeze_encoder, or a method"
            yield Problem("freeze.strategy", message)
        if isinstance(peft, LayerNormTuning) and freeze.unfreeze_layernorm:
            yield Problem("freeze.unfreeze_layernorm", "peft.method=layernorm trains the layer norms; remove this key")
    elif not isinstance(peft, NoPeft) and not isinstance(freeze, NoFreeze):
        message = f"{freeze.strategy!r} together with peft.method={peft.method!r}: the method already freezes the "
        yield Problem("freeze.strategy", message + "pretrained weights; take freeze=adapter, or peft.method=full")


def _a_probe_is_linear(model: Model, peft: Peft) -> Iterator[Problem]:
    if isinstance(peft, Probe) and not isinstance(model.head, AutoHead | LinearHead):
        message = f"a probe is one linear layer over pooled tokens, but got {model.head.kind!r}; write auto or linear"
        yield Problem("model.head.kind", message)


def _a_probe_pools_without_parameters(model: Model, peft: Peft) -> Iterator[Problem]:
    head = model.head
    if not isinstance(head, LinearHead) or head.pooling not in LEARNED_POOLINGS:
        return
    if isinstance(peft, Probe) or head.init == "probe":
        message = f"a probe is fitted to tokens that are pooled without parameters, but got {head.pooling!r}; "
        yield Problem("model.head.pooling", message + "take mean, cls or last")


def _evidence_is_read(task: Task, model: Model) -> Iterator[Problem]:
    for key in ("evidence_head", "coupling"):
        value, default = dict(getattr(model, key)), dict(Model.model_fields[key].default)
        wrong = next((name for name in value if value[name] != default.get(name)), None)
        if wrong and not task.reads_evidence:
            message = f"it belongs to tasks that read evidence, but task.kind is {task.kind!r} and got {value[wrong]!r}"
            yield Problem(f"model.{key}.{wrong}", f"{message}; remove it")


def _evidence_needs_a_head_of_tunery(task: Task, model: Model) -> Iterator[Problem]:
    if task.reads_evidence and isinstance(model.head, NativeHead):
        message = f"'native' gives one vector a text, but task.kind {task.kind!r} needs labels and their evidence; "
        yield Problem("model.head.kind", message + "take auto or linear")


def _pooling_has_an_effect(task: Task, model: Model) -> Iterator[Problem]:
    unread = task.reads_evidence and isinstance(model.coupling, EvidenceFirst)
    if unread and isinstance(model.head, Pooled) and model.head.pooling != "mean":
        message = f"model.coupling=evidence_first pools units, so {model.head.pooling!r} would do nothing here; "
        yield Problem("model.head.pooling", message + "remove it, or take model.coupling=coupled")


def _quantization_fits_the_method(model: Model, peft: Peft) -> Iterator[Problem]:
    if model.quantization is not None and not isinstance(peft, LowRank):
        message = f"{model.quantization!r} weights cannot be trained and need a method of the LoRA family, but got "
        message += f"peft.method={written_name(type(peft))!r}; remove it, or take lora"
        yield Problem("model.quantization", message)


def _checkpointing_fits_the_method(peft: Peft, train: Train) -> Iterator[Problem]:
    if isinstance(peft, Prefix) and train.gradient_checkpointing:
        message = "peft.method='prefix' hands over its keys and values in a cache, which layers that run twice do not "
        yield Problem("train.gradient_checkpointing", message + "read; remove this key, or take peft.method=prompt")


def _ranks_shrink(peft: Peft) -> Iterator[Problem]:
    if isinstance(peft, AdaLora):
        if peft.target_r > peft.init_r:
            rule = "`target_r <= init_r` must hold, but got"
            yield Problem("peft.target_r", f"{rule} target_r={peft.target_r}, init_r={peft.init_r}")
        if peft.warmup + peft.settle >= 1:
            rule = "`warmup + settle < 1` must hold, or no step is left to move ranks in, but got"
            yield Problem("peft.settle", f"{rule} warmup={peft.warmup}, settle={peft.settle}")


def _kronecker_factors_fit(peft: Peft) -> Iterator[Problem]:
    if isinstance(peft, Compacter) and peft.bottleneck % peft.phm_dim:
        rule = "`peft.bottleneck` must be a multiple of phm_dim, but got"
        yield Problem("peft.phm_dim", f"{rule} bottleneck={peft.bottleneck}, phm_dim={peft.phm_dim}")


def _own_rate_is_left_alone(optim: Optim) -> Iterator[Problem]:
    if isinstance(optim, Adafactor) and optim.warmup_init and not optim.relative_step:
        yield Problem("optim.warmup_init", "it belongs to `relative_step: true`; write that too, or remove it")
    if optim.sets_its_own_rate:
        rule = "the optimizer sets its own rate with `relative_step: true`; remove this key"
        for key in ("lr", "head_lr", "adapter_lr"):
            if getattr(optim, key) is not None:
                yield Problem(f"optim.{key}", rule)
        if optim.layerwise_lr_decay != 1:
            yield Problem("optim.layerwise_lr_decay", rule)


def _own_rate_has_no_schedule(optim: Optim, schedule: Schedule) -> Iterator[Problem]:
    if optim.sets_its_own_rate and not isinstance(schedule, NoSchedule):
        message = f"the optimizer sets its own rate with `relative_step: true`, but got {schedule.name!r}; "
        yield Problem("schedule.name", message + "write schedule=none")


def _own_rate_is_one_rate(peft: Peft, optim: Optim) -> Iterator[Problem]:
    if optim.sets_its_own_rate and isinstance(peft, LoraPlus):
        message = "'lora_plus' is two learning rates, but the optimizer sets its own with `relative_step: true`; "
        yield Problem("peft.method", message + "take lora, or another optimizer")


def _adapter_rate_has_an_adapter(peft: Peft, optim: Optim) -> Iterator[Problem]:
    if optim.adapter_lr is not None and isinstance(peft, NoPeft | BitFit | LayerNormTuning):
        message = f"peft.method={written_name(type(peft))!r} adds no parameters, so this rate has no effect; "
        yield Problem("optim.adapter_lr", message + "use optim.lr")


def _warmup_is_shorter_than_the_training(schedule: Schedule, train: Train) -> Iterator[Problem]:
    steps = schedule.warmup if isinstance(schedule, WarmedUp) else 0
    if train.max_steps is not None and steps >= 1 and steps >= train.max_steps:
        rule = "the warm-up must be shorter than the training, but got"
        message = f"{rule} {steps} of {train.max_steps} steps (train.max_steps); lower it or train longer"
        yield Problem("schedule.warmup", message)


def _dropout_has_an_effect(peft: Peft, freeze: Freeze, regularization: Regularization) -> Iterator[Problem]:
    remedy = (
        "freeze.eval_mode=false" if isinstance(freeze, Freezing) else "freeze={strategy: adapter, eval_mode: false}"
    )
    for key in _keys_without_effect(peft, freeze):
        if dropout := getattr(regularization, key):
            message = f"frozen layers run without dropout, so {dropout} would do nothing here; remove it, or write "
            yield Problem(f"regularization.{key}", message + remedy)


def _keys_without_effect(peft: Peft, freeze: Freeze) -> tuple[str, ...]:
    """Keys of a dropout that has no effect, because every module that has it runs in eval mode."""
    all_frozen = isinstance(freeze, FreezeEncoder) or not isinstance(peft, NoPeft)
    biases = isinstance(peft, BitFit) or (isinstance(peft, LowRank) and peft.bias == "all")
    if not (all_frozen and frozen_in_eval(freeze, peft)) or biases:
        return ()
    norms = isinstance(peft, LayerNormTuning) or (isinstance(freeze, Freezing) and freeze.unfreeze_layernorm)
    return ("attention_dropout",) if norms else ("encoder_dropout", "attention_dropout")


def _the_network_of_augmentation_runs_where_training_does(
    train: Train, regularization: Regularization
) -> Iterator[Problem]:
    spec = regularization.augmentation
    if isinstance(spec, MaskedLm | BackTranslation) and train.workers:
        message = f"{spec.name!r} runs a network in the process that trains, but got train.workers={train.workers}; "
        yield Problem("regularization.augmentation.name", message + "write train.workers=0")


def _gamma_is_within_its_bounds(task: Task) -> Iterator[Problem]:
    loss = getattr(task, "loss", None)
    if isinstance(loss, AdaptiveFocal):
        yield from _within(loss.gamma, low=loss.gamma_min, high=loss.gamma_max)
    if isinstance(loss, Hybrid) and loss.focal == "adaptive_focal":
        yield from _within(loss.gamma, low=AdaptiveFocal().gamma_min, high=AdaptiveFocal().gamma_max)


def _within(gamma: float, *, low: float, high: float) -> Iterator[Problem]:
    if not low < high:
        message = f"`gamma_min < gamma_max` must hold, but got gamma_min={low:g}, gamma_max={high:g}"
        yield Problem("task.loss.gamma_min", message)
    elif not low <= gamma <= high:
        yield Problem(
            "task.loss.gamma", f"`{low:g} <= gamma <= {high:g}` must hold where it is trained, but got {gamma:g}"
        )


def _hub_data_is_pinned(data: Data) -> Iterator[Problem]:
    if data.dataset is not None and data.revision is None:
        yield Problem("data.revision", "a Hub data set needs the commit to read, so that the run can be repeated")
    if data.dataset is None and data.revision is not None:
        yield Problem("data.revision", "only a Hub data set has a revision; remove it or name data.dataset")


def _a_column_has_one_meaning(task: Task, data: Data) -> Iterator[Problem]:
    """A label column named twice would be two labels, and a model that reads its label learns nothing else."""
    key = task.label_key
    named = None if key is None else getattr(data, key)
    labels = [named] if isinstance(named, str) else [*(named or ())]
    if named == ():
        yield Problem("data.labels", "there must be at least one label column, but the list is empty")
    for column in dict.fromkeys(labels):
        if labels.count(column) > 1:
            yield Problem(f"data.{key}", f"every column is named once, but got {column!r} {labels.count(column)} times")
        if column in (*data.text_columns, data.text_pair):
            yield Problem(
                f"data.{key}", f"the model reads the column {column!r} as its text, so it cannot be the label"
            )
    if data.text_pair in data.text_columns:
        yield Problem("data.text_pair", f"the two texts of a pair are two columns, but got {data.text_pair!r} twice")
    for list_key in ("text", "columns"):
        names = getattr(data, list_key)
        if isinstance(names, tuple):
            if not names:
                yield Problem(f"data.{list_key}", "there must be at least one column, but the list is empty")
            for name in sorted({name for name in names if names.count(name) > 1}):
                message = f"every column is named once, but got {name!r} {names.count(name)} times"
                yield Problem(f"data.{list_key}", message)


def _a_column_of_splits_is_of_one_file(data: Data) -> Iterator[Problem]:
    others = [key for key in ("validation", "test", "dataset") if getattr(data, key) is not None]
    if data.split is not None and others:
        rule = f"the column {data.split!r} says which rows of data.train are of which split, and nothing else can"
        yield Problem("data.split", f"{rule}, but data.{others[0]} is there too; remove one of the two")


def _evidence_is_read_by_the_task(task: Task, data: Data) -> Iterator[Problem]:
    if not task.reads_evidence:
        for key in ("evidence", "rejected", "annotations", "ignore_labels"):
            if getattr(data, key):
                message = f"task {task.kind!r} learns labels without evidence; remove this key, or take "
                yield Problem(f"data.{key}", message + "task.kind=criteria_evidence")
        if data.labels is None:
            yield Problem("data.labels", f"task {task.kind!r} has no evidence to take labels from; name their column")
        return
    if data.evidence is None and data.annotations is None:
        message = f"task {task.kind!r} learns from evidence, but got none; name the column of its spans, or files of "
        yield Problem("data.evidence", message + "annotated sentences as data.annotations")
    if len(data.text_columns) != 1 or data.text_pair is not None:
        key, columns = ("text", data.text) if data.text_pair is None else ("text_pair", data.text_pair)
        message = f"spans are those of one text in one column, but got {columns!r}; join the texts in the file"
        yield Problem(f"data.{key}", message)
    meanings = {"data.text": data.text, "data.evidence": data.evidence, "data.rejected": data.rejected}
    for key, column in [*meanings.items()][1:]:
        same = next((other for other, name in meanings.items() if name == column and other != key), None)
        if column is not None and same is not None:
            yield Problem(key, f"a column has one meaning, but {column!r} is {same} too; name another one")


def _texts_without_labels_are_of_language_models(task: Task, data: Data) -> Iterator[Problem]:
    for key in ("documents", "prompt", "completion", "messages"):
        if getattr(data, key) is not None and key not in task.text_keys:
            kinds = "causal_lm or mlm" if key == "documents" else "causal_lm"
            yield Problem(
                f"data.{key}", f"task {task.kind!r} does not read it; remove this key, or take task.kind={kinds}"
            )
    if task.text_keys and data.text_pair is not None:
        message = f"task {task.kind!r} reads one text of each row, but got a second one; join them: "
        yield Problem("data.text_pair", f"{message}data.text=[{', '.join((*data.text_columns, data.text_pair))}]")


def _a_row_is_a_text_or_a_prompt_or_a_conversation(data: Data) -> Iterator[Problem]:
    for key, other in (("prompt", "completion"), ("completion", "prompt")):
        if getattr(data, key) is not None and getattr(data, other) is None:
            yield Problem(f"data.{other}", f"a prompt comes with its completion; name its column beside data.{key}")
    if data.prompt == ():
        yield Problem("data.prompt", "there must be at least one column, but the list is empty")
    if data.completion in data.prompt_columns:
        yield Problem("data.completion", f"prompt and completion are two columns, but got {data.completion!r} twice")
    if data.between and data.prompt is None:
        message = f"{data.between!r} is put between prompt and completion, but there are none; "
        yield Problem("data.between", message + "remove it, or name their columns")
    for key in ("prompt", "documents"):
        if getattr(data, key) is not None and data.messages is not None:
            message = f"a row is a conversation (data.messages={data.messages}), so this key has no effect; remove it"
            yield Problem(f"data.{key}", message)
    if data.documents is not None and data.prompt is not None:
        message = f"a row is a prompt with its completion (data.prompt={data.prompt}), so this key has no effect; "
        yield Problem("data.documents", message + "remove it")


def _loss_fits_the_labels(task: Task) -> Iterator[Problem]:
    if isinstance(task, CriteriaEvidenceTask) and isinstance(task.loss, CrossEntropy):
        if task.input == "binary_pairs":
            message = "'ce' compares labels with each other, but binary_pairs reads a text with one of them at a time; "
            yield Problem("task.loss.name", message + "take bce, or task.input=multi_label")
        elif not task.exclusive:
            message = "'ce' is for exactly one label a row, but rows may have any number; take bce, or write "
            yield Problem("task.loss.name", message + "task.exclusive=true")


def _levels_have_a_loss_of_their_own(task: Task) -> Iterator[Problem]:
    if isinstance(task, RegressionTask) and task.ordinal and not isinstance(task.loss, Mse):
        message = f"{task.loss.name!r} compares numbers, but task.ordinal=true learns which levels a text is above; "
        yield Problem("task.loss.name", message + "remove it, or write task.ordinal=false")


def _levels_need_a_head_of_tunery(task: Task, model: Model) -> Iterator[Problem]:
    if isinstance(task, RegressionTask) and task.ordinal and isinstance(model.head, NativeHead):
        message = "'native' has weights of its own for each number, but with task.ordinal=true all levels share them; "
        yield Problem("model.head.kind", message + "take auto or linear")


def _smoothing_needs_labels(task: Task, regularization: Regularization) -> Iterator[Problem]:
    if isinstance(task, RegressionTask) and regularization.label_smoothing:
        message = f"numbers have no labels to spread a share over, but got {regularization.label_smoothing}; remove it"
        yield Problem("regularization.label_smoothing", message)


def _a_label_is_described_once(task: Task) -> Iterator[Problem]:
    if isinstance(task, CriteriaEvidenceTask):
        labels = [criterion.label for criterion in task.criteria]
        if repeated := next((label for label in labels if labels.count(label) > 1), None):
            message = f"a label has one description, but {repeated!r} has {labels.count(repeated)}; keep one of them"
            yield Problem("task.criteria", message)
        if blank := next((criterion.label for criterion in task.criteria if not criterion.description.strip()), None):
            message = (
                f"a description says what a label means, but that of {blank!r} is empty; write it, or remove this "
            )
            yield Problem("task.criteria", message + "criterion: its name describes it then")


def _annotations_are_joined_by_id(data: Data) -> Iterator[Problem]:
    if data.annotations is None:
        return
    if not data.annotation_files:
        yield Problem("data.annotations", "there must be at least one file, but the list is empty; remove this key")
    if data.id is None:
        message = "annotated sentences are joined with rows by the id of the post; name its column in the rows"
        yield Problem("data.id", f"{message}: data.id=post_id")
    for key in ("evidence", "rejected"):
        if (column := getattr(data, key)) is not None:
            message = f"evidence is in columns or in data.annotations, but got both ({column!r}); remove one of the two"
            yield Problem(f"data.{key}", message)
    if data.labels not in (None, Data.model_fields["labels"].default):
        yield Problem("data.labels", f"labels are those of data.annotations, but got {data.labels!r}; remove this key")


RULES: tuple[Rule, ...] = (
    _objective_exists,
    _sampler_fits_the_objectives,
    _direction_agrees,
    _watched_metric_exists,
    _freezing_fits_the_method,
    _a_probe_is_linear,
    _a_probe_pools_without_parameters,
    _evidence_is_read,
    _evidence_needs_a_head_of_tunery,
    *DATA_RULES,
    *LANGUAGE_MODEL_RULES,
    *PRETRAIN_RULES,
    _pooling_has_an_effect,
    _quantization_fits_the_method,
    _checkpointing_fits_the_method,
    _ranks_shrink,
    _kronecker_factors_fit,
    _mode_agrees,
    _own_rate_is_left_alone,
    _own_rate_has_no_schedule,
    _own_rate_is_one_rate,
    _adapter_rate_has_an_adapter,
    _warmup_is_shorter_than_the_training,
    _dropout_has_an_effect,
    _the_network_of_augmentation_runs_where_training_does,
    _gamma_is_within_its_bounds,
    _hub_data_is_pinned,
    _a_column_has_one_meaning,
    _a_column_of_splits_is_of_one_file,
    _texts_without_labels_are_of_language_models,
    _a_row_is_a_text_or_a_prompt_or_a_conversation,
    _loss_fits_the_labels,
    _evidence_is_read_by_the_task,
    _levels_have_a_loss_of_their_own,
    _levels_need_a_head_of_tunery,
    _smoothing_needs_labels,
    *DECISION_RULES,
    _a_label_is_described_once,
    _annotations_are_joined_by_id,
)


@cache
def sections_read(rule: Rule) -> tuple[str, ...]:
    """Names of the sections that a rule reads."""
    return tuple(signature(rule).parameters)


def broken_rules(sections: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems between those sections that are there; a rule that reads a missing section is skipped."""
    for rule in RULES:
        names = sections_read(rule)
        if all(name in sections for name in names):
            yield from rule(*(sections[name] for name in names))
