"""The verbs that train: `pretrain`, `train`, `search`, `worker`, `compare`."""

from pathlib import Path
from typing import Annotated

import typer

from tunery.cli import show
from tunery.cli.options import (
    AsJson,
    Config,
    NoTexts,
    Out,
    Overrides,
    Storage,
    StorageEnv,
    TrustRemoteCode,
    permits_code,
    storage_url,
)
from tunery.data.corpus import require_readable_corpus
from tunery.data.reading.load import require_readable
from tunery.schema import load_config, load_document
from tunery.startup import imports
from tunery.store.disk.ownership import require_own
from tunery.store.disk.run_lock import refuse_other
from tunery.store.folder import RunFolder
from tunery.terminal import Terminal
from tunery.train.artifacts.reader_process import READER


def train(
    config: Config,
    overrides: Overrides = None,
    out: Out = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Start from the best weights of a finished run in place of the base's."
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    no_texts: NoTexts = False,
    as_json: AsJson = False,
) -> None:
    """Train one config, export the best epoch and score it on test."""
    resolved, folder = load_config(config, overrides or ()), out or Path("runs") / config.stem
    refuse_other(folder, resolved.model_dump(mode="json"), record="result.json")
    require_readable(resolved.data)
    require_readable_corpus(resolved.pretrain, resolved.data)
    if not (resolved.data.cross_validates or RunFolder(folder).is_finished()):
        READER.start()
    with imports():
        from tunery.train.loop.console import ConsoleProgress
        from tunery.train.run import fit

    progress = ConsoleProgress(Terminal(stderr=True), title=folder.name, objective=resolved.objective)
    try:
        permitted = permits_code(trust_remote_code, overrides or ())
        result = fit(
            resolved,
            [progress],
            out=folder,
            start_from=start_from,
            say=progress.say,
            trust_remote_code=permitted,
            texts=not no_texts,
        )
    finally:
        progress.close()
    show.result(result, folder, as_json=as_json)


def pretrain(
    config: Config,
    overrides: Overrides = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Go on pretraining the base on more texts (`pretrain` in the config), for other configs to begin with."""
    resolved, folder = load_config(config, overrides or ()), out or Path("runs") / f"{config.stem}-pretrain"
    refuse_other(folder, resolved.model_dump(mode="json"), record="result.json")
    require_readable(resolved.data)
    require_readable_corpus(resolved.pretrain, resolved.data)
    if not RunFolder(folder).is_finished():
        READER.start()
    with imports():
        from tunery.train.pretrain_run import pretrain as run_stages

    terminal = Terminal(stderr=True)
    result = run_stages(
        resolved,
        out=folder,
        say=lambda text: terminal.say(f"{folder.name}: {text}"),
        trust_remote_code=permits_code(trust_remote_code, overrides or ()),
    )
    show.pretraining(result, folder, config, as_json=as_json)


def search(
    config: Config,
    overrides: Overrides = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Trials in the whole study.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Trials that run at once on this machine.")] = None,
    storage: Annotated[str | None, Storage] = None,
    storage_env: Annotated[str | None, StorageEnv] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="Where trials are trained: processes, ray, or here.")
    ] = "processes",
    gpus_per_trial: Annotated[
        float | None, typer.Option("--gpus-per-trial", help="GPUs of a trial under ray; 0.5 lets two share one.")
    ] = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
    no_texts: NoTexts = False,
    space: Annotated[bool, typer.Option("--space", help="Print what would be searched, and train nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search the ranges of a config; the same command continues an unfinished study."""
    extra = {"search.n_trials": trials, "search.n_jobs": jobs}
    given = [f"{path}={value}" for path, value in extra.items() if value is not None]
    document = load_document(config, [*(overrides or ()), *given])
    if space:
        from tunery.cli.space import show_space

        show_space(document, as_json=as_json)
        return
    folder = out or Path("runs") / f"{config.stem}-search"
    require_own(folder)
    with imports():
        from tunery.cli.watch_study import StudyConsole
        from tunery.hpo.study import search as run_search

    result = run_search(
        document,
        out=folder,
        observer=StudyConsole(Terminal(stderr=True)),
        storage=storage_url(storage, storage_env),
        engine=engine,
        gpus_per_trial=gpus_per_trial,
        trust_remote_code=permits_code(trust_remote_code, overrides or ()),
        texts=not no_texts,
    )
    show.study(result, folder, as_json=as_json)


def worker(
    storage: Annotated[str | None, Storage] = None,
    storage_env: Annotated[str | None, StorageEnv] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Name of the study; not needed where the database has one.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Stop after so many trials; default: when none is left.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the study if this machine sees it, else one of its own.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Join a study that `tunery search --storage` began, from this machine or any other, and train its trials."""
    if out is not None:
        require_own(out)
    url = storage_url(storage, storage_env)
    if url is None:
        raise typer.BadParameter("a worker needs the study's database: --storage URL, or --storage-env NAME")
    with imports():
        from tunery.cli.watch_study import StudyConsole
        from tunery.hpo.study import work

    console = StudyConsole(Terminal(stderr=True))
    ended = work(url, name=study, out=out, trials=trials, observer=console, trust_remote_code=trust_remote_code)
    show.done(f"{ended} trials ended here", {"trials": ended}, as_json=as_json)


def compare(
    config: Config,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[method:]key.path=value ...]", help="Values for one method, or for all that have the key."
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="Names with commas between: full,lora,qlora,ia3,pfeiffer, ...")
    ] = "full,lora,ia3",
    seeds: Annotated[int, typer.Option("--seeds", help="Runs per method: the config's seed and those after it.")] = 3,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Method that the others are tested against; default: full.")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="KEY=A,B", help="Compare values of a key too: every method with each of them."),
    ] = None,
    out: Out = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Train several methods with several seeds, each with its own defaults, and test whether they differ."""
    document, folder = load_document(config), out or Path("runs") / f"{config.stem}-compare"
    require_own(folder)
    with imports():
        from tunery.cli.watch_comparison import ComparisonConsole
        from tunery.comparison.compare import compare as run_comparison

    result = run_comparison(
        document,
        methods=[name.strip() for name in methods.split(",") if name.strip()],
        seeds=seeds,
        baseline=baseline,
        out=folder,
        overrides=overrides or (),
        over=over or (),
        observer=ComparisonConsole(Terminal(stderr=True)),
        trust_remote_code=permits_code(trust_remote_code, overrides or ()),
    )
    show.comparison(result, folder, as_json=as_json)
