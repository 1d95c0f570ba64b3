"""What a batch of architectures has to compute: the distinct operator rows, and which architecture uses which.

A row is one leaf with its input shapes. Thousands of architectures of a space share a few hundred rows, so a cost is
computed once a row and then gathered and summed. `rows_of` finds the rows by sending the whole batch through the
space's tree at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf, Shape
from archwright.operators.walk import ChoiceNode, Held, RepeatNode, Walker, annotate, resolve_fields
from archwright.space import Space


@dataclass(frozen=True, eq=False)
class OperatorRows:
    """Distinct operators as a struct of arrays; row r is `leaves[r]` on inputs of `input_shapes[r]`."""

    leaves: tuple[Leaf, ...]
    input_shapes: tuple[tuple[Shape, ...], ...]
    output_shapes: tuple[Shape, ...]

    def __len__(self) -> int:
        return len(self.leaves)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Class name of each row's leaf."""
        return tuple(type(leaf).__name__ for leaf in self.leaves)

    @cached_property
    def counts(self) -> Mapping[str, np.ndarray]:
        """`params`, `macs`, `activation_bytes`, `weight_bytes` of one sample, float64 (rows,)."""
        counted = [leaf.counts(*shapes) for leaf, shapes in zip(self.leaves, self.input_shapes, strict=True)]
        names = ("params", "macs", "activation_bytes", "weight_bytes")
        return {n: np.array([getattr(c, n) for c in counted], dtype=np.float64) for n in names}


@dataclass(frozen=True, eq=False)
class Workload:
    """Rows of a batch of architectures.

    index: (architectures, sites) int32, the row at each site, -1 = the architecture has nothing there. Column order is
    the order of execution.
    sites: name of each column.
    """

    rows: OperatorRows
    index: np.ndarray
    sites: tuple[str, ...]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum a value per row, (rows,), along each architecture: (architectures,)."""
        padded = np.append(np.asarray(values, dtype=np.float64), 0.0)
        return padded[self.index].sum(axis=1)

    def gather(self, values: np.ndarray, empty: float = np.nan) -> np.ndarray:
        """A value per row, (rows,), at each site: (architectures, sites); `empty` where there is nothing."""
        padded = np.append(np.asarray(values, dtype=np.float64), empty)
        return padded[self.index]


class _RowWalker(Walker):
    """Values are arrays of shape numbers, one per architecture; -1 = the architecture does not pass here."""

    def __init__(self, codes: np.ndarray) -> None:
        super().__init__()
        self.codes = codes
        self.shapes: list[Shape] = []
        self._numbers: dict[Shape, int] = {}
        self._rows: dict[tuple[Leaf, tuple[int, ...]], tuple[int, int]] = {}
        self.table: list[tuple[Leaf, tuple[Shape, ...], Shape]] = []
        self.columns: list[np.ndarray] = []
        self.sites: list[str] = []

    def number(self, shape: Shape) -> int:
        known = self._numbers.get(shape)
        if known is None:
            known = self._numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
        return known

    def leaf(self, leaf: Leaf, values: tuple[np.ndarray, ...]) -> np.ndarray:
        """Group the batch by input shapes and by the leaf's own codes; one row a group."""
        decisions = list(self.held(leaf).nodes)
        here = np.logical_and.reduce([v >= 0 for v in values])
        passing = None if here.all() else np.flatnonzero(here)
        parts = [v if passing is None else v[passing] for v in values]
        parts += [self.codes[:, d] if passing is None else self.codes[passing, d] for d in decisions]
        column = np.full(len(self.codes), -1, dtype=np.int32)
        output = np.full(len(self.codes), -1, dtype=np.int32)
        if len(parts[0]):
            rows, shapes, inverse = self._groups(leaf, parts, len(values), decisions)
            at = slice(None) if passing is None else passing
            column[at], output[at] = rows[inverse], shapes[inverse]
        self.columns.append(column)
        self.sites.append(leaf.site or f"{type(leaf).__name__}_{len(self.sites)}")
        return output

    def _groups(
        self, leaf: Leaf, parts: list[np.ndarray], count: int, decisions: list[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        key = np.zeros(len(parts[0]), dtype=np.int64)
        for part in parts:  # mixed radix; codes and shape numbers are small
            key = key * (int(part.max()) + 2) + (part + 1)
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        rows, shapes = np.empty(len(first), dtype=np.int32), np.empty(len(first), dtype=np.int32)
        for g, at in enumerate(first):
            inputs = tuple(int(p[at]) for p in parts[:count])
            code = {d: int(p[at]) for d, p in zip(decisions, parts[count:], strict=True)}
            rows[g], shapes[g] = self._row(resolve_fields(leaf, self.held(leaf), code), inputs)
        return rows, shapes, inverse

    def _row(self, leaf: Leaf, inputs: tuple[int, ...]) -> tuple[int, int]:
        known = self._rows.get((leaf, inputs))
        if known is None:
            shapes = tuple(self.shapes[i] for i in inputs)
            output = leaf.output(*shapes)
            known = self._rows[leaf, inputs] = (len(self.table), self.number(output))
            self.table.append((leaf, shapes, output))
        return known

    def choice(self, node: ChoiceNode, values: tuple[np.ndarray, ...]) -> np.ndarray:
        """Send each architecture through the option of its code."""
        codes = self.codes[:, node.decision]
        masks = [codes == k for k in range(len(node.options))]
        results = (
            self.run(option, *(np.where(mask, v, -1) for v in values))
            for option, mask in zip(node.options, masks, strict=True)
        )
        out = next(results)
        for mask, result in zip(masks[1:], results, strict=True):
            out = np.where(mask, result, out)
        return out

    def repeat(self, node: RepeatNode, values: tuple[np.ndarray, ...]) -> np.ndarray:
        """Send each architecture through its first copies."""
        (value,) = values
        codes = self.codes[:, node.decision]
        times = np.where(codes >= 0, np.array(node.times)[codes], 0)
        for i, copy in enumerate(node.copies):
            mask = times > i
            value = np.where(mask, self.run(copy, np.where(mask, value, -1)), value)
        return value

    def decide(self, part: Composite, held: Held, values: tuple[np.ndarray, ...]) -> np.ndarray:
        """Run the flow once for every wiring that occurs in the batch."""
        decisions = list(held.nodes)
        own = self.codes[:, decisions]
        here = np.logical_and.reduce([v >= 0 for v in values])
        out = np.full(len(self.codes), -1, dtype=np.int32)
        for setting in np.unique(own[here], axis=0):
            mask = here & (own == setting).all(axis=1)
            resolved: Any = resolve_fields(part, held, dict(zip(decisions, setting.tolist(), strict=True)))
            result = resolved.flow(self.run, *(np.where(mask, v, -1) for v in values))
            out = np.where(mask, result, out)
        return out


def rows_of(space: Space, codes: np.ndarray, *input_shapes: Shape, root: Any = None) -> Workload:
    """The operator rows of a batch of architectures.

    Args:
        space: with a network.
        codes: (n, decisions) int.
        input_shapes: of each input, without the batch axis.
        root: `annotate(space)`, where the caller has it.

    Raises:
        SpaceError: if the codes do not fit the space, or a part does not accept what stands before it.
    """
    codes = np.atleast_2d(np.asarray(codes))
    if codes.shape[1] != len(space.decisions):
        raise SpaceError(f"expected codes (n, {len(space.decisions)}) of this space, got {codes.shape}")
    walker = _RowWalker(codes)
    starts = (np.full(len(codes), walker.number(tuple(shape)), dtype=np.int32) for shape in input_shapes)
    walker.run(annotate(space) if root is None else root, *starts)
    leaves, inputs, outputs = zip(*walker.table, strict=True) if walker.table else ((), (), ())
    index = np.stack(walker.columns, axis=1) if walker.columns else np.empty((len(codes), 0), np.int32)
    return Workload(OperatorRows(leaves, inputs, outputs), index, tuple(walker.sites))


def rows_of_program(steps: Sequence[Any]) -> Workload:
    """The rows of one built network, from its program's steps (`archwright.nets.program.Step`)."""
    known: dict[tuple[Leaf, tuple[Shape, ...]], int] = {}
    table: list[tuple[Leaf, tuple[Shape, ...], Shape]] = []
    index = []
    for step in steps:
        key = (step.leaf, step.input_shapes)
        if key not in known:
            known[key] = len(table)
            table.append((step.leaf, step.input_shapes, step.shape))
        index.append(known[key])
    leaves, inputs, outputs = zip(*table, strict=True) if table else ((), (), ())
    return Workload(
        OperatorRows(leaves, inputs, outputs), np.array([index], dtype=np.int32), tuple(s.name for s in steps)
    )
