"""What strategies share: a generator per ask, trials as arrays, proposals without repeats that fit the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from archwright.errors import ConfigurationError, SpaceError
from archwright.search.pareto import crowding_by_rank, deb_ranks
from archwright.search.problem import Evaluator, Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architecture, Architectures

Make = Callable[[int, np.random.Generator], Architectures]  # (n, rng) -> about n proposals

ROUNDS = 8  # attempts to find new proposals before the next, broader source is tried
AT_ONCE = 4  # proposals drawn at least, since one draw costs as much as four and many are old
ENUMERATE_AT_MOST = 1_000_000


def rng_of(seed: int, asks: int) -> np.random.Generator:
    """Generator of ask number `asks`: a resumed strategy draws the same numbers without storing any state."""
    words = [seed, asks]
    return np.random.default_rng(np.array(words, np.uint32) if 0 <= seed < 1 << 32 else words)  # same stream, quicker


def candidates_of(architectures: Architectures, fidelity: float = 1.0) -> list[Candidate]:
    """One candidate for each architecture of a batch."""
    space = architectures.space
    return [Candidate(Architecture(space, code), fidelity) for code in architectures.codes]


def check_option(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Check a numeric option of a strategy.

    Raises:
        ConfigurationError: if it is outside [low, high].
    """
    if not low <= value <= high:
        span = f"from {low} to {high}" if np.isfinite(high) else f"at least {low}"
        raise ConfigurationError(f"{name} must be {span}, got {value!r}")


def single_goal(problem: Problem, strategy: str) -> None:
    """Check that a problem has one goal, for strategies that know only one.

    Raises:
        ConfigurationError: if there are several.
    """
    if len(problem.goals) > 1:
        raise ConfigurationError(
            f"{strategy} minimizes or maximizes one metric, got {len(problem.goals)}: "
            f"{', '.join(g.metric for g in problem.goals)}; turn all but one into limits, or use nsga2"
        )


class Memory:
    """Trials as growing arrays: codes (n, D), losses (n, goals), violation (n,); failed trials are worst.

    A trial is failed if its state says so, or if it is complete and a loss is NaN: violation infinite, losses infinite.
    The losses of infeasible trials that were not measured are infinite too.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem, self._limited = problem, bool(problem.limits)
        self._n = 0
        self._codes = np.empty((64, len(problem.space.decisions)), np.int16)
        self._losses = np.empty((64, len(problem.goals)))
        self._violation = np.empty(64)

    def __len__(self) -> int:
        return self._n

    @property
    def codes(self) -> np.ndarray:
        """(n, D) int16."""
        return self._codes[: self._n]

    @property
    def losses(self) -> np.ndarray:
        """(n, goals), no NaN."""
        return self._losses[: self._n]

    @property
    def violation(self) -> np.ndarray:
        """(n,), 0 = feasible, infinite = failed."""
        return self._violation[: self._n]

    def add(self, trials: Sequence[Trial]) -> np.ndarray:
        """Append trials; returns their rows (k,)."""
        start, end = self._n, self._n + len(trials)
        if end > len(self._codes):
            size = max(2 * len(self._codes), end)
            for name in ("_codes", "_losses", "_violation"):
                old = getattr(self, name)
                new = np.empty((size, *old.shape[1:]), old.dtype)
                new[:start] = old[:start]
                setattr(self, name, new)
        losses = self._problem.losses(trials)
        violation = self._problem.violation(trials) if self._limited else np.zeros(len(trials))
        missing = np.isnan(losses)
        if missing.any():
            losses[missing] = np.inf
            violation[missing.any(axis=1) & (violation == 0)] = np.inf
        for k, trial in enumerate(trials):
            self._codes[start + k] = trial.candidate.architecture.code
            if trial.state == "failed":
                losses[k], violation[k] = np.inf, np.inf
        self._losses[start:end], self._violation[start:end] = losses, violation
        self._n = end
        return np.arange(start, end)

    def order(self, rows: np.ndarray) -> np.ndarray:
        """(k,) place of each of the given rows, 0 = best: Deb's rank, then crowding distance, then age.

        Args:
            rows: (k,) int.
        """
        losses, violation = self._losses[rows], self._violation[rows]
        if losses.shape[1] == 1:
            by = np.lexsort((losses[:, 0], violation))
        else:
            ranks = deb_ranks(losses, violation)
            by = np.lexsort((-crowding_by_rank(losses, ranks), ranks))
        place = np.empty(len(rows), np.int64)
        place[by] = np.arange(len(rows))
        return place


class Prescreen:
    """Predicts with cheap evaluators which proposals break a limit, before any trial is spent on them."""

    def __init__(self, problem: Problem) -> None:
        limited = {o.metric for o in problem.limits}
        self._problem = problem
        self._evaluators: list[Evaluator] = [
            e for e in problem.evaluators if getattr(e, "cheap", False) and limited & set(e.metrics)
        ]

    def __bool__(self) -> bool:
        return bool(self._evaluators)

    def violation(self, architectures: Architectures) -> np.ndarray:
        """(n,) sum of relative violations of the limits that cheap evaluators know; 0 where they cannot say."""
        columns: dict[str, np.ndarray] = {}
        for evaluator in self._evaluators:
            try:
                columns.update(evaluator.evaluate(architectures))
            except Exception:  # the trial itself will say what is wrong
                continue
        return self._problem.violation_of(columns, len(architectures))


class Proposals:
    """Hands out architectures that were not proposed before, within the limits as far as cheap evaluators can tell.

    Args:
        problem: what is searched.
        screened: whether to look at the limits; False for strategies that do so themselves.
    """

    def __init__(self, problem: Problem, *, screened: bool = True) -> None:
        self.space = problem.space
        self.prescreen = Prescreen(problem)
        self._screens = screened and bool(self.prescreen)
        self.seen: set[bytes] = set()
        self._rest: np.ndarray | None = None  # members not proposed, once the space was enumerated

    def random(self, n: int, rng: np.random.Generator) -> Architectures:
        """At most n new random members; fewer only if the space has no more."""
        return self.pick(n, rng, self.space.sample)

    def pick(self, n: int, rng: np.random.Generator, make: Make) -> Architectures:
        """At most n new proposals of `make`; what it cannot supply is drawn at random, then enumerated.

        Proposals that keep to the limits go first, whatever their source; then those with the least violation.
        """
        chosen: list[np.ndarray] = []
        spare: list[tuple[float, int, np.ndarray]] = []  # (violation, order, code)
        if self._rest is None:
            for source in (make, self.space.sample):
                self._draw(n, rng, source, chosen, spare)
                if len(chosen) == n:
                    break
        if len(chosen) < n:
            for _, _, code in sorted(spare, key=lambda s: s[:2])[: n - len(chosen)]:
                self.seen.add(code.tobytes())
                chosen.append(code)
        if len(chosen) < n:
            chosen += self._remaining(n - len(chosen), rng)
        codes = np.array(chosen, np.int16).reshape(len(chosen), len(self.space.decisions))
        return Architectures.taking(self.space, codes)

    def _draw(
        self,
        n: int,
        rng: np.random.Generator,
        make: Make,
        chosen: list[np.ndarray],
        spare: list[tuple[float, int, np.ndarray]],
    ) -> None:
        """Fill `chosen` to n with new proposals of one source; those out of the limits go to `spare`."""
        held = {s[2].tobytes() for s in spare}
        wanted = n - len(chosen)
        for attempt in range(ROUNDS):
            made = make(max(AT_ONCE, min(wanted << attempt, max(wanted, 512))), rng)
            rows, keys = self._new(made, held)
            violation = self.prescreen.violation(made[rows]).tolist() if self._screens and rows else [0.0] * len(rows)
            for row, key, broken in zip(rows, keys, violation, strict=True):
                if broken:
                    spare.append((broken, len(spare), made.codes[row]))
                    held.add(key)
                elif len(chosen) < n:
                    chosen.append(made.codes[row])
                    self.seen.add(key)
            if len(chosen) == n:
                return
            wanted = n - len(chosen)

    def known(self, codes: np.ndarray) -> np.ndarray:
        """Rows of codes (n, D) int16 that were proposed before."""
        data, width = codes.tobytes(), 2 * codes.shape[1]
        rows = [i for i in range(len(codes)) if data[i * width : (i + 1) * width] in self.seen]
        return np.array(rows, np.int64)

    def _new(self, made: Architectures, held: set[bytes]) -> tuple[list[int], list[bytes]]:
        """Rows of a batch that are neither proposed nor held back nor repeated within it, and their keys."""
        data, width = made.codes.tobytes(), 2 * made.codes.shape[1]
        fresh: dict[bytes, int] = {}
        for row in range(len(made)):
            key = data[row * width : (row + 1) * width]
            if key not in self.seen and key not in held:
                fresh.setdefault(key, row)
        return list(fresh.values()), list(fresh)

    def _remaining(self, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Up to n members that nothing has proposed, from the list of all where the space is small enough."""
        if self._rest is None:
            try:
                if self.space.size() > ENUMERATE_AT_MOST:
                    return []
                self._rest = self.space.enumerate().codes
            except SpaceError:  # a predicate on the tree makes counting impossible
                return []
        left = [code for code in self._rest if code.tobytes() not in self.seen]
        self._rest = np.array(left, np.int16).reshape(len(left), self._rest.shape[1])
        picked = rng.permutation(len(left))
        if self._screens and len(left):
            violation = self.prescreen.violation(Architectures(self.space, self._rest))
            picked = picked[np.argsort(violation[picked], kind="stable")]
        chosen = [left[i] for i in picked[:n]]
        self.seen.update(code.tobytes() for code in chosen)
        return chosen
