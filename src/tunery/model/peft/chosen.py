"""The method that a config names. peft, which takes a second to import, is imported for those that need it."""

from typing import Final

from tunery.model.peft.full import FULL
from tunery.model.peft.method import Method
from tunery.model.peft.selection import biases, nothing, selection
from tunery.schema.config.peft import BitFit, NoPeft, Probe
from tunery.schema.spec import Spec

WITHOUT_LIBRARY: Final[dict[type[Spec], Method]] = {
    NoPeft: FULL,
    BitFit: selection(biases, spec=BitFit()),
    Probe: selection(nothing, spec=Probe()),
}


def method_of(spec: Spec) -> Method:
    """The entry of `METHODS` for a spec of its class."""
    if (method := WITHOUT_LIBRARY.get(type(spec))) is not None:
        return method
    from tunery.model.peft.methods import METHODS

    return METHODS[type(spec)]
