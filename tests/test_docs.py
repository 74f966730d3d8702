"""What README and docs tell people to write is accepted: configs, command lines, Python, names of keys."""

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from tiny_runs import config as tiny_config
from tiny_runs import write_rows
from tunery import fit, load
from tunery.cli import main
from tunery.cli.app import VERBS, app
from tunery.comparison.methods import configs_over
from tunery.schema.config.run import RunConfig
from tunery.schema.reading.document import override, validate
from tunery.schema.reading.fields import members
from tunery.schema.space.check import check_space
from tunery.schema.space.sampled import domains, with_domains

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BASE: dict[str, Any] = {"task": {"kind": "classification"}, "data": {"train": "train.csv"}}
QUICK = ("init", "check", "schema", "models")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Block(NamedTuple):
    """One fenced block of a page."""

    place: str
    language: str
    text: str


def fenced(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])


BLOCKS = [block for page in PAGES for block in fenced(page)]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The command lines of a block, with their words up to a pipe, a redirection or the next command."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if re.match(r"(tunery|make|python|pip|\.) \S", line):
            words = shlex.split(line, comments=True)
            ends = [place for place, word in enumerate(words) if word in (">", "|", "&&", ";")]
            yield line, words[: min(ends, default=len(words))]


LINES = [
    pytest.param(words, id=f"{block.place} {line.partition('#')[0].strip()}")
    for block in BLOCKS
    if block.language == ""
    for line, words in commands(block)
]


def configs(text: str) -> list[dict[str, Any]]:
    """The config of a block, or one for each line where the lines are alternatives for one section."""
    sections = re.findall(r"^(\w+):", text, re.MULTILINE)
    parts = text.splitlines() if len(set(sections)) < len(sections) else [text]
    return [yaml.safe_load(part) for part in parts]


def require_sound(document: dict[str, Any]) -> None:
    document = with_domains(document)
    if domains(document):
        check_space(document)
    else:
        validate(document)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in BLOCKS if b.language == "yaml"])
def test_configs_are_accepted(block: Block) -> None:
    for config in configs(block.text):
        require_sound({**BASE, **config})


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    assert {block.language for block in BLOCKS} == {"", "yaml", "python", "text"}  # text: drawings, errors
    assert len(LINES) > 30


@pytest.mark.parametrize("words", LINES)
def test_command_lines_exist(words: list[str]) -> None:
    program, *arguments = words
    if program == "tunery":
        require_command(arguments)
    elif program == "make":
        assert re.search(rf"^{re.escape(arguments[0])}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    elif program == "pip":
        extras = [re.fullmatch(r"tunery\[(\w+)\]", word) for word in arguments[1:]]
        assert all(found and found[1] in PROJECT["optional-dependencies"] for found in extras)


def require_command(arguments: list[str]) -> None:
    """Parse a command line as the program does, without running it, and check the overrides in it."""
    group = typer.main.get_command(app)
    verb = group.get_command(group.make_context("tunery", ["schema"]), arguments[0])  # type: ignore[attr-defined]
    given = verb.make_context(arguments[0], arguments[1:]).params
    overrides = given.get("overrides") or ()
    if arguments[0] == "compare":
        configs_over(BASE, given["methods"].split(","), overrides=overrides, over=given["over"] or ())
    else:
        require_sound(override(BASE, overrides))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_inside_sentences_exist(page: Path) -> None:
    verbs = set(re.findall(r"`tunery ([a-z]+)", page.read_text(encoding="utf-8")))
    assert verbs <= {verb.__name__ for verb in VERBS}


def test_the_quick_commands_of_the_readme_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{'a good film' if n % 2 else 'a bad story'} number {n},{n % 2}\n" for n in range(200)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(lines))
    ran = []
    for block in [*fenced(ROOT / "README.md"), *fenced(ROOT / "docs" / "search.md")]:
        for line, (program, *arguments) in commands(block):
            if program == "tunery" and (
                arguments[0] in ("init", "check", "schema", "models") or "--space" in arguments
            ):
                with pytest.raises(SystemExit) as left:
                    main(arguments)
                printed = capsys.readouterr()
                assert left.value.code == 0, (line, printed.err)
                if found := re.search(r" > (\S+)", line):
                    Path(found[1]).write_text(printed.out)
                ran.append(arguments[0])
    assert {"init", "check", "schema", "search"} <= set(ran)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in BLOCKS if b.language == "python"])
def test_python_compiles_and_its_calls_fit_what_they_call(block: Block) -> None:
    tree = ast.parse(block.text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    functions = {
        name.name: getattr(importlib.import_module(str(node.module)), name.name)
        for node in imports
        for name in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    ours = [call for call in calls if call.func.id in functions]  # type: ignore[attr-defined]
    assert ours
    for call in ours:
        signature = inspect.signature(functions[call.func.id])  # type: ignore[attr-defined]
        signature.bind(*call.args, **{str(keyword.arg): keyword.value for keyword in call.keywords})


@pytest.mark.slow
def test_the_python_of_the_readme_runs(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {
        "task": "classification",
        "data": write_rows(tmp_path),
        "model": {"name": str(tiny_bert), "max_length": 32},
        "peft": "lora",
        "train": {"epochs": 1, "batch_size": 16},
        "search": {"n_trials": 2},
    }
    (tmp_path / "reviews.yaml").write_text(yaml.safe_dump(config))
    (block,) = [block for block in fenced(ROOT / "README.md") if block.language == "python"]
    assert "seeds=3" in block.text  # one seed does here: every cell is a process of its own
    exec(compile(block.text.replace("seeds=3", "seeds=1"), block.place, "exec"), {})
    assert "lora:" in capsys.readouterr().out


def test_the_python_of_the_storage_page_runs_where_there_is_no_tunery(tiny_bert: Path, tmp_path: Path) -> None:
    model = {"name": str(tiny_bert), "max_length": 32, "head": "linear"}
    fit(tiny_config("", write_rows(tmp_path), model=model), out=tmp_path / "runs" / "reviews")
    (block,) = [block for block in fenced(ROOT / "docs" / "storage.md") if block.language == "python"]
    code = f"import sys; sys.modules['tunery'] = None\n{block.text}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == load(tmp_path / "runs" / "reviews").predict(["A film to remember."])[0].label


def has_key(path: str) -> bool:
    """Whether a dotted path is a key of some config."""
    specs: list[Any] = [RunConfig]
    for key in path.split("."):
        fields = [spec.model_fields[key] for spec in specs if key in spec.model_fields]
        if not fields:
            return False
        specs = [spec for field in fields for spec in members(field).values()]
    return True


def test_every_key_beside_a_name_of_the_field_exists() -> None:
    rows = re.findall(r"^\| (.+?) \|(.*?)\|(.*)\|$", (ROOT / "docs" / "names.md").read_text("utf-8"), re.MULTILINE)
    keys = [key for _, cell, _ in rows for key in re.findall(r"`([^`]+)`", cell)]
    keys += [key for *_, note in rows for key in re.findall(r"`([a-z_]+\.[a-z_.]+)`", note)]
    assert len(keys) > 50 and [key for key in keys if not has_key(key)] == []
    assert not has_key("peft.rank") and not has_key("trian.epochs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    files = [f"/{path}" for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    named = set(re.findall(r"`([a-z_/]+\.py)`", page.read_text(encoding="utf-8"))) - {"utils.py"}  # there is none
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in files)] == []
