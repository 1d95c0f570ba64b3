"""Names for the axes of values, and how a layer acts along each of them.

Layers are typed morphisms between tuples of named axes (Abbott, 2024, "Neural Circuit Diagrams"). A layer is
*broadcast* over an axis when it does the same to every position of that axis and never mixes positions: a 1x1
convolution is broadcast over height and width. This is measured on the layer itself with random weights, not looked
up, so that it holds for modules of the user's as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import torch

from archwright.nets.program import Program, Step
from archwright.operators.base import Leaf, Shape, trace

Action = Literal["broadcast", "separate", "mixed"]
IMAGE, SERIES, TOKENS = ("channels", "height", "width"), ("channels", "length"), ("tokens", "features")
_PROBE_PARAMS = 20_000_000  # larger layers are not run for their picture


class Axis(NamedTuple):
    """A named axis of a value and its size."""

    name: str
    size: int


def name_axes(program: Program) -> dict[int, tuple[Axis, ...]]:
    """Value number -> its named axes, without the batch axis.

    Values of rank 2 are series (channels, length) or tokens (tokens, features); layers with one-dimensional
    convolutions tell the first, and values that are joined by layers of rank 2 are of one kind.
    """
    shapes = dict(enumerate(program.input_shapes)) | {s.output: s.shape for s in program.steps}
    leader = {n: n for n in shapes}

    def find(n: int) -> int:
        while leader[n] != n:
            leader[n] = n = leader[leader[n]]
        return n

    series: set[int] = set()
    for step in program.steps:
        flat = [n for n in step.inputs if len(shapes[n]) == 2]
        if flat and _convolves(step):
            series |= set(flat)
        if len(step.shape) == 2 and not _transposes(step):
            flat.append(step.output)
        elif len(step.shape) == 2 and "from" in type(step.leaf).__name__.lower():
            series.add(step.output)
        for n in flat[1:]:
            leader[find(n)] = find(flat[0])
    kinds = {find(n) for n in series}
    return {n: _named(shape, find(n) in kinds) for n, shape in shapes.items()}


def _named(shape: Shape, is_series: bool) -> tuple[Axis, ...]:
    names: tuple[str, ...]
    if len(shape) == 1:
        names = ("features",)
    elif len(shape) == 2:
        names = SERIES if is_series else TOKENS
    elif len(shape) == 3:
        names = IMAGE
    else:
        names = ("channels", "depth", "height", "width")[: len(shape)]
        names += tuple(f"axis{i}" for i in range(len(names), len(shape)))
    return tuple(Axis(n, s) for n, s in zip(names, shape, strict=True))


def _transposes(step: Step) -> bool:
    """Whether a layer goes between series and tokens, as its name says."""
    name = type(step.leaf).__name__.lower()
    return any(word in name for word in ("embed", "patch", "token"))


def _convolves(step: Step) -> bool:
    with torch.device("meta"):
        module = step.leaf.module(*step.input_shapes)
    kinds = {type(m).__name__ for m in module.modules()}
    return any(kind.endswith("1d") and "Norm" not in kind for kind in kinds)


@lru_cache(maxsize=8192)
def actions(leaf: Leaf, inputs: tuple[Shape, ...]) -> tuple[Action | None, ...]:
    """How a layer acts along each axis of its output; None where the question has no answer.

    Positions of an axis are *separate* if output position i depends on input position i alone, and *broadcast* if in
    addition the layer commutes with reversing the axis. Both are tested on random inputs and weights in one forward
    pass. The question needs equal sizes of at least 2 in the inputs and the output.
    """
    shape = trace(leaf, inputs).output
    axes = [a for a in range(len(shape)) if all(len(s) == len(shape) and s[a] == shape[a] > 1 for s in inputs)]
    found: list[Action | None] = [None] * len(shape)
    if not axes or trace(leaf, inputs).counts.params > _PROBE_PARAMS:
        return tuple(found)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        module = leaf.module(*inputs).eval()
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1)  # positive: variances, and no dead units
                if tensor.ndim > 1:
                    tensor.sub_(0.6)
        values = [_variations(torch.randn(shape_in), axes) for shape_in in inputs]
        try:
            outputs = module(*values)
        except (RuntimeError, TypeError, IndexError):
            return tuple(found)  # takes integers, or not such a batch
    if not outputs.numel():
        return tuple(found)
    scale = float(outputs.abs().max()) or 1.0
    base = outputs[0]
    for i, a in enumerate(axes):
        flipped, changed = outputs[1 + 2 * i], outputs[2 + 2 * i]
        rest = range(1, shape[a])
        local = _near(changed.index_select(a, torch.tensor(rest)), base.index_select(a, torch.tensor(rest)), scale)
        same = _near(flipped, base.flip(a), scale)
        found[a] = ("broadcast" if same else "separate") if local else "mixed"
    return tuple(found)


def _variations(x: torch.Tensor, axes: list[int]) -> torch.Tensor:
    """The input, and for each axis the input reversed along it and the input with its first slice replaced."""
    rows = [x]
    for a in axes:
        other = x.clone()
        other.select(a, 0).normal_()
        rows += [x.flip(a), other]
    return torch.stack(rows)


def _near(a: torch.Tensor, b: torch.Tensor, scale: float) -> bool:
    return bool((a - b).abs().max() <= 1e-5 * scale)
