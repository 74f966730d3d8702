"""The name that content has, and what tells whether it is still the same."""

from collections.abc import Iterable
from typing import Any, final

from xxhash import xxh3_128, xxh3_128_hexdigest


def digest_of(content: bytes | memoryview) -> str:
    """128 bits of XXH3, as 32 hexadecimal digits.

    It finds what decays and tells contents apart, at several times the speed of SHA-256. It is no proof against a
    forger, who could as well write the digest anew.
    """
    return xxh3_128_hexdigest(content)


@final
class Digest:
    """The same of buffers that come one after another, as if they were one."""

    def __init__(self) -> None:
        self._state = xxh3_128()

    def update(self, content: Any) -> None:
        """Take in the next."""
        self._state.update(content)

    def text(self) -> str:
        """Of all so far."""
        return self._state.hexdigest()


def digest_of_all(contents: Iterable[Any]) -> str:
    """The same of several buffers, as if they were one."""
    digest = Digest()
    for content in contents:
        digest.update(content)
    return digest.text()
