"""Pieces that the pages share: sections, tiles, figures, tables, configs, data, environment."""

import json
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from tunery.report.charts.figure import Size
from tunery.report.compute.run_and_study import class_table, scalars, share_saved, without_repeats
from tunery.report.markup import Child, Html, join, prose, tag
from tunery.report.text.formatting import DASH, count, metric_name, percent, score, size
from tunery.report.text.numbers import finite
from tunery.schema.reading.yaml_text import dump_yaml
from tunery.schema.results.run import DataRecord, Environment, SplitRecord

MOST_OPEN = 12
"""Rows of a table about labels that are shown without a click."""

COUNTS: Final = ("support", "predicted")
"""Columns of such a table that count rows; all others are scores."""

_PHONE: Final = 360

_ONE_ROW: Final = 6
"""Key figures that fit into one row; more are in rows of four."""


def section(title: str, *children: Child, long: bool = False) -> Html:
    """One panel of the page; a long one may break across printed pages."""
    return tag("section", tag("h2", title), *children, class_="long" if long else None)


def tiles(rows: Iterable[tuple[str, str, str]]) -> Html:
    """Key figures: name, figure, and what it means."""
    made = [tag("div", tag("dt", a), tag("dd", b), tag("dd", c)) for a, b, c in rows]
    return tag("dl", made, class_="tiles many" if len(made) > _ONE_ROW else "tiles")


def facts(rows: Iterable[tuple[str, Child]]) -> Html:
    """Names and values in two columns."""
    return tag("dl", [join([tag("dt", name), tag("dd", value)]) for name, value in rows], class_="facts")


def figure(draw: Callable[[Size], Html], *, wide: tuple[int, int], phone_height: int, caption: str = "") -> Html:
    """One chart twice: `wide` pixels for a page, 360 pixels for a phone; the page shows the one that fits."""
    on_page, on_phone = draw(Size(*wide, narrow=False)), draw(Size(_PHONE, phone_height, narrow=True))
    drawings = [tag("div", on_page, class_="wide-only"), tag("div", on_phone, class_="narrow")]
    return tag("figure", drawings, tag("figcaption", caption) if caption else None)


def legend(*entries: tuple[str, str, str]) -> Html:
    """Marks and what they mean: colour class, shape (line, dot, cross, ramp), text."""
    items = []
    for colour, shape, text in entries:
        mark = tag("i", "\N{MULTIPLICATION SIGN}" if shape == "cross" else None, class_=f"{colour} {shape}")
        items.append(tag("li", mark, text))
    return tag("ul", items, class_="legend")


def number_cell(value: Any, text: Callable[[Any], str] = score, *, missing: str = DASH) -> Html:
    """A right-aligned cell that sorts by its number, and last where there is none.

    Args:
        text: how a number is written.
        missing: what is written where there is none.
    """
    number = finite(value)
    shown = missing if number is None else text(value)
    return tag("td", shown, class_="n", data_v="" if number is None else repr(number))


def table(
    header: Sequence[tuple[str, str | None]],
    rows: Iterable[Html],
    *,
    sortable: bool = False,
    tall: bool | None = None,
    class_: str = "",
) -> Html:
    """A table; the header gives each column's name and class, `rows` are finished `<tr>`.

    A tall one has a height of its own and is scrolled within the page, as sortable ones are unless told otherwise.
    """
    heads = [
        tag("th", tag("button", name, type="button") if sortable else name, class_=kind, scope="col")
        for name, kind in header
    ]
    classes = " ".join(name for name in ("sortable" if sortable else "", class_) if name)
    body = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_=classes or None)
    return tag("div", body, class_="scroll tall" if (sortable if tall is None else tall) else "scroll")


def collapsed(summary: str, content: Html, *, when: bool) -> Html:
    """`content`, behind a click `when` it is long."""
    return tag("details", tag("summary", summary), content) if when else content


def config_block(config: Mapping[str, Any], *, chosen: Container[str] = ()) -> Html:
    """A config as YAML; lines whose dotted path is in `chosen` are marked."""
    plain = json.loads(json.dumps(config, default=str))
    lines, above = [], list[tuple[int, str]]()
    for line in dump_yaml(plain, width=math.inf).splitlines():
        depth = len(line) - len(line.lstrip())
        above = [*(level for level in above if level[0] < depth), (depth, line.strip().partition(":")[0])]
        path = ".".join(key for _, key in above)
        lines.append(tag("mark", line) if path in chosen else join([line]))
    return tag("pre", Html("\n".join(lines)), tabindex="0")


def metrics_table(splits: Mapping[str, Mapping[str, Any]], *, objective: str) -> Html | None:
    """The scalar metrics of some splits, the objective first; a split without any has no column.

    Args:
        splits: title -> metrics.
    """
    known = {title: numbers for title, metrics in splits.items() if (numbers := scalars(metrics))}
    every = {name: None for numbers in known.values() for name in numbers}
    names = sorted(without_repeats(every, known.values(), objective), key=lambda name: name != objective)
    if not names:
        return None
    rows = [
        tag("tr", tag("td", metric_name(name)), [number_cell(numbers.get(name)) for numbers in known.values()])
        for name in names
    ]
    return tag("div", table([("metric", None), *((title, "n") for title in known)], rows), class_="compact")


def classes(metrics: Mapping[str, Any], *, columns: Sequence[str] | None = None) -> Html | None:
    """Per-label metrics with a bar for F1; behind a click where there are many labels.

    Args:
        columns: those that are shown, in this order; None: all.
    """
    per_label = class_table(metrics, columns)
    if per_label is None:
        return None
    f1 = per_label.columns.index("f1") if "f1" in per_label.columns else None
    rows = []
    for label, values in per_label.rows:
        cells = [
            number_cell(value, count if name in COUNTS else score)
            for name, value in zip(per_label.columns, values, strict=True)
        ]
        bar = None if f1 is None else tag("td", share_bar(values[f1] or 0.0))
        rows.append(tag("tr", tag("td", label), cells, bar))
    header: list[tuple[str, str | None]] = [("label", None), *((metric_name(name), "n") for name in per_label.columns)]
    content = table([*header, ("", None)] if f1 is not None else header, rows)
    return collapsed(f"All {len(rows)} labels", content, when=len(rows) > MOST_OPEN)


def share_bar(share: float) -> Html:
    """A bar that is `share` (0 to 1) full."""
    return tag("span", tag("i", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%"), class_="bar")


def saved_tile(kept: int, keep_all: int) -> tuple[str, str, str]:
    """Disk kept against keeping every checkpoint, as a key figure."""
    share = share_saved(kept, keep_all)
    if share is None:
        return "Disk", size(kept), "kept"
    return "Disk saved", percent(share), f"{size(kept)} kept of {size(keep_all)}"


def data_section(records: Iterable[DataRecord]) -> Html | None:
    """The splits of the first record and the findings of all."""
    all_records = list(records)
    if not all_records:
        return None
    splits = all_records[0].splits
    findings = list(dict.fromkeys(text for record in all_records for text in record.findings))
    labelled = any(split.labels or split.numbers for split in splits.values())
    header = [("split", None), ("rows" if labelled else "texts", "n"), ("from", None), ("digest", None)]
    rows = [
        tag(
            "tr",
            tag("td", name),
            number_cell(split.rows, count),
            tag("td", split.source),
            tag("td", tag("code", split.digest[:12], title=split.digest)),
        )
        for name, split in splits.items()
    ]
    listed = tag("ul", [tag("li", prose(text)) for text in findings], class_="findings") if findings else None
    nothing = None if findings else tag("p", "The checks found nothing to report.", class_="quiet")
    counts = _label_counts(splits) or _number_spread(splits)
    return section("Data", table(header, rows), counts, tag("h3", "Findings"), listed, nothing)


def _number_spread(splits: Mapping[str, SplitRecord]) -> Html | None:
    """Where the numbers of each split lie."""
    if not any(split.numbers for split in splits.values()):
        return None
    keys = ("lowest", "mean", "highest", "standard_deviation")
    rows = [
        tag("tr", tag("td", name), [number_cell(getattr(split.numbers, key, None)) for key in keys])
        for name, split in splits.items()
    ]
    return table([("split", None), *((key.replace("_", " "), "n") for key in keys)], rows)


def _label_counts(splits: Mapping[str, SplitRecord]) -> Html | None:
    labels = list(dict.fromkeys(label for split in splits.values() for label in split.labels))
    if not labels:
        return None
    rows = [
        tag("tr", tag("td", label), [number_cell(split.labels.get(label, 0), count) for split in splits.values()])
        for label in labels
    ]
    return tag(
        "details",
        tag("summary", f"Rows per label ({len(labels)} labels)"),
        table([("label", None), *((name, "n") for name in splits)], rows),
    )


def environment_section(environment: Environment) -> Html:
    """Where it ran."""
    versions = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    reason = environment.precision_reason
    precision = reason if reason.startswith(environment.precision) else f"{environment.precision} ({reason})"
    rows: list[tuple[str, Child]] = [("Device", environment.device), ("Precision", precision)]
    rows += [("Platform", environment.platform), ("Python", environment.python), ("Packages", versions)]
    return section("Environment", facts(rows))
