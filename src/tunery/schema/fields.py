"""Reads the schema itself: which choices a field has, and what stands beside it."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tunery.schema.spec import Choices, Domain, Range, Spec


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself; `None` and annotations are taken off."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(inner for arg in get_args(annotation) for inner in alternatives(arg) if inner is not type(None))
    return (annotation,)


def tag_name(spec: type[Spec]) -> str | None:
    """The key by which a member of a union is recognised (`kind`, `method`, `name`, `strategy`)."""
    first = next(iter(spec.model_fields), None)
    literal = first is not None and first in ("kind", "method", "name", "strategy")
    return first if literal and isinstance(spec.model_fields[str(first)].default, str) else None


def members(field: FieldInfo) -> dict[str, type[Spec]]:
    """The spec classes a field may hold, by tag value; one untagged class stands under the empty string."""
    specs = [arg for arg in alternatives(field.annotation) if isinstance(arg, type) and issubclass(arg, Spec)]
    if len(specs) == 1 and field.discriminator is None:
        return {"": specs[0]}
    return {spec.model_fields[str(field.discriminator)].default: spec for spec in specs}


def is_sequence(field: FieldInfo) -> bool:
    """Whether the field's own value is a list in YAML, so that only a list of lists is a choice."""
    return any(get_origin(arg) is tuple for arg in alternatives(field.annotation))


def is_integer(field: FieldInfo) -> bool:
    """Whether a range on this field counts in whole numbers."""
    kinds = alternatives(field.annotation)
    return int in kinds and float not in kinds


def default_domain(field: FieldInfo) -> Domain | None:
    """The search range that the schema carries beside a field."""
    nested = [m for arg in get_args(field.annotation) if get_origin(arg) is Annotated for m in get_args(arg)[1:]]
    found = [m for m in [*field.metadata, *nested] if isinstance(m, Range | Choices)]
    return found[0] if found else None
