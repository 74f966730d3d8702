"""The base of every piece of plain data, and the ranges a searchable field carries beside it."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")

_LONGEST: Final = 100
"""Characters of a list or mapping that is printed."""


class Spec(BaseModel):
    """Frozen, closed plain data: an unknown key is an error, a value never changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )
    written_as: ClassVar[str | None] = None
    """Of a member of a union, the name that people write and read in a config, where records have another."""
    earlier_name: ClassVar[str | None] = None
    """Of a member of a union, what earlier versions called it; it is read as this one."""
    number_key: ClassVar[str | None] = None
    """Of a member of a union, the key that a number in place of the whole choice is the value of."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What differs from the defaults; of what is long, the size."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.get_default():
                is_long = isinstance(value, dict | tuple | list) and len(repr(value)) > _LONGEST
                yield name, _Sized(value) if is_long else value


class _Sized:
    """Replaces a long container where it is printed."""

    def __init__(self, value: Sized) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"<{len(self._value)} entries>"


@dataclass(frozen=True)
class Wording:
    """Says what values a type takes, where the type itself says too little."""

    text: str


@dataclass(frozen=True)
class Range:
    """A numeric search range, both ends included. `Annotated` beside a field, it is that field's default range."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Choices:
    """A categorical search domain. `Annotated` beside a field, it is that field's default domain."""

    values: tuple[Any, ...]


Domain = Range | Choices


class ByLabel(dict[str, T]):
    """A mapping of labels that is never changed, so that specs with one can be hashed. Not to be read as a range,
    whatever the labels are called."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def _as_text(label: Any) -> Any:
    """A label that YAML reads as a number or a truth value, as the rows have it."""
    return str(label).lower() if isinstance(label, bool) else str(label) if isinstance(label, int | float) else label


OfLabels = Annotated[dict[Annotated[str, BeforeValidator(_as_text)], T], AfterValidator(ByLabel), Field(min_length=1)]
"""A value for each label that is named."""

Probability = Annotated[float, Field(gt=0, lt=1)]
"""Neither certain nor impossible."""

Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of optimizer steps."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole, never all of it."""

Width = Annotated[int, Field(ge=1, le=65_536)]
"""The rank or the width of a matrix: beyond every model's own."""
