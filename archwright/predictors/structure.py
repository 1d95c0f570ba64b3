"""What the graph of a network says without building it: which decisions matter, and how signals can travel.

The whole batch is sent once through the space's tree. Each value carries, per architecture, whether it can differ from
zero, the longest and shortest way from the input in operators that compute, the number of ways, and which decisions
lie on a way. A decision that lies on none (an edge behind a `Zero`) cannot matter. The numbers follow from the graph
alone; they are no training-free scores and need no weights. Path features of cells: White et al., "BANANAS" (2021),
section 3.1 (there: one feature a path).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Leaf
from archwright.operators.walk import ChoiceNode, Held, RepeatNode, Walker, annotate, resolve_fields
from archwright.space import Space

NAMES = ("longest", "shortest", "ways")


@dataclass(frozen=True)
class Flow:
    """A value on its way through a batch of architectures.

    here: (n,) bool, the architecture passes this place. live: (n,) bool, the value can differ from zero.
    longest, shortest: (n,) float32 operators that compute between the input and here. ways: (n,) log of the number of
    ways. through: (n, D) bool, the decision lies on a way.
    """

    here: np.ndarray
    live: np.ndarray
    longest: np.ndarray
    shortest: np.ndarray
    ways: np.ndarray
    through: np.ndarray

    def keep(self, mask: np.ndarray) -> Flow:
        """The same value where `mask` holds; elsewhere the architecture does not pass."""
        return Flow(self.here & mask, self.live & mask, self.longest, self.shortest, self.ways, self.through)

    def at(self, rows: np.ndarray) -> Flow:
        """A copy for some rows (k,) of the batch."""
        return Flow(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, rows: np.ndarray, other: Flow) -> None:
        """Overwrite rows (k,) by those of `other`."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)


def choose(mask: np.ndarray, a: Flow, b: Flow) -> Flow:
    """`a` where the mask holds, else `b`."""
    wide = mask[:, None]
    return Flow(
        np.where(mask, a.here, b.here),
        np.where(mask, a.live, b.live),
        np.where(mask, a.longest, b.longest),
        np.where(mask, a.shortest, b.shortest),
        np.where(mask, a.ways, b.ways),
        np.where(wide, a.through, b.through),
    )


def join(values: tuple[Flow, ...], product: bool = False) -> Flow:
    """Several values become one; a product dies with any factor."""
    if len(values) == 1:
        return values[0]
    here = np.logical_and.reduce([v.here for v in values])
    live = (np.logical_and if product else np.logical_or).reduce([v.live for v in values]) & here
    masks = [v.live & live for v in values]
    longest = np.max([np.where(m, v.longest, 0) for m, v in zip(masks, values, strict=True)], axis=0)
    shortest = np.min([np.where(m, v.shortest, np.inf) for m, v in zip(masks, values, strict=True)], axis=0)
    ways = np.logaddexp.reduce([np.where(m, v.ways, -np.inf) for m, v in zip(masks, values, strict=True)])
    through = np.logical_or.reduce([v.through & m[:, None] for m, v in zip(masks, values, strict=True)])
    return Flow(
        here,
        live,
        longest.astype(np.float32),
        np.where(live, shortest, 0).astype(np.float32),
        np.where(live, ways, 0).astype(np.float32),
        through,
    )


class _Tracer(Walker):
    def __init__(self, codes: np.ndarray) -> None:
        super().__init__()
        self.codes = codes

    def start(self) -> Flow:
        n, d = self.codes.shape
        zero = np.zeros(n, np.float32)
        return Flow(np.ones(n, bool), np.ones(n, bool), zero, zero, zero, np.zeros((n, d), bool))

    def _mark(self, value: Flow, decisions: list[int]) -> Flow:
        if not decisions:
            return value
        through = value.through.copy()
        through[:, decisions] |= value.live[:, None]
        return Flow(value.here, value.live, value.longest, value.shortest, value.ways, through)

    def leaf(self, leaf: Leaf, values: tuple[Flow, ...]) -> Flow:
        """Kill, pass on or count, by what the operator is."""
        kind = type(leaf).__name__
        value = join(values, product=kind == "Mul")
        if kind == "Zero":
            zero = np.zeros_like(value.longest)
            return Flow(value.here, np.zeros_like(value.live), zero, zero, zero, np.zeros_like(value.through))
        if len(values) == 1 and not _is_identity(leaf):
            value = Flow(
                value.here, value.live, value.longest + value.live, value.shortest + value.live, value.ways,
                value.through,
            )  # fmt: skip
        return self._mark(value, list(self.held(leaf).nodes))

    def choice(self, node: ChoiceNode, values: tuple[Flow, ...]) -> Flow:
        """Each architecture goes through its option."""
        codes = self.codes[:, node.decision]
        masks = [codes == k for k in range(len(node.options))]
        results = (
            self.run(option, *(v.keep(mask) for v in values)) for option, mask in zip(node.options, masks, strict=True)
        )
        out = next(results)
        for mask, result in zip(masks[1:], results, strict=True):
            out = choose(mask, result, out)
        return self._mark(out, [node.decision])

    def repeat(self, node: RepeatNode, values: tuple[Flow, ...]) -> Flow:
        """Each architecture goes through its first copies."""
        (value,) = values
        codes = self.codes[:, node.decision]
        times = np.where(codes >= 0, np.array(node.times)[codes], 0)
        for i, copy in enumerate(node.copies):
            mask = times > i
            value = choose(mask, self.run(copy, value.keep(mask)), value)
        return self._mark(value, [node.decision])

    def decide(self, part: Composite, held: Held, values: tuple[Flow, ...]) -> Flow:
        """Run the flow once for every wiring in the batch."""
        decisions, codes = list(held.nodes), self.codes
        passing = np.flatnonzero(np.logical_and.reduce([v.here for v in values]))
        out = values[0].keep(np.zeros(len(codes), bool)).at(np.arange(len(codes)))
        settings, which = np.unique(codes[passing][:, decisions], axis=0, return_inverse=True)
        for k, setting in enumerate(settings):
            rows = passing[which.ravel() == k]
            resolved: Any = resolve_fields(part, held, dict(zip(decisions, setting.tolist(), strict=True)))
            self.codes = codes[rows]
            try:
                out.put(rows, resolved.flow(self.run, *(v.at(rows) for v in values)))
            finally:
                self.codes = codes
        return self._mark(out, decisions)


def _is_identity(leaf: Leaf) -> bool:
    if type(leaf).__name__ == "Skip":
        return getattr(leaf, "stride", None) == 1
    return type(leaf).__name__ == "Activation" or type(leaf).__name__ == "Norm"


class Structure:
    """Reads the graph of every member of a space, batch by batch.

    Args:
        space: any; without operators in it there is no graph.
    """

    def __init__(self, space: Space) -> None:
        try:
            self._root: Any = annotate(space)
        except SpaceError:
            self._root = None
        self._tracer = _Tracer(np.zeros((0, len(space.decisions)), np.int16))

    def read(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Structural numbers of a batch.

        Args:
            codes: (n, D) int.

        Returns:
            (n, 3) float32 longest way, shortest way and log of the number of ways (0 for a network that is cut), and
            (n, D) bool whether a decision lies on a way; None if there is no network or its graph cannot be traced.
        """
        if self._root is None:
            return None
        self._tracer.codes = np.asarray(codes)
        try:
            end = self._tracer.run(self._root, self._tracer.start())
        except SpaceError:
            self._root = None
            return None
        numbers = np.stack([end.longest, end.shortest, end.ways], axis=1) * end.live[:, None]
        return numbers.astype(np.float32), end.through & end.live[:, None]
