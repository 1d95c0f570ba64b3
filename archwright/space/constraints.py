"""Constraints: what a space forbids.

A constraint over named decisions is tabulated once; spaces then count, sample and number their members exactly. A plain
predicate on the resolved tree is allowed too, but can only be tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.errors import SpaceError, nearest
from archwright.space.compile import Decision

MAX_ROWS = 1_000_000  # combinations of one constraint


@dataclass(frozen=True, eq=False)
class Constraint:
    """A rule over the options of some decisions; see `constraint`."""

    function: Callable[..., bool]
    names: tuple[str, ...]
    message: str


@dataclass(frozen=True, eq=False)
class Table:
    """A tabulated constraint.

    allowed: bool, one axis a decision of the scope, each (options + 1) long; the last entry stands for inactive.
    """

    scope: tuple[int, ...]
    allowed: np.ndarray
    message: str

    def holds(self, codes: np.ndarray) -> np.ndarray:
        """Which rows of codes (n, D) keep to it: bool (n,)."""
        return self.allowed[tuple(codes[:, d] for d in self.scope)]


@dataclass(frozen=True, eq=False)
class Predicate:
    """A rule over the resolved tree."""

    function: Callable[[Any], bool]
    message: str


def constraint(function: Callable[..., bool], *names: str, message: str = "") -> Constraint:
    """A rule over named decisions: `constraint(lambda depth, width: depth * width <= 64, "depth", "width")`.

    The function gets one option for each name, in order. Where one of the decisions is inactive there is nothing to
    compare and the rule holds. A decision without a name may be given by its path.

    Args:
        function: options -> whether they are allowed together.
        names: names or paths of decisions.
        message: what the rule says, for error messages; by default the function's name and the names.

    Raises:
        SpaceError: if there is no name, or one is given twice.
    """
    if not names or len(set(names)) < len(names):
        raise SpaceError(
            f"a constraint needs different names of decisions, got {names!r}; a rule over the whole tree is a plain "
            f"function in `where`"
        )
    label = getattr(function, "__name__", type(function).__name__)
    return Constraint(function, tuple(names), message or f"{label}({', '.join(names)})")


def find_decision(decisions: Sequence[Decision], key: str | int) -> Decision:
    """The decision of a name, path or index.

    Raises:
        SpaceError: if there is none, with the closest name.
    """
    return lookup(decisions_by_key(decisions), key)


def decisions_by_key(decisions: Sequence[Decision]) -> dict[str | int, Decision]:
    """Index, path and name -> decision; a name wins over a path."""
    table: dict[str | int, Decision] = {d.index: d for d in decisions}
    table.update({d.path: d for d in decisions})
    table.update({d.name: d for d in decisions if d.name})
    return table


def lookup(table: Mapping[str | int, Decision], key: str | int) -> Decision:
    """The decision of a name, path or index.

    Raises:
        SpaceError: if there is none, with the closest name.
    """
    if key not in table:
        known = [k for k in table if isinstance(k, str)]
        raise SpaceError(f"the space has no decision {key!r}; {nearest(str(key), known)}")
    return table[key]


def tabulate(rule: Constraint, decisions: Sequence[Decision]) -> Table:
    """Try a constraint on every combination of the options of its decisions.

    Raises:
        SpaceError: if there are too many combinations, or the function raises.
    """
    scope = [find_decision(decisions, name) for name in rule.names]
    if len({d.index for d in scope}) < len(scope):
        raise SpaceError(f"the constraint {rule.message!r} names one decision twice: {rule.names}")
    shape = tuple(d.size for d in scope)
    if math.prod(shape) > MAX_ROWS:
        raise SpaceError(
            f"the constraint {rule.message!r} has {math.prod(shape):,} combinations of options, at most {MAX_ROWS:,} "
            f"can be tabulated; split it into constraints over fewer decisions, or give a plain predicate on the tree"
        )
    try:
        values = [bool(rule.function(*options)) for options in itertools.product(*(d.options for d in scope))]
    except Exception as error:
        raise SpaceError(f"the constraint {rule.message!r} raised {type(error).__name__}: {error}") from error
    allowed = np.ones(tuple(k + 1 for k in shape), dtype=bool)  # inactive: holds
    allowed[tuple(slice(k) for k in shape)] = np.array(values, dtype=bool).reshape(shape)
    return Table(tuple(d.index for d in scope), allowed, rule.message)


def allow_only(decision: Decision, options: Iterable[Any]) -> Table:
    """The table that leaves some options of a decision.

    Raises:
        SpaceError: if an option is not one of the decision's.
    """
    from archwright.space.canonical import canonical_text

    texts = [canonical_text(o) for o in decision.options]
    allowed = np.zeros(decision.size + 1, dtype=bool)
    allowed[-1] = True
    chosen = list(options)
    for option in chosen:
        text = canonical_text(option)
        if text not in texts:
            raise SpaceError(f"{decision.label!r} has no option {option!r}; its options are {list(decision.options)}")
        allowed[texts.index(text)] = True
    return Table((decision.index,), allowed, f"{decision.label} in {chosen}")


def read_rules(where: Any, decisions: Sequence[Decision]) -> tuple[tuple[Table, ...], tuple[Predicate, ...]]:
    """Sort what was given as `where` into tables and predicates.

    Raises:
        SpaceError: if one of them is neither a constraint nor callable.
    """
    given = () if where is None else where
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        given = (given,)
    tables: list[Table] = []
    predicates: list[Predicate] = []
    for rule in given:
        if isinstance(rule, Constraint):
            tables.append(tabulate(rule, decisions))
        elif isinstance(rule, Table):
            tables.append(rule)
        elif isinstance(rule, Predicate):
            predicates.append(rule)
        elif callable(rule):
            predicates.append(Predicate(rule, getattr(rule, "__qualname__", type(rule).__qualname__)))
        else:
            raise SpaceError(f"`where` takes constraints and functions of the resolved tree, got {rule!r}")
    return tuple(tables), tuple(predicates)
