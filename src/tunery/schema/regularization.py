"""What keeps training from running away or learning by heart."""

from typing import Annotated

from pydantic import Field

from tunery.schema.spec import Spec


class Regularization(Spec):
    """Settings that hold for every method."""

    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the gradient of one step; 0 switches clipping off."""
