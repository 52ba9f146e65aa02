"""How the machine runs it: memory that is kept, and which way is the fast one here."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 2**31 - 1  # bytes; both are C ints
_becomes_graph = ContextVar("becomes_graph", default=False)


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks for the next step, for entry points to call once.

    Each activation is tens of MiB. By default glibc gives such blocks back to the system at once,
    and every page of the next one is a fault; that costs as much as the convolutions themselves.
    Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    mallopt(_TRIM_THRESHOLD, _LARGEST)
    mallopt(_MMAP_THRESHOLD, _LARGEST)


def describe(device: torch.device) -> str:
    """Name what computes, for a table of costs."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def emulates_bfloat16(device: torch.device) -> bool:
    """Tell whether a device is an x86 CPU without instructions for bfloat16: it is slow in it."""
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an earlier PyTorch
        return False
    can = torch.cpu.get_capabilities()
    emulated = not (can.get("avx512_bf16") or can.get("amx_bf16"))
    return can.get("architecture") == "x86_64" and emulated


def has_avx2_at_best() -> bool:
    """Tell whether PyTorch computes with AVX2 on this CPU, as on x86 without AVX-512."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


@contextmanager
def all_digits() -> Iterator[None]:
    """Let a GPU convolve in single precision, so that figures are those of the CPU.

    By default cuDNN rounds what it multiplies to ten bits (TF32).
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def eager_on_cpu(tensor: Tensor) -> bool:
    """Tell whether operations on a tensor run at once and on the CPU.

    A graph that is captured (`torch.compile`, `torch.export`, `torch.jit.trace`) may run anywhere,
    and a GPU has fast ways of its own.
    """
    captured = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return tensor.device.type == "cpu" and not captured


@contextmanager
def cuda_graph() -> Iterator[None]:
    """Say that what runs within becomes a CUDA graph, in which starting a kernel costs nothing."""
    before = _becomes_graph.set(True)
    try:
        yield
    finally:
        _becomes_graph.reset(before)


def in_cuda_graph(tensor: Tensor) -> bool:
    """Tell whether operations on a tensor run in a CUDA graph, see `cuda_graph`."""
    return tensor.device.type == "cuda" and _becomes_graph.get()
