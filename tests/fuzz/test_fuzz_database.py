"""Whatever a study's SQLite file holds is read, or refused before any work begins."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from damage import damaged, read_or_refused
from fast_and_slow import examples
from tunery.errors import RequestError
from tunery.hpo.storage.database import close_study, join_study, open_study


def make(path: Path) -> bytes:
    study = open_study(f"sqlite:///{path}", name="s", directions=["maximize"])
    for _ in range(2):
        trial = study.ask({"lr": FloatDistribution(0, 1), "name": CategoricalDistribution(["x", "y"])})
        trial.set_user_attr("params", {"lr": 1})
        trial.report(0.5, 1)
        study.tell(trial, 0.5)
    study.set_user_attr("config", {"task": "classification"})
    close_study(study)
    return path.read_bytes()


def look(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    study = open_study(f"sqlite:///{path}", name="s", directions=["maximize"])
    try:
        study.get_trials()
    finally:
        close_study(study)


def test_damaged_databases(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    whole = make(path)
    texts = [place for place in range(len(whole)) if whole[place : place + 1].isalnum()]

    @st.composite
    def other_words(draw: st.DrawFn) -> bytes:
        content = bytearray(whole)
        for place in draw(st.lists(st.sampled_from(texts), min_size=1, max_size=30)):
            content[place] = draw(st.integers(0, 255))
        return bytes(content)

    @examples(0.05)
    @given(other_words() | damaged(whole))
    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_or_refused(lambda: look(path), path.name)

    read()


def test_a_study_that_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(make(path).replace(b'"CategoricalDistribution"', b'"CategoricalDistributiom"'))
    with pytest.raises(RequestError, match=r"study.db is damaged: .*; put it back from a copy, or take another folder"):
        open_study(f"sqlite:///{path}", name="s", directions=["maximize"])
    with pytest.raises(RequestError, match=r"study.db is damaged"):
        join_study(f"sqlite:///{path}", "s")


def test_a_folder_in_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "study.db").mkdir()
    with pytest.raises(RequestError, match="study.db is not"):
        open_study(f"sqlite:///{tmp_path / 'study.db'}", name="s", directions=["maximize"])
