"""Augmentation through whole runs: what it changes, and what it must not."""

import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from conftest import save, word_pieces
from tiny_runs import StopAt, config, write_evidence_rows, write_rows
from tunery import load
from tunery.data.examples import Example
from tunery.errors import ConfigError, Interrupted, ModelError
from tunery.model.backbones.backbone import base_digest
from tunery.model.backbones.catalog import resolve
from tunery.schema import RunConfig
from tunery.schema.config.model import Model
from tunery.schema.config.regularization import Augmentation, NoAugmentation
from tunery.schema.results.run import RunResult
from tunery.train.fit import fit
from tunery.train.setup.assemble import assemble
from tunery.train.setup.augmentation import OPERATIONS
from tunery.train.setup.prepare import prepare

EPOCHS = 2
TEXTS = [Example("it was a great day"), Example("the film was sad")]


@pytest.fixture(scope="module")
def tiny_synonyms(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT in whose embeddings a few words are like others."""
    from transformers import BertModel

    tokenizer = word_pieces(model_input_names=["input_ids", "token_type_ids", "attention_mask"])

    def make() -> BertModel:
        model = BertModel.from_pretrained(tiny_bert)
        table = model.get_input_embeddings().weight.data
        for word, like in (("great", "good"), ("happy", "love"), ("bad", "terrible"), ("sad", "hate"), ("film", "day")):
            one, other = tokenizer.convert_tokens_to_ids([word, like])
            table[one] = table[other] + 0.1 * table[one]
        return model

    return save(tmp_path_factory.mktemp("tiny_synonyms"), make, tokenizer)


def given(model: Path, folder: Path, augmentation: Any, **train: Any) -> RunConfig:
    sections = {"train": {"epochs": EPOCHS, "batch_size": 8, "log_every": 3, **train}}
    folder.mkdir(exist_ok=True)
    return config(str(model), write_rows(folder), regularization={"augmentation": augmentation}, **sections)


@pytest.fixture(scope="module")
def models(tiny_masked_lm: Path, tiny_translators: tuple[Path, Path]) -> dict[str, dict[str, str]]:
    """What a way needs of them."""
    there, back = map(str, tiny_translators)
    return {"masked_lm": {"model": str(tiny_masked_lm)}, "back_translation": {"model": there, "back": back}}


def way(name: str, models: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {"name": name, "probability": 0.5, **models.get(name, {})}


def logits(folder: Path) -> np.ndarray:
    return load(folder).logits(TEXTS, precision="fp32")


def digests(result: RunResult) -> list[str]:
    assert result.data is not None
    return [split.digest for split in result.data.splits.values()]


def test_every_way_to_change_texts_has_its_operation() -> None:
    members = get_args(get_args(Augmentation)[0])
    assert {*members} == {NoAugmentation, *OPERATIONS}


@pytest.fixture(scope="module")
def plain(tiny_synonyms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, RunResult]:
    folder = tmp_path_factory.mktemp("plain")
    result = fit(given(tiny_synonyms, folder, "none"), out=folder / "run", baselines=True)
    return logits(folder / "run"), result


@pytest.mark.parametrize("name", [spec.model_fields["name"].default for spec in OPERATIONS])
def test_training_rows_change_and_nothing_else_does(
    tiny_synonyms: Path, models: Any, tmp_path: Path, plain: tuple[np.ndarray, RunResult], name: str
) -> None:
    run = given(tiny_synonyms, tmp_path, way(name, models))
    assembled = assemble(run, prepare(run))
    assert assembled.augmenter is not None
    rows = assembled.prepared.splits.train.examples
    changed = [
        assembled.augmenter.changed(example, epoch=epoch, row=row)
        for epoch in range(EPOCHS)
        for row, example in enumerate(rows)
    ]
    result = fit(run, out=tmp_path / "run", baselines=True)
    without, before = plain
    assert not np.array_equal(logits(tmp_path / "run"), without)
    assert result.changed_rows == sum(example is not None for example in changed) > 0
    assert before.changed_rows == 0
    assert digests(result) == digests(before)
    assert [one.metrics for one in result.baselines] == [one.metrics for one in before.baselines]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"probability": 0.1}, {"probability": 0.5}),
        ({"share": 0.1}, {"share": 0.5}),
        ({"name": "character_noise"}, {"name": "swap"}),
    ],
)
def test_every_key_counts(tiny_bert: Path, tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    runs = []
    for number, keys in enumerate((one, other, one)):
        folder = tmp_path / str(number)
        fit(given(tiny_bert, folder, {"name": "delete", **keys}), out=folder / "run")
        runs.append(logits(folder / "run"))
    assert np.array_equal(runs[0], runs[2]) and not np.array_equal(runs[0], runs[1])


def test_with_probability_0_a_run_is_as_without(
    tiny_synonyms: Path, tmp_path: Path, plain: tuple[np.ndarray, RunResult]
) -> None:
    result = fit(given(tiny_synonyms, tmp_path, {"name": "mixed", "probability": 0}), out=tmp_path / "run")
    assert np.array_equal(logits(tmp_path / "run"), plain[0]) and result.changed_rows == 0


def test_rows_are_changed_alike_by_any_number_of_workers(tiny_synonyms: Path, tmp_path: Path) -> None:
    results = []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        run = given(tiny_synonyms, folder, {"name": "mixed", "probability": 0.5}, workers=workers)
        result = fit(run, out=folder / "run")
        results.append((logits(folder / "run").tolist(), result.metrics.validation, result.changed_rows))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["mixed", "masked_lm", "back_translation"])
def test_an_interrupted_run_ends_like_one_that_was_not(
    tiny_synonyms: Path, models: Any, tmp_path: Path, name: str
) -> None:
    run = given(tiny_synonyms, tmp_path, way(name, models))
    whole = fit(run, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(run, [StopAt(10, "signal")], out=tmp_path / "torn")
    torn = fit(run, out=tmp_path / "torn")
    assert torn.checkpoints == whole.checkpoints and torn.metrics == whole.metrics
    assert torn.changed_rows == whole.changed_rows > 0


def test_a_model_without_what_is_needed_is_refused_before_anything_is_written(
    tiny_bert: Path, tiny_masked_lm: Path, models: Any, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"augmentation by masked_lm needs a model with the head"):
        fit(given(tiny_bert, tmp_path, {"name": "masked_lm"}), out=tmp_path / "run")
    one_way = {**way("back_translation", models), "back": str(tiny_bert)}
    with pytest.raises(
        ModelError, match=r"two models that translate, .* is no sequence-to-sequence model; name others"
    ):
        fit(given(tiny_bert, tmp_path, one_way), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    own = fit(given(tiny_masked_lm, tmp_path, {"name": "masked_lm"}), out=tmp_path / "own")
    assert own.changed_rows > 0
    for name in models:
        with pytest.raises(ConfigError, match=rf"'{name}' runs .* train\.workers=2; write train\.workers=0"):
            given(tiny_masked_lm, tmp_path, way(name, models), workers=2)
    with pytest.raises(ConfigError, match=r"regularization\.augmentation\.back: this key is required"):
        given(tiny_bert, tmp_path, {"name": "back_translation", "model": "one/way"})


@pytest.mark.parametrize(("name", "key"), [("masked_lm", "model"), ("back_translation", "back")])
def test_a_run_is_not_taken_up_again_with_another_model_that_changes_texts(
    tiny_bert: Path, models: Any, tmp_path: Path, name: str, key: str
) -> None:
    own = tmp_path / "own"
    shutil.copytree(models[name][key], own)
    run = given(tiny_bert, tmp_path, {**way(name, models), key: str(own)})
    with pytest.raises(Interrupted):
        fit(run, [StopAt(10, "signal")], out=tmp_path / "run")
    weights = load_file(own / "model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in weights.items()}, own / "model.safetensors")
    told = rf"needs the model that changed its texts \(regularization\.augmentation\.{key}\), .* put the old ones back"
    with pytest.raises(ModelError, match=told):
        fit(run, out=tmp_path / "run")
    shutil.rmtree(own)
    with pytest.raises(ModelError, match=rf"augmentation\.{key} names a model as model\.name does: .* existing folder"):
        fit(run, out=tmp_path / "run")
    shutil.copytree(models[name][key], own)
    result = fit(run, out=tmp_path / "run")
    assert result.augmentation_models == {
        name: base_digest(resolve(Model(name=str(own if name == key else folder))))
        for name, folder in models[name].items()
    }


def test_a_text_is_translated_there_and_then_back(tiny_bert: Path, models: Any, tmp_path: Path) -> None:
    """What comes back is in words of the second model alone, and another one in every epoch."""
    run = given(tiny_bert, tmp_path, {**way("back_translation", models), "probability": 0.99})
    assembled = assemble(run, prepare(run))
    assert assembled.augmenter is not None
    tokenizer = word_pieces(model_input_names=["input_ids", "attention_mask"])
    words = sorted(number for word, number in tokenizer.get_vocab().items() if word.isalpha() and len(word) > 1)
    known = {*tokenizer.convert_ids_to_tokens(words[len(words) // 2 :])}
    example = Example("The film was very sad and I liked it")
    texts = []
    for epoch in range(8):
        after = assembled.augmenter.changed(example, epoch=epoch, row=0)
        assert after == assembled.augmenter.changed(example, epoch=epoch, row=0)
        if after is not None:
            assert {*after.text.split()} <= known
            texts.append(after.text)
    assert len(texts) > 3 and len({*texts}) == len(texts)


@pytest.mark.parametrize("name", ["mixed", "character_noise", "back_translation"])
def test_of_rows_with_evidence_that_alone_is_changed(
    tiny_synonyms: Path, models: Any, tmp_path: Path, name: str
) -> None:
    run = config(
        str(tiny_synonyms),
        write_evidence_rows(tmp_path),
        kind="criteria_evidence",
        regularization={"augmentation": way(name, models)},
        train={"epochs": 1, "batch_size": 8, "log_every": 3},
    )
    assembled = assemble(run, prepare(run))
    task, tokenizer = assembled.prepared.task, assembled.prepared.tokenizer
    dataset, changed = assembled.loader().dataset, 0
    assert assembled.augmenter is not None
    for row, example in enumerate(assembled.prepared.splits.train.examples):
        other = assembled.augmenter.changed(example, epoch=0, row=row)
        if other is not None:
            features = task.features([other], tokenizer, max_length=32)
            evidence = task.targets([other], features).sequences["evidence"]
            items = dataset[0, row]
            assert [item.ids.tolist() for item in items] == [ids.tolist() for ids in features.ids]
            for item, codes in zip(items, evidence, strict=True):
                assert np.array_equal(item.sequence_targets["evidence"], codes)
            assert any((codes == 1).any() for codes in evidence)
            changed += 1
    assert fit(run, out=tmp_path / "run").changed_rows == changed > 0
