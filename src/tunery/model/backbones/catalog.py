"""Names of base models: aliases, local folders and Hub ids become one `Base`. Knows no torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tunery.errors import ModelError, RequestError
from tunery.model.backbones.checked_models import CATALOG, Entry, alias_like
from tunery.model.backbones.layouts import LAYOUTS
from tunery.schema.config.model import Model

if TYPE_CHECKING:
    from torch import Tensor


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
    raise ModelError(f"{rule}, but got {spec.name!r}; {alias_like(spec.name)}")


LAYOUT_OF: Final = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "longformer", "big_bird"), "bert"),
    **{family: family for family in ("distilbert", "deberta-v2", "modernbert", "gpt2", "llama")},
}
"""Family of the catalog -> the names of its parts (`layouts.LAYOUTS`)."""
_WEIGHTS: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of which a model in the cache has one."""


def catalog_rows(
    word: str | None = None, *, family: str | None = None, most_millions: float | None = None
) -> list[dict[str, Any]]:
    """One row per alias, for `tunery models`.

    Args:
        word: must be in the alias, in the name on the Hub, in the family or in the licence.
        family: the only one to list.
        most_millions: parameters that a model may have; those whose number is not known are left out.

    Raises:
        RequestError: nothing in the catalog is like that.
    """
    families = sorted({entry.family for entry in CATALOG.values() if entry.family})
    if family is not None and family not in families:
        raise RequestError(f"--family must be one of {', '.join(families)}, but got {family!r}")
    rows = [_row(alias, entry) for alias, entry in CATALOG.items()]
    if family is not None:
        rows = [row for row in rows if row["family"] == family]
    if most_millions is not None:
        rows = [row for row in rows if row["parameters"] is not None and row["parameters"] <= most_millions * 1e6]
    if word is not None:
        searched = ("alias", "hub", "family", "license")
        rows = [row for row in rows if any(word.lower() in str(row[key]).lower() for key in searched)]
    if not rows:
        raise RequestError(
            "no model of the catalog is like that; `tunery models` lists all of them, and model.name takes any Hub id "
            "or local folder"
        )
    return rows


def _row(alias: str, entry: Entry) -> dict[str, Any]:
    return {
        "alias": alias,
        "hub": entry.hub,
        "family": entry.family,
        "parameters": entry.parameters,
        "max_length": entry.max_length,
        "license": entry.license,
        "pooling": entry.pooling,
        "gated": entry.is_gated,
        "modules": {} if entry.family is None else LAYOUTS[LAYOUT_OF[entry.family]],
        "where": _where(entry),
    }


def _where(entry: Entry) -> str:
    """`packaged`, `cached` with its weights on this machine, or `hub`."""
    if _packaged(entry):
        return "packaged"
    from huggingface_hub import try_to_load_from_cache

    def is_cached(name: str) -> bool:
        return isinstance(try_to_load_from_cache(entry.hub, name), str)

    return "cached" if is_cached("config.json") and any(map(is_cached, _WEIGHTS)) else "hub"


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
