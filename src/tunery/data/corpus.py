"""Where the texts of continued pretraining are. Imports nothing heavy, so that a missing corpus is missed at once."""

from typing import Final

from tunery.data.reading.load import require_readable
from tunery.errors import DataError
from tunery.schema.config.data import Data
from tunery.schema.config.pretrain import Dapt, Pretrain, Tapt

CORPUS: Final = "pretrain.dapt.corpus"


def texts_key(spec: Dapt | Tapt) -> str:
    """The key of a config that names the texts of a stage."""
    return CORPUS if isinstance(spec, Dapt) else "pretrain.tapt"


def corpus_data(spec: Dapt, data: Data) -> Data:
    """A corpus as data of its own.

    Args:
        data: of the run.
    """
    return Data(train=spec.corpus, text=spec.text, documents=spec.documents, encoding=data.encoding)


def require_readable_corpus(pretrain: Pretrain, data: Data) -> None:
    """Look, at no more than its first bytes, whether the corpus is of a kind that can be read. One that a study learns
    from in some trials (`rungs`) is looked at too; one that nothing learns from is not.

    Args:
        data: of the run.

    Raises:
        DataError: it is not; the message begins with the key.
    """
    spec = pretrain.dapt
    if spec is not None and (spec.epochs is None or spec.lengths):
        try:
            require_readable(corpus_data(spec, data))
        except DataError as error:
            raise DataError(f"{texts_key(spec)}: {error}") from error
