"""Device, precision with its reason, peak memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch

from tunery import hardware
from tunery.errors import RequestError
from tunery.hardware import peak_memory, pick_device, pick_precision, reset_peak_memory, use_precision
from tunery.schema.config.model import Model

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


PRECISIONS: tuple[str, ...] = get_args(Model.model_fields["precision"].annotation)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_of_the_config_is_what_it_is_called_on_a_gpu_that_has_it(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    pretend_cuda(monkeypatch, 9, 0)
    assert pick_precision(precision, CUDA)[0] == ("bf16" if precision == "auto" else precision)


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


def test_tf32_on_a_cpu_is_refused() -> None:
    with pytest.raises(RequestError, match="tf32 needs a CUDA device, but got a CPU; write model.precision=fp32"):
        pick_precision("tf32", CPU)


def test_ampere_and_later_take_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, 8, 6)
    rest = "fp32 matrix products that are left use TF32"
    assert pick_precision("auto", CUDA) == ("bf16", f"bf16: Some GPU has it in hardware; {rest}")
    assert pick_precision("bf16", CUDA) == ("bf16", f"bf16: asked for; {rest}")
    assert pick_precision("fp16", CUDA) == ("fp16", f"fp16: asked for, with loss scaling; {rest}")
    assert pick_precision("tf32", CUDA) == ("tf32", "tf32: asked for (fp32 with matrix products in TF32)")
    assert pick_precision("fp32", CUDA) == ("fp32", "fp32: asked for (strict, TF32 is off)")


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_older_gpus_take_fp16_and_refuse_what_came_later(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    pretend_cuda(monkeypatch, 7, 5)
    reason = "fp16 with loss scaling: Some GPU (compute capability 7.5) has no bf16 in hardware"
    assert pick_precision("auto", CUDA) == ("fp16", reason)
    assert pick_precision("fp16", CUDA) == ("fp16", "fp16: asked for, with loss scaling")
    rule = rf"precision={precision} needs compute capability >= 8.0, but Some GPU has 7.5; write model.precision=auto"
    with pytest.raises(RequestError, match=rule):
        pick_precision(precision, CUDA)


@pytest.fixture
def switches() -> Iterator[None]:
    """Puts the process-wide switches back."""
    yield
    use_precision("fp32", CPU)


@pytest.mark.usefixtures("switches")
def test_tf32_is_on_where_it_may_be_and_off_where_fp32_is_asked_for() -> None:
    def state() -> tuple[str, bool, bool]:
        cuda, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return torch.get_float32_matmul_precision(), cuda, cudnn

    for precision in ("tf32", "bf16", "fp16"):
        use_precision(precision, CUDA)
        assert state() == ("high", True, True)
        use_precision("fp32", CUDA)
        assert state() == ("highest", False, False)
    use_precision("tf32", CUDA)
    use_precision("bf16", CPU)
    assert state() == ("highest", False, False)


def test_without_cuda_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == CPU


def test_peak_memory_sees_what_was_held_for_a_moment() -> None:
    # In a process of its own: where /proc/self/clear_refs may not be written, this one's peak is from earlier tests.
    code = """
import torch
from tunery.hardware import peak_memory, reset_peak_memory
cpu = torch.device("cpu")
reset_peak_memory(cpu)
before = peak_memory(cpu)
torch.ones(256 * 2**20 // 4)
after = peak_memory(cpu)
assert before.device_peak_bytes is after.device_peak_bytes is None
print(after.host_peak_bytes - before.host_peak_bytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 128 * 2**20 < int(done.stdout) < 512 * 2**20


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


@pytest.mark.gpu
@pytest.mark.usefixtures("switches")
def test_a_real_gpu_rounds_products_with_tf32_and_not_without() -> None:
    device = pick_device()
    torch.manual_seed(0)
    left, right = torch.randn(2, 512, 512, dtype=torch.float64, device=device)
    error = {}
    for precision in ("fp32", "tf32"):
        pick_precision(precision, device)
        use_precision(precision, device)
        error[precision] = ((left.float() @ right.float()).double() - left @ right).abs().max().item()
    assert error["fp32"] < 1e-3 < 5e-3 < error["tf32"] < 1.0
