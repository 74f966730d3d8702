"""What every drawing shares: its size, its colours, and how a figure becomes SVG that belongs to a page.

Figures are made without pyplot, so nothing is shared between calls.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tunery.report.compute.parallel import SHADES
from tunery.report.markup import Html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Size(NamedTuple):
    """Pixels of a drawing, and whether it is the one for phones."""

    width: int
    height: int
    narrow: bool


_NAMED: Final = ("ink", "muted", "grid", "best", "done", "stopped", "failed", "panel")

VARIABLES: Final = (*_NAMED, *(f"shade{i}" for i in range(SHADES)))
"""CSS variables of the page that drawings use, without the leading hyphens."""

PLACEHOLDERS: Final = {name: f"#fe01{i:02x}" for i, name in enumerate(VARIABLES)}
"""Matplotlib wants colours; these are replaced by `var(--name)` in the finished drawing."""

_PAGE_DPI = 72
"""Points of text are then pixels."""

_PICTURE_DPI = 96

Palette = Mapping[str, str]
"""Colour by the name of the page's variable: `PLACEHOLDERS` for a page, `light_palette()` for a picture."""


def render_chart(name: str, draw: "Callable[[Axes], None]", *, size: Size, label: str) -> Html:
    """Make a figure of one chart, let `draw` fill it, return it as an `<svg>` element."""
    return render_figure(name, lambda figure: draw(figure.add_subplot()), size=size, label=label)


def render_figure(name: str, draw: "Callable[[Figure], None]", *, size: Size, label: str) -> Html:
    """Make a figure, let `draw` put charts into it, return it as an `<svg>` element."""
    unique = f"{name}-{'narrow' if size.narrow else 'wide'}"
    buffer = io.StringIO()
    with _figure(size, palette=PLACEHOLDERS, dots_per_inch=_PAGE_DPI, salt=unique) as figure:
        draw(figure)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), unique=unique, label=label)


def render_png(draw: "Callable[[Figure], None]", *, size: Size, palette: Palette) -> bytes:
    """Make a figure, let `draw` put charts into it, return it as the bytes of a PNG file of that size in pixels."""
    buffer = io.BytesIO()
    with _figure(size, palette=palette, dots_per_inch=_PICTURE_DPI, salt=None) as figure:
        figure.set_facecolor(palette["panel"])
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
        draw(figure)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def light_palette() -> Palette:
    """The page's colours on a light background, read from its style sheet."""
    css = files("tunery.report").joinpath("templates", "page.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css[: css.index("}")]))


@contextmanager
def _figure(size: Size, *, palette: Palette, dots_per_inch: int, salt: str | None) -> "Iterator[Figure]":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {**_style(palette), "svg.hashsalt": salt}
    inches = (size.width / dots_per_inch, size.height / dots_per_inch)
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=inches, dpi=dots_per_inch, layout="constrained")


def _style(palette: Palette) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 12,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": palette["muted"],
        "axes.labelcolor": palette["muted"],
        "axes.titlecolor": palette["ink"],
        "axes.titlelocation": "left",
        "axes.titlesize": 12,
        "axes.titlepad": 10,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.formatter.useoffset": False,
        "grid.color": palette["grid"],
        "grid.linewidth": 1,
        "text.color": palette["ink"],
        "xtick.color": palette["muted"],
        "ytick.color": palette["muted"],
        "ytick.left": False,
        "path.simplify": True,
        "path.simplify_threshold": 0.2,
    }


def _inline(svg: str, *, unique: str, label: str) -> Html:
    """An SVG file as part of a page: no prolog, ids of its own, colours and fonts from the page, short numbers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="', f' id="{unique}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{unique}-", svg)
    svg = re.sub(r'(style="[^"]*?)font: ([\d.]+px)[^;"]*', r"\1font-size: \2", svg)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda match: re.sub(r"(\.\d)\d+", r"\1", match[0]), svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(label)}">'
    svg = head + svg[svg.index(">") + 1 :]
    for variable, colour in PLACEHOLDERS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Html(re.sub(r"\n\s*", "\n", svg))
