"""`train.micro_batch_tokens: auto`: how many tokens a pass of a run has, once its data and its model are known."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from tunery.data.batches import Collator, EncodedDataset, MicroBatch
from tunery.hardware import give_back_freed_memory, peak_memory, reset_peak_memory, used_memory
from tunery.model.heads.heads import answers_of
from tunery.schema.config.train import USUAL_TOKENS
from tunery.schema.sizes import size_text
from tunery.train.memory.limit import memory_left
from tunery.train.memory.ratios import keep_ratio, known_ratio, ratio_key
from tunery.train.memory.rough import AMPLE, rough_estimate
from tunery.train.memory.search import Line, most_rows
from tunery.train.memory.shortage import is_out_of_memory
from tunery.train.predict.scoring import autocast

if TYPE_CHECKING:
    from tunery.train.memory.prediction import Prediction
    from tunery.train.setup.assemble import Assembled

_SHARES: Final = {"cuda": 0.92, "cpu": 0.85}
"""Share of the room that activations may take, by device: training takes somewhat more than a pass that is tried."""
_MOMENTS: Final = 2
"""Numbers that an optimizer is taken to keep for each that it trains, where its step cannot be predicted."""
_EVALUATED: Final = 0.5
"""Share of the room that a pass of evaluation may be expected to take: nothing is gained by more."""


@dataclass(frozen=True)
class Budget:
    """What passes of a run may have."""

    tokens: int
    """Most padded tokens in a pass of training."""
    eval_tokens: int | None = None
    """The same of evaluation; None: whatever `train.eval_batch_size` rows have."""


def with_budget(run: "Assembled", *, recorded: int | None, n_jobs: int, say: Callable[[str], None]) -> "Assembled":
    """The run with what its passes may have: the number of the config, else the one that it began with, else what is
    found now.

    On a CPU more tokens than 8,192 are no faster: fewer are taken where memory is short, and no more.

    Args:
        recorded: tokens of the passes of an earlier process, if there was one.
        n_jobs: runs that share the device.
    """
    budget, said = _budget(run, recorded=recorded, n_jobs=n_jobs)
    if said is not None:
        say(said)
    return replace(run, budget=budget)


def _budget(run: "Assembled", *, recorded: int | None, n_jobs: int) -> tuple[Budget, str | None]:
    setting = run.config.train.micro_batch_tokens
    if setting != "auto":
        return Budget(setting), None
    if recorded is not None:
        if run.device.type == "cpu" and recorded < USUAL_TOKENS:
            give_back_freed_memory()
        return Budget(recorded), None
    room, longest = memory_left(run.device, n_jobs), Longest(run)
    most = longest.most_rows
    if run.device.type == "cpu":
        most = min(most, max(USUAL_TOKENS // longest.tokens, 1))
        trained = sum(part.nbytes for part in run.built.module.parameters() if part.requires_grad)
        config = cast(Any, run.built.backbone).config
        if rough_estimate(config, trained=trained, rows=most, tokens=longest.tokens) < AMPLE * room:
            return Budget(USUAL_TOKENS), None
        give_back_freed_memory()
    return _found(run, longest, room=room, most=most)


def _found(run: "Assembled", longest: "Longest", *, room: int, most: int) -> tuple[Budget, str | None]:
    prediction = predicted(run, longest)
    key = None if prediction is None else ratio_key(run.device, run.precision, prediction.attention)
    trained = [parameter for parameter in run.built.module.parameters() if parameter.requires_grad]
    gradients = sum(parameter.nbytes for parameter in trained)
    state = prediction.state if prediction else _MOMENTS * gradients
    found = most_rows(
        prediction.activations if prediction else None,
        gradients=gradients,
        fixed=gradients + state,
        room=room,
        most=most,
        probe=longest.probe,
        share=_SHARES[run.device.type],
        ratio=None if key is None else known_ratio(key),
    )
    if key is not None and found.ratio is not None:
        keep_ratio(key, found.ratio)
    rows, tokens = max(found.rows, 1), longest.tokens
    budget = Budget(
        max(rows * tokens, USUAL_TOKENS) if found.rows == most else rows * tokens,
        eval_tokens=_evaluation(prediction.evaluated if prediction else None, room, tokens),
    )
    told = None
    if found.rows < most:
        told = _told(prediction, rows=found.rows, longest=longest, room=room, probes=found.probes)
    return budget, told


def _evaluation(line: Line | None, room: float, tokens: int) -> int | None:
    return None if line is None else max(line.rows(_EVALUATED * room), 1) * tokens


def _told(prediction: "Prediction | None", *, rows: int, longest: "Longest", room: int, probes: int) -> str:
    tried = f"{probes} pass{'es' * (probes != 1)} tried" if probes else "by prediction"
    if rows == 0:
        needs = f" takes about {size_text(prediction.total(1))}" if prediction else " takes more"
        return (
            f"memory: a single row of {longest.tokens:,} tokens{needs} beside the model, and there are "
            f"{size_text(room)} ({tried}); if it fails: a smaller model.max_length, train.gradient_checkpointing=true, "
            "a PEFT method, or a smaller model"
        )
    passes = -(-longest.most_rows // rows)
    return (
        f"memory: {rows * longest.tokens:,} tokens in a pass, so that a step of long rows takes {passes} passes; there "
        f"are {size_text(room)} beside the model ({tried})"
    )


def predicted(run: "Assembled", longest: "Longest") -> "Prediction | None":
    """What a step of the run takes; None where that cannot be predicted."""
    from tunery.train.memory.prediction import Work, predict  # a run with ample memory needs none of it

    def ask(module: nn.Module, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return answers_of(module, inputs, run.built.outputs)

    run.built.train()
    return predict(
        Work(
            module=run.built.module,
            inputs=lambda rows: longest.batch(rows).inputs,
            ask=ask,
            optimizer=lambda module: replace(run, built=replace(run.built, module=module)).optimizer(),
            device=run.device,
            precision=run.precision,
        )
    )


class Longest:
    """Passes of nothing but the longest training row."""

    def __init__(self, run: "Assembled") -> None:
        self._run = run
        prepared = run.prepared
        encoded = prepared.encoded["train"]
        feature = int(encoded.lengths.argmax())
        row = int(encoded.rows[feature])
        first = int(np.searchsorted(encoded.rows, row))
        self._item = EncodedDataset(encoded, prepared.targets["train"])[0, row][feature - first]
        self._collate = Collator(
            prepared.tokenizer.pad_token_id,
            max_tokens=np.iinfo(np.int64).max,
            masking=prepared.task.masking(run.config.task, prepared.tokenizer),
        )
        self._before: int | None = None
        self.tokens = int(encoded.lengths[feature])
        self.most_rows = run.config.train.batch_size * int(np.bincount(encoded.rows).max())
        """That a step can have; a row of several windows counts as so many."""

    def batch(self, rows: int) -> MicroBatch:
        """A pass of so many rows."""
        (batch,) = self._collate([[self._item] * rows])
        return batch

    def probe(self, rows: int) -> int | None:
        """Bytes that a pass takes at its highest beside what there was before the first one, gradients included; None:
        they are not there. So what a pass leaves behind for good, such as what kernels keep, counts once.

        Weights, gradients and random states are as before afterwards.
        """
        run = self._run
        devices = [run.device] if run.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            try:
                return self._probe(rows)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return None
            finally:
                run.built.module.zero_grad(set_to_none=True)
                run.objective.module.zero_grad(set_to_none=True)
                gc.collect()
                if run.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _probe(self, rows: int) -> int:
        run = self._run
        device, objective = run.device, run.objective
        objective.module.to(device)
        used = used_memory(device)
        self._before = used if self._before is None else self._before
        reset_peak_memory(device)
        run.built.train()
        for parameter in run.built.module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        batch = self.batch(rows)
        inputs, targets = (
            {name: tensor.to(device) for name, tensor in tensors.items()} for tensors in (batch.inputs, batch.targets)
        )
        with autocast(device, run.precision):
            outputs = answers_of(run.built.module, inputs, run.built.outputs)
        loss = objective.share(
            {name: output.float() for name, output in outputs.items()}, targets, units=objective.units(batch.targets)
        )
        loss.backward()  # type: ignore[no-untyped-call]
        peak = peak_memory(device)
        highest = peak.device_peak_bytes if device.type == "cuda" else peak.host_peak_bytes
        return max((highest or 0) - self._before, 0)
