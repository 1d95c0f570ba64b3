"""Rungs of multi-fidelity methods: how many trials at which effort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.common import check_option


@dataclass(frozen=True)
class Rung:
    """Trials of one effort: `size` of them at `fidelity`."""

    size: int
    fidelity: float


def halving_rungs(size: int, lowest: float, factor: float, *, keep: int = 1) -> tuple[Rung, ...]:
    """Rungs from `lowest` to full effort; each keeps 1 / factor of the one before.

    Args:
        size: trials of the first rung.
        lowest: its fidelity, in (0, 1].
        factor: eta.
        keep: trials of the last rung at least.
    """
    steps = max(0, math.floor(math.log(1.0 / lowest) / math.log(factor) + 1e-9))
    return tuple(Rung(max(keep, int(size / factor**i)), min(1.0, factor ** (i - steps))) for i in range(steps + 1))


def check_halving(factor: float, lowest: float) -> None:
    """Check the options that all multi-fidelity methods share.

    Raises:
        ConfigurationError: if one is out of range.
    """
    check_option("factor", factor, 1.5)
    check_option("lowest", lowest, 1e-6, 1.0)


@dataclass
class Bracket:
    """One synchronous successive halving: fills a rung, waits, promotes the best.

    Losses compare at equal effort only. `open` are candidates that are out, by (code, fidelity).
    """

    rungs: Sequence[Rung]
    index: int = 0
    asked: int = 0
    done: list[Trial] = field(default_factory=list)
    promoted: list[Trial] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether the last rung is complete."""
        return self.index >= len(self.rungs)

    @property
    def wanted(self) -> int:
        """Candidates that may be asked for now."""
        return 0 if self.finished else self._size() - self.asked

    def _size(self) -> int:
        size = self.rungs[self.index].size
        return size if self.index == 0 else min(size, len(self.promoted))

    @property
    def fidelity(self) -> float:
        """Of the current rung."""
        return self.rungs[self.index].fidelity

    def candidates(self, n: int) -> list[Candidate]:
        """The next promoted candidates, each continuing its trial; not for the first rung."""
        chosen = self.promoted[self.asked : self.asked + n]
        self.asked += len(chosen)
        return [Candidate(t.candidate.architecture, self.fidelity, t.number) for t in chosen]

    def add(self, trial: Trial, problem: Problem) -> None:
        """Take a result; once the rung is full the best go up."""
        self.done.append(trial)
        if len(self.done) < self._size() or self.asked < self._size():
            return
        self.promoted = best_of(self.done, problem)
        self.index, self.asked, self.done = self.index + 1, 0, []
        if not self.finished and not self.promoted:
            self.index = len(self.rungs)  # all have failed


def best_of(trials: Sequence[Trial], problem: Problem) -> list[Trial]:
    """Trials of one effort, best first by violation, then loss or Deb's rank; failed ones are left out."""
    from archwright.search.pareto import deb_ranks

    good = [t for t in trials if t.state != "failed"]
    if not good:
        return []
    losses = problem.losses(good)
    violation = problem.violation(good)
    losses = np.where(np.isnan(losses), np.inf, losses)
    ranks = losses[:, 0] if losses.shape[1] == 1 else deb_ranks(losses, violation)
    return [good[i] for i in np.lexsort((np.array([t.number for t in good]), ranks, violation))]
