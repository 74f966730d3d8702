"""The commands of the README can be followed one after the other."""

import re
import shlex
from pathlib import Path

import pytest

from tunery.schema import load_document
from tunery.schema.config.peft import Lora, NoPeft
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains

ROOT = Path(__file__).resolve().parents[2]


def overrides(text: str, verb: str) -> list[list[str]]:
    """The overrides of every call of a verb in a document."""
    lines = text.replace("\\\n", " ").splitlines()
    calls = [shlex.split(line, comments=True) for line in lines if line.startswith(f"tunery {verb} reviews.yaml")]
    return [[word for word in call if re.match(r"[\w.]+=", word)] for call in calls]


@pytest.mark.parametrize("page", ["README.md", "docs/search.md"])
def test_a_search_before_an_ensemble_keeps_the_weights_of_several_trials(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    before = text[: text.index("tunery ensemble runs/reviews-search")]
    config = tmp_path / "reviews.yaml"
    config.write_text("task: classification\ndata: {train: reviews.csv}\n")
    documents = [load_document(config, given) for given in overrides(before, "search")]
    assert max(document.get("checkpoint", {}).get("keep_best", 1) for document in documents) > 1


def test_the_search_of_the_readme_holds_the_default_rate_of_every_method_it_searches(tmp_path: Path) -> None:
    config = tmp_path / "reviews.yaml"
    config.write_text("task: classification\ndata: {train: reviews.csv}\n")
    document = load_document(config, overrides((ROOT / "README.md").read_text(encoding="utf-8"), "search")[0])
    check_space(document)
    rate = domains(document)["optim.lr"]
    assert domains(document)["peft.method"].values == ("lora", "none")
    assert all(rate.low <= method.default_lr <= rate.high for method in (Lora, NoPeft))
