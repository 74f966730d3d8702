"""A run that starts from the best weights of another run, in place of the pretrained ones."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tunery.data.row_table import gap
from tunery.data.splitting import text_key
from tunery.errors import DataError, ModelError
from tunery.model.export import load_exported
from tunery.model.trainable import load_trainable, trainable_state
from tunery.schema.reading.fields import written_name
from tunery.schema.results.run import Start
from tunery.store.exported import exported_in
from tunery.store.study import ignore
from tunery.train.artifacts.verify import ROWS, TOLERANCE
from tunery.train.predict.card import Card, read_card
from tunery.train.predict.inference import Network
from tunery.train.predict.training_rows import training_texts
from tunery.train.setup.assemble import Assembled

_MERGED = "Most methods can be folded into their base, which is then a model.name: `tunery export RUN OUT --merge`"


def begin_with(
    run: Assembled, source: Path, *, say: Callable[[str], None] = ignore, trust_remote_code: bool = False
) -> Start:
    """Give the model of `run` the weights of a finished run: those that it trained, adapters and head included.

    Args:
        source: a run, a study or an exported folder.
        say: is told where it cannot be known whether that run was trained on rows that are now scored.
        trust_remote_code: whether this call permits code that comes with the model.

    Returns:
        What the record of the run says of it.

    Raises:
        FolderError: there is no finished model in `source`.
        ModelError: it is an ensemble, or has another task, other labels, another method, base or shape, or trained
            parameters that `run` does not; nothing has been written.
        DataError: validation or test holds rows that it was trained on.
    """
    folder = exported_in(source)
    card = read_card(folder)
    _refuse_other_kind(run, card, source)
    _refuse_trained_rows(run, card, source, say=say)
    spec = card.config.model
    with torch.random.fork_rng(devices=[]):  # training draws the same numbers whether it started from a run or not
        source_model = load_exported(
            folder,
            model_spec=spec,
            peft=card.config.peft,
            outputs=card.task.outputs,
            base=card.base,
            trust_remote_code=trust_remote_code,
        )
    weights = dict(source_model.named_parameters())
    try:
        load_trainable(run.built, {name: weights[name] for name in run.built.trainable & weights.keys()})
    except ModelError as error:
        raise ModelError(f"the weights of {str(source)!r} do not fit this config: {error} {_MERGED}") from error
    _require_same_answers(run, source_model, source)
    return Start(run=str(source.resolve()), digest=_digest(trainable_state(run.built)), step=card.step)


def _refuse_other_kind(run: Assembled, card: Card, source: Path) -> None:
    """What can be told without reading any weights."""
    if card.combination is not None:
        raise ModelError(f"a run starts from one model, but {str(source)!r} is an ensemble; name one of its members")
    kind, source_kind = run.config.task.kind, card.config.task.kind
    if kind != source_kind:
        raise ModelError(
            f"a run goes on with what another has learned, but {str(source)!r} has task.kind={source_kind} and this "
            f"config task.kind={kind}; set task.kind={source_kind}, or start from the base model instead"
        )
    labels, source_labels = run.prepared.task.labels, card.task.labels
    if labels != source_labels:
        in_one = sorted({*labels} ^ {*source_labels})
        difference = f"{', '.join(map(repr, in_one[:5]))} are in one of them only" if in_one else "their order differs"
        raise ModelError(
            f"a run that starts from {str(source)!r} needs its {len(source_labels)} labels in their order, but the "
            f"training rows have {len(labels)}: {difference}; start from the base model instead"
        )
    method, source_method = written_name(type(run.config.peft)), written_name(type(card.config.peft))
    if method != source_method:
        raise ModelError(
            f"{str(source)!r} was trained with peft.method={source_method}, and its weights have no place in a model "
            f"with peft.method={method}; set peft.method={source_method}"
        )


def _refuse_trained_rows(run: Assembled, card: Card, source: Path, *, say: Callable[[str], None]) -> None:
    """A score on rows that the earlier run was trained on is worth nothing. Splits that it had itself are known to be
    as far from its training rows as `tunery check` wants them."""
    now, before = run.prepared.record(), card.data
    others = [
        name
        for name in ("validation", "test")
        if before is None or now.splits[name].digest != before.splits[name].digest
    ]
    if not others or "shared_rows" in run.config.data.allow:
        return
    try:
        trained = training_texts(card)
    except DataError:
        what = f"{' and '.join(others)} {'has' if len(others) == 1 else 'have'} other rows than {str(source)!r} had"
        say(f"warning: {what}, whose training rows are not there as they were: if some are among these, scores mislead")
        return
    for name in others:
        rows = getattr(run.prepared.splits, name).examples
        if twice := sum(text_key(example) in trained for example in rows):
            raise DataError(
                f"a run that starts from {str(source)!r} must be scored on rows that this one was not trained on, but "
                f"{twice:,} of {len(rows):,} in {name} are; take its own {name} split (its files and its data.seed), "
                "remove these rows, or accept them on purpose: data.allow=[shared_rows]"
            )


def _require_same_answers(run: Assembled, source_model: nn.Module, source: Path) -> None:
    """Where what is frozen, a scale or a pooling differs, the same parameters make another model."""
    prepared, rows = run.prepared, run.prepared.splits.validation.examples[:ROWS]
    now, then = (
        Network(module, prepared.tokenizer, config=run.config, task=prepared.task)
        for module in (run.built.module, source_model)
    )
    difference = gap(now.answers(rows, precision="fp32").flat(), then.answers(rows, precision="fp32").flat())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"with the weights of {str(source)!r} this config must give its answers before the first step, but they "
            f"differ by {difference:.2e}; model, peft and freeze have to be as they were there, dropout aside"
        )


def _digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the parameters in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
