"""Which training rows are changed in an epoch, and what becomes of them."""

from dataclasses import dataclass, replace

from tunery.data.augmentation.edits import edited, moved, segments_of
from tunery.data.augmentation.operations import Operation
from tunery.data.evidence import Evidence
from tunery.data.examples import Example
from tunery.data.rng import row_generator


@dataclass(frozen=True)
class Augmenter:
    """Changes the texts of some rows, others in every epoch."""

    operation: Operation
    probability: float
    """That a row is changed in an epoch."""
    seed: int

    def changed(self, example: Example, *, epoch: int, row: int) -> Example | None:
        """The example with other texts and the same labels; None where it stays as it is.

        Where its task has evidence, that alone is changed, and its spans move with the text: a row without evidence
        stays as it is. Elsewhere both texts of a pair are changed. What it gives depends on the seed, the epoch and the
        row alone.
        """
        generator = row_generator(self.seed, epoch=epoch, row=row, purpose="augmentation")
        if generator.random() >= self.probability:
            return None
        if example.target is None:
            texts = [
                text and edited(text, self.operation(text, segments_of(text, None), generator))
                for text in (example.text, example.text_pair)
            ]
            result = replace(example, text=texts[0] or "", text_pair=texts[1])
            return None if result == example else result
        if not isinstance(example.target, Evidence):
            return None  # what it says of the text would not be true of another
        edits = self.operation(example.text, segments_of(example.text, example.target), generator)
        if not edits:
            return None
        return replace(example, text=edited(example.text, edits), target=moved(example.target, edits))
