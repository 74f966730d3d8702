"""HTML that is escaped by construction: text becomes markup only through `tag`."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is markup already; `tag` does not escape it again."""

    __slots__ = ()


Child = str | int | None | Iterable[str]


def tag(name: str, *children: Child, **attributes: str | bool | None) -> Html:
    """One element. Children are escaped unless they are `Html`; a list is joined, None left out.

    A trailing underscore of an attribute is dropped (`class_`), other underscores become hyphens; True writes the name
    alone, False and None leave the attribute out.
    """
    return Html(f"<{name}{_attributes_text(attributes)}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Children one after another, each escaped unless it is `Html`."""
    return Html("".join(_child(child) for child in children))


def prose(text: str) -> Html:
    """A sentence, with what is between backticks as code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one backtick has no other
        return join([text])
    return join(tag("code", piece) if index % 2 else piece for index, piece in enumerate(pieces))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    return escape(str(child)) if isinstance(child, str | int) else join(child)


def _attributes_text(attributes: dict[str, str | bool | None]) -> str:
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    return "".join(
        f" {name}" if value is True else f' {name}="{escape(str(value))}"'
        for name, value in given.items()
        if value is not None and value is not False
    )
