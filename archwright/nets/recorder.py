"""Writing down the flow of a supernet's mixture: which modules run on which values, and where paths are summed.

A recorder walks the space's tree with its choices in place. Values have the largest shape that any setting of the
decisions gives them, smaller ones are padded with zeros at the end; what each choice contributes is a term of a
weighted sum. See `nets.mixing` for the mathematics.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archwright.errors import SpaceError
from archwright.nets.entangle import Entangled, Settings, groups_of, keeps_zeros, parameter_shapes, signature
from archwright.nets.flow import (
    Factor,
    FunctionNode,
    Joint,
    ModuleNode,
    Node,
    Pick,
    Scalars,
    SumNode,
    Total,
    WeighedNode,
    ZeroNode,
    joint,
)
from archwright.nets.hull import meet, split_held
from archwright.nets.program import Step
from archwright.operators.base import Composite, Leaf, Shape
from archwright.operators.edge_weight import EdgeWeight
from archwright.operators.grids import Grid, GridWalker
from archwright.operators.join import Add, ConcatJoin
from archwright.operators.walk import ChoiceNode, Held, RepeatNode, Walker, resolve_fields, variants
from archwright.operators.zero import Zero

if TYPE_CHECKING:
    from archwright.nets.mixing import Mixing
    from archwright.nets.supernet import Supernet

LAYOUTS = 64  # of one concatenation; more are refused
Term = tuple[tuple[Factor, ...], int, Shape]  # factors, value, its shape


@dataclass(frozen=True)
class Value:
    """A value of the flow: its number, and the shapes that it has under each setting of the decisions."""

    number: int
    grid: Grid
    hull: Shape


class Recorder(Walker):
    """Writes down the flow of a supernet's mixture."""

    def __init__(self, supernet: Supernet, mixing: Mixing) -> None:
        super().__init__()
        self.grids = GridWalker({d.index: len(d.options) for d in supernet.space.decisions})
        self.supernet, self.mixing = supernet, mixing
        self.paths = {d.index: d.path for d in supernet.space.decisions}
        self.nodes: list[Node] = []
        self.count = 0

    # ---- writing nodes -------------------------------------------------------------------------------------------

    def input(self, shape: Shape) -> Value:
        """An input of the network."""
        self.count += 1
        return Value(self.count - 1, Grid((), np.array(self.grids.number(shape))), shape)

    def add(self, node: Node) -> int:
        """Append a node whose output is the next value."""
        self.nodes.append(node)
        self.count += 1
        return self.count - 1

    def hull(self, grid: Grid) -> Shape:
        """The largest shape on a grid."""
        return meet([self.grids.shapes[i] for i in np.unique(grid.ids).tolist() if i >= 0], "a mixture")

    def padded(self, value: int, have: Shape, want: Shape) -> int:
        """A value padded with zeros at the end of every axis.

        Known limit: a shape of two axes is that of tokens (L, D) or of a series (C, L) and does not say which, so
        series of different lengths are not refused as images of different sizes are.
        """
        if have == want:
            return value
        if len(want) > 2 and have[1:] != want[1:]:
            raise SpaceError(
                f"values of {have} and {want} meet in a mixture; their positions differ, so they cannot be summed: "
                "let all options put out one size, or search the space by sampled paths"
            )
        amounts = [n for a, b in zip(reversed(have), reversed(want), strict=True) for n in (0, b - a)]
        return self.add(FunctionNode((value,), self.count, lambda x: F.pad(x, amounts), ("pad", tuple(amounts))))

    def narrowed(self, value: int, have: Shape, want: Shape) -> int:
        """The first part of a value along every axis."""
        if have == want:
            return value
        index = (slice(None), *(slice(0, n) for n in want))
        return self.add(FunctionNode((value,), self.count, lambda x: x[index], ("narrow", want)))

    def total(self, terms: Sequence[Term], shape: Shape) -> int:
        """Weighted sum of (factors, value, its shape)."""
        if len(terms) == 1 and not terms[0][0]:
            return self.padded(terms[0][1], terms[0][2], shape)
        inputs = tuple(self.padded(number, have, shape) for _, number, have in terms)
        return self.add(SumNode(inputs, self.count, tuple(f for f, _, _ in terms), shape))

    # ---- walking -------------------------------------------------------------------------------------------------

    def choice(self, node: ChoiceNode, values: tuple[Value, ...]) -> Value:
        """The weighted sum of the options' outputs."""
        results = [self.run(option, *values) for option in node.options]
        return self._sum(node.decision, results)

    def _sum(self, decision: int, results: Sequence[Value]) -> Value:
        masks = np.eye(len(results), dtype=bool)
        grid = self.grids.pick(decision, [(m, r.grid) for m, r in zip(masks, results, strict=True)])
        hull = self.hull(grid)
        path = self.paths[decision]
        terms = [((Pick(path, k),), r.number, r.hull) for k, r in enumerate(results)]
        return Value(self.total(terms, hull), grid, hull)

    def repeat(self, node: RepeatNode, values: tuple[Value, ...]) -> Value:
        """sum_t a_t x_t over the lengths at which the chain may end."""
        (value,) = values
        times = np.array(node.times)
        ends: list[tuple[int, Value]] = [(0, value)] if 0 in node.times else []
        for i, body in enumerate(node.copies):
            value = self.run(body, value)
            if i + 1 in node.times:
                ends.append((i + 1, value))
        grid = self.grids.pick(node.decision, [(times == t, v.grid) for t, v in ends])
        hull, path = self.hull(grid), self.paths[node.decision]
        terms = [((Total(path, tuple(np.flatnonzero(times == t).tolist())),), v.number, v.hull) for t, v in ends]
        return Value(self.total(terms, hull), grid, hull)

    def decide(self, part: Composite, held: Held, values: tuple[Value, ...]) -> Value:
        """The weighted sum over every wiring, one decision after the other."""
        if not held.nodes:
            return part.flow(self.run, *values)
        decision, node = next(iter(held.nodes.items()))
        rest = Held({d: n for d, n in held.nodes.items() if d != decision}, held.by_field)
        results = []
        for k in range(len(node.options)):
            resolved: Any = resolve_fields(part, Held({decision: node}, held.by_field), {decision: k})
            results.append(self.decide(resolved, rest, values))
        return self._sum(decision, results)

    def leaf(self, leaf: Leaf, values: tuple[Value, ...]) -> Value:
        """Call the leaf's module, once for each variant that has weights of its own."""
        grid = self.grids.leaf(leaf, tuple(v.grid for v in values))
        rows, hull = self.grids.sites.pop(), self.hull(grid)
        if isinstance(leaf, Zero):
            return Value(self.add(ZeroNode((values[0].number,), self.count, hull)), grid, hull)
        if isinstance(leaf, EdgeWeight):
            factor: tuple[Factor, ...] = (Pick(leaf.vector, leaf.index),)
            return Value(self.total([(factor, values[0].number, values[0].hull)], hull), grid, hull)
        if isinstance(leaf, Add) and len({v.hull for v in values}) == 1:
            return Value(self.total([((), v.number, v.hull) for v in values], hull), grid, hull)
        held = self.held(leaf)
        elastic, apart = split_held(leaf, held)
        terms: list[Term] = []
        for setting in variants(list(apart.values())):
            factors = tuple(Pick(self.paths[d], k) for d, k in setting.items())
            terms += [((*factors, *f), n, s) for f, n, s in self._variant(leaf, elastic, at(rows, setting), values)]
        return Value(self.total(terms, hull), grid, hull)

    def _variant(
        self, leaf: Leaf, elastic: Mapping[int, ChoiceNode], rows: Grid, values: tuple[Value, ...]
    ) -> list[Term]:
        """Terms of one variant: (factors, value, shape)."""
        found = np.unique(rows.ids).tolist()
        first = self.grids.table[found[0]][0]
        if leaf.site:
            site, module, large_leaf = self.supernet._large(placed(first, leaf.site))
            shapes = tuple(at_positions(v.hull, s) for v, s in zip(values, site.shapes, strict=True))
        else:
            shapes = tuple(v.hull for v in values)
            large_leaf = self._largest(found)
            module = large_leaf.module(*shapes)
            if any(True for _ in module.parameters()):
                raise SpaceError(f"{leaf!r} has weights but no site; let its composite place it with `inner`")
        inputs = tuple(self.padded(v.number, v.hull, s) for v, s in zip(values, shapes, strict=True))
        if len(found) == 1 and self.grids.table[found[0]][:2] == (large_leaf, shapes):
            return [((), self.add(ModuleNode(inputs, self.count, module)), large_leaf.output(*shapes))]
        if isinstance(leaf, ConcatJoin):
            return self._concatenated(leaf.site, shapes, rows, inputs)
        if self.mixing.entangled or not elastic:
            return self._entangled(large_leaf, shapes, module, rows, inputs, leaf.site)
        return self._separately(leaf.site, shapes, rows, inputs, elastic)

    def _concatenated(self, site: str, shapes: tuple[Shape, ...], rows: Grid, inputs: tuple[int, ...]) -> list[Term]:
        """One call for every layout: what follows a part has another place wherever the part has another size."""
        found = [r for r in np.unique(rows.ids).tolist() if r >= 0]
        if len(found) > LAYOUTS:
            raise SpaceError(
                f"the values that meet in a concatenation have {len(found)} layouts (at most {LAYOUTS} are mixed); "
                "search the space by sampled paths, or let all options put out one size"
            )
        paths = tuple(self.paths[d] for d in rows.decisions)
        terms: list[Term] = []
        for row in found:
            resolved, own, output = self.grids.table[row]
            factor = Joint(paths, torch.from_numpy(rows.ids == row))
            terms.append(((factor,), self._call(placed(resolved, site), inputs, shapes, own, output), output))
        return terms

    def _call(
        self, leaf: Leaf, inputs: tuple[int, ...], shapes: tuple[Shape, ...], own: tuple[Shape, ...], output: Shape
    ) -> int:
        """The number of a leaf's result on the first channels of larger values, as many as it reads."""
        small = tuple(self.narrowed(n, s, o) for n, s, o in zip(inputs, shapes, own, strict=True))
        return self.add(ModuleNode(small, self.count, self._layer(leaf, own, output)))

    def _layer(self, leaf: Leaf, shapes: tuple[Shape, ...], output: Shape) -> nn.Module:
        """A layer of shared weights; compiled code has its own, as it may not meet what other runs leave in them."""
        apart = self.mixing.compiled != "no"
        return self.supernet._shared(Step("", leaf, (), shapes, 0, output), {}, apart=apart)

    def _largest(self, rows: Sequence[int]) -> Leaf:
        return max((self.grids.table[r] for r in rows), key=lambda row: row[2])[0]

    def _settings(self, rows: Grid) -> Settings:
        paths = tuple(self.paths[d] for d in rows.decisions)
        table = [(leaf, shapes) for leaf, shapes, _ in self.grids.table]
        return Settings(paths, rows.ids.shape, rows.ids.reshape(-1), table)

    def _entangled(
        self, leaf: Leaf, shapes: tuple[Shape, ...], module: nn.Module, rows: Grid, inputs: tuple[int, ...], site: str
    ) -> list[Term]:
        settings, output = self._settings(rows), leaf.output(*shapes)
        terms: list[Term] = []
        for allowed in groups_of(settings):
            call = Entangled(module if site else None, (leaf, shapes), settings, allowed)
            if not call.runs(shapes):  # this structure needs sizes that agree, such as an identity
                terms += self._each(site, shapes, rows, inputs, allowed.reshape(rows.ids.shape), joined=True)
                continue
            number = self.add(WeighedNode(inputs, self.count, call))
            if not keeps_zeros(module, shapes):
                number = self._cleared(number, rows, output)
            coefficient = call.coefficient()
            terms.append(((coefficient,) if coefficient else (), number, output))
        return terms

    def _cleared(self, value: int, rows: Grid, hull: Shape) -> int:
        """A value whose channels that no setting of positive weight has are set to zero."""
        outputs = [self.grids.table[r][2] for r in rows.ids.reshape(-1).tolist()]
        axes = [i for i, size in enumerate(hull) if any(o[i] != size for o in outputs)]
        if not axes:
            return value
        (axis,) = axes
        kept = torch.tensor([[c < o[axis] for c in range(hull[axis])] for o in outputs], dtype=torch.float32)
        paths, shape = [self.paths[d] for d in rows.decisions], [1] * (len(hull) + 1)
        shape[axis + 1] = hull[axis]

        def clear(scalars: Scalars, x: Tensor) -> Tensor:
            with torch.no_grad():
                share = joint(scalars, paths).reshape(-1)
                support = (share.abs() @ kept.to(share) > 0).to(x.dtype).reshape(shape)
            return x * support

        return self.add(WeighedNode((value,), self.count, clear))

    def _separately(
        self,
        site: str,
        shapes: tuple[Shape, ...],
        rows: Grid,
        inputs: tuple[int, ...],
        elastic: Mapping[int, ChoiceNode],
    ) -> list[Term]:
        """Every slice by itself; decisions before the leaf count only where they change its inside."""
        grid = rows
        for d in rows.decisions:
            if d not in elastic and not self._inside_depends(grid, d):
                axis = grid.decisions.index(d)
                rest = tuple(x for x in grid.decisions if x != d)
                grid = Grid(rest, grid.ids.take(self._widest(grid, axis), axis=axis))
        found = [self.grids.table[r][:2] for r in np.unique(grid.ids).tolist()]
        joined = any(inside(one, own) != inside(one, shapes) for one, own in found)
        return self._each(site, shapes, grid, inputs, np.ones(grid.ids.shape, dtype=bool), joined=joined)

    def _each(
        self,
        site: str,
        shapes: tuple[Shape, ...],
        grid: Grid,
        inputs: tuple[int, ...],
        allowed: np.ndarray,
        *,
        joined: bool,
    ) -> list[Term]:
        """One call for every allowed setting; `joined`: on the channels that this setting has, not on the largest."""
        terms: list[Term] = []
        for index in np.argwhere(allowed).tolist():
            resolved, own, _ = self.grids.table[int(grid.ids[tuple(index)])]
            own = own if joined else shapes
            output = resolved.output(*own)
            factors = tuple(Pick(self.paths[d], k) for d, k in zip(grid.decisions, index, strict=True))
            terms.append((factors, self._call(placed(resolved, site), inputs, shapes, own, output), output))
        return terms

    def _widest(self, grid: Grid, axis: int) -> int:
        sizes = [
            max(self.grids.table[r][1] for r in grid.ids.take(k, axis=axis).reshape(-1).tolist())
            for k in range(grid.ids.shape[axis])
        ]
        return sizes.index(max(sizes))

    def _inside_depends(self, grid: Grid, decision: int) -> bool:
        """Whether a decision before a leaf changes more of it than the channels it takes in."""
        axis = grid.decisions.index(decision)
        lines = np.moveaxis(grid.ids, axis, 0).reshape(grid.ids.shape[axis], -1)
        return any(len({inside(*self.grids.table[r][:2]) for r in column}) > 1 for column in lines.T.tolist())


def at_positions(have: Shape, want: Shape) -> Shape:
    """The channels of one image shape with the positions of another: convolutions of a site run on any size."""
    return (want[0], *have[1:]) if len(have) == len(want) > 2 else want


def inside(leaf: Leaf, shapes: tuple[Shape, ...]) -> Any:
    """What of a leaf's module does not depend on how many channels come in: structure and sizes."""
    sizes = []
    for name, shape in parameter_shapes(leaf, shapes).items():
        axes = leaf.axes_of(name, len(shape))
        sizes.append((name, tuple(n for d, n in enumerate(shape) if d == 0 or not (axes[d] or "").startswith("in"))))
    return signature(leaf.layer(*shapes)), tuple(sizes)


def at(grid: Grid, setting: Mapping[int, int]) -> Grid:
    """A grid with some decisions fixed."""
    index = tuple(setting.get(d, slice(None)) for d in grid.decisions)
    return Grid(tuple(d for d in grid.decisions if d not in setting), grid.ids[index]).pruned()


def placed(leaf: Leaf, site: str) -> Leaf:
    """A leaf at a site; equal leaves of several sites are one row of a table."""
    made = copy.copy(leaf)
    object.__setattr__(made, "site", site)
    return made


__all__ = ["Recorder", "Value"]
