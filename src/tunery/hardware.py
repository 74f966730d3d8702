"""The device, the precision it computes in and why, and how much memory the work took."""

import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tunery.errors import RequestError
from tunery.schema.results.run import Memory

Choice = tuple[str, str]
"""Precision, and the reason in words."""

AMPERE = (8, 0)
"""First CUDA compute capability with bf16 and TensorFloat-32 in hardware."""

WITH_TF32 = frozenset({"tf32", "bf16", "fp16"})
"""Precisions in which the remaining fp32 products may be computed in TensorFloat-32."""

PROC_STATUS = Path("/proc/self/status")
PROC_CLEAR = Path("/proc/self/clear_refs")
CPU_INFO = Path("/proc/cpuinfo")

_REST = "fp32 matrix products that are left use TF32"


def pick_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(requested: str, device: torch.device) -> Choice:
    """The precision to compute in (`fp32`, `tf32`, `bf16`, `fp16`) and the reason, for people to read.

    Raises:
        RequestError: the device cannot compute in the precision asked for.
    """
    return RULES[device.type, requested](device)


def use_precision(precision: str, device: torch.device) -> None:
    """Let products of fp32 matrices and convolutions be computed in TensorFloat-32, or not, from now on.

    Strict on a CPU and with `fp32`. With the others they may: what autocast leaves in fp32 is then no slower than it
    has to be. GPUs before Ampere have no TensorFloat-32 and are strict whatever is asked.
    """
    relaxed = device.type == "cuda" and precision in WITH_TF32
    torch.set_float32_matmul_precision("high" if relaxed else "highest")
    torch.backends.cudnn.allow_tf32 = relaxed


def reset_peak_memory(device: torch.device) -> None:
    """Start a new peak, so that runs of one process do not count each other's memory; where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        PROC_CLEAR.write_text("5")
    except OSError:
        return


def peak_memory(device: torch.device) -> Memory:
    """Highest memory in bytes: resident in this process, and allocated on the device."""
    on_device = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Memory(host_peak_bytes=_host_peak(), device_peak_bytes=on_device)


def _cpu_auto(device: torch.device) -> Choice:
    if _cpu_has_amx():
        return "bf16", "bf16: the CPU has AMX matrix units"
    return "fp32", "fp32: the CPU has no bf16 matrix units (AMX)"


def _cpu_bf16(device: torch.device) -> Choice:
    note = "the CPU has AMX matrix units" if _cpu_has_amx() else "slow, the CPU has no AMX matrix units"
    return "bf16", f"bf16: asked for ({note})"


def _cpu_fp16(device: torch.device) -> Choice:
    raise RequestError("model.precision=fp16 needs a CUDA device, but got a CPU; write model.precision=auto")


def _cpu_tf32(device: torch.device) -> Choice:
    raise RequestError("model.precision=tf32 needs a CUDA device, but got a CPU; write model.precision=fp32")


def _cuda_auto(device: torch.device) -> Choice:
    name, capability = _cuda_facts(device)
    if capability >= AMPERE:
        return "bf16", f"bf16: {name} has it in hardware; {_REST}"
    return "fp16", f"fp16 with loss scaling: {name} (compute capability {_dotted(capability)}) has no bf16 in hardware"


def _cuda_fp32(device: torch.device) -> Choice:
    return "fp32", "fp32: asked for (strict, TF32 is off)"


def _cuda_tf32(device: torch.device) -> Choice:
    _require_ampere("tf32", device)
    return "tf32", "tf32: asked for (fp32 with matrix products in TF32)"


def _cuda_bf16(device: torch.device) -> Choice:
    _require_ampere("bf16", device)
    return "bf16", f"bf16: asked for; {_REST}"


def _cuda_fp16(device: torch.device) -> Choice:
    rest = f"; {_REST}" if _cuda_facts(device)[1] >= AMPERE else ""
    return "fp16", f"fp16: asked for, with loss scaling{rest}"


def _require_ampere(precision: str, device: torch.device) -> None:
    name, capability = _cuda_facts(device)
    if capability < AMPERE:
        rule = f"model.precision={precision} needs compute capability >= {_dotted(AMPERE)}"
        raise RequestError(f"{rule}, but {name} has {_dotted(capability)}; write model.precision=auto")


def _cpu_fp32(device: torch.device) -> Choice:
    return "fp32", "fp32: asked for"


RULES: dict[tuple[str, str], Callable[[torch.device], Choice]] = {
    ("cpu", "auto"): _cpu_auto,
    ("cpu", "fp32"): _cpu_fp32,
    ("cpu", "tf32"): _cpu_tf32,
    ("cpu", "bf16"): _cpu_bf16,
    ("cpu", "fp16"): _cpu_fp16,
    ("cuda", "auto"): _cuda_auto,
    ("cuda", "fp32"): _cuda_fp32,
    ("cuda", "tf32"): _cuda_tf32,
    ("cuda", "bf16"): _cuda_bf16,
    ("cuda", "fp16"): _cuda_fp16,
}


def _cuda_facts(device: torch.device) -> tuple[str, tuple[int, int]]:
    return torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _cpu_has_amx() -> bool:
    return bool(CPU_INFO.is_file() and re.search(r"\bamx_bf16\b", CPU_INFO.read_text()))


def _host_peak() -> int:
    """From the kernel's high-water mark: `getrusage` would count what the parent process once held."""
    if PROC_STATUS.is_file() and (mark := re.search(r"VmHWM:\s*(\d+) kB", PROC_STATUS.read_text())):
        return int(mark[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
