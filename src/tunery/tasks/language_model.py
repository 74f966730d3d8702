"""What tasks share that score text by how likely a model finds its tokens."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from tunery.data.checks.check import Check
from tunery.data.checks.document_checks import CHECKS_OF_TEXTS, QUICK_CHECKS_OF_TEXTS
from tunery.data.examples import Example, RowReader
from tunery.data.masking import NO_TARGET
from tunery.data.metrics import finite
from tunery.data.reading.documents import documents
from tunery.data.row_table import Array, RowTable
from tunery.schema import RunConfig
from tunery.schema.config.data import Data
from tunery.schema.config.task import Outputs, TaskSpec, VocabularyOutput
from tunery.schema.results.prediction import Prediction
from tunery.tasks.task import JACKKNIFE_BLOCKS, State, Task

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.data.batches import Targets
    from tunery.data.encode import Encoded
    from tunery.optim.objective import Objective

MOST_NATS: Final = 700.0
"""Loss of a token above which its exponential would be no number."""


class LanguageModelTask(Task):
    """Answers are sums over the tokens that are to be told: `nats`, minus the logarithm of their probabilities,
    `tokens`, their number, and `hits`, how many of them are the likeliest; all (rows, parts). A row has one part, but
    where there are few rows, up to `JACKKNIFE_BLOCKS`: consecutive windows of its text. The truth is how many `bytes`
    (UTF-8) are told, (rows,)."""

    checks: ClassVar[Sequence[Check]] = CHECKS_OF_TEXTS
    quick_checks: ClassVar[Sequence[Check]] = QUICK_CHECKS_OF_TEXTS
    direction: ClassVar[Literal["causal", "masked"]]

    @staticmethod
    def reader(spec: TaskSpec, data: Data) -> RowReader:
        """A row is its text, a prompt with its completion, or a conversation."""
        return documents(data)

    @property
    def outputs(self) -> Outputs:
        """How likely each token is."""
        return {"tokens": VocabularyOutput(direction=self.direction)}

    def targets(self, examples: Sequence[Example], features: "Encoded") -> "Targets":
        """None beside the tokens that are to be told, which are features."""
        from tunery.data.batches import Targets

        return Targets()

    def truth(self, examples: Sequence[Example]) -> RowTable:
        return RowTable({"bytes": np.array([len(self.told(example).encode()) for example in examples], dtype=np.int64)})

    def told(self, example: Example) -> str:
        """The text that is to be told of a row."""
        return example.text

    def objective(self, config: RunConfig, truth: RowTable) -> "Objective":
        """The mean over tokens."""
        from tunery.optim.objective import TokenObjective

        return TokenObjective()

    def reduce(self, outputs: "Mapping[str, Tensor]", inputs: "Mapping[str, Tensor]") -> Mapping[str, Sequence[Array]]:
        sums = {
            "nats": outputs["token_loss"].double().sum(dim=1),
            "tokens": (inputs["targets"] != NO_TARGET).sum(dim=1),
            "hits": outputs["token_hits"].long().sum(dim=1),
        }
        return {name: list(column.cpu().numpy()) for name, column in sums.items()}

    def of_rows(self, answers: Mapping[str, Sequence[Array]], features: "Encoded") -> RowTable:
        """Sums over windows -> sums over parts of rows."""
        rows, windows = features.rows, np.bincount(features.rows)
        parts = min(JACKKNIFE_BLOCKS, int(windows.max())) if len(windows) < JACKKNIFE_BLOCKS else 1
        number = np.arange(len(rows)) - (windows.cumsum() - windows)[rows]  # of each window within its row
        cell, cells = rows * parts + number * parts // windows[rows], len(windows) * parts
        sums = {
            name: np.bincount(cell, weights=np.array(entries), minlength=cells).reshape(-1, parts)
            for name, entries in answers.items()
        }
        return RowTable({name: column if name == "nats" else column.astype(np.int64) for name, column in sums.items()})

    def parts(self, answers: RowTable, truth: RowTable) -> tuple[RowTable, RowTable]:
        """The parts of rows in which there are tokens to be told. Of the bytes of a row each has the share that it has
        of its tokens."""
        tokens = answers["tokens"]
        if tokens.shape[1] == 1:
            return answers, truth
        some = np.flatnonzero(tokens)
        share = tokens / np.maximum(tokens.sum(axis=1, keepdims=True), 1)
        bytes_of_parts = (truth["bytes"][:, None] * share).reshape(-1)[some]
        of_parts = {name: column.reshape(-1, 1)[some] for name, column in answers.columns.items()}
        return RowTable(of_parts), RowTable({"bytes": bytes_of_parts})

    def untrained(self, truth: RowTable) -> RowTable:
        """One token a row with text, which is sure."""
        tokens = (truth["bytes"] > 0).astype(np.int64)[:, None]
        return RowTable({"nats": np.zeros(tokens.shape), "tokens": tokens, "hits": tokens})

    def score(self, answers: RowTable, truth: RowTable, state: State | None) -> dict[str, Any]:
        """Of all tokens together: a long text counts more than a short one. None where there is no token."""
        nats, tokens = float(finite(answers["nats"]).sum()), int(answers["tokens"].sum())
        if not tokens:
            return dict.fromkeys(("loss", "perplexity", "bits_per_byte", "accuracy")) | {"tokens": 0}
        loss = nats / tokens
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, MOST_NATS)),
            "bits_per_byte": nats / math.log(2) / max(1.0, float(truth["bytes"].sum())),
            "accuracy": float(answers["hits"].sum() / tokens),
            "tokens": tokens,
        }

    def losses(self, answers: RowTable, truth: RowTable) -> Array:
        """Mean over the tokens of each row; 0 where it has none."""
        losses: Array = finite(answers["nats"]).sum(axis=1) / np.maximum(answers["tokens"].sum(axis=1), 1)
        return losses

    def answer(self, answers: RowTable, examples: Sequence[Example], state: State | None) -> list[Prediction]:
        """The perplexity of each text; its confidence is the geometric mean of the probabilities of its tokens. A text
        of which no token is told has neither."""
        losses = np.minimum(self.losses(answers, answers), MOST_NATS)
        return [
            Prediction(
                label=None,
                labels=(),
                confidence=math.exp(-loss) if tokens else None,
                probabilities={},
                scores={"perplexity": math.exp(loss) if tokens else None, "tokens": tokens},
            )
            for loss, tokens in zip(losses.tolist(), answers["tokens"].sum(axis=1).tolist(), strict=True)
        ]

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        return dict(prediction.scores)
