"""Optional compiled kernels: depthwise gradients and batch norm of channels-last float32 tensors on the CPU.

Built on first use where a C++ compiler is found, kept in the user's cache folder, and silently absent otherwise;
results agree with torch's within float32 rounding. `ARCHWRIGHT_KERNELS=off` switches them off.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archwright.errors import EvaluationError

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-std=c++17", "-fPIC", "-fopenmp")


def available() -> bool:
    """Whether the kernels are there (building them on the first call)."""
    return _library() is not None


@cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get("ARCHWRIGHT_KERNELS", "auto") == "off" or not SOURCE.exists():
        return None
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    try:
        return _typed(ctypes.CDLL(str(_built(compiler))))
    except (OSError, subprocess.SubprocessError):
        return None


def _built(compiler: str) -> Path:
    """Path of the shared library, compiled if it is not in the cache."""
    text = SOURCE.read_text()
    key = "\n".join([text, *FLAGS, compiler, _processor(), torch.__version__])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archwright"
    target = folder / f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part, whole = Path(scratch, "kernels.o"), Path(scratch, "kernels.so")
        _run(compiler, *FLAGS, "-c", str(SOURCE), "-o", str(part))
        _run(compiler, "-shared", str(part), "-o", str(whole), *_openmp())
        os.replace(whole, target)
    return target


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def _openmp() -> tuple[str, ...]:
    """The OpenMP library that torch itself has loaded, so that there is one pool of threads."""
    found = sorted(Path(torch.__file__).parent.joinpath("lib").glob("libgomp*.so*"))
    return (str(found[0]),) if found else ("-fopenmp",)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        return platform.processor()


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    p, i, n, f = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
    library.dw_weight_gradient.argtypes = [p, p, p, *[i] * 11]
    library.dw_weight_gradient.restype = i
    library.dw_input_gradient.argtypes = [p, p, p, *[i] * 11]
    library.dw_input_gradient.restype = None
    library.dw_forward.argtypes = [p, p, p, *[i] * 11]
    library.dw_forward.restype = i
    library.bn_forward.argtypes = [p, p, p, p, p, p, n, i, f, i, i]
    library.bn_forward.restype = None
    library.bn_backward.argtypes = [p, p, p, p, p, p, p, p, p, n, i, i, i]
    library.bn_backward.restype = None
    library.chain_forward.argtypes = [*[p] * 9, f, *[i] * 13]
    library.chain_forward.restype = i
    library.chain_backward.argtypes = [*[p] * 14, *[i] * 13]
    library.chain_backward.restype = i
    library.weighted_sum.argtypes = [p, p, p, i, n, i]
    library.weighted_sum.restype = None
    return library


def fits(x: Tensor) -> bool:
    """Whether the kernels can read a tensor: float32, on the CPU, (b, c, h, w) with the channels last in memory.

    Within `torch.compile` they cannot: a compiler sees torch's own functions only.
    """
    return (
        not torch.compiler.is_compiling()
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and available()
    )


def _at(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def weight_gradient(x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """(c, 1, k, k) gradient of a depthwise convolution; k is 3, 5 or 7."""
    n, c, h, w = x.shape
    out = torch.empty(c, 1, kernel, kernel)
    _call().dw_weight_gradient(
        *(_at(x), _at(grad), _at(out), n, h, w, grad.shape[2], grad.shape[3], c),
        *(kernel, stride, padding, dilation, torch.get_num_threads()),
    )
    return out


def depthwise(x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    """Depthwise convolution; k is 3, 5 or 7."""
    n, c, h, w = x.shape
    k = weight.shape[-1]
    oh, ow = ((size + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for size in (h, w))
    out = torch.empty(n, c, oh, ow, memory_format=torch.channels_last)
    taps = weight.detach().reshape(c, -1).t().contiguous()
    threads = torch.get_num_threads()
    _call().dw_forward(_at(x), _at(taps), _at(out), n, h, w, oh, ow, c, k, stride, padding, dilation, threads)
    return out


def input_gradient(
    grad: Tensor, weight: Tensor, size: tuple[int, int], stride: int, padding: int, dilation: int
) -> Tensor:
    """(b, c, h, w) gradient of a depthwise convolution of any stride."""
    n, c, oh, ow = grad.shape
    out = torch.empty(n, c, *size, memory_format=torch.channels_last)
    taps = weight.detach().reshape(c, -1).t().contiguous()  # (k*k, c)
    _call().dw_input_gradient(
        *(_at(grad), _at(taps), _at(out), n, size[0], size[1], oh, ow, c),
        *(weight.shape[-1], stride, padding, dilation, torch.get_num_threads()),
    )
    return out


def norm_forward(
    x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm in training mode, and ReLU: output, mean (c,), inverse deviation (c,)."""
    c = x.shape[1]
    out, mean, inverse = torch.empty_like(x), x.new_empty(c), x.new_empty(c)
    _call().bn_forward(
        *(_at(x), _at(scale), _at(shift), _at(out), _at(mean), _at(inverse), x.numel() // c, c, eps),
        *(int(relu), torch.get_num_threads()),
    )
    return out, mean, inverse


def norm_backward(
    x: Tensor,
    grad: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    statistics: tuple[Tensor, Tensor],
    relu: bool,
    want_input: bool,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of the input, the scale (c,) and the shift (c,)."""
    c = x.shape[1]
    to_x = torch.empty_like(x) if want_input else None
    to_scale, to_shift = x.new_empty(c), x.new_empty(c)
    _call().bn_backward(
        *(_at(x), _at(grad), _at(scale), _at(shift), _at(statistics[0]), _at(statistics[1])),
        *(_at(to_x), _at(to_scale), _at(to_shift), x.numel() // c, c, int(relu), torch.get_num_threads()),
    )
    return to_x, to_scale, to_shift


@dataclass(frozen=True)
class ChainShape:
    """Sizes of a depthwise convolution, a 1x1 convolution and a batch norm behind it."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    relu: bool

    def output(self, size: int) -> int:
        """Positions along an axis."""
        return (size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def numbers(self, x: Tensor, out: int) -> tuple[int, ...]:
        """What the kernels read."""
        n, c, h, w = x.shape
        sizes = (n, h, w, self.output(h), self.output(w), c, out, self.kernel)
        return (*sizes, self.stride, self.padding, self.dilation, int(self.relu), torch.get_num_threads())


def chain_forward(
    x: Tensor, depth: Tensor, point: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float, shape: ChainShape
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Depthwise (c, 1, k, k) and 1x1 (o, c, 1, 1) convolution, batch norm, ReLU.

    Returns:
        output, the norm's input, mean (o,), inverse deviation (o,).
    """
    n, c, h, w = x.shape
    o = point.shape[0]
    taps, mixed = depth.reshape(c, -1).t().contiguous(), point.reshape(o, c).t().contiguous()
    u = torch.empty(n, o, shape.output(h), shape.output(w), memory_format=torch.channels_last)
    y, mean, inverse = torch.empty_like(u), x.new_empty(o), x.new_empty(o)
    pointers = (_at(v) for v in (x, taps, mixed, scale, shift, u, y, mean, inverse))
    _call().chain_forward(*pointers, eps, *shape.numbers(x, o))
    return y, u, mean, inverse


def chain_backward(
    x: Tensor,
    grad: Tensor,
    u: Tensor,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    statistics: tuple[Tensor, Tensor],
    shape: ChainShape,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor, Tensor]:
    """Gradients of the input, both convolutions (those that are wanted), the scale and the shift."""
    depth, point, scale, shift = weights
    c, o = x.shape[1], point.shape[0]
    taps, mixed = depth.reshape(c, -1).t().contiguous(), point.reshape(o, c).contiguous()
    to_x = torch.empty_like(x) if wanted[0] else None
    to_depth = torch.empty(depth.shape) if wanted[1] else None
    to_point = torch.empty(o, c, 1, 1) if wanted[2] else None
    to_scale, to_shift = x.new_empty(o), x.new_empty(o)
    read = (x, grad, u, taps, mixed, scale, shift, *statistics)
    pointers = (_at(v) for v in (*read, to_x, to_depth, to_point, to_scale, to_shift))
    _call().chain_backward(*pointers, *shape.numbers(x, o))
    return to_x, to_depth, to_point, to_scale, to_shift


def weighted_sum(terms: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_i w_i x_i of tensors with one memory layout, in one pass."""
    out = torch.empty_like(terms[0])
    pointers = (ctypes.c_void_p * len(terms))(*(t.data_ptr() for t in terms))
    factors = (ctypes.c_float * len(terms))(*weights)
    _call().weighted_sum(pointers, factors, _at(out), len(terms), out.numel(), torch.get_num_threads())
    return out


def _call() -> Any:
    library = _library()
    if library is None:
        raise EvaluationError("the compiled kernels are not there; ask `fits(x)` before calling one")
    return library
