"""`peft: probe`: the head of a model that is not trained, fitted at once."""

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tunery.baselines.linear_models import fit_linear
from tunery.baselines.targets import LinearTargets
from tunery.errors import Interrupted, ModelError
from tunery.model.frozen_part import PooledEncoder
from tunery.model.heads.heads import HeadedModel, PooledHead
from tunery.model.heads.layers import LevelLinear
from tunery.schema.config.peft import Probe
from tunery.schema.results.run import Progress, Tokens
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.loop.callbacks import KeepBest, record_only_epoch
from tunery.train.loop.clock import Clock
from tunery.train.loop.features import pooled_features
from tunery.train.loop.training import progress_of, validation_score
from tunery.train.setup.assemble import Assembled
from tunery.train.signals import Signals


@final
class Probing:
    """What `Training` is for other methods. It takes seconds, so there are no resume points: it starts over."""

    def __init__(self, run: Assembled, store: StudyStore, folder: RunFolder, *, clock: Clock, signals: Signals) -> None:
        self._run = run
        self._store = store
        self._folder = folder
        self._clock = clock
        self._signals = signals

    def finish(self, *, start_over: Callable[[], object] | None = None) -> Progress:
        """Fit the head, score it and keep it. Returns what the run has cost.

        Raises:
            ModelError: as in `linear_head`.
            Interrupted: when something asked to leave.
        """
        run, folder = self._run, self._folder
        progress_before = folder.progress()
        with self._signals.deferred(), self._clock.phase("train"):
            fit_head(run, self._store)
        if self._signals.stop_requested():
            raise Interrupted(f"{self._signals.by} came while the probe was fitted; the same command starts it over")
        with self._clock.phase("evaluate"):
            metrics = validation_score(run)
        read = int(run.prepared.encoded["train"].lengths.sum())
        progress = progress_of(
            run,
            progress_before,
            tokens=Tokens(real=read, processed=read),
            epochs=1,
            seconds=self._clock.seconds(),
            written_bytes=0,
            started_from=None,
        )
        folder.write_progress(progress)
        record_only_epoch(run.config, folder, metrics)
        KeepBest(self._store, folder, run.built, config=run.config, reference=run.reference).keep(
            metrics, step=1, epoch=1.0
        )
        return progress


class LinearHead(NamedTuple):
    """What a linear model of pooled features can be put into."""

    encoder: PooledEncoder
    layer: nn.Linear | LevelLinear
    targets: LinearTargets
    """Of the training rows."""


def linear_head(run: Assembled) -> LinearHead:
    """The only head of a run, which has to be linear.

    Raises:
        ModelError: the task asks the model for something else, or the model has no such head.
    """
    is_probe = isinstance(run.config.peft, Probe)
    setting = "peft.method=probe" if is_probe else "model.head.init=probe"
    remedy = "peft.method=lora" if is_probe else "model.head.init=random"
    targets = run.prepared.required_linear_targets(setting, remedy=remedy)
    module, (name,) = run.built.module, run.prepared.task.outputs
    head = module.heads[name] if isinstance(module, HeadedModel) else None
    layer = head.layers[-1] if isinstance(head, PooledHead) and isinstance(head.layers, nn.Sequential) else None
    if not isinstance(head, PooledHead) or not isinstance(layer, nn.Linear | LevelLinear):
        raise ModelError(f"{setting} needs a linear head over pooled states, but {name} has another; take {remedy}")
    assert isinstance(module, HeadedModel)
    encoder = PooledEncoder(module, head, output=name, layers=run.built.structure.count)
    return LinearHead(encoder, layer, targets)


def fit_head(run: Assembled, store: StudyStore, rows: npt.NDArray[np.int64] | None = None) -> None:
    """Give the linear head of a run the weights of a linear model of its pooled features. Training may go on
    from there (Kumar et al. 2022, arXiv 2202.10054).

    Args:
        store: keeps the features for other runs of the same folder.
        rows: numbers of the training rows to fit it to; None: all.

    Raises:
        ModelError: as in `linear_head`.
    """
    head = linear_head(run)
    rows = np.arange(len(head.targets.values)) if rows is None else rows
    features = pooled_features(run, head.encoder, rows, store)
    linear = fit_linear(features, head.targets.take(rows), seed=run.config.seed)
    with torch.no_grad():
        head.layer.weight.copy_(torch.from_numpy(linear.weight))
        head.layer.bias.copy_(torch.from_numpy(linear.bias))
