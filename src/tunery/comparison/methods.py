"""The methods that `compare` knows by name, and the config of each in one comparison."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

from tunery.errors import ConfigError, Problem, did_you_mean
from tunery.schema.config.baselines import BASELINES
from tunery.schema.config.peft import method_name, renamed_method
from tunery.schema.config.run import RunConfig, far_rates
from tunery.schema.reading.document import Document, normalise, override, validate
from tunery.schema.reading.fields import TAGS, members, recorded_name, tag_of, written_names
from tunery.schema.space.sampled import with_domains

_LIBRARY: Final = "peft"
_SOURCE: Final = "the comparison"
_METHODS: Final = members(RunConfig.model_fields["peft"])
VARIANTS: Final[Mapping[str, Document]] = {
    **{name: {"peft": {"method": name}} for name in _METHODS if name != _LIBRARY},
    "qlora": {"peft": {"method": "lora"}, "model": {"quantization": "nf4"}},
    "qlora_int8": {"peft": {"method": "lora"}, "model": {"quantization": "int8"}},
    "houlsby_parallel": {"peft": {"method": "houlsby", "parallel": True}},
    **BASELINES,
    "head_only": {"peft": {"method": "none"}, "freeze": {"strategy": "freeze_encoder"}},
}
"""What a name puts over the config. Beside these, the name of any config class of peft is a method."""

_OWN: Final = ("peft", "freeze", "optim.lr", "optim.head_lr", "model.quantization")
"""What a file says for its own method only: with another method's learning rate none could be compared fairly."""
_SAME_FOR_ALL: Final = ("name", "seed", "task", "data", "search")
_UNIONS: Final = ("peft", "freeze")
"""Sections whose keys some methods have and others have not."""


@dataclass(frozen=True)
class MethodConfigs:
    """The configs of a comparison, before seeds."""

    own: RunConfig
    """The file by itself, with those overrides that are no method's own matter."""
    by_method: Mapping[str, RunConfig]
    """In the order they were asked for."""


@dataclass(frozen=True)
class _Assignment:
    """One override: for one method, or for all that have the key."""

    text: str
    method: str | None

    @property
    def path(self) -> str:
        return self.text.partition("=")[0]

    @property
    def names_a_choice(self) -> bool:
        """Whether other overrides may depend on it: a whole section, or a tag."""
        return "." not in self.path or self.path.rpartition(".")[2] in TAGS


def method_configs(document: Document, methods: Sequence[str], *, overrides: Iterable[str] = ()) -> MethodConfigs:
    """The config of every method: its own defaults over what the methods have in common.

    `peft`, `freeze`, `optim.lr`, `optim.head_lr` and `model.quantization` of the file are used for the file's own
    method alone. An override `key=value` goes to every method that has the key, `method:key=value` to one.

    Raises:
        ConfigError: for unknown methods, overrides and values, all at once; ranges are refused, as in `train`.
    """
    file, methods = normalise(document), [recorded_method(name) for name in methods]
    given = [_assignment(text) for text in overrides]
    problems = [*_unknown_methods(methods), *_misplaced(given, methods)]
    assignments = [assignment for assignment in given if not any(_misplaced([assignment], methods))]
    patches = {name: patch for name in methods if (patch := patch_of(name)) is not None}
    shared = sorted((a for a in assignments if a.method is None), key=lambda a: not a.names_a_choice)
    drafts = {}
    for name, patch in patches.items():
        start = file if name == own_method(file) else _stripped(file)
        drafts[name] = _merged(_with_shared(_merged(start, patch), shared), patch)
    own = _with_shared(file, [a for a in shared if not _touches(a.path, _OWN)])
    problems += _unused(shared, [own, *drafts.values()])
    for name in patches:
        drafts[name] = override(drafts[name], [a.text for a in assignments if a.method == name])
    return _validated(own, drafts, problems)


def configs_over(
    document: Document, methods: Sequence[str], *, overrides: Iterable[str] = (), over: Sequence[str] = ()
) -> MethodConfigs:
    """The same for every method with each value of further keys; a method is then called `lora model.name=a`.

    Args:
        over: `key=value,value`, for each key that is compared; of several keys, all combinations.

    Raises:
        ConfigError: for a key without values, or with one value twice, besides.
    """
    given = [*overrides]
    configs = method_configs(document, methods, overrides=given)
    if not over:
        return configs
    axes = [_axis(text) for text in over]
    by_method = {}
    for values in product(*axes):
        for name, config in method_configs(document, methods, overrides=[*given, *values]).by_method.items():
            by_method[f"{name} {' '.join(values)}"] = config
    return MethodConfigs(configs.own, by_method)


def _axis(text: str) -> list[str]:
    key, _, values = text.partition("=")
    assignments = [f"{key.strip()}={value.strip()}" for value in values.split(",") if value.strip()]
    if not key.strip() or not assignments:
        rule = f"what is compared over is written KEY=VALUE,VALUE, but got {text!r}"
        raise ConfigError([Problem("over", f"{rule}; write for example model.name=minilm,DIR")], source=_SOURCE)
    if _touches(key.strip(), _SAME_FOR_ALL):
        message = f"{key.strip()!r} is the same for all runs of a comparison, or they could not be compared; remove it"
        raise ConfigError([Problem("over", message)], source=_SOURCE)
    for assignment in dict.fromkeys(assignments):
        if (count := assignments.count(assignment)) > 1:
            message = f"every value is named once, but got {assignment!r} {count} times"
            raise ConfigError([Problem("over", message)], source=_SOURCE)
    return assignments


def rate_notes(configs: Mapping[str, RunConfig]) -> tuple[str, ...]:
    """One line for each method, by name, whose learning rates are far from its defaults: a rate that all share suits
    few of them."""
    notes = {name: "; ".join(far_rates(config)) for name, config in configs.items()}
    return tuple(f"{method_name(name)}: {note}" for name, note in notes.items() if note)


def _assignment(text: str) -> _Assignment:
    prefixed = re.match(r"(\w+):(.*)", text, re.DOTALL)
    return _Assignment(prefixed[2], recorded_method(prefixed[1])) if prefixed else _Assignment(text, None)


def recorded_method(name: str) -> str:
    """The name by which records and folders know a method: `none` for `full`."""
    return renamed_method(name, lambda method: str(recorded_name(method, _METHODS)))


def written_methods(names: Iterable[str]) -> list[str]:
    """The names by which people ask for methods."""
    return [renamed_method(name, lambda method: str(written_names(method, _METHODS))) for name in names]


def patch_of(name: str) -> Document | None:
    """What a method's name puts over the config, or None where there is no such method."""
    if name in VARIANTS:
        return VARIANTS[name]
    return {"peft": {"method": _LIBRARY, "config": name}} if name in _library_configs() else None


@cache
def _library_configs() -> frozenset[str]:
    import peft

    classes = (value for name, value in vars(peft).items() if name.endswith("Config") and isinstance(value, type))
    return frozenset(kind.__name__ for kind in classes if issubclass(kind, peft.PeftConfig))


def _unknown_methods(methods: Sequence[str]) -> Iterator[Problem]:
    if not methods:
        yield Problem("methods", f"a comparison needs methods; {did_you_mean('', written_methods(VARIANTS))}")
    for name in dict.fromkeys(methods):
        if methods.count(name) > 1:
            message = f"{written_methods([name])[0]!r} is named {methods.count(name)} times; name every method once"
            yield Problem("methods", message)
        if name not in VARIANTS and patch_of(name) is None:
            choices = _library_configs() if name.endswith("Config") else written_methods(VARIANTS)
            yield Problem("methods", f"unknown method {name!r}; {did_you_mean(name, choices)}")


def _misplaced(assignments: Sequence[_Assignment], methods: Sequence[str]) -> Iterator[Problem]:
    """Overrides that name a method which is not compared, or a key that is not theirs to set."""
    for given in assignments:
        called = written_methods([given.method])[0] if given.method else ""
        path = f"{called}:{given.path}" if given.method else given.path
        if given.method is not None and given.method not in methods:
            yield Problem(path, f"method {called!r} is not compared; {did_you_mean(called, written_methods(methods))}")
        elif given.path in ("peft", "peft.method"):
            yield Problem(path, "the methods are named by --methods; write peft.<key>=value, or remove this")
        elif given.method is not None and _touches(given.path, _SAME_FOR_ALL):
            yield Problem(path, "the methods have this in common, or they could not be compared; leave the prefix out")
        elif given.method is not None and _touches(given.path, _leaves(patch_of(given.method) or {})):
            yield Problem(path, f"this is what makes it {called!r}; remove it, or compare another method")


def _touches(path: str, others: Iterable[str]) -> bool:
    return any(f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.") for other in others)


def own_method(file: Document) -> str | None:
    """The name of the method that a file configures: of all that fit, the one that says most."""
    full = _merged({"peft": {"method": "none"}, "freeze": {"strategy": "none"}}, normalise(file))
    if isinstance(full["peft"], dict) and full["peft"].get("method") == _LIBRARY:
        return full["peft"].get("config")
    fitting = [name for name, patch in VARIANTS.items() if _leaves(patch).items() <= _leaves(full).items()]
    return max(fitting, key=lambda name: len(_leaves(VARIANTS[name])), default=None)


def _leaves(document: Document, prefix: str = "") -> dict[str, Any]:
    """Values by dotted path; those that cannot be compared by equality of items are written as text."""
    leaves: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value if isinstance(value, str | int | float | None) else repr(value)
    return leaves


def _stripped(file: Document, prefix: str = "") -> Document:
    """The file without what it says for its own method only."""
    kept = {key: value for key, value in file.items() if f"{prefix}{key}" not in _OWN}
    return {key: _stripped(sub, f"{prefix}{key}.") if isinstance(sub, dict) else sub for key, sub in kept.items()}


def _merged(document: Document, patch: Document) -> Document:
    sections = [key for key in patch if isinstance(document.get(key), dict) and isinstance(patch[key], dict)]
    return {**document, **patch, **{key: _merged(document[key], patch[key]) for key in sections}}


def _with_shared(document: Document, shared: Iterable[_Assignment]) -> Document:
    for given in shared:
        if _has_key(document, given.path):
            document = override(document, [given.text])
    return document


def _has_key(document: Document, path: str) -> bool:
    """Whether the method in `document` has the key; a key that no method treats differently is always there."""
    section, _, key = path.partition(".")
    if section not in _UNIONS or not key:
        return True
    field = RunConfig.model_fields[section]
    written = document.get(section, {})
    tag = str(tag_of(field))
    chosen = written.get(tag, getattr(field.default, tag)) if isinstance(written, dict) else None
    spec = members(field).get(chosen) if isinstance(chosen, str) else None
    return spec is not None and key.partition(".")[0] in spec.model_fields


def _unused(shared: Iterable[_Assignment], drafts: Sequence[Document]) -> Iterator[Problem]:
    for given in shared:
        if not any(_has_key(draft, given.path) for draft in drafts):
            section, _, key = given.path.partition(".")
            field = RunConfig.model_fields[section]
            tag, compared = str(tag_of(field)), members(field)
            chosen = {draft.get(section, {}).get(tag) for draft in drafts if isinstance(draft.get(section, {}), dict)}
            keys = {name for choice in chosen if choice in compared for name in compared[choice].model_fields} - {tag}
            hint = did_you_mean(key, keys) if keys else f"none of them has a key in {section!r}"
            yield Problem(given.path, f"no method that is compared has this key; {hint}")


def _validated(own: Document, drafts: Mapping[str, Document], problems: list[Problem]) -> MethodConfigs:
    """All configs, or every problem once: those of the file and of all methods, then what only some have."""
    checked_own = _checked(own)
    checked = {name: _checked(draft) for name, draft in drafts.items()}
    refused = {name: result if isinstance(result, list) else [] for name, result in checked.items()}
    in_all = [problem for problem in next(iter(refused.values()), []) if all(problem in p for p in refused.values())]
    common = list(dict.fromkeys([*problems, *(checked_own if isinstance(checked_own, list) else []), *in_all]))
    alone = [
        Problem(f"{written_methods([name])[0]}: {path}", message)
        for name, problems_of_method in refused.items()
        for path, message in problems_of_method
        if Problem(path, message) not in common
    ]
    if isinstance(checked_own, list) or common or alone:
        raise ConfigError([*common, *alone], source=_SOURCE)
    return MethodConfigs(checked_own, {name: c for name, c in checked.items() if isinstance(c, RunConfig)})


def _checked(document: Document) -> RunConfig | list[Problem]:
    try:
        return validate(with_domains(document))
    except ConfigError as error:
        return list(error.problems)
