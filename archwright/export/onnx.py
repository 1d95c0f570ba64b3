"""Export to ONNX, checked by the ONNX checker and, number by number, in ONNX Runtime.

The graph comes from torch's dynamo exporter; where that fails, from the TorchScript exporter, and the report says so.
The batch axis is free. Graphs are not edited afterwards, except for their text metadata.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archwright.errors import ExportError, require
from archwright.export.verify import Difference, difference, outputs_of, trial_inputs, unsteadiness
from archwright.operators.base import Shape
from archwright.registry import register

TOLERANCE = 1e-4  # of |difference| / (1 + |expected|)
SLACK = 2.0  # times what a network that rounds inside changes by itself


@dataclass(frozen=True)
class OnnxReport:
    """What was written and how well it agrees with PyTorch."""

    path: Path
    exporter: str  # "dynamo" or "torchscript"
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size_mb: float
    absolute_error: float
    relative_error: float
    checks: Mapping[str, float] = field(default_factory=dict)  # "random, batch 1" -> relative error
    note: str = ""


@register("exporters", "onnx")
def export_onnx(
    network: nn.Module,
    path: str | Path,
    *,
    input_shapes: Sequence[Shape] | None = None,
    real: Sequence[Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
) -> OnnxReport:
    """Write an ONNX file and compare it with the network on random and real inputs at batch 1 and 3.

    Args:
        network: any module; exported in evaluation mode, its mode and device are left as they are.
        path: of the file; what stood there is replaced only by a file that passed.
        input_shapes: without the batch axis; by default the network's own.
        real: a batch of each input (n, ...) to try as well.
        metadata: text properties for the file, such as the architecture's digest.
        tolerance: largest accepted |difference| / (1 + |expected|).

    Raises:
        MissingPackageError: without the onnx extra.
        ExportError: if both exporters fail, or the file computes something else; the numbers are given.
    """
    for package in ("onnx", "onnxruntime", "onnxscript"):
        require(package, extra="onnx", feature="export to ONNX")
    shapes = tuple(input_shapes or network.input_shapes)  # type: ignore[arg-type]
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        exporter, note = _write(network, shapes, real, partial)
        opset, names, results = _describe(partial, metadata or {})
        checks, worst = _verify(network, partial, names, shapes, real, tolerance)
        size = partial.stat().st_size / 1e6
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return OnnxReport(path, exporter, opset, names, results, size, worst.absolute, worst.relative, checks, note)


def _write(network: nn.Module, shapes: Sequence[Shape], real: Sequence[Tensor] | None, path: Path) -> tuple[str, str]:
    """Export by dynamo, else by TorchScript; returns the exporter's name and a note."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    example = tuple(x.to(device) for x in trial_inputs(shapes, real, 2)[0][1])
    mode = network.training
    network.eval()
    try:
        with quiet():
            try:
                _dynamo(network, example, path)
                return "dynamo", ""
            except Exception as error:  # the exporter raises many kinds
                first = _first_line(error)
            try:
                _torchscript(network, example, path)
                return "torchscript", f"the dynamo exporter failed ({first}), so the TorchScript exporter was used"
            except Exception as error:
                raise ExportError(
                    f"the network cannot be written as ONNX; dynamo: {first}; TorchScript: {_first_line(error)}; "
                    "model.py and model.safetensors are not affected"
                ) from error
    finally:
        network.train(mode)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def input_names(count: int) -> tuple[str, ...]:
    """Names of the graph's inputs: `input`, or `input0`, `input1` and so on."""
    return ("input",) if count == 1 else tuple(f"input{i}" for i in range(count))


def _dynamo(network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        Fixed(network),
        example,
        dynamo=True,
        input_names=list(input_names(len(example))),
        output_names=["output"],
        dynamic_shapes=(tuple({0: batch} for _ in example),),  # one entry for *inputs
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ExportError("torch.onnx.export returned nothing")
    program.save(str(path), external_data=False)


def _torchscript(network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    names = input_names(len(example))
    torch.onnx.export(
        Fixed(network),
        example,
        str(path),
        dynamo=False,
        input_names=list(names),
        output_names=["output"],
        dynamic_axes={name: {0: "batch"} for name in (*names, "output")},
    )


class Fixed(nn.Module):
    """The network under a plain signature, so that the graph has no trace of its class."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        """Pass on."""
        return self.network(*inputs)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' warnings, log lines and prints away from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch")]
    levels = [log.level for log in loggers]
    try:
        for log in loggers:
            log.setLevel(logging.ERROR)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def _describe(path: Path, metadata: Mapping[str, str]) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Add metadata, run the checker; returns opset, input names and output names."""
    import onnx

    model = onnx.load(path)
    for key, value in {"producer": "archwright", **metadata}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    onnx.save(model, path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the ONNX checker rejects the exported graph: {_first_line(error)}") from error
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return opset, tuple(i.name for i in model.graph.input), tuple(o.name for o in model.graph.output)


def _verify(
    network: nn.Module,
    path: Path,
    names: Sequence[str],
    shapes: Sequence[Shape],
    real: Sequence[Tensor] | None,
    tolerance: float,
) -> tuple[dict[str, float], Difference]:
    """Relative error by trial, and the worst.

    Raises:
        ExportError: if ONNX Runtime cannot run the file or differs by more than the tolerance and than what rounding
            inside the network explains.
    """
    session = onnx_session(path)
    checks: dict[str, float] = {}
    worst = Difference(0.0, 0.0)
    for batch in (1, 3):
        for kind, inputs in trial_inputs(shapes, real, batch, seed=batch):
            what = f"{kind}, batch {batch}"
            try:
                (got,) = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
            except Exception as error:  # onnxruntime raises its own kinds
                raise ExportError(
                    f"ONNX Runtime cannot run the exported graph ({what}): {_first_line(error)}"
                ) from error
            found = difference(outputs_of(network, inputs), torch.from_numpy(got))
            checks[what] = found.relative
            if not (found.relative <= tolerance or found.relative <= SLACK * unsteadiness(network, inputs)):
                raise ExportError(
                    f"the ONNX file computes something else than the network ({what}): the largest difference is "
                    f"{found.absolute:.3g} ({found.relative:.3g} relative), at most {tolerance:g} is accepted"
                )
            worst = max(worst, found, key=lambda d: d.relative)
    return checks, worst


def onnx_session(path: Path, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU that prints errors only.

    Raises:
        ExportError: if ONNX Runtime does not accept the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own kinds
        raise ExportError(f"ONNX Runtime does not accept {path}: {_first_line(error)}") from error
