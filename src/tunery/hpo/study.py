"""A study: what is searched, where it is written down, who trains its trials, and what comes of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, final

import optuna
from optuna.exceptions import StorageInternalError

from tunery.errors import ConfigError, Problem, RunError, StudyFailed
from tunery.hpo.conductor import Conductor, Observer, Plan
from tunery.hpo.database import close_study, join_study, open_study, sqlite_url
from tunery.hpo.engines import make_runner
from tunery.hpo.grid import grid
from tunery.hpo.records import summarise
from tunery.hpo.runner import Runner
from tunery.hpo.space import Space, complete
from tunery.hpo.winner import Ending, conclude, write_records
from tunery.schema import RunConfig
from tunery.schema.document import Document
from tunery.schema.metrics import Direction
from tunery.schema.results import StudyResult, TrialRecord
from tunery.schema.space import with_domains
from tunery.schema.space_default import space_of
from tunery.store.folder import claimed, read_study, refuse_other
from tunery.train.prepare import prepare
from tunery.train.signals import Signals

_CONFIG: Final = "config"
"""User attribute of a study: its space, as `config.yaml` has it."""


def search(
    document: Document,
    *,
    out: str | Path,
    observer: Observer | None = None,
    storage: str | None = None,
    engine: str | Runner = "processes",
    gpus_per_trial: float | None = None,
) -> StudyResult:
    """Run, continue or show the study of `document` in the folder `out`.

    A config without any range is searched over the schema's default range of every value it does not fix. The number
    of trials counts those of earlier calls; a trial that a dead process left running is continued, not repeated. At the
    end the best configurations are trained again with other seeds, and the winner is exported to `out/best` and scored
    on test, once.

    Args:
        storage: URL of a server's database, so that workers elsewhere may join; None keeps it in `out/study.db`.
        engine: where trials are trained: `processes`, `here`, in this process, `ray`, or a `Runner` of your own.
        gpus_per_trial: share of a GPU that a trial gets from Ray.

    Raises:
        RequestError: when config, space, data, model, folder or database are wrong.
        Interrupted: on SIGINT or SIGTERM; the same call continues.
        DiskFull: when there is no room for weights or training state; the same call continues once there is.
        RunError: when the study's database cannot be written; the same call continues.
        StudyFailed: when too many trials in a row fail, or none completes.
    """
    space, folder = space_of(document), Path(out)
    base = _base(space)
    plain = complete(space, base)
    refuse_other(folder, plain, record="study.json")
    known = read_study(folder)
    if known is not None and known.counts["total"] >= base.search.n_trials:
        return known
    runner = make_runner(engine, gpus_per_trial=gpus_per_trial) if isinstance(engine, str) else engine
    costs: list[Direction] = ["minimize" for _ in base.objectives[1:]]
    url, directions = storage or sqlite_url(folder), [base.direction, *costs]
    signals = Signals()
    with closing(runner), signals.listening():
        prepare(base)
        with (
            claimed(folder, plain, record="study.json"),
            _opened(open_study(url, name=base.name, directions=directions)) as study,
        ):
            study.set_user_attr(_CONFIG, plain)
            plan = Plan(space, base, folder, study)
            return _to_the_end(plan, runner, signals, shared=storage is not None, observer=observer or Silent())


def work(
    url: str,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    trials: int | None = None,
    observer: Observer | None = None,
) -> int:
    """Train trials of a study that `search` began on a server, until none is left. Returns how many.

    Args:
        name: of the study; None: the only one that the server has.
        out: the study's folder where this machine sees it, so that a trial which another worker lost goes on from its
            resume point; else a folder of its own, in which such a trial starts over. None: `runs/NAME`.
        trials: leave after so many.

    Raises:
        RequestError: when there is no such study, or data, model or folder are wrong here.
        Interrupted: on SIGINT or SIGTERM; other workers go on with the trial at once.
        DiskFull: when there is no room.
        RunError: when the database cannot be reached any more.
        StudyFailed: when too many trials in a row fail here.
    """
    with _opened(join_study(url, name)) as study:
        plain = study.user_attrs[_CONFIG]
        folder, space = Path(out) if out is not None else Path("runs") / study.study_name, with_domains(plain)
        refuse_other(folder, plain, record="study.json")
        plan = Plan(space, _base(space), folder, study)
        signals = Signals()
        with closing(make_runner("processes", gpus_per_trial=None)) as runner, signals.listening():
            prepare(plan.base)
            conductor = Conductor(plan, runner, shared=True, leave=lambda: signals.by, observer=observer or Silent())
            with signals.noting():
                return conductor.run(at_most=trials)


@final
class Silent:
    """Tells nobody."""

    def trial_started(self, number: int, config: RunConfig) -> None:
        """Nothing."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


def _to_the_end(plan: Plan, runner: Runner, signals: Signals, *, shared: bool, observer: Observer) -> StudyResult:
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
    return conclude(summary(), Ending(plan.study, plan.document, base, out, conductor.store, conductor.train))


def _base(space: Document) -> RunConfig:
    """What all trials share, in the first configuration that the rules accept."""
    first = next(grid(space), None)
    found = None if first is None else Space(space).settled(first.__getitem__)
    if found is None:
        raise ConfigError([Problem("", "no combination of these values is legal")], source="the search space")
    return found[1]


@contextmanager
def _opened(study: optuna.Study) -> Iterator[optuna.Study]:
    """Close the study at the end.

    Raises:
        RunError: when its database fails within the block.
    """
    try:
        yield study
    except StorageInternalError as error:
        what = f"the study's database could not be read or written: {error.__cause__ or error}"
        raise RunError(f"{what}; once that is mended, the same command goes on") from error
    finally:
        close_study(study)
