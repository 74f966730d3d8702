"""Drafts written into studies that are in memory, through optuna's own calls."""

from optuna.trial import Trial

from tunery.hpo.samplers.proposal import PARAMS, Proposal


def store(trial: Trial, proposal: Proposal) -> None:
    """What `TrialQueue.write` does in a database."""
    for key, value in proposal.notes.items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    trial.set_user_attr(PARAMS, proposal.params)
    for path, (value, distribution) in proposal.stored().items():
        trial.storage.set_trial_param(trial._trial_id, path, value, distribution)
