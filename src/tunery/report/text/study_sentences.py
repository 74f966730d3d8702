"""What a study has to say in sentences, for the page and for the terminal."""

from typing import Final

from tunery.errors import enumerated
from tunery.report.compute.importance import EVALUATORS, evaluators, importance_rows
from tunery.report.compute.pareto_front import costs_of
from tunery.report.compute.pruning import Pruning
from tunery.report.text.cost_units import COST_WORDS
from tunery.report.text.formatting import DASH, duration, listed, metric_name, percent, plural, score, signed
from tunery.report.text.numbers import finite
from tunery.schema.results.direction import minimized
from tunery.schema.results.study import EnsembleGain, Rescored, StudyResult

ENSEMBLES: Final = {
    "mean": "mean of the probabilities",
    "weighted": "weighted mean",
    "vote": "majority vote",
    "soup": "greedy soup of the weights",
}
"""How an ensemble is called."""

GAIN_NOTE: Final = (
    "Measured by 2-fold cross-validation on the validation rows: members and weights were chosen on one half and scored"
    " on the other, once each way, and every value is the mean of the two. The best single trial was measured in the"
    " same way, so that its value differs from that in the leaderboard, which is on all validation rows at once."
)
"""How the values of ensembles come about."""

_MOST_NAMED: Final = 6


def headline(study: StudyResult) -> str:
    """The result in one sentence."""
    if study.best is None:
        running = any(trial.status == "running" for trial in study.trials)
        return "No trial has completed yet." if running else "No trial completed."
    test = finite(study.best.test.get(study.objective))
    on_test = "" if test is None else f" and {score(test)} on test"
    name, again = metric_name(study.objective), winner_again(study)
    over = f" ({score(again.mean)} over {plural(len(again.values), 'seed')})" if again else ""
    return f"Trial {study.best.number} won with {name} {score(study.best.value)} on validation{over}{on_test}."


def winner_again(study: StudyResult) -> Rescored | None:
    """What the winner reached with other seeds, where it was trained again."""
    found = [again for again in study.rescored if study.best and again.number == study.best.number]
    return found[0] if found and len(found[0].values) > 1 else None


def pruned_sentence(found: Pruning) -> str:
    """How many trials were stopped by which epoch, and what that saved."""
    if not found.stopped:
        return "No trial was stopped early."
    share, early = percent(found.stopped / found.ended), percent(found.early / found.ended)
    told = f"{found.stopped:,} of {plural(found.ended, 'ended trial')} ({share}) were stopped early, "
    few = f"{found.early:,} of them ({early} of all)"
    told += f"{'all of them' if found.early == found.stopped else few} by epoch {found.early_epoch}."
    return f"{told} That saved an estimated {duration(found.seconds_saved)}." if found.seconds_saved else told


def cost_names(study: StudyResult) -> str:
    """The costs that the study minimized beside the objective."""
    return listed([COST_WORDS[cost].name for cost in costs_of(study)])


def front_sentence(study: StudyResult) -> str:
    """With several objectives, how many trials are Pareto-optimal."""
    measures = listed([metric_name(study.objective), *(COST_WORDS[cost].name for cost in costs_of(study))])
    count = f"{plural(len(study.front), 'trial')} {'is' if len(study.front) == 1 else 'are'} Pareto-optimal"
    return f"{count} in {measures}: no other is better in one of them and not worse in the rest."


def rescored_sentence(study: StudyResult) -> str:
    """What the extra seeds were for, and whether they changed who won."""
    best = study.rescored[0]
    told = f"The best {plural(len(study.rescored), 'configuration')} were trained again with other seeds, and the best"
    told += f" mean counts: {score(best.mean)} of trial {best.number}."
    first = _best_value(study)
    if first is None or first.number == best.number:
        return told
    own, mean = score(first.values[0]), score(first.mean)
    return f"{told} Trial {first.number} had the best value of its own, {own}, but {mean} over the seeds."


def _best_value(study: StudyResult) -> Rescored | None:
    """The rescored configuration whose own trial was best; None where a trial has no value."""
    known = [again for again in study.rescored if again.values]
    return min(known, key=lambda again: minimized(again.values[0], study.direction)) if known else None


def importance_line(study: StudyResult, *, most: int) -> str:
    """The most important parameters with their shares; empty where none was computed."""
    names = evaluators(study)
    if not names:
        return ""
    told = [f"{row.path} {' / '.join(map(_share, row.shares))}" for row in importance_rows(study)[:most]]
    return f"importance ({' / '.join(EVALUATORS[name][0] for name in names)}): {', '.join(told)}"


def _share(share: float | None) -> str:
    return DASH if share is None else percent(share)


def ensemble_line(study: StudyResult, found: EnsembleGain) -> str:
    """One ensemble against its best member."""
    told = f"{ENSEMBLES[found.method]} of trials {numbers_text(found.trials)}: {gain_measure(study)}"
    return f"{told} {score(found.value)} against {score(found.single)} of the best single trial ({signed(found.gain)})"


def gain_measure(study: StudyResult) -> str:
    """What the values of ensembles are called: `GAIN_NOTE` says how they come about."""
    return f"2-fold cross-validated {metric_name(study.objective)}"


def numbers_text(numbers: tuple[int, ...], most: int = _MOST_NAMED) -> str:
    """Numbers of trials, the first ones where they are many."""
    return enumerated([*map(str, numbers)], most)
