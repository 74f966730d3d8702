"""One process' part in a study: to lead it, or to help with its trials."""

from tunery.errors import StudyFailed
from tunery.execution.observer import Observer
from tunery.execution.runner import Runner
from tunery.hpo.analysis.trial_records import summarise
from tunery.hpo.plan import Plan
from tunery.hpo.trial_loop import TrialLoop
from tunery.hpo.winner import conclude, write_records
from tunery.schema.results.study import StudyResult, TrialRecord
from tunery.store.disk.lock import holder
from tunery.train.loop.baselines import known_baselines
from tunery.train.setup.prepare import Prepared
from tunery.train.signals import Signals


def lead(
    plan: Plan,
    prepared: Prepared,
    runner: Runner,
    signals: Signals,
    *,
    shared: bool,
    observer: Observer[TrialRecord],
) -> StudyResult:
    """Simple models, all trials, those of other workers too, and what comes after."""
    trial_loop = TrialLoop(plan, runner, shared=shared, leave=lambda: signals.by, observer=observer)
    baselines = known_baselines(plan.base, prepared, trial_loop.store, say=observer.say)

    def summary() -> StudyResult:
        return summarise(plan, notes=trial_loop.notes)

    try:
        with signals.deferred():
            trial_loop.run(total=plan.base.search.n_trials)
    except StudyFailed:
        write_records(summary(), plan.out)
        raise
    trial_loop.store.tidy()
    return conclude(summary(), plan, store=trial_loop.store, run=trial_loop.train, baselines=baselines)


def follow(
    plan: Plan, runner: Runner, signals: Signals, *, at_most: int | None, observer: Observer[TrialRecord]
) -> int:
    """Trials until none is left, or `at_most`, of a study that another process leads. Returns how many."""
    trial_loop = TrialLoop(plan, runner, shared=True, leave=lambda: signals.by, observer=observer)
    with signals.deferred():
        trained = trial_loop.run(at_most=at_most)
    if holder(plan.out) is None:  # a folder of the worker's own, which no other process will clear
        trial_loop.store.features.clear()
    return trained
