"""Several workers at one study, on a real PostgreSQL: no trial lost, none doubled, whoever dies or freezes when."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import Trial, TrialState
from sqlalchemy import event, make_url, text

import fake_worker
from tiny_runs import config, write_rows
from tunery.errors import Interrupted, RequestError, RunError
from tunery.execution.observer import Silent
from tunery.execution.runner import Epoch, Job, Outcome, Prune, Runner, Stop
from tunery.hpo.plan import Plan
from tunery.hpo.storage.database import backend, close_study, open_study
from tunery.hpo.storage.database import opened as closing_study
from tunery.hpo.storage.patience import Patience
from tunery.hpo.storage.trial_queue import TrialQueue
from tunery.hpo.trial_loop import TrialLoop
from tunery.schema.reading.document import validate
from tunery.schema.results.run import Memory, Progress, Seconds
from tunery.schema.space.sampled import with_domains

pytest_plugins = ["postgres_server"]
pytestmark = pytest.mark.service

if TYPE_CHECKING:
    from postgres_server import Server

BEAT = 0.5
WORKER = Path(fake_worker.__file__)


@contextmanager
def worker(
    url: str, name: str, *, n_trials: int = 1, beat: float = 60.0, patience: Patience | None = None, **given: Any
) -> Iterator[TrialQueue]:
    """A worker with connections of its own."""
    study = open_study(url, name="shared", directions=["maximize"], patience=patience)
    try:
        queue = TrialQueue(study, worker=name, shared=True, beat=beat, **given)
        queue.enqueue(n_trials)
        yield queue
    finally:
        close_study(study)


def taken_by(queue: TrialQueue) -> Trial:
    trial = queue.claim()
    assert trial is not None
    return trial


def lose(url: str) -> None:
    """Take a trial and let it go stale."""
    with worker(url, "dead") as dead:
        taken_by(dead)
        pass_an_hour(dead)


def pass_an_hour(queue: TrialQueue) -> None:
    """In which nobody beat."""
    with backend(queue._study).engine.begin() as connection:
        connection.execute(text("UPDATE tunery_leases SET renewed = renewed - interval '1 hour'"))


def holders(queue: TrialQueue) -> dict[int, str]:
    """The last worker that had each trial."""
    with backend(queue._study).engine.begin() as connection:
        rows = connection.execute(text("SELECT number, holder FROM tunery_leases JOIN trials USING (trial_id)"))
        return {number: holder.partition("/")[0] for number, holder in rows}


def history(url: str) -> list[tuple[int, str]]:
    study = open_study(url, name="shared", directions=["maximize"])
    found = [(trial.number, trial.state.name) for trial in study.get_trials(deepcopy=False)]
    close_study(study)
    return found


def before_statement(queue: TrialQueue, words: str, act: Callable[[], None]) -> None:
    """Have `act` called once, when `queue` is about to send a statement with these words."""
    left = [act]

    def hear(connection: object, cursor: object, statement: str, *_: object) -> None:
        if words in statement and left:
            left.pop()()

    event.listen(backend(queue._study).engine, "before_cursor_execute", hear)


def test_of_two_who_saw_the_same_lost_trial_one_gets_it(postgres: str) -> None:
    lose(postgres)
    with worker(postgres, "slow") as slow, worker(postgres, "quick") as quick:
        got: list[Trial | None] = []
        before_statement(slow, "SKIP LOCKED", lambda: got.append(quick.claim()))
        assert slow.claim() is None
        assert got[0] is not None and holders(quick) == {0: "quick"}


def test_many_at_once_take_one_lost_trial_once(postgres: str) -> None:
    lose(postgres)
    with ExitStack() as stack:
        queues = [stack.enter_context(worker(postgres, str(number))) for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(TrialQueue.claim, queues))
        assert sum(trial is not None for trial in taken) == 1


def test_nobody_takes_a_trial_over_while_it_is_being_told(postgres: str) -> None:
    with worker(postgres, "first") as first, worker(postgres, "second") as second:
        trial = taken_by(first)
        pass_an_hour(second)
        got: list[Trial | None] = []
        before_statement(first, "UPDATE trial_values", lambda: got.append(second.claim()))
        assert first.tell(trial, TrialState.COMPLETE, [1.0])
        assert got == [None] and second.claim() is None and not second.open()
    assert history(postgres) == [(0, "COMPLETE")]


def test_who_lost_a_trial_is_told_and_can_change_nothing(postgres: str) -> None:
    with worker(postgres, "first") as first, worker(postgres, "second") as second:
        trial = taken_by(first)
        pass_an_hour(second)
        again = taken_by(second)
        assert again.number == trial.number == 0
        assert not first.write(trial, {"params": {"x": 1}})
        assert not first.release(trial)
        assert second.write(again, {"params": {"x": 2}})
        assert second.tell(again, TrialState.PRUNED)
        assert not first.tell(trial, TrialState.COMPLETE, [1.0])
    assert history(postgres) == [(0, "PRUNED")]


def test_who_beats_keeps_a_trial_and_hears_when_it_is_gone(postgres: str) -> None:
    with worker(postgres, "first", beat=BEAT) as first, worker(postgres, "second", beat=BEAT) as second:
        trial = taken_by(first)
        with first.holding(trial) as taken:
            time.sleep(5 * BEAT)
            assert second.claim() is None and second.open() and not taken()
            again = None
            while again is None:  # until no beat comes in between
                pass_an_hour(second)  # as if `first` had been frozen
                again = second.claim()
            wait_until(taken)
        pass_an_hour(second)
        assert taken_by(first).number == 0  # having lost it once is no reason not to have it back


def test_who_is_woken_after_the_grace_knows_at_once(postgres: str) -> None:
    seconds = [0.0]
    with worker(postgres, "first", clock=lambda: seconds[0]) as first, worker(postgres, "second") as second:
        trial = taken_by(first)
        with first.holding(trial) as taken:
            seconds[0] = 1000.0
            assert not taken()  # frozen, but nobody came
            pass_an_hour(second)
            taken_by(second)
            seconds[0] = 2000.0
            wait_until(taken)


def test_a_trial_that_ended_without_its_worker_is_gone_for_it(postgres: str) -> None:
    with worker(postgres, "first") as first, worker(postgres, "second") as second:
        trial = taken_by(first)
        second._study.tell(0, state=TrialState.FAIL)
        assert not first.write(trial, {"params": {"x": 1}}) and not first.tell(trial, TrialState.COMPLETE, [1.0])
    assert history(postgres) == [(0, "FAIL")]


def test_a_server_that_is_away_for_a_moment_loses_nobody_a_trial(postgres: str) -> None:
    def away() -> None:
        raise StorageInternalError("the server is away")

    with worker(postgres, "first", beat=BEAT) as first, worker(postgres, "second", beat=BEAT) as second:
        trial = taken_by(first)
        with first.holding(trial) as taken:
            before_statement(first, "SELECT trials.state", away)
            time.sleep(5 * BEAT)
            assert second.claim() is None and not taken()
        with backend(second._study).engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")  # to see each time what is new
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
            wait_until(lambda: connection.scalar(text(f"SELECT count(*) {others}")) == 0)
        assert first.tell(trial, TrialState.COMPLETE, [1.0])


def test_a_server_that_restarts_is_waited_for(postgres: str, postgres_server: "Server") -> None:
    said: list[str] = []
    with worker(postgres, "first", patience=Patience(say=said.append)) as first, ThreadPoolExecutor(1) as pool:
        trial = taken_by(first)
        postgres_server.stop(signal.SIGINT)
        told = pool.submit(first.tell, trial, TrialState.COMPLETE, [1.0])
        wait_until(lambda: len(said) == 1)
        postgres_server.start()
        assert told.result(60)
    away, back = said
    assert away.startswith("the study's database does not answer; trying again for 300 s (") and "refused" in away
    assert back == "the study's database answers again" and "\n" not in away
    assert history(postgres) == [(0, "COMPLETE")]


def test_a_server_that_is_lost_within_a_transaction_is_asked_again(postgres: str, postgres_server: "Server") -> None:
    def restart() -> None:
        postgres_server.stop(signal.SIGINT)
        postgres_server.start()

    with worker(postgres, "first") as first:
        trial = taken_by(first)
        before_statement(first, "UPDATE trial_values", restart)
        assert first.tell(trial, TrialState.COMPLETE, [1.0])
        assert not first.tell(trial, TrialState.FAIL)
    assert history(postgres) == [(0, "COMPLETE")]


def test_a_server_that_is_silent_is_waited_for(postgres: str, postgres_server: "Server") -> None:
    said: list[str] = []
    patience = Patience(say=said.append, answer=1.0)
    with worker(postgres, "first", patience=patience) as first, ThreadPoolExecutor(1) as pool:
        trial = taken_by(first)
        with postgres_server.frozen():
            told = pool.submit(first.tell, trial, TrialState.COMPLETE, [1.0])
            wait_until(lambda: len(said) == 1)
        assert told.result(60)
    assert said == [
        "the study's database does not answer; trying again for 300 s (no answer)",
        "the study's database answers again",
    ]


def test_who_is_asked_to_leave_waits_for_no_server(postgres: str, postgres_server: "Server") -> None:
    asked: list[str] = []
    patience = Patience(leave=lambda: asked[0] if asked else None)
    with worker(postgres, "first", patience=patience) as first, ThreadPoolExecutor(1) as pool:
        trial = taken_by(first)
        with postgres_server.frozen():
            told = pool.submit(first.tell, trial, TrialState.COMPLETE, [1.0])
            asked.append("SIGINT")
            with pytest.raises(Interrupted, match="SIGINT came while the study's database did not answer; the same"):
                told.result(15)


def test_who_is_asked_to_leave_waits_for_no_server_to_open_a_study(postgres: str, postgres_server: "Server") -> None:
    patience = Patience(leave=lambda: "SIGINT")
    with postgres_server.frozen(), ThreadPoolExecutor(1) as pool:
        study = pool.submit(open_study, postgres, name="shared", directions=["maximize"], patience=patience)
        with pytest.raises(Interrupted, match="SIGINT came while the study's database did not answer; the same"):
            study.result(15)


def test_a_study_of_an_older_version_goes_on(postgres: str) -> None:
    """It has no table of leases, and keeps the number of its trials elsewhere."""
    with worker(postgres, "older", n_trials=2) as older:
        taken_by(older)
        older._study.set_user_attr("n_trials", 2)
        with backend(older._study).engine.begin() as connection:
            connection.execute(text("DROP TABLE tunery_leases, tunery_queues"))
    study = open_study(postgres, name="shared", directions=["maximize"])
    queue = TrialQueue(study, worker="newer", shared=True)
    assert [taken_by(queue).number, taken_by(queue).number] == [0, 1] and queue.claim() is None
    close_study(study)


@final
class SignalledAtAnEpoch(Runner):
    """Has the server fall silent and a signal come while a trial waits whether it is pruned."""

    def __init__(self, fall_silent: Callable[[], object], asked: list[str]) -> None:
        self.fall_silent, self.asked = fall_silent, asked
        self.saved: list[str] = []

    def run(self, job: Job, *, prune: Prune, stop: Stop) -> Outcome:
        progress = Progress(parameters=None, seconds=Seconds(train=1.0, total=1.0), memory=Memory(host_peak_bytes=1000))
        self.fall_silent()
        self.asked.append("SIGINT")
        assert prune(Epoch(1, 0.5, progress)) is None and stop() == "SIGINT"
        self.saved.append(job.title)
        return Outcome("interrupted", "SIGINT came")

    def close(self) -> None:
        pass


def test_a_trial_saves_itself_where_a_signal_comes_and_no_answer(
    postgres: str, postgres_server: "Server", tiny_bert: Path, tmp_path: Path
) -> None:
    asked: list[str] = []
    patience = Patience(leave=lambda: asked[0] if asked else None)
    rate = {"low": 1e-4, "high": 1e-3}
    document = config(str(tiny_bert), write_rows(tmp_path)).model_dump(mode="json", exclude_unset=True)
    with ExitStack() as stack:
        study = stack.enter_context(
            closing_study(open_study(postgres, name="shared", directions=["maximize"], patience=patience))
        )
        space = with_domains({**document, "optim": {"lr": rate}})
        plan = Plan(space, validate(document), tmp_path / "study", study, rows=60)
        runner = SignalledAtAnEpoch(lambda: stack.enter_context(postgres_server.frozen()), asked)
        trial_loop = TrialLoop(plan, runner, shared=True, leave=patience.leave, observer=Silent())
        with pytest.raises(Interrupted, match="the same command goes on, and trial 0 is taken up 30 s after its last"):
            trial_loop.run(total=4)
    assert runner.saved == ["trial 0"] and history(postgres) == [(0, "RUNNING")]


def test_a_silent_server_keeps_nobody_from_training(postgres: str, postgres_server: "Server") -> None:
    """Neither the question whether a trial is lost, nor its end, waits for a beat."""
    seconds = [0.0]

    def train(queue: TrialQueue, trial: Trial) -> list[bool]:
        with queue.holding(trial) as taken:
            found = []
            for _ in range(5):
                seconds[0] += 1000.0
                found.append(taken())
            return found

    with worker(postgres, "first", beat=BEAT, clock=lambda: seconds[0]) as first, ThreadPoolExecutor(1) as pool:
        trial = taken_by(first)
        with postgres_server.frozen():
            assert pool.submit(train, first, trial).result(15) == [False] * 5
        wait_until(lambda: not any(thread.name.startswith("heartbeat") for thread in threading.enumerate()))


def test_a_server_that_does_not_come_back_ends_the_work_in_one_line(postgres: str, postgres_server: "Server") -> None:
    study = open_study(postgres, name="shared", directions=["maximize"], patience=Patience(away=1.0))
    postgres_server.stop(signal.SIGINT)
    try:
        refused = "could not be read or written: .*refused.*; once that is"
        with pytest.raises(RunError, match=refused) as raised, closing_study(study):
            study.get_trials()
    finally:
        postgres_server.start()
    assert "\n" not in str(raised.value) and "SQL" not in str(raised.value)


def test_commits_are_quick_and_one_that_is_frozen_keeps_nothing_locked(postgres: str) -> None:
    with worker(postgres, "first") as first, backend(first._study).engine.connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
        assert connection.scalar(text("SHOW statement_timeout")) == "15s"
        assert connection.scalar(text("SHOW synchronous_commit")) == "off"


def test_new_trials_have_numbers_without_gaps_or_twins(postgres: str) -> None:
    with ExitStack() as stack:
        queues = [stack.enter_context(worker(postgres, str(number), n_trials=60)) for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            numbers = list(pool.map(lambda turn: taken_by(queues[turn % 4]).number, range(60)))
        assert sorted(numbers) == list(range(60)) and [queue.claim() for queue in queues] == [None] * 4


def test_a_worker_in_another_time_zone_is_not_mistaken_for_dead(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "America/Los_Angeles")
    with worker(postgres, "west") as west:
        monkeypatch.setenv("PGTZ", "Asia/Tokyo")
        with worker(postgres, "east") as east:
            trial = taken_by(west)
            assert east.claim() is None
            pass_an_hour(west)
            taken_by(east)
            assert west.claim() is None
            pass_an_hour(east)
            assert not west.tell(trial, TrialState.FAIL)
            taken_by(west)


def test_workers_that_come_at_once_make_one_study(postgres: str) -> None:
    def come(number: int) -> optuna.Study:
        return open_study(postgres, name="shared", directions=["maximize"])

    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(come, range(4)))
    assert len({study._study_id for study in studies}) == 1
    for study in studies:
        close_study(study)


def test_a_wrong_password_is_not_repeated(postgres: str) -> None:
    url = make_url(postgres).set(password="wr@ng").render_as_string(hide_password=False)
    with pytest.raises(RequestError, match=r"//tunery:\*\*\*@127.0.0.1.* password authentication failed") as raised:
        open_study(url, name="shared", directions=["maximize"])
    assert "wr@ng" not in str(raised.value) and "wr%40ng" not in str(raised.value)


def test_four_workers_of_which_one_is_killed_every_second(postgres: str, tmp_path: Path) -> None:
    study, queue = opened(postgres, n_trials=40)
    with crew() as start:
        workers = {name: start(postgres, tmp_path, name) for name in ("w0", "w1", "w2", "w3")}
        killed: set[str] = set()
        deadline = time.monotonic() + 300
        while queue.open() and time.monotonic() < deadline:
            time.sleep(1.0)
            busy = [name for name, number in at_work(tmp_path).items() if name in workers]
            if busy and len(killed) < 8:
                killed.add(busy[0])
                workers.pop(busy[0]).kill()
                name = f"w{3 + len(killed)}"
                workers[name] = start(postgres, tmp_path, name)
        assert [process.wait(30) for process in workers.values()] == [0] * 4

    trials = study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(40))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.value for trial in trials] == [number / 100 for number in range(40)]
    told = Counter(int(number) for number, _ in lines(tmp_path, "told"))
    enders = holders(queue)
    silent = set(range(40)) - set(told)  # killed after the commit, before it could note it
    assert set(told.values()) == {1} and {enders[number] for number in silent} <= killed
    assert all(enders[int(number)] == name for number, name in lines(tmp_path, "told"))
    assert len(killed) >= 4
    continued = [number for number, _, step in lines(tmp_path, "took") if int(step) > 0]
    assert continued
    close_study(study)


def test_a_worker_frozen_beyond_the_grace_has_lost_its_trial(postgres: str, tmp_path: Path) -> None:
    study, queue = opened(postgres, n_trials=1)
    with crew() as start:
        frozen = start(postgres, tmp_path, "frozen")
        wait_until(lambda: bool(lines(tmp_path, "took")))
        frozen.send_signal(signal.SIGSTOP)
        other = start(postgres, tmp_path, "other")
        assert other.wait(60) == 0
        assert lines(tmp_path, "told") == [["0", "other"]] and not queue.open()
        frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(60) == 0
    assert lines(tmp_path, "refused") == [["0", "frozen"]] and lines(tmp_path, "told") == [["0", "other"]]
    assert holders(queue) == {0: "other"}
    close_study(study)


def opened(url: str, *, n_trials: int) -> tuple[optuna.Study, TrialQueue]:
    study = open_study(url, name="shared", directions=["maximize"])
    queue = TrialQueue(study, worker="test", shared=True)
    queue.enqueue(n_trials)
    return study, queue


@contextmanager
def crew() -> Iterator[Callable[[str, Path, str], subprocess.Popen[bytes]]]:
    """Starts workers, and leaves none behind."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, folder: Path, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(WORKER), url, str(folder), name]
        started.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def lines(folder: Path, word: str) -> list[list[str]]:
    log = folder / "log"
    said = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [rest for first, *rest in said if first == word]


def at_work(folder: Path) -> dict[str, str]:
    """Who works at which trial, the one that began first in front."""
    ended = {(number, name) for number, name in lines(folder, "told")}
    return {name: number for number, name, _ in lines(folder, "took") if (number, name) not in ended}


def wait_until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"nothing happened in {seconds} s")
        time.sleep(0.02)
