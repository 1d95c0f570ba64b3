"""Search spaces: a tree with choices, and everything that can be done with its members.

Members are handled as codes, int16 arrays of one row a member and one column a decision; trees are made only when asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.space import encoding, legality, variation
from archwright.space.architecture import Architecture, Architectures
from archwright.space.canonical import canonical_text, digest_of
from archwright.space.compile import Activity, Decision, compile_tree
from archwright.space.constraints import Constraint, Predicate, Table, allow_only, decisions_by_key, lookup, read_rules
from archwright.space.model import Model
from archwright.space.resolve import Resolver, TextMaker, TreeMaker, resolver
from archwright.space.text import decision_lines

ENUMERATE_AT_MOST = 10_000_000  # members held in memory at once
BATCH = 65_536

Rule = Constraint | Table | Predicate | Callable[[Any], bool]


class Space:
    """All architectures that a tree with choices stands for.

    Args:
        tree: any nesting of frozen dataclasses, tuples, lists, dicts, numbers, strings, None, enum members and choices.
        where: a `constraint` over named decisions, a function of the resolved tree, or several of them.

    Raises:
        SpaceError: if the tree holds something else, or no architecture keeps to the constraints.
    """

    def __init__(self, tree: Any, where: Rule | Iterable[Rule] | None = ()) -> None:
        self.tree = tree
        compiled = compile_tree(tree)
        self.decisions: tuple[Decision, ...] = tuple(compiled.decisions)
        self.compiled = compiled
        self.activity = Activity(compiled)
        self.sizes = np.array([d.size for d in self.decisions], dtype=np.int64)
        self.single = np.flatnonzero(self.sizes == 1)  # decisions with nothing to decide
        self.tables, self.predicates = read_rules(where, self.decisions)
        self.model = Model(compiled, self.activity, self.tables)
        self.model.check_not_empty()
        bound = self.activity.conditional or len(self.single) or self.tables or self.predicates
        self.unbound = bool(self.decisions) and not bound  # any change of any decision makes another member

    # what a code means

    def decision(self, key: str | int) -> Decision:
        """The decision of a name, path or index.

        Raises:
            SpaceError: if there is none.
        """
        return lookup(self._by_key, key)

    @cached_property
    def _by_key(self) -> dict[str | int, Decision]:
        return decisions_by_key(self.decisions)

    def option_value(self, decision: str | int | Decision, code: int) -> Any:
        """The option that a code of a decision stands for; None where it is inactive.

        Raises:
            SpaceError: if the decision has no such code.
        """
        found = decision if isinstance(decision, Decision) else self.decision(decision)
        if not -1 <= code < found.size:
            raise SpaceError(f"{found.label!r} has codes 0 to {found.size - 1}, and -1 for inactive; got {code}")
        return None if code < 0 else found.options[code]

    @cached_property
    def _resolve(self) -> Resolver:
        return resolver(self.compiled, TreeMaker())

    @cached_property
    def _text(self) -> Resolver:
        return resolver(self.compiled, TextMaker())

    def resolve(self, code: np.ndarray) -> Any:
        """The tree of one legal code (D,)."""
        return self._resolve(code.tolist())

    def canonical_text(self, code: np.ndarray) -> str:
        """Canonical text of the tree of one legal code (D,)."""
        return self._text(code.tolist())

    # which codes are members

    def codes(self, architectures: Architectures | Iterable[Architecture]) -> np.ndarray:
        """Codes of architectures of this space: int16 (n, D).

        Raises:
            SpaceError: if one comes from a space with other decisions.
        """
        if isinstance(architectures, Architectures):
            spaces, codes = [architectures.space], architectures.codes
        else:
            items = list(architectures)
            spaces = [a.space for a in items]
            codes = np.array([a.code for a in items], dtype=np.int16).reshape(len(items), len(self.decisions))
        for other in spaces:
            if other is not self and other.tree_text != self.tree_text:
                raise SpaceError("these architectures come from a space with another tree; encode their trees instead")
        return codes

    def canonical(self, codes: np.ndarray) -> np.ndarray:
        """Codes with those of inactive decisions set to -1: int16 (n, D).

        Raises:
            SpaceError: if an active decision has a code out of range.
        """
        return legality.canonical(self, codes)

    def is_member(self, codes: np.ndarray) -> np.ndarray:
        """Which rows of integer codes (n, D) are members, inactive decisions being -1: bool (n,)."""
        return legality.is_member(self, codes)

    def architectures(self, codes: np.ndarray) -> Architectures:
        """The architectures of codes (n, D); codes of inactive decisions are ignored.

        Raises:
            SpaceError: if a code is out of range or breaks a constraint, with its row.
        """
        return legality.checked(self, codes)

    def architecture(self, options: Mapping[str, Any]) -> Architecture:
        """The architecture with these options, given by name or path; all others are as small as they can be.

        Raises:
            SpaceError: if a decision or an option is unknown, or no architecture has them all.
        """
        return Architecture(self, self.fix(options).smallest().code)

    def encode(self, tree: Any) -> Architecture:
        """The architecture of a tree without choices.

        Raises:
            SpaceError: if the tree is not in the space.
        """
        from archwright.space.match import find_code

        return legality.checked(self, find_code(self, tree)[None])[0]

    # size and listing

    def size(self) -> int:
        """Exact number of members; constraints count, and inactive decisions do not.

        Raises:
            SpaceError: if a predicate on the tree makes the count impossible.
        """
        return legality.size(self)

    def enumerate(self) -> Architectures:
        """Every member once.

        Raises:
            SpaceError: if there are more than ten million; take `batches` then.
        """
        count = self.model.counter.total
        if count > ENUMERATE_AT_MOST:
            raise SpaceError(
                f"the space has {count:.3g} members, at most {ENUMERATE_AT_MOST:,} are listed at once; "
                f"use `batches` to walk through them or `sample` to draw some"
            )
        codes = [b.codes for b in self.batches()]
        return Architectures(self, np.concatenate([np.zeros((0, len(self.decisions)), np.int16), *codes]))

    def batches(self, n: int = BATCH) -> Iterator[Architectures]:
        """Every member once, in batches of at most n, always in the same order."""
        return legality.batches(self, n)

    # drawing and changing

    def sample(self, n: int, rng: np.random.Generator, *, uniform: bool = False) -> Architectures:
        """Draw n members.

        Args:
            n: how many.
            rng: source of randomness.
            uniform: every member has the same chance; by default every option of an active decision has (as far as the
                constraints allow), so that options with few variants are not rare.

        Raises:
            SpaceError: if predicates on the tree reject nearly everything.
        """
        return variation.sample(self, n, rng, uniform=uniform)

    def mutate(self, architectures: Architectures, rng: np.random.Generator, changes: int = 1) -> Architectures:
        """Change decisions of each architecture: every mutant is a member and differs from its parent.

        Args:
            architectures: n parents.
            rng: source of randomness.
            changes: active decisions to change in each; what they bring onto the tree is drawn.

        Raises:
            SpaceError: if the space has one member only.
        """
        return variation.mutate(self, architectures, rng, changes)

    def crossover(self, a: Architectures, b: Architectures, rng: np.random.Generator) -> Architectures:
        """Children of pairs (uniform crossover): each decision from one of the parents; every child is a member.

        Raises:
            SpaceError: if the two batches have different lengths.
        """
        return variation.crossover(self, a, b, rng)

    def neighbours(self, architecture: Architecture) -> Architectures:
        """Every member that differs in the option of one active decision; what that brings onto the tree is first."""
        return variation.neighbours(self, architecture)

    def smallest(self) -> Architecture:
        """First option of every decision, as far as the constraints allow."""
        return variation.extreme(self, last=False)

    def largest(self) -> Architecture:
        """Last option of every decision, as far as the constraints allow."""
        return variation.extreme(self, last=True)

    def nearest(self, codes: np.ndarray) -> Architectures:
        """Members close to any integer codes (n, D), for strategies that propose without knowing the space.

        Codes are cut to their range; where that breaks a constraint, each tied decision in turn comes as close as those
        before it allow.

        Raises:
            SpaceError: if predicates on the tree hold nowhere near.
        """
        return variation.nearest(self, codes)

    # spaces within spaces

    def restrict(self, allowed: Mapping[str, Iterable[Any]]) -> Space:
        """The members whose decisions, where active, take one of the given options; codes keep their meaning.

        Raises:
            SpaceError: if a decision or an option is unknown, or nothing is left.
        """
        tables = [allow_only(self.decision(key), options) for key, options in allowed.items()]
        return self._with((*self.tables, *tables, *self.predicates))

    def fix(self, options: Mapping[str, Any]) -> Space:
        """The members whose decisions, where active, take the given option."""
        return self.restrict({key: (option,) for key, option in options.items()})

    def where(self, *rules: Rule) -> Space:
        """The members that keep to further constraints."""
        return self._with((*self.tables, *self.predicates, *rules))

    def _with(self, rules: Sequence[Rule]) -> Space:
        return Space(self.tree, rules)

    # encodings and files

    def one_hot(self, codes: np.ndarray) -> np.ndarray:
        """Float32 (n, sum of option counts); an inactive decision is all zeros."""
        return encoding.one_hot(self, codes)

    def graph(self, architecture: Architecture) -> encoding.Graph:
        """Nodes, edges and adjacency of an architecture's tree."""
        return encoding.graph(architecture.tree)

    @cached_property
    def tree_text(self) -> str:
        """Canonical text of the tree with its choices."""
        return canonical_text(self.tree)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that tell spaces apart; of a predicate on the tree only the name counts."""
        rules = [f"{t.scope}{t.allowed.shape}{t.allowed.tobytes().hex()}" for t in self.tables]
        rules += [f"predicate {p.message}" for p in self.predicates]
        return digest_of("\n".join([self.tree_text, *rules]))

    def to_json(self) -> str:
        """The tree and the tabulated constraints.

        Raises:
            SpaceError: if a constraint is a function of the tree.
        """
        from archwright.space.codec import space_to_json

        return space_to_json(self)

    @staticmethod
    def from_json(text: str, allow: Collection[str] = ()) -> Space:
        """Read a space.

        Args:
            text: what `to_json` wrote.
            allow: import paths (`module` or `module:Class`) that the text may name, beside archwright's own.

        Raises:
            SpaceError: if the text is not a space, or names a type that is not allowed.
        """
        from archwright.space.codec import space_from_json

        return space_from_json(text, allow)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        rules = [t.message for t in self.tables] + [p.message for p in self.predicates]
        return decision_lines(self.decisions) + "".join(f"\nwhere {rule}" for rule in rules)

    def __repr__(self) -> str:
        rules = len(self.tables) + len(self.predicates)
        return f"Space({len(self.decisions)} decisions, {rules} constraints, digest={self.digest!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Space, (self.tree, (*self.tables, *self.predicates))
