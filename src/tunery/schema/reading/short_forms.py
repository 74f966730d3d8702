"""Short forms: `peft: lora` says `peft: {method: lora}`, `optim: {lr: 1}` means the default optimizer, `peft: full` is
recorded as `peft: {method: none}`, and `task.threshold: 0.3` says `task.threshold: {method: fixed, value: 0.3}`."""

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from tunery.schema.reading.fields import branches, element, is_block, members, recorded_name, tag_of
from tunery.schema.spec import Choices, Spec


def written_out(document: Mapping[Any, Any], fields: Mapping[str, FieldInfo]) -> dict[Any, Any]:
    """The document with every choice written out in full."""
    return {key: expanded(value, fields[key]) if key in fields else value for key, value in document.items()}


def expanded(value: Any, field: FieldInfo) -> Any:
    """`value` in the place of `field`, with every choice written out in full."""
    specs, tag, item = members(field), tag_of(field), element(field)
    if item is not None and isinstance(value, list | tuple):
        return [expanded(entry, item) for entry in value]
    names = value if isinstance(value, list) and value else [value]
    if specs and tag and all(isinstance(name, str) for name in names):
        value = {tag: value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = next(({str(tag): name, s.number_key: value} for name, s in specs.items() if s.number_key), value)
    if not specs or not isinstance(value, Mapping):
        return value
    if tag and tag not in value and (name := _default_name(value, field)):
        value = {tag: name, **value}
    if tag and any(spec.written_as or spec.earlier_name for spec in specs.values()):
        value = {recorded_name(key, specs): sub for key, sub in value.items()}
        value |= {tag: _recorded(value[tag], specs)} if tag in value else {}
    chosen = list((branches(value, field) or specs).values())
    return {
        key: {name: _key(name, inner, [specs[key]]) for name, inner in sub.items()}
        if is_block(key, sub, field)
        else _key(key, sub, chosen)
        for key, sub in value.items()
    }


def _recorded(names: Any, specs: Mapping[str, type[Spec]]) -> Any:
    if isinstance(names, Choices):
        return Choices(_recorded(names.values, specs))
    if isinstance(names, list | tuple):
        return type(names)(recorded_name(name, specs) for name in names)
    return recorded_name(names, specs)


def _key(key: Any, value: Any, specs: list[type[Spec]]) -> Any:
    fields = [spec.model_fields[key] for spec in specs if key in spec.model_fields]
    return expanded(value, fields[0]) if fields else value


def _default_name(value: Mapping[Any, Any], field: FieldInfo) -> str | None:
    """The tag of the field's default, unless a key of `value` belongs to another member alone."""
    if field.is_required() or field.default is None:
        return None
    keys_of_all = {key for spec in members(field).values() for key in spec.model_fields}
    if keys_of_all.isdisjoint(set(value) - set(type(field.default).model_fields)):
        return str(getattr(field.default, str(tag_of(field))))
    return None
