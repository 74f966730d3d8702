"""The space of a config as a tree: what a study would search, and under which choices."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from tunery.hpo.search_space.grid import LIMIT, size
from tunery.report.text.formatting import plural
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document
from tunery.schema.reading.fields import members, tag_of, written_names
from tunery.schema.space.default import rates_left_out, space_of
from tunery.schema.space.parameters import Parameter, parameters
from tunery.schema.space.yaml_file import domain_text
from tunery.schema.spec import Choices, Spec
from tunery.terminal import Terminal, write_json

_ENDLESS: Final = 100_000
"""Columns of what is no terminal: nothing is broken there, so that it can be searched."""


def show_space(document: Document, *, as_json: bool) -> None:
    """Print the tree of the space that a study of `document` would search, and how many configurations it has.

    On standard error it says what the study would: which default learning rates the space leaves out.

    Raises:
        ConfigError: when the space is wrong.
    """
    document = space_of(document)
    searched, configurations = list(parameters(document)), size(document)
    conditional = sum(bool(parameter.when) for parameter in searched)
    for sentence in rates_left_out(document):
        Terminal(stderr=True).say(f"warning: {sentence}")
    if as_json:
        counts = {"parameters": len(searched), "conditional": conditional, "configurations": configurations}
        write_json({"parameters": [_record(parameter) for parameter in searched], "counts": counts})
        return
    terminal = Terminal(elsewhere=_ENDLESS)
    terminal.print(_tree(str(document.get("name", "space")), searched))
    terminal.say(f"{plural(len(searched), 'parameter')}, {conditional} of them conditional; {_counted(configurations)}")


def _record(parameter: Parameter) -> dict[str, Any]:
    domain = parameter.domain
    if isinstance(domain, Choices):
        record: dict[str, Any] = {"choices": list(domain.values)}
    else:
        record = {"low": domain.low, "high": domain.high, "log": domain.log, "step": domain.step}
    when = {path: list(names) for path, names in parameter.when.items()}
    return {"path": parameter.path, "domain": record, "when": when}


def _tree(name: str, searched: Sequence[Parameter]) -> Tree:
    """A parameter hangs under those names of the nearest choice above it that make it exist."""
    root = Tree(Text(name, "bold"))
    choices: dict[str, Tree] = {}
    branches: dict[tuple[str, tuple[str, ...]], Tree] = {}
    for path, domain, _, when in searched:
        parent = root
        if when:
            choice, names = list(when.items())[-1]
            shown = ", ".join(written_names(name, _members(choice)) for name in names)
            parent = branches.get((choice, names)) or choices[choice].add(Text(shown, "cyan"))
            branches[choice, names] = parent
        domain = written_names(domain, _members(path))
        choices[path] = parent.add(Text.assemble((path, "bold"), f": {domain_text(domain)}"))
    return root


def _members(path: str) -> Mapping[str, type[Spec]]:
    """Of the path of a section's choice, what may be chosen."""
    section, _, key = path.rpartition(".")
    field = RunConfig.model_fields.get(section)
    return members(field) if field is not None and tag_of(field) == key else {}


def _counted(configurations: int | None) -> str:
    if configurations is None:
        return "configurations not countable, because a range has no step"
    refused = " at most, some of which the rules may refuse" if configurations > LIMIT else ""
    return f"{configurations:,} configurations{refused}"
