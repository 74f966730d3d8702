"""The model card of an exported model: `README.md`, with the metadata that the Hub reads.

Mitchell et al. 2019, Model Cards for Model Reporting, section 4: what the model is, what it was trained and scored on,
how good it is and how sure that is, what it was compared with, and what it is not for. No text of a row is in it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from tunery.report.compute.run_and_study import scalars
from tunery.report.text.baseline_sentences import baseline_sentences
from tunery.report.text.formatting import DASH, METRIC_NAMES, count, duration, metric_name, score
from tunery.report.text.numbers import finite
from tunery.schema.config.peft import method_name
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.schema.results.run import RunResult
from tunery.schema.sizes import size_text

Interval = tuple[float, float]

PIPELINES: Final[Mapping[str, str]] = {
    "classification": "text-classification",
    "multilabel": "text-classification",
    "criteria_evidence": "text-classification",
    "regression": "text-classification",
    "causal_lm": "text-generation",
    "mlm": "fill-mask",
}
"""Task -> what the Hub calls it."""

_MOST_LABELS: Final = 60
_PACKAGES: Final = ("tunery", "torch", "transformers", "peft")
_SPLITS: Final = {"oof": "out of fold", "validation": "validation", "test": "test"}


class Carded(NamedTuple):
    """What a card is of."""

    result: RunResult
    """Of the run that trained it; of a study's winner with its scores on test."""
    base: str | None
    """Hub id of the base, where it has one."""
    license: str | None
    """Of the base."""
    intervals: Mapping[str, Interval | None]
    """95 % interval of the objective on test, and out of fold."""
    origin: str
    """What it is the best of: `one run`, `a study of 20 trials`, `a comparison of 3 methods`."""
    library: str
    """That reads the folder: `peft`, `transformers` or `tunery`."""


def model_card(carded: Carded) -> str:
    """Metadata in YAML between dashes, then Markdown."""
    return f"---\n{dump_yaml(_metadata(carded))}---\n\n" + "\n".join(_lines(carded)).rstrip() + "\n"


def _metadata(carded: Carded) -> dict[str, Any]:
    result = carded.result
    kind = str(_section(result.config, "task").get("kind"))
    method = str(_section(result.config, "peft").get("method"))
    metadata: dict[str, Any] = {"library_name": carded.library}
    if carded.license:
        metadata["license"] = carded.license.lower()  # as the Hub writes it
    if carded.base:
        metadata["base_model"] = carded.base
    metadata |= {"pipeline_tag": PIPELINES.get(kind, "text-classification"), "tags": ["tunery", method_name(method)]}
    found = [
        {
            "task": {"type": metadata["pipeline_tag"], "name": kind},
            "dataset": {"type": "local", "name": _source(result, split.split(",")[0]), "split": split},
            "metrics": [
                {"type": name, "name": metric_name(name), "value": value}
                for name, value in scalars(metrics).items()
                if value is not None and name in METRIC_NAMES
            ],
        }
        for split, metrics in (("test", result.metrics.test), ("train, out of fold", result.metrics.oof))
        if metrics
    ]
    if found:
        metadata["model-index"] = [{"name": str(result.config.get("name", "model")), "results": found}]
    return metadata


def _lines(carded: Carded) -> Iterator[str]:
    result = carded.result
    yield f"# {_cell_of(str(result.config.get('name', 'model')))}"
    yield ""
    yield from _what(carded)
    yield ""
    yield "## Use"
    yield ""
    yield from _use(carded)
    yield ""
    yield "## Scores"
    yield ""
    yield from _scores(carded)
    yield ""
    yield "## Data"
    yield ""
    yield from _data(result)
    yield ""
    yield "## Training"
    yield ""
    yield from _training(carded)
    yield ""
    yield "## Intended use and limits"
    yield ""
    yield _LIMITS


def _what(carded: Carded) -> Iterator[str]:
    result, labels = carded.result, _labels(carded.result)
    kind, method = _section(result.config, "task").get("kind"), _section(result.config, "peft").get("method")
    base = carded.base or str(_section(result.config, "model").get("name"))
    how = f"trained by {method_name(str(method))} from `{base}` with tunery"
    yield f"A model for the task `{kind}`, {how}: {carded.origin}."
    if labels:
        shown = ", ".join(_cell_of(label) for label in labels[:_MOST_LABELS])
        more = f" and {len(labels) - _MOST_LABELS:,} more" if len(labels) > _MOST_LABELS else ""
        yield ""
        yield f"Labels: {shown}{more}."


def _use(carded: Carded) -> Iterator[str]:
    kind = _section(carded.result.config, "task").get("kind")
    writes = kind == "causal_lm"
    yield "```python"
    yield "from tunery import load"
    yield ""
    yield 'model = load("PATH")  # this folder'
    yield 'model.generate(["a prompt"])' if writes else 'model.predict(["a text"])'
    yield "```"
    yield ""
    yield "`tunery.json` says how it decides (thresholds, temperature), and which labels it has."


def _scores(carded: Carded) -> Iterator[str]:
    metrics = carded.result.metrics
    columns = {name: getattr(metrics, name) for name in _SPLITS if getattr(metrics, name)}
    objective = carded.result.objective.name
    names = [name for name in METRIC_NAMES if any(finite(column.get(name)) is not None for column in columns.values())]
    names.sort(key=lambda name: name != objective)
    yield "| metric | " + " | ".join(_SPLITS[name] for name in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in names:
        reach = carded.intervals if name == objective else {}
        cells = [_cell(column.get(name), reach.get(split)) for split, column in columns.items()]
        yield f"| {metric_name(name)} | " + " | ".join(cells) + " |"
    yield ""
    yield f"The model was chosen by {metric_name(objective)}; in brackets the 95 % interval over the choice of rows."
    if metrics.validation:
        yield "Validation chose the epoch, and what was searched, so that its scores flatter; test was read once."
    per_label = (metrics.test or metrics.oof or metrics.validation).get("per_label")
    if isinstance(per_label, Mapping) and 0 < len(per_label) <= _MOST_LABELS:
        yield ""
        yield from _per_label(per_label)
    for note in carded.result.notes:
        yield ""
        yield f"**Note**: {_cell_of(note)}."


def _cell(value: Any, interval: Interval | None) -> str:
    return score(value) + (f" [{score(interval[0])}, {score(interval[1])}]" if interval else "")


def _per_label(per_label: Mapping[str, Any]) -> Iterator[str]:
    columns = ("precision", "recall", "f1", "support")
    yield "| label | precision | recall | F1 | rows |"
    yield "|---|---|---|---|---|"
    for label, row in per_label.items():
        if isinstance(row, Mapping):
            cells = [score(row.get(name)) for name in columns[:3]]
            rows = finite(row.get("support"))
            yield f"| {_cell_of(label)} | {' | '.join(cells)} | {DASH if rows is None else count(rows)} |"


def _cell_of(text: str) -> str:
    """A text that is no markup: on one line, and in one cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _data(result: RunResult) -> Iterator[str]:
    if result.data is None:
        yield "Not recorded."
        return
    yield "| split | rows | digest (SHA-256 of its rows) |"
    yield "|---|---|---|"
    for name, split in result.data.splits.items():
        yield f"| {name} | {split.rows:,} | `{split.digest[:16]}` |"
    if result.data.findings:
        yield ""
        yield "What was found in the data before training:"
        yield ""
        yield from (f"- {_cell_of(_without_paths(finding))}" for finding in result.data.findings)


def _training(carded: Carded) -> Iterator[str]:
    result = carded.result
    if result.parameters:
        yield f"- {result.parameters.trainable:,} of {result.parameters.total:,} parameters were trained."
    best = f", of which epoch {result.best_epoch} was kept" if result.best_epoch is not None else ""
    yield f"- {result.epochs:.3g} epochs in {duration(result.seconds.total)}{best}."
    yield f"- Peak memory {size_text(result.memory.peak)}."
    if result.environment:
        packages = result.environment.packages
        shown = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
        yield f"- {result.environment.device}, {result.environment.precision}; {', '.join(shown)}."
    if result.base:
        yield f"- Digest of the base: `{result.base}`."
    for sentence in baseline_sentences(result.baselines, result.objective.name, subject="this model"):
        yield f"- Compared with a simple model: {sentence}."


_LIMITS: Final = """\
- It answers texts like those that it was trained on. Of other sources, languages or times its scores say nothing.
- Probabilities and thresholds were fitted to the rates of labels in the data above. Where labels are rarer or commoner,
  they have to be fitted anew.
- A label that few rows have is known badly: look at its rows above before relying on it.
- Where texts are about people (health, beliefs, conduct), an answer is a hint for somebody who reads the text, no
  diagnosis and no decision. Parts of training texts may be guessed from weights: give the model to nobody who may not
  see these texts."""


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def _labels(result: RunResult) -> list[str]:
    return [] if result.data is None else list(result.data.splits["train"].labels)


def _source(result: RunResult, split: str) -> str:
    """The name of the file, or of the Hub split, without where it lies."""
    return "rows" if result.data is None else _without_paths(result.data.splits[split].source)


def _without_paths(text: str) -> str:
    return " ".join(PurePath(word).name if word.startswith(("/", "~")) else word for word in text.split(" "))
