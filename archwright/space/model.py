"""The factor graph of a space: which decisions exist together, and which codes the constraints allow.

Unconstrained decisions need no graph: given what stands above them they are independent. Only the decisions that some
constraint names, and those that decide whether these exist, are drawn together; all others are drawn freely afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from archwright.errors import SpaceError
from archwright.space.compile import ALWAYS, Activity, Compiled
from archwright.space.constraints import Table
from archwright.space.factors import Elimination, Factor

Literal = tuple[int, np.ndarray]  # a variable and which of its values make a guard hold


class Model:
    """Variables and factors of a space.

    Variables 0 .. D-1 are the decisions; a decision that can be inactive has one more value for that, the last. Later
    variables are helpers with two values, for guards that need more than one decision.
    """

    def __init__(self, compiled: Compiled, activity: Activity, tables: Sequence[Table]) -> None:
        self.decisions = compiled.decisions
        self.activity = activity
        self.tables = tuple(tables)
        self.sizes = {d.index: d.size + (not activity.always[d.index]) for d in self.decisions}
        self.defined: dict[int, Factor] = {}  # variable -> the factor that says when it is active (or true)
        self._literals: dict[int, Literal | None] = {ALWAYS: None}
        for guard in activity.needed:
            self._literals[guard] = self._literal(guard)
        for d, guards in activity.conditional:
            self._define_activity(d, guards)

    def _literal(self, guard: int) -> Literal:
        """The variable that tells whether a guard holds, with a helper if no single decision does."""
        parent, d, allowed = self.activity.guards[guard]
        above = self._literals[parent]
        mine = allowed[: self.sizes[d]]
        if above is None or self.activity.occurrences[d] == [parent]:
            return d, mine  # the decision is active exactly where the parent guard holds
        if above[0] == d:
            return d, mine & above[1]
        return self._helper(above, (d, mine), np.logical_and)

    def _helper(self, a: Literal, b: Literal, join: np.ufunc) -> Literal:
        helper = len(self.sizes)
        self.sizes[helper] = 2
        true = join(a[1][:, None], b[1][None, :])
        self.defined[helper] = Factor((a[0], b[0], helper), np.stack([~true, true], axis=-1))
        return helper, np.array([False, True])

    def _define_activity(self, d: int, guards: Sequence[int]) -> None:
        by_variable: dict[int, np.ndarray] = {}
        for guard in guards:
            literal = self._literals[guard]
            if literal is not None:
                variable, holds = literal
                by_variable[variable] = by_variable.get(variable, np.zeros_like(holds)) | holds
        literals = list(by_variable.items())
        any_of = literals[0]
        for other in literals[1:]:
            any_of = self._helper(any_of, other, np.logical_or)
        variable, holds = any_of
        active = np.arange(self.sizes[d]) < self.decisions[d].size
        self.defined[d] = Factor((variable, d), holds[:, None] == active[None, :])

    def closure(self, decisions: Sequence[int]) -> list[int]:
        """The decisions and helpers that decide whether these exist, with themselves, sorted."""
        found: set[int] = set()
        waiting = list(decisions)
        while waiting:
            v = waiting.pop()
            if v not in found:
                found.add(v)
                if v in self.defined:
                    waiting.extend(self.defined[v].scope)
        return sorted(found)

    def factors(self, variables: Sequence[int], tables: Sequence[Table]) -> list[Factor]:
        """0/1 factors over some variables, closed under `closure`."""
        out = [self.defined[v] for v in variables if v in self.defined]
        for table in tables:
            cut = tuple(slice(self.sizes[d]) for d in table.scope)
            out.append(Factor(table.scope, table.allowed[cut]))
        return out

    def priors(self, variables: Sequence[int]) -> list[Factor]:
        """Factors that give each active decision equal chances for its options."""
        count = len(self.decisions)
        return [Factor((v,), self._prior(v)) for v in variables if v < count]

    def _prior(self, v: int) -> np.ndarray:
        k = self.decisions[v].size
        return np.array([1.0 / k] * k + [1.0] * (self.sizes[v] - k))

    def eliminate(self, variables: Sequence[int], factors: list[Factor], *, weighted: bool) -> Elimination:
        """Eliminate some variables."""
        return Elimination({v: self.sizes[v] for v in variables}, factors, weighted=weighted)

    @cached_property
    def constrained(self) -> list[int]:
        """The variables that have to be drawn together."""
        return self.closure([d for t in self.tables for d in t.scope])

    @cached_property
    def constrained_decisions(self) -> np.ndarray:
        """Indices of the decisions among them."""
        return np.array([v for v in self.constrained if v < len(self.decisions)], dtype=np.intp)

    @cached_property
    def components(self) -> list[np.ndarray]:
        """The constrained decisions in groups that no factor ties to each other."""
        group = {v: v for v in self.constrained}

        def root(v: int) -> int:
            while group[v] != v:
                group[v] = v = group[group[v]]
            return v

        for factor in self.factors(self.constrained, self.tables):
            for v in factor.scope[1:]:
                group[root(v)] = root(factor.scope[0])
        members: dict[int, list[int]] = {}
        for d in self.constrained_decisions.tolist():
            members.setdefault(root(d), []).append(d)
        return [np.array(ds, dtype=np.intp) for ds in members.values()]

    @cached_property
    def sampler(self) -> Elimination:
        """Draws the constrained decisions as independent uniform draws would be, given that they are legal."""
        return self.eliminate(
            self.constrained,
            self.factors(self.constrained, self.tables) + self.priors(self.constrained),
            weighted=True,
        )

    @cached_property
    def constrained_counter(self) -> Elimination:
        """Counts and numbers the legal codes of the constrained decisions."""
        return self.eliminate(self.constrained, self.factors(self.constrained, self.tables), weighted=False)

    @cached_property
    def counter(self) -> Elimination:
        """Counts and numbers all members."""
        every = self.closure(range(len(self.decisions)))
        return self.eliminate(every, self.factors(every, self.tables), weighted=False)

    @cached_property
    def uniform_sampler(self) -> Elimination:
        """Draws members with equal chances."""
        every = self.closure(range(len(self.decisions)))
        return self.eliminate(every, self.factors(every, self.tables), weighted=True)

    def draw(self, n: int, rng: np.random.Generator, *, uniform: bool) -> dict[int, np.ndarray]:
        """Values (n,) of the constrained decisions, or of all decisions of equally likely members.

        Floats reach down to 1e-308 only. Where that leaves no weight at all, legal codes are numbered exactly and drawn
        with equal chances.
        """
        sampler = self.uniform_sampler if uniform else self.sampler
        if sampler.total:
            return sampler.sample(n, rng)
        counter = self.counter if uniform else self.constrained_counter
        return counter.members(random_ranks(counter.total, n, rng))

    def completion(self, fixed: Mapping[int, Sequence[int]]) -> dict[int, int] | None:
        """Legal codes of the constrained decisions that agree with some given ones; None if there are none.

        Args:
            fixed: decision -> its possible codes, -1 for inactive.
        """
        evidence = []
        for d in self.constrained_decisions.tolist():
            if d in fixed:
                table = np.zeros(self.sizes[d], dtype=bool)
                table[list(fixed[d])] = True  # -1 is the last value: inactive
                evidence.append(Factor((d,), table))
        factors = self.factors(self.constrained, self.tables) + evidence
        sizes = {v: self.sizes[v] for v in self.constrained}
        found = Elimination(sizes, factors, weighted=False, order=self.constrained_counter.order)
        if not found.total:
            return None
        values = found.members(np.zeros(1, dtype=np.int64))
        return {d: self.code(d, int(values[d][0])) for d in self.constrained_decisions.tolist()}

    def code(self, d: int, value: int) -> int:
        """The code of a variable's value: -1 for the last value of a decision that can be inactive."""
        return value if value < self.decisions[d].size else -1

    def write(self, columns: np.ndarray, values: Mapping[int, np.ndarray]) -> None:
        """Write values of decisions into codes (D, n), in place."""
        for d, value in values.items():
            if d < len(self.decisions):
                columns[d] = np.where(value < self.decisions[d].size, value, -1)

    def check_not_empty(self) -> None:
        """Check that some code keeps to every constraint.

        Raises:
            SpaceError: if none does, with the first constraint that leaves nothing, and those before it.
        """
        if not self.tables or self.constrained_counter.total:
            return
        for i in range(1, len(self.tables) + 1):
            tables = self.tables[:i]
            variables = self.closure([d for t in tables for d in t.scope])
            if not self.eliminate(variables, self.factors(variables, tables), weighted=False).total:
                message = tables[-1].message
                before = [t.message for t in self._needed_with(tables)]
                together = f" together with {before}" if before else ""
                raise SpaceError(f"no architecture keeps to the constraint {message!r}{together}; loosen one of them")

    def _needed_with(self, tables: Sequence[Table]) -> list[Table]:
        """Of the tables before the last, those without which the space would not be empty."""
        kept = list(tables[:-1])
        for table in list(kept):
            rest = [t for t in kept if t is not table]
            variables = self.closure([d for t in [*rest, tables[-1]] for d in t.scope])
            if not self.eliminate(variables, self.factors(variables, [*rest, tables[-1]]), weighted=False).total:
                kept = rest
        return kept


def random_ranks(total: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Integers (n,) in 0 .. total - 1 with equal chances, Python integers if total needs them."""
    if total < 2**62:
        return rng.integers(total, size=n)
    width = total.bit_length() // 8 + 9  # 64 bits more than needed: the bias is below 1e-19
    return np.array([int.from_bytes(rng.bytes(width), "little") % total for _ in range(n)], dtype=object)
