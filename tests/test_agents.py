"""AGENTS.md promises verbs, options, files and fields: they are there."""

import re
from pathlib import Path

import typer

from tunery.cli.app import app
from tunery.schema.results.comparison import ComparisonResult, MethodSummary
from tunery.schema.results.health import Fault
from tunery.schema.results.record import Record
from tunery.schema.results.run import Baseline, Metrics, RunResult
from tunery.schema.results.study import BestTrial, StudyResult

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "AGENTS.md").read_text()


def test_verbs_and_options_are_those_of_the_command() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = [call.split() for call in re.findall(r"(?m)(?:^|`|; )tunery ((?:[a-z]+)[^`#;\n]*)", TEXT)]
    assert len(named) > 10
    for verb, *words in named:
        assert verb in verbs, verb
        options = {option for parameter in verbs[verb].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, (verb, words)


def test_fields_are_those_of_the_records() -> None:
    fields: dict[type[Record], tuple[str, ...]] = {
        RunResult: ("status", "objective", "metrics", "baselines", "notes", "seconds"),
        Metrics: ("validation", "test", "oof"),
        StudyResult: ("best", "trials", "counts", "doubts"),
        BestTrial: ("number", "value", "test", "config"),
        ComparisonResult: ("methods", "verdicts"),
        MethodSummary: ("mean", "low", "high", "p_value", "significant"),
        Baseline: ("gain",),
        Fault: ("remedy",),
    }
    for record, names in fields.items():
        for name in names:
            assert name in record.model_fields, (record, name)
            assert re.search(rf"\b{name}\b", TEXT), name
