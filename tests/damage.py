"""What may happen to a file: bytes are lost, changed or never belonged there, or one value of a document is odd."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from hypothesis import strategies as st

from tunery.errors import TuneryError

_STRANGE: Final = (
    *(b"", b"\0", b"\xff", b"\xe9", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\r\n", b'"', b"'", b"\\"),
    *(b"{", b"}", b"[", b"]", b":", b",", b"-", b"&a ", b"*a", b"!!int ", b"!!timestamp ", b"%", b"#", b"<<: "),
    *(b"null", b"true", b"NaN", b"1e999", b"-1", b"\\ud83d", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"x" * 5000),
)
"""Bytes that mean something to some reader."""

ODD_VALUES: Final = (
    *(
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "-1e308",
        "NaN",
        "9" * 30,
        "9" * 400,
        "9" * 5000,
        "0.5",
        '""',
        '"x"',
        '"\\ud83d"',
    ),
    *('"../../x"', '"\\u0000"', "[]", "[[]]", "{}", '{"a": 1, "a": 2}', '["x", "x"]', "[null]", '{"": null}'),
    *("[" * 3000 + "]" * 3000, '"' + "9" * 5000 + '"', '"' + "x" * 5000 + '"', "[1, [2, [3]]]"),
)
"""JSON texts, one of which stands where another value was."""


_MARK: Final = "the value of this key is replaced"


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content after one to three mishaps."""
    for _ in range(draw(st.integers(1, 3))):
        begin, end = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
        strange = draw(st.sampled_from(_STRANGE) | st.binary(max_size=8))
        content = draw(
            st.sampled_from(
                (
                    content[:begin],
                    content[end:],
                    content[:begin] + content[end:],
                    content[:begin] + strange + content[begin:],
                    content[:begin] + strange + content[begin + len(strange) :],
                    content[:end] + content[begin:end] + content[end:],
                    content[:begin] + content[begin : begin + 64].swapcase() + content[begin + 64 :],
                    content[:begin] + bytes(byte ^ 1 for byte in content[begin : begin + 1]) + content[begin + 1 :],
                )
            )
        )
    return content


@st.composite
def recoded(draw: st.DrawFn, content: bytes) -> bytes:
    """The text of the content in another encoding."""
    name = draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7", "utf-8-sig"]))
    return content.decode().encode(name, "replace")


@st.composite
def odd(draw: st.DrawFn, document: Any) -> bytes:
    """A JSON document in which one value is another, is gone, or stands there twice."""
    path = draw(st.sampled_from(list(_paths(document))))
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "twice"]))
    text = draw(st.sampled_from(ODD_VALUES))
    changed = json.dumps(_changed(document, path, how))
    return changed.replace(json.dumps(_MARK), text).encode("utf-8", "surrogatepass")


def _paths(document: Any) -> Iterator[tuple[Any, ...]]:
    """Where every value of a document stands; of long lists the first and the last items."""
    yield ()
    if isinstance(document, dict):
        items = list(document.items())
    else:
        items = list(enumerate(document)) if isinstance(document, list) else []
    for key, inner in items if len(items) < 12 else [*items[:6], *items[-2:]]:
        for path in _paths(inner):
            yield (key, *path)


def _changed(document: Any, path: tuple[Any, ...], how: str) -> Any:
    if not path:
        return {**document, "unheard of": _MARK} if how == "add" and isinstance(document, dict) else _MARK
    key, *rest = path
    if rest:
        inner = _changed(document[key], tuple(rest), how)
    elif how == "drop":
        kept = {other: value for other, value in _items(document) if other != key}
        return kept if isinstance(document, dict) else list(kept.values())
    elif how == "twice":
        inner = [document[key], document[key]]
    else:
        inner = {**document[key], "unheard of": _MARK} if how == "add" and isinstance(document[key], dict) else _MARK
    changed = {other: inner if other == key else value for other, value in _items(document)}
    return changed if isinstance(document, dict) else list(changed.values())


def _items(document: Any) -> list[tuple[Any, Any]]:
    return list(document.items() if isinstance(document, dict) else enumerate(document))


def read_or_refused(read: Callable[[], object], *names: str) -> None:
    """A reader reads, or says in an error of ours which of the files is wrong; any other error is the test's."""
    try:
        read()
    except TuneryError as error:
        message = str(error)
        assert any(name in message for name in names), message
        assert len(message) < 3000, "nobody reads such a message"
