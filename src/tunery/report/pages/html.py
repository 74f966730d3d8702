"""Reports as text: self-contained HTML that opens from disk, without network, in light and dark."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from types import MappingProxyType
from typing import Any

from tunery.report.markup import Html
from tunery.report.pages.comparison_page import comparison_body
from tunery.report.pages.run_page import run_body
from tunery.report.pages.study_page import study_body
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.doubtful_rows import DoubtfulRows
from tunery.schema.results.run import RunResult
from tunery.schema.results.storage import Storage
from tunery.schema.results.study import StudyResult
from tunery.schema.results.worst_rows import WorstRows

_NO_RESULTS: Mapping[int, RunResult] = MappingProxyType({})


def study_html(
    study: StudyResult,
    *,
    results: Mapping[int, RunResult] = _NO_RESULTS,
    storage: Storage | None = None,
    worst: WorstRows | None = None,
    doubtful: DoubtfulRows | None = None,
) -> str:
    """The page of a study.

    `results` (trial number -> record) adds what `study` does not hold: the winner's validation metrics, the data and
    its findings, the environment. The winner's record is enough for that, or any where there is no winner. `storage`
    adds what its folder holds, `worst` the rows that the winner answers worst,
    `doubtful` the training rows that are worth a look.
    """
    body = study_body(study, results=results, storage=storage, worst=worst, doubtful=doubtful)
    return _page(f"{study.name} \N{MIDDLE DOT} study", body)


def run_html(
    result: RunResult,
    *,
    metrics: Sequence[Mapping[str, Any]],
    storage: Storage | None = None,
    worst: WorstRows | None = None,
    doubtful: DoubtfulRows | None = None,
) -> str:
    """The page of one run.

    `metrics` are the parsed lines of `metrics.jsonl` (step, epoch, name, value); `storage` is what its folder holds,
    `worst` the rows that its model answers worst, `doubtful` the training rows that are worth a look.
    """
    body = run_body(result, metrics=metrics, storage=storage, worst=worst, doubtful=doubtful)
    return _page(f"{result.config.get('name', 'run')} \N{MIDDLE DOT} run", body)


def comparison_html(result: ComparisonResult, *, storage: Storage | None = None) -> str:
    """The page of a comparison; `storage` is what its folder holds."""
    return _page(f"{result.name} \N{MIDDLE DOT} comparison", comparison_body(result, storage=storage))


def _page(title: str, body: Html) -> str:
    template = Template(_template("page.html"))
    return template.substitute(title=escape(title), style=_template("page.css"), script=_template("page.js"), body=body)


def _template(name: str) -> str:
    return files("tunery.report").joinpath("templates", name).read_text(encoding="utf-8")
