"""Ways to a legal code where proposing at random has failed; none of them loops without bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import SpaceError
from archwright.space.legality import keeps_rules, keeps_tables

if TYPE_CHECKING:
    from archwright.space.space import Space

STEPS = 50  # of a walk over neighbours
TRIES = 5000  # trees that a search over neighbours resolves
DRAWS = 64


def single_changes(space: Space, code: np.ndarray) -> np.ndarray:
    """Codes (m, D) that differ from a code (D,) in one active decision and keep to the tabulated constraints.

    What a change brings onto the tree takes its first option, or the first that the constraints allow.
    """
    active = np.flatnonzero((code >= 0) & (space.sizes > 1))
    changed = np.repeat(active, space.sizes[active] - 1)
    offset = np.concatenate([np.arange(1, k) for k in space.sizes[active]]) if len(active) else np.zeros(0, int)
    columns = np.repeat(np.maximum(code, 0)[:, None], len(changed), axis=1)
    columns[changed, np.arange(len(changed))] = (code[changed] + offset) % space.sizes[changed]
    space.activity.mask(columns)
    codes = np.ascontiguousarray(columns.T)
    legal = keeps_tables(space, codes)
    for row in np.flatnonzero(~legal):
        legal[row] = _complete(space, codes[row], code, int(changed[row]))
    return codes[legal]


def _complete(space: Space, candidate: np.ndarray, parent: np.ndarray, changed: int) -> bool:
    """Give legal codes to what a change brought onto the tree, in place; False if there are none."""
    tied = space.model.constrained_decisions
    new = tied[(parent[tied] < 0) & (candidate[tied] >= 0)]
    if not len(new):
        return False
    fixed: dict[int, tuple[int, ...]] = {}
    for d in tied[parent[tied] >= 0].tolist():
        always = space.activity.always[d] or d == changed
        fixed[d] = (int(candidate[d] if d == changed else parent[d]),) + (() if always else (-1,))
    found = space.model.completion(fixed)
    if found is None:
        return False
    columns = np.maximum(np.where(candidate >= 0, candidate, parent), 0)[:, None].astype(np.int16)
    for d, value in found.items():
        columns[d] = value
    columns[changed] = candidate[changed]
    space.activity.mask(columns)
    candidate[:] = columns[:, 0]
    return bool(keeps_tables(space, candidate[None])[0])


def nearest_legal(space: Space, wanted: Sequence[int]) -> dict[int, int]:
    """Legal codes of the constrained decisions: each in turn as close to the wanted code as those before it allow."""
    fixed: dict[int, int] = {}
    found = space.model.completion({})
    for d in space.model.constrained_decisions.tolist():
        codes = sorted(range(space.decisions[d].size), key=lambda c: abs(c - wanted[d]))
        for code in [*codes, -1]:
            if found is not None and found[d] == code:
                break
            given = {other: (legal,) for other, legal in {**fixed, d: code}.items()}
            attempt = space.model.completion(given)
            if attempt is not None:
                found = attempt
                break
        fixed[d] = code
    return fixed


def walk_to_legal(space: Space, code: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A member near a code that breaks a predicate, by a bounded walk over single changes; None if none is met."""
    for _ in range(STEPS):
        around = single_changes(space, code)
        if not len(around):
            return None
        around = around[rng.permutation(len(around))[:DRAWS]]
        legal = np.flatnonzero(keeps_rules(space, around))
        if len(legal):
            return around[legal[0]]
        code = around[0]
    return None


def nearest_by_changes(space: Space, code: np.ndarray) -> np.ndarray:
    """The member that is fewest changes away, by breadth-first search.

    Raises:
        SpaceError: if none is met among a bounded number of trees.
    """
    if keeps_rules(space, code[None])[0]:
        return code
    seen = {code.tobytes()}
    waiting = [code]
    while waiting and len(seen) < TRIES:
        around = single_changes(space, waiting.pop(0))
        fresh = np.array([c for c in around if c.tobytes() not in seen], dtype=np.int16).reshape(-1, len(code))
        legal = np.flatnonzero(keeps_rules(space, fresh))
        if len(legal):
            return fresh[legal[0]]
        seen.update(c.tobytes() for c in fresh)
        waiting.extend(fresh)
    names = [p.message for p in space.predicates]
    raise SpaceError(
        f"no architecture near this end of the space keeps to the predicates {names} ({len(seen)} tried); say them as "
        f"constraint(function, *names) over named choices"
    )


def other_member(space: Space, code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A member that differs from a code (D,), as little as can be had.

    Raises:
        SpaceError: if the space has one member, or predicates hide the others.
    """
    around = single_changes(space, code)
    around = around[keeps_rules(space, around)]
    if len(around):
        return around[rng.integers(len(around))]
    for candidates in (_with_tied_drawn(space, code, rng), _with_tied_numbered(space, code)):
        candidates = candidates[(candidates != code).any(axis=1)]
        candidates = candidates[keeps_rules(space, candidates)]
        if len(candidates):
            return candidates[rng.integers(len(candidates))]
    if not space.predicates:
        raise SpaceError("the space has one architecture only, so it cannot be mutated; add a choice or loosen `where`")
    for batch in space.batches() if space.model.counter.total <= TRIES else ():
        others = batch.codes[(batch.codes != code).any(axis=1)]
        if len(others):
            return others[rng.integers(len(others))]
    names = [p.message for p in space.predicates]
    raise SpaceError(f"no other architecture that keeps to the predicates {names} was found; loosen them")


def _with_tied_drawn(space: Space, code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Copies of a code with the constrained decisions drawn anew."""
    columns = np.repeat(np.maximum(code, 0)[:, None], DRAWS, axis=1)
    if space.tables:
        space.model.write(columns, space.model.draw(DRAWS, rng, uniform=False))
    space.activity.mask(columns)
    return np.ascontiguousarray(columns.T)


def _with_tied_numbered(space: Space, code: np.ndarray) -> np.ndarray:
    """Copies of a code with the first two assignments of the constrained decisions: one of them is another."""
    if not space.tables:
        return code[None]
    counter = space.model.constrained_counter
    n = min(2, counter.total)
    columns = np.repeat(np.maximum(code, 0)[:, None], n, axis=1)
    space.model.write(columns, counter.members(np.arange(n)))
    space.activity.mask(columns)
    return np.ascontiguousarray(columns.T)
