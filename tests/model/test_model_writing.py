from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers.utils import logging

from language_models import output_of, write_model
from tunery.errors import RequestError
from tunery.model.backbones.backbone import load_tokenizer
from tunery.model.build import Built, build
from tunery.model.writing import Prompt, Writer, Written
from tunery.schema.config.freeze import NoFreeze
from tunery.schema.config.generation import Generation
from tunery.schema.config.model import Model
from tunery.schema.config.peft import Lora, NoPeft, Pfeiffer, Prefix
from tunery.schema.config.peft import Prompt as PromptTuning

PROMPTS = ([5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15])
PEFTS: dict[str, Any] = {
    "full": NoPeft(),
    "lora": Lora(),
    "pfeiffer": Pfeiffer(bottleneck=4),
    "prefix": Prefix(tokens=2),
    "prompt": PromptTuning(tokens=2),
}


def made(folder: Path, name: str = "gpt2", peft: Any = None) -> Built:
    """A model whose answers differ from token to token."""
    outputs: Any = output_of(name, packed=False)
    spec = Model(name=str(write_model(name, folder)), max_length=64)
    built = build(spec, outputs=outputs, peft=peft or NoPeft(), freeze=NoFreeze())
    torch.manual_seed(3)
    with torch.no_grad():
        for part in built.module.parameters():
            part.add_(torch.randn_like(part) * 0.3)
    built.module.eval()
    return built


def writer(built: Built) -> Writer:
    return Writer(built.module, load_tokenizer(built.base))


def asked(*prompts: list[int]) -> list[Prompt]:
    return [Prompt(ids, row) for row, ids in enumerate(prompts)]


def by_hand(built: Built, ids: list[int], count: int) -> tuple[str, float]:
    """The likeliest token, again and again, without a cache and beside no other text."""
    tokenizer, model, log_p = load_tokenizer(built.base), built.pretrained, []
    whole = [*ids]
    for _ in range(count):
        with torch.no_grad():
            logits: Any = model(input_ids=torch.tensor([whole]), attention_mask=torch.ones((1, len(whole)))).logits
        log = logits[0, -1].log_softmax(dim=0)
        whole.append(int(log.argmax()))
        log_p.append(float(log.max()))
        if whole[-1] == tokenizer.eos_token_id:
            break
    text = str(tokenizer.decode(whole, skip_special_tokens=True))
    return text[len(tokenizer.decode(ids, skip_special_tokens=True)) :], float(np.exp(np.mean(log_p)))


@pytest.mark.parametrize("peft", PEFTS.values(), ids=PEFTS)
def test_texts_in_a_batch_go_on_as_by_hand(peft: Any, tmp_path: Path) -> None:
    built = made(tmp_path, peft=peft)
    found = writer(built).write(asked(*PROMPTS), Generation(max_new_tokens=6))
    for one, ids in zip(found, PROMPTS, strict=True):
        text, confidence = by_hand(built, ids, 6)
        assert one.text == text and one.confidence == pytest.approx(confidence, rel=1e-3)
    assert len({one.text for one in found}) > 1


def test_a_family_with_computed_positions(tmp_path: Path) -> None:
    built = made(tmp_path, "llama")
    found = writer(built).write(asked(*PROMPTS), Generation(max_new_tokens=5))
    assert [one.text for one in found] == [by_hand(built, ids, 5)[0] for ids in PROMPTS]


def test_draws_are_those_of_a_row_whatever_is_beside_it(tmp_path: Path) -> None:
    built = made(tmp_path)
    one = writer(built)
    hot = Generation(max_new_tokens=5, temperature=1.5, seed=4)
    together = one.write(asked(*PROMPTS), hot)
    assert together[2].text == one.write([Prompt(PROMPTS[2], 2)], hot)[0].text
    assert [text.text for text in together] == [text.text for text in one.write(asked(*PROMPTS), hot)]
    other = one.write(asked(*PROMPTS), hot.model_copy(update={"seed": 5}))
    assert [text.text for text in together] != [text.text for text in other]


def test_tokens_are_drawn_as_often_as_their_probability_says(tmp_path: Path) -> None:
    built = made(tmp_path)
    tokenizer, times = load_tokenizer(built.base), 3000
    with torch.no_grad():
        logits: Any = built.pretrained(input_ids=torch.tensor([[12]])).logits
    p = (logits[0, -1].double() / 2.0).softmax(dim=0).numpy()
    order = np.argsort(-p, kind="stable")
    size = int(np.searchsorted(np.cumsum(p[order]), 0.6)) + 1  # the smallest set with 0.6 or more
    kept = order[:size]
    rows = [Prompt([12], row) for row in range(times)]
    found = writer(built).write(rows, Generation(max_new_tokens=1, temperature=2.0, top_p=0.6))
    texts = [one.text for one in found]
    start = len(tokenizer.decode([12], skip_special_tokens=True))
    expected: dict[str, float] = {}
    for token in kept:
        text = tokenizer.decode([12, int(token)], skip_special_tokens=True)[start:]
        expected[text] = expected.get(text, 0.0) + p[token] / p[kept].sum()
    assert set(texts) <= set(expected) and size > 3
    for text, share in expected.items():
        error = np.sqrt(share * (1 - share) / times)
        assert texts.count(text) / times == pytest.approx(share, abs=5 * error + 1e-9)


def test_a_stop_string_ends_a_text_and_is_left_out(tmp_path: Path) -> None:
    built = made(tmp_path)
    one = writer(built)
    (whole,) = one.write(asked(PROMPTS[0]), Generation(max_new_tokens=8))
    stop = whole.text[3:5]
    (cut,) = one.write(asked(PROMPTS[0]), Generation(max_new_tokens=8, stop=(stop, "never")))
    assert cut.text == whole.text[: whole.text.index(stop)] and len(cut.text) < len(whole.text)
    with pytest.raises(ValidationError, match="at least 1 character"):
        Generation(stop=("",))  # everything would end at once


def test_a_text_that_is_the_token_that_pads_gives_no_advice_about_masks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    built = made(tmp_path)
    pads = load_tokenizer(built.base).pad_token_id
    logging.get_logger("transformers").warning_once.cache_clear()  # type: ignore[attr-defined]
    logging.enable_propagation()  # type: ignore[no-untyped-call]
    try:
        (one,) = writer(built).write(asked([pads]), Generation(max_new_tokens=2))
        streamed = "".join(writer(built).stream(Prompt([pads], 0), Generation(max_new_tokens=2)))
    finally:
        logging.disable_propagation()  # type: ignore[no-untyped-call]
    assert streamed == one.text and "attention_mask" not in caplog.text


def test_pieces_are_the_text_and_a_reader_may_leave(tmp_path: Path) -> None:
    built = made(tmp_path)
    one = writer(built)
    for generation in (
        Generation(max_new_tokens=12),
        Generation(max_new_tokens=12, temperature=1.0, seed=2),
        Generation(max_new_tokens=12, stop=(one.write(asked(PROMPTS[0]), Generation(max_new_tokens=12))[0].text[4:7],)),
    ):
        (whole,) = one.write(asked(PROMPTS[0]), generation)
        assert "".join(one.stream(Prompt(PROMPTS[0], 0), generation)) == whole.text
    endless: Iterator[str] = one.stream(Prompt(PROMPTS[0], 0), Generation(max_new_tokens=400))
    next(endless)
    endless.close()  # type: ignore[attr-defined]


def test_what_the_authors_of_a_base_recommend_is_not_asked(tmp_path: Path) -> None:
    built: Any = made(tmp_path)
    before = writer(built).write(asked(*PROMPTS), Generation(max_new_tokens=6))
    recommended = built.pretrained.generation_config
    recommended.repetition_penalty, recommended.max_new_tokens, recommended.no_repeat_ngram_size = 5.0, 2, 1
    after = writer(built).write(asked(*PROMPTS), Generation(max_new_tokens=6))
    assert before == after and built.pretrained.generation_config is recommended


def test_of_a_long_prompt_the_end_counts(tmp_path: Path) -> None:
    built = made(tmp_path)
    long, end = [5 + n % 50 for n in range(600)], Generation(max_new_tokens=2)
    (of_all,) = writer(built).write(asked(long), end)
    (of_end,) = writer(built).write(asked(long[-510:]), end)
    assert isinstance(of_all, Written) and of_all == of_end
    with pytest.raises(RequestError, match="reads 512 tokens at most, of which max_new_tokens=512 leave none"):
        writer(built).write(asked([1]), Generation(max_new_tokens=512))
