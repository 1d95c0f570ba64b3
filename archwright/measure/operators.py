"""Time of single operators: several copies in one session, so that the cost of a call is not counted as the operator's.

With k copies that read the same input, `(time of k copies - time of one) / (k - 1)` is free of the session's own cost.
Copies have weights of their own, as the operators of a network do; their input stays in the cache, which flatters
operators that only move data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import EvaluationError
from archwright.measure.backends import Backend, Runner, fixed_threads, runner, session_of
from archwright.measure.timing import Protocol, time_functions

COPIES = 5
QUICK = Protocol(repeats=50, seconds=0.01, block_ms=1.0, warmup_seconds=0.03, attempts=2)


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator.

    Attributes:
        alone_ms: median of a session of one.
        copies_ms: median of a session of `COPIES`.
        iqr_ms: interquartile range, per operator.
        repeats: counted runs.
    """

    alone_ms: float
    copies_ms: float
    iqr_ms: float
    repeats: int

    @property
    def median_ms(self) -> float:
        """Of one operator in a session of several; one that is folded away costs nothing, and noise is not negative."""
        return max((self.copies_ms - self.alone_ms) / (COPIES - 1), 0.0)

    def least(self, other: OperatorTime) -> OperatorTime:
        """The lower times of two measurements, as what disturbs a machine only makes it slower."""
        lower = min(self, other, key=lambda t: t.copies_ms)
        return replace(lower, alone_ms=min(self.alone_ms, other.alone_ms))


def time_operators(
    modules: Sequence[nn.Module],
    inputs: Sequence[Sequence[Tensor]],
    *,
    backend: Backend = "onnxruntime",
    threads: int = 1,
    protocol: Protocol = QUICK,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> list[OperatorTime | None]:
    """Time modules in turns with each other.

    Args:
        modules: operators of a network.
        inputs: of each, with the batch axis.
        backend: as in `LatencyMeter`.
        threads: fixed number of threads.
        protocol: short by default; a table has hundreds of operators.
        seed: of the order of turns.
        device: for the torch backends.

    Returns:
        A time for each module; None where the backend cannot run it alone.
    """
    functions: list[Runner] = []
    usable: list[bool] = []
    with fixed_threads(threads):
        for module, values in zip(modules, inputs, strict=True):
            try:
                placed = [v.to(device) for v in values]
                pair = _pair(module.eval().to(device), placed, backend, threads)
            except EvaluationError:
                usable.append(False)
                continue
            functions.extend(pair)
            usable.append(True)
        reports = iter(time_functions(functions, protocol, seed=seed) if functions else ())
    found: list[OperatorTime | None] = []
    for good in usable:
        if not good:
            found.append(None)
            continue
        one, many = next(reports), next(reports)
        spread = float(np.hypot(one.iqr_ms, many.iqr_ms)) / (COPIES - 1)
        found.append(OperatorTime(one.median_ms, many.median_ms, spread, many.repeats))
    return found


def _pair(module: nn.Module, inputs: Sequence[Tensor], backend: Backend, threads: int) -> tuple[Runner, Runner]:
    if backend != "onnxruntime":
        return tuple(runner(_Copies(module, k), inputs, backend, threads) for k in (1, COPIES))  # type: ignore[return-value]
    from archwright.errors import ExportError
    from archwright.nets.onnx_probe import onnx_bytes

    try:
        model = onnx_bytes(module, inputs)
        return session_of(model, inputs, threads), session_of(copies_of(model, COPIES), inputs, threads)
    except ExportError as error:
        raise EvaluationError(str(error)) from error
    except Exception as error:  # ONNX Runtime raises types of its own
        raise EvaluationError(f"ONNX Runtime cannot run {type(module).__name__}: {error}") from error


class _Copies(nn.Module):
    """Runs copies of a module one after the other on the same input."""

    def __init__(self, module: nn.Module, count: int) -> None:
        super().__init__()
        import copy

        self.copies = nn.ModuleList([copy.deepcopy(module) for _ in range(count)])

    def forward(self, *inputs: Tensor) -> list[Any]:
        """Outputs of all copies."""
        return [copy(*inputs) for copy in self.copies]


def copies_of(model: bytes, count: int) -> bytes:
    """An ONNX model with `count` copies of a model's graph on the same inputs, each with weights of its own.

    Weights differ slightly, or ONNX Runtime would recognise the copies as one computation.
    """
    import onnx
    from onnx import numpy_helper

    source = onnx.load_from_string(model)
    joined = onnx.ModelProto()
    joined.CopyFrom(source)
    graph = joined.graph
    shared = {i.name for i in source.graph.input}
    for k in range(1, count):

        def renamed(name: str, k: int = k) -> str:
            return name if not name or name in shared else f"{name}__copy{k}"

        for tensor in source.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype.kind == "f":
                values = (values * (1.0 + 1e-3 * k) + 1e-6 * k).astype(values.dtype)
            graph.initializer.append(numpy_helper.from_array(values, renamed(tensor.name)))
        for node in source.graph.node:
            twin = graph.node.add()
            twin.CopyFrom(node)
            twin.name = renamed(node.name)
            twin.input[:] = [renamed(n) for n in node.input]
            twin.output[:] = [renamed(n) for n in node.output]
        for output in source.graph.output:
            twin_output = graph.output.add()
            twin_output.CopyFrom(output)
            twin_output.name = renamed(output.name)
    return bytes(joined.SerializeToString())


def inputs_of(shapes: Sequence[tuple[int, ...]], batch: int = 1, seed: int = 0) -> list[Tensor]:
    """Random inputs (batch, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator) for shape in shapes]


__all__ = ["COPIES", "OperatorTime", "copies_of", "inputs_of", "time_operators"]
