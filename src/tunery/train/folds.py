"""Cross-validation: a run for each fold, what all of them say of the rows that they had not seen, and a final model.

A fold is an ordinary run in `folds/<number>/`, whose test rows are those of the fold. Rows split off from its training
rows, or the given validation rows, choose its best epoch, so that what is held out chooses nothing. What a task fits
(thresholds, calibration) is fitted to the answers of all folds together, and the final model decides by it.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from tunery.schema import RunConfig
from tunery.schema.results.run import Progress, RunResult
from tunery.store.disk.files import write_text
from tunery.store.disk.ownership import FOLDS, OUT_OF_FOLD
from tunery.store.disk.run_lock import refuse_other_data, run_lock
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.tasks.table import fold_of
from tunery.train.conclude import Purpose, finish, with_folds
from tunery.train.deep_check.by_run import write_rows_to_look_at
from tunery.train.ensembles.combination import combiner_of
from tunery.train.final_model import publish_final
from tunery.train.fit_run import FitOptions, fit_run
from tunery.train.loop.baselines import known_baselines
from tunery.train.out_of_fold import OutOfFold, TrainedFold, out_of_fold
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.prepare import Prepared, prepare
from tunery.train.text_runs import TEXT_MODELS


def fit_folds(config: RunConfig, store: StudyStore, folder: RunFolder, options: FitOptions) -> RunResult:
    """Train all folds that are not finished, then the final model; of a trial, which has none, the folds alone.

    Raises:
        ModelError: the final model is to be an ensemble, and answers of this task cannot be joined.
    """
    document, final = config.model_dump(mode="json"), config.data.final
    prepared = prepare(config, base=folder.progress().base, trust_remote_code=options.trust_remote_code)
    if final == "ensemble":
        combiner_of(prepared.task, config.task.kind, remedy="take data.final=refit")
    data = prepared.record()
    refuse_other_data(options.root, data)
    if options.folds is None and not (folder.path / FOLDS).exists():
        _refuse(config, prepared)
    with run_lock(folder.path, document, record="result.json", data=data, root=options.root):
        simple = known_baselines(config, prepared, store, say=options.say) if options.baselines else ()
        folds = list[TrainedFold]()
        for number in range(config.data.all_folds):
            folds.append(_trained(config, store, folder, options, number))
            if options.purpose is Purpose.TRIAL:
                spent = with_folds(Progress(data=data), [fold.result for fold in folds], of=config.data.all_folds)
                folder.write_progress(spent)
            options.fold_ended(folds[-1].record())
        found = out_of_fold(config, prepared, folds)
        write_text(folder.path / OUT_OF_FOLD, found.table)
        if options.texts is not None:
            task, state = prepared.task, found.scored.state
            write_rows_to_look_at(config, task, prepared.splits, found.repeats, state, folder, texts=options.texts)
        options.say(_sentence(config, found))
        end = partial(finish, store, folder, config, "completed", progress=Progress(data=data), out_of_fold=found)
        if options.purpose is Purpose.TRIAL:
            return end()
        if final != "refit":
            test = publish_final(config, prepared, folds, found, store, folder, options)
            return end(test=test, baselines=simple)
    return fit_run(config, store, folder, options, out_of_fold=found)


def _refuse(config: RunConfig, prepared: Prepared) -> None:
    """See that each fold has rows, and that nothing of the first is refused, before anything is written.

    Raises:
        RequestError: what `fit_run` would raise in one of them.
    """
    for fold in range(config.data.all_folds):
        fold_of(prepared.splits, config.of_fold(fold).data, config.task)
    if type(config.peft) not in TEXT_MODELS:
        first = config.of_fold(0)
        of_first = prepare(first, trust_remote_code=prepared.base.trust_remote_code)
        assemble(with_resolved_head(first, of_first), of_first)


def _trained(config: RunConfig, store: StudyStore, folder: RunFolder, options: FitOptions, fold: int) -> TrainedFold:
    """Train a fold to its end, unless it is there. Its weights stay where the final model is made of them."""
    needs_weights = options.purpose is Purpose.OWN and config.data.final != "refit"
    root = folder.path if needs_weights or options.folds is None else options.folds
    title = f"fold {fold + 1} of {config.data.all_folds}"
    trained = trained_fold(config.of_fold(fold), root / FOLDS / str(fold), store, options, title=title)
    if not needs_weights:
        trained.forget_weights()
    return trained


def trained_fold(config: RunConfig, path: Path, store: StudyStore, options: FitOptions, *, title: str) -> TrainedFold:
    """Train one fold in the folder `path` to its end, unless it is there.

    Args:
        config: with `data.fold`.
        store: of the run that the fold is of, which this process holds.
        title: what the fold is called where it is told of.
    """

    def say(text: str) -> None:
        options.say(f"{title}: {text}")

    own = StudyStore(
        path,
        config.checkpoint,
        direction=config.direction,
        above=store,
        say=say,
        stopping=options.signals.stop_requested,
    )
    run = own.run()
    result = run.result()
    if result is None:
        say("goes on" if run.resume.points() else "begins")
        of_fold = replace(options, root=path, purpose=Purpose.FOLD, say=say, texts=None, baselines=False)
        result = fit_run(config, own, run, of_fold)
        trained = TrainedFold(config, own, run, result)
        value, rows = trained.record().value, trained.record().rows
        say(f"{config.objective} {'undefined' if value is None else f'{value:.4f}'} on {rows:,} rows held out")
    else:
        trained = TrainedFold(config, own, run, result)
        if not run.is_closed():
            own.end_run(run)
    return trained


def _sentence(config: RunConfig, found: OutOfFold) -> str:
    """What all folds say together."""
    value, interval = found.scored.metrics[config.objective], found.scored.interval
    shown = "undefined" if value is None else f"{value:.4f}"
    reach = "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"
    return f"out of fold: {config.objective} {shown}{reach}"
