"""A Hub that fails and recovers, for real: a server on this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

NAME: Final = "someone/model"
COMMIT: Final = "c" * 40
FILES: Final = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights" * 1000, "notes.pdf": b"no"}
CODE: Final = """
import json, sys
from tunery.errors import ModelError
from tunery.model.backbones.catalog import Base
from tunery.model.backbones.hub import folder_of
waits = []
try:
    folder = folder_of(Base("model", "someone/model", None, local=False), sleep=waits.append)
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
except ModelError as error:
    files = str(error)
print(json.dumps([waits, files]))
"""


class Hub(ThreadingHTTPServer):
    """Answers as the Hub does about one model, after so many answers that it is out of order."""

    daemon_threads = True

    def __init__(self, *, failures: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.failures = failures
        self.served: list[str] = []


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Hub

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        if self.server.failures > 0:
            self.server.failures -= 1
            if self.server.failures % 2:  # without a word
                self.close_connection = True
                return
            self.send_error(503)
            return
        name = self.path.rpartition("/")[2]
        if self.path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": sha256(body).hexdigest()}
                for name, body in FILES.items()
            ]
            body = json.dumps(tree).encode()
        elif self.path.startswith(f"/api/models/{NAME}/revision/"):
            siblings = [{"rfilename": name} for name in FILES]
            body = json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode()
        elif self.path.startswith(f"/{NAME}/resolve/") and name in FILES:
            body = FILES[name]
            self.server.served.append(name)
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def hub(*, failures: int) -> Iterator[Hub]:
    server = Hub(failures=failures)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask(server: Hub, home: Path) -> tuple[list[float], Any]:
    """The seconds that were waited between tries, and the files there are, or what the error says."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    waits, files = json.loads(done.stdout)
    return waits, files


def test_a_hub_that_recovers_is_waited_for_and_then_not_asked_again(tmp_path: Path) -> None:
    with hub(failures=4) as server:
        waits, files = ask(server, tmp_path)
        assert files == {name: len(FILES[name]) for name in ("config.json", "model.safetensors")}
        assert waits and waits == [2.0**number for number in range(len(waits))]
        before = len(server.served)
        assert ask(server, tmp_path) == ([], files) and len(server.served) == before


def test_a_hub_that_stays_away_is_given_up_in_words(tmp_path: Path) -> None:
    with hub(failures=10_000) as server:
        waits, message = ask(server, tmp_path)
    assert waits == [1, 2, 4, 8, 16]
    assert "the Hub cannot be reached" in message and "`hf download someone/model`" in message
