"""The schedules drawn in characters, from the functions that train."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tunery.optim.curves import CURVES, PlateauRule, factor, rising, warmup_steps
from tunery.schema.config import schedule as schema
from tunery.schema.reading.fields import alternatives

COLUMNS: Final = 48
ROWS: Final = 6
EPOCHS: Final = 10
STEPS_PER_EPOCH: Final = 100
_TOTAL: Final = EPOCHS * STEPS_PER_EPOCH
_BLANK: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character (Unicode, block U+2800), from its top row to its bottom row, left and right."""
_OBJECTIVE: Final = (0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7)
_NOTES: Final[dict[type[Any], str]] = {
    schema.NoSchedule: "; the peak is whatever the optimizer sets",
    schema.ReducePlateau: "; the objective improves in the first 3",
}


def schedule_plots() -> dict[tuple[str, str], str]:
    """Every schedule with its defaults, by section and name."""
    specs = [kind() for kind in alternatives(schema.Schedule)]
    return {("schedule", spec.name): _plot(spec) for spec in specs}


def draw(values: Sequence[float]) -> list[str]:
    """Lines of braille with one point for each value from 0 (bottom) to 1 (top), joined into a line.

    A character is two points wide and four high.
    """
    heights = [round((1.0 - value) * (4 * ROWS - 1)) for value in values]
    cells = [[_BLANK] * ((len(values) + 1) // 2) for _ in range(ROWS)]
    for x, y in _joined(heights):
        cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return ["".join(map(chr, line)) for line in cells]


def _joined(heights: Sequence[int]) -> Iterator[tuple[int, int]]:
    last = heights[0]
    for x, y in enumerate(heights):
        step = 1 if y >= last else -1
        yield from ((x, between) for between in range(last, y, step))
        yield x, y
        last = y


def _plot(spec: Any) -> str:
    factors = _curve(spec) if type(spec) in CURVES else _plateau(spec)
    points = 2 * COLUMNS
    values = [factors[round(point * (_TOTAL - 1) / (points - 1))] for point in range(points)]
    labels = ["peak", *[""] * (ROWS - 2), "0"]
    lines = [f"{label:>4} {line}" for label, line in zip(labels, draw(values), strict=True)]
    return "\n".join([*lines, f"     {EPOCHS} epochs of {STEPS_PER_EPOCH} steps{_NOTES.get(type(spec), '')}"])


def _curve(spec: schema.Schedule) -> list[float]:
    warmup = warmup_steps(spec, total=_TOTAL)
    return [factor(spec, step, warmup=warmup, total=_TOTAL, steps_per_epoch=STEPS_PER_EPOCH) for step in range(_TOTAL)]


def _plateau(spec: schema.ReducePlateau) -> list[float]:
    warmup, factors = warmup_steps(spec, total=_TOTAL), []
    rule = PlateauRule(direction="maximize", patience=spec.patience, threshold=spec.threshold)
    for epoch, value in enumerate(_OBJECTIVE):
        steps = range(epoch * STEPS_PER_EPOCH, (epoch + 1) * STEPS_PER_EPOCH)
        factors += [rising(step, warmup=warmup) * spec.factor**rule.reductions for step in steps]
        rule.observe(value)
    return factors
