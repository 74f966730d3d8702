"""Drafts written into studies that are in memory, through optuna's own calls."""

from optuna.trial import Trial

from tunery.hpo.draft import PARAMS, Draft


def store(trial: Trial, draft: Draft) -> None:
    """What `Book.write` does in a database."""
    for key, value in draft.notes.items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    trial.set_user_attr(PARAMS, draft.params)
    for path, (value, distribution) in draft.stored().items():
        trial.storage.set_trial_param(trial._trial_id, path, value, distribution)
