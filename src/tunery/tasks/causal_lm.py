"""Text goes on: the next token, from those before it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunery.data.checks.check import Check
from tunery.data.checks.document_checks import CHECKS_OF_CAUSAL_TEXTS
from tunery.data.examples import Example, RowReader
from tunery.data.reading.prompts import as_prompt, prompts
from tunery.schema.config.data import Data
from tunery.schema.config.task import CausalLmTask, Outputs, VocabularyOutput
from tunery.schema.results.prediction import Prediction
from tunery.tasks.language_model import LanguageModelTask

if TYPE_CHECKING:
    from tunery.data.encode import Encoded


class CausalLm(LanguageModelTask):
    """Every token of a text is told once, from as many before it as its window has."""

    checks: ClassVar[Sequence[Check]] = CHECKS_OF_CAUSAL_TEXTS
    direction: ClassVar[Literal["causal", "masked"]] = "causal"
    writes: ClassVar[bool] = True

    def __init__(self, spec: CausalLmTask) -> None:
        super().__init__(())
        self._spec = spec

    @classmethod
    def build(cls, spec: CausalLmTask, *, labels: Sequence[str], settings: Mapping[str, str]) -> "CausalLm":
        return cls(spec)

    @property
    def outputs(self) -> Outputs:
        """How likely each token is, of one text or of several in a row."""
        return {"tokens": VocabularyOutput(direction=self.direction, packed=self._spec.packing)}

    def features(
        self, examples: Sequence[Example], tokenizer: Any, *, max_length: int, training: bool = False
    ) -> "Encoded":
        """Windows of each text. In training they do not overlap, and short texts may share one."""
        from tunery.data.documents import encode_documents

        overlap = max_length // 2 if self._spec.stride is None else self._spec.stride
        return encode_documents(
            examples,
            tokenizer,
            direction="causal",
            max_length=max_length,
            overlap=0 if training else overlap,
            training=training,
            packing=training and self._spec.packing,
            completion_only=self._spec.completion_only,
        )

    def told(self, example: Example) -> str:
        """All of it, or the completion alone."""
        return example.text if example.target is None or not self._spec.completion_only else example.target.learned

    @staticmethod
    def question_reader(data: Data) -> RowReader:
        """A prompt, messages that are to be answered, or a text that goes on."""
        return prompts(data)

    @staticmethod
    def as_question(example: Example, data: Data) -> Example:
        return as_prompt(example, data)

    def prompt_ids(self, example: Example, tokenizer: Any) -> Sequence[int]:
        """What stands before what is to be written: the text, or messages up to where the assistant's turn begins."""
        from tunery.data.documents import prompt_ids

        return prompt_ids(example, tokenizer)

    def columns(self, prediction: Prediction, data: Data) -> dict[str, Any]:
        """What was written, in the column of completions; of a text that was scored, its perplexity."""
        if prediction.text is None:
            return super().columns(prediction, data)
        return {data.completion or "completion": prediction.text}
