"""Evolution of joint designs whose parts are inherited whole: a task's network, or the hardware.

NSGA-II's selection (Deb et al., 2002) with variation made for joint spaces: a child takes every task's network, and the
sub-accelerators, as a whole from one of two parents, because accuracy is a mean and energy nearly a sum over the parts;
then decisions of one part change. A share of the children are neighbours of the front, every other one of the design
that is best in the first goal (local search); others join networks that a model of the parts predicts to go well
together (`parts.py`). Costs are computed, so many more children are made than there are trials: those become trials
whose costs, with the accuracies that the model of the parts predicts, promise to extend the front; and half of the
trials try networks that were not seen, because what limits the front is how many accuracies are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from archwright.codesign.parts import PartModel
from archwright.search.pareto import crowding_by_rank, deb_ranks, front_mask
from archwright.search.problem import Problem
from archwright.search.trial import Trial
from archwright.space import Architectures, Space
from archwright.strategies.common import Proposals, check_option
from archwright.strategies.free_columns import FreeColumns
from archwright.strategies.rounds import Rounds

MACHINES = 4  # designs of the front whose hardware combinations are made for at once


class JointEvolution(Rounds):
    """Elitist evolution over the parts of a joint design.

    Args:
        problem: over a space of `codesign_space`.
        seed: of all random draws.
        known: task -> codes (k, its decisions) of networks that are known to be good, the best first.
        population: size of a generation.
        local: share of the children that are neighbours of the front.
        combined: share of the children that join networks as the model of parts (`parts.py`) proposes.
        screened: children made for each that becomes a trial.
        explored: share of the trials that try new networks for every task.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        known: Mapping[str, np.ndarray] | None = None,
        population: int = 40,
        local: float = 0.2,
        combined: float = 0.6,
        screened: int = 10,
        explored: float = 0.5,
    ) -> None:
        check_option("population", population, 2)
        check_option("local", local, 0.0, 1.0)
        check_option("combined", combined, 0.0, 1.0)
        check_option("screened", screened, 1)
        check_option("explored", explored, 0.0, 1.0)
        super().__init__(problem, seed, population)
        self._proposals = Proposals(problem, screened=False)
        self._local, self._combined, self._screened, self._explored = local, combined, screened, explored
        self._known = dict(known or {})
        self._parts = _parts(problem.space)
        self._model = PartModel(problem, self._parts)
        self._free = FreeColumns(problem)
        self._hardware_part = self._parts.get("accelerators", np.zeros(0, np.int64))
        self._parents = np.zeros(0, np.int64)  # rows of the memory, best first
        self._front = np.zeros(0, np.int64)
        self._judged = 0

    def _first(self, n: int, rng: np.random.Generator) -> Architectures:
        return self._proposals.pick(n, rng, self._within)

    def _within(self, n: int, rng: np.random.Generator) -> Architectures:
        """Of many random designs, those that break the limits least."""
        made = self._with_known(self._screened * n, rng)
        return made[np.argsort(self._problem.violation_of(self._free.values(made), len(made)), kind="stable")[:n]]

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        if not len(self._parents):
            self._select()
        if len(self._parents) < 2:
            return self._proposals.pick(n, rng, self._space.sample)
        return self._proposals.pick(n, rng, self._mixed)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add trials; survivors are chosen once a whole population of them is new."""
        self._memory.add(trials)
        self._model.add(trials)
        if len(self._memory) - self._judged >= self._round:
            self._select()

    def _select(self) -> None:
        """Survivors of parents and new trials: by rank, then crowding distance."""
        memory = self._memory
        pool = np.concatenate([self._parents, np.arange(self._judged, len(memory))])
        self._judged = len(memory)
        losses = memory.losses[pool]
        ranks = deb_ranks(losses, memory.violation[pool])
        order = np.lexsort((-crowding_by_rank(losses, ranks), ranks))[: self._round]
        self._parents = pool[order]
        pool = np.concatenate([self._front, pool])
        allowed = pool[memory.violation[pool] == 0]
        self._front = np.unique(allowed[front_mask(memory.losses[allowed])]) if len(allowed) else self._parents[:1]

    def _mixed(self, n: int, rng: np.random.Generator) -> Architectures:
        """Some that try new networks for every task, then what is promising."""
        share = round(self._explored * n)
        new = self._new(2 * share, rng)
        new = new[np.flatnonzero(self._problem.violation_of(self._free.values(new), len(new)) == 0)[:share]]
        rest = self._promising(n - len(new), rng)
        return Architectures(self._space, np.concatenate([new.codes, rest.codes]))

    def _new(self, n: int, rng: np.random.Generator) -> Architectures:
        """A design of the front with networks that are predicted to be good and were not seen."""
        machine = self._memory.codes[rng.choice(self._front)]
        codes = np.tile(machine, (n, 1))
        proposed = self._model.propose(machine[self._hardware_part], n, rng, new=True) if n else []
        for row, networks in enumerate(proposed):
            for task, own in networks.items():
                codes[row, self._parts[f"tasks.{task}"]] = own
        return self._legal(codes[: len(proposed)], codes[: len(proposed)])

    def _promising(self, n: int, rng: np.random.Generator) -> Architectures:
        """The children whose computed costs and predicted accuracies extend the front most."""
        made = self._children(self._screened * n, rng)
        made = made[np.setdiff1d(np.arange(len(made)), self._proposals.known(made.codes))]
        columns = self._free.values(made)
        front, losses = self._memory.losses[self._front].copy(), np.empty((len(made), len(self._problem.goals)))
        for j, (metric, sign) in enumerate(self._model.goals):
            if metric in columns:
                losses[:, j] = sign * columns[metric]
            else:
                losses[:, j] = sign * self._model.total(metric, made.codes)
                front[:, j] = sign * self._model.total(metric, self._memory.codes[self._front])
        if np.isnan(losses).any() or np.isnan(front).any():
            return made[:n]  # too few trials to predict from
        violation = self._problem.violation_of(columns, len(made))
        ranks = deb_ranks(
            np.concatenate([losses, front]), np.concatenate([violation, self._memory.violation[self._front]])
        )
        spread = crowding_by_rank(np.concatenate([losses, front]), ranks)
        return made[np.lexsort((-spread[: len(made)], ranks[: len(made)]))[:n]]

    def _with_known(self, n: int, rng: np.random.Generator) -> Architectures:
        """Random designs, with known networks for some tasks of each."""
        codes = self._space.sample(n, rng).codes.copy()
        before = codes.copy()
        for task in self._known:
            self._put(codes, np.flatnonzero(rng.random(n) < 0.5), task, rng)
        return self._legal(codes, before)

    def _put(self, codes: np.ndarray, rows: np.ndarray, task: str, rng: np.random.Generator) -> None:
        """One of a task's known networks into some rows, in place."""
        part, networks = self._parts.get(f"tasks.{task}"), np.asarray(self._known[task])
        if part is not None and len(networks):
            own = [int(self._space.decisions[d].path.rsplit(".", 1)[1]) for d in part]
            chosen = networks[rng.integers(0, len(networks), len(rows))]
            codes[np.ix_(rows, part)] = np.maximum(chosen[:, own], 0)

    def _children(self, n: int, rng: np.random.Generator) -> Architectures:
        memory, parts = self._memory, list(self._parts.values())
        pairs = np.sort(rng.integers(0, len(self._parents), (2, n, 2)), axis=2)[..., 0]  # best first: tournaments
        mothers, fathers = (memory.codes[self._parents[p]] for p in pairs)
        codes = mothers.copy()
        for part in parts:
            rows = np.flatnonzero(rng.random(n) < 0.5)
            codes[np.ix_(rows, part)] = fathers[np.ix_(rows, part)]
        near = (rng.random(n) < self._local) & (len(self._front) > 0)
        if near.any():
            best, many = self._front[np.argmin(memory.losses[self._front, 0])], int(near.sum())
            centres = np.where(rng.random(many) < 0.5, best, rng.choice(self._front, many))
            codes[near] = memory.codes[centres]
        self._combine(codes, near, rng)
        before = codes.copy()
        which, steps = rng.integers(0, len(parts), n), rng.integers(1, 3, n)
        steps[near] = 1
        for row in range(n):
            same = bool((codes[row] == mothers[row]).all()) or near[row]
            if same or rng.random() < 0.6:
                self._change(codes[row], parts[which[row]], int(steps[row]), rng)
        return self._legal(codes, before)

    def _combine(self, codes: np.ndarray, kept: np.ndarray, rng: np.random.Generator) -> None:
        """Join seen networks on machines of the front in some rows that are not kept, in place."""
        rows = np.flatnonzero(~kept & (rng.random(len(codes)) < self._combined / max(1e-9, 1 - self._local)))
        for group in np.array_split(rows, MACHINES):
            machine = self._memory.codes[rng.choice(self._front)]
            proposed = self._model.propose(machine[self._hardware_part], len(group), rng, new=False)
            for row, networks in zip(group, proposed, strict=False):
                codes[row] = machine
                for task, own in networks.items():
                    codes[row, self._parts[f"tasks.{task}"]] = own

    def _change(self, code: np.ndarray, part: np.ndarray, steps: int, rng: np.random.Generator) -> None:
        """Other options for some decisions of one part of a code, in place."""
        for d in rng.choice(part, min(steps, len(part)), replace=False):
            size = self._space.decisions[d].size
            code[d] = (code[d] + rng.integers(1, size)) % size

    def _legal(self, codes: np.ndarray, before: np.ndarray) -> Architectures:
        """Codes as members; those that break a rule are dropped in favour of what they came from."""
        codes = self._space.canonical(codes)
        kept = self._space.is_member(codes)
        codes[~kept] = self._space.canonical(before[~kept])
        kept = self._space.is_member(codes)
        return Architectures(self._space, codes[kept])


def _parts(space: Space) -> dict[str, np.ndarray]:
    """Name of each part that varies -> indices of its decisions: `tasks.NAME`, and `accelerators` all together."""
    sample = space.sample(64, np.random.default_rng(0)).codes
    varies = (sample != sample[0]).any(axis=0)
    parts: dict[str, list[int]] = {}
    for d in space.decisions:
        if varies[d.index]:
            head = d.path.split(".")
            parts.setdefault(".".join(head[:2]) if head[0] == "tasks" else head[0], []).append(d.index)
    return {name: np.array(indices) for name, indices in parts.items()}
