"""A study from outside: what is searched, where it is written down, and who trains its trials.

Imports nothing heavy: what trains the trials gets ready while `session` is imported.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from optuna import Study

from tunery.data.corpus import CORPUS, require_readable_corpus
from tunery.data.reading.load import require_readable
from tunery.errors import ConfigError, DataError, Problem, RequestError
from tunery.execution.devices import shared_devices, visible_devices
from tunery.execution.engines import make_runner
from tunery.execution.observer import Observer, Silent
from tunery.execution.runner import Runner
from tunery.hpo.plan import Plan
from tunery.hpo.search_space.distributions import Space, complete
from tunery.hpo.search_space.grid import grid
from tunery.hpo.storage.database import join_study, open_study, opened, parse_url, sqlite_url
from tunery.hpo.storage.patience import Patience
from tunery.pages import write_page
from tunery.schema import ConfigLike, RunConfig, document_from
from tunery.schema.config.baselines import fitting
from tunery.schema.config.pretrain import Pretrain
from tunery.schema.config.search import Grid
from tunery.schema.reading.document import Document, anchored, override
from tunery.schema.reading.fields import ends
from tunery.schema.results.run import DataRecord
from tunery.schema.results.study import StudyResult, TrialRecord
from tunery.schema.space.default import rates_left_out, space_of
from tunery.schema.space.sampled import domains, with_domains
from tunery.store.disk.run_lock import (
    OTHER_DATA,
    changed_keys,
    data_changes,
    keep_data,
    own,
    read_study,
    refuse_other,
    refuse_other_data,
    run_lock,
)
from tunery.train.signals import Signals

if TYPE_CHECKING:
    from tunery.train.setup.prepare import Prepared

_CONFIG: Final = "config"
"""User attribute of a study: its space, as `config.yaml` has it."""
_DATA: Final = "data"
"""User attribute of a study: the rows that it began with, as `data.json` has them."""


def search(
    config: ConfigLike,
    *,
    out: str | Path,
    observer: Observer[TrialRecord] | None = None,
    storage: str | None = None,
    engine: str | Runner = "processes",
    gpus_per_trial: float | None = None,
    trust_remote_code: bool = False,
    texts: bool = True,
) -> StudyResult:
    """Run, continue or show the study of `config` in the folder `out`.

    A config without any range is searched over the schema's default range of every value it does not fix. The number
    of trials counts those of earlier calls; a trial that a dead process left running is continued, not repeated. At the
    end the best configurations are trained again with other seeds, and the winner is exported to `out/best` and scored
    on test, once.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`.
        storage: URL of a server's database, so that workers elsewhere may join; None keeps it in `out/study.db`.
        engine: where trials are trained: `processes`, `here`, in this process, `ray`, or a `Runner` of your own.
        gpus_per_trial: share of a GPU that a trial gets from Ray.
        trust_remote_code: permits code that comes with the models, here and in all processes that this call starts;
            workers that join elsewhere need a permission of their own.
        texts: whether the rows that the winner answers worst are recorded, and shown on the page, with their texts.
            False takes them out of what earlier calls have written too, for good.

    Raises:
        RequestError: when config, space, data, model, folder or database are wrong.
        Interrupted: on SIGINT or SIGTERM; the same call continues.
        DiskFull: when there is no room for weights or training state; the same call continues once there is.
        RunError: when the study's database cannot be written; the same call continues.
        StudyFailed: when too many trials in a row fail, or none completes.
    """
    document = anchored(document_from(config), Path.cwd())
    if trust_remote_code:
        document = override(document, ["model.trust_remote_code=true"])
    space, folder = space_of(document), Path(out)
    base = _base(space)
    plain = complete(space, base)
    space, base = _on_devices(space, base)
    refuse_other(folder, plain, record="study.json")
    finished = read_study(folder)
    observer = observer or Silent()
    if finished is not None and finished.counts["total"] >= base.search.n_trials:
        from tunery.train.finished import tell_finished

        tell_finished(folder, plain, base, finished_at=finished.finished_at, say=observer.say)
        if not texts:
            write_page(folder, texts=False)
        return finished
    if isinstance(engine, str):
        engine = make_runner(engine, n_jobs=base.search.jobs, gpus_per_trial=gpus_per_trial)
    url, directions = storage or sqlite_url(folder), list(base.directions)
    parse_url(url)  # a URL that is none is refused before anything heavy is imported, and so are files
    _require_readable_files(space, base)
    signals = Signals()
    patience = Patience(say=observer.say, leave=lambda: signals.by)
    with closing(engine), signals.handled():
        engine.warm_up(base, trust_remote_code=trust_remote_code)
        from tunery.hpo.session import lead  # takes seconds, in which the runner gets ready
        from tunery.train.setup.prepare import prepare

        for warning in rates_left_out(space):
            observer.say(f"warning: {warning}")
        prepared = prepare(base, trust_remote_code=trust_remote_code)
        data = prepared.record()
        refuse_other_data(folder, data)
        with (
            run_lock(folder, plain, record="study.json", data=data),
            opened(open_study(url, name=base.name, directions=directions, patience=patience)) as study,
        ):
            _refuse_other_config(study, plain)
            if not texts:
                write_page(folder, texts=False)
            _require_same_data(study, data)
            study.set_user_attr(_CONFIG, plain)
            study.set_user_attr(_DATA, data.model_dump(mode="json"))
            rows, baselines = prepared.training_rows, _baselines(space, base, prepared)
            plan = Plan(space, base, folder, study, rows, baselines, trust_remote_code, texts)
            return lead(plan, prepared, engine, signals, shared=storage is not None, observer=observer)


def work(
    url: str,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    trials: int | None = None,
    observer: Observer[TrialRecord] | None = None,
    trust_remote_code: bool = False,
) -> int:
    """Train trials of a study that `search` began on a server, until none is left. Returns how many.

    Args:
        name: of the study; None: the only one that the server has.
        out: the study's folder where this machine sees it, so that a trial which another worker lost goes on from its
            resume point; else a folder of its own, in which such a trial starts over. None: `runs/NAME`.
        trials: leave after so many.
        trust_remote_code: permits code that comes with the models; what the database says permits nothing.

    Raises:
        RequestError: when there is no such study, or data, model or folder are wrong here.
        Interrupted: on SIGINT or SIGTERM; other workers go on with the trial at once.
        DiskFull: when there is no room.
        RunError: when the database cannot be reached any more.
        StudyFailed: when too many trials in a row fail here.
    """
    signals, observer = Signals(), observer or Silent()
    patience = Patience(say=observer.say, leave=lambda: signals.by)
    with opened(join_study(url, name, patience=patience)) as study:
        plain = study.user_attrs.get(_CONFIG)
        if not isinstance(plain, dict):
            raise RequestError(
                f"the study {study.study_name!r} must be one that `tunery search` began, but has no config"
            )
        folder, space = Path(out) if out is not None else _folder_of(study.study_name), with_domains(plain)
        refuse_other(folder, plain, record="study.json")
        space, base = _on_devices(space, _base(space))
        _require_readable_files(space, base)
        runner = make_runner("processes", n_jobs=base.search.jobs, gpus_per_trial=None)
        with closing(runner), signals.handled():
            runner.warm_up(base, trust_remote_code=trust_remote_code)
            from tunery.hpo.session import follow
            from tunery.train.setup.prepare import prepare

            prepared = prepare(base, trust_remote_code=trust_remote_code)
            data = prepared.record()
            _require_same_data(study, data)
            own(folder)
            keep_data(folder, data)
            rows, baselines = prepared.training_rows, _baselines(space, base, prepared)
            plan = Plan(space, base, folder, study, rows, baselines, trust_remote_code)
            return follow(plan, runner, signals, at_most=trials, observer=observer)


def _require_readable_files(space: Document, base: RunConfig) -> None:
    """See that the rows, and every corpus that a trial may learn from, are files of a kind that can be read.

    Raises:
        DataError: of the first that is none.
    """
    require_readable(base.data)
    if (dapt := base.pretrain.dapt) is not None:
        for corpus in ends(domains(space).get(CORPUS, dapt.corpus)):
            require_readable_corpus(Pretrain(dapt=dapt.model_copy(update={"corpus": corpus})), base.data)


def _require_same_data(study: Study, data: DataRecord) -> None:
    """Raises:
    DataError: when this process would see other rows than those that the study began with.
    """
    recorded = study.user_attrs.get(_DATA)
    if recorded is not None and (changed := data_changes(DataRecord(**recorded), data)):
        raise DataError(f"the study {study.study_name!r} was begun with other data: {changed}; {OTHER_DATA}")


def _refuse_other_config(study: Study, plain: Document) -> None:
    if changed := changed_keys(study.user_attrs.get(_CONFIG, plain), plain):
        what = f"the study {study.study_name!r} in the database has another config ({'; '.join(changed[:5])})"
        raise RequestError(f"{what}; give this one another `name`, or the same config")


def _folder_of(name: str) -> Path:
    """The folder of a worker that is given none. The name comes from another machine, and must not lead elsewhere."""
    if name in ("", "..") or Path(name).name != name:
        raise RequestError(f"a worker writes to runs/NAME, but the study's name is {name!r}; give it a folder (--out)")
    return Path("runs") / name


def _baselines(space: Document, base: RunConfig, prepared: "Prepared") -> tuple[str, ...]:
    """Simple models that may be the first trials: those of `search.baselines` that the space does not hold itself."""
    if prepared.linear_targets() is None or isinstance(base.search.sampler, Grid):
        return ()
    searched, possible = ends(domains(space).get("peft.method")), fitting(base, base.search.baselines)
    return tuple(name for name in base.search.baselines if name in possible and name not in searched)


def _on_devices(space: Document, base: RunConfig) -> tuple[Document, RunConfig]:
    """Both with the devices of this machine, where trials are shared out over several; what is recorded of a study
    has none that nobody has asked for, so that workers elsewhere take their own."""
    devices = shared_devices(base.search, visible_devices())
    if devices is None:
        return space, base
    search = base.search.model_copy(update={"devices": devices})
    section = {**space.get("search", {}), "devices": list(devices)}
    return {**space, "search": section}, base.model_copy(update={"search": search})


def _base(space: Document) -> RunConfig:
    """What all trials share, in the first configuration that the rules accept."""
    first = next(grid(space), None)
    resolved = None if first is None else Space(space).resolved(first.__getitem__)
    if resolved is None:
        raise ConfigError([Problem("", "no combination of these values is legal")], source="the search space")
    return resolved[1]
