"""The one objective: a config becomes a trained, scored, exported and recorded run."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback

from tunery.errors import FolderError, Interrupted, RequestError
from tunery.hardware import peak_memory
from tunery.model.trainable import count_parameters, load_owned
from tunery.optim.adversarial import make_adversary
from tunery.schema import RunConfig
from tunery.schema.reading.document import with_absolute_names
from tunery.schema.results.record import Objective, Status
from tunery.schema.results.run import CheckpointRecord, Memory, Metrics, Progress, RunResult, Start, Tokens
from tunery.store.disk.files import recover, size
from tunery.store.disk.lock import held
from tunery.store.disk.run_lock import claimed, refuse_other, refuse_other_data
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore, ignore
from tunery.tracking.jsonl import read_metrics
from tunery.tracking.table import make_trackers
from tunery.train.artifacts.publish import publish, rehearse
from tunery.train.finished import tell_finished
from tunery.train.loop.callbacks import FollowMetric, KeepBest, Record, Regulate, SaveResumePoints, StopEarly, history
from tunery.train.loop.clock import Clock
from tunery.train.loop.finite import LossWatch, StopWhereNotFinite
from tunery.train.loop.resume import read
from tunery.train.loop.trainer import TuneryTrainer, training_arguments
from tunery.train.notes import Curves, notes_of
from tunery.train.predict.scoring import answers_about, score
from tunery.train.setup.assemble import Assembled, assemble
from tunery.train.setup.environment import changed_environment, environment
from tunery.train.setup.estimate import require_room, sizes_of
from tunery.train.setup.prepare import prepare
from tunery.train.setup.start import begin_with
from tunery.train.signals import Signals, nobody


def fit(
    config: RunConfig,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    out: str | Path,
    start_from: str | Path | None = None,
    study: Path | None = None,
    say: Callable[[str], None] = ignore,
    stop: Callable[[], str | None] = nobody,
    trust_remote_code: bool = False,
    texts: bool | None = None,
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
        say: is told what a person should know while it works: disk space, damaged resume points.
        stop: says what else than a signal asks the run to save and leave, if anything; asked after every step.
        trust_remote_code: permits code that comes with the model. Without it, a config that asks for such code is
            refused: `model.trust_remote_code` is a record and no permission.
        texts: whether the rows of test that are answered worst are recorded with their texts; None: no such rows are
            recorded.

    Raises:
        RequestError: when config, data, model or folder are wrong; nothing has been written then.
        Interrupted: on SIGINT or SIGTERM, or where `stop` says so, after a resume point was saved.
        DiskFull: when there is no room; the same call goes on once there is.
        RunError: when training or export fails.
    """
    config = with_absolute_names(config)
    config = config.with_remote_code() if trust_remote_code else config
    document, signals = config.model_dump(mode="json"), Signals(stop)
    root = study or Path(out)
    store = StudyStore(
        root,
        config.checkpoint,
        direction=config.direction,
        candidates=config.search.candidates,
        say=say,
        stopping=signals.came,
    )
    folder = store.run(Path(out))
    refuse_other(folder.path, document, record="result.json", root=root)
    finished = folder.result()
    source = _source(folder, (finished or folder.progress()).started_from, start_from)
    if finished is not None:
        if not folder.is_closed():
            _close(store, folder)
        tell_finished(root, document, config, finished_at=finished.finished_at, say=say)
        return finished
    before = folder.progress()
    clock = Clock(before.seconds)
    with _only_one(), signals.listening():
        with clock.phase("load"):
            prepared = prepare(config, base=before.base, trust_remote_code=trust_remote_code)
            data = prepared.record()
            refuse_other_data(root, data)
            run = assemble(config, prepared)
            begin = partial(begin_with, run, source, say=say, trust_remote_code=trust_remote_code) if source else None
            is_new = not folder.resume.points()
            started = begin() if begin and is_new else before.started_from
            sizes = sizes_of(run)
            require_room(sizes, config.checkpoint, store=store, folder=folder, n_jobs=config.search.n_jobs)
        with claimed(folder.path, document, record="result.json", data=data, root=root):
            progress = _train(
                run,
                store,
                folder,
                callbacks,
                clock=clock,
                signals=signals,
                started=started,
                start_over=None if is_new else begin,
            )
            return _conclude(run, store, folder, progress, clock=clock, need=sizes.export, texts=texts)


_AT_WORK: Final = threading.Lock()


@contextmanager
def _only_one() -> Iterator[None]:
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


def _source(folder: RunFolder, known: Start | None, asked: str | Path | None) -> Path | None:
    """Where the weights come from that a run begins with.

    Raises:
        FolderError: when the run was begun with others, or is asked to begin with its own.
    """
    if asked is None:
        return None if known is None else Path(known.run)
    source, own = Path(asked).resolve(), folder.path.resolve()
    if source.is_relative_to(own):
        raise FolderError(f"a run that starts from {str(asked)!r} needs a folder of its own; choose another --out")
    begun = (folder.path / "progress.json").exists() or folder.is_finished()
    if begun and (known is None or Path(known.run) != source):
        other = f"from {known.run!r}" if known else "from the base model"
        raise FolderError(f"{str(folder.path)!r} holds a run that started {other}; choose another --out")
    return source


def _close(store: StudyStore, folder: RunFolder) -> None:
    """Free what a process left that died after it had written the result; a folder in use is left to its user."""
    with suppress(FolderError), held(folder.path):
        recover(folder.path)
        store.tidy()
        folder.close()


def _train(
    run: Assembled,
    store: StudyStore,
    folder: RunFolder,
    callbacks: Sequence[TrainerCallback],
    *,
    clock: Clock,
    signals: Signals,
    started: Start | None,
    start_over: Callable[[], Start] | None,
) -> Progress:
    """Train from the newest whole resume point, or from the start, to the end.

    Args:
        started: the run that this one went on from.
        start_over: gives the model the weights that it began with, where a resume point should have made that needless.
    """
    before, config = folder.progress(), run.config
    stop, watch = StopEarly(folder.metrics, config), LossWatch(run.device)
    trainer = _trainer(run, folder, clock, watch=watch)

    def spent(written: int) -> Progress:
        progress = _progress(run, trainer, before, clock=clock, written=written, started=started)
        folder.write_progress(progress)
        return progress

    saver = SaveResumePoints(
        store,
        folder,
        config.checkpoint,
        signals=signals,
        snapshot=trainer.snapshot,
        reference=run.reference,
        spent=spent,
    )
    for callback in (*_own_callbacks(run, store, folder, trainer, watch=watch), stop, saver, *callbacks):
        trainer.add_callback(callback)
    try:
        with signals.noting(), clock.phase("train"):
            step = _take_up(trainer, run, store, folder)
            if step is None and start_over is not None:
                start_over()
            if step is not None:
                _tell_changes(run, before, say=store.say)
            if step is None or (step < run.steps and not stop.is_over(step)):
                trainer.go_on()
            trainer.accelerator.unwrap_model(run.built.module, keep_fp32_wrapper=False)
    except BaseException:
        with suppress(OSError):  # a full disk must not hide what happened
            spent(saver.written_bytes)
        raise
    progress = spent(saver.written_bytes)
    if signals.came():
        again = "the same command resumes it" if config.checkpoint.keep_last else "the same command starts it over"
        raise Interrupted(f"{signals.by} came at step {trainer.state.global_step}; {again}")
    return progress


def _tell_changes(run: Assembled, before: Progress, *, say: Callable[[str], None]) -> None:
    """What a run that goes on is exact under."""
    now = environment(run.device, precision=run.precision, reason=run.precision_reason)
    if before.environment is not None and (changed := changed_environment(before.environment, now)):
        say(f"goes on under other conditions ({changed}): the last digits may differ from those of an unbroken run")


def _take_up(trainer: TuneryTrainer, run: Assembled, store: StudyStore, folder: RunFolder) -> int | None:
    """Put the trainer where the newest whole resume point was. Returns its step; None where there is no such point."""
    found = store.take_up(folder, partial(read, objects=folder.objects, reference=run.reference))
    if found is None:
        return None
    point, snapshot = found
    trainer.restore(snapshot)
    return point.step


def _own_callbacks(
    run: Assembled, store: StudyStore, folder: RunFolder, trainer: TuneryTrainer, *, watch: LossWatch
) -> list[TrainerCallback]:
    """In the order in which they have to act: what is not finite is neither logged nor kept."""
    config, regulator = run.config, run.built.regulator
    trackers = make_trackers(config.tracking, folder.path)
    return [
        *([Regulate(regulator)] if regulator else []),
        StopWhereNotFinite(watch, log_every=config.train.log_every, rows_of=run.row_ids),
        Record(trackers, config=config, measured=trainer.measured),
        KeepBest(store, folder, run.built, config=config, reference=run.reference),
        FollowMetric(config.objective, trainer.observe),
    ]


def _trainer(run: Assembled, folder: RunFolder, clock: Clock, *, watch: LossWatch) -> TuneryTrainer:
    config, built = run.config, run.built
    return TuneryTrainer(
        built,
        training_arguments(config, folder.staging, device=run.device, precision=run.precision),
        loader=run.loader(),
        objective=run.objective,
        watch=watch,
        adversary=make_adversary(config.regularization.adversarial, built.embeddings),
        precision=run.precision,
        lr=config.lr,
        optimizer=run.optimizer,
        schedule=run.schedule,
        score=partial(_score, run, clock),
    )


def _score(run: Assembled, clock: Clock) -> dict[str, Any]:
    prepared = run.prepared
    with clock.phase("evaluate"):
        answers = answers_about(
            prepared.encoded["validation"],
            run.built.module,
            prepared.task,
            pad_id=prepared.tokenizer.pad_token_id,
            batch_size=run.config.train.eval_batch_size,
            device=run.device,
            precision=run.precision,
        )
        return score(prepared.task, answers, prepared.truth["validation"])


def _progress(
    run: Assembled, trainer: TuneryTrainer, before: Progress, *, clock: Clock, written: int, started: Start | None
) -> Progress:
    spent = trainer.tokens
    return Progress(
        parameters=count_parameters(run.built),
        seconds=clock.seconds(),
        memory=_higher(before.memory, peak_memory(run.device)),
        tokens=Tokens(real=before.tokens.real + spent.real, processed=before.tokens.processed + spent.processed),
        epochs=round(trainer.state.epoch or before.epochs, 4),
        written_bytes=before.written_bytes + written,
        environment=environment(run.device, precision=run.precision, reason=run.precision_reason),
        base=run.built.base_digest,
        data=run.prepared.record(),
        started_from=started,
    )


def _higher(before: Memory, now: Memory) -> Memory:
    """The peak over the processes that a run has had."""
    device = [peak for peak in (before.device_peak_bytes, now.device_peak_bytes) if peak is not None]
    host = max(before.host_peak_bytes, now.host_peak_bytes)
    return Memory(host_peak_bytes=host, device_peak_bytes=max(device, default=None))


def _conclude(
    run: Assembled,
    store: StudyStore,
    folder: RunFolder,
    progress: Progress,
    *,
    clock: Clock,
    need: int,
    texts: bool | None,
) -> RunResult:
    """Restore the best epoch, check its export of `need` bytes, score what is kept of it, and write the result."""
    best = folder.best()
    if best is None:
        raise RuntimeError("training ended without a scored epoch")
    load_owned(run.built, folder.objects.get(best.digest, reference=run.reference))
    progress = progress.model_copy(update={"parameters": count_parameters(run.built)})  # ranks of the best epoch
    test: dict[str, Any] | None = None
    without_block: tuple[float | None, ...] = ()
    if folder.path == store.root:
        final = folder.path / "best"
        predictor = store.export(need, lambda: publish(run.built, run.prepared, run.config, best=best, folder=final))
        split = run.prepared.splits.test
        with clock.phase("evaluate"):
            answers = predictor.answers(split.examples)
            test, without_block = predictor.jackknife(split.examples, answers)
        if texts is not None:
            folder.write_worst_rows(predictor.worst_rows(split, answers, texts=texts))
    else:
        staged = folder.staging / "export"
        store.export(need, lambda: rehearse(run.built, run.prepared, run.config, best=best, staging=staged))
    progress = progress.model_copy(update={"seconds": clock.seconds()})
    return finish(store, folder, run.config, "completed", progress=progress, test=test, without_block=without_block)


def finish(
    store: StudyStore,
    folder: RunFolder,
    config: RunConfig,
    status: Status,
    *,
    progress: Progress,
    test: dict[str, Any] | None = None,
    without_block: tuple[float | None, ...] = (),
    reason: str | None = None,
) -> RunResult:
    """Write `result.json` from what is on disk and `progress`: the run is finished. What nothing needs now is freed."""
    best = folder.best()
    result = RunResult(
        status=status,
        objective=Objective(name=config.objective, value=best.value if best else None, direction=config.direction),
        metrics=Metrics(validation=best.metrics if best else {}, test=test, test_without_block=without_block),
        parameters=progress.parameters,
        seconds=progress.seconds,
        memory=progress.memory,
        disk_bytes=_kept_bytes(folder),
        written_bytes=progress.written_bytes,
        tokens=progress.tokens,
        epochs=progress.epochs,
        best_epoch=math.ceil(best.epoch) if best else None,
        config=config.model_dump(mode="json"),
        environment=progress.environment,
        base=progress.base,
        data=progress.data,
        started_from=progress.started_from,
        checkpoints=folder.kept(),
        reason=reason,
        finished_at=datetime.now(UTC),
        notes=_notes(config, folder, progress, best) if status == "completed" else (),
    )
    folder.write_result(result)
    store.tidy()
    folder.close()
    return result


def _notes(config: RunConfig, folder: RunFolder, progress: Progress, best: CheckpointRecord | None) -> tuple[str, ...]:
    if progress.data is None or best is None:
        return ()
    lines = [line for line in read_metrics(folder.metrics, "train/loss") if line["name"] == "train/loss"]
    steps = [(line["epoch"], value) for line in lines if (value := line["value"]) is not None]
    curves = Curves(
        loss=history(folder.metrics, "loss"),
        objective=history(folder.metrics, config.objective),
        training=[value for epoch, value in steps if epoch > math.ceil(progress.epochs) - 1],
        epochs=progress.epochs,
    )
    return notes_of(config, progress.data, curves, best.metrics)


def _kept_bytes(folder: RunFolder) -> int:
    """Of the export and the weights that stay beside it: once exported, the best epoch need not be kept twice."""
    exported = size(folder.path / "best")
    return exported + sum(record.bytes for record in folder.kept() if not (exported and record.kind == "best"))
