"""Random numbers that depend on nothing but what they are for."""

import hashlib

import numpy as np


def row_generator(seed: int, epoch: int, row: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each (seed, epoch, row, purpose): Philox, keyed by a hash of the four."""
    name = repr((int(seed), int(epoch), int(row), purpose)).encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))
