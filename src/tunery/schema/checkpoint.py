"""What stays on disk."""

from typing import Annotated

from pydantic import Field

from tunery.schema.spec import Spec


class Checkpoint(Spec):
    """Resume points while a run is unfinished, best weights when it is done."""

    keep_last: Annotated[int, Field(ge=0)] = 1
    """Resume points kept while a run is unfinished; 0 writes none, so that an interrupted run starts over."""
    keep_best: Annotated[int, Field(ge=1)] = 1
    """Trials of a study whose best weights are kept."""
