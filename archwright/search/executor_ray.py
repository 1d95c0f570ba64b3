"""Evaluations on a Ray cluster (Moritz et al., 2018): the same contract as the process pool, over many machines.

Each worker is a Ray actor that holds the problem. An actor that dies costs its trial and is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from archwright.errors import ConfigurationError, require
from archwright.search.measure import Chain, Job, Outcome, describe, measure
from archwright.search.problem import Problem


class _Actor:
    """Measures jobs on a node of the cluster."""

    def __init__(self, problem: Problem) -> None:
        self._chain = Chain(problem)

    def measure(self, job: Job) -> Outcome:
        return measure(self._chain, job)


class Ray:
    """Evaluates on `workers` Ray actors, on the cluster at `address` or a local one that is started and stopped here.

    Args:
        workers: number of actors.
        address: of a running cluster, for example "auto"; None starts Ray on this machine.
        cpus: of each actor.
        gpus: of each actor.
        asynchronous: ask for one candidate a free actor instead of batches.

    Raises:
        MissingPackageError: if Ray is not installed.
    """

    def __init__(
        self,
        workers: int,
        *,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        asynchronous: bool = False,
    ) -> None:
        require("ray", extra="cluster", feature="running on a Ray cluster")
        if workers < 1:
            raise ConfigurationError(f"a Ray executor needs at least 1 worker, got {workers}")
        self.workers, self.asynchronous = workers, asynchronous
        self._address, self._resources = address, {"num_cpus": cpus, "num_gpus": gpus}
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Job]] = {}  # reference of a result -> actor, job
        self._problem: Any = None
        self._ours = False  # whether we started Ray

    def start(self, problem: Problem) -> None:
        """Connect, and put the problem where all actors find it."""
        import ray

        if not ray.is_initialized():
            local = {"num_cpus": max(self.workers, os.cpu_count() or 1), "include_dashboard": False}
            ray.init(address=self._address, log_to_driver=False, **({} if self._address else local))
            self._ours = True
        self._problem = ray.put(problem)

    def submit(self, job: Job) -> None:
        """Hand a job to an idle actor, or to a new one."""
        import ray

        actor = self._idle.pop() if self._idle else ray.remote(_Actor).options(**self._resources).remote(self._problem)
        self._busy[actor.measure.remote(job)] = (actor, job)

    def finished(self) -> Sequence[Outcome]:
        """Wait for an actor to finish or die."""
        import ray

        done, _ = ray.wait(list(self._busy), num_returns=1)
        outcomes = []
        for reference in done:
            actor, job = self._busy.pop(reference)
            try:
                outcomes.append(ray.get(reference))
                self._idle.append(actor)
            except ray.exceptions.RayError as error:
                outcomes.append(Outcome(job.number, "failed", job.known, 0.0, describe(self, error)))
        return outcomes

    def close(self) -> None:
        """Stop the actors, and Ray if it was started here."""
        if self._problem is None:
            return
        import ray

        for actor in [*self._idle, *(a for a, _ in self._busy.values())]:
            ray.kill(actor)
        self._idle, self._busy, self._problem = [], {}, None
        if self._ours:
            ray.shutdown()
            self._ours = False
