"""A finished model or ensemble, loaded from disk: `load(path).predict([...])`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, final

import numpy as np
import numpy.typing as npt
from torch import nn
from transformers import PreTrainedTokenizerBase

from tunery.data.batches import eval_batches
from tunery.data.examples import Example, Split
from tunery.data.ranking import Vectors, labelling_order
from tunery.data.reading.given import Text, examples_from
from tunery.data.row_table import Array, RowTable
from tunery.errors import DataError, RequestError, enumerated
from tunery.hardware import pick_device, pick_precision
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.catalog import exported_base
from tunery.model.export import load_exported
from tunery.model.filling import Filler, Filling, MaskWindow
from tunery.model.writing import Prompt, Writer, Written
from tunery.schema import RunConfig
from tunery.schema.config.generation import Generation
from tunery.schema.config.peft import WITHOUT_NETWORK
from tunery.schema.reading.fields import written_name
from tunery.schema.results.prediction import MaskToken, Prediction
from tunery.schema.results.worst_rows import WorstRows
from tunery.store.exported import exported_in
from tunery.store.study import ignore
from tunery.tasks.combine import Combiner
from tunery.tasks.task import State, Task
from tunery.tasks.worst_rows import worst_rows
from tunery.train.ensembles.combination import Combination, combiner_of
from tunery.train.predict.abstention import Expected, abstaining, expected, require_confidence
from tunery.train.predict.card import Card, read_card
from tunery.train.predict.scoring import answers_about, jackknife, vectors_of
from tunery.train.predict.text_network import TextNetwork, read_text_model
from tunery.train.predict.training_rows import refuse_trained_rows
from tunery.train.setup.prepare import current_splits

_WRITES_NOT: Final = "a model of this task answers about texts and writes none; leave out what says how to write"
TOP_K: Final = 5
"""Tokens that are named for a mask, as by the fill-mask pipeline of transformers."""
_SHOWN = 10
"""Labels that a predictor names when it is printed."""


class Answerer(Protocol):
    """Where answers come from: one model, or several."""

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        """What the task needs of the model's answers, computed in `precision` if it is given."""

    def vectors(self, examples: Sequence[Example]) -> Vectors:
        """What texts are compared by, (rows, features)."""


@final
class Network:
    """A model with its tokenizer, on the device."""

    def __init__(self, module: nn.Module, tokenizer: Any, *, config: RunConfig, task: Task) -> None:
        self._config = config
        self._task = task
        self._device = pick_device()
        self._precision, _ = pick_precision(config.model.precision, self._device)
        self._module = module.to(self._device)
        self._tokenizer = tokenizer

    @property
    def mask_token(self) -> str | None:
        """What stands for a token that is asked for, where the model knows such a thing."""
        token: str | None = self._tokenizer.mask_token
        return token

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        """From float32 outputs; computed in the config's precision where none is given."""
        return answers_about(
            self._task.features(examples, self._tokenizer, max_length=self._config.model.max_length),
            self._module,
            self._task,
            pad_id=self._tokenizer.pad_token_id,
            batch_size=self._config.train.eval_batch_size,
            device=self._device,
            precision=precision or self._precision,
        )

    def vectors(self, examples: Sequence[Example]) -> Vectors:
        """The mean of the last token states of each row, float32 (rows, hidden)."""
        return vectors_of(
            self._task.features(examples, self._tokenizer, max_length=self._config.model.max_length),
            self._module,
            pad_id=self._tokenizer.pad_token_id,
            batch_size=self._config.train.eval_batch_size,
            device=self._device,
            precision=self._precision,
        )

    def write(self, examples: Sequence[Example], generation: Generation) -> list[Written]:
        """What the model writes after each row, in their order; in float32. Rows of similar length go together."""
        asked = [Prompt(self._task.prompt_ids(example, self._tokenizer), row) for row, example in enumerate(examples)]
        lengths = np.array([len(prompt.ids) for prompt in asked], dtype=np.int64)
        writer, written = Writer(self._module.eval(), self._tokenizer), dict[int, Written]()
        for rows in eval_batches(lengths, batch_size=self._config.train.eval_batch_size):
            written.update(zip(rows, writer.write([asked[row] for row in rows], generation), strict=True))
        return [written[row] for row in range(len(examples))]

    def fill(self, examples: Sequence[Example], top_k: int) -> list[list[list[Filling]]]:
        """For each mask token of each row the likeliest tokens, in float32; an empty list for a row without masks.
        Rows of similar length go together."""
        around = self._task.around_masks(examples, self._tokenizer, max_length=self._config.model.max_length)
        windows = [
            (row, MaskWindow(ids.tolist(), places.tolist())) for row, some in enumerate(around) for ids, places in some
        ]
        lengths = np.array([len(window.ids) for _, window in windows], dtype=np.int64)
        filler, filled = Filler(self._module.eval(), self._tokenizer), dict[int, list[list[Filling]]]()
        for numbers in eval_batches(lengths, batch_size=self._config.train.eval_batch_size):
            filled.update(zip(numbers, filler.fill([windows[number][1] for number in numbers], top_k), strict=True))
        masks: list[list[list[Filling]]] = [[] for _ in examples]
        for number, (row, _) in enumerate(windows):
            masks[row] += filled[number]
        return masks

    def stream(self, example: Example, generation: Generation) -> Iterator[str]:
        """The same of one row, piece by piece."""
        prompt = Prompt(self._task.prompt_ids(example, self._tokenizer), 0)
        return Writer(self._module.eval(), self._tokenizer).stream(prompt, generation)


@final
class Ensemble:
    """Several models that answer as one; each has a tokenizer and a length of its own."""

    def __init__(self, members: Sequence[Answerer], combination: Combination, *, combiner: Combiner) -> None:
        self._members = tuple(members)
        self._combination = combination
        self._combiner = combiner

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        """Logits of the combined probabilities, float64 (rows, labels), or numbers (rows,)."""
        column = self._combiner.column
        each = [member.answers(examples, precision=precision)[column] for member in self._members]
        return RowTable({column: self._combination(each, combiner=self._combiner)})

    def vectors(self, examples: Sequence[Example]) -> Vectors:
        """Those of the first member."""
        return self._members[0].vectors(examples)


@final
class Predictor:
    """A trained model or ensemble with its task, and what the task fitted on validation."""

    def __init__(self, model: Answerer, *, task: Task, config: RunConfig, state: State | None) -> None:
        """Args:
        config: of the model; of an ensemble, that of its best member.
        """
        self.config = config
        self.task = task
        self.state = state
        self._model = model

    def __repr__(self) -> str:
        config, labels = self.config, enumerated([*map(repr, self.labels)], _SHOWN)
        of = f"{config.task.kind} of {config.model.name}, peft={written_name(type(config.peft))}"
        return f"<Predictor: {of}; labels {labels}>" if self.labels else f"<Predictor: {of}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return self.task.labels

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Probability per label from which it is given, where they were tuned or fixed."""
        thresholds = (self.state or {}).get("thresholds")
        return None if thresholds is None else tuple(thresholds)

    def predict(
        self,
        texts: str | Iterable[Text],
        *,
        threshold: float | None = None,
        abstain_below: float | None = None,
        generation: Generation | None = None,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Label, or labels, and probabilities for every text, in order; of `causal_lm`, how each goes on; of `mlm`,
        what stands in place of its mask tokens, and of a text without any its perplexity.

        Args:
            texts: one text; or any iterable of texts, or of tuples of texts where the model was trained on pairs or on
                several columns: a list, a generator, an array, a Series.
            threshold: probability from which a label is given; None: as the model was trained to decide.
            abstain_below: confidence below which an answer is left out (`expected` says how many to expect).
            generation: how a model that writes does so; None: the likeliest tokens, 64 of them at most.
            top_k: how many tokens are named for each mask; None: 5.

        Raises:
            DataError: when something is no text, or no pair; the message says at which position.
            RequestError: when the threshold is no probability, or the model does not do what is asked for; when tokens
                are asked for and no text has a mask.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise RequestError(f"a threshold is a probability from 0 to 1, but got {threshold}")
        data = self.config.data
        examples = examples_from(texts, parts=len(data.text_columns), pairs=data.text_pair is not None)
        examples = [self.task.as_question(example, data) for example in examples]
        return self.answer(
            examples, threshold=threshold, abstain_below=abstain_below, generation=generation, top_k=top_k
        )

    def stream(self, text: str, generation: Generation | None = None) -> Iterator[str]:
        """How one text goes on, piece by piece, as it is written. A model that is not waited for stops.

        Raises:
            RequestError: the model does not write.
        """
        (example,) = examples_from(text, pairs=False)
        return self._writer.stream(self.task.as_question(example, self.config.data), generation or Generation())

    def answer(
        self,
        examples: Sequence[Example],
        *,
        threshold: float | None = None,
        abstain_below: float | None = None,
        generation: Generation | None = None,
        top_k: int | None = None,
        answers: RowTable | None = None,
    ) -> list[Prediction]:
        """The same as `predict` for rows.

        Args:
            answers: about the rows, where they are known already.
        """
        if top_k is not None and not self.task.fills:
            raise RequestError("top_k is of tokens in place of masks, and this model fills in none; leave it out")
        if top_k is not None and top_k < 1:
            raise RequestError(f"top_k is a number of tokens, 1 or more, but got {top_k}")
        if abstain_below is not None:
            require_confidence(self.task, abstain_below)
        if self.task.writes and threshold is None:
            written = self._writer.write(examples, generation or Generation())
            return [
                Prediction(label=None, labels=(), confidence=one.confidence, probabilities={}, text=one.text)
                for one in written
            ]
        if generation is not None:
            raise RequestError(_WRITES_NOT)
        state = self.state if threshold is None else {**(self.state or {}), **self.task.state_at(threshold)}
        filled = self._filled(examples, top_k)
        rest = [example for row, example in enumerate(examples) if row not in filled]
        told = (self.answers(rest) if answers is None else answers) if rest else None
        answered = iter([] if told is None else self.task.answer(told, rest, state))
        predictions = [filled[row] if row in filled else next(answered) for row in range(len(examples))]
        return predictions if abstain_below is None else abstaining(predictions, abstain_below)

    def expected(self, abstain_below: float) -> Expected | None:
        """What share of rows to expect below a confidence, and how many of the others to be right; None where that was
        not recorded.

        Raises:
            RequestError: this is no probability, or the model gives no labels.
        """
        require_confidence(self.task, abstain_below)
        return expected(self.state, abstain_below)

    def rank(self, examples: Sequence[Example], *, answers: RowTable | None = None) -> npt.NDArray[np.int64]:
        """Numbers of the rows in the order in which to label them: those that the model is least sure of and that
        differ from each other first (`data/ranking.py`); the same in every call.

        Args:
            answers: about the rows, where they are known already.

        Raises:
            RequestError: the model gives no labels.
        """
        if not examples:
            return np.zeros(0, dtype=np.int64)
        margins = self.task.margins(self.answers(examples) if answers is None else answers, self.state)
        blank = [not example.text.strip() for example in examples]
        return labelling_order(margins, self.vectors(examples), blank, seed=self.config.seed)

    def _filled(self, examples: Sequence[Example], top_k: int | None) -> dict[int, Prediction]:
        """Row with masks -> what stands in their place."""
        if not self.task.fills or not isinstance(self._model, Network):
            return {}
        rows = self._model.fill(examples, top_k or TOP_K)
        if top_k is not None and examples and not any(rows):
            raise RequestError(
                f"top_k is of tokens in place of masks, but no text has the mask token of this model, "
                f"{self._model.mask_token!r}; write it where a token is asked for, or leave top_k out"
            )
        return {
            row: Prediction(
                label=None,
                labels=(),
                confidence=float(np.exp(np.mean([np.log(fillings[0].probability) for fillings in masks]))),
                probabilities={},
                masks=tuple(
                    tuple(MaskToken(token=filling.text, probability=filling.probability) for filling in fillings)
                    for fillings in masks
                ),
            )
            for row, masks in enumerate(rows)
            if masks
        }

    def answers(self, examples: Sequence[Example], *, precision: str | None = None) -> RowTable:
        """What the task needs of the model's answers."""
        return self._model.answers(examples, precision=precision)

    def vectors(self, examples: Sequence[Example]) -> Vectors:
        """What the model knows of each text before its head, or the words of the text, (rows, features)."""
        return self._model.vectors(examples)

    @property
    def _writer(self) -> Network:
        if not self.task.writes or not isinstance(self._model, Network):
            raise RequestError(_WRITES_NOT)
        return self._model

    def logits(self, examples: Sequence[Example], *, precision: str | None = None) -> Array:
        """Logits (rows, labels), of a task that gives labels."""
        return self.answers(examples, precision=precision)["logits"]

    def score(
        self, examples: Sequence[Example], *, answers: RowTable | None = None, tuned_on_them: bool = False
    ) -> dict[str, Any]:
        """Metrics on labelled rows, with what was fitted on validation.

        Args:
            answers: about the rows, where they are known already.
            tuned_on_them: whether these are the rows that it was fitted on; then each part of them is scored with what
                the others give, as after training, and the model is asked nothing else.
        """
        truth = self.task.truth(examples)
        answers = self.answers(examples) if answers is None else answers
        if tuned_on_them:
            return self.task.fitted_score(answers, truth)
        return {**self.task.score(answers, truth, self.state), **self._asked_again(examples, answers)}

    def jackknife(
        self, examples: Sequence[Example], answers: RowTable
    ) -> tuple[dict[str, Any], tuple[float | None, ...]]:
        """Metrics on rows that `answers` are about, and the objective without each block of them in turn
        (`scoring.jackknife`)."""
        truth = self.task.truth(examples)
        scores, without_block = jackknife(self.task, answers, truth, self.state, objective=self.config.objective)
        return {**scores, **self._asked_again(examples, answers)}, without_block

    def _asked_again(self, examples: Sequence[Example], answers: RowTable) -> Mapping[str, float | None]:
        follow_up = self.task.follow_up(examples, answers, self.state)
        return {} if follow_up is None else follow_up.metrics(self.answers(follow_up.examples))

    def worst_rows(self, split: Split, answers: RowTable, *, texts: bool) -> WorstRows:
        """The rows of a split, which `answers` are about, that are answered worst; without `texts`, none of their
        text."""
        return worst_rows(self.task, split, answers, state=self.state, texts=texts)


def load(path: str | Path, *, trust_remote_code: bool = False) -> Predictor:
    """Load the model of a run folder, a study folder, an exported `best/` folder or an ensemble's folder.

    Args:
        trust_remote_code: permits code that comes with the model. Without it, a folder that asks for such code is
            refused, whatever its own files say.

    Raises:
        FolderError: when there is no finished model in `path`.
        ModelError: when the model cannot be loaded, or needs code that this call does not permit.
    """
    folder = exported_in(Path(path))
    card = read_card(folder)
    if card.combination is None:
        model: Answerer = _answerer(folder, card, trust_remote_code=trust_remote_code)
    else:
        remedy = f"name a member of {str(folder)!r}"
        combiner = combiner_of(card.task, card.config.task.kind, remedy=remedy)
        paths = [folder / name for name in card.members]
        members = [_answerer(path, read_card(path), trust_remote_code=trust_remote_code) for path in paths]
        model = Ensemble(members, card.combination, combiner=combiner)
    return Predictor(model, task=card.task, config=card.config, state=card.state)


def _answerer(folder: Path, card: Card, *, trust_remote_code: bool) -> Answerer:
    if isinstance(card.config.peft, WITHOUT_NETWORK):
        return TextNetwork(read_text_model(folder), task=card.task)
    tokenizer = tokenizer_of(folder, card.config, trust_remote_code=trust_remote_code)
    module = load_exported(
        folder,
        model_spec=card.config.model,
        peft=card.config.peft,
        outputs=card.task.outputs,
        tokenizer=tokenizer,
        base=card.base,
        trust_remote_code=trust_remote_code,
    )
    return Network(module, tokenizer, config=card.config, task=card.task)


def tokenizer_of(folder: Path, config: RunConfig, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of an exported folder."""
    return load_tokenizer(exported_base(folder, config.model, trust_remote_code=trust_remote_code))


def evaluate(
    path: str | Path,
    split: str = "test",
    *,
    say: Callable[[str], None] = ignore,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Metrics of a finished model on one split (`train`, `validation`, `test`) of its own data.

    Args:
        say: is told where a file has changed since, and the rows that are scored are others than after training.
        trust_remote_code: whether this call permits code that comes with the model.

    Raises:
        DataError: when a split cannot be read, or rows that the model was trained on may be in it.
    """
    card = read_card(exported_in(Path(path)))
    why = None
    if card.is_of_stages_alone:
        why = "comes from continued pretraining, which has no splits of its own to score"
    elif split == "test" and card.data is not None and not card.data.splits["test"].rows:
        why = "was cross-validated: folds were held out in place of a test split, and metrics.oof has their score"
    if why is not None:
        raise DataError(f"{str(path)!r} {why}; score a file: --input FILE")
    predictor = load(path, trust_remote_code=trust_remote_code)
    splits = current_splits(card.config)
    if card.data is None:
        say("an earlier version made this model and did not record its rows: whether they are the same is not known")
    if changed := refuse_trained_rows(card, splits, split):
        say(f"the data has changed since training: {changed}; these scores are of what is there now")
    rows: Split = getattr(splits, split)
    return predictor.score(rows.examples, tuned_on_them=split == "validation" and not changed)
