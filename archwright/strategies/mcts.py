"""Monte Carlo tree search over decisions in order.

Negrinho & Gordon, "DeepArchitect: automatically designing and training deep architectures" (2017), section 4.2: the
tree assigns one decision at a time; UCT (Kocsis & Szepesvari, 2006) goes down to a child never visited, and the rest is
drawn at random. With bisection, an ordinal decision becomes a chain of binary ones (lower or upper half), so that
neighbouring options share statistics. Differences: rewards are ranks among all trials (rescaled as they come in), a
branch whose members were all proposed is closed, and proposals that are pending count as visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archwright.errors import SpaceError
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of, single_goal

Path = tuple[int, ...]
INACTIVE = -1


class _Step(NamedTuple):
    """Where a path stands: the decision next in line and the options left, low <= option < high."""

    decision: int
    low: int
    high: int


@register(
    "strategies",
    "mcts",
    labels={
        "family": "tree search",
        "objectives": "one",
        "constraints": True,
        "paper": "Negrinho & Gordon 2017, DeepArchitect",
    },
)
class MCTS:
    """Upper confidence bounds on the tree of decisions.

    Args:
        problem: with one goal.
        seed: of all random draws.
        exploration: weight of the confidence term; rewards lie in [0, 1].
        bisection: split ordinal decisions of more than two options in halves.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, exploration: float = 0.33, bisection: bool = True) -> None:
        check_option("exploration", exploration, 0.0)
        single_goal(problem, "mcts")
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks = seed, 0
        self._exploration = exploration
        self._halved = [bisection and d.ordered and d.size > 2 for d in problem.space.decisions]
        self._nodes: dict[Path, list[float]] = {}  # prefix -> [visits, sum of rewards]
        self._closed: set[Path] = set()  # prefixes with nothing new below
        self._ranked = 0  # trials at the last time rewards were computed anew
        self._sorted = np.empty(0)  # losses of the ranked trials in order
        self._pending: dict[bytes, int] = {}  # proposals counted as visits without reward

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: walks down the tree, each completed at random."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        picked = self._proposals.pick(n, rng, self._walks)
        for code in picked.codes:
            path = self._path(code)
            self._add(path, 0.0)
            self._pending[code.tobytes()] = 1
            self._close(path)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add rewards along the paths; all of them anew whenever a quarter more trials are known."""
        rows = self._memory.add(trials)
        if len(self._memory) > 1.25 * self._ranked:
            self._rank_all()
            return
        rewards = self._rewards(rows)
        for row, reward in zip(rows.tolist(), rewards.tolist(), strict=True):
            code = self._memory.codes[row]
            waiting = self._pending.pop(code.tobytes(), 0)
            self._add(self._path(code), reward, visits=1.0 - waiting)

    def _rank_all(self) -> None:
        memory = self._memory
        self._ranked = len(memory)
        kept = memory.losses[memory.violation == 0, 0]
        self._sorted = np.sort(kept)
        for code in memory.codes:
            self._pending.pop(code.tobytes(), None)
        self._nodes = {}
        for code, reward in zip(memory.codes, self._rewards(np.arange(len(memory))).tolist(), strict=True):
            self._add(self._path(code), reward)
        for key in self._pending:
            self._add(self._path(np.frombuffer(key, np.int16)), 0.0)

    def _rewards(self, rows: np.ndarray) -> np.ndarray:
        """(k,) share of the ranked trials that a trial is better than; 0 for those that failed or broke a limit."""
        losses = self._memory.losses[rows, 0]
        better = 1.0 - np.searchsorted(self._sorted, losses) / max(len(self._sorted), 1)
        return np.where(self._memory.violation[rows] == 0, better, 0.0)

    def _add(self, path: Path, reward: float, visits: float = 1.0) -> None:
        for i in range(len(path) + 1):
            node = self._nodes.setdefault(path[:i], [0.0, 0.0])
            node[0] += visits
            node[1] += reward

    def _path(self, code: np.ndarray) -> Path:
        """The way down the tree to a code: one element a decision, or one a half."""
        path: list[int] = []
        for d, option in enumerate(code.tolist()):
            if option < 0:
                path.append(INACTIVE)
            elif not self._halved[d]:
                path.append(option)
            else:
                low, high = 0, int(self._space.sizes[d])
                while high - low > 1:
                    middle = (low + high) // 2
                    path.append(int(option >= middle))
                    low, high = (middle, high) if option >= middle else (low, middle)
        return tuple(path)

    def _branches(self, step: _Step) -> range:
        """Options of a step: halves, or all."""
        return range(2) if self._halved[step.decision] else range(step.high)

    def _after(self, step: _Step, branch: int) -> _Step:
        """The next step of a path."""
        low, high = step.low, step.high
        if self._halved[step.decision] and branch != INACTIVE:
            middle = (low + high) // 2
            low, high = (middle, high) if branch else (low, middle)
            if high - low > 1:
                return _Step(step.decision, low, high)
        return self._start_of(step.decision + 1)

    def _start_of(self, decision: int) -> _Step:
        return _Step(decision, 0, int(self._space.sizes[decision]) if decision < len(self._halved) else 0)

    def _close(self, path: Path) -> None:
        """Close a leaf, and every prefix all of whose branches are closed."""
        steps = [self._start_of(0)]
        for branch in path[:-1]:
            steps.append(self._after(steps[-1], branch))
        self._closed.add(path)
        for i in range(len(path) - 1, -1, -1):
            prefix = path[:i]
            inactive = path[i] == INACTIVE
            branches = (INACTIVE,) if inactive else self._branches(steps[i])
            if not all((*prefix, b) in self._closed for b in branches):
                return
            self._closed.add(prefix)

    def _walks(self, n: int, rng: np.random.Generator) -> Architectures:
        """N members: the tree as far as it is known, then chance. Visits of this call count until it returns."""
        codes = (rng.random((n, len(self._halved))) * self._space.sizes).astype(np.int16)
        visited: list[Path] = []
        for code in codes:
            path = self._descend(code, rng)
            visited.append(path)
            for i in range(len(path) + 1):
                self._nodes.setdefault(path[:i], [0.0, 0.0])[0] += 1.0
        for path in visited:
            for i in range(len(path) + 1):
                node = self._nodes[path[:i]]
                node[0] -= 1.0
                if node[0] <= 0.0:
                    del self._nodes[path[:i]]
        try:
            members = self._space.nearest(codes)
        except SpaceError:  # predicates hold nowhere near
            return self._space.sample(n, rng)
        self._close_impossible(members.codes, visited)
        return members

    def _close_impossible(self, codes: np.ndarray, walked: list[Path]) -> None:
        """Close the first branch of each walk that its member could not take."""
        for code, path in zip(codes, walked, strict=True):
            actual = self._path(code)[: len(path)]
            if actual != path:
                first = next(i for i, (a, b) in enumerate(zip(actual, path, strict=False)) if a != b)
                self._closed.add(path[: first + 1])

    def _descend(self, code: np.ndarray, rng: np.random.Generator) -> Path:
        """Choose branches until one is new, and write them into a code (D,) drawn at random."""
        path: Path = ()
        step = self._start_of(0)
        while step.decision < len(self._halved):
            if (*path, INACTIVE) in self._nodes:
                branch = INACTIVE
            else:
                branch = self._branch(path, step, rng)
            new = (*path, branch) not in self._nodes
            self._write(code, step, branch, rng)
            path = (*path, branch)
            step = self._after(step, branch)
            if new:
                break
        return path

    def _branch(self, path: Path, step: _Step, rng: np.random.Generator) -> int:
        """A branch never visited, by chance, else the one with the largest upper confidence bound."""
        branches = list(self._branches(step))
        still = [b for b in branches if (*path, b) not in self._closed] or branches
        new = [b for b in still if (*path, b) not in self._nodes]
        if new:
            return new[int(rng.integers(len(new)))]
        visits, rewards = np.array([self._nodes[(*path, b)] for b in still]).T
        bound = rewards / visits + self._exploration * np.sqrt(2.0 * np.log(visits.sum()) / visits)
        return still[int((bound + 1e-9 * rng.random(len(still))).argmax())]

    def _write(self, code: np.ndarray, step: _Step, branch: int, rng: np.random.Generator) -> None:
        """Put a branch into a code: the option itself, or one of the half."""
        if branch == INACTIVE:
            return
        if not self._halved[step.decision]:
            code[step.decision] = branch
            return
        middle = (step.low + step.high) // 2
        low, high = (middle, step.high) if branch else (step.low, middle)
        code[step.decision] = rng.integers(low, high)
