"""YAML as version 1.2 reads it: `1e-5` is a number, `no` is a word, and no key stands twice."""

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from tunery.errors import ConfigError, Problem

_PLAIN: Final[dict[str, tuple[str, str]]] = {
    "null": (r"~|null|Null|NULL|", "~nN"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "merge": (r"<<", "<"),
}
"""What an unquoted word means, by YAML type, and the characters it may begin with."""


_SEPARATORS: Final = frozenset("\x85\u2028\u2029\ufeff")


def _learn_words(yaml_class: Any) -> None:
    yaml_class.yaml_implicit_resolvers = {}
    for kind, (pattern, first) in _PLAIN.items():
        letters = [*first, ""] if kind == "null" else list(first)
        yaml_class.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), letters)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[Any] = []
        for key_node in (key for key, _ in node.value if not key.tag.endswith(":merge")):
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                message = f"the key {key!r} stands twice in one mapping"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Line separators that only Unicode knows survive in double quotes alone."""
        style = None if _SEPARATORS.isdisjoint(data) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_learn_words(_Loader)
_learn_words(_Dumper)
_Dumper.add_representer(str, _Dumper.represent_str)


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse YAML.

    Raises:
        ConfigError: with the source, the line and the column.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError([Problem("", f"not valid YAML: {_reason(error)}")], source=source) from error


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + (getattr(error, "problem", None) or " ".join(str(error).split()))


def dump_yaml(value: Any) -> str:
    """Write plain data so that `parse_yaml` reads the same data back; keys keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
