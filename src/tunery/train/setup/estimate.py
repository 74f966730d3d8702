"""How much disk a run will take at most: worked out, and refused where it is too much, before anything is written."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import nn

from tunery.errors import FolderError
from tunery.optim.optimizers import OPTIMIZERS
from tunery.schema.config.checkpoint import Checkpoint
from tunery.schema.config.peft import NoPeft
from tunery.schema.sizes import size_text
from tunery.store.disk.files import size
from tunery.store.folder import RunFolder
from tunery.store.objects.objects import PER_TENSOR
from tunery.store.study import StudyStore
from tunery.train.loop.state import pack
from tunery.train.setup.assemble import Assembled

SMALL: Final = 128
"""A state is measured on tensors no longer than this in any dimension. For no optimizer is the share that the state
has of its parameter smaller in a small tensor than in a large one."""
DOCUMENTS: Final = 2**17
"""Bytes of all that is no tensor in a resume point or an export: random states, settings, metrics."""
PER_PAIR: Final = 8
"""Bytes of one number in a confusion matrix, which the metrics of every kept epoch have."""
RANDOM: Final = 2**13
"""Bytes of the states of torch's random generators."""
ALLOCATOR: Final = 3
"""Numbers per parameter that a rank allocator keeps (AdaLoRA: two averages, and what the cut left)."""
WORTH_SAYING: Final = 0.02
"""Share of the free space from which it is said what a run will take."""


class Sizes(NamedTuple):
    """Bytes on disk, at most."""

    weights: int
    """Of one epoch."""
    point: int
    """Of one resume point, its weights included."""
    export: int


class Part(NamedTuple):
    """So many things of one kind that are on disk at once."""

    times: int
    what: str
    size: int

    def __str__(self) -> str:
        return f"{self.times} × {self.what} of {size_text(self.size)}"


@dataclass(frozen=True)
class Estimate:
    """What is on disk when most is."""

    parts: tuple[Part, ...]

    @property
    def peak(self) -> int:
        """In bytes."""
        return sum(part.times * part.size for part in self.parts)

    def __str__(self) -> str:
        return f"at most {size_text(self.peak)} ({', '.join(map(str, self.parts))})"


class _Demand(NamedTuple):
    """What a `low_disk` policy must find before a run begins."""

    rule: Callable[[Checkpoint], Checkpoint]
    """What of the rule will not give way."""
    needs_room: bool
    """Whether the file system must have room now."""
    keeps_free: bool
    """Whether `min_free` will not give way."""
    frees_others: bool
    """Whether what other trials hold may go; the weights of the best of them stay."""


_DEMANDS: Final = {
    "stop": _Demand(lambda rule: rule, needs_room=True, keeps_free=True, frees_others=False),
    "wait": _Demand(lambda rule: rule, needs_room=False, keeps_free=False, frees_others=False),
    "evict": _Demand(
        lambda rule: rule.model_copy(update={"keep_last": min(1, rule.keep_last), "co_best": 1}),
        needs_room=True,
        keeps_free=False,
        frees_others=True,
    ),
}


def require_room(
    sizes: Sizes,
    rule: Checkpoint,
    *,
    store: StudyStore,
    folder: RunFolder,
    n_jobs: int | None,
    beside: Sequence[Part] = (),
) -> None:
    """Refuse a run that will not find room on its disk, and say how much the others will take.

    A run that has begun is let pass: it was looked at then, and can go on from where it is once there is room.

    Args:
        n_jobs: trials that are trained at once, where it is one; None: it is a run of its own.
        beside: what will lie there by then, and stays.

    Raises:
        FolderError: when `max_disk` or the file system is too small; nothing has been written.
    """
    if folder.kept() or folder.resume.points():
        return
    demand, features = _DEMANDS[rule.low_disk], store.features.used()  # those go where room is needed
    stages = store.used_by_stages()
    used = store.used() - features - stages
    all_kept = 0 if n_jobs is None else store.most_kept
    trials = min(1, all_kept) if demand.frees_others else all_kept
    least, stored = estimate(sizes, demand.rule(rule), trials=trials, beside=beside), min(used, trials * sizes.weights)
    others = stages + (0 if demand.frees_others else used - stored)
    disk = shutil.disk_usage(_existing(folder.path))
    free = disk.free + features
    held = f" beside {size_text(others)} of other runs" if others else ""
    remedy = "or ask for less: a smaller checkpoint.keep_last, a smaller model, a PEFT method"
    if rule.max_disk is not None and least.peak + others > rule.max_disk:
        refused = f"checkpoint.max_disk allows {size_text(rule.max_disk)}, but this run needs {least}{held}"
        raise FolderError(f"{refused}; allow more, {remedy}")
    kept_free = rule.min_free * disk.total if demand.keeps_free else 0
    if demand.needs_room and least.peak - stored + kept_free > free:
        refused = f"the file system of {str(folder.path)!r} has {size_text(free)} free"
        reserve = f" and checkpoint.min_free keeps {size_text(kept_free)} of it" if kept_free else ""
        raise FolderError(f"{refused}{reserve}, but this run needs {least}; choose another --out, {remedy}")
    most = estimate(sizes, rule, trials=all_kept, runs=n_jobs or 1, beside=beside)
    if not used and most.peak > WORTH_SAYING * free:  # the first trial speaks for the study
        store.say(f"disk: {most}, {size_text(free)} free")


def estimate(
    sizes: Sizes, rule: Checkpoint, *, trials: int = 0, runs: int = 1, beside: Sequence[Part] = ()
) -> Estimate:
    """The most that is on disk at once: while a resume point is written, or while the best epoch is exported.

    Args:
        trials: finished trials of the study whose weights are kept beside the run.
        runs: that train at once.
        beside: what else lies there all the time.
    """
    kept = Part(trials, "weights of another trial", sizes.weights)
    training = _parts(
        Part(runs * (rule.keep_last + 1 if rule.keep_last else 0), "resume point", sizes.point),
        Part(runs * (rule.co_best + 1), "weights", sizes.weights),
        kept,
        *beside,
    )
    ending = _parts(
        Part(runs * rule.keep_last, "resume point", sizes.point),
        Part(runs * rule.co_best, "weights", sizes.weights),
        Part(runs, "export", sizes.export),
        kept,
        *beside,
    )
    return max(training, ending, key=lambda moment: moment.peak)


def _parts(*parts: Part) -> Estimate:
    return Estimate(tuple(part for part in parts if part.times))


def sizes_of(run: Assembled) -> Sizes:
    """Bytes of what the run will write, compression left out of account."""
    module, built, config = run.built.module, run.built, run.config
    named = dict(module.named_parameters())
    trained = [named[name] for name in built.trainable]
    weights = sum(parameter.nbytes + PER_TENSOR for parameter in trained) + PER_TENSOR
    of_loss = [parameter for parameter in run.objective.module.parameters() if parameter.requires_grad]
    state = _state_bytes(run, [*trained, *of_loss]) + RANDOM
    if built.rank_allocator is not None:
        state += sum(ALLOCATOR * (named[name].nbytes + PER_TENSOR) for name in built.roles.adapter)
    documents = DOCUMENTS + config.checkpoint.co_best * PER_PAIR * len(run.prepared.task.labels) ** 2
    exported = [*module.parameters(), *module.buffers()] if isinstance(config.peft, NoPeft) else []
    export = max(weights, sum(tensor.nbytes + PER_TENSOR for tensor in exported))
    if built.heads is not None:  # sentence-transformers reads a copy
        export += sum(parameter.nbytes + PER_TENSOR for parameter in built.heads.parameters())
    with tempfile.TemporaryDirectory() as folder:
        run.prepared.tokenizer.save_pretrained(folder)
        export += size(Path(folder))
    return Sizes(weights, weights + state + documents, export + DOCUMENTS)


def _state_bytes(run: Assembled, parameters: list[nn.Parameter]) -> int:
    """Bytes of the optimizer's state, measured: one step over small tensors, one for every shape."""
    shapes = {_small(parameter) for parameter in parameters}
    small = {key: nn.Parameter(torch.ones(key[0], dtype=key[1], device=run.device)) for key in sorted(shapes, key=str)}
    spec = run.config.optim
    group = {"params": list(small.values()), "lr": run.config.lr, "weight_decay": spec.weight_decay, "role": "encoder"}
    optimizer = OPTIMIZERS[type(spec)]([group], spec)
    for parameter in small.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    states = {key: pack(dict(optimizer.state[parameter]), name="state").tensors for key, parameter in small.items()}
    total = 0
    for parameter in parameters:
        tensors = states[_small(parameter)].values()
        share = sum(tensor.nbytes for tensor in tensors) / small[_small(parameter)].nbytes
        total += round(share * parameter.nbytes) + PER_TENSOR * len(tensors)
    return total


def _small(parameter: nn.Parameter) -> tuple[tuple[int, ...], torch.dtype]:
    return tuple(min(length, SMALL) for length in parameter.shape), parameter.dtype


def _existing(path: Path) -> Path:
    """The nearest folder that is there: the run's own may be made later."""
    return path if path.exists() else _existing(path.absolute().parent)
