"""The default space as a file: complete, current, and the very space that a study opens by itself."""

from pathlib import Path
from typing import Any

import pytest

from tunery.schema import load_document
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.space.check import check_space
from tunery.schema.space.default import with_default_domains
from tunery.schema.space.parameters import parameters
from tunery.schema.space.sampled import domains, with_domains
from tunery.schema.space.yaml_file import default_space, domain_text, first_sentence, value_yaml
from tunery.schema.spec import Choices, Range

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "space.yaml"
LEAST: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}


def test_the_example_is_what_the_schema_says() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == default_space(), "out of date; type: make docs"
    assert default_space().startswith("# tunery search examples/space.yaml data.train=DIR/train.csv\n")
    assert max(map(len, default_space().splitlines())) <= 120


def test_the_text_is_the_space_that_a_study_opens_by_itself() -> None:
    read, opened = with_domains(parse_yaml(default_space(), source="text")), with_default_domains(LEAST)
    found = domains(read)
    assert found == domains(opened)
    assert list(found) == list(domains(opened)), "a study asks in the order of the document"
    check_space(read)
    assert domains(load_document(EXAMPLE, ["data.train=other.csv", "data.text=body"])) == found
    assert f"{len(found)} parameters, {sum(bool(p.when) for p in parameters(read))} of them" in default_space()


def test_a_line_can_be_narrowed_or_taken_out() -> None:
    lines = [line for line in default_space().splitlines() if not line.lstrip().startswith("batch_size:")]
    text = "\n".join(lines).replace("    tokens: [5, 10, 20, 30]", "    tokens: [5, 10]")
    found = domains(with_domains(parse_yaml(text, source="text")))
    assert "train.batch_size" not in found and found["peft.prefix.tokens"] == Choices((5, 10))


def test_every_parameter_has_its_words() -> None:
    lines = default_space().splitlines()
    assert "  epochs: {low: 1, high: 10}  # Passes over the training rows." in lines
    assert "  r: [4, 8, 16, 32]  # Rank of the update. For lora, lora_plus, dora, rslora." in lines
    assert any(line.endswith("Not for ce, weighted_bce.") for line in lines)
    assert "peft:  # Which parameters are trained in place of all." in lines


@pytest.mark.parametrize(
    ("domain", "text", "words"),
    [
        (Range(1e-5, 2e-3, log=True), "{low: 1.0e-05, high: 0.002, log: true}", "1e-05 to 0.002, logarithmic"),
        (Range(0.0, 0.5, step=0.25), "{low: 0.0, high: 0.5, step: 0.25}", "0 to 0.5, in steps of 0.25"),
        (Range(1, 10), "{low: 1, high: 10}", "1 to 10"),
        (Choices((None, "balanced")), "[null, balanced]", "null, balanced"),
        (Choices((True, "true", "no", 1, "1e-5")), "[true, 'true', no, 1, '1e-5']", "true, 'true', no, 1, '1e-5'"),
        (Choices((("a", "ffn.up"), ("b",))), "[[a, ffn.up], [b]]", "[a, ffn.up], [b]"),
    ],
)
def test_domains_read_back_as_they_are_written(domain: Range | Choices, text: str, words: str) -> None:
    assert (value_yaml(domain), domain_text(domain)) == (text, words)
    plain = parse_yaml(text, source="text")
    if isinstance(domain, Choices):
        assert tuple(tuple(v) if isinstance(v, list) else v for v in plain) == domain.values
    else:
        assert Range(**plain) == domain


@pytest.mark.parametrize(
    ("doc", "words"),
    [
        ("Rank of the update. More.", "Rank of the update."),
        ("Off; or on.", "Off."),
        ("A way (Hu et al. 2021, section 4.1), that\nworks.", "A way (Hu et al. 2021, section 4.1), that works."),
        ("Nearly optimal. More.", "Nearly optimal."),
        ("Below 0.5 it is off. More.", "Below 0.5 it is off."),
        (None, ""),
    ],
)
def test_the_first_words_of_a_docstring(doc: str | None, words: str) -> None:
    assert first_sentence(doc) == words
