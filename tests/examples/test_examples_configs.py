"""Every example config is valid, opens with the command that runs it, and names no machine."""

from pathlib import Path

import pytest
import yaml

from tunery.errors import ConfigError
from tunery.schema import load_config, load_document
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DEMO, SPACE = EXAMPLES / "posts" / "demo.yaml", EXAMPLES / "space.yaml"
RUNS = sorted(set(EXAMPLES.glob("*.yaml")) - {SPACE})


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_run_config_is_valid(path: Path) -> None:
    config = load_config(path, ["train.epochs=1"])
    assert config.name == path.stem
    assert config.train.epochs == 1


def test_the_three_public_data_sets_have_a_config() -> None:
    assert {path.stem for path in RUNS} >= {"imdb", "banking77", "goemotions"}


@pytest.mark.parametrize("path", [*RUNS, DEMO, SPACE], ids=lambda path: path.stem)
def test_config_opens_with_its_command_and_names_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    command = "train" if path in RUNS else "search"
    assert text.startswith(f"# tunery {command} {path.relative_to(EXAMPLES.parent).as_posix()}")
    places = [str(value) for value in yaml.safe_load(text)["data"].values()]
    assert not [place for place in places if Path(place).is_absolute() or ".." in place]


def test_demo_space_is_legal_and_reads_the_files_beside_it() -> None:
    document = load_document(DEMO)
    check_space(document)
    assert set(domains(document)) == {"peft.method", "optim.lr"}
    assert {Path(document["data"][split]).parent for split in ("train", "validation", "test")} == {DEMO.parent}


def test_demo_is_a_study_and_not_a_run() -> None:
    with pytest.raises(ConfigError, match="tunery search"):
        load_config(DEMO)


@pytest.mark.parametrize("method", ["lora", "pfeiffer"])
def test_demo_with_fixed_values_is_a_run(method: str) -> None:
    fixed = [f"peft={{method: {method}}}", "optim.lr=1e-3"]
    config = load_config(DEMO, fixed)
    assert config.peft.method == method
    assert config.search.n_trials == 3
