"""A finished masked language model fills in the mask tokens of texts."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from language_models import write_model
from tiny_runs import config, write_rows
from tunery import load
from tunery.errors import RequestError
from tunery.train.fit import fit
from tunery.train.predict.predict_file import Answer, predict_file

LONG = "the film was very good and we love it with this day "
"""Eleven words; a window of these tests has 30."""


@pytest.fixture(scope="module", params=["bert", "roberta"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "base").mkdir()
    base = write_model(request.param, folder / "base")
    peft = "lora" if request.param == "bert" else "none"
    fit(config(str(base), write_rows(folder), kind="mlm", peft=peft, train={"epochs": 1}), out=folder / "run")
    return folder / "run"


def mask_of(run: Path) -> str:
    return str(AutoTokenizer.from_pretrained(run / "best").mask_token)


def expected(run: Path, ids: list[int], tmp_path: Path) -> list[list[tuple[str, float]]]:
    """What plain transformers says of the masks among these tokens, all of the vocabulary."""
    from tunery.train.artifacts.export import export_run

    plain: Any = AutoModelForMaskedLM.from_pretrained(export_run(run, tmp_path / "merged", merge=True)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "best")
    with torch.no_grad():
        p = plain(input_ids=torch.tensor([ids])).logits[0].softmax(dim=1)
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    return [[(tokenizer.decode([token]), float(p[place, token])) for token in range(p.shape[1])] for place in places]


def agrees(said: Any, wanted: list[list[tuple[str, float]]], *, top_k: int) -> bool:
    best = [sorted(mask, key=lambda pair: -pair[1])[:top_k] for mask in wanted]
    assert [[token.token for token in mask] for mask in said.masks] == [[text for text, _ in mask] for mask in best]
    return [token.probability for mask in said.masks for token in mask] == pytest.approx(
        [p for mask in best for _, p in mask], rel=1e-3
    )


def test_masks_are_filled_in_as_by_transformers_whatever_is_in_the_batch(run: Path, tmp_path: Path) -> None:
    mask, predictor = mask_of(run), load(run)
    text = f"the {mask} was {mask} and we love it"
    ids = AutoTokenizer.from_pretrained(run / "best")(text)["input_ids"]
    wanted = expected(run, ids, tmp_path)
    (alone,) = predictor.predict(text, top_k=3)
    beside = predictor.predict([f"a {mask}", text, "no such thing in a longer text than those", LONG], top_k=3)
    assert agrees(alone, wanted, top_k=3) and agrees(beside[1], wanted, top_k=3) and len(wanted) == 2
    assert alone.confidence == pytest.approx((alone.masks[0][0].probability * alone.masks[1][0].probability) ** 0.5)
    assert [len(answer.masks) for answer in beside] == [1, 2, 0, 0]
    assert [[*answer.scores] for answer in beside] == [[], [], ["perplexity", "tokens"], ["perplexity", "tokens"]]
    assert beside[3] == predictor.predict(LONG)[0], "a text without masks is scored as ever"
    (empty,) = predictor.predict("")
    assert empty.scores == {"perplexity": None, "tokens": 0} and empty.confidence is None
    assert [len(masked) for masked in predictor.predict(text)[0].masks] == [5, 5]
    (everything,) = predictor.predict(text, top_k=10**6)
    assert sum(token.probability for token in everything.masks[0]) == pytest.approx(1, abs=1e-4)
    assert "masks=" in repr(alone)


def test_of_a_long_text_each_mask_is_told_from_what_is_around_it(run: Path, tmp_path: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "best")
    text = f"{LONG * 3}{tokenizer.mask_token} {LONG * 3}good {tokenizer.mask_token}"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bare = tokenizer("good")["input_ids"]
    inside = 32 - (len(bare) - len(tokenizer("good", add_special_tokens=False)["input_ids"]))
    (said,) = load(run).predict(text, top_k=4)
    middle, last = (place for place, token in enumerate(ids) if token == tokenizer.mask_token_id)
    assert len(ids) > 60 and last == len(ids) - 1 and len(said.masks) == 2
    for number, start in enumerate([middle - inside // 2, len(ids) - inside]):
        around = [bare[0], *ids[start : start + inside], bare[-1]]
        wanted = expected(run, around, tmp_path / str(number))
        assert agrees(said.model_copy(update={"masks": said.masks[number : number + 1]}), wanted, top_k=4)


def test_files_have_columns_of_masks(run: Path, tmp_path: Path) -> None:
    mask = mask_of(run)
    rows = [{"text": f"the {mask} was {mask}"}, {"text": "the film was good"}]
    source = tmp_path / "asked.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = Answer(keep=(), top_k=2)
    predict_file(run, source, tmp_path / "out.jsonl", answer=answer)
    filled, scored = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert [*filled] == ["masks", "confidence"] and [len(tokens) for tokens in filled["masks"]] == [2, 2]
    assert [*scored] == ["perplexity", "tokens", "confidence"]
    predict_file(run, source, tmp_path / "out.csv", answer=answer)
    with (tmp_path / "out.csv").open(newline="") as lines:
        first, second = csv.DictReader(lines)
    assert first["mask_2_top_1"].strip() == filled["masks"][1][0]["token"].strip() and second["mask_2_top_1"] == ""
    assert float(first["mask_1_top_2_p"]) == filled["masks"][0][1]["probability"]
    assert first["perplexity"] == "" and float(second["perplexity"]) == pytest.approx(scored["perplexity"])


def test_what_cannot_be_filled_in_is_said(run: Path, tmp_path: Path) -> None:
    predictor, other = load(run), "<mask>" if mask_of(run) == "[MASK]" else "[MASK]"
    with pytest.raises(RequestError, match=r"no text has the mask token of this model, '.(?i:mask).'"):
        predictor.predict(f"the {other} was", top_k=3)
    with pytest.raises(RequestError, match="1 or more, but got 0"):
        predictor.predict("the", top_k=0)
    source = tmp_path / "asked.jsonl"
    source.write_text('{"text": "the film"}\n')
    with pytest.raises(RequestError, match="probabilities are of labels.*; leave --probabilities out"):
        predict_file(run, source, tmp_path / "out.csv", answer=Answer(probabilities=True, top_k=2))


def test_top_k_is_refused_where_nothing_is_filled_in(tiny_bert: Path, tmp_path: Path) -> None:
    fit(config(str(tiny_bert), write_rows(tmp_path), peft="majority"), out=tmp_path / "run")
    with pytest.raises(RequestError, match="top_k is of tokens in place of masks, and this model fills in none"):
        load(tmp_path / "run").predict("a", top_k=2)
