"""Records with the names of methods that a person reads; files keep their own."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from tunery.schema.config.peft import method_name
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.fields import members, written_names
from tunery.schema.results.comparison import Cell, ComparisonResult, MethodSummary
from tunery.schema.results.study import StudyResult

Record = TypeVar("Record", Cell, MethodSummary)


def named(records: Iterable[Record]) -> list[Record]:
    """The same records, each under the name that a person reads for its method."""
    return [record.model_copy(update={"method": method_name(record.method)}) for record in records]


def comparison_to_read(result: ComparisonResult) -> ComparisonResult:
    """The same comparison, for pages, pictures and tables that people read."""
    update = {
        "methods": tuple(named(result.methods)),
        "cells": tuple(named(result.cells)),
        "baseline": method_name(result.baseline),
        "best": named([result.best])[0] if result.best else None,
    }
    return result.model_copy(update=update)


def study_to_read(study: StudyResult) -> StudyResult:
    """The same study, for pages and tables that people read."""
    trials = [trial.model_copy(update={"params": params_to_read(trial.params)}) for trial in study.trials]
    return study.model_copy(update={"trials": tuple(trials)})


def params_to_read(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial drew, as a config writes it: `full` for the method that records call `none`."""
    methods = members(RunConfig.model_fields["peft"])
    return {path: written_names(value, methods) if path == "peft.method" else value for path, value in params.items()}
