"""What counts as a number in a record: metrics of a diverged run are null, NaN or infinite."""

import math
from typing import Any


def finite(value: Any) -> float | None:
    """`value` as a float where it is a finite number, else None. A truth value is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        return None
    return number if math.isfinite(number) else None
