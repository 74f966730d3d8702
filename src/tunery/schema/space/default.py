"""The space that a study searches by itself: the default ranges of the schema's fields."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo

from tunery.schema.config.model import NativeHead
from tunery.schema.config.run import FROZEN_ENCODER_LR, RunConfig
from tunery.schema.config.task import CausalLmTask, MlmTask
from tunery.schema.reading.document import Document, document_problems
from tunery.schema.reading.fields import branches, default_domain, ends, is_block, members, tag_of, written_name
from tunery.schema.reading.short_forms import expanded
from tunery.schema.space.check import always_refused_values, check_space
from tunery.schema.space.sampled import domains, with_domains
from tunery.schema.spec import Choices, Domain, Range, Spec

SEARCHED: Final = ("task", "model", "peft", "freeze", "optim", "schedule", "regularization", "train")
"""The sections that a study opens by itself."""
_LANGUAGE_MODELS: Final = (CausalLmTask().kind, MlmTask().kind)
_NEAR: Final = 10.0
"""A peak learning rate is searched up to this factor below and above the defaults of what is searched beside it."""

Refused = Collection[tuple[str, Any]]
"""Pairs of a path and a value there that the rules refuse in every combination, so that they are not opened."""


def space_of(document: Document) -> Document:
    """What a study of `document` searches: the domains that are written there, or the schema's own where none is.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    written = with_domains(document)
    space = written if domains(written) else with_default_domains(written)
    check_space(space)
    return space


def with_default_domains(document: Document) -> Document:
    """A copy with the schema's default range in place of every searchable value that the document does not fix.

    A choice that the document does not make is searched, with the keys of its branches: one that means the same range
    in every branch that has it is written once, others under the name of their branch. What the rest of the document
    rules out is not opened.
    """
    written = with_domains(document)
    refused = set(_doing_the_same(written))
    own_paths = set(domains(written))
    while True:
        opened = _opened_document(written, refused)
        refused_now = {(path, value) for path, value in always_refused_values(opened) if path not in own_paths}
        if refused_now <= refused:
            break
        refused |= refused_now
    if "optim.lr" in own_paths or any(document_problems(opened, searched=True)):
        return opened
    return _with_near_rates(opened)


def _doing_the_same(written: Document) -> Iterator[tuple[str, Any]]:
    """Values that do what another one does beside what is written, so that searching both would try each twice."""
    task = expanded(written.get("task", {}), RunConfig.model_fields["task"])
    if isinstance(task, Mapping) and task.get("kind") in _LANGUAGE_MODELS:
        yield "model.head.kind", NativeHead().kind  # `auto` means it


def _opened_document(written: Document, refused: Refused) -> Document:
    opened = {
        name: _opened(written.get(name, {}), field, name, refused) if name in SEARCHED else written.get(name)
        for name, field in RunConfig.model_fields.items()
        if name in SEARCHED or name in written
    }
    return {**opened, **{key: value for key, value in written.items() if key not in opened}}


def _opened(written: Any, field: FieldInfo, path: str, refused: Refused) -> Any:
    """The value of a field, or of a section, with a domain in place of everything in it that is not written."""
    tag, domain = tag_of(field), default_domain(field)
    if written == {} and tag and domain is not None:
        written = {tag: _without_refused(domain, f"{path}.{tag}", refused)}
    written = expanded(written, field)
    if not isinstance(written, Mapping):
        return written
    opened, chosen = dict(written), branches(written, field)
    fields: dict[str, FieldInfo] = {}
    for spec in chosen.values():
        fields |= {key: inner for key, inner in spec.model_fields.items() if key not in fields}
    for key, inner in fields.items():
        if members(inner):
            if key in written or inner.default is not None:
                value, tag = _opened(written.get(key, {}), inner, f"{path}.{key}", refused), tag_of(inner)
                is_open = key in written or value != {tag: getattr(inner.default, tag or "", None)}
                opened |= {key: value} if is_open else {}
        elif key not in written:
            opened = _merged(opened, _opened_key(key, chosen, path, refused))
    return _in_order(opened, field)


def _opened_key(key: str, chosen: Mapping[str, type[Spec]], path: str, refused: Refused) -> Document:
    """A key with its range, once where it means the same in all branches that have it, else under their names."""
    by_branch = {
        name: default_domain(spec.model_fields[key]) for name, spec in chosen.items() if key in spec.model_fields
    }
    first = next(iter(by_branch.values()))
    if all(domain == first for domain in by_branch.values()):
        shared = first and _without_refused(first, f"{path}.{key}", refused)
        return {} if shared is None else {key: shared}
    left = {
        name: domain and _without_refused(domain, f"{path}.{name}.{key}", refused) for name, domain in by_branch.items()
    }
    return {name: {key: domain} for name, domain in left.items() if domain is not None}


def _without_refused(domain: Domain, path: str, refused: Refused) -> Any:
    """What of a domain is not refused: a domain, its only value, or None."""
    left = tuple(value for value in ends(domain) if (path, value) not in refused)
    if isinstance(domain, Range):
        return domain if left == ends(domain) else None
    return Choices(left) if len(left) > 1 else next(iter(left), None)


def _merged(opened: Document, more: Document) -> Document:
    """Both together; in a block that both have, the values of `opened` count."""
    blocks = {key: {**value, **opened.get(key, {})} for key, value in more.items() if isinstance(value, Mapping)}
    return {**opened, **more, **blocks}


def _in_order(opened: Document, field: FieldInfo) -> Document:
    """The choice, the keys beside it, then the blocks in the order of the union."""
    names = [None, *members(field)]
    position = {key: names.index(key) if is_block(key, value, field) else 0 for key, value in opened.items()}
    return {key: opened[key] for key in sorted(opened, key=lambda key: (position[key], key != tag_of(field)))}


def rates_left_out(space: Document) -> Iterator[str]:
    """A sentence for every method and optimizer whose default learning rate the range of `optim.lr` does not hold, so
    that the study never trains the one as it is usually trained.

    Args:
        space: a document that `check_space` accepts.
    """
    fields = RunConfig.model_fields
    written = {name: expanded(space.get(name, {}), fields[name]) for name in ("peft", "optim", "freeze")}
    if "freeze_encoder" in ends(written["freeze"]["strategy"]):
        return  # a head alone has a rate of its own
    methods: Mapping[str, Any] = branches(written["peft"], fields["peft"])
    optimizers: Mapping[str, Any] = branches(written["optim"], fields["optim"])
    for name, optimizer in optimizers.items():
        rates = {**written["optim"], **written["optim"].get(name, {})}.get("lr")
        if not isinstance(rates, Range):
            continue
        for spec in methods.values():
            default = optimizer.lr_ratio * spec.default_lr
            if not rates.low <= default <= rates.high:
                method = f"peft.method={written_name(spec)}"
                left_out = f"leaves out the default, {default:.2g}, for {method} with {name}"
                yield f"optim.lr from {rates.low:.2g} to {rates.high:.2g} {left_out}"


def _with_near_rates(document: Document) -> Document:
    fields = RunConfig.model_fields
    methods: Mapping[str, Any] = branches(document["peft"], fields["peft"])
    optimizers: Mapping[str, Any] = branches(document["optim"], fields["optim"])
    rates = [spec.default_lr for spec in methods.values()]
    if "freeze_encoder" in ends(document["freeze"]["strategy"]):
        rates.append(FROZEN_ENCODER_LR)
    optim = dict(document["optim"])
    for name, spec in optimizers.items():
        near = Range(_rounded(spec.lr_ratio * min(rates) / _NEAR), _rounded(spec.lr_ratio * max(rates) * _NEAR))
        if isinstance(optim.get("lr"), Range):
            optim["lr"] = _cut(optim["lr"], near)
        elif isinstance(optim.get(name, {}).get("lr"), Range):
            optim[name] = {**optim[name], "lr": _cut(optim[name]["lr"], near)}
    return {**document, "optim": optim}


def _cut(whole: Range, near: Range) -> Range:
    return Range(max(whole.low, near.low), min(whole.high, near.high), log=whole.log)


def _rounded(rate: float) -> float:
    """Three digits: without the last ones of a product of floats."""
    return float(f"{rate:.3g}")
