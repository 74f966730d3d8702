"""What a study has to say."""

import pytest

from page_reader import checked
from report_records import make_empty_study, make_searched_study
from tunery.report import study_html
from tunery.report.compute.pruning import Pruning, pruning
from tunery.report.text.study_sentences import (
    ENSEMBLES,
    ensemble_line,
    gain_measure,
    headline,
    importance_line,
    numbers_text,
    pruned_sentence,
    rescored_sentence,
    winner_again,
)
from tunery.schema.results.study import EnsembleGain


def test_every_kind_of_ensemble_has_a_name():
    kinds = EnsembleGain.model_fields["method"].annotation
    assert set(ENSEMBLES) == set(kinds.__args__)


def test_a_winner_without_other_seeds_is_not_given_those_of_another():
    made = make_searched_study(60)
    assert made.best is not None and winner_again(made) == made.rescored[0]
    second = made.rescored[1]
    other = made.best.model_copy(update={"number": second.number, "value": second.values[0]})
    assert winner_again(made.model_copy(update={"best": other})) == second
    stranger = made.model_copy(update={"best": made.best.model_copy(update={"number": 999})})
    assert winner_again(stranger) is None and "seeds" not in headline(stranger)


def test_one_value_is_no_mean_over_seeds():
    made = make_searched_study(60)
    alone = made.rescored[0].model_copy(update={"seeds": (0,), "values": (0.8,)})
    assert winner_again(made.model_copy(update={"rescored": (alone,)})) is None


@pytest.mark.parametrize(("direction", "told"), [("maximize", "Trial 2 had"), ("minimize", "Trial 3 had")])
def test_other_seeds_that_changed_who_won_are_told(direction: str, told: str):
    made = make_searched_study(60)
    values = [(1, (0.5, 0.5)), (2, (0.9, 0.1)), (3, (0.1, 0.9))]
    again = tuple(
        made.rescored[0].model_copy(update={"number": n, "seeds": (0, 1), "values": v, "mean": 0.5}) for n, v in values
    )
    sentence = rescored_sentence(made.model_copy(update={"rescored": again, "direction": direction}))
    assert "The best 3 configurations were trained again" in sentence and told in sentence
    assert "Trial" not in rescored_sentence(made.model_copy(update={"rescored": again[:1], "direction": direction}))


def test_pruning_in_one_sentence():
    late = pruned_sentence(Pruning(stopped=8, ended=10, early=5, early_epoch=5, by_epoch=(), seconds_saved=None))
    assert late.replace("\N{NO-BREAK SPACE}", " ") == (
        "8 of 10 ended trials (80 %) were stopped early, 5 of them (50 % of all) by epoch 5."
    )
    assert pruned_sentence(Pruning(0, 10, 0, 5, (), None)) == "No trial was stopped early."


def test_no_epoch_is_named_that_no_trial_has():
    study = make_empty_study("pruned", trials=3).model_copy(update={"pruned_by_epoch": {1: 1, 3: 2}})
    assert pruned_sentence(pruning(study)).endswith("were stopped early, all of them by epoch 3.")


def test_ensembles_and_their_best_member_are_told_in_one_measure_that_is_not_the_leaderboards():
    study = make_searched_study(60)
    told = ensemble_line(study, study.ensembles[0])
    single, value = f"{study.ensembles[0].single:.4f}", f"{study.ensembles[0].value:.4f}"
    assert f": 2-fold cross-validated macro F1 {value} against {single} of the best single trial (+0.0051)" in told
    assert gain_measure(study) in checked(study_html(study)).text_of("th")


def test_no_importance_is_no_line_and_many_numbers_are_cut():
    assert importance_line(make_empty_study(), most=5) == ""
    assert numbers_text((1, 2, 3), most=2) == "1, 2 and 1 more" and numbers_text((1, 2), most=2) == "1, 2"
