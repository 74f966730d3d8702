"""The exception tree, and what messages look like."""

import inspect
import re

import pytest

from tunery import errors
from tunery.errors import ConfigError, MissingExtra, Problem, RequestError, RunError, TuneryError, did_you_mean

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


def test_the_drawing_at_the_top_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for spaces, name in re.findall(r"^( *)([A-Z]\w+)(?: {2,}|$)", str(errors.__doc__), flags=re.MULTILINE):
        above = [*above[: len(spaces) // 2], name]
        drawn[name] = above[-2] if len(above) > 1 else "Exception"
    assert drawn == {c.__name__: c.__mro__[1].__name__ for c in CLASSES}


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_ours_and_explained(error: type[Exception]) -> None:
    assert issubclass(error, TuneryError)
    assert error.__doc__


def test_wrong_requests_and_failed_runs_are_told_apart() -> None:
    assert not any(issubclass(c, RequestError) and issubclass(c, RunError) for c in CLASSES)


def test_a_config_error_lists_its_problems() -> None:
    error = ConfigError(iter([Problem("a.b", "wrong"), Problem("", "empty")]), source="run.yaml")
    assert str(error) == "2 problems in run.yaml:\n  a.b: wrong\n  empty"
    assert len(error.problems) == 2


def test_of_many_problems_the_first_are_listed() -> None:
    error = ConfigError([Problem(f"k{n}", "unknown") for n in range(20_000)], source="run.yaml")
    lines = str(error).splitlines()
    assert lines[0] == "20,000 problems in run.yaml:" and lines[-2:] == ["  k19: unknown", "  and 19,980 more"]
    assert (len(lines), len(error.problems)) == (22, 20_000)


def test_a_missing_extra_says_what_to_type() -> None:
    with pytest.raises(RequestError, match=r"mlflow is not installed\. Type: pip install 'tunery\[mlflow\]'"):
        raise MissingExtra("mlflow", extra="mlflow")


@pytest.mark.parametrize(
    ("word", "said"),
    [("lorra", "did you mean 'lora'?"), ("zzz", "choose from: lora, none"), (3, "choose from: lora, none")],
)
def test_did_you_mean(word: object, said: str) -> None:
    assert did_you_mean(word, {"none", "lora"}) == said


def test_a_message_lists_no_more_than_is_read() -> None:
    many = [f"column_{number:04}" for number in range(1000)]
    assert did_you_mean("text", many).endswith("column_0038, column_0039 and 960 more")
    assert did_you_mean("text", ["y" * 5000]) == f"choose from: {'y' * 59}…"
