"""Drawing, changing and crossing members of a space, over whole batches of codes.

Inside, codes stand as columns (D, n): one decision of all members is contiguous. Where constraints are broken, changes
are proposed anew a bounded number of times; then a step that cannot fail takes over (`repair.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import SpaceError
from archwright.space import repair
from archwright.space.architecture import Architecture, Architectures
from archwright.space.legality import keeps_rules, keeps_tables, of_values, read_codes

if TYPE_CHECKING:
    from archwright.space.space import Space

PROPOSALS = 16  # rounds of new proposals for rows that break a constraint


def sample(space: Space, n: int, rng: np.random.Generator, *, uniform: bool = False) -> Architectures:
    """Draw n members; see `Space.sample`."""
    codes = draw(space, n, rng, uniform=uniform)
    if not space.predicates:
        return Architectures(space, codes)
    broken = np.flatnonzero(~keeps_rules(space, codes))
    for _ in range(PROPOSALS):
        if not len(broken):
            break
        codes[broken] = draw(space, len(broken), rng, uniform=uniform)
        broken = broken[~keeps_rules(space, codes[broken])]
    failed = 0
    for row in broken:
        repaired = repair.walk_to_legal(space, codes[row], rng)
        failed += repaired is None
        codes[row] = codes[row] if repaired is None else repaired
    if failed:
        names = [p.message for p in space.predicates]
        raise SpaceError(
            f"{failed} of {n} samples could not be brought to keep to the predicates {names} by {PROPOSALS} draws and "
            f"a walk over neighbours; loosen them, or say them as constraint(function, *names) over named choices"
        )
    return Architectures(space, codes)


def draw(space: Space, n: int, rng: np.random.Generator, *, uniform: bool = False) -> np.ndarray:
    """Codes (n, D) that keep to the tabulated constraints."""
    if uniform:
        return of_values(space, space.model.draw(n, rng, uniform=True), n)
    columns = _free_codes(space, rng.random((len(space.decisions), n)))
    if space.tables:
        space.model.write(columns, space.model.draw(n, rng, uniform=False))
    space.activity.mask(columns)
    return np.ascontiguousarray(columns.T)


def _free_codes(space: Space, points: np.ndarray) -> np.ndarray:
    """Uniform codes (D, n) from uniform points in [0, 1)."""
    return (points * space.sizes[:, None]).astype(np.int16)


def mutate(space: Space, parents: Architectures, rng: np.random.Generator, changes: int = 1) -> Architectures:
    """Change decisions of each architecture; see `Space.mutate`."""
    if changes < 1:
        raise SpaceError(f"a mutation needs at least one change, got changes={changes}")
    before = space.codes(parents)
    codes = _propose(space, before, rng, changes)
    broken = _rejected(space, codes, before).nonzero()[0]
    for _ in range(PROPOSALS):
        if not len(broken):
            break
        codes[broken] = _propose(space, before[broken], rng, changes)
        broken = broken[_rejected(space, codes[broken], before[broken])]
    for row in broken:
        codes[row] = repair.other_member(space, before[row], rng)
    return Architectures.taking(space, codes)


def _rejected(space: Space, codes: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Rows that break a constraint or are as before: bool (n,)."""
    if space.unbound:
        return np.zeros(len(codes), bool)
    rejected = (codes == before).all(axis=1)
    if space.tables or space.predicates:
        rejected |= ~keeps_rules(space, codes)
    return rejected


def _propose(space: Space, before: np.ndarray, rng: np.random.Generator, changes: int) -> np.ndarray:
    """Codes (n, D) with other options for some active decisions of each row, constraints aside."""
    columns = np.array(before.T, order="C")  # always a copy
    n = columns.shape[1]
    points = rng.random(columns.shape)
    if space.activity.conditional:
        inactive = columns < 0
        np.copyto(columns, _free_codes(space, points), where=inactive)  # what a change may bring onto the tree is drawn
        points[inactive] = -1.0  # cannot be chosen
    points[space.single] = -1.0
    rows = np.arange(n)
    for left in range(min(changes, len(columns)), 0, -1):
        picked, sites = points.argmax(axis=0), rows
        if not space.unbound and not (possible := points[picked, rows] >= 0).all():
            picked, sites = picked[possible], rows[possible]
        size = space.sizes[picked]
        step = 1 + (rng.random(len(picked)) * (size - 1)).astype(np.int64)
        columns[picked, sites] = (columns[picked, sites] + step) % size
        if left > 1:
            points[picked, sites] = -1.0
    space.activity.mask(columns)
    return np.ascontiguousarray(columns.T)


def crossover(space: Space, a: Architectures, b: Architectures, rng: np.random.Generator) -> Architectures:
    """Children of pairs; see `Space.crossover`."""
    if len(a) != len(b):
        raise SpaceError(f"crossover needs as many first as second parents, got {len(a)} and {len(b)}")
    first = np.ascontiguousarray(space.codes(a).T)
    second = np.ascontiguousarray(space.codes(b).T)
    n = first.shape[1]
    columns = np.where(rng.random(first.shape) < 0.5, first, second)
    columns = np.where(columns < 0, np.maximum(first, second), columns)  # inactive in one parent: from the other
    if space.activity.conditional:
        columns = np.where(columns < 0, _free_codes(space, rng.random(first.shape)), columns)
    child = columns.copy()
    space.activity.mask(child)
    broken = np.flatnonzero(~keeps_tables(space, child.T))
    if len(broken):  # decisions tied by constraints come whole from one parent
        for component in space.model.components:
            from_first = _coins(len(broken), rng)
            cells = np.ix_(component, broken)
            columns[cells] = np.where(from_first, first[cells], second[cells])
        child[:, broken] = columns[:, broken]
        space.activity.mask(child)
    if space.predicates:
        broken = np.flatnonzero(~keeps_rules(space, child.T))
        from_first = _coins(n, rng)
        child[:, broken] = np.where(from_first, first, second)[:, broken]
    return Architectures.taking(space, np.ascontiguousarray(child.T))


def _coins(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(2, size=n).astype(bool)


def neighbours(space: Space, architecture: Architecture) -> Architectures:
    """Every legal change of one active decision; see `Space.neighbours`."""
    code = space.codes([architecture])[0]
    codes = repair.single_changes(space, code)
    return Architectures(space, codes[keeps_rules(space, codes)])


def extreme(space: Space, *, last: bool) -> Architecture:
    """The smallest or the largest member; see `Space.smallest` and `Space.largest`."""
    wanted = [d.size - 1 if last else 0 for d in space.decisions]
    return nearest(space, np.array([wanted], dtype=np.int64))[0]


def nearest(space: Space, codes: np.ndarray) -> Architectures:
    """Members close to any integer codes (n, D); see `Space.nearest`."""
    columns = np.clip(read_codes(space, codes), 0, space.sizes - 1).T.astype(np.int16)
    wanted = columns.copy()
    space.activity.mask(columns)
    for row in np.flatnonzero(~keeps_tables(space, columns.T)).tolist():
        for d, legal in repair.nearest_legal(space, wanted[:, row].tolist()).items():
            wanted[d, row] = legal
        one = wanted[:, [row]]
        space.activity.mask(one)
        columns[:, row] = one[:, 0]
    near = np.ascontiguousarray(columns.T)
    if space.predicates:
        for i, code in enumerate(near):
            near[i] = repair.nearest_by_changes(space, code)
    return Architectures(space, near)
