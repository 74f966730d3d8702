"""One run: data and model are put together, trained from the newest resume point or the start, and concluded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from transformers import TrainerCallback

from tunery.schema import RunConfig
from tunery.schema.config.peft import Probe
from tunery.schema.results.run import FoldRecord, PretrainRecord, RunResult, Start
from tunery.store.disk.run_lock import refuse_other_data, run_lock
from tunery.store.folder import RunFolder
from tunery.store.study import StudyStore
from tunery.train.artifacts.reader_process import READER
from tunery.train.conclude import Purpose, conclude
from tunery.train.loop.baselines import known_baselines
from tunery.train.loop.clock import Clock
from tunery.train.loop.probing import Probing, fit_head, linear_head
from tunery.train.loop.training import Training
from tunery.train.memory.run_budget import with_budget
from tunery.train.out_of_fold import OutOfFold
from tunery.train.pretraining import placed_stages, require_trainable, train_stages
from tunery.train.setup.assemble import assemble, with_resolved_head
from tunery.train.setup.estimate import require_room, sizes_of
from tunery.train.setup.prepare import prepare
from tunery.train.setup.pretraining_stages import stages_of
from tunery.train.setup.start import begin_with
from tunery.train.signals import Signals
from tunery.train.text_runs import TEXT_MODELS, fit_text_run


@dataclass(frozen=True)
class FitOptions:
    """What a call of `fit` says beside config and folder, with the same meaning."""

    root: Path
    """Of the study that the run is a trial of; else its own folder."""
    purpose: Purpose
    callbacks: Sequence[TrainerCallback]
    source: Path | None
    """Of the weights that it begins with; None: the base's."""
    signals: Signals
    say: Callable[[str], None]
    trust_remote_code: bool
    texts: bool | None
    baselines: bool
    folds: Path | None
    fold_ended: Callable[[FoldRecord], object]


def ignore_fold(record: FoldRecord) -> None:
    """Do nothing."""


def fit_run(
    config: RunConfig,
    store: StudyStore,
    folder: RunFolder,
    options: FitOptions,
    *,
    out_of_fold: OutOfFold | None = None,
) -> RunResult:
    """Train a run to its end and write its result; the caller has one run at a time, and handles signals.

    Args:
        out_of_fold: what cross-validation has found, of which this is the final model.
    """
    before, signals, say, root = folder.progress(), options.signals, options.say, options.root
    document, purpose = config.model_dump(mode="json"), options.purpose
    clock = Clock(before.seconds)
    with clock.phase("load"):
        prepared = prepare(config, base=before.base, trust_remote_code=options.trust_remote_code)
        data = prepared.record()
        refuse_other_data(root, data)
        if type(config.peft) in TEXT_MODELS:
            setting = f"peft.method={config.peft.method}"
            targets = prepared.required_linear_targets(setting, remedy="peft.method=lora")
            with run_lock(folder.path, document, record="result.json", data=data, root=root):
                return fit_text_run(
                    config,
                    prepared,
                    targets,
                    store,
                    folder,
                    purpose=purpose,
                    clock=clock,
                    texts=options.texts,
                    baselines=known_baselines(config, prepared, store, say=say) if options.baselines else (),
                    out_of_fold=out_of_fold,
                )
        config = with_resolved_head(config, prepared)
        stages = stages_of(config, prepared)
        search = config.search if purpose is Purpose.TRIAL else None
        n_jobs = search.jobs if search else None
        run = assemble(config, prepared, augmentation_models=before.augmentation_models)
    if purpose is not Purpose.FOLD:
        READER.start()  # nothing refuses the run any more
    pretraining: tuple[PretrainRecord, ...] = ()
    if stages:
        with clock.phase("load"):
            sizes = sizes_of(run)
        del run  # it was assembled to see that nothing refuses it
        placed = placed_stages(stages, prepared.base, store, signals=signals, say=say)
        require_trainable(placed, store, folder, rule=config.checkpoint, sizes=sizes, n_jobs=n_jobs)
        with run_lock(folder.path, document, record="result.json", data=data, root=root):
            if options.baselines:  # what they reach is said before the long wait
                known_baselines(config, prepared, store, say=say)
            with clock.stopped():
                train_stages(placed, signals)
        pretraining, base = tuple(each.record() for each in placed), placed[-1].learned
        with clock.phase("load"):
            run = assemble(config, replace(prepared, base=base), augmentation_models=before.augmentation_models)
    with clock.phase("load"):
        begin: Callable[[], Start | None] | None = None
        is_new, started_from = not folder.resume.points(), before.started_from
        is_probe = isinstance(config.peft, Probe)
        if options.source:
            begin = partial(begin_with, run, options.source, say=say, trust_remote_code=options.trust_remote_code)
            started_from = begin() if is_new else started_from
        elif is_probe or getattr(config.model.head, "init", None) == "probe":
            linear_head(run)  # refuses a run that has none
            begin = None if is_probe else partial(fit_head, run, store)
        sizes = sizes_of(run)
        require_room(sizes, config.checkpoint, store=store, folder=folder, n_jobs=n_jobs)
        if not is_probe:
            sharing = search.runs_per_device if search else 1
            run = with_budget(run, recorded=before.micro_batch_tokens, n_jobs=sharing, say=say)
    with run_lock(folder.path, document, record="result.json", data=data, root=root):
        simple = known_baselines(config, prepared, store, say=say) if options.baselines else ()
        if begin and is_new and not options.source:  # it writes features, which only the holder of the folder may
            with clock.phase("load"):
                begin()
        if is_probe:
            training: Training | Probing = Probing(run, store, folder, clock=clock, signals=signals)
        else:
            training = Training(
                run, store, folder, options.callbacks, clock=clock, signals=signals, started_from=started_from
            )
        progress = training.finish(start_over=None if is_new else begin)
        return conclude(
            run,
            store,
            folder,
            progress,
            purpose=purpose,
            clock=clock,
            export_bytes=sizes.export,
            texts=options.texts,
            baselines=simple,
            pretraining=pretraining,
            out_of_fold=out_of_fold,
        )
