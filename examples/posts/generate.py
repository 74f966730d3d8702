"""Writes the synthetic sample posts: `python examples/posts/generate.py` rewrites the same bytes every time.

The posts are invented, put together from the sentences in `bank/`; they come from no real person. Layout: ReDSM5
(`*_posts.csv`, `*_annotations.csv`) and, made from the same posts, a multilabel view (`*.jsonl`).
"""

import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

SEED = 5
HERE = Path(__file__).resolve().parent
POSTS = {"train": 600, "validation": 150, "test": 300}
FREQUENCIES = {
    "DEPRESSED_MOOD": 0.30,
    "WORTHLESSNESS": 0.28,
    "SUICIDAL_THOUGHTS": 0.17,
    "ANHEDONIA": 0.16,
    "FATIGUE": 0.16,
    "SLEEP_ISSUES": 0.15,
    "COGNITIVE_ISSUES": 0.13,
    "APPETITE_CHANGE": 0.11,
    "PSYCHOMOTOR": 0.10,
}
"""How often each criterion is drawn, in proportion."""
CRITERIA = (0.25, 0.31, 0.25, 0.14, 0.05)
"""Share of posts in which 0, 1, 2, 3 or 4 criteria are met."""
DISTRACTORS = (0.5, 0.38, 0.12)
"""Share of posts with 0, 1 or 2 distractors, where a criterion is met."""
LONE_DISTRACTORS = (0.2, 0.5, 0.3)
"""The same where none is met."""
FILLER = (0.5, 0.35, 0.12, 0.03)
"""Share of posts with 0 to 3 sentences of filler beyond those that every post has."""
SECOND_EVIDENCE = 0.5
"""Chance that a criterion which is met has a second sentence of evidence."""
ANNOTATED_DISTRACTORS = 0.5
"""Share of the distractors that carry an annotation with status 0; the others carry none."""
OPENED = 0.12
"""Share of the sentences that begin with an opener such as "Also,"."""
SENTENCES = (3, 12)
"""Fewest and most sentences of a post."""
DEAL = (
    "train",
    "test",
    "train",
    "validation",
    "train",
    "train",
    "test",
    "train",
    "train",
    "train",
    "test",
    "validation",
)
"""Which split owns the lines of a section of the bank, in turn: no line serves two splits."""
EXPLANATIONS = {
    "evidence": "Present now.",
    "negated": "Mentioned and denied.",
    "other person": "About somebody else.",
    "past": "Over and resolved.",
    "hypothetical": "Only imagined.",
    "figurative": "Said in another sense.",
}

Sections = dict[str, list[str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Sentence:
    """One sentence of a post and the reason why it stands there; filler has no criterion."""

    text: str
    kind: str = "filler"
    criterion: str | None = None
    annotated: bool = False


@dataclass(frozen=True)
class Post:
    """Sentences in their order."""

    id: str
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def labels(self) -> list[str]:
        """The criteria that are met."""
        met = {sentence.criterion for sentence in self.sentences if sentence.kind == "evidence"}
        return [criterion for criterion in FREQUENCIES if criterion in met]


def read_sections(path: Path) -> Sections:
    """Lines of a bank file below their `[heading]`; blank lines and `#` comments are left out."""
    sections: Sections = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


def share_of(split: str, sections: Sections) -> Sections:
    """The lines that belong to `split`, dealt out in turn."""
    return {
        name: [line for position, line in enumerate(lines) if DEAL[position % len(DEAL)] == split]
        for name, lines in sections.items()
    }


class Writer:
    """Writes the posts of one split from the share of the bank that belongs to it.

    Draws only through `Random.random` and `Random.choices`, whose streams are the same in every Python version.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self.random = Random(f"{SEED} {split}")
        self.slots = share_of(split, read_sections(HERE / "bank" / "slots.txt"))
        self.filler = share_of(split, read_sections(HERE / "bank" / "filler.txt"))["filler"]
        self.bank = {
            name: share_of(split, read_sections(HERE / "bank" / f"{name.lower()}.txt")) for name in FREQUENCIES
        }

    def posts(self) -> list[Post]:
        return [self.post(f"syn-{self.split}-{number:04}") for number in range(POSTS[self.split])]

    def post(self, name: str) -> Post:
        """Evidence and distractors, filled up with sentences about nothing in particular, in any order."""
        sentences = self.evidence()
        sentences += self.distractors({sentence.criterion for sentence in sentences})
        fewest, most = (bound - len(sentences) for bound in SENTENCES)
        fillers = min(max(fewest, 1) + self.count(FILLER), most)
        sentences += [Sentence(self.render(template)) for template in self.some(self.filler, fillers)]
        return Post(name, tuple(self.some(sentences, len(sentences))))

    def evidence(self) -> list[Sentence]:
        return [
            Sentence(self.render(template), "evidence", criterion, annotated=True)
            for criterion in self.criteria(self.count(CRITERIA))
            for template in self.some(self.bank[criterion]["evidence"], 1 + (self.random.random() < SECOND_EVIDENCE))
        ]

    def criteria(self, count: int) -> list[str]:
        """Draw without replacement, in proportion (Efraimidis & Spirakis 2006, algorithm A)."""
        keys = {name: self.random.random() ** (1 / weight) for name, weight in FREQUENCIES.items()}
        return sorted(keys, key=lambda name: keys[name], reverse=True)[:count]

    def distractors(self, met: set[str | None]) -> list[Sentence]:
        """Sentences that sound like a criterion which is not met."""
        others = [criterion for criterion in FREQUENCIES if criterion not in met]
        found = []
        for criterion in self.some(others, self.count(DISTRACTORS if met else LONE_DISTRACTORS)):
            kind = self.one([kind for kind in self.bank[criterion] if kind != "evidence"])
            text = self.render(self.one(self.bank[criterion][kind]))
            found.append(Sentence(text, kind, criterion, self.random.random() < ANNOTATED_DISTRACTORS))
        return found

    def render(self, template: str) -> str:
        """Fill the slots, perhaps put an opener in front, begin with a capital letter."""
        text = re.sub(r"\{(\w+)\}", lambda slot: self.one(self.slots[slot[1]]), template)
        if self.random.random() < OPENED:
            text = f"{self.one(self.slots['opener'])} {text if text.startswith('I ') else text[0].lower() + text[1:]}"
        return text[0].upper() + text[1:]

    def one(self, items: Sequence[T]) -> T:
        return self.random.choices(items)[0]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Different items in random order."""
        return sorted(items, key=lambda _: self.random.random())[:count]

    def count(self, shares: Sequence[float]) -> int:
        return self.random.choices(range(len(shares)), shares)[0]


def annotations(post: Post) -> list[list[Any]]:
    """Rows `post_id, sentence_id, sentence_text, DSM5_symptom, status, explanation`."""
    return [
        [
            post.id,
            f"{post.id}-{position}",
            sentence.text,
            sentence.criterion,
            int(sentence.kind == "evidence"),
            EXPLANATIONS[sentence.kind],
        ]
        for position, sentence in enumerate(post.sentences)
        if sentence.annotated
    ]


def write_csv(path: Path, header: str, rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header.split(","), *rows])


def generate(folder: Path) -> None:
    """Write the nine files of the sample into `folder`."""
    for split in POSTS:
        posts = Writer(split).posts()
        rows = [row for post in posts for row in annotations(post)]
        lines = [json.dumps({"id": post.id, "text": post.text, "labels": post.labels}) for post in posts]
        write_csv(folder / f"{split}_posts.csv", "post_id,text", [[post.id, post.text] for post in posts])
        columns = "post_id,sentence_id,sentence_text,DSM5_symptom,status,explanation"
        write_csv(folder / f"{split}_annotations.csv", columns, rows)
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
