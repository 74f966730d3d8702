"""Every problem of a config at once, each with its path; every message has its text here."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from tunery.errors import ConfigError
from tunery.schema import load_config, load_document
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import normalise, override, read_document, validate
from tunery.schema.reading.fields import members, tag_of, written_name
from tunery.schema.space.sampled import with_domains
from tunery.schema.spec import Choices

BASE: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}


@pytest.mark.parametrize("peft", ["full", {"method": "full"}, "none", {"method": "none"}])
def test_full_fine_tuning_is_written_full_or_as_records_have_it(peft: Any) -> None:
    for config in (validate({**BASE, "peft": peft}), RunConfig(**BASE, peft=peft)):
        assert config.peft == NoPeft() and config.model_dump(mode="json")["peft"] == {"method": "none"}


@pytest.mark.parametrize("name", ["full", "none"])
def test_full_fine_tuning_is_taken_by_overrides_and_among_choices(name: str) -> None:
    lora = {**BASE, "peft": {"method": "lora", "r": Lora().r}}
    assert (
        override(lora, [f"peft.method={name}"])["peft"]
        == override(lora, [f"peft={name}"])["peft"]
        == {"method": "none"}
    )
    for given in ({"method": [name, "lora"]}, [name, "lora"], {"method": Choices((name, "lora")), name: {}}):
        assert with_domains({**BASE, "peft": given})["peft"]["method"] == Choices(("none", "lora"))


def problems(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate({**BASE, **sections})
    return [str(problem) for problem in caught.value.problems]


KINDS = ", ".join(sorted(members(RunConfig.model_fields["task"])))
METHODS = ", ".join(sorted(map(written_name, members(RunConfig.model_fields["peft"]).values())))
RELATIVE = {"name": "adafactor", "relative_step": True}
ONE_PROBLEM: list[tuple[dict[str, Any], str]] = [
    # names
    ({"lr": 1e-4}, "lr: unknown section; did you mean optim.lr or pretrain.lr?"),
    ({"tracking": "tensorboard"}, "tracking: must be a list; write [tensorboard]"),
    ({"tracking": {"name": 0}}, "tracking: must be a list, each a mapping, but got {'name': 0}"),
    (
        {"schedule": {"power": 2}},
        "schedule.name: required, because power belongs to polynomial; write",
    ),
    (
        {"model": {"head": {"pooling": "mean"}}},
        "model.head.kind: required, because pooling belongs to linear or mlp or mlp_residual or",
    ),
    (
        {"optim": {"name": "adamw", "momentum": 0.9}},
        "optim.momentum: this key belongs to sgd_momentum, not to 'adamw';",
    ),
    ({"optm": {}}, "optm: unknown section; did you mean 'optim'?"),
    ({"optim": {"lrr": 1}}, "optim.lrr: unknown key; did you mean 'lr'?"),
    ({"optim": {1: 2}}, "optim.1: unknown key; choose from: adapter_lr, betas, eps, head_lr, lay"),
    ({"model": {"head": {"kind": "mlp", "hiden": 3}}}, "model.head.hiden: unknown key; did you mean 'hidden'?"),
    ({"peft": "lorra"}, "peft.method: unknown choice 'lorra'; did you mean 'lora'?"),
    ({"peft": {"method": 3}}, f"peft.method: unknown choice 3; choose from: {METHODS}"),
    ({"peft": {"method": ["a", {}]}}, f"peft.method: unknown choice ['a', {{}}]; choose from: {METHODS}"),
    ({"peft": {"method": "lora", "bias": "nonee"}}, "peft.bias: unknown choice 'nonee'; did you mean 'none'?"),
    ({"peft": {"method": "lora", "target": ["query", "valu"]}}, "peft.target.1: unknown choice 'valu'; did you mean"),
    ({"tracking": ["tensorbord"]}, "tracking.0.kind: unknown choice 'tensorbord'; did you mean 'tensorboard'?"),
    (
        {"peft": {"method": "none", "r": 8}},
        "peft.r: this key belongs to dora, lora, lora_plus, rslora, not to 'full'; remove it, or replace all of peft: ",
    ),
    # values
    ({"optim": {"lr": "abc"}}, "optim.lr: must be a number > 0 and <= 1,000, or null, but got 'abc'"),
    ({"optim": {"lr": -0.001}}, "optim.lr: must be greater than 0, but got -0.001"),
    ({"optim": {"eps": float("inf")}}, "optim.eps: must be a finite number, but got inf"),
    ({"optim": {"betas": [0.9, 1]}}, "optim.betas.1: must be less than 1, but got 1"),
    ({"optim": {"betas": [0.9]}}, "optim.betas: must be a list of 2, each a number >= 0 and < 1, but got [0.9]"),
    ({"peft": {"method": "lora", "target": []}}, "peft.target: must be a list of at least 1, each one of query, key"),
    ({"train": {"epochs": 2.5}}, "train.epochs: must be a whole number >= 1 and <= 100, or auto, but got 2.5"),
    ({"train": {"epochs": True}}, "train.epochs: must be a whole number >= 1 and <= 100, or auto, but got true"),
    ({"train": {"epochs": None}}, "train.epochs: must be a whole number >= 1 and <= 100, or auto, but got null"),
    ({"name": 5}, "name: must be a string, but got 5"),
    ({"model": {"trust_remote_code": "perhaps"}}, "model.trust_remote_code: must be true or false, but got 'perhaps'"),
    (
        {"task": {"kind": "multilabel", "threshold": 2}},
        "task.threshold.value: must be a number > 0 and < 1, or a mapping of labels, but got 2",
    ),
    (
        {"data": {"train": "a", "labels": [1]}},
        "data.labels: must be a string, or a list, each a string, or null, but got [1]",
    ),
    ({"optim": {"name": "sgd", "momentum": 0.9}}, "optim.momentum: this key belongs to sgd_momentum, not to 'sgd'; re"),
    (
        {"schedule": {"name": "linear", "gamma": 0.9}},
        "schedule.gamma: this key belongs to exponential, not to 'linear'",
    ),
    (
        {"checkpoint": {"max_disk": "20 parsecs"}},
        "checkpoint.max_disk: must be a size above 0 and up to 1,000,000 TB such as 500MB or 20GB, or a number",
    ),
    ({"checkpoint": {"max_disk": "0GB"}}, "checkpoint.max_disk: must be greater than 0, but got '0GB'"),
    (
        {"checkpoint": {"every": 0}},
        "checkpoint.every: must be epoch, or a whole number >= 1 and <= 1,000,000,000, but got 0",
    ),
    ({"checkpoint": {"low_disk": "evictt"}}, "checkpoint.low_disk: unknown choice 'evictt'; did you mean 'evict'?"),
    (
        {"schedule": {"warmup": 1.5}},
        "schedule.warmup: must be a whole number >= 1 and <= 1,000,000,000, or a number >= 0 and < 1, but got 1.5",
    ),
    ({"optim": {"no_decay": ["biases"]}}, "optim.no_decay.0: unknown choice 'biases'; did you mean 'bias'?"),
    ({"task": {"kind": "multilabel", "loss": "ce"}}, "task.loss.name: unknown choice 'ce'; did you mean 'bce'?"),
    (
        {"task": {"kind": "criteria_evidence", "loss": "ce"}, "data": {"train": "a", "evidence": "b"}},
        "task.loss.name: 'ce' is for exactly one label a row",
    ),
    (
        {
            "task": {"kind": "criteria_evidence", "loss": "ce", "exclusive": True, "input": "binary_pairs"},
            "data": {"train": "a", "evidence": "b"},
        },
        "task.loss.name: 'ce' compares labels with each other",
    ),
    (
        {
            "task": {"kind": "criteria_evidence", "criteria": [{"label": "A", "description": d} for d in "xy"]},
            "data": {"train": "a", "evidence": "b"},
        },
        "task.criteria: a label has one description, but 'A' has 2",
    ),
    (
        {
            "task": {"kind": "criteria_evidence", "criteria": [{"label": "A", "description": " "}]},
            "data": {"train": "a", "evidence": "b"},
        },
        "task.criteria: a description says what a label means, but that of 'A' is empty",
    ),
    # language models
    (
        {"task": {"kind": "causal_lm"}, "model": {"head": "mlp"}},
        "model.head.kind: task.kind='causal_lm' uses the head that the model was pretrained with, but got 'mlp'",
    ),
    (
        {"task": {"kind": "mlm"}, "peft": "tfidf"},
        "peft.method: 'tfidf' tells labels apart, but task.kind='mlm' has none; take lora",
    ),
    (
        {"task": {"kind": "mlm"}, "freeze": "freeze_encoder"},
        "freeze.strategy: 'freeze_encoder' trains a new head alone, but task.kind='mlm' uses the pretrained one",
    ),
    (
        {"task": {"kind": "causal_lm"}, "peft": "prompt"},
        "peft.method: 'prompt' puts virtual tokens before a row, which texts that share one do not go with; write "
        "task.packing=false",
    ),
    (
        {"task": {"kind": "mlm"}, "regularization": {"token_dropout": 0.1}},
        "regularization.token_dropout: task.kind='mlm' does not take it, since what is hidden is what is to be told",
    ),
    (
        {"task": {"kind": "causal_lm"}, "regularization": {"augmentation": "swap"}},
        "regularization.augmentation.name: changed texts would be learned by task.kind='causal_lm' as they are",
    ),
    # shapes
    ({"task": {}}, f"task.kind: required; choose from: {KINDS}"),
    (
        {"task": None},
        f"task: must be a mapping of keys or one of {KINDS}, but got null",
    ),
    ({"data": {}}, "data.train: this key is required"),
    ({"data": None}, "data: must be a mapping of keys, but got null"),
    ({"data": "train.csv"}, "data: must be a mapping of keys, but got 'train.csv'"),
    ({"train": None}, "train: must be a mapping of keys, but got null; remove the line to take the defaults"),
    ({"peft": 3}, f"peft: must be a mapping of keys or one of {METHODS}, but got 3"),
    ({"peft": {}, "task": {}}, f"task.kind: required; choose from: {KINDS}"),
    (
        {"peft": {"r": 4}},
        "peft.method: required, because r belongs to lora or lora_plus or dora or rslora; "
        "write, for example peft.method=lora",
    ),
    ({"tracking": "tensorboard"}, "tracking: must be a list"),
    # ranges have no place in one run
    (
        {"optim": {"lr": {"low": 1, "high": 2}}},
        "optim.lr: a range or a list of choices is for a study; write one value, or use",
    ),
    ({"optim": {"lr": {"low": 3, "high": 1}}}, "optim.lr: `low <= high` must hold for two numbers, but got low=3, hig"),
    # rules between sections
    (
        {"train": {"early_stopping": {"mode": "minimize"}}},
        "train.early_stopping.mode: f1_macro gets better when you max",
    ),
    (
        {"optim": {"name": "adafactor", "warmup_init": True}},
        "optim.warmup_init: it belongs to `relative_step: true`; write that too, or remove it",
    ),
    (
        {"optim": {**RELATIVE, "lr": 0.1}, "schedule": "none"},
        "optim.lr: the optimizer sets its own rate with `relative_step: true`; remove this key",
    ),
    (
        {"optim": RELATIVE},
        "schedule.name: the optimizer sets its own rate with `relative_step: true`, but got 'linear'; wr",
    ),
    (
        {"optim": RELATIVE, "schedule": "none", "peft": "lora_plus"},
        "peft.method: 'lora_plus' is two learning rates, but the optimizer sets its own with `relative_step: true`; ta",
    ),
    (
        {"optim": {"adapter_lr": 0.1}},
        "optim.adapter_lr: peft.method='full' adds no parameters, so this rate has no",
    ),
    (
        {"peft": "lora", "regularization": {"encoder_dropout": 0.1, "head_dropout": 0.1}},
        "regularization.encoder_dropout: frozen layers run without dropout, so 0.1 would do nothing here; remove it",
    ),
    (
        {
            "freeze": {"strategy": "freeze_encoder", "unfreeze_layernorm": True},
            "regularization": {"attention_dropout": 0.1},
        },
        "regularization.attention_dropout: frozen layers run without dropout, so 0.1 would do nothing here; remove it",
    ),
    (
        {"schedule": {"name": "linear", "warmup": 30}, "train": {"max_steps": 20}},
        "schedule.warmup: the warm-up must be shorter than the training, but got 30 of 20 steps (train.max_steps); lo",
    ),
    (
        {"task": {"kind": "classification", "loss": {"name": "adaptive_focal", "gamma": 7}}},
        "task.loss.gamma: `1 <= gamma <= 5` must hold where it is trained, but got 7",
    ),
    (
        {"task": {"kind": "classification", "loss": {"name": "adaptive_focal", "gamma_min": 5}}},
        "task.loss.gamma_min: `gamma_min < gamma_max` must hold, but got gamma_min=5, gamma_max=5",
    ),
    ({"search": {"objective": "f1"}}, "search.objective: 'f1' is not a metric of task 'classification'; choose from"),
    ({"search": {"objective": "los"}}, "search.objective: 'los' is not a metric of task 'classification'; did you m"),
    (
        {"search": {"objective": ["loss", "acuracy"]}},
        "search.objective: after the first metric come other metrics or costs (memory, seconds, parameters, disk), "
        "but got 'acuracy'; did you mean 'accuracy'",
    ),
    (
        {"search": {"objective": ["loss", "loss"]}},
        "search.objective: every objective is named once, but got 'loss' twic",
    ),
    ({"search": {"direction": "minimize"}}, "search.direction: f1_macro gets better when you maximize it; remove"),
    ({"train": {"early_stopping": {"metric": "f1"}}}, "train.early_stopping.metric: 'f1' is not a metric of task"),
    ({"data": {"train": "train", "dataset": "a/b"}}, "data.revision: a Hub data set needs the commit to read"),
    ({"data": {"train": "train", "revision": "c"}}, "data.revision: only a Hub data set has a revision; remove it"),
    (
        {"task": {"kind": "multilabel"}, "data": {"train": "a", "labels": ["b", "c", "b"]}},
        "data.labels: every column is named once, but got 'b' 2 times",
    ),
    ({"task": {"kind": "multilabel"}, "data": {"train": "a", "labels": []}}, "data.labels: there must be at least one"),
    ({"data": {"train": "a", "label": "text"}}, "data.label: the model reads the column 'text' as its text"),
    ({"data": {"train": "a", "text_pair": "text"}}, "data.text_pair: the two texts of a pair are two columns"),
    (
        {"data": {"train": "a", "documents": "line"}},
        "data.documents: task 'classification' does not read it; remove this key, or take task.kind=causal_lm or mlm",
    ),
    (
        {"task": "mlm", "data": {"train": "a", "messages": "chat"}},
        "data.messages: task 'mlm' does not read it; remove this key, or take task.kind=causal_lm",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "text_pair": "b"}},
        "data.text_pair: task 'causal_lm' reads one text of each row, but got a second one; join them: data.text=",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "completion": "b"}},
        "data.prompt: a prompt comes with its completion; name its column beside data.completion",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "prompt": "b", "completion": "b"}},
        "data.completion: prompt and completion are two columns, but got 'b' twice",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "prompt": [], "completion": "b"}},
        "data.prompt: there must be at least one column, but the list is empty",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "between": "\n"}},
        "data.between: '\\n' is put between prompt and completion, but there are none; remove it, or name",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "messages": "b", "documents": "line"}},
        "data.documents: a row is a conversation (data.messages=b), so this key has no effect; remove it",
    ),
    (
        {"task": "causal_lm", "data": {"train": "a", "prompt": "b", "completion": "c", "documents": "line"}},
        "data.documents: a row is a prompt with its completion (data.prompt=b), so this key has no effect; remove it",
    ),
    (
        {"peft": "lora", "freeze": "freeze_encoder"},
        "freeze.strategy: 'freeze_encoder' together with peft.method='lora': the method already freezes",
    ),
    ({"freeze": "adapter"}, "freeze.strategy: 'adapter' needs a PEFT method, but peft.method is 'full'"),
    (
        {"peft": "layernorm", "freeze": {"strategy": "adapter", "unfreeze_layernorm": True}},
        "freeze.unfreeze_layernorm: peft.method=layernorm trains the layer norms; remove this key",
    ),
    (
        {"model": {"coupling": "independent"}},
        "model.coupling.kind: it belongs to tasks that read evidence, but task.kind is 'classification' and got 'indep",
    ),
    (
        {"model": {"head": {"kind": "linear", "pooling": "attention", "init": "probe"}}},
        "model.head.pooling: a probe is fitted to tokens that are pooled without parameters, but got 'attention'; take",
    ),
    (
        {
            "task": "criteria_evidence",
            "data": {"train": "a", "evidence": "spans"},
            "model": {"head": {"kind": "mlp", "pooling": "last"}},
        },
        "model.head.pooling: model.coupling=evidence_first pools units, so 'last' would do nothing here; remove it, or",
    ),
    (
        {"task": "criteria_evidence", "data": {"train": "a", "evidence": "spans"}, "model": {"head": "native"}},
        "model.head.kind: 'native' gives one vector a text, but task.kind 'criteria_evidence' needs labels and their e",
    ),
    (
        {"model": {"quantization": "nf4"}, "peft": "ia3"},
        "model.quantization: 'nf4' weights cannot be trained and need a method of the LoRA family, but got",
    ),
    (
        {"peft": {"method": "adalora", "init_r": 4, "target_r": 8}},
        "peft.target_r: `target_r <= init_r` must hold, but got target_r=8, init_r=4",
    ),
    (
        {"peft": {"method": "adalora", "warmup": 0.5, "settle": 0.5}},
        "peft.settle: `warmup + settle < 1` must hold, or no step is left to move ranks in, but got warmup=0.5",
    ),
    (
        {"peft": {"method": "compacter", "bottleneck": 30}},
        "peft.phm_dim: `peft.bottleneck` must be a multiple of phm_dim, but got bottleneck=30, phm_dim=4",
    ),
    (
        {"peft": "prefix", "train": {"gradient_checkpointing": True}},
        "train.gradient_checkpointing: peft.method='prefix' hands over its keys and values in a cache",
    ),
]


@pytest.mark.parametrize(("sections", "message"), ONE_PROBLEM, ids=[message for _, message in ONE_PROBLEM])
def test_one_problem(sections: dict[str, Any], message: str) -> None:
    found = problems(**sections)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_every_problem_at_once() -> None:
    found = problems(
        task=None, optim={"lr": "x", "eps": -1}, peft="lora", freeze="freeze_encoder", train={"epochs": 0}, sead=1
    )
    paths = [line.partition(":")[0] for line in found]
    assert paths == ["sead", "task", "optim.lr", "optim.eps", "train.epochs", "freeze.strategy"]


def test_a_rule_is_asked_where_only_an_unrelated_section_is_broken() -> None:
    assert any(line.startswith("search.objective") for line in problems(search={"objective": "f1"}, peft="x"))


def test_missing_sections_are_named() -> None:
    with pytest.raises(ConfigError, match=r"2 problems in config:\n  task: this .* required\n  data: this "):
        validate({})


def test_choices_may_be_written_short() -> None:
    short = {**BASE, "task": "classification", "peft": "lora", "model": {"head": "mlp"}, "tracking": ["tensorboard"]}
    config = validate(short)
    assert (config.peft.method, config.model.head.kind, config.tracking[0].kind) == ("lora", "mlp", "tensorboard")
    assert normalise(normalise(short)) == normalise(short)


def test_the_default_choice_need_not_be_named() -> None:
    assert validate({**BASE, "optim": {"lr": 1}}).optim.name == "adamw"


NESTED = [
    (section, name, key, inner)
    for section, field in RunConfig.model_fields.items()
    for name, spec in members(field).items()
    for key, inner in spec.model_fields.items()
    if members(inner) and tag_of(inner) and inner.default is not None
]


@pytest.mark.parametrize(("section", "name", "key", "field"), NESTED, ids=[f"{s}.{n}.{k}" for s, n, k, _ in NESTED])
def test_a_default_choice_is_that_of_the_choice_above_it(section: str, name: str, key: str, field: FieldInfo) -> None:
    tag, outer = str(tag_of(field)), tag_of(RunConfig.model_fields[section])
    written = {} if outer is None else {outer: name}
    normal = normalise({section: {**written, key: {}}})
    assert normal[section][key] == {tag: getattr(field.default, tag)}


def test_class_weights_need_no_name_of_a_loss() -> None:
    loss = validate(override(BASE, ["task.loss.class_weights=balanced"])).task.loss
    assert (loss.name, loss.class_weights) == ("ce", "balanced")


def test_another_choice_gives_up_the_defaults_of_the_one_before() -> None:
    written = {**BASE, "peft": {"method": "lora", "r": 8, "alpha": 16, "target": ["query", "value"]}}
    assert override(written, ["peft.method=none"])["peft"] == {"method": "none"}
    assert override(written, ["peft.method=rslora"])["peft"] == {**written["peft"], "method": "rslora"}
    assert override(written, ["peft.method=[lora, none]"])["peft"]["r"] == 8
    assert override(written, ["peft.method=nonsense"])["peft"]["r"] == 8
    assert override(written, ["peft.method={a: 1}"])["peft"]["r"] == 8
    focal = {**BASE, "task": {"kind": "classification", "loss": {"name": "focal", "gamma": 2.0}}}
    assert override(focal, ["task.loss.name=ce"])["task"]["loss"] == {"name": "ce"}


def test_what_is_no_default_is_not_given_up_in_silence() -> None:
    changed = override({**BASE, "peft": {"method": "lora", "r": 4, "alpha": 32}}, ["peft.method=none"])
    told = "peft: the keys r, alpha belong to other choices than 'full'; remove them, or replace all of peft: full"
    assert problems(**changed) == [told]


# files


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must be a mapping of sections \(task, data, …\), but this file is empty"),
        ("# only a comment", "but this file is empty"),
        ("- a", "but this file is a list"),
        (b"name: a\nname2: \xff\n", r"a config must be UTF-8, but byte 15 \(line 2\) is 0xff"),
        ("seed: 1\nseed: 2", "line 2, column 1: the key 'seed' is there twice"),
        ("task: [", "not valid YAML: line 1, column 8"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file '.*nothing\.yaml'"):
        read_document(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="a config is a file, but this is a folder$"):
        read_document(tmp_path)


def test_what_is_no_config_is_told_with_the_way_on(tmp_path: Path) -> None:
    for name in ("reviews.yaml", "my reviews.csv", "run/config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name, message in {
        "my reviews.csv": r"this is a file of data and no config; `tunery init '.*my reviews\.csv'` writes a config",
        "run": r"this is a folder; it has .*run/config\.yaml",
        "my review.csv": r"there is no file '.*my review\.csv'",
        "review.yaml": r"there is no file '.*review\.yaml'; did you mean 'reviews\.yaml'\?",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_document(tmp_path / name)


def test_files_beside_the_config_are_found(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    (tmp_path / "bert").mkdir()
    text = "task: classification\ndata: {train: rows.csv, test: elsewhere.csv}\nmodel: {name: bert}"
    config = load_config(write(tmp_path, text))
    assert config.data.train == str(tmp_path / "rows.csv")
    assert config.data.test == "elsewhere.csv"
    assert config.model.name == str(tmp_path / "bert")


def test_files_beside_the_config_are_found_in_lists_and_blocks_too(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    text = "task: classification\ndata: {train: [../one, ../two, elsewhere.csv]}\nmodel: {name: [../one, org/name]}"
    document = load_document(write(tmp_path / "configs", text))
    one, two = (str(tmp_path / "configs" / ".." / name) for name in ("one", "two"))
    assert document["model"]["name"] == Choices((one, "org/name"))
    assert document["data"]["train"] == Choices((one, two, "elsewhere.csv"))


def test_split_names_of_a_hub_data_set_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    text = "task: classification\ndata: {dataset: a/b, revision: c, train: train}"
    assert load_config(write(tmp_path, text)).data.train == "train"


def test_load_config_says_ranges_and_other_problems_together(tmp_path: Path) -> None:
    path = write(tmp_path, "task: classification\ndata: {train: a, txt: b}\noptim: {lr: [1, 2]}")
    with pytest.raises(
        ConfigError, match=r"(?s)2 problem.*data\.txt.*optim\.lr: a range or a list of choices is for a study"
    ):
        load_config(path)


# overrides


def test_overrides_are_applied_in_order_and_leave_the_original_alone() -> None:
    document = {**BASE, "peft": "lora"}
    changed = override(document, ["peft.r=4", "optim.lr=1e-4", "optim.lr=2e-4", "search.timeout=null"])
    assert changed["peft"] == {"method": "lora", "r": 4}
    assert changed["optim"] == {"name": "adamw", "lr": 2e-4}
    assert document == {**BASE, "peft": "lora"}


def test_a_section_is_replaced_by_its_name() -> None:
    changed = override({**BASE, "peft": {"method": "lora", "r": 4}}, ["peft=none"])
    assert changed["peft"] == {"method": "none"}


def test_a_range_may_be_an_override(tmp_path: Path) -> None:
    path = write(tmp_path, "task: classification\ndata: {train: a}")
    document = load_document(path, ["optim.lr={low: 1e-5, high: 1e-3, log: true}", "peft.method=[lora, none]"])
    assert document["optim"]["lr"].log
    assert document["peft"]["method"].values == ("lora", "none")


def test_every_wrong_override_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        override(BASE, ["seed", "=3", "a..b=1", "seed=", "seed=[1", "seed=5"])
    assert [problem.path for problem in caught.value.problems] == ["seed", "=3", "a..b=1", "seed=", "seed=[1"]
    assert "an override is written key.path=value, for example optim.lr=1e-4" in str(caught.value)
    assert "not valid YAML: line 1" in str(caught.value)


def test_a_config_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path, tmp_path / "pipe.yaml"):
        with pytest.raises(ConfigError, match="a config is a file, but this is a (folder|pipe or a device)"):
            read_document(path)


def test_annotation_files_beside_a_config_are_taken_from_there(tmp_path: Path) -> None:
    for name in ("posts.csv", "one.csv", "two.csv"):
        (tmp_path / name).touch()
    path = tmp_path / "config.yaml"
    path.write_text("data: {train: posts.csv, annotations: [one.csv, two.csv, three.csv]}\n")
    assert read_document(path)["data"] == {
        "train": str(tmp_path / "posts.csv"),
        "annotations": [str(tmp_path / "one.csv"), str(tmp_path / "two.csv"), "three.csv"],
    }
