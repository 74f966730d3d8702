"""Reads the schema itself: which choices a field has, what values it takes, and its default range."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tunery.schema.spec import Choices, Domain, Range, Spec, Wording

TAGS: Final = ("kind", "method", "name", "strategy")
"""Keys by which a member of a union may be recognised; the tag is a member's first field."""
_WORDS: Final[dict[Any, str]] = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
_BOUNDS: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself; `None` and annotations are taken off."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(inner for arg in get_args(annotation) for inner in alternatives(arg) if inner is not type(None))
    return (annotation,)


def is_optional(field: FieldInfo) -> bool:
    """Whether null is a value of the field."""
    return type(None) in get_args(field.annotation)


def tag_of(field: FieldInfo) -> str | None:
    """The key that chooses among the members of a field (`kind`, `method`, `name`, `strategy`)."""
    if field.discriminator is not None:
        return str(field.discriminator)
    specs = list(members(field).values())
    return tag_name(specs[0]) if len(specs) == 1 else None


def tag_name(spec: type[Spec]) -> str | None:
    """The key by which a spec is recognised as a member of a union; None for a spec that is no choice."""
    first = next(iter(spec.model_fields), "")
    is_tag = first in TAGS and get_origin(spec.model_fields[first].annotation) is Literal
    return first if is_tag else None


def members(field: FieldInfo) -> Mapping[str, type[Spec]]:
    """The spec classes a field may hold, by tag value; the key of one that is no choice is the empty string."""
    annotation: Any = field.annotation
    return _members(annotation)


@cache  # a walk over a space asks thousands of times
def _members(annotation: Any) -> Mapping[str, type[Spec]]:
    specs = [arg for arg in alternatives(annotation) if isinstance(arg, type) and issubclass(arg, Spec)]
    by_tag = {spec.model_fields[tag].default if (tag := tag_name(spec)) else "": spec for spec in specs}
    return MappingProxyType(by_tag)


def written_name(spec: type[Spec]) -> str:
    """The name by which people choose a member of a union in a config: its tag, or what it is written as. Empty for a
    spec that is no choice."""
    tag = tag_name(spec)
    return spec.written_as or (str(spec.model_fields[tag].default) if tag else "")


def written_names(tags: Any, specs: Mapping[str, type[Spec]]) -> Any:
    """For a tag, or a domain of tags, the names by which people choose; what is no tag is returned as it is."""
    if isinstance(tags, Choices):
        return Choices(tuple(written_names(tag, specs) for tag in tags.values))
    return written_name(specs[tags]) if tags in specs else tags


def recorded_name(name: Any, specs: Mapping[str, type[Spec]]) -> Any:
    """The tag of the member that is written as `name`, or was; any other name is returned as it is."""
    return next((tag for tag, s in specs.items() if name is not None and name in (s.written_as, s.earlier_name)), name)


def ends(value: Any) -> tuple[Any, ...]:
    """The values by which a domain is checked: both ends of a range, all choices; a plain value is the only one."""
    if isinstance(value, Range):
        return (value.low, value.high)
    return value.values if isinstance(value, Choices) else (value,)


def branches(value: Mapping[Any, Any], field: FieldInfo) -> dict[str, type[Spec]]:
    """Those members of a field that the tag in `value` names: one, or several where the tag is searched."""
    tag = tag_of(field)
    names = ends(value.get(tag)) if tag else ("",)
    return {name: spec for name, spec in members(field).items() if name in names}


def is_block(key: Any, value: Any, field: FieldInfo) -> bool:
    """Whether a key of a section is the name of one of its choices, with keys for that choice alone beneath it."""
    return tag_of(field) is not None and key in members(field) and isinstance(value, Mapping)


def element(field: FieldInfo) -> FieldInfo | None:
    """The field of one item, where a field holds a list of specs (`tracking`)."""
    for arg in alternatives(field.annotation):
        if get_origin(arg) is tuple and members(item := FieldInfo.from_annotation(get_args(arg)[0])):
            return item
    return None


def is_sequence(field: FieldInfo) -> bool:
    """Whether the field's own value is a list in YAML, so that only a list of lists is a choice."""
    return any(get_origin(arg) is tuple for arg in alternatives(field.annotation))


def is_mapping(field: FieldInfo) -> bool:
    """Whether the field's own value may be a mapping in YAML, so that none is a range."""
    return any(get_origin(arg) is dict for arg in alternatives(field.annotation))


def is_integer(field: FieldInfo) -> bool:
    """Whether a range on this field counts in whole numbers."""
    return is_numeric(field) and float not in alternatives(field.annotation)


def is_numeric(field: FieldInfo) -> bool:
    """Whether a range makes sense on this field."""
    return not {int, float}.isdisjoint(alternatives(field.annotation))


def default_domain(field: FieldInfo) -> Domain | None:
    """The search range that the schema carries beside a field."""
    nested = [m for arg in get_args(field.annotation) if get_origin(arg) is Annotated for m in get_args(arg)[1:]]
    domains = [m for m in [*field.metadata, *nested] if isinstance(m, Range | Choices)]
    return domains[0] if domains else None


def literal_names(annotation: Any) -> list[str]:
    """Every name that a field with a closed list of names accepts."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [name for arg in get_args(annotation) for name in literal_names(arg)]


def type_text(field: FieldInfo) -> str:
    """What values a field takes, in words: `a number > 0, or null`."""
    wordings = [m.text for m in field.metadata if isinstance(m, Wording)]
    text = wordings[0] if wordings else _text(field.annotation, field.metadata)
    return f"{text}, or null" if is_optional(field) else text


def _text(annotation: Any, metadata: Any = ()) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        wordings = [m.text for m in inner[1:] if isinstance(m, Wording)]
        return wordings[0] if wordings else _text(inner[0], [*inner[1:], *metadata])
    if origin in (Union, UnionType):
        return ", or ".join(_text(arg, metadata) for arg in inner if arg is not type(None))
    if origin is Literal:
        return inner[0] if len(inner) == 1 else "one of " + ", ".join(map(str, inner))
    constraints = [m for item in metadata for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
    if origin is tuple:
        length = "" if inner[-1] is Ellipsis else f" of {len(inner)}"
        least = max((getattr(m, "min_length", None) or 0 for m in constraints), default=0)
        return f"a list{length}{f' of at least {least}' if least else ''}, each {_text(inner[0])}"
    bounds = [(sign, getattr(m, name, None)) for m in constraints for name, sign in _BOUNDS.items()]
    texts = [f"{sign} {bound:,}" for sign, bound in bounds if bound is not None]
    return f"{_WORDS.get(annotation, 'a mapping')} {' and '.join(texts)}".strip()
