"""Device, precision with its reason, peak memory."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from tunery import hardware
from tunery.errors import RequestError
from tunery.hardware import peak_memory, pick_device, pick_precision, reset_peak_memory
from tunery.schema.model import Model

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /proc/cpuinfo; missing until written."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "CPU_INFO", file)
    return file


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, *capability: int) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


def test_every_precision_has_a_rule_on_every_device() -> None:
    precisions = get_args(Model.model_fields["precision"].annotation)
    assert set(hardware.RULES) == {(device, precision) for device in ("cpu", "cuda") for precision in precisions}


def test_a_cpu_with_amx_takes_bf16(cpu_info: Path) -> None:
    cpu_info.write_text("flags : avx512_bf16 amx_bf16 amx_tile\n")
    assert pick_precision("auto", CPU) == ("bf16", "bf16: the CPU has AMX matrix units")


def test_any_other_cpu_takes_fp32(cpu_info: Path) -> None:
    assert pick_precision("auto", CPU)[0] == "fp32"
    cpu_info.write_text("flags : avx2 avx512_bf16\n")
    assert pick_precision("auto", CPU) == ("fp32", "fp32: the CPU has no bf16 matrix units (AMX)")
    assert pick_precision("bf16", CPU) == ("bf16", "bf16: asked for (slow, the CPU has no AMX matrix units)")


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(RequestError, match="fp16 needs a CUDA device, but got a CPU; write model.precision=auto"):
        pick_precision("fp16", CPU)


def test_ampere_and_later_take_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 8, 6)
    assert pick_precision("auto", CUDA) == ("bf16", "bf16: Some GPU has it in hardware")
    assert pick_precision("fp16", CUDA) == ("fp16", "fp16: asked for")


def test_older_gpus_take_fp16_and_refuse_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 7, 5)
    name, reason = pick_precision("auto", CUDA)
    assert (name, reason) == ("fp16", "fp16: Some GPU (compute capability 7.5) has no bf16 in hardware")
    with pytest.raises(RequestError, match=r"bf16 needs compute capability >= 8.0, but Some GPU has 7.5"):
        pick_precision("bf16", CUDA)


def test_without_cuda_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == CPU


def test_peak_memory_sees_what_was_held_for_a_moment() -> None:
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    block = torch.ones(64 * 2**20 // 4)
    del block
    after = peak_memory(CPU)
    assert before.device_peak_bytes is after.device_peak_bytes is None
    assert after.host_peak_bytes - before.host_peak_bytes > 32 * 2**20


def test_peak_memory_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "PROC_STATUS", tmp_path / "none")
    monkeypatch.setattr(hardware, "PROC_CLEAR", tmp_path / "no" / "folder")
    reset_peak_memory(CPU)
    assert 2**24 < peak_memory(CPU).host_peak_bytes < 2**40


@pytest.mark.gpu
def test_a_real_gpu_reports_its_own_peak() -> None:
    device = pick_device()
    reset_peak_memory(device)
    torch.ones(2**20, device=device)
    assert (peak_memory(device).device_peak_bytes or 0) >= 2**22
    assert pick_precision("auto", device)[0] in ("bf16", "fp16")
