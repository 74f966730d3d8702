"""Names that transformers, its hub client, torch and peft keep to themselves and that tunery leans on: what for, and
that they are still there. What each does is held by the tests of the files that use it."""

import inspect
from typing import Any

import pytest
import torch
from huggingface_hub import constants, snapshot_download
from peft.tuners.tuners_utils import BaseTuner
from torch import UntypedStorage
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import AdamW
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.optimization import Adafactor

from tunery.model.backbones.hub import TRANSIENT

NAMES: dict[str, tuple[Any, str]] = {
    "_save_checkpoint": (Trainer, "overridden: it writes pickles, and resume points take its place"),
    "_load_from_checkpoint": (Trainer, "overridden: weights come from a resume point"),
    "_created_lr_scheduler": (Trainer, "set: the Trainer takes the schedule for one of its own making"),
    "_step_supports_amp_scaling": (AdamW, "cleared: a fused optimizer would skip an overflow unseen by the schedule"),
    "_iterator": (DataLoader, "cleared: ends worker processes at once, and not after five seconds each"),
    "_step_count": (LRScheduler, "set on resume: the base class counts its call at the start"),
    "_last_lr": (LRScheduler, "set when a rate changes between two steps"),
    "_get_lr": (Adafactor, "overridden: the rate that `relative_step` sets is shown to the log"),
    "_check_target_module_exists": (BaseTuner, "overridden: which modules get an adapter"),
    "_create_and_replace": (BaseTuner, "overridden: puts an adapter in the place of a module"),
}


def test_torch_still_counts_without_computing() -> None:
    """`torch._subclasses.fake_tensor`, `torch.utils._python_dispatch` and `_cdata`, by which a storage is known: memory
    is predicted with them (`train/memory/fake_tensors.py`)."""
    with FakeTensorMode():
        first = torch.empty(10**12)
        assert first.untyped_storage()._cdata == first[1:].untyped_storage()._cdata
    assert isinstance(first.untyped_storage(), UntypedStorage) and first.nbytes == 4 * 10**12


@pytest.mark.parametrize("name", NAMES)
def test_the_library_still_has_the_name(name: str) -> None:
    holder, reason = NAMES[name]
    sources = [inspect.getsource(inspect.getmodule(kind) or kind) for kind in holder.__mro__[:-1]]
    assert any(name in source for source in sources), f"{holder.__name__}.{name} is gone, which was {reason}"


def test_a_hub_that_cannot_be_reached_is_waited_for_whatever_its_client_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its HTTP library changed between releases: the bases of its error are that library's root error and OSError."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(TRANSIENT):
        snapshot_download("owner/name", endpoint="http://127.0.0.1:9")
    assert OSError in TRANSIENT and Exception not in TRANSIENT
