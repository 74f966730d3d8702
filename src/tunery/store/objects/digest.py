"""The name that content has, and what tells whether it is still the same."""

from xxhash import xxh3_128_hexdigest


def digest_of(content: bytes | memoryview) -> str:
    """128 bits of XXH3, as 32 hexadecimal digits.

    It finds what decays and tells contents apart, at several times the speed of SHA-256. It is no proof against a
    forger, who could as well write the digest anew.
    """
    return xxh3_128_hexdigest(content)
