"""Where metrics go besides the run folder's `metrics.jsonl`."""

from typing import Literal

from tunery.schema.spec import Spec


class TensorBoard(Spec):
    """TensorBoard event files in the run folder."""

    kind: Literal["tensorboard"] = "tensorboard"


Tracker = TensorBoard
