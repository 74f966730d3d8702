"""Advice about encodings: following it makes the file readable and loses nothing but what was damaged."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tunery.schema.reading.utf8 import NotUtf8, decode_utf8

GERMAN, RUSSIAN, QUOTED = "Grüße aus Köln\n" * 20, "привет, мир\n" * 20, "“quoted” – café\n"


@pytest.mark.parametrize("text", ["", "plain", GERMAN, RUSSIAN, QUOTED, "a\x00b" * 3])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_is_read_with_and_without_a_mark(text: str, mark: str) -> None:
    assert decode_utf8((mark + text).encode()) == text


def damaged(text: str) -> bytes:
    """Two bytes in lines 1 and 3 that are no UTF-8."""
    first, second, third, *rest = text.encode().split(b"\n")
    return b"\n".join([first + b"\xff", second, b"\xe9" + third, *rest])


@pytest.mark.skipif(shutil.which("iconv") is None, reason="iconv is not installed")
@pytest.mark.parametrize(
    ("content", "said", "text"),
    [
        (GERMAN.encode("latin-1"), "but byte 2 (line 1) is 0xfc; for Western European text", GERMAN),
        (QUOTED.encode("cp1252"), "`iconv -f cp1252 -t utf-8 FILE > NEW`", QUOTED),
        (b"caf\xe9", "`iconv -f cp1252", "café"),
        (damaged(GERMAN), "as nearly all of it is, but 2 bytes in lines 1, 3; correct them there", GERMAN),
        (damaged(RUSSIAN), "`iconv -c -f utf-8 -t utf-8 FILE > NEW`", RUSSIAN),
        (RUSSIAN.encode()[:-2], "but 1 byte in line 20;", RUSSIAN[:-2]),
        (GERMAN.encode("utf-16"), "but it looks like utf-16;", GERMAN),
        (QUOTED.encode("utf-16-le"), "but it looks like utf-16le;", QUOTED),
        (QUOTED.encode("utf-16-be"), "but it looks like utf-16be;", QUOTED),
        (GERMAN.encode("utf-32"), "but it looks like utf-32;", GERMAN),
    ],
)
def test_who_follows_the_advice_gets_the_text(tmp_path: Path, content: bytes, said: str, text: str) -> None:
    (tmp_path / "FILE").write_bytes(content)
    with pytest.raises(NotUtf8) as error:
        decode_utf8(content)
    assert said in str(error.value)
    command = re.search(r"`(iconv .*)`", str(error.value))
    assert command
    subprocess.run(command[1], shell=True, cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert decode_utf8((tmp_path / "NEW").read_bytes()) == text


def test_what_is_no_western_encoding_names_none() -> None:
    content = "мир ".encode("cp1251") + b"\x81\x8d"
    with pytest.raises(NotUtf8, match="find out which encoding it has, then `iconv -f ENCODING"):
        decode_utf8(content)


def test_the_lines_of_many_damages_are_not_all_listed() -> None:
    content = b"".join(b"\xff" + "üüü\n".encode() for _ in range(9))
    with pytest.raises(NotUtf8, match="but 9 bytes in lines 1, 2, 3, 4, 5, …; "):
        decode_utf8(content)
