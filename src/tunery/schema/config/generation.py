"""How a language model writes."""

from typing import Annotated

from pydantic import Field

from tunery.schema.spec import Spec


class Generation(Spec):
    """What is written after a prompt, token by token."""

    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Tokens at most; fewer where the model ends its text, or a stop string comes."""
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    """0: always the likeliest token. Else tokens are drawn, from logits that are divided by it."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Tokens are drawn from the smallest set of the likeliest ones that have this probability together (Holtzman et al.
    2020, arXiv 1904.09751, section 3.1)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the draws. What is drawn for a row depends on this, on its place and on nothing else."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end what is written; they are left out of it."""
