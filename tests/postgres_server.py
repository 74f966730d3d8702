"""A PostgreSQL cluster of our own, in a temporary folder, gone with the test session. Fixture: `postgres`."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

DEBIAN = Path("/usr/lib/postgresql")
PASSWORD = "p@ss/w%rd"
QUOTED = "p%40ss%2Fw%25rd"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["Server"]:
    """A running server."""
    with cluster() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres_server: "Server") -> Callable[[], str]:
    """Makes an empty database and returns its URL."""

    def make() -> str:
        name = f"study_{secrets.token_hex(4)}"
        with _connect(postgres_server.port) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://tunery:{QUOTED}@127.0.0.1:{postgres_server.port}/{name}"

    return make


@pytest.fixture
def postgres(new_database: Callable[[], str]) -> str:
    """URL of an empty database."""
    return new_database()


@contextmanager
def cluster(*settings: str) -> Iterator["Server"]:
    """Run a server on a free port of this machine; `settings` are such as `fsync=on`."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="tunery-postgres-"))
    try:
        as_other = _as_other_user(folder)
        _make(programs, folder, as_other)
        server = Server(programs, folder, [*as_other], settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    there = shutil.which("initdb") or (str(found[-1]) if found else None)
    if there is None:
        pytest.skip("no PostgreSQL here; on Debian: apt-get install postgresql")
    return Path(there).resolve().parent


def _as_other_user(folder: Path) -> list[str]:
    """What a command begins with, so that it runs as somebody else than root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        prefix = ["setpriv", f"--reuid={name}", "--clear-groups", "--"]
        if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            shutil.chown(folder, name)
            return prefix
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]  # within a namespace there is only root
    if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
        return prefix
    pytest.skip("PostgreSQL does not run as root, and no other user may be taken here")


def _make(programs: Path, folder: Path, as_other: list[str]) -> None:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    options = ["--username=tunery", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-sync"]
    command = [*as_other, str(programs / "initdb"), "-D", str(folder / "data"), *options]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


class Server:
    """PostgreSQL on a port of this machine. It may be stopped and started again, or frozen: then it is silent."""

    def __init__(self, programs: Path, folder: Path, as_other: list[str], settings: tuple[str, ...]) -> None:
        self.port = _free_port()
        given = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", *settings]
        options = [word for setting in given for word in ("-c", setting)]
        self._command = [*as_other, str(programs / "postgres"), "-D", str(folder / "data"), *options]
        self._folder = folder

    def start(self) -> None:
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        _wait_for(self.port, self._process, self._folder / "log")

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """By a signal: SIGQUIT loses what was committed last, SIGINT ends connections and keeps everything."""
        self._process.send_signal(how)
        self._process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of it while the block runs."""
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it served a connection that has just been closed
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            _connect(port).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def _connect(port: int) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=port, user="tunery", password=PASSWORD, dbname="postgres", autocommit=True
    )
