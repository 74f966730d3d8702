"""A complete proposal for one trial, made and checked before anything of it is stored."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from optuna import Study, Trial
from optuna.distributions import BaseDistribution

from tunery.hpo.candidates import Candidate, Candidates, given
from tunery.hpo.space import Params, Space
from tunery.hpo.tables import SAMPLERS
from tunery.schema import RunConfig
from tunery.schema.document import Document
from tunery.schema.search import Search

PARAMS: Final = "params"
"""User attribute of a trial that holds its parameters, complete before any of them is stored by itself."""


class Draft(NamedTuple):
    """What a trial is to be."""

    params: Params
    """By path in the document, as optuna stores them."""
    distributions: dict[str, BaseDistribution]
    """Where each was drawn from."""
    config: RunConfig
    notes: dict[str, Any]
    """What the sampler wants to remember with the trial, for those after it."""


def draft(
    study: Study, trial: Trial, document: Document, search: Search, *, seed: int, seen: Collection[str]
) -> Draft | None:
    """The first proposal that the schema accepts and that no other trial has; None: there is no such left.

    It depends on the trials so far, the seed and the number of the trial; nothing is stored. Optuna's own calls before
    and after a trial are not made: those of the samplers in `SAMPLERS` do nothing without constraint functions.

    Args:
        trial: which runs, and has no parameters.
        document: as `with_domains` returned it.
        seen: identities of the trials so far.
    """
    space = Space(document)
    candidates = Candidates(
        space, study, number=trial.number, seed=seed, is_new=lambda params: identity(params) not in seen
    )
    for candidate in SAMPLERS[type(search.sampler)](search.sampler, candidates):
        found = _settled(space, candidate)
        if found is not None and identity(found.params) not in seen:
            return found
    return None


def redraft(params: Mapping[str, Any], document: Document) -> Draft:
    """The draft of parameters that are stored.

    Raises:
        ValueError: when the schema refuses them, which it did not when they were drawn.
    """
    found = _settled(Space(document), given(params))
    if found is None:
        raise ValueError(f"the stored parameters {json.dumps(dict(params))} are no longer legal")
    return found


def _settled(space: Space, candidate: Candidate) -> Draft | None:
    settled = space.settled(candidate.choose)
    if settled is None:
        return None
    params, config = settled
    return Draft(params, {path: space.distributions[path] for path in params}, config, candidate.notes)


def identity(params: Mapping[str, Any]) -> str:
    """Equal for equal configurations of one document."""
    return json.dumps({path: _plain(params[path]) for path in sorted(params)})


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def store(trial: Trial, draft: Draft) -> None:
    """Write a draft into its trial; repeating it changes nothing.

    The attribute `params` counts: it is written in one piece, after what the sampler remembers, so that a trial has all
    of its parameters or none.
    """
    storage, place = trial.storage, trial._trial_id
    for key, value in draft.notes.items():
        storage.set_trial_system_attr(place, key, value)
    storage.set_trial_user_attr(place, PARAMS, draft.params)
    for path, value in draft.params.items():
        distribution = draft.distributions[path]
        storage.set_trial_param(place, path, distribution.to_internal_repr(value), distribution)
