"""Variable elimination over tables: exact counts, exact sampling and numbering of all members.

A space with constraints is a factor graph: variables are decisions (inactive counts as one more value) and a few
helpers with two values, factors are tables over few variables. Eliminating one variable after the other gives the sum
over all assignments, and read backwards it samples or numbers them without dead ends (Dechter, 1999, "Bucket
elimination", sections 2 and 5; the greedy order is min-weight). Time and memory grow with the largest table, that is
with the tree width of the graph, not with the number of members.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archwright.errors import SpaceError

MAX_TABLE = 4_000_000  # entries


@dataclass(frozen=True, eq=False)
class Factor:
    """A table over variables; axis i of the table is variable scope[i]."""

    scope: tuple[int, ...]
    table: np.ndarray


@dataclass(frozen=True, eq=False)
class Bucket:
    """One eliminated variable.

    table: (sizes of the scope ..., size of the variable); the product of all factors that hold the variable.
    message: (sizes of the scope ...); the table summed over the variable.
    children: earlier buckets whose messages are in the product.
    """

    variable: int
    scope: tuple[int, ...]
    table: np.ndarray
    message: np.ndarray
    children: tuple[int, ...]


class Elimination:
    """The buckets of a factor graph, in the order of elimination.

    Args:
        sizes: variable -> number of values.
        factors: bool tables for counting, float tables for weights.
        weighted: float64 and rescaled messages (for sampling); otherwise exact integers (for counting).
        order: elimination order of an earlier run over the same scopes.

    Raises:
        SpaceError: if a table would grow past four million entries.
    """

    def __init__(
        self,
        sizes: Mapping[int, int],
        factors: Iterable[Factor],
        *,
        weighted: bool,
        order: Sequence[int] | None = None,
    ) -> None:
        self.sizes = sizes
        factors = list(factors)
        self.order = list(order) if order is not None else elimination_order(sizes, [f.scope for f in factors])
        if weighted:
            self.dtype: type = np.float64
        else:  # Python integers where 64 bits could overflow
            self.dtype = np.int64 if sum(math.log2(k) for k in sizes.values()) < 62 else object
        self._steps: dict[int, np.ndarray] = {}
        self.buckets = self._eliminate(factors, rescale=weighted)
        self.roots = [i for i, b in enumerate(self.buckets) if not b.scope]
        self.total = math.prod(self.buckets[i].message.item() for i in self.roots)

    def _eliminate(self, factors: list[Factor], *, rescale: bool) -> list[Bucket]:
        position = {v: i for i, v in enumerate(self.order)}
        waiting: dict[int, list[tuple[Factor, int]]] = {
            v: [] for v in self.order
        }  # (factor, bucket it came from or -1)
        for factor in factors:
            if factor.scope:
                waiting[min(factor.scope, key=position.__getitem__)].append((factor, -1))
        buckets: list[Bucket] = []
        for v in self.order:
            held = waiting.pop(v)
            scope = tuple(sorted({u for f, _ in held for u in f.scope if u != v}, key=position.__getitem__))
            table = self._product([f for f, _ in held], (*scope, v))
            message = table.sum(axis=-1) if self.dtype is not object else np.add.reduce(table, axis=-1)
            message = np.asarray(message, dtype=self.dtype)
            if rescale and message.size and message.max() > 0:
                message = message / message.max()
            buckets.append(Bucket(v, scope, table, message, tuple(i for _, i in held if i >= 0)))
            if scope:
                waiting[scope[0]].append((Factor(scope, message), len(buckets) - 1))
        return buckets

    def _product(self, factors: list[Factor], scope: tuple[int, ...]) -> np.ndarray:
        shape = tuple(self.sizes[v] for v in scope)
        if math.prod(shape) > MAX_TABLE:
            raise SpaceError(
                f"the constraints tie too many decisions together: a table over {len(scope)} of them would have "
                f"{math.prod(shape):,} entries, at most {MAX_TABLE:,} fit; constrain fewer decisions at once, "
                f"or give a plain predicate as `where`"
            )
        table: np.ndarray = np.ones(shape, dtype=self.dtype)
        for factor in factors:
            axes = [scope.index(v) for v in factor.scope]
            ordered = np.transpose(factor.table, np.argsort(axes))
            wide = [1] * len(scope)
            for axis in axes:
                wide[axis] = shape[axis]
            table = table * ordered.reshape(wide).astype(self.dtype)
        return table

    def sample(self, n: int, rng: np.random.Generator) -> dict[int, np.ndarray]:
        """Assignments drawn in proportion to their weight.

        Returns:
            variable -> intp (n,).
        """
        chosen: dict[int, np.ndarray] = {}
        for bucket in reversed(self.buckets):
            steps = self._cumulative(bucket)[tuple(chosen[v] for v in bucket.scope)]  # (k,) or (n, k)
            point = rng.random((n, 1))
            chosen[bucket.variable] = (np.broadcast_to(steps, (n, steps.shape[-1])) <= point).sum(axis=1)
        return chosen

    def _cumulative(self, bucket: Bucket) -> np.ndarray:
        """(sizes of the scope ..., k): cumulative probability of each value; a value of weight 0 adds no step."""
        steps = self._steps.get(bucket.variable)
        if steps is None:
            steps = np.cumsum(bucket.table.astype(np.float64), axis=-1)
            last = steps[..., -1:]
            steps = self._steps[bucket.variable] = np.divide(steps, last, out=np.ones_like(steps), where=last > 0)
        return steps

    def members(self, ranks: np.ndarray) -> dict[int, np.ndarray]:
        """The assignments numbered `ranks`, each in 0 .. total - 1; different numbers give different assignments.

        Args:
            ranks: integers (n,); only for eliminations that count (0/1 factors, not weighted).

        Returns:
            variable -> intp (n,).
        """
        rest: np.ndarray = np.asarray(ranks, dtype=self.dtype)
        share: dict[int, np.ndarray] = {}
        for i in self.roots:
            count = self.buckets[i].message.item()
            share[i], rest = rest % count, rest // count
        chosen: dict[int, np.ndarray] = {}
        for i in range(len(self.buckets) - 1, -1, -1):
            bucket, rank = self.buckets[i], share.pop(i)
            steps = np.cumsum(bucket.table, axis=-1)[tuple(chosen[v] for v in bucket.scope)]
            steps = np.broadcast_to(steps, (len(rank), steps.shape[-1]))  # members up to and including each value
            value = (steps <= rank[:, None]).sum(axis=1).astype(np.intp)
            before = np.take_along_axis(steps, np.maximum(value - 1, 0)[:, None], axis=1)[:, 0]
            rank = rank - np.where(value > 0, before, 0)
            chosen[bucket.variable] = value
            for child in bucket.children:  # the rest of the rank is a mixed-radix number over the children
                count = self.buckets[child].message[tuple(chosen[v] for v in self.buckets[child].scope)]
                share[child], rank = rank % count, rank // count
        return chosen


def elimination_order(sizes: Mapping[int, int], scopes: Iterable[tuple[int, ...]]) -> list[int]:
    """Greedy order: next the variable whose elimination makes the smallest table."""
    neighbours: dict[int, set[int]] = {v: set() for v in sizes}
    for scope in scopes:
        for v in scope:
            neighbours[v].update(scope)
    for v, others in neighbours.items():
        others.discard(v)

    def weight(v: int) -> int:
        return math.prod(sizes[u] for u in neighbours[v]) * sizes[v]

    heap = [(weight(v), v) for v in sizes]
    heapq.heapify(heap)
    order: list[int] = []
    done: set[int] = set()
    while heap:
        w, v = heapq.heappop(heap)
        if v in done or w != weight(v):
            continue  # an older entry
        done.add(v)
        order.append(v)
        around = neighbours.pop(v)
        for u in around:
            neighbours[u] |= around
            neighbours[u] -= {u, v}
        for u in around:
            heapq.heappush(heap, (weight(u), u))
    return order
