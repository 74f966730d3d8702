"""The verbs that need no run: `init`, `check`, `schema`, `models`."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from tunery.cli import show
from tunery.cli.options import AsJson, Config, Overrides, Overwrite, TrustRemoteCode, column_names, permits_code
from tunery.data.corpus import require_readable_corpus
from tunery.data.reading.load import is_large, require_readable
from tunery.errors import RequestError, did_you_mean
from tunery.schema import load_config
from tunery.schema.config.run import far_rates
from tunery.schema.reading.document import anchored, validate
from tunery.schema.reading.utf8 import has_utf8_path
from tunery.schema.reading.yaml_text import parse_yaml
from tunery.schema.results.finding import Finding
from tunery.store.study import ignore
from tunery.terminal import Terminal, reminding, write, write_json

if TYPE_CHECKING:
    from tunery.data.first_config.infer import Guess

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
    with _without_collection():
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


@contextmanager
def _without_collection() -> Iterator[None]:
    """Millions of rows without a cycle among them: to look for one again and again takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
    config: Config, overrides: Overrides = None, trust_remote_code: TrustRemoteCode = False, as_json: AsJson = False
) -> None:
    """Say what is wrong with the data before any training: duplicates, leaks, one-class splits, truncation."""
    resolved = load_config(config, overrides or ())
    require_readable(resolved.data)
    require_readable_corpus(resolved.pretrain, resolved.data)
    from tunery.train.setup.prepare import look_at
    from tunery.train.setup.pretraining_stages import look_at_stages

    permitted = permits_code(trust_remote_code, overrides or ())
    reminded = reminding(Terminal(stderr=True).say) if is_large(resolved.data) else nullcontext(ignore)
    with reminded as say, _without_collection():
        examined = look_at(resolved, say=say, trust_remote_code=permitted)
        findings = (*examined.findings, *look_at_stages(resolved, examined, say=say))
    rates = [Finding(level="warning", code="learning_rate", message=sentence) for sentence in far_rates(resolved)]
    notes = [Finding(level="info", code="reading", message=note) for note in examined.splits.notes]
    show.check(examined.record(), [*findings, *rates, *notes], as_json=as_json)
    if any(finding.level == "fatal" for finding in findings):
        raise typer.Exit(2)


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


def models(as_json: AsJson = False) -> None:
    """List the model aliases that configs may use; any Hub id or local folder works too."""
    from tunery.model.backbones.catalog import catalog_rows

    show.models(catalog_rows(), as_json=as_json)
