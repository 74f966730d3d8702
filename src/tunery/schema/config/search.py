"""What a study looks for, how it proposes, when it prunes a trial, and what it does at its end."""

import math
from typing import Annotated, Literal, get_args

from pydantic import Field

from tunery.schema.results.direction import Direction
from tunery.schema.spec import Spec

Cost = Literal["memory", "seconds", "parameters", "disk"]
"""What a trial takes: peak memory in bytes (of the device where there is one, else of the process), seconds of
training, trained parameters, bytes that stay on disk. Less is better."""

COSTS: tuple[Cost, ...] = get_args(Cost)

StartupTrials = Annotated[int, Field(ge=0, le=1_000_000)]
MinEpochs = Annotated[int, Field(ge=1, le=1000)]
ReductionFactor = Annotated[int, Field(ge=2, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000_000)]


class Tpe(Spec):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023, arXiv 2304.11127); every branch of a
    conditional space has a model of its own."""

    name: Literal["tpe"] = "tpe"
    startup_trials: StartupTrials = 10
    """Random trials before the model of the space is used."""


class Gp(Spec):
    """Gaussian process with expected improvement, for small spaces of numbers; what not all trials have is drawn at
    random."""

    name: Literal["gp"] = "gp"
    startup_trials: StartupTrials = 10
    """Random trials before the model of the space is used."""


class Random(Spec):
    """Independent random draws."""

    name: Literal["random"] = "random"


class Grid(Spec):
    """Every combination once, in an order drawn from the seed; the study ends when none is left."""

    name: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=2, le=1000)] = 3
    """Values taken from a range that has no `step`, both ends included."""


class CmaEs(Spec):
    """Covariance matrix adaptation (Hansen 2016, arXiv 1604.00772), for numbers that every trial has; the rest is
    drawn at random."""

    name: Literal["cmaes"] = "cmaes"
    startup_trials: StartupTrials = 10
    """Random trials before the first generation."""


class Nsga2(Spec):
    """Evolution towards the Pareto front (Deb et al. 2002), for several objectives and many trials; it crosses what
    every trial has, the rest is drawn at random."""

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[int, Field(ge=2, le=100_000)] = 20
    """Trials in one generation."""


class MedianPruner(Spec):
    """Stop a trial whose best epoch so far is below the median of completed trials at the same epoch, or one of so many
    equals that the middle of their ranks is; never where nothing is better."""

    name: Literal["median"] = "median"
    startup_trials: StartupTrials = 4
    """Finished trials needed before any trial is pruned."""
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 1
    """Epochs of a trial during which it is not pruned: the first says little of a slow learner."""


class PercentilePruner(Spec):
    """Stop a trial whose best epoch so far is not among the best `percentile` per cent of completed trials at the same
    epoch; equals have the middle of their ranks, and none is stopped where nothing is better."""

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0, le=100)] = 25.0
    """Per cent of trials that go on."""
    startup_trials: StartupTrials = 4
    """Finished trials needed before any trial is pruned."""
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 1
    """Epochs of a trial during which it is not pruned: the first says little of a slow learner."""


class SuccessiveHalving(Spec):
    """After `min_epochs`, and `reduction_factor` times as many each time, only the best of every `reduction_factor`
    trials goes on (Li et al. 2020, arXiv 1810.05934, algorithm 2)."""

    name: Literal["successive_halving"] = "successive_halving"
    min_epochs: MinEpochs = 1
    """Epochs before the first decision."""
    reduction_factor: ReductionFactor = 3
    """One of so many trials goes on."""


class Hyperband(Spec):
    """Several successive halvings side by side, which begin to decide at different epochs (Li et al. 2018,
    arXiv 1603.06560; Falkner et al. 2018, arXiv 1807.01774)."""

    name: Literal["hyperband"] = "hyperband"
    min_epochs: MinEpochs = 1
    """Epochs before the first decision of the most eager one."""
    reduction_factor: ReductionFactor = 3
    """One of so many trials goes on."""


class NoPruner(Spec):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


Sampler = Annotated[Tpe | Gp | Random | Grid | CmaEs | Nsga2, Field(discriminator="name")]
Pruner = Annotated[
    MedianPruner | PercentilePruner | SuccessiveHalving | Hyperband | NoPruner, Field(discriminator="name")
]


class Rescore(Spec):
    """Train the best configurations again with other seeds, so that luck does not choose the winner."""

    top: Annotated[int, Field(ge=2, le=1000)] = 5
    """Most configurations that are trained again; a tenth of the completed trials where that is less, so that it stays
    a small part of the study, and none where that leaves fewer than two."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 2
    """More seeds for each."""


class Search(Spec):
    """The study around the run. `objective` also chooses the best epoch of a single run."""

    objective: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Validation metric to optimise; null takes the task's default. A list adds what else counts, further metrics or
    costs to keep low: `[f1_macro, evidence_auprc, memory]`; costs are `memory`, `seconds`, `parameters` and `disk`. The
    first chooses epochs and the winner; the rest shows which trials are Pareto-optimal."""
    direction: Direction | None = None
    """null takes the metric's own direction; a contradiction is refused."""
    n_trials: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Trials in the whole study, those of earlier runs of the same command included."""
    timeout: Seconds | None = None
    """Seconds after which no new trial starts; the first always does."""
    sampler: Sampler = Tpe()
    """Proposes the next configuration."""
    pruner: Pruner = MedianPruner()
    """Decides after each epoch whether a running trial is stopped."""
    fold_p_value: Annotated[float, Field(gt=0, le=0.5)] | None = 0.1
    """With `data.folds`: a trial is stopped after a fold where its folds so far are worse than the same of the best
    trial, by Wilcoxon's signed-rank test at this level, which takes four folds or more; null: never."""
    baselines: tuple[Literal["probe", "tfidf"], ...] = ("probe", "tfidf")
    """Simple models that are the first trials, at most a quarter of `n_trials`: the frozen model with a linear head,
    TF-IDF. One may win; the sampler and the pruner do not look at them. A list; empty for none. A grid has none: it is
    every combination once."""
    max_failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Failed trials in a row that end the study."""
    n_jobs: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Trials that run at once on one machine. Null: one for each of its `devices`, or one. Where there are more than
    devices, trials share them."""
    devices: Annotated[tuple[Annotated[int, Field(ge=0, le=1023)], ...], Field(min_length=1)] | None = None
    """GPUs that trials are shared out over, each of which then sees its own alone; counted from 0 among those that the
    process may see (`CUDA_VISIBLE_DEVICES`). Null: all of them."""
    stall_timeout: Seconds | None = 1800.0
    """Seconds without a step or a score after which a trial counts as hung and its process is ended; null waits for
    ever."""
    rescore: Rescore | None = Rescore()
    """What is trained again before the winner is named; null takes the best value as it is."""
    ensemble: Annotated[int, Field(ge=2, le=1000)] | None = 5
    """Best trials whose weights stay until the study ends, to measure what they gain as an ensemble; null keeps none
    for that."""

    @property
    def jobs(self) -> int:
        """Trials that run at once."""
        return self.n_jobs or len(self.devices or (0,))

    @property
    def runs_per_device(self) -> int:
        """Trials that share a device, at most."""
        return math.ceil(self.jobs / len(self.devices or (0,)))

    @property
    def candidates(self) -> int:
        """Best trials whose weights stay until the study ends: any of them may win after all, or join the ensemble."""
        return max(self.ensemble or 1, self.rescore.top if self.rescore else 1)
