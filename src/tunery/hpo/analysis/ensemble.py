"""What the best trials of a study are worth together, and a folder that holds them as one."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tunery.errors import Damaged, FolderError, RequestError, did_you_mean
from tunery.hpo.analysis.trial_records import trial_folder
from tunery.schema.reading.document import validate
from tunery.schema.results.ranking import ranking_key
from tunery.schema.results.study import EnsembleGain
from tunery.store.disk.ownership import require_run
from tunery.store.exported import require_new
from tunery.store.inventory import trials_in
from tunery.train.artifacts.export import require_idle
from tunery.train.artifacts.restore import StoredWeights
from tunery.train.ensembles.ensemble import ENSEMBLE_METHODS, gains, write_ensemble
from tunery.train.ensembles.members import Member, member_of

_KEEP: Final = "a search with checkpoint.keep_best=N keeps those of the N best"


class Measured(NamedTuple):
    """What ensembles of the best trials gain."""

    gains: tuple[EnsembleGain, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be measured, and why."""


def measure(out: Path, order: Sequence[int], *, trust_remote_code: bool = False) -> Measured:
    """Every kind of ensemble of those trials of the study in `out` whose weights are there.

    Args:
        order: trials, best first.
        trust_remote_code: whether this call permits code that comes with the models.
    """
    members, notes = [], []
    for number in order:
        try:
            members.append(_member(out, number, trust_remote_code=trust_remote_code))
        except (FolderError, Damaged) as error:
            notes.append(f"not in the ensembles: {error}")
    if len(members) < 2:
        return Measured((), tuple(notes))
    measured, more_notes = gains(members)
    return Measured(measured, (*notes, *more_notes))


def ensemble(
    study: str | Path,
    out: str | Path,
    *,
    trials: Sequence[int] | None = None,
    method: str = "mean",
    trust_remote_code: bool = False,
) -> Path:
    """Join trials of a study into one model in the new folder `out`, which `load`, `predict` and `evaluate` take.

    `members/<trial>` are the trials' models in the ecosystem's own format; for a soup the folder itself is one. Every
    one of them is read back by another process before `out` is there.

    Args:
        trials: at least two; None takes all whose weights are kept.
        method: `mean` or `weighted` mean of probabilities, `vote`, or `soup`: the mean of the weights.
        trust_remote_code: permits code that comes with the models.

    Raises:
        RequestError: the method is unknown, `out` is not free, weights are not kept, another process works on them,
            or they cannot be joined in this way.
        Damaged: weights are not what was written.
        ExportMismatch: a member does not answer from disk as it does here; nothing was written.
    """
    if method not in ENSEMBLE_METHODS:
        rule = f"an ensemble is made by {', '.join(ENSEMBLE_METHODS)}, but got {method!r}"
        raise RequestError(f"{rule}; {did_you_mean(method, ENSEMBLE_METHODS)}")
    root, target = Path(study), Path(out)
    require_run(root)
    require_new(target, root)
    require_idle(root)
    members = [_member(root, number, trust_remote_code=trust_remote_code) for number in _chosen(root, trials)]
    return write_ensemble(method, members, target)


def _chosen(study: Path, trials: Sequence[int] | None) -> list[int]:
    """The members, best first.

    Raises:
        FolderError: when there are not two of them.
    """
    best = _completed(study)
    if trials is None:
        chosen = [number for number in best if trial_folder(study, number).best() is not None]
    elif foreign := [number for number in trials if number not in best]:
        completed = f"completed are {', '.join(map(str, sorted(best)))}" if best else "none is completed"
        raise FolderError(f"a member must be a completed trial of {str(study)!r}, but {foreign[0]} is not; {completed}")
    else:
        chosen = [number for number in best if number in trials]
    if len(chosen) < 2:
        numbers = " and ".join(str(number) for number in chosen) or "none"
        got = f"{str(study)!r} keeps those of {numbers} alone" if trials is None else f"got trial {numbers} alone"
        raise FolderError(f"an ensemble needs the weights of two trials, but {got}; {_KEEP}")
    return chosen


def _completed(study: Path) -> list[int]:
    """Completed trials with a value, best first."""
    keys = []
    for number in map(int, trials_in(study)):
        result = trial_folder(study, number).result()
        if result is not None and result.status == "completed" and result.objective.value is not None:
            objective = result.objective
            keys.append((ranking_key(objective.value, result.loss, number, direction=objective.direction), number))
    return [number for _, number in sorted(keys)]


def _member(study: Path, number: int, *, trust_remote_code: bool) -> Member:
    """Raises:
    FolderError: when the trial's weights are not kept.
    Damaged: when they are not what was written.
    """
    folder = trial_folder(study, number)
    result, best = folder.result(), folder.best()
    if result is None or best is None:
        raise FolderError(
            f"the weights of trial {number} are gone; {_KEEP}, "
            f"and `tunery train {shlex.quote(str(folder.path / 'config.yaml'))} --out DIR` trains it again"
        )
    config = validate(result.config)
    try:
        return member_of(
            number, StoredWeights(config, best, folder.objects, result.data, result.base, trust_remote_code)
        )
    except Damaged as error:
        raise Damaged(f"the weights of trial {number} cannot be read: {error}") from error
