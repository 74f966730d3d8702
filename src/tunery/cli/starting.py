"""The verbs that need no run: `init`, `check`, `curve`, `schema`, `models`, `calibrate`."""

from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from tunery.cli import show
from tunery.cli.options import AsJson, Config, Overrides, Overwrite, TrustRemoteCode, column_names, permits_code
from tunery.data.corpus import require_readable_corpus
from tunery.data.reading.load import is_large, require_readable
from tunery.errors import DataError, RequestError, did_you_mean
from tunery.schema import RunConfig, load_config
from tunery.schema.config.run import far_rates
from tunery.schema.reading.document import anchored, validate
from tunery.schema.reading.utf8 import has_utf8_path
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.finding import Finding
from tunery.startup import imports, without_collection
from tunery.store.study import ignore
from tunery.terminal import Terminal, reminding, write, write_json

if TYPE_CHECKING:
    from tunery.data.first_config.infer import Guess
    from tunery.train.setup.prepare import Prepared

DEFAULT_MODEL: Final = "minilm"


class SchemaName(StrEnum):
    """The documents that have a schema."""

    config = "config"
    result = "result"
    study = "study"
    comparison = "comparison"
    storage = "storage"
    space = "space"


class TaskKind(StrEnum):
    """The tasks that `init` can be told to assume."""

    classification = "classification"
    multilabel = "multilabel"
    criteria_evidence = "criteria_evidence"
    causal_lm = "causal_lm"
    mlm = "mlm"
    regression = "regression"


def init(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="File with texts, mostly labelled (csv, tsv, jsonl, json, parquet, xlsx, txt, conll)."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Config to write; default: <data name>.yaml here.")] = None,
    text: Annotated[
        str | None, typer.Option(metavar="A,B", help="Column with the text, if the guess is wrong; several are joined.")
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column with the second text of a pair, likewise.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column with the label, if the guess is wrong.")] = None,
    kind: Annotated[TaskKind | None, typer.Option(help="Task, if the guess is wrong.")] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names of the columns, in order, if the file has no header.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file, if it is not UTF-8.")] = None,
    model: Annotated[str, typer.Option(help="Model whose tokenizer counts tokens.")] = DEFAULT_MODEL,
    allow: Annotated[
        str | None, typer.Option(metavar="A,B", help="Findings of `check` that are accepted on purpose.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Look at a labelled file, guess the task, and write a commented config."""
    from tunery.data.checks.check import ALLOWABLE
    from tunery.data.first_config.infer import guess, render, suggested_name
    from tunery.store.output import require_free, write_output
    from tunery.train.setup.token_counts import token_counts

    for path in filter(None, (data, out)):
        if not has_utf8_path(path):
            rule = "a config names its data, so that both paths must be UTF-8"
            raise RequestError(f"{rule}, but {str(path)!r} is not; rename it")
    if out is not None:
        require_free(out, sources=[data], overwrite=overwrite)
    accepted = column_names(allow) or ()
    if wrong := [code for code in accepted if code not in ALLOWABLE]:
        raise RequestError(
            f"--allow names a finding that may be accepted, but got {wrong[0]!r}; {did_you_mean(wrong[0], ALLOWABLE)}"
        )
    with without_collection():
        data_guess = guess(
            data,
            text=text,
            text_pair=text_pair,
            label=label,
            kind=kind.value if kind else None,
            columns=column_names(columns),
            encoding=encoding,
            allow=accepted,
            tokens=token_counts(model, default=DEFAULT_MODEL),
        )
        path = out or Path(f"{suggested_name(data_guess)}.yaml")
        text_of_config = render(data_guess, folder=path.parent, name=path.stem)
        _refuse_what_check_refuses(data_guess, text_of_config, folder=path.parent)
    write_output(path, text_of_config, sources=[data], overwrite=overwrite)
    show.init(data_guess, path, as_json=as_json)


def _refuse_what_check_refuses(data_guess: "Guess", config: str, *, folder: Path) -> None:
    """Look at the splits as a run would see them.

    Raises:
        DataError: they would be refused.
    """
    from tunery.data.checks.check import inspect, refuse_fatal
    from tunery.tasks.table import TASKS, read_splits

    document = anchored(parse_yaml(config, source="the config"), folder.resolve())
    resolved = validate(document)
    data = resolved.data
    spec = resolved.task.without_training_keys()
    tables = data_guess.tables
    each_once = (tables.pop(0) for _ in range(len(tables)))
    splits = read_splits(data, spec, seed=data.seed, tables=each_once)
    refuse_fatal(inspect(splits, TASKS[type(spec)].quick_checks, allow=data.allow), flag="--allow")


def check(
    config: Config,
    overrides: Overrides = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also which training rows are doubtful, by a simple model fitted to other rows."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="csv, tsv or jsonl file of the doubtful rows; default: CONFIG.doubts.csv beside it."
        ),
    ] = None,
    by: Annotated[
        Path | None,
        typer.Option("--by", metavar="RUN", help="Judge rows by a finished run with data.folds, not a simple model."),
    ] = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with the data before any training: duplicates, leaks, one-class splits, truncation."""
    resolved = load_config(config, overrides or ())
    require_readable(resolved.data)
    require_readable_corpus(resolved.pretrain, resolved.data)
    permitted = permits_code(trust_remote_code, overrides or ())
    if deep:
        target = out or config.with_suffix(".doubts.csv")
        _check_deep(resolved, target, config, overwrite, permitted, by=by, as_json=as_json)
        return
    if out is not None or overwrite or by is not None:
        raise typer.BadParameter("--out, --overwrite and --by are of the file that --deep writes; add --deep")
    with imports():
        from tunery.train.setup.prepare import look_at

    reminded = reminding(Terminal(stderr=True).say) if is_large(resolved.data) else nullcontext(ignore)
    with reminded as say, without_collection():
        examined = look_at(resolved, say=say, trust_remote_code=permitted)
        findings = _findings(resolved, examined, say)
    show.check(examined.record(), findings, as_json=as_json)
    if any(finding.level == "fatal" for finding in findings):
        raise typer.Exit(2)


def _findings(config: RunConfig, examined: "Prepared", say: Callable[[str], None]) -> list[Finding]:
    """What `check` has to say of rows, of stages, of rates and of how the rows were read."""
    from tunery.train.setup.pretraining_stages import look_at_stages

    rates = [Finding(level="warning", code="learning_rate", message=sentence) for sentence in far_rates(config)]
    notes = [Finding(level="info", code="reading", message=note) for note in examined.splits.notes]
    return [*examined.findings, *look_at_stages(config, examined, say=say), *rates, *notes]


def _check_deep(
    config: RunConfig,
    target: Path,
    source: Path,
    overwrite: bool,
    permitted: bool,
    *,
    by: Path | None,
    as_json: bool,
) -> None:
    """`check`, and a file of the rows that are doubtful; where a finding is fatal, none are looked for."""
    from tunery.data.reading.write import WRITERS
    from tunery.store.output import require_free, write_output

    sources = [source, *map(Path, config.data.files)]
    if target.suffix.lower() not in WRITERS:
        raise DataError(f"doubtful rows are written as {', '.join(WRITERS)}, but got {target.name!r}")
    require_free(target, sources=sources, overwrite=overwrite)
    with imports():
        from tunery.train.deep_check.by_run import deep_check_by_run
        from tunery.train.deep_check.deep_check import deep_check
        from tunery.train.setup.prepare import examine

    with reminding(Terminal(stderr=True).say) as say:
        say("reading, splitting and tokenising the data")
        examined = examine(config, trust_remote_code=permitted)
        findings = _findings(config, examined, say)
        fatal = any(finding.level == "fatal" for finding in findings)
        looked = None
        if not fatal:
            looked = deep_check(config, examined, say=say) if by is None else deep_check_by_run(by)
    rows = [] if looked is None else looked.table(config.data.label_separator)
    if rows:
        write_output(target, WRITERS[target.suffix.lower()](rows), sources=sources, overwrite=overwrite)
    deep = None if looked is None else show.Deep(looked.method, looked.findings, rows, target)
    show.check(examined.record(), findings, deep=deep, as_json=as_json)
    if fatal:
        raise typer.Exit(2)


def curve(
    config: Config,
    overrides: Overrides = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train the config's own method on parts of the rows, not a simple model.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --train: the folder of its runs; the same command goes on in it.")
    ] = None,
    folds: Annotated[
        int, typer.Option(min=1, max=50, help="With --train: how many folds are held out in turn and scored.")
    ] = 1,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Say what twice and four times the labels would give: a simple model on parts of the training rows, and a law."""
    if train != (out is not None):
        raise typer.BadParameter("--train needs a folder for its runs, and nothing else does; give --train --out DIR")
    if folds > 1 and not train:
        raise typer.BadParameter("--folds is of --train; a simple model is fitted outside each of five folds anyway")
    resolved = load_config(config, overrides or ())
    require_readable(resolved.data)
    permitted = permits_code(trust_remote_code, overrides or ())
    if out is not None:
        with imports():
            from tunery.train.deep_check.curve_by_training import curve_by_training

        with reminding(Terminal(stderr=True).say) as say:
            found = curve_by_training(resolved, out=out, folds=folds, say=say, trust_remote_code=permitted)
        show.curve(found, as_json=as_json)
        return
    with imports():
        from tunery.train.deep_check.learning_curve import learning_curve
        from tunery.train.setup.prepare import prepare

    with reminding(Terminal(stderr=True).say) as say:
        say("reading, splitting and tokenising the data")
        found = learning_curve(resolved, prepare(resolved, trust_remote_code=permitted), say=say)
    show.curve(found, as_json=as_json)


class Published(NamedTuple):
    """What `tunery schema` prints about one kind of document."""

    data: Callable[[], Any]
    page: Callable[[], str]
    text: Callable[[], str] | None = None
    """What is printed by default; None: the data."""


def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which document.")] = SchemaName.config,
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference page in place of JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the schema of the config, of a record or of `report --json`, or the default search space as YAML."""
    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    data, page, text = _published()[which.value]
    if markdown:
        write(page().rstrip())
    elif text is not None and not as_json:
        write(text().rstrip())
    else:
        write_json(data())


def _published() -> dict[str, Published]:
    from tunery.optim.plots import schedule_plots
    from tunery.schema import describe
    from tunery.schema.space.yaml_file import default_space

    records = {
        name: Published(partial(describe.record_schema, name), partial(describe.record_markdown, name))
        for name in describe.RECORDS
    }
    return {
        "config": Published(describe.config_schema, lambda: describe.config_markdown(schedule_plots())),
        **records,
        "space": Published(describe.space_document, describe.space_markdown, default_space),
    }


def models(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="Only models whose name, family or licence has it.")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="Only models of a family, such as bert.")] = None,
    max_parameters: Annotated[
        float | None,
        typer.Option("--max-parameters", metavar="M", min=0, help="Only models of at most M million parameters."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models that configs may name by an alias, and which are on this machine; any Hub id or local folder
    works too."""
    from tunery.model.backbones.catalog import catalog_rows

    show.models(catalog_rows(word, family=family, most_millions=max_parameters), as_json=as_json)


class DeviceKind(StrEnum):
    """What `calibrate` counts for."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def calibrate(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL ...]", help="Aliases of the catalog; none: all of it.")
    ] = None,
    methods: Annotated[str, typer.Option("--methods", metavar="A,B", help="Values of peft.method.")] = "full,lora",
    max_length: Annotated[int, typer.Option("--max-length", min=2, help="Tokens of every row.")] = 256,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Such as 24GB; without: what this machine has left.")
    ] = None,
    device: Annotated[
        DeviceKind, typer.Option("--device", help="What computes; `cuda` needs no GPU here.")
    ] = DeviceKind.auto,
    as_json: AsJson = False,
) -> None:
    """Predict, without weights, what training each model takes of memory, and the largest pass that fits."""
    from tunery.hardware import pick_device
    from tunery.schema.sizes import in_bytes
    from tunery.train.memory.calibrate import calibrate as predicted
    from tunery.train.memory.limit import memory_limit

    is_gpu = pick_device().type == "cuda" if device is DeviceKind.auto else device is DeviceKind.cuda
    size = memory_limit(1) if memory is None else in_bytes(memory)
    if not isinstance(size, int) or size <= 0:
        raise RequestError(f"--memory must be a size such as 24GB, but got {memory!r}")
    if memory is None and is_gpu and pick_device().type != "cuda":
        raise RequestError("--device cuda needs --memory where there is no GPU, for example --memory 24GB")
    specs = {name: _method(name) for name in column_names(methods) or ()}
    rows = predicted(models or (), specs, max_length=max_length, memory=size, is_gpu=is_gpu)
    show.calibrated(rows, memory=size, is_gpu=is_gpu, as_json=as_json)


def _method(name: str) -> Any:
    """What `peft: NAME` means.

    Raises:
        ConfigError: there is no such method.
    """
    return validate({"task": "classification", "data": {"train": "rows.csv"}, "peft": name}).peft
