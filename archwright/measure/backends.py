"""What runs a network for timing: PyTorch eager, PyTorch compiled, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError, EvaluationError, nearest, require

Backend = Literal["torch", "torch-compile", "onnxruntime"]
BACKENDS: tuple[Backend, ...] = ("torch", "torch-compile", "onnxruntime")
Runner = Callable[[], object]


def check_backend(backend: str) -> None:
    """See that a backend is known and its packages are there.

    Raises:
        ConfigurationError: if it is unknown.
        MissingPackageError: if it needs a package that is not installed.
    """
    if backend not in BACKENDS:
        raise ConfigurationError(f"unknown latency backend {backend!r}; {nearest(backend, BACKENDS)}")
    if backend == "onnxruntime":
        require("onnxruntime", extra="onnx", feature="latency in ONNX Runtime")
        require("onnx", extra="onnx", feature="latency in ONNX Runtime")


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """PyTorch limited to a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def runner(net: nn.Module, inputs: Sequence[Tensor], backend: Backend, threads: int) -> Runner:
    """A function that runs the network once on these inputs and returns when the outputs are there.

    Args:
        net: in evaluation mode afterwards.
        inputs: with the batch axis, on the network's device.
        backend: `torch`, `torch-compile` or `onnxruntime`.
        threads: for ONNX Runtime; PyTorch's are set by `fixed_threads`.

    Raises:
        EvaluationError: if the network cannot run there.
    """
    check_backend(backend)
    net.eval()
    try:
        if backend == "onnxruntime":
            return _onnxruntime(net, inputs, threads)
        return _torch(net, inputs, compiled=backend == "torch-compile")
    except EvaluationError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"the network cannot be timed in {backend}: {str(error).splitlines()[0]}; try another backend"
        ) from error


def _torch(net: nn.Module, inputs: Sequence[Tensor], *, compiled: bool) -> Runner:
    function: Any = torch.compile(net) if compiled else net
    values = tuple(inputs)
    cuda = any(v.is_cuda for v in values)

    def run() -> object:
        with torch.inference_mode():
            out = function(*values)
            if cuda:
                torch.cuda.synchronize()
            return out

    run()
    return run


def _onnxruntime(net: nn.Module, inputs: Sequence[Tensor], threads: int) -> Runner:
    from archwright.nets.onnx_probe import onnx_bytes

    return session_of(onnx_bytes(net.to("cpu"), [v.cpu() for v in inputs]), inputs, threads)


def session_of(model: bytes, inputs: Sequence[Tensor], threads: int) -> Runner:
    """A function that runs an ONNX model once in ONNX Runtime on the CPU.

    Args:
        model: with inputs named `input_0`, `input_1`, ...
        inputs: with the batch axis.
        threads: of the session.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers answer fastest; stopping them between runs keeps one session from disturbing the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    known = {i.name for i in session.get_inputs()}  # an input without effect is not in the graph
    feeds = {f"input_{i}": v.cpu().numpy() for i, v in enumerate(inputs) if f"input_{i}" in known}
    return lambda: session.run(None, feeds)


__all__ = ["BACKENDS", "Backend", "Runner", "check_backend", "fixed_threads", "runner", "session_of"]
