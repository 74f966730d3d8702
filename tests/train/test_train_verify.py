"""An export is read by another process: which one, when it ends, what it says when it cannot."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tiny_runs import config, native, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.errors import ExportMismatch
from tunery.train.artifacts.reader import serve
from tunery.train.artifacts.reader_process import READER, Reader
from tunery.train.artifacts.verify import answers_from, require_same
from tunery.train.fit import fit
from tunery.train.predict.inference import Predictor

ROWS = [Example("a great day"), Example("the film was sad", "and we hate it"), Example("it was very long " * 9)]

STUB = """
import json, os, sys, time
for line in sys.stdin:
    print(json.dumps({"bytes": 3, "pid": os.getpid(), "asked": json.loads(line)}), end="\\nabc", flush=True)
"""
DEAF = "import time; time.sleep(60)"
DYING = "raise SystemExit(7)"
BREAKING_OFF = "input(); print('{\"bytes\": 9}'); print('abc')"


@pytest.fixture(scope="module")
def best(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit(
        config(str(tiny_bert), write_rows(folder), model=native(tiny_bert), train={"epochs": 1, "batch_size": 8}),
        out=folder / "run",
    )
    return folder / "run" / "best"


@pytest.fixture
def live(best: Path) -> Predictor:
    return load(best)


@pytest.fixture
def start() -> Iterator[Callable[[str], Reader]]:
    """Starts readers that are a few lines of Python."""
    readers: list[Reader] = []

    def make(script: str) -> Reader:
        readers.append(Reader((sys.executable, "-S", "-c", script)))
        return readers[-1]

    yield make
    for reader in readers:
        reader.end()


def test_another_process_gives_the_logits_and_stays(best: Path, live: Predictor) -> None:
    there = answers_from(best, ROWS)["logits"]
    assert np.allclose(there, live.logits(ROWS, precision="fp32"), atol=1e-6) and there.dtype == np.float32
    first = READER.pid
    answers_from(best, ROWS)
    assert first is not None and READER.pid == first != os.getpid()
    require_same(best, live, ROWS)


def test_it_finds_what_is_named_relative_to_where_this_process_is(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base").symlink_to(tiny_bert)
    train = {"epochs": 1, "max_steps": 1, "batch_size": 8}
    model = {"name": "./base", "max_length": 32}
    fit(config("", write_rows(tmp_path), train=train, model=model, peft={"method": "ia3"}), out="run")
    assert answers_from(Path("run/best"), ROWS)["logits"].shape == (3, 2)


def test_a_changed_weight_is_found(best: Path, live: Predictor, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in best.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] += 0.01
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportMismatch, match=r"must give the trained model's answers, but they differ by \d\.0.e-02"):
        require_same(copy, live, ROWS)


class Other:
    """A model that answers something else."""

    def __init__(self, **columns: np.ndarray) -> None:
        self.columns = columns

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        return RowTable(self.columns)


@pytest.mark.parametrize(
    "other",
    [
        Other(logits=np.zeros((3, 1), np.float32)),
        Other(scores=np.zeros((3, 2), np.float32)),
        Other(logits=np.full((3, 2), np.nan, np.float32)),
    ],
    ids=["labels", "name", "nan"],
)
def test_answers_of_another_shape_or_name_or_none_are_found(best: Path, other: Other) -> None:
    with pytest.raises(ExportMismatch, match="differ by inf"):
        require_same(best, other, ROWS)


def test_a_folder_that_cannot_be_read_is_named_with_the_reason(best: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    message = "must be readable in another process, but '.*missing' is not .FolderError: there is no folder .*published"
    with pytest.raises(ExportMismatch, match=message):
        answers_from(missing, ROWS)
    assert answers_from(best, ROWS)["logits"].shape == (3, 2)  # the process goes on


def test_one_process_answers_until_it_is_killed_then_another_does(start: Callable[[str], Reader]) -> None:
    reader = start(STUB)
    assert reader.pid is None  # not before it is needed
    (first, body), (second, _) = reader.ask({"question": 1}), reader.ask({"question": 2})
    assert body == b"abc" and first["asked"] == {"question": 1}
    assert first["pid"] == second["pid"] == reader.pid
    kill(first["pid"])
    third, _ = reader.ask({})
    assert third["pid"] not in (first["pid"], os.getpid())


def test_a_process_that_dies_over_a_question_says_how(start: Callable[[str], Reader]) -> None:
    with pytest.raises(ExportMismatch, match="reads the exported model back ended with exit code 7 and no answer"):
        start(DYING).ask({})
    with pytest.raises(ExportMismatch, match="ended with exit code 0 and no answer"):
        start(BREAKING_OFF).ask({})
    deaf = start(DEAF)
    threading.Thread(target=kill_when_there, args=(deaf,)).start()
    with pytest.raises(ExportMismatch, match="was killed by SIGKILL; the system does that when memory runs out"):
        deaf.ask({})
    assert deaf.pid is None


def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next(start: Callable[[str], Reader]) -> None:
    reader = start(STUB.replace("print(", "time.sleep(0.3 * ('slow' in line)); print("))
    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with pytest.raises(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, 0.15)
            reader.ask({"slow": 1})
    finally:
        signal.signal(signal.SIGALRM, before)
    answer, _ = reader.ask({"question": 2})
    assert answer["asked"] == {"question": 2}


def test_a_fork_neither_uses_nor_keeps_the_process(start: Callable[[str], Reader], tmp_path: Path) -> None:
    reader, there = start(STUB), tmp_path / "pids"
    if (parent := os.fork()) == 0:
        own = reader.ask({})[0]["pid"]
        if os.fork() == 0:
            there.write_text(f"{os.getpid()} {own} {reader.ask({})[0]['pid']}\n")
            time.sleep(60)
        time.sleep(60)
        os._exit(0)
    wait_until(lambda: there.exists() and there.read_text().endswith("\n"))
    fork, readers_of_parent, readers_of_fork = map(int, there.read_text().split())
    try:
        assert readers_of_parent != readers_of_fork
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        wait_until(lambda: not is_alive(readers_of_parent))  # it would be, if the fork held the pipe open
        assert is_alive(readers_of_fork)
    finally:
        os.kill(fork, signal.SIGKILL)
    wait_until(lambda: not is_alive(readers_of_fork))  # it has died with the fork


def test_a_fork_reads_too_and_another_process_after_it(
    best: Path, live: Predictor, start: Callable[[str], Reader]
) -> None:
    reader = start(STUB)
    reader.fork(serve)
    fork = reader.pid
    texts = [(row.text, row.text_pair) for row in ROWS]
    question = {"folder": str(best), "texts": texts, "cwd": "/", "threads": 1, "trust_remote_code": False}
    head, body = reader.ask(question)
    there = np.load(io.BytesIO(body))["logits"]
    assert head["bytes"] == len(body) and np.allclose(there, live.logits(ROWS, precision="fp32"), atol=1e-6)
    assert reader.pid == fork != os.getpid()
    assert "FolderError" in reader.ask({**question, "folder": "/nowhere"})[0]["error"]
    kill(fork or 0)
    answer, _ = reader.ask({"question": 1})
    assert answer["asked"] == {"question": 1} and reader.pid == answer["pid"] != fork


def test_a_fork_that_dies_over_a_question_says_how(start: Callable[[str], Reader]) -> None:
    reader = start(STUB)
    reader.fork(serve)
    os.kill(reader.pid or 0, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (reader.pid or 0, signal.SIGTERM)).start()
    threading.Timer(0.4, os.kill, (reader.pid or 0, signal.SIGCONT)).start()
    with pytest.raises(ExportMismatch, match="was killed by SIGTERM; nothing was published"):
        reader.ask({})


def test_a_fork_ends_with_its_parent(tmp_path: Path) -> None:
    there = tmp_path / "pid"
    if (parent := os.fork()) == 0:
        reader = Reader()
        reader.fork(serve)
        there.write_text(str(reader.pid))
        time.sleep(60)
        os._exit(0)
    wait_until(lambda: there.exists() and there.read_text() != "")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_until(lambda: not is_alive(int(there.read_text())))


def test_one_that_was_started_early_answers_and_starting_again_changes_nothing(start: Callable[[str], Reader]) -> None:
    reader = start(STUB)
    reader.start()
    early = reader.pid
    reader.start()
    assert reader.ask({})[0]["pid"] == early == reader.pid
    reader.start()
    assert reader.pid == early


def test_what_an_early_start_ends_in_is_no_failure(start: Callable[[str], Reader], tmp_path: Path) -> None:
    nobody = Reader((str(tmp_path / "no such command"),))
    nobody.start()
    assert nobody.pid is None
    killed = start(STUB)
    killed.start()
    kill(killed.pid or 0)
    assert killed.ask({})[1] == b"abc"


def test_of_an_early_one_that_dies_over_a_question_another_is_asked_once(
    start: Callable[[str], Reader], tmp_path: Path
) -> None:
    counted = f"open({str(tmp_path / 'count')!r}, 'a').write('x')"
    once = f"import os\nif os.path.exists({str(tmp_path / 'died')!r}):\n{indented(STUB)}\n"
    once += f"input(); open({str(tmp_path / 'died')!r}, 'w'); os._exit(7)"
    early = start(once)
    early.start()
    assert early.ask({})[1] == b"abc"
    dying = start(f"{counted}; input(); raise SystemExit(7)")
    dying.start()
    with pytest.raises(ExportMismatch, match="ended with exit code 7"):
        dying.ask({})
    assert (tmp_path / "count").read_text() == "xx"


def test_the_real_one_ends_while_it_imports() -> None:
    reader = Reader()
    reader.start()
    pid = reader.pid or 0
    time.sleep(0.5)  # it imports, for seconds
    reader.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_real_one_ends_with_the_process_that_is_killed_while_it_imports() -> None:
    code = "import time; from tunery.train.artifacts.reader_process import READER; READER.start()\n"
    code += "print(READER.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n")  # training needs memory more
        time.sleep(0.3)
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid))


def test_it_ends_with_its_standard_input_and_leads_a_session(start: Callable[[str], Reader]) -> None:
    reader = start(STUB)
    pid = reader.ask({})[0]["pid"]
    assert os.getsid(pid) == pid  # a Ctrl-C in the terminal does not reach it
    with subprocess.Popen(
        [sys.executable, "-m", "tunery.train.artifacts.reader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        answer, _ = process.communicate(b"")
    assert process.returncode == 0 and answer == b""


def indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.strip().splitlines())


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def kill_when_there(reader: Reader) -> None:
    wait_until(lambda: reader.pid is not None)
    os.kill(reader.pid or 0, signal.SIGKILL)


def give_up(*_: object) -> None:
    raise TimeoutError


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
