"""What a masked language model thinks could be in a text, and models that cannot be asked."""

from pathlib import Path

import pytest
import torch

from conftest import TINY, byte_pairs, save
from tunery.errors import ModelError
from tunery.model.backbones.catalog import resolve
from tunery.model.masked_lm import MaskedLanguageModel, load_masked_lm
from tunery.schema.config.model import Model

CPU = torch.device("cpu")


def loaded(folder: Path, *, max_length: int = 64) -> MaskedLanguageModel:
    return load_masked_lm(resolve(Model(name=str(folder))), max_length=max_length, device=CPU)


def test_guesses_are_the_likeliest_words_that_are_one_token(tiny_masked_lm: Path) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_masked_lm)
    model = AutoModelForMaskedLM.from_pretrained(tiny_masked_lm)
    inputs = tokenizer("the [MASK] was [MASK], i know", return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits[0]
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
    text = "The film was sad, I know"
    guesses = loaded(tiny_masked_lm).guess(text, [(4, 8), (13, 16)])
    words = {word: number for word, number in tokenizer.get_vocab().items() if word.isalpha() and len(word) > 1}
    for place, own, guess in zip(places, ("film", "sad"), guesses, strict=True):
        best = sorted(words, key=lambda word: -float(logits[place, words[word]]))[:11]
        assert list(guess) == [word for word in best if word != own][:10]
        ratio = (logits[place, words[best[0]]] - logits[place, words[best[5]]]).exp()
        if own not in (best[0], best[5]):
            assert guess[best[0]] / guess[best[5]] == pytest.approx(float(ratio), rel=1e-4)


def test_a_long_text_is_asked_in_windows(tiny_masked_lm: Path) -> None:
    text = "the film was sad and i was tired all day " * 30
    places = [(start, start + 3) for start in range(len(text)) if text.startswith("sad", start)]
    short, long = loaded(tiny_masked_lm, max_length=20), loaded(tiny_masked_lm, max_length=500)
    assert [len(guess) for guess in short.guess(text, places)] == [10] * 30
    assert short.guess(text, places) != long.guess(text, places)
    assert long.guess(text, places) == long.guess(text, places)
    assert long.guess("[MASK] is what I said", [(7, 9)])[0].keys()  # a mask of the text's own is none of ours


def test_loading_and_asking_draw_no_random_numbers(tiny_masked_lm: Path) -> None:
    before = torch.get_rng_state()
    loaded(tiny_masked_lm).guess("the film", [(0, 3)])
    assert torch.equal(torch.get_rng_state(), before)


def test_byte_pairs_have_masks_and_words_with_a_space(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    names = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    tokenizer = byte_pairs(**names, unk_token="<unk>", mask_token="<mask>")
    config = RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **{**TINY, "max_position_embeddings": 514})
    model = loaded(save(tmp_path / "model", lambda: RobertaForMaskedLM(config), tokenizer))
    first, second = model.guess("film was sad", [(0, 4), (9, 12)])
    assert first and second and all(word.isalpha() for word in (*first, *second))


def test_models_that_cannot_be_asked_are_refused(tiny_bert: Path, tiny_gpt2: Path) -> None:
    with pytest.raises(ModelError, match=r"needs a model with the head .* has no weights for it .*augmentation\.model"):
        loaded(tiny_bert)
    with pytest.raises(ModelError, match="has no mask token"):
        loaded(tiny_gpt2)
