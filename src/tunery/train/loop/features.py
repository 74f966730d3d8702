"""What a frozen model gives of training rows: computed once for all runs of a folder that ask for the same."""

import json

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tunery.data.batches import eval_batches, pad
from tunery.data.encode import Encoded
from tunery.data.row_table import Array
from tunery.hardware import use_precision
from tunery.model.heads.pooling import Pool
from tunery.store.objects.digest import digest_of, digest_of_all
from tunery.store.study import StudyStore
from tunery.train.predict.scoring import autocast
from tunery.train.setup.assemble import Assembled
from tunery.train.setup.environment import conditions, environment


@torch.inference_mode()
def pooled_features(
    run: Assembled, backbone: nn.Module, pool: Pool, rows: npt.NDArray[np.int64], store: StudyStore | None
) -> npt.NDArray[np.float32]:
    """One vector for each of these training rows, in their order: (rows, hidden). Leaves the backbone in eval mode.

    Those of a fold of cross-validation are computed with the rows of all folds, so that all share them.

    They are read from the store where they are known there, and come out bit for bit as if they were computed. Known is
    what was computed under the same conditions, in the same batches, from the same base, by a model that gives the same
    bits for the shortest of the batches; that one is always computed. So LoRA, which begins as its base, shares the
    features of a probe, and a prefix has its own.

    Args:
        backbone: as it is in `run`, before it is trained.
        rows: numbers of training rows, each of which is one sequence of tokens.
        store: None: they are computed, and not kept.
    """
    encoded, pool_of_folds = run.prepared.encoded["train"], run.prepared.pool
    if pool_of_folds is not None:
        encoded, in_pool = pool_of_folds, np.array(run.prepared.splits.in_pool["train"], dtype=np.int64)
        every = np.arange(len(encoded.lengths))
        return _features(run, backbone, pool, encoded, every, store)[in_pool[rows]]
    return _features(run, backbone, pool, encoded, rows, store)


def _features(
    run: Assembled,
    backbone: nn.Module,
    pool: Pool,
    encoded: Encoded,
    rows: npt.NDArray[np.int64],
    store: StudyStore | None,
) -> npt.NDArray[np.float32]:
    pad_id = run.prepared.tokenizer.pad_token_id
    use_precision(run.precision, run.device)
    backbone.eval()

    def vectors(places: list[int]) -> Array:
        inputs = pad(encoded, [int(rows[place]) for place in places], pad_id=pad_id)
        batch = {name: tensor.to(run.device) for name, tensor in inputs.items()}
        with autocast(run.device, run.precision):
            states = backbone(**batch).last_hidden_state
        pooled: Array = pool((states.float(),), batch["attention_mask"]).cpu().numpy()
        return pooled

    batch_size = run.config.train.eval_batch_size
    *longer, shortest = eval_batches(encoded.lengths[rows], batch_size=batch_size)
    sample = vectors(shortest)
    columns: list[list[Array]] = [encoded.ids] if encoded.type_ids is None else [encoded.ids, encoded.type_ids]
    depends_on = {
        "base": run.built.base_digest,
        "rows": digest_of_all([encoded.lengths[rows], *(column[row] for column in columns for row in rows)]),
        "padding": pad_id,
        "batch_size": batch_size,
        "layer": "last",
        "pooling": pool.__name__,
        "conditions": conditions(environment(run.device, precision=run.precision, reason=run.precision_reason)),
        "shortest": digest_of(sample.tobytes()),
    }
    key = digest_of(json.dumps(depends_on).encode())
    if store is not None and (known := store.features.get(key)) is not None:
        return known
    features = np.empty((len(rows), sample.shape[1]), dtype=np.float32)
    features[shortest] = sample
    for places in longer:
        features[places] = vectors(places)
    if store is not None:
        store.keep_features(key, features)
    return features
