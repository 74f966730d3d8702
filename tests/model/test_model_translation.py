"""Translations that are drawn, and models that cannot translate."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import save, word_pieces
from tunery.errors import MissingExtra, ModelError
from tunery.model.backbones.catalog import resolve
from tunery.model.translation import TOP_P, Translator, load_translator
from tunery.schema.config.model import Model

CPU = torch.device("cpu")
TEXT = "the film was sad and good"


def loaded(folder: Path) -> Translator:
    return load_translator(resolve(Model(name=str(folder))), device=CPU)


def edited(folder: Path, name: str, **values: Any) -> Path:
    """The folder, with other values in one of its JSON files."""
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, **values}))
    return folder


def marian(folder: Path, **values: Any) -> Path:
    """A random Marian model with a SentencePiece tokenizer of its own."""
    import sentencepiece
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    sentences = iter(["the film was sad and i was tired", "it was a great day", "we hate the rain"] * 20)
    with (folder / "source.spm").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences, model_writer=file, vocab_size=26, minloglevel=2
        )
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    pieces = [*(processor.id_to_piece(number) for number in range(processor.get_piece_size())), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*files, source_lang="en", target_lang="de")
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 1)
    config = MarianConfig(
        vocab_size=len(pieces),
        d_model=16,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=len(pieces) - 1,
        decoder_start_token_id=len(pieces) - 1,
        eos_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
        **sizes,
        **values,
    )
    return save(folder / "model", lambda: MarianMTModel(config), tokenizer)


def test_tokens_are_drawn_from_the_nucleus_by_their_probability(tiny_translators: tuple[Path, Path]) -> None:
    from transformers import AutoTokenizer, MarianMTModel

    folder, draws = tiny_translators[0], 300
    tokenizer, model = AutoTokenizer.from_pretrained(folder), MarianMTModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        start = torch.tensor([[model.config.decoder_start_token_id]])
        p = model(**tokenizer(TEXT, return_tensors="pt"), decoder_input_ids=start).logits[0, 0].softmax(dim=0)
    nucleus, mass = [], 0.0
    for token in p.argsort(descending=True).tolist():
        if mass < TOP_P:
            nucleus.append(token)
        mass += float(p[token])
    translator = loaded(folder)
    counts = Counter((translator.translation(TEXT, seed=seed).split() or [""])[0] for seed in range(draws))
    words = {token: tokenizer.decode([token]) for token in nucleus if token != tokenizer.sep_token_id}
    assert {*counts} - {""} <= {*words.values()}
    likeliest = max(words, key=lambda token: float(p[token]))
    share = float(p[likeliest]) / sum(float(p[token]) for token in nucleus)
    deviation = (share * (1 - share) / draws) ** 0.5
    assert counts[words[likeliest]] / draws == pytest.approx(share, abs=4 * deviation)


def test_a_translation_depends_on_its_seed_alone(tiny_translators: tuple[Path, Path]) -> None:
    before = torch.get_rng_state()
    one, other = loaded(tiny_translators[0]), loaded(tiny_translators[0])
    alone = [one.translation(TEXT, seed=seed) for seed in range(6)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    for seed in reversed(range(6)):
        other.translation("another one", seed=seed)
        assert other.translation(TEXT, seed=seed) == alone[seed]
    assert len({*alone}) > 3


def test_what_has_no_translation_is_empty(tiny_translators: tuple[Path, Path], tmp_path: Path) -> None:
    from transformers import MarianMTModel

    translator = loaded(tiny_translators[0])
    assert any(translator.translation("the " * 62, seed=seed) for seed in range(5))
    assert not any(translator.translation("the " * 63, seed=seed) for seed in range(5)), "64 tokens at most"

    def endless() -> MarianMTModel:
        model = MarianMTModel.from_pretrained(tiny_translators[0])
        model.final_logits_bias[0, model.config.eos_token_id] = -100.0
        return model

    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    unending = loaded(save(tmp_path / "model", endless, tokenizer))
    assert not any(unending.translation(TEXT, seed=seed) for seed in range(5)), "its end is forced"


def test_marian_reads_with_its_own_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = marian(tmp_path)
    assert any(loaded(folder).translation("the film was great", seed=seed) for seed in range(9))
    monkeypatch.setitem(sys.modules, "sacremoses", None)  # so it looks to Python where it is not installed
    with pytest.raises(MissingExtra, match=r"sacremoses is not installed. Type: pip install 'tunery\[translation\]'"):
        loaded(folder)


@pytest.mark.slow
def test_a_tokenizer_whose_package_is_missing(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "import torch\n"
        "from tunery.model.backbones.catalog import resolve\n"
        "from tunery.model.translation import load_translator\n"
        "from tunery.schema.config.model import Model\n"
        "load_translator(resolve(Model(name=sys.argv[1])), device=torch.device('cpu'))\n"
    )
    told = subprocess.run([sys.executable, "-c", script, str(marian(tmp_path))], capture_output=True, text=True)
    last = told.stderr.strip().splitlines()[-1]
    assert last.endswith("MissingExtra: sentencepiece is not installed. Type: pip install 'tunery[translation]'")


def test_models_that_cannot_translate_are_refused(tiny_bert: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )

    def t5(name: str) -> Path:
        return save(tmp_path / name, lambda: T5ForConditionalGeneration(config), tokenizer)

    for folder in (tiny_bert, tiny_gpt2):
        with pytest.raises(ModelError, match=r"two models that translate, .* is no sequence-to-sequence model; name"):
            loaded(folder)
    weights = t5("damaged") / "model.safetensors"
    save_file({name: value for name, value in load_file(weights).items() if "final" not in name}, weights)
    with pytest.raises(ModelError, match=r"has no weights for it \(decoder\.final_layer_norm\.weight\); name others"):
        loaded(weights.parent)
    with pytest.raises(ModelError, match=r"cannot: ValueError: .*decoder_start_token_id.*; name others as"):
        loaded(t5("unstarted"))
    started = edited(t5("started"), "generation_config.json", decoder_start_token_id=0)
    loaded(started)
    tasks = {"summarization": {"max_length": 9}, "translation_en_to_de": {"prefix": "translate English to German: "}}
    with pytest.raises(ModelError, match=r"is told by words before a text, as 'translate English to German: '; name"):
        loaded(edited(started, "config.json", task_specific_params=tasks))


def test_a_model_of_many_languages_says_itself_into_which_it_translates(tmp_path: Path) -> None:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    tokenizer = NllbTokenizer()
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 1)
    config = M2M100Config(vocab_size=len(tokenizer), d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, **sizes)
    folder = save(tmp_path / "model", lambda: M2M100ForConditionalGeneration(config), tokenizer)
    with pytest.raises(ModelError, match=r"knows many and is told which: save .* `src_lang` .* `forced_bos_token_id`"):
        loaded(folder)
    german = tokenizer.convert_tokens_to_ids("deu_Latn")
    loaded(edited(folder, "generation_config.json", forced_bos_token_id=german))
