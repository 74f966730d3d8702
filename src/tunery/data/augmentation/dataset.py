"""The features of training rows, some of which are changed in every epoch."""

from collections.abc import Callable, Sequence
from typing import final

from torch.utils.data import Dataset

from tunery.data.augmentation.augmenter import Augmenter
from tunery.data.batches import EncodedDataset, EpochRow, Item
from tunery.data.examples import Example


@final
class AugmentedDataset(Dataset[list[Item]]):
    """As `plain`, but for the rows that the augmenter changes: they are tokenised again."""

    def __init__(
        self,
        plain: EncodedDataset,
        examples: Sequence[Example],
        augmenter: Augmenter,
        encode: Callable[[Example], EncodedDataset],
    ) -> None:
        """Args:
        examples: the rows of `plain`.
        encode: the features of one row, and its targets.
        """
        self._plain = plain
        self._examples = examples
        self._augmenter = augmenter
        self._encode = encode

    def __getitem__(self, epoch_row: EpochRow) -> list[Item]:
        epoch, row = epoch_row
        items, example = self._plain[epoch_row], self._augmenter.changed(self._examples[row], epoch=epoch, row=row)
        if example is None:
            return items
        first = items[0].feature
        return [
            item._replace(feature=first + item.feature, changed_rows=int(item.feature == 0))
            for item in self._encode(example)[epoch, 0]
        ]

    def __len__(self) -> int:
        return len(self._plain)
