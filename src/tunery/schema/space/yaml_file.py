"""The default space as one YAML file that people read and narrow in place."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final

from pydantic.fields import FieldInfo

from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document
from tunery.schema.reading.fields import branches, is_block, tag_of, written_name, written_names
from tunery.schema.reading.yaml_text import yaml_line
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.parameters import owners_of, parameters
from tunery.schema.spec import Choices, Domain, Range, Spec

_WIDTH: Final = 120
_SENTENCE: Final = re.compile(r"(?<!\bet al)[.;](?=\s|$)")
_PREFACE: Final = """\
# tunery search examples/space.yaml data.train=DIR/train.csv
#
# Everything that a study searches by itself where a config fixes nothing: {count} parameters, {conditional} of them
# only where a choice above them makes them exist. Written from the schema by `tunery schema space`. To narrow it, put
# one value, a shorter list or a smaller range in the place of what is here, or take a line out, which fixes its
# default. A mapping under the name of a choice (`prefix: {{tokens: ...}}`) is for that choice alone.
"""
_FIXED: Final[Document] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}
"""What a config cannot do without."""


def default_space() -> str:
    """YAML of the space that `with_default_domains` opens, with the first words of every field as comments."""
    document = with_default_domains(_FIXED)
    searched = list(parameters(document))
    preface = _PREFACE.format(count=len(searched), conditional=sum(bool(parameter.when) for parameter in searched))
    fields = RunConfig.model_fields
    return "\n".join([preface, *(_section(name, document[name], fields[name]) for name in fields if name in document)])


def _section(name: str, value: Any, field: FieldInfo) -> str:
    return "\n".join(_of_key(name, value, field, first_sentence(field.description), indent=0)) + "\n"


def _of_key(key: str, value: Any, field: FieldInfo, comment: str, *, indent: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield from _line(f"{key}: {value_yaml(value)}", comment, indent=indent)
    elif value:  # nothing beneath a key would read as null
        yield from _line(f"{key}:", comment, indent=indent)
        yield from _inside(value, field, indent=indent + 2)


def _inside(value: Mapping[str, Any], field: FieldInfo, *, indent: int) -> Iterator[str]:
    tag, chosen = tag_of(field), branches(value, field)
    for key, inner in value.items():
        if is_block(key, inner, field):
            yield from _line(f"{key}:", first_sentence(chosen[key].__doc__), indent=indent)
            for name, sub in inner.items():
                own = chosen[key].model_fields[name]
                yield from _of_key(name, sub, own, first_sentence(own.description), indent=indent + 2)
        elif key == tag:
            yield from _line(f"{key}: {value_yaml(written_names(inner, chosen))}", "", indent=indent)
        else:
            owners = owners_of(key, value, chosen)
            own = chosen[owners[0]].model_fields[key]
            yield from _of_key(key, inner, own, first_sentence(own.description) + _only(owners, chosen), indent=indent)


def _only(owners: tuple[str, ...], chosen: Mapping[str, type[Spec]]) -> str:
    """Says which branches have a key, or which have not, whatever is shorter; nothing where all have it."""
    having = [written_name(chosen[name]) for name in owners]
    others = [written_name(spec) for name, spec in chosen.items() if name not in owners]
    if not others:
        return ""
    return f" Not for {', '.join(others)}." if len(others) < len(having) else f" For {', '.join(having)}."


def _line(text: str, comment: str, *, indent: int) -> Iterator[str]:
    """A key with its comment behind it where there is room, else above it."""
    margin = " " * indent
    whole = f"{margin}{text}  # {comment}"
    if comment and len(whole) <= _WIDTH:
        yield whole
        return
    if comment:
        yield from textwrap.wrap(comment, _WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# ")
    yield textwrap.fill(text, _WIDTH, initial_indent=margin, subsequent_indent=f"{margin}  ", break_on_hyphens=False)


def value_yaml(value: Any) -> str:
    """A value or a domain on one line, as a config writes it."""
    if isinstance(value, Range):
        options = {"log": True} if value.log else {"step": value.step} if value.step is not None else {}
        keys = {"low": value.low, "high": value.high, **options}
        return f"{{{', '.join(f'{key}: {value_yaml(inner)}' for key, inner in keys.items())}}}"
    if isinstance(value, Choices | tuple | list):
        return f"[{', '.join(map(value_yaml, value.values if isinstance(value, Choices) else value))}]"
    return yaml_line(value)


def first_sentence(text: str | None) -> str:
    """The first words of a docstring, up to where its first sentence ends or turns."""
    words = " ".join(cleandoc(text or "").split())
    end = _SENTENCE.search(words)
    return f"{words[: end.start()]}." if end else words


def domain_text(domain: Domain) -> str:
    """A domain as people say it: `1e-05 to 0.002, logarithmic`."""
    if isinstance(domain, Choices):
        return ", ".join(map(value_yaml, domain.values))
    step = "" if domain.step is None else f", in steps of {domain.step:g}"
    return f"{domain.low:g} to {domain.high:g}{', logarithmic' if domain.log else step}"
