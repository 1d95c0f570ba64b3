"""The kernels inside operators: convolutions, matrix products and elementwise passes with their geometry.

A leaf may run several kernels (a separable convolution runs four), and accelerator models need the geometry of each.
`kernels_of` runs every distinct leaf once on the meta device and reads the calls, so that any operator, also one that
is added later, has kernels without further work. Batch size is one; batched products count as repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import EvaluationError, SpaceError, require
from archwright.operators.base import Leaf, Shape

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from archwright.costs.workload import OperatorRows

CONV, PRODUCT, ELEMENTWISE = range(3)  # PRODUCT: both operands are activations (attention)
KINDS = ("conv", "product", "elementwise")


@dataclass(frozen=True)
class Kernels:
    """Struct of arrays, one entry a kernel, all float64 (n,) but `owner` and `names`.

    A convolution has `groups` independent parts; out_h, out_w: output positions; kernel_h, kernel_w, channels: window
    of one part; filters: outputs of one part; repeat: independent batches. A linear layer on t tokens has out_h = t
    and a 1 x 1 kernel. Elementwise kernels have filters 0, and as channels the elements that are normalised together
    (softmax, layer norm). inputs, weights, outputs: elements moved once each.
    """

    kind: np.ndarray
    out_h: np.ndarray
    out_w: np.ndarray
    kernel_h: np.ndarray
    kernel_w: np.ndarray
    channels: np.ndarray
    filters: np.ndarray
    stride: np.ndarray
    groups: np.ndarray
    repeat: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray
    owner: np.ndarray  # int64, the row that each kernel belongs to
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def positions(self) -> np.ndarray:
        """Output positions of one part."""
        return self.out_h * self.out_w

    @property
    def window(self) -> np.ndarray:
        """Products per output."""
        return self.kernel_h * self.kernel_w * self.channels

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates of all parts and batches; 0 for elementwise kernels."""
        return self.positions * self.window * self.filters * self.groups * self.repeat

    def sum_rows(self, values: np.ndarray, rows: int) -> np.ndarray:
        """Sum a value per kernel into its row, (rows,); NaN stays NaN."""
        return np.bincount(self.owner, weights=np.asarray(values, dtype=np.float64), minlength=rows)


_COLUMNS = tuple(f.name for f in fields(Kernels) if f.name not in ("owner", "names"))


def _stack(lines: Sequence[tuple[str, tuple[float, ...]]], owner: Sequence[int]) -> Kernels:
    table = np.array([line for _, line in lines], dtype=np.float64).reshape(len(lines), len(_COLUMNS))
    columns = dict(zip(_COLUMNS, table.T, strict=True))
    return Kernels(**columns, owner=np.asarray(owner, dtype=np.int64), names=tuple(name for name, _ in lines))


def kernels_of(rows: OperatorRows) -> Kernels:
    """Kernels of every operator row, in order; `owner` is the row."""
    lines: list[tuple[str, tuple[float, ...]]] = []
    owner: list[int] = []
    for row, (leaf, shapes) in enumerate(zip(rows.leaves, rows.input_shapes, strict=True)):
        found = _leaf_kernels(leaf, shapes)
        lines += found
        owner += [row] * len(found)
    return _stack(lines, owner)


def kernels_of_module(module: nn.Module, *input_shapes: Shape) -> Kernels:
    """Kernels of a whole network; all belong to row 0.

    Raises:
        SpaceError: if the module does not accept these shapes.
    """
    lines = _trace(module, input_shapes)
    return _stack(lines, [0] * len(lines))


@lru_cache(maxsize=65536)
def _leaf_kernels(leaf: Leaf, shapes: tuple[Shape, ...]) -> list[tuple[str, tuple[float, ...]]]:
    import torch

    with torch.device("meta"):
        module = leaf.module(*shapes)
    return _trace(module, shapes)


def _trace(module: nn.Module, shapes: Sequence[Shape]) -> list[tuple[str, tuple[float, ...]]]:
    import copy

    import torch

    recorder = _recorder()
    module = module if _is_meta(module) else copy.deepcopy(module).to("meta")
    module.eval()
    values = [torch.empty(1, *shape, device="meta") for shape in shapes]
    try:
        with torch.no_grad(), recorder:
            module(*values)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise SpaceError(
            f"{type(module).__name__} does not accept inputs of shape {tuple(shapes)}: {error}; check the shapes"
        ) from error
    return recorder.lines


def _is_meta(module: nn.Module) -> bool:
    return all(t.is_meta for t in [*module.parameters(), *module.buffers()])


@lru_cache(maxsize=1)
def _recorder_class() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recorder(TorchDispatchMode):
        """Writes a line for every kernel that is called."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: list[tuple[str, tuple[float, ...]]] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            line = _line(func, args, result)
            if line is not None:
                self.lines.append(line)
            return result

    return Recorder


def _recorder() -> Any:
    return _recorder_class()()


def _line(func: Any, args: Any, result: Any) -> tuple[str, tuple[float, ...]] | None:
    name = func.overloadpacket.__name__
    if name == "convolution":
        return name, _convolution(args[0], args[1], result, args[3], bool(args[6]), int(args[8]))
    if name in ("mm", "addmm"):
        left, right = (args[1], args[2]) if name == "addmm" else (args[0], args[1])
        return name, _product(CONV, 1, left.shape[0], left.shape[1], right.shape[1])
    if name in ("bmm", "baddbmm"):
        left, right = (args[1], args[2]) if name == "baddbmm" else (args[0], args[1])
        return name, _product(PRODUCT, left.shape[0], left.shape[1], left.shape[2], right.shape[2])
    if name.startswith("_scaled_dot_product"):
        query, key = args[0], args[1]  # two products of (queries, d) x (d, keys), written as one of twice the depth
        heads = query.shape[0] * query.shape[1]
        return name, _product(PRODUCT, heads, query.shape[2], 2 * query.shape[3], key.shape[2])
    return _elementwise(name, func, args, result)


def _convolution(x: Any, weight: Any, y: Any, stride: Any, transposed: bool, groups: int) -> tuple[float, ...]:
    spatial = [1] * (4 - x.dim()) + list((x if transposed else y).shape[2:])
    kernel = [1] * (4 - x.dim()) + list(weight.shape[2:])
    out_h, out_w = int(np.prod(spatial[:-1])), spatial[-1]
    kernel_h, kernel_w = int(np.prod(kernel[:-1])), kernel[-1]
    sizes = x.numel(), weight.numel(), y.numel()
    if transposed:  # each input position meets every filter tap once
        taps = kernel_h * kernel_w * weight.shape[1]
        return (CONV, out_h, out_w, 1, 1, weight.shape[0] // groups, taps, 1, groups, 1, *sizes)
    filters = weight.shape[0] // groups
    return (CONV, out_h, out_w, kernel_h, kernel_w, weight.shape[1], filters, max(stride), groups, 1, *sizes)


def _product(kind: int, batch: int, rows: int, inner: int, out: int) -> tuple[float, ...]:
    return (kind, rows, 1, 1, 1, inner, out, 1, 1, batch, batch * rows * inner,
            inner * out * (batch if kind == PRODUCT else 1), batch * rows * out)  # fmt: skip


def _elementwise(name: str, func: Any, args: Any, result: Any) -> tuple[str, tuple[float, ...]] | None:
    import torch

    output = result[0] if isinstance(result, tuple | list) and result else result
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return None
    if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
        return None  # a view moves nothing
    flat = [a for value in args for a in (value if isinstance(value, tuple | list) else (value,))]
    read = sum(a.numel() for a in flat if isinstance(a, torch.Tensor))
    if name in ("empty", "zeros", "ones", "full", "detach", "alias", "_unsafe_view") or not read:
        return None
    together = _normalised(name, args)
    return name, (ELEMENTWISE, output.numel(), 1, 1, 1, together, 0, 1, 1, 1, read, 0, output.numel())


def _normalised(name: str, args: Any) -> int:
    if "softmax" in name:
        return int(args[0].shape[args[1]])
    return prod(args[1]) if "layer_norm" in name else 1


def kernels_of_onnx(path: str | Path) -> Kernels:
    """Kernels of an ONNX file with static shapes: Conv, Gemm, MatMul; every other node counts as elementwise.

    Raises:
        EvaluationError: if the file cannot be read, or a shape is not static.
        MissingPackageError: if onnx is not installed.
    """
    require("onnx", extra="onnx", feature="reading an ONNX file")
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    except Exception as error:  # protobuf, a missing weights file, shapes that contradict each other
        why = " ".join(str(error).split())
        raise EvaluationError(f"{str(path)!r} cannot be read as an ONNX file: {why}") from error
    if not model.graph.node:
        raise EvaluationError(f"{str(path)!r} is an ONNX file without nodes; export a network")
    graph, shapes = model.graph, {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    weights = {t.name for t in graph.initializer}
    shapes |= {t.name: tuple(t.dims) for t in graph.initializer}
    lines = [_onnx_line(node, shapes, weights) for node in graph.node]
    kept = [line for line in lines if line is not None]
    return _stack(kept, [0] * len(kept))


_ONNX_FREE = {"Reshape", "Flatten", "Identity", "Shape", "Constant", "Unsqueeze", "Squeeze", "Gather", "Cast", "Slice"}


def _onnx_line(
    node: Any, shapes: dict[str, tuple[int, ...]], weights: set[str]
) -> tuple[str, tuple[float, ...]] | None:
    if node.op_type in _ONNX_FREE:
        return None
    ins = [shapes.get(name, ()) for name in node.input if name]
    out = shapes.get(node.output[0], ())
    if not out or not ins or 0 in out or any(0 in s for s in ins):
        raise EvaluationError(
            f"the ONNX node {node.name or node.op_type!r} needs static shapes, got {ins} -> {out}; "
            "export the network with fixed input shapes"
        )
    attributes: dict[str, Any] = {a.name: (list(a.ints) or a.i) for a in node.attribute}
    if node.op_type == "Conv":
        kernel, spatial = [1] * (4 - len(out)) + list(ins[1][2:]), [1] * (4 - len(out)) + list(out[2:])
        groups = int(attributes["group"]) if attributes.get("group") else 1
        stride = max(attributes.get("strides", [1]))
        return node.op_type, (CONV, spatial[0], spatial[1], kernel[0], kernel[1], ins[1][1], ins[1][0] // groups,
        stride,
                              groups, 1, prod(ins[0]), prod(ins[1]), prod(out))  # fmt: skip
    if node.op_type in ("Gemm", "MatMul"):
        kind = CONV if node.input[1] in weights else PRODUCT
        inner = ins[0][-2] if node.op_type == "Gemm" and attributes.get("transA") else ins[0][-1]
        batch = 1 if kind == CONV else int(np.prod(out[:-2]))
        return node.op_type, _product(kind, batch, int(np.prod(out[:-1])) // batch, inner, out[-1])
    read = sum(prod(s) for s in ins)
    return node.op_type, (ELEMENTWISE, prod(out), 1, 1, 1, 1, 0, 1, 1, 1, read, 0, prod(out))
