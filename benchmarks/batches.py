"""Steps of similar length against random ones: how well a model learns, and how many tokens are padding.

A tiny BERT with random weights learns three classes from words that are more frequent in one class than in the others.
In one data set the classes are of different length, in the other they are not. Real files are planned only:

    python benchmarks/batches.py --seeds 5 [train.csv --text text --label category]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from tunery.data.batches import (
    OVERHEAD,
    Collator,
    EncodedDataset,
    EpochBatches,
    Targets,
    length_tells_labels,
    micro_batches,
    pad,
)
from tunery.data.encode import Encoded
from tunery.data.reading.load import read_file

BATCH, BUDGET, EPOCHS, TRAIN, WORDS = 16, 8192, 3, 2400, 300
ONE_PASS = 10**9
TOKENS_PER_WORD = 1.3
"""Of English in the usual vocabularies; enough to know how a file's lengths are spread."""


def synthetic(*, told: bool, seed: int) -> tuple[Encoded, Any]:
    """Random words, of which 8 % name the class. Lengths about 10, 30 and 90: by class, or at random."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=TRAIN + 600)
    kind = labels if told else generator.integers(0, 3, size=len(labels))
    lengths = (np.array([10, 30, 90])[kind] * np.exp(generator.normal(0, 0.2, size=len(labels)))).astype(int)
    ids = []
    for label, length in zip(labels, lengths, strict=True):
        words = generator.integers(10, WORDS, size=length)
        names = generator.random(length) < 0.08
        ids.append(np.array([1, *np.where(names, 3 + label, words)], dtype=np.int32))
    lengths = np.array([len(row) for row in ids])
    return Encoded(ids=ids, type_ids=None, lengths=lengths, rows=np.arange(len(ids)), truncated=0), labels


def part(encoded: Encoded, rows: slice) -> Encoded:
    """Some rows of a split."""
    ids = encoded.ids[rows]
    return Encoded(ids=ids, type_ids=None, lengths=encoded.lengths[rows], rows=np.arange(len(ids)), truncated=0)


def learned(encoded: Encoded, labels: Any, *, by_length: bool, seed: int) -> float:
    """Accuracy on the rows after the first `TRAIN`, having learned those."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        id2label=dict(enumerate("abc")),
    )
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    train, rest = part(encoded, slice(TRAIN)), part(encoded, slice(TRAIN, None))
    dataset = EncodedDataset(train, Targets({"labels": labels[:TRAIN]}))
    collate = Collator(0, max_tokens=BUDGET)
    batches = EpochBatches(train.lengths, batch_size=BATCH, seed=seed, by_length=by_length)
    for epoch in range(EPOCHS):
        for rows in batches.rows(epoch):
            for micro in collate([dataset[epoch, row] for row in rows]):
                loss = model(**micro.inputs).logits.log_softmax(1)
                (-loss[torch.arange(len(loss)), micro.targets["labels"]].sum() / len(rows)).backward()
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        guesses = [int(model(**pad(rest, [row], pad_id=0)).logits.argmax()) for row in range(len(rest.ids))]
    return float(np.mean(guesses == labels[TRAIN:]))


def padding(lengths: Any, *, by_length: bool, overhead: int) -> tuple[float, float]:
    """Padded tokens for each token of the texts, and passes a step."""
    plan = EpochBatches(lengths, batch_size=BATCH, seed=0, by_length=by_length).rows(0)
    steps = [micro_batches(rows, lengths, max_tokens=BUDGET, overhead=overhead) for rows in plan]
    padded = sum(len(rows) * int(lengths[rows].max()) for passes in steps for rows in passes)
    return padded / int(lengths.sum()), float(np.mean([len(passes) for passes in steps]))


def describe(name: str, lengths: Any, labels: Any) -> None:
    """One line for each way to plan."""
    told = length_tells_labels(lengths, labels, batch_size=BATCH)
    print(f"{name}: tunery takes {'random rows' if told else 'rows of similar length'}")
    for by_length in (True, False):
        for what, tokens in (("one pass", ONE_PASS), ("cut by length", OVERHEAD)):
            ratio, passes = padding(lengths, by_length=by_length, overhead=tokens)
            way = "similar length" if by_length else "random"
            print(f"  {way:14}  {what:13}  {ratio:.3f} padded tokens a token, {passes:.1f} passes a step")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(argv)
    if options.file:
        rows = read_file(options.file).rows
        words = np.array([len(row[options.text].split()) for row in rows])
        names = sorted({str(row[options.label]) for row in rows})
        numbers = np.array([names.index(str(row[options.label])) for row in rows])
        describe(options.file.name, np.minimum(words * TOKENS_PER_WORD + 2, 512).astype(int), numbers)
        return
    torch.set_num_threads(1)
    for told in (True, False):
        encoded, labels = synthetic(told=told, seed=0)
        describe(f"lengths {'by' if told else 'whatever the'} class", encoded.lengths[:TRAIN], labels[:TRAIN])
        for by_length in (True, False):
            found = [learned(encoded, labels, by_length=by_length, seed=seed) for seed in range(options.seeds)]
            way = "similar length" if by_length else "random"
            print(f"  {way:14}  accuracy {np.mean(found):.3f} ± {np.std(found):.3f} over {len(found)} seeds")


if __name__ == "__main__":
    main()
