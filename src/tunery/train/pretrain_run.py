"""`tunery.pretrain`: the stages of continued pretraining alone, and the model after the last one, with its page."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tunery.errors import ConfigError, FolderError, Problem
from tunery.model.build import Built
from tunery.schema import ConfigLike, RunConfig, config_from
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import LanguageModelTask
from tunery.schema.reading.document import with_absolute_names
from tunery.schema.results.run import RunResult
from tunery.store.disk.files import size, write_text
from tunery.store.disk.ownership import BEST
from tunery.store.disk.run_lock import refuse_other, refuse_other_data, run_lock
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import PER_TENSOR
from tunery.store.study import StudyStore, ignore
from tunery.train.artifacts.publish import live_model, publish
from tunery.train.artifacts.reader_process import READER
from tunery.train.finished import tell_finished
from tunery.train.fit import one_run_at_a_time
from tunery.train.pretraining import PlacedStage, placed_stages, required_room, train_stages, trained_model
from tunery.train.run_report import write_run_page
from tunery.train.setup.assemble import build_seeded, with_resolved_head
from tunery.train.setup.estimate import DOCUMENTS
from tunery.train.setup.prepare import prepare
from tunery.train.setup.pretraining_stages import stages_of
from tunery.train.signals import Signals

_RECORD: Final = "result.json"


def pretrain(
    config: ConfigLike,
    *,
    out: str | Path,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> RunResult:
    """Train the stages of `config.pretrain` and nothing after them, in the folder `out`; unfinished ones are resumed,
    finished ones returned (Gururangan et al. 2020, arXiv 2004.10964).

    They are the very stages that `fit` of the same config trains first: from the same texts, without what is scored
    later. `out/best` is the model after the last one with its language-model head, read back by another process and
    compared with the live model; it is the `model.name` of other configs. The result is that of the last stage, by the
    loss of the texts that it held out, with what is known of each in `pretraining`.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`.
        say: is told what a person should know while it works: stages, their epochs, disk space.
        trust_remote_code: permits code that comes with the model.

    Raises:
        RequestError: when config, data, model or folder are wrong, or there is no stage; nothing has been written then.
        Interrupted: on SIGINT or SIGTERM, after a resume point was saved.
        DiskFull: when there is no room; the same call goes on once there is.
        RunError: when training or export fails.
    """
    config = with_absolute_names(config_from(config))
    config = config.with_remote_code() if trust_remote_code else config
    require_stages(config)
    document, signals, root = config.model_dump(mode="json"), Signals(), Path(out)
    store = StudyStore(root, config.checkpoint, direction="minimize", say=say, stopping=signals.stop_requested)
    folder = store.run()
    refuse_other(root, document, record=_RECORD)
    _refuse_run(folder, config)
    if (finished := folder.result()) is not None:
        tell_finished(root, document, config, finished_at=finished.finished_at, say=say)
        return finished
    with one_run_at_a_time(), signals.handled():
        prepared = prepare(config, trust_remote_code=trust_remote_code)
        data = prepared.record()
        refuse_other_data(root, data)
        stages = stages_of(config, prepared)
        with run_lock(root, document, record=_RECORD, data=data):
            placed = placed_stages(stages, prepared.base, store, signals=signals, say=say)
            required_room(placed)
            READER.start()
            train_stages(placed, signals)
            result = _conclude(placed, store, folder)
            write_run_page(root)
    return result


def require_stages(config: RunConfig) -> None:
    """See that there is something to do.

    Raises:
        ConfigError: the config has no stage, or is a language model's, which has none.
    """
    if isinstance(config.task, LanguageModelTask):
        message = f"`tunery pretrain` does what comes before another task, but got {config.task.kind!r}, which is a "
        raise ConfigError([Problem("task.kind", message + "language model itself; take `tunery train`")])
    if not config.pretrain.stages:
        message = "`tunery pretrain` needs a stage, but there is none, or none longer than 0 epochs; write "
        message += "pretrain={tapt: {}} for the training texts, or pretrain={dapt: {corpus: FILE}} for others"
        raise ConfigError([Problem("pretrain", message)])


def _refuse_run(folder: RunFolder, config: RunConfig) -> None:
    """See that no run of the same config was begun in the folder.

    Raises:
        FolderError: one was.
    """
    result = folder.result()
    if not folder.is_closed() or (result is not None and result.config["task"]["kind"] == config.task.kind):
        raise FolderError(
            f"{str(folder.path)!r} holds a run of this config, which has trained its stages already, or does so when "
            "it goes on (`tunery train`); choose another --out"
        )


def _conclude(trained: list[PlacedStage], store: StudyStore, folder: RunFolder) -> RunResult:
    """Export the model after the last stage, and write the result: that of this stage, with what is known of all."""
    last = trained[-1]
    config, built = _whole_model(last)
    live, exported = live_model(built, last.stage.prepared, config), folder.path / BEST
    need = DOCUMENTS + sum(parameter.nbytes + PER_TENSOR for parameter in built.module.parameters())
    store.export(need, lambda: publish(live, best=last.weights, folder=exported))
    result = last.folder.result()
    if result is None:
        raise RuntimeError("a stage ended without a result")
    result = result.model_copy(
        update={
            "pretraining": tuple(each.record() for each in trained),
            "checkpoints": (),
            "disk_bytes": size(exported),
            "finished_at": datetime.now(UTC),
        }
    )
    write_text(folder.metrics, last.folder.metrics.read_text(encoding="utf-8"))
    folder.write_result(result)
    store.end_run(folder)
    return result


def _whole_model(last: PlacedStage) -> tuple[RunConfig, Built]:
    """A language model without any method, with the weights of a stage."""
    prepared = last.stage.prepared
    config = with_resolved_head(last.stage.config, prepared).model_copy(update={"peft": NoPeft()})
    whole = build_seeded(config, prepared)
    whole.pretrained.load_state_dict(trained_model(last.folder, last.stage.rung, prepared.base).state_dict())
    return config, whole
