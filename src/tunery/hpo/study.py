"""A study: propose, train, judge, keep the best, say what happened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from transformers import TrainerCallback

from tunery.errors import ConfigError, DiskFull, Interrupted, RunError, StudyFailed
from tunery.hpo.pruning import Pruning
from tunery.hpo.records import STATUS, summarise, trial_folder, trial_record
from tunery.hpo.space import complete, propose, strong_default
from tunery.hpo.steady import SteadySampler
from tunery.hpo.tables import PRUNERS, SAMPLERS
from tunery.hpo.winner import conclude, write_records
from tunery.schema import RunConfig
from tunery.schema.document import Document, validate
from tunery.schema.results import StudyResult, TrialRecord
from tunery.schema.space import check_space, domains, realise, with_default_domains, with_domains
from tunery.schema.spec import Choices
from tunery.store.folder import RunFolder, claimed, read_study, refuse_other
from tunery.store.study import StudyStore, ignore
from tunery.train.fit import finish, fit
from tunery.train.prepare import prepare
from tunery.train.signals import Signals

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_STATES = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Observer(Protocol):
    """Who is told about trials as they come and go."""

    def trial_started(self, number: int, config: RunConfig) -> Sequence[TrainerCallback]:
        """A trial begins; the callbacks returned here watch its training."""

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial has completed, was pruned or failed."""

    def say(self, text: str) -> None:
        """Something that a person should know: disk space, damaged resume points."""


@dataclass(frozen=True)
class _Search:
    """What stays the same over the whole study."""

    document: Document
    base: RunConfig
    out: Path
    study: optuna.Study
    store: StudyStore
    observer: Observer | None


def search(document: Document, *, out: str | Path, observer: Observer | None = None) -> StudyResult:
    """Run, continue or show the study of `document` in the folder `out`.

    A config without any range is searched over the schema's default range of every value it does not fix. The number
    of trials counts those of earlier calls; a trial that a dead process left running is continued, not repeated. The
    winner by the validation objective is exported to `out/best` and scored on test, once.

    Raises:
        RequestError: when config, space, data, model or folder are wrong.
        Interrupted: on SIGINT or SIGTERM; the same call continues.
        DiskFull: when there is no room for weights or training state; the same call continues once there is.
        RunError: when the study's database cannot be written; the same call continues.
        StudyFailed: when too many trials in a row fail, or none completes.
    """
    document = with_domains(document)
    document = document if domains(document) else with_default_domains(document)
    check_space(document)
    folder, base = Path(out), _base(document)
    plain = complete(document, base)
    refuse_other(folder, plain, record="study.json")
    known = read_study(folder)
    if known is not None and known.counts["total"] >= base.search.n_trials:
        return known
    prepare(base)
    with Signals().listening(), claimed(folder, plain, record="study.json"):
        store = StudyStore(folder, base.checkpoint, direction=base.direction, say=observer.say if observer else ignore)
        try:
            return _run(_Search(document, base, folder, _open(folder, base), store, observer))
        except StorageInternalError as error:
            what = f"{str(folder / 'study.db')!r} could not be read or written: {error.__cause__ or error}"
            raise RunError(f"{what}; once that is mended, the same command goes on") from error


def _base(document: Document) -> RunConfig:
    """The config that every trial shares; searched values stand at the first they may take."""
    return validate(realise(document, lambda path, d: d.values[0] if isinstance(d, Choices) else d.low))


def _open(folder: Path, base: RunConfig) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = f"sqlite:///{folder / 'study.db'}"
    names = optuna.get_all_study_names(storage)
    return optuna.create_study(
        study_name=names[0] if names else base.name,  # the folder is one study, whatever its config is called by now
        storage=storage,
        direction=base.direction,
        pruner=PRUNERS[type(base.search.pruner)](base.search.pruner),
        load_if_exists=True,
    )


def _run(search: _Search) -> StudyResult:
    settings, started, failures = search.base.search, time.monotonic(), 0
    if not search.study.get_trials(deepcopy=False):
        search.study.enqueue_trial(strong_default(search.document))
    while (ended := len(_ended(search.study))) < settings.n_trials:
        if ended and settings.timeout is not None and time.monotonic() - started > settings.timeout:
            break
        failures = failures + 1 if _run_trial(search, _next_trial(search)) is TrialState.FAIL else 0
        if failures >= settings.max_failures:
            result = _summary(search)
            write_records(result, search.out)
            raise StudyFailed(f"{failures} trials in a row failed, the last with: {result.trials[-1].reason}")
    search.store.tidy()
    return conclude(_summary(search), search.out)


def _summary(search: _Search) -> StudyResult:
    return summarise(search.study, search.base, search.out, document=search.document)


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_ENDED)


def _next_trial(search: _Search) -> Trial:
    """A trial that a dead process left running, else a new one; either proposes what it would have proposed."""
    left = search.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    number = left[0].number if left else len(_ended(search.study))
    spec = search.base.search.sampler
    search.study.sampler = SteadySampler(partial(SAMPLERS[type(spec)], spec), seed=search.base.seed, number=number)
    return Trial(search.study, left[0]._trial_id) if left else search.study.ask()


def _run_trial(search: _Search, trial: Trial) -> TrialState:
    try:
        config = propose(trial, search.document)
    except ConfigError as error:
        return _tell(search, trial, TrialState.PRUNED, reason=f"illegal combination: {error.problems[0]}")
    folder = trial_folder(search.out, trial.number)
    watchers = search.observer.trial_started(trial.number, config) if search.observer else ()
    callbacks = [*watchers, Pruning(trial, objective=config.objective)]
    try:
        result = fit(config, callbacks, out=folder.path, study=search.out, say=search.store.say)
    except (Interrupted, DiskFull, OSError, StorageInternalError):
        raise  # none is the trial's fault: it stays running, and the next call continues it
    except optuna.TrialPruned as pruned:
        return _give_up(search, trial, config, folder, TrialState.PRUNED, str(pruned))
    except Exception as error:
        return _give_up(search, trial, config, folder, TrialState.FAIL, f"{type(error).__name__}: {error}")
    if result.status != "completed":  # a process died between recording the end and telling the study
        return _tell(search, trial, _STATES[result.status], reason=result.reason)
    if result.objective.value is None:
        return _give_up(search, trial, config, folder, TrialState.FAIL, f"{config.objective} is undefined")
    return _tell(search, trial, TrialState.COMPLETE, value=result.objective.value)


def _give_up(
    search: _Search, trial: Trial, config: RunConfig, folder: RunFolder, state: TrialState, reason: str
) -> TrialState:
    finish(search.store, folder, config, STATUS[state], progress=folder.progress(), reason=reason)
    return _tell(search, trial, state, reason=reason)


def _tell(
    search: _Search, trial: Trial, state: TrialState, *, value: float | None = None, reason: str | None = None
) -> TrialState:
    if reason is not None:
        trial.set_user_attr("reason", reason)
    search.study.tell(trial, value, state)
    if search.observer:
        frozen = search.study.get_trials(deepcopy=False)[trial.number]
        objective = search.base.objective
        search.observer.trial_ended(trial_record(frozen, search.out, document=search.document, objective=objective))
    return state
