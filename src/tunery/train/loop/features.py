"""What the frozen part of a model gives of rows: computed once for all epochs, and for all runs of a folder that ask
for the same.

Rows are computed in passes of their own: those of a split sorted by length, as many at a time as make `PASS_TOKENS`. So
the bits of a row do not depend on the epoch, the batch or the process that needs it first, and what is lost can be
computed again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunery.data.batches import pad, token_batches
from tunery.data.encode import Encoded
from tunery.hardware import use_precision
from tunery.model.frozen_part import FrozenPart
from tunery.model.on_trial import on_trial
from tunery.store.features import FeatureFile, bytes_of
from tunery.store.objects.digest import digest_of, digest_of_all
from tunery.store.study import StudyStore
from tunery.train.predict.scoring import autocast
from tunery.train.setup.assemble import Assembled
from tunery.train.setup.environment import conditions, environment

PASS_TOKENS: Final = 4096
"""Padded tokens of one pass. Never changed for memory: the bits of a row may depend on it."""
IN_MEMORY: Final = 64 * 2**20
"""Bytes up to which features are held in memory; of more, what a batch needs is read from the file."""

Floats = npt.NDArray[np.float32]


class NoRoom(Exception):
    """There is neither memory nor disk for features."""


@final
class RowFeatures:
    """Token states or text vectors of all rows of a split; of a row in several windows, those of each."""

    def __init__(
        self,
        run: Assembled,
        part: FrozenPart,
        encoded: Encoded,
        store: StudyStore | None,
        *,
        shared: bool,
        stopping: Callable[[], object] = lambda: None,
    ) -> None:
        """Args:
        part: of the model of `run`, as it is before anything above is trained or after.
        encoded: of the split.
        store: keeps what does not fit into memory; None: nothing is kept on disk.
        shared: whether others will ask for the same, so that the store keeps what fits into memory as well.
        stopping: called before every pass; raises what ends the work.
        """
        self.part = part
        self.encoded = encoded
        self._run = run
        self._store = store
        self._shared = shared
        self._stopping = stopping
        self._batches = token_batches(encoded.lengths, max_tokens=PASS_TOKENS)
        self._counts = encoded.lengths if part.per_token else np.ones_like(encoded.lengths)
        order = np.concatenate(self._batches)
        self._first = np.zeros_like(self._counts)
        self._first[order[1:]] = self._counts[order].cumsum()[:-1]
        longest = self._states([int(order[0])])
        self._dtype = longest.dtype
        self._shape = (int(self._counts.sum()), longest.shape[-1])
        self._key = self._key_with(longest)
        self._source: Floats | FeatureFile | None = None

    @property
    def bytes(self) -> int:
        """That they take, in memory or on disk."""
        return bytes_of(self._shape)

    def of(self, features: Sequence[int]) -> Tensor:
        """Of some sequences of tokens, by their numbers in the split: (sequences, longest, hidden) with 0 at padding,
        or (sequences, hidden), where the model is.

        Raises:
            NoRoom: what was known is lost, and cannot be kept anew.
            ModelError: as `FrozenPart.states` does.
        """
        numbers = list(features)
        first, counts = self._first[numbers].tolist(), self._counts[numbers].tolist()
        states = np.zeros((len(features), max(counts), self._shape[1]), dtype=np.float32)
        into = [states[place, :count] for place, count in enumerate(counts)]
        self._source = self._source if self._source is not None else self._found()
        if isinstance(self._source, FeatureFile):
            try:
                self._source.read(first, into)
            except OSError:  # its room was needed
                self._source = None
                return self.of(features)
        else:
            for start, array in zip(first, into, strict=True):
                array[:] = self._source[start : start + len(array)]
        states = states if self.part.per_token else states[:, 0]
        return torch.from_numpy(states).to(device=self._run.device, dtype=self._dtype)

    def _found(self) -> Floats | FeatureFile:
        """What is known, or is computed now."""
        store, known = self._store, None if self._store is None else self._store.features.find(self._key)
        if self.bytes > IN_MEMORY:
            if known is None and store is not None:
                store.keep_features(self._key, self._shape, self._parts())
                known = store.features.find(self._key)
            if known is None:
                raise NoRoom
            return known
        try:
            if known is not None:
                return known.all()
        except OSError:  # its room was needed
            pass
        computed = np.concatenate([*self._parts()])
        if store is not None and self._shared:
            store.keep_features(self._key, self._shape, [computed])
        return computed

    def _parts(self) -> Iterator[Floats]:
        """All of them, pass by pass."""
        for features in self._batches:
            self._stopping()
            states = self._states(features).float().cpu().numpy()
            if self.part.per_token:
                yield np.concatenate([states[place, : self._counts[row]] for place, row in enumerate(features)])
            else:
                yield np.ascontiguousarray(states)

    def _states(self, features: Sequence[int]) -> Tensor:
        """Of one pass, which leaves nothing behind."""
        run = self._run
        use_precision(run.precision, run.device)
        inputs = pad(self.encoded, features, pad_id=run.prepared.tokenizer.pad_token_id)
        batch = {name: tensor.to(run.device) for name, tensor in inputs.items()}
        with on_trial(run.built.module), autocast(run.device, run.precision):
            return self.part.states(batch)

    def _key_with(self, longest: Tensor) -> str:
        """Of what was computed under the same conditions, in the same passes, from the same base, by a model that gives
        the same bits for the longest row. So LoRA, which begins as its base, shares the features of a probe, and a
        prefix has its own."""
        run, encoded = self._run, self.encoded
        columns = [column for column in (encoded.ids, encoded.type_ids, encoded.segments) if column is not None]
        now = environment(run.device, precision=run.precision, reason=run.precision_reason)
        depends_on = {
            "base": run.built.base_digest,
            "quantization": run.config.model.quantization,
            "rows": digest_of_all([encoded.lengths, *(row for column in columns for row in column)]),
            "padding": run.prepared.tokenizer.pad_token_id,
            "pass": PASS_TOKENS,
            "part": self.part.name,
            "conditions": conditions(now),
            "longest": digest_of(longest.float().cpu().numpy().tobytes()),
        }
        return digest_of(json.dumps(depends_on).encode())


def pooled_features(run: Assembled, part: FrozenPart, rows: npt.NDArray[np.int64], store: StudyStore | None) -> Floats:
    """One vector for each of these training rows, in their order: (rows, hidden).

    Those of a fold of cross-validation are computed with the rows of all folds, so that all share them.

    Args:
        part: gives vectors of texts.
        rows: numbers of training rows, each of which is one sequence of tokens.
        store: None: they are computed, and not kept.
    """
    pool, encoded = run.prepared.pool, run.prepared.encoded["train"]
    if pool is not None:
        rows = np.array(run.prepared.splits.in_pool["train"], dtype=np.int64)[rows]
        features = RowFeatures(run, part, pool, store, shared=True)
    else:
        features = RowFeatures(run, part, encoded.take(rows), store, shared=True)
        rows = np.arange(len(rows))
    vectors: Floats = features.of(rows.tolist()).float().cpu().numpy()
    return vectors
