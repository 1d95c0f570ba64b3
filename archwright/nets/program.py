"""A network as a straight-line program: which leaf runs on which values, in order.

`record` runs a tree's `flow` once with symbolic values. The program is what a network executes, what the source
exporter prints, what the diagram draws, and what ties a subnet to the weights of its sites.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Leaf, Shape
from archwright.operators.walk import OneWalker


@dataclass(frozen=True)
class Step:
    """One leaf at work: `inputs` and `output` number the values; `free` are the values not needed afterwards."""

    name: str
    leaf: Leaf
    inputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output: int
    shape: Shape
    free: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """Steps over numbered values; values 0 .. len(input_shapes) - 1 are the network's inputs."""

    input_shapes: tuple[Shape, ...]
    steps: tuple[Step, ...]
    result: int
    shape: Shape


@dataclass(frozen=True)
class Symbol:
    """A value that is not there yet: its number and its shape without the batch axis."""

    number: int
    shape: Shape


class Recorder(OneWalker):
    """Records the steps of one architecture."""

    def __init__(self, code: Sequence[int] | None, count: int) -> None:
        super().__init__(code)
        self.steps: list[Step] = []
        self._count = count
        self._names: dict[str, Leaf] = {}

    def plain_leaf(self, leaf: Leaf, values: tuple[Symbol, ...]) -> Symbol:
        """Append a step."""
        shapes = tuple(v.shape for v in values)
        shape = leaf.output(*shapes)
        numbers = tuple(v.number for v in values)
        self.steps.append(Step(self._name(leaf), leaf, numbers, shapes, self._count, shape))
        self._count += 1
        return Symbol(self._count - 1, shape)

    def _name(self, leaf: Leaf) -> str:
        if not leaf.site:
            stem = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(leaf).__name__).lower()
            name = f"{stem}_{len(self.steps)}"
        else:
            name = site_name(leaf.site)
            known = self._names.get(name)
            if known is not None and known != leaf:  # one site, two settings: not the same weights
                name = f"{name}_{len(self.steps)}"
        self._names[name] = leaf
        return name


def site_name(site: str) -> str:
    """A site as a Python name: `parts.2#0.body|1` becomes `parts_2_0_body_1`."""
    name = re.sub(r"\W+", "_", site).strip("_")
    return name if not name[:1].isdigit() else f"_{name}"


def record(root: Any, input_shapes: Sequence[Shape], code: Sequence[int] | None = None) -> Program:
    """The program of a tree without choices, or of an annotated tree under one code.

    Raises:
        SpaceError: if a part does not accept what stands before it.
    """
    shapes = tuple(tuple(int(size) for size in shape) for shape in input_shapes)
    if not shapes:
        raise SpaceError("a network needs the shape of at least one input, for example (3, 32, 32); got none")
    recorder = Recorder(code, len(shapes))
    result = recorder.run(root, *(Symbol(i, shape) for i, shape in enumerate(shapes)))
    return Program(shapes, _with_free(recorder.steps, result.number), result.number, result.shape)


def _with_free(steps: list[Step], result: int) -> tuple[Step, ...]:
    last: dict[int, int] = {}
    for i, step in enumerate(steps):
        for number in step.inputs:
            last[number] = i
    out = []
    for i, step in enumerate(steps):
        free = tuple(n for n in dict.fromkeys(step.inputs) if last[n] == i and n != result)
        out.append(Step(step.name, step.leaf, step.inputs, step.input_shapes, step.output, step.shape, free))
    return tuple(out)
