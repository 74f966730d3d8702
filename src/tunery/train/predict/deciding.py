"""`tunery threshold`: how a finished model decides is changed, and it is not trained again.

Thresholds, calibration and costs are found anew by what the model answers about its validation rows, or, after
cross-validation, by the answers out of fold that its folder has. Test rows are not read: whoever chose by them could
not believe their score any more. So the test score in a record stays that of the decisions before, and the record says
since when there are others.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from tunery.data.row_table import RowTable
from tunery.errors import ConfigError, DataError, FolderError, Problem, RequestError, did_you_mean
from tunery.schema import RunConfig
from tunery.schema.reading.document import override, validate
from tunery.schema.results.card import ModelCard
from tunery.schema.results.decision import DecisionChange
from tunery.store.disk.files import require_writable, write_text
from tunery.store.disk.lock import held
from tunery.store.disk.ownership import BEST, TRIALS, is_own
from tunery.store.disk.run_lock import data_changes, read_study
from tunery.store.exported import CARD, exported_in
from tunery.store.folder import RunFolder
from tunery.store.records import read_record
from tunery.store.study import ignore
from tunery.tasks.table import make_task
from tunery.tasks.task import State, Task
from tunery.train.out_of_fold import answers_of_folds, score_out_of_fold
from tunery.train.predict.card import Card, read_card
from tunery.train.predict.inference import load
from tunery.train.setup.prepare import current_splits, data_record

Scores = Callable[[RunConfig, Task], tuple[dict[str, Any], State | None]]
"""Of a task: metrics of rows that nothing was fitted to, and what is fitted to all of them."""

_VALIDATION: Final = "validation: each fifth of its rows is decided by what the other four give"
_OUT_OF_FOLD: Final = "rows that a fold had not seen: each fifth of them is decided by what the other four give"
_REMEDY: Final = "put back the rows that it was trained with"


@final
@dataclass(frozen=True)
class Decided:
    """How a model decides, before and after a change."""

    folder: Path
    """The exported folder."""
    decisions: Mapping[str, Any]
    """The keys of `task` that say it, as the model has them now."""
    state: State
    """What was fitted by them."""
    metrics: Mapping[str, Any]
    """Of rows that nothing was fitted to."""
    before: Mapping[str, Any]
    """The same before the change."""
    rows: str
    """Which rows they are of, and by what these were decided, in words."""
    is_written: bool
    """Whether the model decides so from now on."""


def threshold(
    path: str | Path,
    changes: Mapping[str, Any] | Iterable[str] = (),
    *,
    dry_run: bool = False,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> Decided:
    """Change how the model of a run, a study, a comparison or an exported folder decides; without changes, say how.

    Args:
        path: the folder, as for `load`.
        changes: keys of `task` with their values, `{"threshold": {"method": "at_least", "precision": 0.9}}`, or
            `key.path=value` assignments as on the command line, `task.threshold=global`. Other keys than those that
            say how a model decides are refused.
        dry_run: whether nothing is written.
        say: is told what was done.
        trust_remote_code: permits code that comes with the model.

    Raises:
        ConfigError: a change is not one of decisions, or breaks a rule.
        DataError: the rows that it is fitted to are not what they were.
        FolderError: there is no finished model, or another process works in the folder.
    """
    folder = exported_in(Path(path))
    card = read_card(folder)
    keys = type(card.config.task).decision_keys
    if not keys:
        raise RequestError(f"decisions are about labels, but a model of task {card.config.task.kind!r} gives none")
    assignments = list(_assignments(changes))
    config = _changed(card.config, assignments, keys)
    task = make_task(config.task, card.task.labels, card.task.settings)
    root = _root(folder)
    scores = _scores(card, folder, root, trust_remote_code=trust_remote_code)
    before, _ = scores(card.config, card.task)
    metrics, state = scores(config, task)
    assert state is not None
    is_written = bool(assignments) and not dry_run
    old, new = ({key: each.task.model_dump(mode="json")[key] for key in keys} for each in (card.config, config))
    if is_written:
        change = DecisionChange(
            at=datetime.now(UTC),
            before=old,
            after=new,
            objective=config.objective,
            value_before=before[card.config.objective],
            value=metrics[config.objective],
        )
        _write(folder, root, config, state, change)
        say(f"{str(folder)!r} decides so from now on; test scores in its record are of the decisions before")
    rows = _OUT_OF_FOLD if config.data.folds else _VALIDATION
    return Decided(folder, new, state, metrics, before, rows, is_written)


def _assignments(changes: Mapping[str, Any] | Iterable[str]) -> Iterable[str]:
    if isinstance(changes, Mapping):
        return [f"task.{key}={json.dumps(value)}" for key, value in changes.items()]
    return changes


def _changed(config: RunConfig, assignments: Iterable[str], keys: Iterable[str]) -> RunConfig:
    """The config with other decisions.

    Raises:
        ConfigError: something else is changed, or a rule is broken.
    """
    problems, paths = list[Problem](), [f"task.{key}" for key in keys]
    for assignment in assignments:
        path = assignment.partition("=")[0]
        if not any(path == known or path.startswith(f"{known}.") for known in paths):
            message = f"a finished model is not trained again, so this cannot be changed; {did_you_mean(path, paths)}"
            problems.append(Problem(path, message))
    if problems:
        raise ConfigError(problems, source="the overrides")
    return validate(override(config.model_dump(mode="json"), assignments), source="the overrides")


def _root(folder: Path) -> Path | None:
    """The folder of the run, study or comparison whose best model this is; None where it stands alone."""
    return folder.parent if folder.name == BEST and is_own(folder.parent) else None


def _scores(card: Card, folder: Path, root: Path | None, *, trust_remote_code: bool) -> Scores:
    """Raises `DataError` where the rows are not known to be the same."""
    if card.data is None:
        raise DataError("an earlier version made this model and did not record its rows; train it again")
    config, splits = card.config, current_splits(card.config)
    names = ("validation",) if config.data.folds is None else ("train",)
    if changed := data_changes(card.data, data_record(splits), names=names):
        raise DataError(f"decisions are fitted to the rows that chose the model, but {changed}; {_REMEDY}")
    if config.data.folds is not None:
        answers = _out_of_fold(config, folder, root)

        def of_folds(config: RunConfig, task: Task) -> tuple[dict[str, Any], State | None]:
            scored = score_out_of_fold(config, task, splits.pool, answers)
            return scored.metrics, scored.state

        return of_folds
    examples = splits.validation.examples
    given, truth = load(folder, trust_remote_code=trust_remote_code).answers(examples), card.task.truth(examples)
    return lambda config, task: (task.fitted_score(given, truth), task.fit_state(given, truth))


def _out_of_fold(config: RunConfig, folder: Path, root: Path | None) -> list[RowTable]:
    """The answers of all folds, each about the rows that it had not seen."""
    study = None if root is None else read_study(root)
    run = root / TRIALS / str(study.best.number) if root is not None and study is not None and study.best else root
    answers = None if run is None else answers_of_folds(run, config.data.all_folds)
    if answers is None:
        message = "a cross-validated model decides by answers out of fold, which are in the folder of its run, but "
        raise FolderError(f"{message}{str(folder)!r} has none; name the folder of the run")
    return answers


def _write(folder: Path, root: Path | None, config: RunConfig, state: State, change: DecisionChange) -> None:
    """Write the card in one piece, then what the record of a run says of it."""
    require_writable(folder)
    with nullcontext() if root is None else held(root):
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        known = read_record(folder / CARD, ModelCard)
        assert known is not None
        changes = (*known.decisions, change)
        card["config"] = config.model_dump(mode="json")
        card["task"] = {**card["task"], "state": dict(state)}
        card["decisions"] = [each.model_dump(mode="json") for each in changes]
        write_text(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False))
        run = None if root is None else RunFolder(root)
        if run is not None and (result := run.result()) is not None:
            run.write_result(result.model_copy(update={"decisions": changes}))
