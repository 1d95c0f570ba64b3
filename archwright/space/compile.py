"""From a tree with choices to decisions, guards and parts.

A **decision** is one column of the codes. A **guard** is a condition under which a place of the tree exists: its parent
guard holds and a decision takes one of some codes. A decision is active where one of its occurrences exists. **Parts**
are the tree again, with decisions in the place of choices; `resolve.py` turns them into functions of a code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from archwright.errors import SpaceError
from archwright.space.canonical import canonical_text, has_site, is_record, leaf_text, parts_of
from archwright.space.choices import Choice, Repeat

ALWAYS = 0  # the guard of the root


@dataclass(frozen=True, eq=False)
class Decision:
    """One column of the codes: code k stands for `options[k]`, -1 for inactive.

    `path` is where its choice stands first, for example `parts.2#0.kernel`: fields and indices after dots, copies of a
    repeat after `#`, options of a choice after `|`; the number of copies of a repeat is `parts.2.times`.
    """

    index: int
    path: str
    name: str | None
    options: tuple[Any, ...]
    ordered: bool

    @property
    def size(self) -> int:
        """Number of options."""
        return len(self.options)

    @property
    def label(self) -> str:
        """The name if it has one, else the path."""
        return self.name or self.path

    def __repr__(self) -> str:
        return f"Decision({self.index}, {self.label!r}, {self.size} options)"


class Guard(NamedTuple):
    """Holds where its parent guard holds and the decision's code is allowed."""

    parent: int  # index of a guard made earlier; -1 for the guard of the root
    decision: int
    allowed: np.ndarray  # bool (options + 1,); the last entry is for inactive and is False


@dataclass(frozen=True, eq=False)
class Fixed:
    """A number, string, None or enum member."""

    value: Any
    decisions: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Pick:
    """One of several parts."""

    decision: int
    parts: tuple[Part, ...]
    decisions: tuple[int, ...]  # every decision inside, sorted


@dataclass(frozen=True, eq=False)
class Copies:
    """The first `counts[code]` of the parts, as a tuple."""

    decision: int | None
    counts: tuple[int, ...]
    parts: tuple[Part, ...]
    decisions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """A tuple, list, dict or dataclass."""

    kind: type
    keys: tuple[str, ...]
    parts: tuple[Part, ...]
    site: str
    decisions: tuple[int, ...]


Part = Fixed | Pick | Copies | Group


@dataclass
class Compiled:
    """What a tree is made into."""

    root: Part = field(default_factory=lambda: Fixed(None))
    decisions: list[Decision] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=lambda: [Guard(-1, -1, np.zeros(0, bool))])
    occurrences: list[list[int]] = field(default_factory=list)  # guards of each decision


def compile_tree(tree: Any) -> Compiled:
    """Find the decisions of a tree in pre-order.

    Raises:
        SpaceError: if the tree holds what no space can hold, or two choices of one name differ.
    """
    compiler = _Compiler()
    root_path = "tree" if isinstance(tree, Choice | Repeat) else ""
    try:
        compiler.out.root = compiler.part(tree, root_path, ALWAYS)
    except RecursionError:
        raise SpaceError("the tree is nested too deeply; bound the depth of its grammar or use repeat") from None
    return compiler.out


class _Compiler:
    def __init__(self) -> None:
        self.out = Compiled()
        self.named: dict[str, tuple[int, str, str]] = {}  # name -> decision, canonical text, path
        self.open: list[str] = []  # names of the choices around the current place

    def part(self, tree: Any, path: str, guard: int) -> Part:
        if isinstance(tree, Choice):
            return self.pick(tree, path, guard)
        if isinstance(tree, Repeat):
            return self.copies(tree, path, guard)
        group = parts_of(tree, path)
        if group is None:
            leaf_text(tree, path)  # raises for what is no leaf
            return Fixed(tree)
        kind, keys, children = group
        if is_record(tree) and has_site(kind) and not hasattr(tree, "__dict__"):
            raise SpaceError(f"{kind.__qualname__} has `site` and slots; a class with `site` cannot have slots")
        parts = tuple(self.part(c, f"{path}.{k}" if path else k, guard) for k, c in zip(keys, children, strict=True))
        return Group(kind, keys, parts, path, _union(parts))

    def pick(self, choice: Choice, path: str, guard: int) -> Part:
        d = self.decide(choice, path, guard)
        if choice.name is not None:
            if choice.name in self.open:
                raise SpaceError(f"the choice {choice.name!r} at {path!r} is nested in itself; use another name")
            self.open.append(choice.name)
        parts = []
        for k, option in enumerate(choice.options):
            allowed = np.arange(len(choice.options) + 1) == k
            parts.append(self.part(option, f"{path}|{k}", self.guard(guard, d, allowed)))
        if choice.name is not None:
            self.open.pop()
        return Pick(d, tuple(parts), _union(parts, d))

    def copies(self, repeat: Repeat, path: str, guard: int) -> Part:
        d = self.decide(repeat.times, f"{path}.times", guard) if isinstance(repeat.times, Choice) else None
        parts = []
        for i in range(max(repeat.counts)):
            inner = guard
            if d is not None:
                inner = self.guard(guard, d, np.array([*(c > i for c in repeat.counts), False]))
            parts.append(self.part(repeat.body, f"{path}#{i}", inner))
        return Copies(d, repeat.counts, tuple(parts), _union(parts, d))

    def guard(self, parent: int, decision: int, allowed: np.ndarray) -> int:
        """A guard, or the parent itself where every code is allowed."""
        if allowed[:-1].all():
            return parent
        self.out.guards.append(Guard(parent, decision, allowed))
        return len(self.out.guards) - 1

    def decide(self, choice: Choice, path: str, guard: int) -> int:
        """The decision of a choice: a new one, or the one that has its name."""
        index = len(self.out.decisions)
        if choice.name is not None:
            text = canonical_text(choice, path)
            index, known, first = self.named.setdefault(choice.name, (index, text, path))
            if known != text:
                raise SpaceError(
                    f"the choice {choice.name!r} must have the same options everywhere, but those at {first!r} and "
                    f"{path!r} differ; give them the same options or different names"
                )
        if index == len(self.out.decisions):
            self.out.decisions.append(Decision(index, path, choice.name, choice.options, choice.ordered))
            self.out.occurrences.append([])
        if guard not in self.out.occurrences[index]:
            self.out.occurrences[index].append(guard)
        return index


def _union(parts: list[Part] | tuple[Part, ...], decision: int | None = None) -> tuple[int, ...]:
    inside = {d for part in parts for d in part.decisions}
    if decision is not None:
        inside.add(decision)
    return tuple(sorted(inside))


class Activity:
    """Which decisions are active, over whole batches of codes.

    Args:
        compiled: guards and occurrences; occurrences beside the root's are dropped where the root's makes a decision
            always active.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.guards = compiled.guards
        self.occurrences = [[ALWAYS] if ALWAYS in o else o for o in compiled.occurrences]
        self.always = np.array([o == [ALWAYS] for o in self.occurrences], dtype=bool)
        needed: set[int] = set()
        for guard in (g for o in self.occurrences for g in o):
            while guard > ALWAYS:
                needed.add(guard)
                guard = self.guards[guard].parent
        self.needed = sorted(needed)  # parents before children
        self.conditional = [(d, o) for d, o in enumerate(self.occurrences) if not self.always[d]]

    def active(self, columns: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each decision that can be inactive, and where it is active.

        Args:
            columns: int16 (D, n); codes of active decisions are in range, others are -1 or anything in range.

        Yields:
            decision, bool (n,).
        """
        held: dict[int, np.ndarray] = {}
        for g in self.needed:
            parent, d, allowed = self.guards[g]
            holds = allowed[columns[d]]  # -1 reads the last entry, False
            held[g] = holds & held[parent] if parent > ALWAYS else holds
        for d, occurrences in self.conditional:
            active = held[occurrences[0]]
            for g in occurrences[1:]:
                active = active | held[g]
            yield d, active

    def mask(self, columns: np.ndarray) -> None:
        """Set the codes of inactive decisions to -1, in place, for codes (D, n) as in `active`."""
        if self.conditional:
            for d, active in list(self.active(columns)):
                columns[d, ~active] = -1
