"""Shared fixtures: tiny models made in process, real data where it is there, and no network."""

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import socket
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fast", settings.get_profile("ci"), max_examples=25)
"""`make test`: always the same examples, and a quarter of those that `make test-slow` takes."""
settings.register_profile("fuzz", max_examples=600, deadline=None, print_blob=True, suppress_health_check=HealthCheck)
"""`make fuzz`: the tests of readers with many more examples; another SEED takes others."""

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

WORDS = """\
a about actor after again all also always am an and any are as at awful bad be beautiful because been before best better
big book boring both brilliant but by came can cat character cold come could dark day did do does dog down dull end
enjoy even ever every evidence excellent feel few fifth film fine first five food for found four fourth friend from
full fun funny gave get give go good great had happy hard has hate have he help her here him his hot house how i if in
into is it its just keep kind knew know label last left less life like little long look lost lot loud love made make man
many may me mean meat moment money more most movie much music must my name never new next nice night no not nothing now
of off often old on once one only open or other our out over part people place play plot poor quick quiet read real red
right room row rows sad said same saw say second see set she short should show slow small so some soon sound start still
story strange such sure table take talk tell terrible test text than that the their them then there these they thing
think third this three time to token tokens together too train two under until up us used very wait walk want was watch
water way we weak well went were what when where which while who why will with without woman wonderful word words work
world worst would write wrong year yes yet you young your zero"""

Usage = namedtuple("Usage", "total used free")
HALF_EMPTY = Usage(10**12, 5 * 10**11, 5 * 10**11)

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}


@pytest.fixture(autouse=True, scope="module")
def imported_modules_are_no_garbage() -> None:
    """transformers' Trainer collects garbage for every run: it need not look at all that was imported before."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails, unless it is marked so."""
    if {"network", "service"} & {mark.name for mark in request.node.iter_markers()}:
        return
    connect = socket.socket.connect

    def only_this_machine(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"the network is blocked in tests (tried {address})")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_this_machine)


@pytest.fixture(autouse=True)
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept depends on how full the disk is: tests have one that is half empty, whatever the machine has."""
    if "service" not in {mark.name for mark in request.node.iter_markers()}:
        monkeypatch.setattr("shutil.disk_usage", lambda path: HALF_EMPTY)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real data sets: `$TUNERY_TEST_DATA`, or the folder `shared/data` beside the checkout."""
    folder = Path(os.environ.get("TUNERY_TEST_DATA", DATA))
    if not folder.is_dir():
        pytest.skip("no real data here; set TUNERY_TEST_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with hidden size 32, 2 layers, and a WordPiece tokenizer."""
    from transformers import BertConfig, BertModel

    tokenizer = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **TINY)
    return save(tmp_path_factory.mktemp("tiny_bert"), lambda: BertModel(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with the head of its masked language modelling."""
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **TINY)
    return save(tmp_path_factory.mktemp("tiny_masked_lm"), lambda: BertForMaskedLM(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_translators(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random Marian models that answer in a few words: one in words up to the middle of the vocabulary, one in
    those behind it."""
    from transformers import MarianConfig, MarianMTModel

    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    words = sorted(number for word, number in tokenizer.get_vocab().items() if word.isalpha() and len(word) > 1)
    config = MarianConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        **{f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.sep_token_id,
        forced_eos_token_id=tokenizer.sep_token_id,
    )

    def make(known: list[int]) -> MarianMTModel:
        model = MarianMTModel(config)
        model.final_logits_bias.fill_(-100.0)
        model.final_logits_bias[0, known] = 0.0
        model.final_logits_bias[0, tokenizer.sep_token_id] = 2.5
        return model

    half = len(words) // 2
    there, back = (tmp_path_factory.mktemp(f"tiny_translator_{name}") for name in ("there", "back"))
    return save(there, lambda: make(words[:half]), tokenizer), save(back, lambda: make(words[half:]), tokenizer)


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for DistilBERT: no token types, and a native head of two layers."""
    from transformers import DistilBertConfig, DistilBertModel

    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=tokenizer.pad_token_id
    )
    return save(tmp_path_factory.mktemp("tiny_distilbert"), lambda: DistilBertModel(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for RoBERTa: byte-level BPE, positions counted from the padding index."""
    from transformers import RobertaConfig, RobertaModel

    tokenizer = byte_pairs(
        bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>", sep_token="</s>", unk_token="<unk>"
    )
    config = RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **{**TINY, "max_position_embeddings": 514})
    return save(tmp_path_factory.mktemp("tiny_roberta"), lambda: RobertaModel(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2 with hidden size 32, 2 layers, and a byte-level BPE tokenizer without a padding token."""
    from transformers import GPT2Config, GPT2Model

    tokenizer = byte_pairs(bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=512, bos_token_id=end, eos_token_id=end
    )
    return save(tmp_path_factory.mktemp("tiny_gpt2"), lambda: GPT2Model(config), tokenizer)


def word_pieces(**options: Any) -> Any:
    """A lower-casing WordPiece tokenizer: the words above, and single characters for all others."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [
        *special,
        *characters,
        *(f"##{character}" for character in characters),
        *WORDS.split(),
        "##ing",
        "##ed",
        "##s",
    ]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names, **options)


def byte_pairs(**names: str) -> Any:
    """A byte-level BPE tokenizer with merges for the words above; special tokens first, in the order given."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(dict.fromkeys(names.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    if "cls_token" in names:
        first, last = ((names[key], tokenizer.token_to_id(names[key])) for key in ("cls_token", "sep_token"))
        tokenizer.post_processor = processors.RobertaProcessing(last, first)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, model_input_names=["input_ids", "attention_mask"], **names
    )


def save(folder: Path, make: Callable[[], Any], tokenizer: Any) -> Path:
    """Write a model with weights drawn from seed 0, and its tokenizer."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        make().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
