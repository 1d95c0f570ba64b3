"""Monte-Carlo tree search on the decisions of a space.

Negrinho & Gordon, "DeepArchitect: Automatically Designing and Training Deep Architectures" (2017), section 5.2: one
decision after another is assigned, UCT (Kocsis & Szepesvari, 2006) chooses among the children of a node, what is left
below the tree's edge is drawn at random; ordered decisions are halved again and again (section 5.2, "bisection"), so
that similar values share statistics. Rewards are ranks among all trials so far, which makes the exploration constant
free of units. Differences: no architecture is evaluated twice, and constraints are kept by taking the nearest member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.space.space import Space
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import fitness

Step = tuple[int, int]  # which half or which option, and of which decision
Path = tuple[Step, ...]


class Questions:
    """The tree of a space: which question comes after a path, and what its answers leave open."""

    def __init__(self, space: Space, bisection: bool) -> None:
        self._halves = [bool(bisection and d.ordered and d.size > 2) for d in space.decisions]
        self._sizes = space.sizes.tolist()
        self._activity, self._columns = space.activity, len(space.decisions)

    def ranges(self, path: Path) -> list[tuple[int, int]]:
        """Options [low, high) that a path leaves for each decision."""
        out = [(0, size) for size in self._sizes]
        for answer, d in path:
            low, high = out[d]
            if self._halves[d]:
                middle = (low + high) // 2
                out[d] = (low, middle) if answer == 0 else (middle, high)
            else:
                out[d] = (low + answer, low + answer + 1)
        return out

    def next(self, path: Path) -> tuple[int, int] | None:
        """Decision and number of answers of the next question; None at a leaf."""
        ranges = self.ranges(path)
        code = np.array([[low] for low, _ in ranges], np.int16)
        settled = code.copy()
        self._activity.mask(settled)
        for d, (low, high) in enumerate(ranges):
            if high - low > 1 and settled[d, 0] >= 0:
                return d, 2 if self._halves[d] else high - low
        return None


@register(
    "strategies",
    "mcts",
    labels={
        "family": "tree search",
        "objectives": "many",
        "constraints": True,
        "paper": "Negrinho & Gordon 2017, DeepArchitect",
    },
)
class TreeSearch:
    """UCT over decisions.

    Args:
        problem: what is searched.
        seed: of all random draws.
        exploration: c of UCT.
        bisection: halve ordered decisions.
    """

    batch = 1

    def __init__(self, problem: Problem, *, seed: int = 0, exploration: float = 0.35, bisection: bool = True) -> None:
        check_option("exploration", exploration, 0.0)
        self._space, self._seed, self._asks = problem.space, seed, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._questions = Questions(problem.space, bisection)
        self._exploration = exploration
        self._below: dict[Path, list[int]] = {(): []}  # node -> rows of the memory below it
        self._waiting: dict[Path, int] = {}  # node -> candidates that are out
        self._path: dict[bytes, Path] = {}

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n leaves; those that are out count as visits, so that workers spread."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        values = fitness(self._memory)
        self._reward = 1.0 - np.argsort(np.argsort(values, kind="stable")) / max(len(values) - 1, 1)
        codes = []
        for _ in range(n):
            picked = self._proposals.pick(1, rng, self._descend)
            if not len(picked):
                break
            code = picked.codes[0]
            path = self._drafts.get(code.tobytes(), ())
            self._path[code.tobytes()] = path
            for depth in range(len(path) + 1):
                self._waiting[path[:depth]] = self._waiting.get(path[:depth], 0) + 1
            codes.append(code)
        batch = np.array(codes, np.int16).reshape(len(codes), len(self._space.decisions))
        return candidates_of(Architectures(self._space, batch))

    def _descend(self, n: int, rng: np.random.Generator) -> Architectures:
        """Complete n paths that UCT chooses; each is grown by one node."""
        self._drafts: dict[bytes, Path] = {}
        count = min(n, 16)
        codes = np.zeros((count, len(self._space.decisions)), np.int64)
        paths = [self._select(rng) for _ in range(count)]
        for i, path in enumerate(paths):
            codes[i] = [rng.integers(low, high) for low, high in self._questions.ranges(path)]
        near = self._space.nearest(codes)
        self._drafts = {c.tobytes(): p for c, p in zip(near.codes, paths, strict=True)}
        return near

    def _select(self, rng: np.random.Generator) -> Path:
        path: Path = ()
        while True:
            question = self._questions.next(path)
            if question is None:
                return path
            d, answers = question
            children = [(*path, (k, d)) for k in range(answers)]
            new = [c for c in children if not self._below.get(c) and not self._waiting.get(c)]
            if new:
                return new[int(rng.integers(len(new)))]
            path = children[self._best(path, children, rng)]

    def _best(self, path: Path, children: Sequence[Path], rng: np.random.Generator) -> int:
        visits = np.array([len(self._below.get(c, ())) + self._waiting.get(c, 0) for c in children], float)
        sums = np.array([self._reward[self._below[c]].sum() if self._below.get(c) else 0.0 for c in children])
        bonus = self._exploration * np.sqrt(2 * np.log(visits.sum() + 1) / visits)
        return int(np.argmax(sums / visits + bonus + 1e-9 * rng.random(len(children))))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Count trials in every node above them."""
        for row, trial in zip(self._memory.add(trials).tolist(), trials, strict=True):
            path = self._path.pop(trial.candidate.architecture.key, None)
            if path is None:
                continue
            for depth in range(len(path) + 1):
                self._below.setdefault(path[:depth], []).append(row)
                self._waiting[path[:depth]] -= 1
