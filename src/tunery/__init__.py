"""tunery: fine-tuning that saves disk, memory and time, and tests its results."""

from importlib import import_module
from logging import getLogger
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunery.comparison.compare import compare
    from tunery.errors import TuneryError
    from tunery.folders import difference, list_runs, remove_run
    from tunery.hpo.analysis.ensemble import ensemble
    from tunery.hpo.study import search
    from tunery.schema import RunConfig, RunResult, load_config, load_document
    from tunery.train.predict.deciding import threshold
    from tunery.train.predict.inference import load
    from tunery.train.pretrain_run import pretrain
    from tunery.train.run import fit

_MODULE_OF = {
    "RunConfig": "tunery.schema",
    "RunResult": "tunery.schema",
    "TuneryError": "tunery.errors",
    "compare": "tunery.comparison.compare",
    "difference": "tunery.folders",
    "ensemble": "tunery.hpo.analysis.ensemble",
    "fit": "tunery.train.run",
    "list_runs": "tunery.folders",
    "load": "tunery.train.predict.inference",
    "load_config": "tunery.schema",
    "load_document": "tunery.schema",
    "pretrain": "tunery.train.pretrain_run",
    "remove_run": "tunery.folders",
    "search": "tunery.hpo.study",
    "threshold": "tunery.train.predict.deciding",
}

__all__ = [
    "RunConfig",
    "RunResult",
    "TuneryError",
    "compare",
    "difference",
    "ensemble",
    "fit",
    "list_runs",
    "load",
    "load_config",
    "load_document",
    "pretrain",
    "remove_run",
    "search",
    "threshold",
]


# bitsandbytes looks for an optional download when peft imports it, and warns where there is none
getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward")
)


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use, so that `import tunery` stays light."""
    if name == "__version__":
        return import_module("importlib.metadata").version("tunery")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'tunery' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """The public names, also before they are loaded."""
    return __all__
