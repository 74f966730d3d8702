"""YAML as version 1.2 reads it: `1e-5` is a number, `no` is a word, and a duplicate key is an error."""

import math
import re
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from tunery.errors import ConfigError, Problem, shortened
from tunery.schema.reading.utf8 import NotUtf8, decode_utf8

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

_VALUES: Final[dict[str, Callable[[str], Any]]] = {
    "null": lambda word: None,
    "bool": lambda word: word.lower() == "true",
    "int": int,
    "float": lambda word: float(re.sub(r"\.(?=inf|nan)", "", word.lower())),
}
"""The value of such a word."""

_ESCAPED: Final = frozenset("\n\x85\u2028\u2029\ufeff")
"""Characters that are written as escapes: a line break, and separators that only double quotes keep."""


class _Extent(NamedTuple):
    """How much a node holds when every alias is replaced by what it repeats."""

    nodes: int
    levels: int


_MOST: Final = _Extent(nodes=100_000, levels=100)
_MOST_BYTES: Final = 1_000_000


def _learn_words(yaml_class: Any) -> None:
    yaml_class.yaml_implicit_resolvers = {}
    for kind, (pattern, first) in _PLAIN.items():
        letters = [*first, ""] if kind == "null" else list(first)
        yaml_class.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), letters)


class _Loader(yaml.SafeLoader):
    """Builds plain data and nothing else: null, booleans, numbers, strings, lists, mappings."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._above = 0
        self._nodes = 0
        self._extents: dict[Any, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; no document may hold more than `_MOST`, counted with what its aliases repeat.

        Raises:
            ComposerError: it does, or an alias is inside what it repeats.
        """
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if self._above == _MOST.levels:
            raise _too_deep(mark)
        self._above += 1
        node = super().compose_node(parent, index)
        self._above -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._extents:
                raise yaml.composer.ComposerError(None, None, "an alias repeats what it is part of", mark)
            self._nodes += self._extents[node].nodes
        else:
            self._nodes += 1
            self._extents[node] = self._extent(node)
        if self._above + self._extents[node].levels > _MOST.levels:
            raise _too_deep(mark)
        if self._nodes > _MOST.nodes:
            message = f"more than {_MOST.nodes:,} keys and values in all"
            raise yaml.composer.ComposerError(None, None, message, mark)
        return node

    def _extent(self, node: yaml.Node | None) -> _Extent:
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        nodes = [node for item in inner for node in (item if isinstance(item, tuple) else (item,))]
        extents = [self._extents[node] for node in nodes]
        return _Extent(1 + sum(one.nodes for one in extents), 1 + max((one.levels for one in extents), default=0))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()  # what is no mapping is refused below
        for key_node in (key for key, _ in pairs if not key.tag.endswith(":merge")):
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):  # refused below, too
                continue
            if key in seen:
                raise _refused(f"the key {key!r} is there twice in one mapping", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_word(self, node: yaml.ScalarNode, *, kind: str) -> Any:
        """Null, a boolean or a number; an explicit tag does not make one of another word (`!!int abc`)."""
        word = self.construct_scalar(node)
        if re.fullmatch(_PLAIN[kind][0], word) is None:
            raise _refused(f"{shortened(word, 40)!r} is not of the type {kind}", node)
        try:
            return _VALUES[kind](word)
        except ValueError as error:
            raise _refused(f"a number of {len(word):,} digits is too long", node) from error

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """A string; two escapes that are the halves of one character become that character, as in JSON."""
        text = self.construct_scalar(node)
        try:
            return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise _refused(f"{shortened(text, 40)!r} holds half of a surrogate pair", node) from error

    def construct_undefined(self, node: yaml.Node) -> Any:
        tags = ", ".join(tag.replace("tag:yaml.org,2002:", "!!") for tag in self.yaml_constructors if tag)
        raise _refused(f"the tag {node.tag!r} is not one of {tags}", node)


_Loader.yaml_constructors = {
    **{f"tag:yaml.org,2002:{kind}": partial(_Loader.construct_word, kind=kind) for kind in _VALUES},
    "tag:yaml.org,2002:str": _Loader.construct_text,
    "tag:yaml.org,2002:seq": _Loader.construct_yaml_seq,
    "tag:yaml.org,2002:map": _Loader.construct_yaml_map,
    None: _Loader.construct_undefined,
}


def _too_deep(mark: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, f"nested more than {_MOST.levels} levels deep", mark)


def _refused(rule: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, rule, node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Mappings as blocks, lists on one line but for those of mappings, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        is_short = not any(isinstance(item, dict) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=is_short)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if _ESCAPED.isdisjoint(data) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


class _LineDumper(_Dumper):
    """Everything within a list is on its line."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_learn_words(_Loader)
for _dumper in (_Dumper, _LineDumper):
    _learn_words(_dumper)
    _dumper.add_representer(str, _dumper.represent_str)
    for _sequence in (list, tuple):
        _dumper.add_representer(_sequence, _dumper.represent_list)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigError: when it is missing, too large for a config, not UTF-8 or not YAML.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise _unusable(path, "a config is a file, but this is a pipe or a device")
    try:
        with path.open("rb") as file:
            content, is_longer = file.read(_MOST_BYTES), bool(file.read(1))
    except FileNotFoundError as error:
        raise _unusable(path, f"there is no file {str(path)!r}") from error
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    if is_longer:
        raise _unusable(path, f"a config has at most {_MOST_BYTES:,} bytes, but this file is larger")
    try:
        text = decode_utf8(content)
    except NotUtf8 as error:
        raise _unusable(path, f"a config {error}") from error
    return parse_yaml(text, source=str(path))


def _unusable(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem("", message)], source=str(path))


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse YAML.

    Raises:
        ConfigError: with the source, the line and the column.
    """
    if len(text) > _MOST_BYTES:
        raise ConfigError(
            [Problem("", f"YAML has at most {_MOST_BYTES:,} characters, but this is longer")], source=source
        )
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        except (ValueError, OverflowError) as error:  # of the scanner: an escape or a version beyond all numbers
            raise yaml.scanner.ScannerError(None, None, f"not readable: {error}", loader.get_mark()) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem("", f"not valid YAML: {_reason(error)}")], source=source) from error


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return position + (getattr(error, "problem", None) or " ".join(str(error).split()))


def dump_yaml(value: Any, *, width: float = 120) -> str:
    """Write plain data so that `parse_yaml` reads the same data back; keys keep their order.

    Args:
        width: characters of a line, where it can be broken.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def yaml_line(value: Any) -> str:
    """A value on one line, as it may follow a key or within a list."""
    line = yaml.dump([value], Dumper=_LineDumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return str(line).strip()[1:-1]
