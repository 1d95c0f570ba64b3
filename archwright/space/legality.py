"""Which codes are members of a space, how many there are, and all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import SpaceError
from archwright.space.architecture import Architectures

if TYPE_CHECKING:
    from archwright.space.constraints import Predicate
    from archwright.space.space import Space

TRY_AT_MOST = 1_000_000  # members tried one by one where a predicate allows no exact count


def read_codes(space: Space, codes: Any) -> np.ndarray:
    """Integer codes (n, D).

    Raises:
        SpaceError: if it is not an integer array of that shape.
    """
    codes = np.asarray(codes)
    count = len(space.decisions)
    if codes.size == 0:
        codes = codes.astype(np.int64)  # an empty list has no integer type
    if codes.ndim != 2 or codes.shape[1] != count or not np.issubdtype(codes.dtype, np.integer):
        raise SpaceError(f"codes are an integer array of shape (n, {count}), got {codes.dtype} of shape {codes.shape}")
    return codes


def _activity(space: Space, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (D, n) with those out of range as -1, and which are active: bool (D, n)."""
    in_range = (codes >= 0) & (codes < space.sizes)
    columns = np.ascontiguousarray(np.where(in_range, codes, -1).T, dtype=np.int16)
    active = np.ones(columns.shape, dtype=bool)
    for d, where in space.activity.active(columns):
        active[d] = where
    return columns, active


def canonical(space: Space, codes: np.ndarray) -> np.ndarray:
    """Codes with those of inactive decisions set to -1.

    Raises:
        SpaceError: if an active decision has a code out of range.
    """
    codes = read_codes(space, codes)
    columns, active = _activity(space, codes)
    wrong = active & (columns < 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=0))[0])
        decision = space.decisions[int(np.flatnonzero(wrong[:, row])[0])]
        raise SpaceError(
            f"row {row}: {decision.label!r} is active and has codes 0 to {decision.size - 1}, got "
            f"{int(codes[row, decision.index])}"
        )
    columns[~active] = -1
    return np.ascontiguousarray(columns.T)


def is_member(space: Space, codes: np.ndarray) -> np.ndarray:
    """Which rows of codes (n, D) are members: bool (n,)."""
    codes = read_codes(space, codes)
    columns, active = _activity(space, codes)
    member = np.asarray(np.where(active, columns >= 0, codes.T == -1).all(axis=0))
    rows = np.flatnonzero(member)
    member[rows] = keeps_rules(space, columns.T[rows])
    return member


def keeps_tables(space: Space, codes: np.ndarray) -> np.ndarray:
    """Which rows of canonical codes (n, D) keep to the tabulated constraints: bool (n,)."""
    legal = np.ones(len(codes), dtype=bool)
    for table in space.tables:
        legal &= table.holds(codes)
    return legal


def keeps_rules(space: Space, codes: np.ndarray) -> np.ndarray:
    """Which rows of canonical codes (n, D) keep to all constraints and predicates: bool (n,)."""
    legal = keeps_tables(space, codes)
    if space.predicates:
        for row in np.flatnonzero(legal):
            legal[row] = broken_predicate(space, codes[row]) is None
    return legal


def broken_predicate(space: Space, code: np.ndarray) -> Predicate | None:
    """The first predicate that the tree of a canonical code (D,) breaks.

    Raises:
        SpaceError: if a predicate raises.
    """
    tree = space.resolve(code)
    for predicate in space.predicates:
        try:
            if not predicate.function(tree):
                return predicate
        except Exception as error:
            raise SpaceError(f"the predicate {predicate.message!r} raised {type(error).__name__}: {error}") from error
    return None


def checked(space: Space, codes: np.ndarray) -> Architectures:
    """The architectures of codes (n, D).

    Raises:
        SpaceError: if a row is no member.
    """
    codes = canonical(space, codes)
    for table in space.tables:
        holds = table.holds(codes)
        if not holds.all():
            row = int(np.flatnonzero(~holds)[0])
            labels = {space.decisions[d].label: _option(space, d, codes[row, d]) for d in table.scope}
            raise SpaceError(f"row {row} breaks the constraint {table.message!r}: {labels}")
    if space.predicates:
        for row, code in enumerate(codes):
            broken = broken_predicate(space, code)
            if broken is not None:
                raise SpaceError(f"row {row} breaks the predicate {broken.message!r}: {code.tolist()}")
    return Architectures(space, codes)


def _option(space: Space, d: int, code: int) -> Any:
    return space.decisions[d].options[code] if code >= 0 else "inactive"


def size(space: Space) -> int:
    """Exact number of members.

    Raises:
        SpaceError: if predicates are left to try on more than a million architectures.
    """
    total = int(space.model.counter.total)
    if not space.predicates:
        return total
    if total > TRY_AT_MOST:
        raise SpaceError(
            f"a space with the predicate {space.predicates[0].message!r} is counted by trying each of its {total:.3g} "
            f"architectures, at most {TRY_AT_MOST:,} are tried; say it as constraint(function, *names) over named "
            f"choices to have it counted exactly"
        )
    return sum(len(batch) for batch in batches(space, 65_536))


def batches(space: Space, n: int) -> Iterator[Architectures]:
    """Every member once, in batches of at most n."""
    counter = space.model.counter
    for start in range(0, counter.total, n):
        stop = min(start + n, counter.total)
        ranks = np.arange(start, stop) if stop < 2**62 else np.array(range(start, stop), dtype=object)
        codes = of_values(space, counter.members(ranks), stop - start)
        if space.predicates:
            codes = codes[keeps_rules(space, codes)]
        yield Architectures(space, codes)


def of_values(space: Space, values: dict[int, np.ndarray], n: int) -> np.ndarray:
    """Codes (n, D) of an assignment of every decision."""
    columns = np.empty((len(space.decisions), n), dtype=np.int16)
    space.model.write(columns, values)
    return np.ascontiguousarray(columns.T)
