"""What a study has to say in sentences, for the page and for the terminal."""

from collections.abc import Sequence
from typing import Final

from tunery.errors import enumerated
from tunery.report.compute.importance import EVALUATORS, evaluators, importance_rows
from tunery.report.compute.pareto_front import further_objectives
from tunery.report.compute.pruning import Pruning
from tunery.report.text.cost_units import words_of
from tunery.report.text.formatting import duration, listed, metric_name, percent, plural, score, signed
from tunery.report.text.numbers import finite
from tunery.schema.results.direction import minimized
from tunery.schema.results.study import EnsembleGain, Rescored, StudyResult

ENSEMBLES: Final = {
    "mean": "mean of the answers",
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
    where = "out of fold" if study.is_cross_validated else "on validation"
    where += "" if (honest := finite(study.best.value_after_choice)) is None else f" ({score(honest)} after choice)"
    return f"Trial {study.best.number} won with {name} {score(study.best.value)} {where}{over}{on_test}."


def winner_again(study: StudyResult) -> Rescored | None:
    """What the winner reached with other seeds, where it was trained again."""
    return next((again for again in study.rescored if again.number == study.winner and len(again.values) > 1), None)


def pruned_sentence(pruning: Pruning) -> str:
    """How many trials were stopped by which epoch, and what that saved."""
    if not pruning.stopped:
        return "No trial was stopped early."
    share, early = percent(pruning.stopped / pruning.ended), percent(pruning.early / pruning.ended)
    sentence = f"{pruning.stopped:,} of {plural(pruning.ended, 'ended trial')} ({share}) were stopped early, "
    few = f"{pruning.early:,} of them ({early} of all)"
    sentence += f"{'all of them' if pruning.early == pruning.stopped else few} by epoch {pruning.early_epoch}."
    return (
        f"{sentence} That saved an estimated {duration(pruning.seconds_saved)}." if pruning.seconds_saved else sentence
    )


def beside_sentence(study: StudyResult) -> str:
    """What counts beside the objective, and which way it is better."""
    others = zip(further_objectives(study), study.directions[1:], strict=True)
    names = [f"{words_of(name).name} ({'more' if way == 'maximize' else 'less'} is better)" for name, way in others]
    return f"Beside it counts: {listed(names)}."


def front_sentence(study: StudyResult) -> str:
    """With several objectives, how many trials are Pareto-optimal."""
    measures = listed([metric_name(study.objective), *(words_of(name).name for name in further_objectives(study))])
    count = f"{plural(len(study.front), 'trial')} {'is' if len(study.front) == 1 else 'are'} Pareto-optimal"
    return f"{count} in {measures}: no other is better in one of them and not worse in the rest."


def rescored_sentence(study: StudyResult) -> str:
    """What the extra seeds were for, and whether they changed who won."""
    best = study.rescored[0]
    sentence = (
        f"The best {plural(len(study.rescored), 'configuration')} were trained again with other seeds, and the best"
    )
    sentence += f" mean counts: {score(best.mean)} of trial {best.number}."
    with_values = [again for again in study.rescored if again.values]
    first = min(with_values, key=lambda again: minimized(again.values[0], study.direction), default=best)
    if first.number == best.number:
        return sentence
    own, mean = score(first.values[0]), score(first.mean)
    return f"{sentence} Trial {first.number} had the best value of its own, {own}, but {mean} over the seeds."


def importance_line(study: StudyResult, *, most: int) -> str:
    """The most important parameters with their shares; empty where none was computed."""
    names = evaluators(study)
    if not names:
        return ""
    shares = [f"{row.path} {' / '.join(map(percent, row.shares))}" for row in importance_rows(study)[:most]]
    return f"importance ({' / '.join(EVALUATORS[name][0] for name in names)}): {', '.join(shares)}"


def ensemble_line(study: StudyResult, ensemble: EnsembleGain) -> str:
    """One ensemble against its best member."""
    sentence = f"{ENSEMBLES[ensemble.method]} of trials {numbers_text(ensemble.trials)}: {gain_measure(study)}"
    sentence += f" {score(ensemble.value)} against {score(ensemble.single)} of the best single trial"
    return f"{sentence} ({signed(ensemble.gain)})"


def gain_measure(study: StudyResult) -> str:
    """What the values of ensembles are called: `GAIN_NOTE` says how they come about."""
    return f"2-fold cross-validated {metric_name(study.objective)}"


def numbers_text(numbers: Sequence[int], most: int = _MOST_NAMED) -> str:
    """Numbers of trials, the first ones where they are many."""
    return enumerated([*map(str, numbers)], most)
