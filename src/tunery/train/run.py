"""`tunery.fit`: one run, of whatever says what it is, with its page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import TrainerCallback

from tunery.schema import ConfigLike, config_from
from tunery.schema.config.run import far_rates
from tunery.schema.results.run import RunResult
from tunery.store.folder import RunFolder
from tunery.store.study import ignore
from tunery.train.fit import fit as fit_run
from tunery.train.run_report import write_run_page


def fit(
    config: ConfigLike,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    out: str | Path,
    start_from: str | Path | None = None,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
    texts: bool = True,
) -> RunResult:
    """Train as `config` says, in the folder `out`; an unfinished run there is resumed, a finished one returned.

    The best epoch by the objective is restored, exported to `out/best`, read back by another process and compared with
    the live model, and scored on test. `out/report.html` shows it all.

    Args:
        config: the path of a config file, a mapping like that of such a file, or a `RunConfig`.
        callbacks: are called as the Trainer of transformers calls its own.
        start_from: a finished run, study or exported model, whose best weights the run begins with in place of the
            base's: those that were trained, adapters and head included. Data and training may differ from there, the
            labels, `model`, `peft` and `freeze` may not.
        say: is told what a person should know while it works: a learning rate far from its default, disk space, damaged
            resume points.
        trust_remote_code: permits code that comes with the model. Without it, a config that asks for such code is
            refused: `model.trust_remote_code` is a record and no permission.
        texts: whether the rows that are answered worst are recorded, and shown on the page, with their texts. False
            takes them out of a finished run too, for good.

    Raises:
        RequestError: when config, data, model or folder are wrong; nothing has been written then.
        Interrupted: on SIGINT or SIGTERM, after a resume point was saved.
        DiskFull: when there is no room; the same call goes on once there is.
        RunError: when training or export fails.
    """
    config = config_from(config)
    if not RunFolder(Path(out)).is_finished():
        for warning in far_rates(config):
            say(f"warning: {warning}")
    result = fit_run(
        config,
        callbacks,
        out=out,
        start_from=start_from,
        say=say,
        trust_remote_code=trust_remote_code,
        texts=texts,
        baselines=True,
    )
    if not texts:
        RunFolder(Path(out)).forget_texts()
    write_run_page(Path(out))
    return result
