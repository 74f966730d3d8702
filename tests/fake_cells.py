"""Stands in for the interpreters of a comparison."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from tunery.execution.runner import Job, Outcome, Prune, Runner, Stop
from tunery.schema import RunConfig
from tunery.schema.results.record import Objective
from tunery.schema.results.run import (
    CheckpointRecord,
    DataRecord,
    Memory,
    Metrics,
    Parameters,
    RunResult,
    Seconds,
    Tokens,
)
from tunery.store.disk.run_lock import run_lock
from tunery.store.folder import RunFolder

SCORES = {"none": 0.8, "lora": 0.7, "ia3": 0.6}


class Fake(Runner):
    """Trains nothing: writes a plausible record and a model of 100 bytes."""

    def __init__(
        self,
        *,
        score: Callable[[str, int], float] | None = None,
        loss: Callable[[str], float] = lambda method: 0.5,
        notes: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        **outcomes: Outcome,
    ) -> None:
        self.outcomes = outcomes
        self.notes = notes
        self.loss = loss
        self.trained: list[tuple[str, int]] = []
        self.score = score or (lambda method, seed: SCORES[method] + 0.01 * (seed % 3))

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        method, folder = job.folder.parent.name, RunFolder(job.folder)
        self.trained.append((method, job.config.seed))
        outcome = self.outcomes.get(f"{method}_{job.config.seed}") or self.outcomes.get(method)
        if outcome is not None:
            return outcome
        with run_lock(job.folder, job.config.model_dump(mode="json"), record="result.json"):
            (job.folder / "best").mkdir()
            digest, size = folder.objects.put({"weight": torch.ones(4)})
            equal = CheckpointRecord(kind="co_best", step=8, epoch=2.0, digest=digest, bytes=size)
            folder.write_kept((equal,))
        (job.folder / "best" / "weights").write_text(f"{method:<50}{job.config.seed:<50}")
        result = record(job.config, self.score(method, job.config.seed), loss=self.loss(method))
        folder.write_result(result.model_copy(update={"notes": self.notes.get(method, ())}))
        return Outcome("completed")

    def close(self) -> None:
        """Nothing serves the cells."""


def record(config: RunConfig, value: float, *, loss: float = 0.5) -> RunResult:
    return RunResult(
        status="completed",
        objective=Objective(name="f1_macro", value=value, direction="maximize"),
        metrics=Metrics(
            validation={"f1_macro": value, "loss": loss},
            test={"f1_macro": value},
            test_without_block=tuple(value + 0.001 * (block - 2) for block in range(5)),
        ),
        parameters=Parameters(trainable=10, total=100, percent=10.0),
        seconds=Seconds(train=10 * value, total=10.0),
        memory=Memory(host_peak_bytes=1000),
        disk_bytes=100,
        written_bytes=500,
        tokens=Tokens(real=100, processed=120),
        epochs=2.0,
        best_epoch=1,
        config=config.model_dump(mode="json"),
        environment=None,
        base=None,
        data=DataRecord(splits={}, findings=("warning: the test split has one class",)),
    )
