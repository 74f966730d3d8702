"""The made-up reviews of docs/regression.md: the same file again, and what `init` makes of it."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunery.data.first_config.infer import guess

SCRIPT = Path(__file__).parents[2] / "examples" / "stars" / "generate.py"


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stars") / "reviews.csv"
    subprocess.run([sys.executable, SCRIPT, path], check=True)
    return path


def test_stars_and_scores_say_the_same(reviews: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path / "again.csv"], check=True)
    assert (tmp_path / "again.csv").read_bytes() == reviews.read_bytes()
    with reviews.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stars, scores = (np.array([float(row[name]) for row in rows]) for name in ("stars", "score"))
    assert len(rows) == 1200 and set(stars) == {1, 2, 3, 4, 5} and np.corrcoef(stars, scores)[0, 1] > 0.9


def test_init_takes_the_stars_for_levels_and_the_score_for_a_number(reviews: Path) -> None:
    stars, score = guess(reviews), guess(reviews, label="score")
    assert (stars.kind, stars.label, stars.ordinal) == ("regression", ("stars",), True)
    assert (score.kind, score.label, score.ordinal, score.numbers) == ("regression", ("score",), False, (0.0, 10.0))
