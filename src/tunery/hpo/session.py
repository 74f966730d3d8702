"""One process' part in a study: to lead it, or to help with its trials."""

from tunery.errors import StudyFailed
from tunery.hpo.conductor import Conductor
from tunery.hpo.plan import Observer, Plan
from tunery.hpo.records import summarise
from tunery.hpo.runner import Runner
from tunery.hpo.winner import Ending, conclude, write_records
from tunery.schema.results import StudyResult
from tunery.train.signals import Signals


def lead(plan: Plan, runner: Runner, signals: Signals, *, shared: bool, observer: Observer) -> StudyResult:
    """All trials, those of other workers too, and what comes after."""
    base, out = plan.base, plan.out

    def summary() -> StudyResult:
        return summarise(plan.study, base, out, document=plan.document, notes=conductor.notes)

    conductor = Conductor(plan, runner, shared=shared, leave=lambda: signals.by, observer=observer)
    try:
        with signals.noting():
            conductor.run(total=base.search.n_trials)
    except StudyFailed:
        write_records(summary(), out)
        raise
    conductor.store.tidy()
    return conclude(
        summary(),
        Ending(
            plan.study,
            plan.document,
            base,
            out,
            conductor.store,
            conductor.train,
            trust_remote_code=plan.trust_remote_code,
            texts=plan.texts,
        ),
    )


def follow(plan: Plan, runner: Runner, signals: Signals, *, at_most: int | None, observer: Observer) -> int:
    """Trials until none is left, or `at_most`, of a study that another process leads. Returns how many."""
    conductor = Conductor(plan, runner, shared=True, leave=lambda: signals.by, observer=observer)
    with signals.noting():
        return conductor.run(at_most=at_most)
