"""No message holds a password."""

import json
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tunery.cli import main
from tunery.cli.exits import guarded
from tunery.cli.secrets import MASK, Secrets
from tunery.errors import ConfigError, Problem, RequestError
from tunery.hpo.storage.database import join_study

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=6, max_size=20).filter(
    lambda text: len(set(text)) > 3
)
"""Long enough not to stand in a message by chance."""

URLS = (
    "postgresql://tunery:{}@db.example/studies",
    "postgresql://tunery@db.example/studies?password={}",
    "postgresql+psycopg://tunery@db.example:5432/studies?connect_timeout=3&sslpassword={}&x=1",
)
MESSAGES = (
    "{url} is not reachable",
    "could not read {url!r}; correct it",
    "password authentication failed for {password}",
    "option {password!r} is unknown",
    '{{"url": {quoted}}}',
)


@given(password=PASSWORDS, url=st.sampled_from(URLS), message=st.sampled_from(MESSAGES))
@example(password="pa ss@wo:rd", url=URLS[0], message=MESSAGES[0])
@example(password="q'uo\"te\\d", url=URLS[0], message=MESSAGES[1])
@example(password="100%sure", url=URLS[1], message=MESSAGES[2])
def test_a_password_given_with_the_command_is_in_no_message(password: str, url: str, message: str) -> None:
    assume("password" not in url.partition("?")[2] or not set("&#") & set(password))
    for form in {password, quote(password, safe=""), quote_plus(password)}:
        given = url.format(form)
        text = message.format(url=given, password=password, quoted=json.dumps(given))
        for arguments in (["search", "--storage", given], [f"--storage={given}"]):
            masked = Secrets(arguments).masked(text)
            assert MASK in masked
            for secret in (password, form, repr(password)[1:-1], json.dumps(password)[1:-1]):
                assert secret not in masked


@given(password=st.text(st.sampled_from("abcXYZ019-_.~!%$()*+,;=äß好"), min_size=6, max_size=20))
def test_what_looks_like_a_password_is_masked_wherever_it_is_from(password: str) -> None:
    for url in URLS:
        assert password not in Secrets().masked(f"cannot reach {url.format(password)}: refused")


def test_what_is_no_password_stays() -> None:
    text = "postgresql://tunery@db.example/studies has no study 'a:b@c'; see https://example.com/x?y=1"
    assert Secrets(["--storage", "postgresql://tunery@db.example/studies", "optim.lr=1"]).masked(text) == text


def test_every_part_of_an_error_is_masked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://u:pa ss@wo@h/d"
    monkeypatch.setenv("PGPASSWORD", "from-the-environment")
    secrets = Secrets(["--storage", url])
    errors = (
        RequestError(f"{url} is not there"),
        ConfigError([Problem(url, f"no {url}")], source=url),
        KeyError(url),
        OSError(5, f"gone: {url}", "from-the-environment"),
    )
    for error in errors:

        def fail(error: Exception = error) -> None:
            raise error

        guarded(fail, as_json=True, secrets=secrets)
        printed = capsys.readouterr()
        for part in ("pa ss", "ss@wo", "from-the-environment"):
            assert part not in printed.err and part not in printed.out and MASK in printed.err
        assert json.loads(printed.out)["error"]["kind"] == type(error).__name__
    assert "Traceback" not in printed.err and sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("verb", [["search", "run.yaml"], ["worker"]])
def test_the_url_may_come_from_the_environment_and_its_password_is_in_no_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text,label\n" + "a good film,yes\na bad film,no\n" * 20)
    (tmp_path / "run.yaml").write_text("task: classification\ndata: {train: rows.csv}\n")
    monkeypatch.setenv("STUDY_URL", "mysql://u:pass-word@wo rd@h/d")
    for options, message in {
        ("--storage-env", "STUDY_URL"): "begins with 'mysql'",
        ("--storage-env", "NO_SUCH_VARIABLE"): "'NO_SUCH_VARIABLE' is not set",
        ("--storage-env", "STUDY_URL", "--storage", "sqlite:///x.db"): "leave one of them out",
    }.items():
        if verb[0] == "search" and options == ("--storage-env", "STUDY_URL"):
            continue  # a search looks at its data and model first
        with pytest.raises(SystemExit) as left:
            main([*verb, *options])
        told = capsys.readouterr().err
        assert left.value.code == 2 and message in told and "pass-word" not in told and "wo rd" not in told


def test_a_worker_needs_a_database(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["worker"])
    assert left.value.code == 2 and "--storage URL, or --storage-env NAME" in capsys.readouterr().err


def test_a_url_whose_password_would_end_too_early_is_refused_without_repeating_it() -> None:
    with pytest.raises(RequestError, match="one @, before the host, but this one has more; .*%XX") as told:
        join_study("postgresql://tunery:pa@ss-word@localhost:1/studies", None)
    assert "ss-word" not in str(told.value)
