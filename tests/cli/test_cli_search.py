"""What the command line says of a search: its space as a tree, its options, its workers, its ensembles."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_cli import call

from tunery.cli.exits import guarded
from tunery.cli.secrets import Secrets
from tunery.errors import ConfigError, Problem, RequestError, StudyFailed
from tunery.hpo import study as studies
from tunery.hpo.analysis import ensemble as joining
from tunery.schema.results.storage import Disk
from tunery.schema.results.study import EnsembleGain, StudyResult
from tunery.schema.space.yaml_file import default_space
from tunery.store.disk.run_lock import run_lock
from tunery.train.ensembles import ensemble as ensembles

URL = "postgresql://me:s3cret@host:5432/studies"
CONFIG: dict[str, Any] = {
    "task": {"kind": "classification"},
    "data": {"train": "train.csv"},
    "peft": {"method": ["none", "lora", "ia3"], "r": [4, 8], "alpha": [8, 16], "ia3": {"ffn": [True, False]}},
    "train": {"epochs": {"low": 1, "high": 3}},
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "posts.yaml"
    path.write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return path


class Called:
    """Stands for a library call: keeps what it was given, and answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.given: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.given = {**options, "arguments": arguments}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_space_is_a_tree_and_nothing_is_trained_or_written(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    code, printed, told = call(capsys, "search", config, "--space")
    assert code == 0 and told == "" and sorted(tmp_path.iterdir()) == [config]
    assert printed.splitlines() == [
        "posts",
        "├── peft.method: full, lora, ia3",
        "│   ├── lora",
        "│   │   ├── peft.r: 4, 8",
        "│   │   └── peft.alpha: 8, 16",
        "│   └── ia3",
        "│       └── peft.ia3.ffn: true, false",
        "└── train.epochs: 1 to 3",
        "5 parameters, 3 of them conditional; 21 configurations",
    ]


def test_the_space_as_one_document(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, printed, _ = call(
        capsys, "search", config, "optim.lr={low: 1e-5, high: 1e-3, log: true}", "--space", "--json"
    )
    space = json.loads(printed)
    assert code == 0 and space["counts"] == {"parameters": 6, "conditional": 3, "configurations": None}
    assert space["parameters"][1] == {
        "path": "peft.r",
        "domain": {"choices": [4, 8]},
        "when": {"peft.method": ["lora"]},
    }
    assert space["parameters"][4]["domain"] == {"low": 1e-5, "high": 1e-3, "log": True, "step": None}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_range_that_leaves_out_a_default_rate_is_said(
    capsys: pytest.CaptureFixture[str], config: Path, form: list[str]
) -> None:
    code, printed, told = call(
        capsys, "search", config, "optim.lr={low: 1e-4, high: 1e-3, log: true}", "--space", *form
    )
    assert code == 0 and "leaves out" not in printed
    assert told.startswith("warning: optim.lr from 0.0001 to 0.001 leaves out the default, ")
    assert "for peft.method=full with adamw" in told


def test_a_space_that_cannot_be_counted_says_why(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    _, printed, _ = call(capsys, "search", config, "optim.lr={low: 1e-5, high: 1e-3, log: true}", "--space")
    assert "optim.lr: 1e-05 to 0.001, logarithmic" in printed
    assert printed.endswith("configurations not countable, because a range has no step\n")


def test_the_space_of_a_config_without_ranges_is_the_default_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("task: {kind: classification}\ndata: {train: train.csv}\n")
    code, printed, _ = call(capsys, "search", path, "--space")
    counts = printed.splitlines()[-1].partition(" of them")[0]
    assert code == 0 and f"{counts} of them" in default_space().replace("\n# ", " ")
    assert "│   ├── lora, lora_plus, dora, rslora\n│   │   └── peft.r: 4, 8, 16, 32\n" in printed


def test_a_narrow_terminal_breaks_lines_and_a_pipe_does_not(
    capsys: pytest.CaptureFixture[str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = ["peft.target=[[query, value], [query, key, value, output], [query, value, ffn.up, ffn.down]]", "--space"]
    _, piped, _ = call(capsys, "search", config, *wide)
    assert any(len(line) > 80 and "ffn.down]" in line for line in piped.splitlines())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    _, coloured, _ = call(capsys, "search", config, *wide)
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert max(map(len, narrow.splitlines()[:-1])) <= 40 and "ffn.down]" in narrow


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("peft.method=[lora, loar]", "peft.method: unknown choice 'loar'; did you mean 'lora'?"),
        ("peft.prefix={tokens: [1, 2]}", "peft.prefix: 'prefix' is none of the choices of peft.method"),
        ("optim.lr={low: 3, high: 1}", "`low <= high` must hold for two numbers, but got low=3, high=1"),
        ("data.train=[a, b]", "data.train: the trials of a study have this in common; write one value"),
    ],
)
def test_a_wrong_space_is_refused(
    capsys: pytest.CaptureFixture[str], config: Path, override: str, message: str
) -> None:
    code, printed, told = call(capsys, "search", config, override, "--space", "--json")
    assert code == 2 and message in told and json.loads(printed)["exit_code"] == 2


def test_the_default_space_is_printed_as_a_config_as_data_and_as_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "schema", "space") == (0, default_space(), "")
    assert json.loads(call(capsys, "schema", "space", "--json")[1])["train"]["epochs"] == {"low": 1, "high": 10}
    assert call(capsys, "schema", "space", "--markdown")[1] == f"# The default space\n\n```yaml\n{default_space()}```\n"
    code, _, told = call(capsys, "schema", "spce")
    assert code == 2 and "'space'" in told


def study(**changes: Any) -> StudyResult:
    record = StudyResult(
        name="posts",
        objective="f1_macro",
        direction="maximize",
        best=None,
        trials=(),
        counts={"total": 0},
        disk=Disk(bytes=0, keep_all_bytes=0),
        seconds=0.0,
    )
    return record.model_copy(update=changes)


def test_the_options_of_a_search_reach_the_library(
    capsys: pytest.CaptureFixture[str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Called(study())
    monkeypatch.setattr(studies, "search", search)
    options = [
        "--trials",
        "7",
        "--jobs",
        "2",
        "--storage",
        URL,
        "--engine",
        "ray",
        "--gpus-per-trial",
        "0.5",
        "--no-texts",
    ]
    code, printed, told = call(capsys, "search", config, *options, "--json")
    assert code == 0 and json.loads(printed)["name"] == "posts" and "s3cret" not in printed + told
    (document,) = search.given["arguments"]
    assert document["search"] == {"n_trials": 7, "n_jobs": 2}
    assert [search.given[key] for key in ("storage", "engine", "gpus_per_trial", "texts")] == [URL, "ray", 0.5, False]
    assert search.given["out"] == Path("runs/posts-search")


def test_a_worker_joins_and_says_what_it_did(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Called(3)
    monkeypatch.setattr(studies, "work", work)
    code, printed, _ = call(
        capsys, "worker", "--storage", URL, "--study", "posts", "--out", tmp_path, "--trials", "3", "--json"
    )
    assert code == 0 and json.loads(printed) == {"trials": 3}
    assert work.given.pop("observer") is not None
    assert work.given.pop("trust_remote_code") is False
    assert work.given == {"arguments": (URL,), "name": "posts", "out": tmp_path, "trials": 3}
    code, printed, _ = call(capsys, "worker", "--storage", URL)
    assert code == 0 and printed == "3 trials ended here\n"
    assert (work.given["name"], work.given["out"], work.given["trials"]) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["worker"], "a worker needs the study's database: --storage URL, or --storage-env NAME"),
        (["worker", "--storage", URL, "--trials", "0"], "Invalid value for '--trials'"),
        (["worker", "--storage", "nonsense"], "a storage URL has the form"),
        (["worker", "--storage", "mysql://me:s3cret@host/db"], "but this one begins with 'mysql'"),
        (["worker", "--storage", "postgresql://me:s3cret@127.0.0.1:1/db"], "the study's database must be reachable"),
        (["worker", "--storage", URL, URL], "unexpected extra argument"),
    ],
)
def test_a_worker_without_a_study_is_told_why(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, printed, told = call(capsys, *arguments, "--json")
    assert code == 2 and message in told and json.loads(printed)["exit_code"] == 2
    assert "s3cret" not in printed + told and "Traceback" not in told


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    monkeypatch.chdir(tmp_path)
    with run_lock(Path("study"), {}, record="study.json"):
        pass
    called = Called(Path("joint"))
    monkeypatch.setattr(joining, "ensemble", called)
    return called


GAIN = EnsembleGain(method="vote", trials=(3, 9), value=0.91, single=0.9, gain=0.01)


def test_an_ensemble_of_chosen_trials(
    capsys: pytest.CaptureFixture[str], build: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensembles, "gain_of", Called(GAIN))
    code, printed, _ = call(capsys, "ensemble", "study", "joint", "--trials", "3, 7,9", "--method", "vote", "--json")
    assert code == 0 and json.loads(printed) == {"ensemble": "joint", "gain": GAIN.model_dump(mode="json")}
    assert build.given.pop("trust_remote_code") is False
    assert build.given == {"arguments": (Path("study"), Path("joint")), "trials": (3, 7, 9), "method": "vote"}
    code, printed, _ = call(capsys, "ensemble", "study", "joint")
    told = "vote of trials 3, 9: 0.9100, the best of them alone 0.9000, on validation rows that chose nothing of it"
    assert code == 0 and printed == f"{told}\nwritten: joint\n"
    assert (build.given["trials"], build.given["method"]) == (None, "mean")


def test_an_ensemble_of_too_few_rows_says_so(
    capsys: pytest.CaptureFixture[str], build: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensembles, "gain_of", Called(None))
    code, printed, _ = call(capsys, "ensemble", "study", "joint")
    assert code == 0 and printed.startswith("what it gains is not known: the validation rows are too few")
    assert json.loads(call(capsys, "ensemble", "study", "joint", "--json")[1])["gain"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "but got ''; leave it out to take all that are kept"),
        (" , ", "but got ' , '; leave it out to take all that are kept"),
        ("3,x", "but got 'x'"),
        ("3,-1", "but got '-1'"),
        ("3,7,3", "each once, but got 3 twice"),
    ],
)
def test_a_wrong_list_of_trials_is_refused(
    capsys: pytest.CaptureFixture[str], build: Called, text: str, message: str
) -> None:
    code, _, told = call(capsys, "ensemble", "study", "joint", "--trials", text)
    rule = "--trials lists numbers of trials with commas between, such as 3,7,9"
    assert code == 2 and told == f"error: {rule}, {message}\n"
    assert build.given == {}


@pytest.mark.parametrize(
    ("error", "code"), [(RequestError("no"), 2), (StudyFailed("no"), 1), (KeyboardInterrupt(), 130), (ValueError(), 1)]
)
def test_whatever_is_raised_becomes_an_exit_code(error: BaseException, code: int) -> None:
    def fail() -> None:
        raise error

    assert guarded(fail, as_json=True) == code


SECRETS = {
    "could not reach postgresql://me:s3cret@host/db": "could not reach postgresql://me:***@host/db",
    "'postgresql+psycopg://me:s3c:r@t@host'": "'postgresql+psycopg://me:***@host'",
    "postgresql://host/db?user=me&password=s3cret&x=1": "postgresql://host/db?user=me&password=***&x=1",
    "see https://host:80/path and sqlite:///a@b/study.db": "see https://host:80/path and sqlite:///a@b/study.db",
}


@pytest.mark.parametrize(("text", "shown"), SECRETS.items())
def test_passwords_are_not_printed(text: str, shown: str) -> None:
    assert Secrets().masked(text) == shown


@pytest.mark.parametrize(
    "error", [ValueError(URL), RequestError(URL), ConfigError([Problem(URL, f"{URL} is unknown")]), OSError(URL)]
)
def test_whatever_is_raised_holds_no_password(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    def fail() -> None:
        raise error

    guarded(fail, as_json=True)
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err and "me:***@host:5432" in printed.out
