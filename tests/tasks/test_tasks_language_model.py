import math
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from tunery.data.examples import Example
from tunery.data.row_table import RowTable
from tunery.errors import ModelError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.backbones.catalog import resolve
from tunery.model.build import build
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.model import Model
from tunery.schema.config.peft import NoPeft
from tunery.schema.config.task import CausalLmTask, MlmTask
from tunery.tasks.causal_lm import CausalLm
from tunery.tasks.mlm import Mlm
from tunery.train.predict.scoring import answers_about, jackknife

TEXTS = ("the good film was bad", "we want to see it again and again " * 6, "no")


def asked(task: Any, folder: Path, examples: list[Example], *, max_length: int) -> tuple[RowTable, Any]:
    """A model's answers about texts, and the tokenizer."""
    spec = Model(name=str(folder), max_length=max_length)
    tokenizer = load_tokenizer(resolve(spec))
    torch.manual_seed(0)
    module = build(spec, outputs=task.outputs, peft=NoPeft(), freeze=NoFreeze()).module
    features = task.features(examples, tokenizer, max_length=max_length)
    about: Any = {"batch_size": 4, "pad_id": tokenizer.pad_token_id, "device": torch.device("cpu"), "precision": "fp32"}
    return answers_about(features, module, task, **about), tokenizer


def test_scores_are_those_of_all_tokens_together() -> None:
    task = CausalLm.build(CausalLmTask(), labels=(), settings={})
    columns = {"nats": [[6.0, 2.0], [1.0, 0.0], [0.0, 0.0]], "tokens": [[1, 3], [1, 0], [0, 0]], "hits": [[1, 0]] * 3}
    answers = RowTable({name: np.array(column) for name, column in columns.items()})
    truth = task.truth([Example(text="four by"), Example(text="\u00e9"), Example(text="")])
    assert truth["bytes"].tolist() == [7, 2, 0]
    scored = task.score(answers, truth, None)
    assert scored == {
        "loss": 1.8,
        "perplexity": math.exp(1.8),
        "bits_per_byte": pytest.approx(9 / math.log(2) / 9),
        "accuracy": 0.6,
        "tokens": 5,
    }
    assert task.losses(answers, truth).tolist() == [2.0, 1.0, 0.0]
    assert task.score(answers.take([2]), truth.take([2]), None)["perplexity"] is None
    first, *_ = task.answer(answers, [Example(text="x")] * 3, None)
    assert first.scores == {"perplexity": math.exp(2.0), "tokens": 4.0} and first.confidence == math.exp(-2.0)


def losses_of_windows(folder: Path, text: str, tokenizer: Any) -> list[list[float]]:
    """The losses of the tokens that each window of 16 tokens tells, of which 6 are read again: windows as of the
    documentation of transformers ("Perplexity of fixed-length models"), by a loop over places."""
    model = AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    ids, told = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id], 0
    windows: list[list[float]] = []
    while told < len(ids) - 1:
        start = max(0, told - 6)
        window = ids[start : start + 17]
        with torch.no_grad():
            log_p = model(input_ids=torch.tensor([window[:-1]])).logits[0].log_softmax(dim=1)
        windows.append([-float(log_p[place, window[place + 1]]) for place in range(told - start, len(window) - 1)])
        told += len(windows[-1])
    return windows


def test_every_token_of_a_long_text_is_scored_once_with_the_context_that_the_stride_says(tiny_gpt2: Path) -> None:
    task = CausalLm.build(CausalLmTask(stride=6), labels=(), settings={})
    answers, tokenizer = asked(task, tiny_gpt2, [Example(text=text) for text in TEXTS], max_length=16)
    for row, text in enumerate(TEXTS):
        losses = [*chain(*losses_of_windows(tiny_gpt2, text, tokenizer))]
        assert answers["tokens"][row].sum() == len(losses) == len(tokenizer(text)["input_ids"])
        assert answers["nats"][row].sum() == pytest.approx(sum(losses), rel=1e-4)


@pytest.mark.parametrize("texts", [("the good film was bad, see it " * 80,), (TEXTS[1] * 4, "no")])
def test_parts_of_few_texts_are_left_out_in_turn(texts: tuple[str, ...], tiny_gpt2: Path) -> None:
    """The windows of a text in 50 parts; of the second case, which has fewer, each by itself."""
    task, examples = CausalLm.build(CausalLmTask(stride=6), labels=(), settings={}), [Example(text=t) for t in texts]
    answers, tokenizer = asked(task, tiny_gpt2, examples, max_length=16)
    parts: list[list[float]] = []
    for text in texts:
        windows = losses_of_windows(tiny_gpt2, text, tokenizer)
        ends = [math.ceil(part * len(windows) / 50) for part in range(51)]
        parts += [[*chain(*windows[start:end])] for start, end in pairwise(ends) if start < end]
    assert len(parts) == 50 if len(texts) == 1 else 10 < len(parts) < 50
    losses, truth = [*chain(*parts)], task.truth(examples)
    _, perplexities = jackknife(task, answers, truth, None, objective="perplexity")
    _, bits = jackknife(task, answers, truth, None, objective="bits_per_byte")
    rests = [[*chain(*parts[:left_out], *parts[left_out + 1 :])] for left_out in range(len(parts))]
    assert perplexities == pytest.approx([math.exp(sum(rest) / len(rest)) for rest in rests], rel=1e-4)
    if len(texts) == 1:
        factor = len(losses) / len(texts[0]) / math.log(2)  # tokens per byte
        assert bits == pytest.approx([factor * sum(rest) / len(rest) for rest in rests], rel=1e-4)


def test_many_texts_are_left_out_whole(tiny_gpt2: Path) -> None:
    task, examples = CausalLm.build(CausalLmTask(stride=6), labels=(), settings={}), [Example(text=TEXTS[1])] * 50
    answers, _ = asked(task, tiny_gpt2, examples, max_length=16)
    assert {column.shape for column in answers.columns.values()} == {(50, 1)}
    _, without = jackknife(task, answers, task.truth(examples), None, objective="perplexity")
    assert without == pytest.approx([task.score(answers, task.truth(examples), None)["perplexity"]] * 50)


def test_pseudo_perplexity_hides_each_token_alone(tiny_masked_lm: Path) -> None:
    """Salazar et al. 2020, equation 1 and section 2.3, token by token."""
    task, examples = Mlm.build(MlmTask(), labels=(), settings={}), [Example(text=text) for text in (*TEXTS, "")]
    answers, tokenizer = asked(task, tiny_masked_lm, examples, max_length=64)
    follow_up = task.follow_up(examples, answers, None)
    alone, _ = asked(task, tiny_masked_lm, list(follow_up.examples), max_length=64)
    model = AutoModelForMaskedLM.from_pretrained(str(tiny_masked_lm)).eval()
    nats, count = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor(tokenizer(text)["input_ids"])
        for place in range(1, len(ids) - 1):
            hidden = ids.clone()
            hidden[place] = tokenizer.mask_token_id
            with torch.no_grad():
                nats -= float(model(input_ids=hidden[None]).logits[0, place].log_softmax(dim=0)[ids[place]])
            count += 1
    assert alone["tokens"].sum() == count
    assert follow_up.metrics(alone) == {"pseudo_perplexity": pytest.approx(math.exp(nats / count), rel=1e-4)}


def test_of_many_tokens_some_stand_for_all(tiny_masked_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunery.tasks.mlm.MOST_ALONE", 20)
    task, examples = Mlm.build(MlmTask(), labels=(), settings={}), [Example(text="the good film " * 40)] * 3
    answers, _ = asked(task, tiny_masked_lm, examples, max_length=32)
    follow_up = task.follow_up(examples, answers, None)
    alone, _ = asked(task, tiny_masked_lm, list(follow_up.examples), max_length=32)
    assert 15 <= alone["tokens"].sum() <= 25 and (alone["tokens"] > 0).all()


def test_masks_of_a_scored_text_are_always_the_same(tiny_masked_lm: Path) -> None:
    task = Mlm.build(MlmTask(), labels=(), settings={})
    tokenizer = load_tokenizer(resolve(Model(name=str(tiny_masked_lm))))
    examples = [Example(text=text) for text in TEXTS]
    whole, one = (task.features(part, tokenizer, max_length=32) for part in (examples, examples[1:2]))
    mine = [feature for feature, row in enumerate(whole.rows) if row == 1]
    assert whole.token_targets is not None and one.token_targets is not None and len(mine) == len(one.ids) > 1
    for feature, alone in zip(mine, range(len(one.ids)), strict=True):
        assert np.array_equal(whole.ids[feature], one.ids[alone])
        assert np.array_equal(whole.token_targets[feature], one.token_targets[alone])
    training = task.features(examples, tokenizer, max_length=32, training=True)
    assert training.token_targets is None and training.rows.tolist() == list(range(len(training.ids)))


def test_a_model_without_a_mask_token_is_refused(tiny_gpt2: Path) -> None:
    task = Mlm.build(MlmTask(), labels=(), settings={})
    with pytest.raises(ModelError, match="this one has none; take .* or task.kind=causal_lm"):
        task.features([Example(text="a")], load_tokenizer(resolve(Model(name=str(tiny_gpt2)))), max_length=32)
