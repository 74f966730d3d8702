"""The public face: what can be imported, and what importing it does not load."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import tunery

PUBLIC = [
    "RunConfig",
    "RunResult",
    "TuneryError",
    "compare",
    "difference",
    "ensemble",
    "fit",
    "list_runs",
    "load",
    "load_config",
    "load_document",
    "pretrain",
    "remove_run",
    "search",
    "threshold",
]
HEAVY = ("torch", "transformers", "pandas", "sklearn", "datasets", "peft", "optuna")


def test_the_public_names_are_these() -> None:
    assert tunery.__all__ == PUBLIC


@pytest.mark.smoke
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tunery, name).__name__ == name


def test_the_version_is_the_installed_one_and_takes_nothing_heavy_to_say() -> None:
    assert tunery.__version__ == version("tunery")
    code = "import sys; from tunery.cli import main\ntry: main(['--version'])\n"
    code += f"finally: print(set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (0, [tunery.__version__, "set()"])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tunery' has no attribute 'fitt'"):
        tunery.fitt  # noqa: B018


@pytest.mark.parametrize("module", ["tunery", "tunery.cli", "tunery.schema", "tunery.report"])
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_search_begins_light_so_that_its_trials_can_warm_up_beside_it() -> None:
    code = "import sys, tunery.hpo.study, tunery.cli.watch_study; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_offered_before_it_is_loaded() -> None:
    code = "import sys, tunery; print(dir(tunery) == sorted(tunery.__all__), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"
