"""The memory line: what it learns, what it lets pass, makes smaller or refuses."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tiny_runs import config, write_rows
from tunery.data.batches import micro_batches
from tunery.execution.memory import MemoryLine, halved, largest_pass, longest_row
from tunery.schema import RunConfig
from tunery.schema.config.freeze import FreezeLayers
from tunery.schema.results.run import Memory
from tunery.train.memory.expected import Expected, expected

LONGEST = 100
MB = 10**6


def run(tokens: int, *, batch_size: int = 32, peft: str = "lora", **model: Any) -> RunConfig:
    return config(
        "minilm",
        {"train": "rows.csv"},
        model={"name": "minilm", **model},
        peft={"method": peft},
        optim={"name": "adamw"},
        train={"micro_batch_tokens": tokens, "batch_size": batch_size},
    )


def line(limit: int, *tokens: int) -> MemoryLine:
    """Has seen runs that took 100 MB and 0.1 MB a token."""
    found = MemoryLine(limit=limit, longest=lambda _: LONGEST)
    for count in tokens:
        found.learn(run(count), Memory(host_peak_bytes=10, device_peak_bytes=100 * MB + count * MB // 10))
    return found


@given(st.integers(1, 10**5), st.integers(1, 64), st.lists(st.integers(1, 512), min_size=1, max_size=64))
def test_no_pass_is_larger_than_it_is_taken_to_be(tokens: int, batch_size: int, lengths: list[int]) -> None:
    rows = range(len(lengths[:batch_size]))
    passes = micro_batches(rows, lengths, max_tokens=tokens)  # type: ignore[arg-type]
    largest = max(len(rows) * max(lengths[row] for row in rows) for rows in passes)
    assert largest <= largest_pass(run(tokens, batch_size=batch_size), max(lengths))


@given(st.integers(1, 10**5), st.integers(1, 64), st.integers(1, 512))
def test_halving_ends_at_single_rows(tokens: int, batch_size: int, longest: int) -> None:
    smaller: RunConfig | None = run(tokens, batch_size=batch_size)
    sizes = []
    while smaller is not None:
        sizes.append(largest_pass(smaller, longest))
        last, smaller = smaller, halved(smaller, longest)
    assert sizes[-1] == longest and all(after < before for before, after in zip(sizes, sizes[1:], strict=False))
    assert last.train.micro_batch_tokens == longest or len(sizes) == 1
    assert last.train.batch_size == batch_size


def test_half_of_what_a_step_has_and_not_of_what_it_might_have() -> None:
    smaller = halved(run(8192, batch_size=16), LONGEST)
    assert smaller is not None and smaller.train.micro_batch_tokens == 16 * LONGEST // 2
    assert smaller.model_dump(exclude={"train"}) == run(8192).model_dump(exclude={"train"})


def test_what_fits_is_let_pass_and_what_does_not_is_made_smaller() -> None:
    known = line(400 * MB, 1000, 2000, 2000)
    assert known.admit(run(2600)) == run(2600)  # 360 of 368 MB
    smaller = known.admit(run(3200))
    assert isinstance(smaller, RunConfig)
    assert smaller.train.micro_batch_tokens == pytest.approx(2680, abs=1)  # 100 + 268 MB is 92 %


def test_what_cannot_fit_is_refused_with_the_numbers() -> None:
    refused = line(115 * MB, 1000, 2000, 3000).admit(run(1000))
    assert refused == (
        "it would take about 110 MB of memory with single rows of 100 tokens, judged by 3 runs like it, "
        "but there are 115 MB"
    )
    assert isinstance(line(120 * MB, 1000, 2000, 3000).admit(run(1000)), RunConfig)  # 110.4 MB are allowed


@pytest.mark.parametrize("tokens", [(), (1000, 2000), (2000, 2000, 2000)])
def test_without_a_line_everything_may_try(tokens: tuple[int, ...]) -> None:
    assert line(1, *tokens).admit(run(3200)) == run(3200)


def test_before_any_run_a_prediction_is_asked_once_for_each_kind() -> None:
    asked = list[str]()

    def expect(config: RunConfig, longest: int, limit: float) -> Expected | None:
        asked.append(config.peft.method)
        return None if config.peft.method == "ia3" else Expected(100 * MB, 0.1 * MB)

    tight = MemoryLine(limit=115 * MB, longest=lambda _: LONGEST, expect=expect)
    assert (
        tight.admit(run(1000))
        == tight.admit(run(2000))
        == ("it would take about 110 MB of memory with single rows of 100 tokens, by prediction, but there are 115 MB")
    )
    assert tight.admit(run(3200, peft="ia3")) == run(3200, peft="ia3") and asked == ["lora", "ia3"]
    wide = MemoryLine(limit=400 * MB, longest=lambda _: LONGEST, expect=expect)
    smaller = wide.admit(run(3200))
    assert isinstance(smaller, RunConfig) and smaller.train.micro_batch_tokens == pytest.approx(2680, abs=1)
    for count in (1000, 2000, 3000):  # what runs have told counts more
        wide.learn(run(count), Memory(host_peak_bytes=10 * count))
    assert wide.admit(run(3200)) == run(3200)


def test_a_model_that_cannot_fit_is_known_without_its_weights(tiny_bert: Path, tmp_path: Path) -> None:
    given = config(str(tiny_bert), write_rows(tmp_path), peft={"method": "full"})
    longest = longest_row(given)
    assert expected(given, longest, limit=10**12) is None  # it fits by far
    found = expected(given, longest, limit=10**6)
    assert found is not None
    weights = sum(tensor.nbytes for tensor in load_file(tiny_bert / "model.safetensors").values())
    assert 3.5 * weights < found.rest < 5 * weights and found.each > 0  # weights, gradients, two moments
    frozen = given.model_copy(update={"freeze": FreezeLayers(n=1)})
    assert expected(frozen, longest, limit=1) is None


def test_runs_that_deny_the_line_are_no_line() -> None:
    known = MemoryLine(limit=1, longest=lambda _: LONGEST)
    for tokens, peak in ((1000, 30), (2000, 20), (3000, 10)):
        known.learn(run(tokens), Memory(host_peak_bytes=peak))
    assert known.admit(run(3200)) == run(3200)


@pytest.mark.parametrize("other", [{"peft": "ia3"}, {"precision": "bf16"}, {"quantization": "nf4"}])
def test_runs_of_another_kind_have_a_line_of_their_own(other: dict[str, Any]) -> None:
    known = line(1, 1000, 2000, 3000)
    assert isinstance(known.admit(run(1000)), str)
    assert known.admit(run(1000, **other)) == run(1000, **other)


def test_without_a_device_the_host_is_measured() -> None:
    known = MemoryLine(limit=115, longest=lambda _: LONGEST)
    for tokens in (1000, 2000, 3000):
        known.learn(run(tokens), Memory(host_peak_bytes=100 + tokens // 10))
    assert isinstance(known.admit(run(1000)), str)


def test_the_longest_row_is_looked_up_in_the_data(tiny_bert: Path, tmp_path: Path) -> None:
    files = write_rows(tmp_path)
    given = config(str(tiny_bert), files, model={"name": str(tiny_bert), "max_length": 12})
    assert longest_row(given) == 12
    longer = config(str(tiny_bert), files, model={"name": str(tiny_bert), "max_length": 64})
    assert 12 < longest_row(longer) < 64
    assert MemoryLine(limit=1).halved(longer) == halved(longer, longest_row(longer))
