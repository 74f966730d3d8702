"""A complete proposal for one trial, made and checked before anything of it is stored."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from optuna import Study, Trial
from optuna.distributions import BaseDistribution

from tunery.hpo.samplers.builders import SAMPLERS
from tunery.hpo.samplers.candidates import Candidate, Candidates, candidate_of
from tunery.hpo.search_space.distributions import Params, Space
from tunery.schema import RunConfig
from tunery.schema.config.search import Search
from tunery.schema.reading.document import Document

PARAMS: Final = "params"
"""User attribute of a trial that holds its parameters as they were drawn: numbers keep their type."""


class Proposal(NamedTuple):
    """What a trial is to be."""

    params: Params
    """By path in the document, as optuna stores them."""
    distributions: dict[str, BaseDistribution]
    """Where each was drawn from."""
    config: RunConfig
    notes: dict[str, Any]
    """What the sampler wants to remember with the trial, for those after it."""

    def stored(self) -> dict[str, tuple[float, BaseDistribution]]:
        """By path, the number that optuna keeps, and where it was drawn from."""
        return {
            path: (distribution.to_internal_repr(self.params[path]), distribution)
            for path, distribution in self.distributions.items()
        }


def propose(
    study: Study, trial: Trial, document: Document, search: Search, *, seed: int, seen: Collection[str]
) -> Proposal | None:
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
        proposal = _resolved(space, candidate)
        if proposal is not None and identity(proposal.params) not in seen:
            return proposal
    return None


def proposal_of(params: Mapping[str, Any], document: Document) -> Proposal:
    """The proposal of parameters that are stored.

    Raises:
        ValueError: when the schema refuses them, which it did not when they were drawn.
    """
    proposal = _resolved(Space(document), candidate_of(params))
    if proposal is None:
        raise ValueError(f"the stored parameters {json.dumps(dict(params))} are no longer legal")
    return proposal


def _resolved(space: Space, candidate: Candidate) -> Proposal | None:
    resolved = space.resolved(candidate.choose)
    if resolved is None:
        return None
    params, config = resolved
    return Proposal(params, {path: space.distributions[path] for path in params}, config, candidate.notes)


def identity(params: Mapping[str, Any]) -> str:
    """Equal for equal configurations of one document."""
    values = ((path, params[path]) for path in sorted(params))
    return json.dumps({path: int(v) if isinstance(v, float) and v.is_integer() else v for path, v in values})
