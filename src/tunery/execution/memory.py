"""What a run will take of memory, estimated from the runs before it, and what to do where it is too much."""

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, NamedTuple, final

import numpy as np

from tunery.schema import RunConfig
from tunery.schema.config.train import USUAL_TOKENS
from tunery.schema.results.run import Memory
from tunery.schema.sizes import size_text
from tunery.train.memory.expected import Expected
from tunery.train.setup.prepare import prepare

_RUNS: Final = 3
"""Runs that a line needs, at two token counts at least."""
_MARGIN: Final = 0.92
"""Share of the memory that a run may be expected to take."""


Expect = Callable[[RunConfig, int, float], Expected | None]


def nothing_expected(config: RunConfig, longest: int, limit: float) -> Expected | None:
    """Predict nothing."""
    return None


def longest_row(config: RunConfig, *, trust_remote_code: bool = False) -> int:
    """Tokens of the longest training row."""
    return int(prepare(config, trust_remote_code=trust_remote_code).encoded["train"].lengths.max())


def largest_pass(config: RunConfig, longest: int, *, found: int | None = None) -> int:
    """Most padded tokens in one pass: what the budget allows, or one longer row, and no more than a step has.

    Args:
        found: what a run has found for `train.micro_batch_tokens: auto`; None: it has not begun.
    """
    train, setting = config.train, config.train.micro_batch_tokens
    tokens = (found or USUAL_TOKENS) if setting == "auto" else setting
    return min(max(tokens, longest), train.batch_size * longest)


def halved(config: RunConfig, longest: int, *, found: int | None = None) -> RunConfig | None:
    """The same run with passes of half as many tokens; None where a pass is a single row of the `longest` already.

    A step then has twice as many passes, whose gradients add up to the same: the optimisation does not change.
    """
    tokens = largest_pass(config, longest, found=found)
    return None if tokens <= longest else _with_tokens(config, max(longest, tokens // 2))


def _with_tokens(config: RunConfig, tokens: int) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"micro_batch_tokens": tokens})})


class _Line(NamedTuple):
    """Peak bytes = `rest` + `each` * tokens of the largest pass."""

    rest: float
    each: float
    source: str
    """Who says so, for people to read."""

    def bytes(self, tokens: int) -> float:
        return self.rest + self.each * tokens

    def tokens(self, size: float) -> int:
        """How many take `size` bytes."""
        return int((size - self.rest) / self.each)


@final
class MemoryLine:
    """Learns from every run that has ended, and estimates those to come. Any thread may call it."""

    def __init__(
        self, *, limit: int, longest: Callable[[RunConfig], int] = longest_row, expect: Expect = nothing_expected
    ) -> None:
        """Args:
        limit: bytes that one run may take: of the device where there is one, else of the host.
        expect: predicts what a run takes, where no runs have told it yet: config, tokens of the longest row, limit.
        """
        self._expect = expect
        self._expected: dict[Hashable, Expected | None] = {}
        self._limit = limit
        self._longest = longest
        self._lock = threading.Lock()
        self._runs: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)

    def learn(self, config: RunConfig, memory: Memory, *, found: int | None = None) -> None:
        """Take in what a run has measured.

        Args:
            found: as in `largest_pass`.
        """
        peak, tokens = memory.peak, largest_pass(config, self._longest(config), found=found)
        with self._lock:
            self._runs[_kind(config)].append((tokens, peak))

    def halved(self, config: RunConfig, *, found: int | None = None) -> RunConfig | None:
        """What to try where memory has run out; see `halved` of this file."""
        return halved(config, self._longest(config), found=found)

    def admit(self, config: RunConfig) -> RunConfig | str:
        """The run, with fewer tokens in a pass where it would not fit otherwise, or why it cannot fit.

        Without a line that says anything the run may try.
        """
        with self._lock:
            line = _fitted(self._runs[_kind(config)])
        longest, room = self._longest(config), _MARGIN * self._limit
        tokens = largest_pass(config, longest)
        line = line or self._predicted(config, longest)
        if line is None or line.bytes(tokens) <= room:
            return config
        if line.bytes(longest) > room:
            return (
                f"it would take about {size_text(line.bytes(longest))} of memory with single rows of {longest} tokens, "
                f"{line.source}, but there are {size_text(self._limit)}"
            )
        return _with_tokens(config, max(longest, line.tokens(room)))

    def _predicted(self, config: RunConfig, longest: int) -> _Line | None:
        kind = (_kind(config), repr(config.peft))
        with self._lock:  # once for each kind
            if kind not in self._expected:
                self._expected[kind] = self._expect(config, longest, self._limit)
        found = self._expected[kind]
        return None if found is None else _Line(found.rest, found.each, "by prediction")


def _kind(config: RunConfig) -> Hashable:
    """Runs of one kind are on one line. The optimizer is in it, because its state may be twice the model."""
    model, train = config.model, config.train
    return (
        (model.name, model.precision, model.quantization),
        (config.peft.method, config.freeze, config.optim.name, train.gradient_checkpointing),
    )


def _fitted(runs: Sequence[tuple[int, int]]) -> _Line | None:
    """The line by least squares; None where runs are too few or too much alike, or deny that more takes more."""
    if len(runs) < _RUNS or len({tokens for tokens, _ in runs}) < 2:
        return None
    tokens, peaks = np.array(runs, dtype=np.float64).T
    each, rest = np.polyfit(tokens, peaks, deg=1).tolist()
    return _Line(rest, each, f"judged by {len(runs)} runs like it") if each > 0 else None
