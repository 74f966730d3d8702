"""What is wrong with a search space, found before anything is trained."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import Any, Final, NamedTuple

from tunery.errors import ConfigError, Problem
from tunery.schema.config.rules import RULES, Rule, sections_read
from tunery.schema.reading.document import Document, document_problems, normalise, read_section, valid_sections
from tunery.schema.reading.fields import ends
from tunery.schema.space.sampled import domains, opens_branch, sample
from tunery.schema.spec import Domain

_SAME_FOR_ALL: Final = ("name", "task.kind", "data", "checkpoint", "tracking", "search")
"""Paths of what all trials of a study have in common."""


def check_space(document: Document) -> None:
    """Check both ends of every range, every choice and every fixed value, in each branch that has them.

    A combination that a rule between sections refuses is tolerated: it is never proposed. A value that the rules
    refuse in every combination is an error.

    Raises:
        ConfigError: with all problems at once.
    """
    document = normalise(document)
    problems = list(document_problems(document, searched=True))
    for path in domains(document):
        if any(f"{path}.".startswith(f"{prefix}.") for prefix in _SAME_FOR_ALL):
            problems.append(Problem(path, "the trials of a study have this in common; write one value"))
    variants: dict[str, list[Variant]] = {}
    for name in valid_sections(problems):
        try:
            variants[name] = _variants(name, document)
        except ConfigError as error:
            problems += error.problems
    problems += dict.fromkeys(problem for _, problem in _always_refused(variants))
    if problems:
        raise ConfigError(problems, source="the search space")


class Variant(NamedTuple):
    """One section with a value in the place of each of its domains."""

    values: dict[str, Any]
    """By path; only of parameters that exist there."""
    section: Any


def always_refused_values(document: Document) -> set[tuple[str, Any]]:
    """Pairs of a domain's path and a value that the rules between sections refuse in every combination.

    Sections that are wrong in themselves are left out.
    """
    document, variants = normalise(document), dict[str, list[Variant]]()
    for name in valid_sections(document_problems(document, searched=True)):
        with suppress(ConfigError):
            variants[name] = _variants(name, document)
    return {pair for pairs, _ in _always_refused(variants) for pair in pairs}


def _variants(name: str, document: Document) -> list[Variant]:
    """One section in each combination of the branches of a field, with each end of each domain in turn beside all first
    and all last ends of the others, branches of other fields included: what is refused beside both is taken to be
    refused beside all."""
    section = {name: document[name]} if name in document else {}
    variants, refused = [], None
    for values in _assignments(section, domains(section)):
        try:
            variants.append(_variant(name, section, values))
        except ConfigError as error:
            refused = refused or error
    if refused and not variants:
        raise refused
    return variants


def _assignments(section: Document, domains_by_path: Mapping[str, Domain]) -> Iterator[dict[str, Any]]:
    """The values of each variant, by path; only of parameters that exist beside the others."""
    tags = [path for path in domains_by_path if opens_branch(path)]
    by_field: dict[str, list[str]] = {}
    for path in tags:
        by_field.setdefault(_field(path), []).append(path)
    chosen = [
        dict(zip(paths, names, strict=True))
        for paths in by_field.values() or [[]]
        for names in product(*(ends(domains_by_path[path]) for path in paths))
    ]
    for index, branches in product((0, -1), chosen):
        values = {path: ends(domain)[index] for path, domain in domains_by_path.items()} | branches
        existing = _existing(section, values)
        changes = [{path: end} for path in existing if path not in tags for end in ends(domains_by_path[path])]
        yield from ({path: (values | change)[path] for path in existing} for change in changes or [{}])


def _field(path: str) -> str:
    """The field of a section that a path is in; the section itself where it is a choice."""
    section, _, rest = path.partition(".")
    field, _, inner = rest.partition(".")
    return f"{section}.{field}" if inner else section


def _existing(section: Document, values: Mapping[str, Any]) -> list[str]:
    """Paths of the parameters that exist where these values are chosen."""
    paths: list[str] = []

    def choose(path: str, domain: Domain) -> Any:
        paths.append(path)
        return values[path]

    sample(section, choose)
    return paths


def _variant(name: str, section: Document, values: dict[str, Any]) -> Variant:
    return Variant(values, read_section(name, sample(section, lambda path, _: values[path])))


def _always_refused(variants: Mapping[str, list[Variant]]) -> Iterator[tuple[set[tuple[str, Any]], Problem]]:
    """Pairs of path and value that only refused variants have, with the problem. There are no pairs where nothing in
    the section is searched."""
    refused = list(_refused_variants(variants))
    ids = {id(variant) for variant, _ in refused}
    legal = {pair for group in variants.values() for v in group if id(v) not in ids for pair in v.values.items()}
    for variant, problem in refused:
        pairs = set(variant.values.items()) - legal
        if pairs or not variant.values:
            yield pairs, problem


def _refused_variants(variants: Mapping[str, list[Variant]]) -> Iterator[tuple[Variant, Problem]]:
    """Every variant that a rule refuses beside all variants of the other sections, with the problem."""
    for rule in RULES:
        names = sections_read(rule)
        if all(name in variants for name in names):
            groups = [variants[name] for name in names]
            for position, group in enumerate(groups):
                for variant in group:
                    others = [*groups[:position], [variant], *groups[position + 1 :]]
                    yield from ((variant, problem) for problem in _problems_of_all(rule, others))


def _problems_of_all(rule: Rule, groups: list[list[Variant]]) -> list[Problem]:
    """What a rule says of the first combination of variants, where it refuses all; nothing where one is legal."""
    first: list[Problem] = []
    for variants in product(*groups):
        broken = list(rule(*(variant.section for variant in variants)))
        if not broken:
            return []
        first = first or broken
    return first
