"""What a trainer holds becomes a resume point, and back."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from torch import Tensor

from tunery.store.folder import RunFolder
from tunery.store.objects.objects import Objects, Reference, room_for
from tunery.store.resume import Point

_WEIGHTS: Final = "weights"
_STATE: Final = "state"
_MANIFEST: Final = 2**16
"""Bytes of a manifest without its documents, at most: names of objects, and the metrics of the kept epochs."""


class Snapshot(NamedTuple):
    """All that training goes on from."""

    documents: Mapping[str, Any]
    """What JSON can hold."""
    weights: Mapping[str, Tensor]
    """The trained parameters."""
    state: Mapping[str, Tensor]
    """Tensors of optimizer, schedule, random generators, method and loss."""

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensors in (self.weights, self.state) for tensor in tensors.values())

    def room(self) -> int:
        """Most bytes that the point takes on disk."""
        return room_for(self.weights) + room_for(self.state) + len(json.dumps(dict(self.documents))) + _MANIFEST


def publish(snapshot: Snapshot, folder: RunFolder, *, step: int, reference: Reference | None) -> None:
    """Store a snapshot as the resume point of `step`, with the best epochs as they are now.

    The weights are stored against `reference`. The state is large and soon replaced, so that it is not compressed; it
    is written while the weights are encoded.
    """
    objects = folder.objects
    with ThreadPoolExecutor(1) as other:
        weights = other.submit(objects.encode, snapshot.weights, reference=reference)
        state = objects.put(snapshot.state, compress=False)
        stored = {_WEIGHTS: objects.write(weights.result()), _STATE: state}
    folder.resume.publish(Point(step=step, documents=snapshot.documents, objects=stored, kept=folder.kept()))


def read(point: Point, objects: Objects, *, reference: Reference | None) -> Snapshot:
    """The snapshot that a resume point was made of.

    Raises:
        Damaged: when an object is not what was stored.
    """
    with ThreadPoolExecutor(1) as other:
        state = other.submit(objects.get, point.objects[_STATE].digest)
        weights = objects.get(point.objects[_WEIGHTS].digest, reference=reference)
        return Snapshot(point.documents, weights, state.result())
