"""Passwords that no message may hold: those that were given with this command, and whatever looks like one."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Final, final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK: Final = "***"

_VARIABLES: Final = ("PGPASSWORD", "HF_TOKEN")
"""Environment variables that hold a secret whenever they are set."""

_URL: Final = re.compile(r"\w[\w+]*://(?P<rest>.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r"[?&](?:ssl)?password=([^&]*)", re.IGNORECASE)
_LOOKS_SECRET: Final = re.compile(r"(?<=://)([^\s:/@]*:)\S+(?=@)|(\b(?:ssl)?password=)[^\s&'\"]+", re.IGNORECASE)


@final
class Secrets:
    """The secrets of one command, and what masks them in its messages."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Args:
        texts: arguments of the command and values of the environment. A URL is looked at here as a whole, because a
            password may have blanks and any sign in it, so that nobody can tell later where it ends.
        """
        given = {secret for text in texts for secret in _passwords(text)}
        given |= {os.environ[name] for name in _VARIABLES if name in os.environ}
        spellings = {text for secret in given for text in _spellings(secret) if text}
        self._spellings = sorted(spellings, key=len, reverse=True)

    def masked(self, text: str) -> str:
        """The text with the mask in place of every secret."""
        for secret in self._spellings:
            text = text.replace(secret, MASK)
        return _LOOKS_SECRET.sub(rf"\1\2{MASK}", text)


def _passwords(text: str) -> Iterator[str]:
    url = _URL.search(text)
    if url is None:
        return
    user, at, _ = url["rest"].rpartition("@")
    if at and ":" in user:
        yield user.partition(":")[2]
    yield from _PARAMETER.findall(url["rest"])


def _spellings(secret: str) -> Iterator[str]:
    """As it was given and as it is decoded, and each of these as messages may write it."""
    for plain in (secret, unquote(secret), unquote_plus(secret)):
        yield from (plain, quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1], json.dumps(plain)[1:-1])
