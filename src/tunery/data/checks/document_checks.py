"""What is looked for in texts that language models learn from: too little text, passages that are in two splits, how
many tokens there are, and what a tokenizer does to the texts."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from tunery.data.checks.check import Check, Subject
from tunery.data.checks.duplicates import EXCERPT, MOST_WORDS, SHOWN, percent, quote, rows
from tunery.data.checks.near_duplicates import MIN_WORDS, Words, similar_keys
from tunery.data.checks.row_checks import empty_splits, empty_texts, unknown_tokens
from tunery.data.examples import Example, Split
from tunery.data.reading.turns import SYSTEM, Completion, Conversation
from tunery.errors import enumerated
from tunery.schema.results.finding import Finding

FEW_TOKENS: Final = 1_000
"""A split with fewer tokens gives scores that mean little."""
PASSAGE: Final = 100
"""Words of a passage into which long paragraphs are cut."""
MIN_PASSAGE: Final = 20
"""Shorter paragraphs of a long text are not compared: formulas and names of speakers return in any text."""
TOLERABLE: Final = 0.02
"""Share of the characters of a split that may be in texts of another split before scores are not honest."""
GLUED: Final = 0.1
"""Share of prompts without white space behind them that may be meant so."""
blank_texts: Final = partial(empty_texts, some="They are left out of training")
_CHARACTERS_A_WORD: Final = 6
PARAGRAPH: Final = re.compile(r"\n\s*\n")
_WORDS: Final = re.compile(rf"(?:\S+\s*){{1,{PASSAGE}}}")


def short_texts(subject: Subject) -> Iterator[Finding]:
    """Texts of less than two tokens: the first is read, and nothing is left to be told."""
    for split in subject.splits:
        lengths = subject.lengths.get(split.name)
        if lengths is None or not len(lengths):
            continue
        short = int((lengths < 2).sum())
        if short:
            every = short == len(lengths)
            yield Finding(
                level="fatal" if every else "warning",
                code="short_texts",
                split=split.name,
                count=short,
                message=f"a text needs two tokens or more, so that one is told from another, but {short:,} of "
                f"{len(lengths):,} in {split.name} have fewer. "
                f"{'Give it longer texts' if every else 'They teach next to nothing'}",
            )


def few_tokens(subject: Subject) -> Iterator[Finding]:
    """A validation or test split of few tokens, or training texts that do not fill one window."""
    limit = subject.max_length
    for split in subject.splits:
        tokens = _tokens(subject, split)
        if split is subject.splits.train:
            if limit is not None and 2 <= tokens < limit:
                yield Finding(
                    level="warning",
                    code="small_corpus",
                    split=split.name,
                    count=tokens,
                    message=f"train should fill more than one sequence of the model, but has {tokens:,} tokens and "
                    f"model.max_length={limit}: there is little to learn. Give it more text, or lower "
                    "model.max_length",
                )
        elif 2 <= tokens < FEW_TOKENS:
            use = "the best epoch is chosen" if split is subject.splits.validation else "the result is reported"
            yield Finding(
                level="warning",
                code="small_split",
                split=split.name,
                count=tokens,
                message=f"{split.name} should have at least {FEW_TOKENS:,} tokens, but has {tokens:,}: a few words "
                f"move its scores, and {use} by it. Give it more text",
            )


def shared_texts(subject: Subject) -> Iterator[Finding]:
    """Texts of some words that are in two splits as they are."""
    first: dict[str, str] = {}
    for split in subject.splits:
        texts = [example.text for example in split.examples if _is_long(example.text)]
        shared = [text for text in texts if first.setdefault(text, split.name) != split.name]
        if shared:
            share = sum(map(len, shared)) / sum(len(example.text) for example in split.examples)
            former = enumerated(sorted({first[text] for text in shared}))
            yield Finding(
                level="fatal" if share > TOLERABLE else "warning",
                code="shared_rows",
                split=split.name,
                count=len(shared),
                message=f"a text may be in one split only, but {len(shared):,} of {split.name} ({100 * share:.1f} % of "
                f"its characters) are in {former} too. A score on them rewards learning by heart: remove them from "
                f"{split.name}",
                examples=tuple(quote(text) for text in shared[:SHOWN]),
            )


def repeated_texts(subject: Subject) -> Iterator[Finding]:
    """Texts of some words that are in a split more than once."""
    for split in subject.splits:
        texts = [example.text for example in split.examples if _is_long(example.text)]
        seen: set[str] = set()
        again = [text for text in texts if text in seen or seen.add(text)]  # type: ignore[func-returns-value]
        if again:
            yield Finding(
                level="warning",
                code="duplicates",
                split=split.name,
                count=len(again),
                message=f"a text should be in a split once, but {rows(len(again))} of {split.name} "
                f"({percent(len(again), len(split.examples))}) repeat an earlier one. They are learned by heart before "
                "others are learned: remove them unless that weight is meant",
                examples=tuple(quote(text) for text in again[:SHOWN]),
            )


def shared_passages(subject: Subject) -> Iterator[Finding]:
    """Passages that are nearly the same in two splits, in texts that are not."""
    total = sum(len(example.text) for split in subject.splits for example in split.examples)
    if total > MOST_WORDS * _CHARACTERS_A_WORD:
        message = f"near-duplicates were not looked for: {total:,} characters are more than "
        message += f"{MOST_WORDS * _CHARACTERS_A_WORD:,}"
        yield Finding(level="info", code="near_duplicates", message=message)
        return
    words = Words()
    texts_of: dict[str, dict[bytes, list[str]]] = {split.name: defaultdict(list) for split in subject.splits}
    known: set[str] = set()
    for split in subject.splits:
        for example in split.examples:
            for passage in () if example.text in known else _compared(example):
                texts_of[split.name][words.key(Example(passage))].append(passage)
        known |= {example.text for example in split.examples}
    similar = similar_keys(list(dict.fromkeys(key for keys in texts_of.values() for key in keys)))
    former: set[bytes] = set()
    for split in subject.splits:
        here = texts_of[split.name]
        near = [key for key in here if not similar[key].isdisjoint(former)]
        found = [text for key in near for text in here[key]]
        if found:
            count = sum(map(len, here.values()))
            yield Finding(
                level="warning",
                code="near_duplicates",
                split=split.name,
                count=len(found),
                message=f"what is scored should be new to the model, but of {count:,} passages of {split.name} "
                f"{len(found):,} ({percent(len(found), count)}) are nearly those of another split. Its scores may be "
                "too good: remove them, or choose texts from other sources",
                examples=tuple(map(quote, found[:SHOWN])),
            )
        former |= here.keys()


def passages(text: str) -> list[str]:
    """A short text as it is; the paragraphs of a long one, and those of many words in parts."""
    if len(text) <= 2 * PASSAGE * _CHARACTERS_A_WORD:
        return [text] if _is_long(text) else []
    parts = (match.group() for paragraph in PARAGRAPH.split(text) for match in _WORDS.finditer(paragraph))
    return [part for part in parts if len(part.split()) >= MIN_PASSAGE]


def _compared(example: Example) -> list[str]:
    """What is compared with other splits: passages; of a conversation all but the message of the system, which may be
    the same everywhere, and of a prompt with its completion all of it."""
    if example.target is None:
        return passages(example.text)
    text = example.text
    if isinstance(example.target, Conversation):
        text = "\n".join(message.content for message in example.target.messages if message.role != SYSTEM)
    return [text] if _is_long(text) else []


def tokens_in_all(subject: Subject) -> Iterator[Finding]:
    """How many tokens there are, in how many texts, and how long these are."""
    parts = []
    for split in subject.splits:
        lengths = subject.lengths.get(split.name)
        if lengths is not None and len(lengths):
            spread = " / ".join(f"{tokens:,.0f}" for tokens in (*np.percentile(lengths, [50, 95]), lengths.max()))
            part = f"{split.name} {_tokens(subject, split):,} in {_texts(len(split.examples))}"
            parts.append(f"{part} ({spread})" if len(split.examples) > 1 else part)
    if parts:
        of_a_text = ", and of a text (median / 95 % / longest)" if any("(" in part for part in parts) else ""
        message = f"tokens in all{of_a_text}: {', '.join(parts)}"
        limit = subject.max_length
        longer = sum(int((lengths > limit).sum()) for lengths in subject.lengths.values()) if limit else 0
        if longer:
            message += f". Texts of more than `model.max_length: {limit}` tokens are read in windows: {longer:,}"
        yield Finding(level="info", code="tokens", message=message)


def packing(subject: Subject) -> Iterator[Finding]:
    """What is saved where texts share sequences."""
    facts = subject.texts.get("train")
    if facts is not None and facts.sequences < facts.windows:
        yield Finding(
            level="info",
            code="packing",
            split="train",
            message=f"packing puts {facts.windows:,} texts, or windows of them, into {facts.sequences:,} sequences of "
            f"up to {subject.max_length} tokens, which are {100 * facts.filled:.0f} % full: an epoch has "
            f"{100 * (1 - facts.sequences / facts.windows):.0f} % fewer steps than with task.packing=false",
        )


def altered_texts(subject: Subject) -> Iterator[Finding]:
    """A text that its tokens do not give back."""
    for split in subject.splits:
        facts = subject.texts.get(split.name)
        if facts is not None and facts.altered is not None:
            before, after = facts.altered
            start = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
            start = max(0, start - 20)
            yield Finding(
                level="warning",
                code="altered_texts",
                split=split.name,
                message="tokens should give a text back as it was, but the tokenizer of this model changes some: what "
                "the model writes will look like that, and bits per byte count characters that it never sees. Take a "
                "model with a tokenizer that knows every byte, if that matters",
                examples=(f"{quote(before, start=start)} becomes {quote(after, start=start)}",),
            )
            return


def joined_prompts(subject: Subject) -> Iterator[Finding]:
    """Prompts whose last token is also the first of the completion."""
    counts = {name: facts.joined for name, facts in subject.texts.items() if facts.joined}
    if counts:
        shown = ", ".join(f"{name} {count:,} of {len(subject.texts[name].tokens):,}" for name, count in counts.items())
        yield Finding(
            level="warning",
            code="joined_prompts",
            count=sum(counts.values()),
            message="a prompt should have the same tokens alone and before its completion, but in some rows one token "
            f"is of both ({shown}): asked with the prompt, the model reads other tokens than it learned from. End "
            "prompts with a word, a mark or a line break, and begin completions with the space between them",
        )


def glued_prompts(subject: Subject) -> Iterator[Finding]:
    """Prompts that go on without white space."""
    for split in subject.splits:
        turns = [example.target for example in split.examples if isinstance(example.target, Completion)]
        glued = [turn for turn in turns if not (turn.prompt[-1:].isspace() or turn.completion[:1].isspace())]
        if len(glued) > GLUED * len(turns):
            prompt, completion = glued[0].prompt[-EXCERPT // 2 :], glued[0].completion[: EXCERPT // 2]
            yield Finding(
                level="warning",
                code="glued_prompts",
                split=split.name,
                count=len(glued),
                message=f"white space should be between a prompt and its completion, but in {rows(len(glued))} of "
                f"{split.name} ({percent(len(glued), len(turns))}) none is. Write data.between, such as a line break, "
                "if completions do not go on in the same word",
                examples=(quote(prompt + completion),),
            )
            return


def _tokens(subject: Subject, split: Split) -> int:
    """Of a split; where they were counted in some of its characters only, an estimate."""
    sample = subject.sample.get(split.name, split.examples)
    whole, counted = (sum(len(example.text) for example in examples) for examples in (split.examples, sample))
    return round(sum(subject.lengths.get(split.name, ())) * whole / max(1, counted))


def _texts(count: int) -> str:
    return f"{count:,} text{'' if count == 1 else 's'}"


def _is_long(text: str) -> bool:
    return len(text) > PASSAGE * _CHARACTERS_A_WORD or len(text.split()) >= MIN_WORDS


CHECKS_OF_TEXTS: Final[tuple[Check, ...]] = (
    empty_splits,
    blank_texts,
    short_texts,
    few_tokens,
    unknown_tokens,
    shared_texts,
    repeated_texts,
    shared_passages,
    tokens_in_all,
)
"""For texts without labels."""

CHECKS_OF_CAUSAL_TEXTS: Final[tuple[Check, ...]] = (
    *CHECKS_OF_TEXTS,
    altered_texts,
    glued_prompts,
    joined_prompts,
    packing,
)
"""For those that a model learns to go on with."""

QUICK_CHECKS_OF_TEXTS: Final[tuple[Check, ...]] = (empty_splits, blank_texts, shared_texts)
"""Those that can be fatal and need no tokens."""
