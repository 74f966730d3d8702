"""Whether an unknown file has texts without labels: prose, rows with a text alone, prompts with completions, or
conversations. They are what language models learn from."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tunery.data.first_config.label_columns import LabelColumns
from tunery.data.first_config.profiles import Profile, is_id, is_split
from tunery.data.first_config.template import Kind, TextGuess
from tunery.data.first_config.text_columns import ColumnTable, text_columns
from tunery.data.reading.documents import DEFAULT
from tunery.data.reading.source import Row
from tunery.schema.config.data import Documents
from tunery.schema.reading.json_text import NotJson, parse_json

LANGUAGE_MODELS: Final[tuple[Kind, ...]] = ("causal_lm", "mlm")
PROMPTS: Final = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
)
"""Names of what a model is asked and of how it should answer."""
MORE: Final = ("input", "context")
"""Names of what belongs to it, behind what is asked."""
_KEYS: Final = ({"role", "content"}, {"from", "value"})
_FEWEST_TOKENS: Final = 4
"""Of a text, on average; shorter ones are names or numbers."""


class TextsAlone(NamedTuple):
    """What a file without labels has."""

    labels: LabelColumns
    columns: tuple[Profile, ...]
    """The columns that are read."""
    documents: Documents | None
    """What is one text in its files, where they are plain text."""


def texts_alone(
    table: ColumnTable, rows: Sequence[Row], *, kind: Kind | None, text: str | None, is_plain: bool, has_mask: bool
) -> TextsAlone | None:
    """The texts of a file, where it has nothing else, or they are asked for; None where it has something else.

    Args:
        kind: the task that is asked for; None: none is.
        text: the column, or columns with commas between, that are asked for, likewise.
        is_plain: whether nothing but its lines cuts the file, so that it is plain text.
        has_mask: whether the model has a mask token: it reads in both directions then.

    Raises:
        DataError: no column has a text, several could be it, or the one that is named is not there.
    """
    if kind not in (None, *LANGUAGE_MODELS):
        return None
    columns = [column for column in table.columns.values() if not is_id(column) and not is_split(column)]
    are_labelled = kind is None and any(column.is_usual for column in columns)
    if kind != "mlm" and text is None and not are_labelled and (turns := _turns(columns)):
        return turns
    if kind is None and not (len(columns) == 1 and _is_prose(columns[0])):
        return None
    texts, second = text_columns(table, rows, text, None, besides=())
    chosen: Kind = kind or ("mlm" if has_mask else "causal_lm")
    other = "causal_lm --model gpt2" if chosen == "mlm" else "mlm"
    note = f"there is no label: the texts alone are learned, by task.kind={chosen}; for the other way, --kind {other}"
    documents = DEFAULT if is_plain else None
    labels = LabelColumns(chosen, (), notes=() if kind else (note,), alone=TextGuess(documents=documents))
    return TextsAlone(labels, (*texts, *([second] if second else [])), documents)


def _turns(columns: Sequence[Profile]) -> TextsAlone | None:
    """What is asked and how it is answered, where columns are that."""
    by_name = {column.name.lower(): column for column in columns}
    pairs = [(by_name[asked], by_name[answer]) for asked, answer in PROMPTS if by_name.keys() >= {asked, answer}]
    if chats := [column for column in columns if _holds_messages(column.some)]:
        found, read = TextGuess(messages=chats[0].name), chats[:1]
    elif pairs:
        asked, answer = pairs[0]
        more = [by_name[name] for name in MORE if name in by_name][:1]
        prompt = (asked.name, more[0].name) if more else asked.name
        between = "" if _are_separate((more or [asked])[0], answer) else "\n"
        found, read = TextGuess(prompt=prompt, completion=answer.name, between=between), [asked, *more, answer]
    else:
        return None
    hold = "holds" if len(read) == 1 else "hold"
    names = " and ".join(repr(column.name) for column in read)
    note = f"{names} {hold} what is asked and how it is answered: answers are learned"
    return TextsAlone(LabelColumns("causal_lm", (), notes=(note,), alone=found), tuple(read), None)


def _are_separate(asked: Profile, answer: Profile) -> bool:
    """Whether most prompts end with white space, or most answers begin with it."""
    ends = [str(cell)[-1:].isspace() for cell in asked.some]
    begins = [str(cell)[:1].isspace() for cell in answer.some]
    return 2 * sum(ends) > len(ends) or 2 * sum(begins) > len(begins)


def _is_prose(column: Profile) -> bool:
    return column.is_text and not column.is_flag and column.average.tokens >= _FEWEST_TOKENS


def _holds_messages(cells: Sequence[Any]) -> bool:
    """Whether the first cell is a list of messages, or its JSON text; the reader says what is wrong with others."""
    cell = next(iter(cells), None)
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = parse_json(cell)
        except NotJson:
            return False
    first = cell[0] if isinstance(cell, list | tuple) and cell else None
    return isinstance(first, Mapping) and any(first.keys() >= keys for keys in _KEYS)
