"""Simple models: those that stand beside a run, and the first trials of a study."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from tunery.schema.config.peft import Majority
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import Document, validate
from tunery.schema.reading.fields import members

BASELINES: Final[Mapping[str, Document]] = {
    "majority": {"peft": {"method": "majority"}},
    "tfidf": {"peft": {"method": "tfidf"}},
    "probe": {"peft": {"method": "probe"}, "model": {"head": {"kind": "auto"}}},
}
"""From the simplest on: what a config says for each."""
_KEPT: Final = ("name", "seed", "task", "data", "model", "train", "checkpoint", "tracking", "search")
"""Sections that a simple model has in common with what it stands beside; the others have no effect on it."""


def baseline_config(config: RunConfig, method: str) -> RunConfig:
    """The config of a simple model on the rows of `config`, with its model and seed."""
    document: dict[str, Any] = {key: config.model_dump(mode="json")[key] for key in _KEPT}
    patch = BASELINES[method]
    model = {**document["model"], **patch.get("model", {})}
    return validate({**document, **patch, "model": model})


def fitting(config: RunConfig, names: Collection[str]) -> list[str]:
    """Those of some simple models that can stand beside a run, from the simplest on: no probe of a quantised base,
    which would be read in full."""
    return [name for name in BASELINES if name in names and (name != "probe" or config.model.quantization is None)]


def simpler_than(config: RunConfig, names: Collection[str]) -> list[str]:
    """Those of them that are simpler than the run is."""
    methods = members(RunConfig.model_fields["peft"])
    if not isinstance(config.peft, tuple(methods[name] for name in BASELINES)):
        return fitting(config, names)
    return [] if isinstance(config.peft, Majority) else fitting(config, {"majority"} & set(names))
