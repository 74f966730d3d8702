"""The one objective: a config becomes a trained, scored, exported and recorded run."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from transformers import TrainerCallback

from tunery.errors import FolderError, RequestError
from tunery.schema import RunConfig
from tunery.schema.reading.document import with_absolute_names
from tunery.schema.results.run import FoldRecord, RunResult, Start
from tunery.store.disk.files import recover
from tunery.store.disk.lock import held
from tunery.store.disk.ownership import BEST
from tunery.store.disk.run_lock import refuse_other
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore, ignore
from tunery.train.conclude import Purpose
from tunery.train.finished import tell_finished
from tunery.train.fit_run import FitOptions, fit_run, ignore_fold
from tunery.train.folds import fit_folds
from tunery.train.signals import Signals, no_stop


def fit(
    config: RunConfig,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    out: str | Path,
    start_from: str | Path | None = None,
    study: Path | None = None,
    comparison: Path | None = None,
    say: Callable[[str], None] = ignore,
    stop: Callable[[], str | None] = no_stop,
    trust_remote_code: bool = False,
    texts: bool | None = None,
    baselines: bool = False,
    folds: Path | None = None,
    fold_ended: Callable[[FoldRecord], object] = ignore_fold,
) -> RunResult:
    """Train as `config` says, in the folder `out`; an unfinished run there is resumed, a finished one returned.

    The best epoch by the objective is restored, exported, read back by another process and compared with the live
    model. A run of its own keeps the export in `out/best` and scores it on test. A trial of a study does neither: its
    best weights stay in the study's objects, and the study decides what becomes of them.

    Args:
        start_from: a finished run, study or exported model, whose best weights the run begins with in place of the
            base's: those that were trained, adapters and head included. Data and training may differ from there, the
            labels, `model`, `peft` and `freeze` may not.
        study: root of the study that the trial in `out` belongs to.
        comparison: root of the comparison that the run in `out` is a cell of.
        say: is told what a person should know while it works: disk space, damaged resume points.
        stop: says what else than a signal asks the run to save and leave, if anything; asked after every step.
        trust_remote_code: permits code that comes with the model. Without it, a config that asks for such code is
            refused: `model.trust_remote_code` is a record and no permission.
        texts: whether the rows of test that are answered worst are recorded with their texts; None: no such rows are
            recorded.
        baselines: whether the simple models of `train.baselines` are fitted to the same rows first.
        folds: folder of a cross-validated run of the same config, whose folds are taken, where they need not leave
            their weights, and not trained anew.
        fold_ended: is told of every fold of cross-validation in turn, those of earlier calls too; what it raises ends
            the run.

    Raises:
        RequestError: when config, data, model or folder are wrong; nothing has been written then.
        Interrupted: on SIGINT or SIGTERM, or where `stop` says so, after a resume point was saved.
        DiskFull: when there is no room; the same call goes on once there is.
        RunError: when training or export fails.
    """
    config = with_absolute_names(config)
    config = config.with_remote_code() if trust_remote_code else config
    root, is_trial = study or Path(out), study not in (None, Path(out))
    document, signals = config.model_dump(mode="json"), Signals(stop)
    store = StudyStore(
        root,
        config.checkpoint,
        direction=config.direction,
        candidates=config.search.candidates,
        comparison=comparison,
        say=say,
        stopping=signals.stop_requested,
    )
    folder = store.run(Path(out))
    refuse_other(folder.path, document, record="result.json", root=root)
    finished, before = folder.result(), folder.progress()
    _refuse_pretraining(finished, config, folder)
    source = _source(folder, (finished or before).started_from, start_from)
    if finished is not None:
        if not folder.is_closed():
            _free_leftovers(store, folder)
        tell_finished(root, document, config, finished_at=finished.finished_at, say=say)
        return finished
    options = FitOptions(
        root=root,
        purpose=Purpose.TRIAL if is_trial else Purpose.OWN,
        callbacks=callbacks,
        source=source,
        signals=signals,
        say=say,
        trust_remote_code=trust_remote_code,
        texts=texts,
        baselines=baselines,
        folds=folds,
        fold_ended=fold_ended,
    )
    with one_run_at_a_time(), signals.handled():
        if config.data.cross_validates:
            return fit_folds(config, store, folder, options)
        return fit_run(config, store, folder, options)


_AT_WORK: Final = threading.Lock()


@contextmanager
def one_run_at_a_time() -> Iterator[None]:
    """Random numbers and threads belong to a process: two runs in one would change each other's weights.

    Raises:
        RequestError: when another run is at work in this process.
    """
    if not _AT_WORK.acquire(blocking=False):
        rule = "one process trains one run at a time, but another `fit` is at work in this one"
        raise RequestError(f"{rule}; wait for it, or start a process for each (search.n_jobs does so for trials)")
    try:
        yield
    finally:
        _AT_WORK.release()


def _refuse_pretraining(finished: RunResult | None, config: RunConfig, folder: RunFolder) -> None:
    """See that a folder does not hold the stages of its config alone, which are another model's.

    Raises:
        FolderError: it does.
    """
    if finished is not None and finished.config["task"]["kind"] != config.task.kind:
        raise FolderError(
            f"{str(folder.path)!r} holds the continued pretraining of this config and its model; choose another --out, "
            f"with `model.name={folder.path / BEST} pretrain={{}}` to begin with that model"
        )


def _source(folder: RunFolder, recorded: Start | None, asked: str | Path | None) -> Path | None:
    """Where the weights come from that a run begins with; None: from the base.

    Raises:
        FolderError: when the run was begun with others, or is asked to begin with its own.
    """
    if asked is None:
        return None if recorded is None else Path(recorded.run)
    source, own = Path(asked).resolve(), folder.path.resolve()
    if source.is_relative_to(own):
        raise FolderError(f"a run that starts from {str(asked)!r} needs a folder of its own; choose another --out")
    begun = (folder.path / "progress.json").exists() or folder.is_finished()
    if begun and (recorded is None or Path(recorded.run) != source):
        other = f"from {recorded.run!r}" if recorded else "from the base model"
        raise FolderError(f"{str(folder.path)!r} holds a run that started {other}; choose another --out")
    return source


def _free_leftovers(store: StudyStore, folder: RunFolder) -> None:
    """Free what a process left that died after it had written the result; a folder in use is left to its user."""
    with suppress(FolderError), held(folder.path):
        recover(folder.path)
        store.end_run(folder)
