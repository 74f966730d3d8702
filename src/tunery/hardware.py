"""The device, the precision it computes in and why, and how much memory the work took."""

import ctypes
import platform
import re
import resource
import sys
from contextlib import suppress
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

_MMAP_THRESHOLD = -3
"""Of `mallopt`: the size from which a block has pages of its own."""
_REMAINING_FP32 = "fp32 matrix products that are left use TF32"


def pick_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(requested: str, device: torch.device) -> Choice:
    """The precision to compute in (`fp32`, `tf32`, `bf16`, `fp16`) and the reason, for people to read.

    Raises:
        RequestError: the device cannot compute in the precision asked for.
    """
    return _on_cpu(requested) if device.type == "cpu" else _on_cuda(requested, device)


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
    if PROC_STATUS.is_file() and (mark := re.search(r"VmHWM:\s*(\d+) kB", PROC_STATUS.read_text())):
        host = int(mark[1]) * 1024  # `getrusage` would count what the parent process once held
    else:
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Memory(host_peak_bytes=host, device_peak_bytes=on_device)


def device_name(device: torch.device) -> str:
    """What the device is called by its maker, as far as the system knows."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()


def used_memory(device: torch.device) -> int:
    """Bytes that are allocated on the device now, or resident in this process, once it has given back what it can."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return int(torch.cuda.memory_allocated(device))
    with suppress(OSError, AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)
    if PROC_STATUS.is_file() and (mark := re.search(r"VmRSS:\s*(\d+) kB", PROC_STATUS.read_text())):
        return int(mark[1]) * 1024
    return 0


def give_back_freed_memory() -> None:
    """From now on, what is freed goes back to the system at once, in blocks of 256 kB and more. A little slower; but
    passes of other sizes leave no gaps, which took a fifth of what there was. Where the C library is GNU's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 18)


def _on_cpu(requested: str) -> Choice:
    has_amx = CPU_INFO.is_file() and re.search(r"\bamx_bf16\b", CPU_INFO.read_text()) is not None
    match requested:
        case "auto" if has_amx:
            return "bf16", "bf16: the CPU has AMX matrix units"
        case "auto":
            return "fp32", "fp32: the CPU has no bf16 matrix units (AMX)"
        case "bf16":
            matrix_units = "the CPU has AMX matrix units" if has_amx else "slow, the CPU has no AMX matrix units"
            return "bf16", f"bf16: asked for ({matrix_units})"
        case "fp32":
            return "fp32", "fp32: asked for"
    instead = "auto" if requested == "fp16" else "fp32"
    rule = f"model.precision={requested} needs a CUDA device"
    raise RequestError(f"{rule}, but got a CPU; write model.precision={instead}")


def _on_cuda(requested: str, device: torch.device) -> Choice:
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    is_ampere, version = capability >= AMPERE, ".".join(map(str, capability))
    if requested in ("bf16", "tf32") and not is_ampere:
        rule = f"model.precision={requested} needs compute capability >= {'.'.join(map(str, AMPERE))}"
        raise RequestError(f"{rule}, but {name} has {version}; write model.precision=auto")
    match requested:
        case "auto" if is_ampere:
            return "bf16", f"bf16: {name} has it in hardware; {_REMAINING_FP32}"
        case "auto":
            return "fp16", f"fp16 with loss scaling: {name} (compute capability {version}) has no bf16 in hardware"
        case "bf16":
            return "bf16", f"bf16: asked for; {_REMAINING_FP32}"
        case "fp16":
            return "fp16", "fp16: asked for, with loss scaling" + (f"; {_REMAINING_FP32}" if is_ampere else "")
        case "tf32":
            return "tf32", "tf32: asked for (fp32 with matrix products in TF32)"
    return "fp32", "fp32: asked for (strict, TF32 is off)"
