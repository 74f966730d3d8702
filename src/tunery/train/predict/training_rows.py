"""Whether rows that a finished model is scored on are rows that it was trained on."""

from collections.abc import Sequence
from pathlib import Path

from tunery.data.examples import Example, Splits
from tunery.data.splitting import text_key
from tunery.errors import DataError, RequestError
from tunery.store.disk.run_lock import data_changes
from tunery.store.exported import exported_in
from tunery.train.predict.card import Card, read_card
from tunery.train.setup.prepare import current_splits, data_record


def training_texts(card: Card) -> set[str]:
    """The texts that a model was trained on, as `text_key` has them.

    Raises:
        DataError: they are not known, because the data is not there as it was; the message says why.
    """
    if card.data is None:
        raise DataError("an earlier version made this model and did not record its rows")
    if card.is_of_stages_alone:
        raise DataError("it comes from continued pretraining, which records its texts as a whole and not by row")
    splits = current_splits(card.config)
    if changed := data_changes(card.data, data_record(splits), names=["train"]):
        raise DataError(changed)
    return {text_key(example) for example in splits.train.examples}


def trained_rows(path: str | Path, examples: Sequence[Example]) -> str:
    """What to say of rows that a finished model was trained on, or why that is not known; empty where none are."""
    card = read_card(exported_in(Path(path)))
    unknown = "whether the model was trained on some of these rows could not be looked at"
    try:
        trained = training_texts(card) - {""}
    except RequestError as error:
        return f"{unknown}: {error}"
    seen = sum(text_key(example) in trained for example in examples)
    count = f"{seen:,} of these {len(examples):,} rows"
    return f"warning: the model was trained on {count}, which makes the scores too good; remove them" if seen else ""


def refuse_trained_rows(card: Card, splits: Splits, split: str) -> str:
    """What has changed about the rows of a split that may be scored all the same, in words; empty where nothing has.

    A file of its own may have been mended or extended, as long as it holds no training row; the rows of a
    split without one are drawn from the training file, and another file gives another draw.

    Raises:
        DataError: when training rows are in it, or it cannot be known whether they are.
    """
    if card.data is None:
        return ""
    now = data_record(splits)
    changed = data_changes(card.data, now, names=[split])
    if not changed or split == "train":
        return changed
    restore = "put back the data that it was trained on"
    if getattr(card.config.data, split) is None:
        raise DataError(
            f"{changed}: it is split off from a file that has changed, so training rows may be in it; {restore}"
        )
    if training := data_changes(card.data, now, names=["train"]):
        raise DataError(f"{changed}; {training}: whether training rows are in it cannot be told any more; {restore}")
    trained, rows = {text_key(example) for example in splits.train.examples}, getattr(splits, split).examples
    if twice := sum(text_key(example) in trained for example in rows):
        raise DataError(f"{changed}, and {twice:,} of them are training rows; remove them, or {restore}")
    return changed
