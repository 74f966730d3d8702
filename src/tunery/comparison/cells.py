"""The runs of a comparison: every method with every seed."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tunery.comparison.methods import MethodConfigs
from tunery.errors import ConfigError, Problem
from tunery.execution.runner import Job
from tunery.schema.config.peft import method_name
from tunery.schema.reading.document import with_absolute_names
from tunery.store.folder import RunFolder

_SEEDS: Final = 2**32


@dataclass(frozen=True)
class CellJob:
    """The run of one method with one seed."""

    method: str
    job: Job

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.job.config.seed

    @property
    def folder(self) -> RunFolder:
        """Its records."""
        return RunFolder(self.job.folder)


def cell_jobs(configs: MethodConfigs, folder: Path, *, seeds: int, trust_remote_code: bool) -> list[CellJob]:
    """Seed by seed over all methods, so that an interrupted comparison is balanced.

    Raises:
        ConfigError: when there are no such seeds.
    """
    first = configs.own.seed
    if seeds < 1 or first + seeds > _SEEDS:
        rule = f"`1 <= seeds` and `seed + seeds <= {_SEEDS}` must hold, but got"
        raise ConfigError([Problem("seeds", f"{rule} seed={first}, seeds={seeds}")], source="the comparison")
    return [
        CellJob(
            method,
            Job(
                config=with_absolute_names(config.model_copy(update={"seed": seed})),
                folder=folder / "cells" / _folder_name(method) / str(seed),
                study=None,
                title=f"{method_name(method)} seed {seed}",
                trust_remote_code=trust_remote_code,
                comparison=folder,
            ),
        )
        for seed in range(first, first + seeds)
        for method, config in configs.by_method.items()
    ]


def _folder_name(method: str) -> str:
    """The method, with the digest of what no file name can hold."""
    plain = re.sub(r"[^\w.=+-]+", "-", method, flags=re.ASCII)[:80]
    return plain if plain == method else f"{plain}-{sha256(method.encode()).hexdigest()[:8]}"
