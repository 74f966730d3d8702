"""Reads a page as a browser does, and checks what holds for all of them."""

import re
from html.parser import HTMLParser

ATTACK = "</pre></style></title><script>alert(1)</script><img src=x onerror=alert(1)> \" ' $x$ {{ }}"
VOID = {"meta", "br", "img", "link"}


class Page(HTMLParser):
    """Reads a page as a browser does and keeps what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data.replace("\N{NO-BREAK SPACE}", " ")))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def checked(text: str) -> Page:
    """What holds for every page: balanced, one script, nothing from outside, unique ids, no text lost to templates."""
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert page.open == []
    assert page.count("script") == 1 and page.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert len(ids) == len(set(ids))
    assert "#fe01" not in text
    return page
