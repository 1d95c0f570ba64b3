"""What a site of a space depends on: grids over the few decisions that matter there.

A `GridWalker` sends, instead of shapes, grids of shape numbers through a space's tree: one number for every joint
setting of the decisions on which the shape depends. At a leaf it learns which resolved leaf runs at which setting.
Expected costs and mixtures are computed from these grids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf, Shape
from archwright.operators.walk import ChoiceNode, Held, RepeatNode, Walker, resolve_fields

GRID = 1 << 20


@dataclass(frozen=True, eq=False)
class Grid:
    """A number for every joint setting of a few decisions: `ids` has one axis a decision; -1 = not on the path."""

    decisions: tuple[int, ...]
    ids: np.ndarray

    def on(self, decisions: Sequence[int]) -> np.ndarray:
        """The ids, axes arranged for a superset of the decisions, ready to broadcast."""
        order = [self.decisions.index(d) for d in decisions if d in self.decisions]
        moved = self.ids.transpose(order)
        sizes = iter(moved.shape)
        return moved.reshape([next(sizes) if d in self.decisions else 1 for d in decisions])

    def pruned(self) -> Grid:
        """Without the decisions on which nothing depends."""
        decisions, ids = list(self.decisions), self.ids
        for axis in reversed(range(len(decisions))):
            if (ids == ids.take([0], axis=axis)).all():
                ids = ids.take(0, axis=axis)
                del decisions[axis]
        return Grid(tuple(decisions), ids)


class GridWalker(Walker):
    """Values are grids of shape numbers."""

    def __init__(self, options: Mapping[int, int]) -> None:
        super().__init__()
        self.options = options
        self.context: list[tuple[int, np.ndarray]] = []  # decision, (options,) bool: where the path goes on
        self.shapes: list[Shape] = []
        self.table: list[tuple[Leaf, tuple[Shape, ...], Shape]] = []
        self._rows: dict[tuple[Leaf, tuple[Shape, ...]], int] = {}
        self.sites: list[Grid] = []

    def number(self, shape: Shape) -> int:
        """The number of a shape; new shapes get the next one."""
        if shape not in self.shapes:
            self.shapes.append(shape)
        return self.shapes.index(shape)

    @contextmanager
    def where(self, decision: int, allowed: np.ndarray) -> Iterator[None]:
        """Within the block the path goes on only where `allowed`, (options,) bool, holds for the decision."""
        self.context.append((decision, allowed))
        yield
        self.context.pop()

    def _axes(self, grids: Sequence[Grid], own: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
        decisions = list(dict.fromkeys([*(d for g in grids for d in g.decisions), *own, *(d for d, _ in self.context)]))
        sizes = tuple(self.options[d] for d in decisions)
        if int(np.prod(sizes, dtype=np.int64)) > GRID:
            raise SpaceError(
                f"one operator of this space depends on {len(decisions)} decisions with {sizes} options, more joint "
                f"settings than the {GRID:,} that costs and mixtures can weigh; search it by trials or sampled paths"
            )
        return decisions, sizes

    def leaf(self, leaf: Leaf, values: tuple[Grid, ...]) -> Grid:
        """The row at every setting of the decisions that matter here."""
        own = list(self.held(leaf).nodes)
        decisions, sizes = self._axes(values, own)
        inputs = [np.broadcast_to(v.on(decisions), sizes).reshape(-1) for v in values]
        codes = np.indices(sizes, dtype=np.int64).reshape(len(sizes), int(np.prod(sizes)))
        here = np.logical_and.reduce([i >= 0 for i in inputs])
        for decision, allowed in self.context:
            here = here & allowed[codes[decisions.index(decision)]]
        rows = np.full(len(here), -1, dtype=np.int64)
        outputs = np.full(len(here), -1, dtype=np.int64)
        keys = np.stack([*inputs, *(codes[decisions.index(d)] for d in own)], axis=1)[here]
        if len(keys):
            found, inverse = np.unique(keys, axis=0, return_inverse=True)
            made = np.array([self._row(leaf, key, len(values), own) for key in found.tolist()])
            rows[here], outputs[here] = made[inverse.reshape(-1)].T
        self.sites.append(Grid(tuple(decisions), rows.reshape(sizes)).pruned())
        return Grid(tuple(decisions), outputs.reshape(sizes)).pruned()

    def _row(self, leaf: Leaf, key: list[int], count: int, own: list[int]) -> tuple[int, int]:
        resolved = resolve_fields(leaf, self.held(leaf), dict(zip(own, key[count:], strict=True)))
        shapes = tuple(self.shapes[i] for i in key[:count])
        if (resolved, shapes) not in self._rows:
            self._rows[resolved, shapes] = len(self.table)
            self.table.append((resolved, shapes, resolved.output(*shapes)))
        row = self._rows[resolved, shapes]
        return row, self.number(self.table[row][2])

    def pick(self, decision: int, chosen: Sequence[tuple[np.ndarray, Grid]]) -> Grid:
        """Join grids: each holds where its mask over the decision's options is True."""
        decisions, sizes = self._axes([g for _, g in chosen], [decision])
        ids = np.full(sizes, -1, dtype=np.int64)
        for mask, grid in chosen:
            shape = [len(mask) if d == decision else 1 for d in decisions]
            at = np.broadcast_to(mask.reshape(shape), sizes)
            ids = np.where(at, np.broadcast_to(grid.on(decisions), sizes), ids)
        return Grid(tuple(decisions), ids).pruned()

    def choice(self, node: ChoiceNode, values: tuple[Grid, ...]) -> Grid:
        """Every option on its share of the settings."""
        masks = np.eye(len(node.options), dtype=bool)
        chosen = []
        for mask, option in zip(masks, node.options, strict=True):
            with self.where(node.decision, mask):
                chosen.append((mask, self.run(option, *values)))
        return self.pick(node.decision, chosen)

    def repeat(self, node: RepeatNode, values: tuple[Grid, ...]) -> Grid:
        """Each copy where the chain is that long."""
        (value,) = values
        times = np.array(node.times)
        chosen = [(times == 0, value)]
        for i, copy in enumerate(node.copies):
            with self.where(node.decision, times > i):
                value = self.run(copy, value)
            chosen.append((times == i + 1, value))
        return self.pick(node.decision, [(m, g) for m, g in chosen if m.any()])

    def decide(self, part: Composite, held: Held, values: tuple[Grid, ...]) -> Grid:
        """Every wiring on its share of the settings, one decision after the other."""
        if not held.nodes:
            return part.flow(self.run, *values)
        decision, node = next(iter(held.nodes.items()))
        rest = {d: n for d, n in held.nodes.items() if d != decision}
        chosen = []
        for k, mask in enumerate(np.eye(len(node.options), dtype=bool)):
            resolved: Any = resolve_fields(part, Held({decision: node}, held.by_field), {decision: k})
            with self.where(decision, mask):
                chosen.append((mask, self.decide(resolved, Held(rest, held.by_field), values)))
        return self.pick(decision, chosen)


__all__ = ["Grid", "GridWalker"]
