"""The name that content has, and what tells whether it is still the same."""

from collections.abc import Iterable
from typing import Any

from xxhash import xxh3_128, xxh3_128_hexdigest


def digest_of(content: bytes | memoryview) -> str:
    """128 bits of XXH3, as 32 hexadecimal digits.

    It finds what decays and tells contents apart, at several times the speed of SHA-256. It is no proof against a
    forger, who could as well write the digest anew.
    """
    return xxh3_128_hexdigest(content)


def digest_of_all(contents: Iterable[Any]) -> str:
    """The same of several buffers, as if they were one."""
    digest = xxh3_128()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()
