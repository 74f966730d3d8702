"""Reviews of a café with the stars that they come with, made up: 1 to 5 `stars`, and a `score` from 0 to 10.

python examples/stars/generate.py reviews.csv

A review names some of four things, each in words from awful to wonderful. Its score is the mean of what it says, with
the noise of a person who rates; its stars are the score in steps of two. The same seed gives the same file.
"""

import csv
import random
import sys
from pathlib import Path

ROWS = 1_200
NOISE = 0.7
"""Standard deviation of a rating for the same words."""
THINGS = {
    "The coffee": ("was undrinkable", "tasted burnt", "was all right", "was good", "was the best I ever had"),
    "The waiter": ("shouted at us", "forgot our order", "was polite", "was friendly", "made our day"),
    "The cake": ("was stale", "was too sweet", "was fine", "was fresh", "melted on the tongue"),
    "The room": ("smelled of drains", "was noisy", "was tidy", "was bright", "was lovely"),
}
ASIDES = (
    "We came on a Sunday.",
    "My sister chose the place.",
    "It is close to the station.",
    "There is a tram stop next door.",
    "We stayed for an hour.",
    "It was raining outside.",
)


def review(draw: random.Random) -> tuple[str, float]:
    """A text and its score. What is said leans one way, so that extreme scores are not rare."""
    lean = draw.uniform(0, 4)
    said = [
        (thing, words[level], level)
        for thing, words in draw.sample(sorted(THINGS.items()), draw.randint(1, 4))
        for level in [min(4, max(0, round(draw.gauss(lean, 0.8))))]
    ]
    sentences = [f"{thing} {words}." for thing, words, _ in said] + draw.sample(ASIDES, draw.randint(0, 2))
    draw.shuffle(sentences)
    score = 2.5 * sum(level for *_, level in said) / len(said) + draw.gauss(0, NOISE)
    return " ".join(sentences), round(min(10.0, max(0.0, score)), 1)


def main(path: Path) -> None:
    """Write the file."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "stars", "score"])
        for _ in range(ROWS):
            text, score = review(draw)
            writer.writerow([text, 1 + min(4, int(score / 2)), score])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
