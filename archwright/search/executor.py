"""Where evaluations run: in this process, in worker processes, on a Ray cluster, or on a simulated clock.

An executor takes jobs and gives back outcomes. Those that work one batch after the other leave the trajectory of a run
independent of timing; `asynchronous` ones tell the strategy of each trial as it finishes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

from archwright.errors import ConfigurationError
from archwright.search.measure import Chain, Job, Outcome, measure, simulated_seconds
from archwright.search.problem import Problem


class Executor(Protocol):
    """Runs jobs; the engine never hands over more than `workers` at a time."""

    workers: int
    asynchronous: bool

    def start(self, problem: Problem) -> None:
        """Get ready to evaluate this problem; called once before the first job."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job."""
        ...

    def finished(self) -> Sequence[Outcome]:
        """Wait for at least one job that was submitted, and return all that are done."""
        ...

    def close(self) -> None:
        """Stop all workers; may be called twice."""
        ...


class InProcess:
    """Evaluates in this process, one job after the other."""

    workers = 1
    asynchronous = False

    def __init__(self) -> None:
        self._chain: Chain | None = None
        self._jobs: list[Job] = []

    def start(self, problem: Problem) -> None:
        """Keep the problem's evaluators at hand."""
        self._chain = Chain(problem)

    def submit(self, job: Job) -> None:
        """Take a job; it runs in `finished`."""
        self._jobs.append(job)

    def finished(self) -> Sequence[Outcome]:
        """Run the jobs."""
        if self._chain is None:
            raise ConfigurationError("start the executor with a problem before the first job")
        jobs, self._jobs = self._jobs, []
        return [measure(self._chain, job) for job in jobs]

    def close(self) -> None:
        """Forget jobs that have not run."""
        self._jobs = []


class Simulated:
    """Replays a search on `workers` machines: outcomes come back in the order in which they would have finished.

    A trial takes as long as its metric `simulated_s` says; the order of events is exact and needs no waiting, as in the
    simulator of Syne Tune (Salinas et al., 2022). Ties are broken by trial number. Evaluations run in this process.
    """

    asynchronous = True

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ConfigurationError(f"an executor needs at least 1 worker, got {workers}")
        self.workers = workers
        self._inner = InProcess()
        self._events: list[tuple[float, int, Outcome]] = []

    def start(self, problem: Problem) -> None:
        """Keep the problem's evaluators at hand."""
        self._inner.start(problem)

    def submit(self, job: Job) -> None:
        """Not used by the engine, which calls `enter`; a job submitted here starts at 0 s."""
        self.enter(self.run(job), 0.0)

    def run(self, job: Job) -> Outcome:
        """Evaluate a job now, without its simulated duration."""
        self._inner.submit(job)
        return self._inner.finished()[0]

    def enter(self, outcome: Outcome, start_s: float) -> None:
        """Let an outcome appear when its evaluation, begun at `start_s`, would have ended."""
        heapq.heappush(self._events, (start_s + simulated_seconds(outcome), outcome.number, outcome))

    def next_s(self) -> float:
        """Simulated time of the next outcome; infinite if none is under way."""
        return self._events[0][0] if self._events else float("inf")

    def finished(self) -> Sequence[Outcome]:
        """The next outcome."""
        return [heapq.heappop(self._events)[2]]

    def close(self) -> None:
        """Forget what is under way."""
        self._events = []
        self._inner.close()
