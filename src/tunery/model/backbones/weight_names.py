"""Weights that were saved by a module around the model: all of their names begin with what that called it."""

import re
from collections.abc import Collection


def renaming(
    names: Collection[str], *, missing: Collection[str], unexpected: Collection[str], backbone: str
) -> dict[str, str] | None:
    """What makes of the names in the files those of the model, as `key_mapping` of transformers; None where nothing
    does, or where more than half of the backbone was found without.

    Args:
        names: of the model's parameters.
        missing: those of them that the files lack.
        unexpected: names in the files that the model has not.
        backbone: where the backbone is within the model: `bert.`, or empty.
    """
    lacking = {name.removeprefix(backbone) for name in missing if name.startswith(backbone)}
    if 2 * len(lacking) <= sum(1 for name in names if name.startswith(backbone)):
        return None
    for holder in sorted({name.partition(".")[0] for name in unexpected}):
        held = {name.removeprefix(f"{holder}.") for name in unexpected if name.startswith(f"{holder}.")}
        if lacking <= held:
            return {rf"^{re.escape(holder)}\.": backbone}
    return None
