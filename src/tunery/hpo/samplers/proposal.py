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
from tunery.schema.config.baselines import baseline_config
from tunery.schema.config.search import Search
from tunery.schema.reading.document import Document

PARAMS: Final = "params"
"""User attribute of a trial that holds its parameters as they were drawn: numbers keep their type."""
BASELINE: Final = "baseline"
"""User attribute of a trial that is a simple model and no point of the space: its method."""


class Proposal(NamedTuple):
    """What a trial is to be."""

    params: Params
    """By path in the document, as optuna stores them."""
    distributions: dict[str, BaseDistribution]
    """Where each was drawn from."""
    config: RunConfig
    notes: dict[str, Any]
    """What the sampler wants to remember with the trial, for those after it."""
    baseline: str | None = None
    """The simple model that it is in place of a point of the space, if any."""

    def attributes(self) -> dict[str, Any]:
        """What `recorded_proposal` reads."""
        return {PARAMS: self.params} | ({} if self.baseline is None else {BASELINE: self.baseline})

    def stored(self) -> dict[str, tuple[float, BaseDistribution]]:
        """By path, the number that optuna keeps, and where it was drawn from."""
        return {
            path: (distribution.to_internal_repr(self.params[path]), distribution)
            for path, distribution in self.distributions.items()
        }


def propose(
    study: Study,
    trial: Trial,
    document: Document,
    search: Search,
    *,
    seed: int,
    seen: Collection[str],
    baselines: int = 0,
) -> Proposal | None:
    """The first proposal that the schema accepts and that no other trial has; None: there is no such left.

    It depends on the trials so far, the seed and the number of the trial; nothing is stored. Optuna's own calls before
    and after a trial are not made: those of the samplers in `SAMPLERS` do nothing without constraint functions.

    Args:
        trial: which runs, and has no parameters.
        document: as `with_domains` returned it.
        seen: identities of the trials so far.
        baselines: how many simple models were before it.
    """
    space = Space(document)
    candidates = Candidates(
        space,
        study,
        number=trial.number,
        seed=seed,
        is_new=lambda params: identity(params) not in seen,
        baselines=baselines,
    )
    for candidate in SAMPLERS[type(search.sampler)](search.sampler, candidates):
        proposal = _resolved(space, candidate)
        if proposal is not None and identity(proposal.params) not in seen:
            return proposal
    return None


def baseline_proposal(name: str, base: RunConfig) -> Proposal:
    """A simple model as a trial."""
    return Proposal({}, {}, baseline_config(base, name), {}, baseline=name)


def recorded_proposal(attributes: Mapping[str, Any], document: Document, base: RunConfig) -> Proposal | None:
    """The proposal that a trial's user attributes hold; None where nothing was proposed yet.

    Raises:
        ValueError: as `proposal_of` does.
    """
    if BASELINE in attributes:
        return baseline_proposal(attributes[BASELINE], base)
    return proposal_of(attributes[PARAMS], document) if PARAMS in attributes else None


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
