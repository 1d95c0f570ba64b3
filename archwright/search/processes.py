"""Worker processes: evaluations in parallel on one machine; a worker that dies costs one trial, not the run.

Workers are spawned (not forked: threads and accelerators survive that badly), get the pickled problem once, and take
one job at a time over a pipe. `concurrent.futures` gives up a whole pool when one process dies; here the job of the
dead worker becomes a failed outcome and a new worker takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from archwright.errors import ConfigurationError, EvaluationError
from archwright.search.measure import Chain, Job, Outcome, measure
from archwright.search.problem import Problem


class _Worker:
    """One process and this side of its pipe."""

    def __init__(self, payload: bytes, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, payload), daemon=True)
        with child_threads(threads):
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.ready = False

    def receive(self) -> Any:
        """What the worker says; None if it is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def stop(self) -> None:
        """Kill the process and wait for it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process.close()


class ProcessPool:
    """Evaluates on `workers` processes of this machine.

    Results do not depend on timing unless `asynchronous`, where the strategy hears of each trial as it ends. A script
    that starts a pool needs the usual `if __name__ == "__main__":`, and the problem must be picklable.

    Args:
        workers: number of processes; by default one a core.
        threads: numerical threads of each; by default the cores divided by the workers.
        asynchronous: ask for one candidate a free worker instead of batches.
    """

    def __init__(self, workers: int | None = None, *, threads: int | None = None, asynchronous: bool = False) -> None:
        cores = os.cpu_count() or 1
        self.workers = cores if workers is None else workers
        if self.workers < 1:
            raise ConfigurationError(f"a process pool needs at least 1 worker, got {workers}")
        self.asynchronous = asynchronous
        self._threads = threads or max(1, cores // self.workers)
        self._payload = b""
        self._pool: list[_Worker] = []
        self._failed: list[Outcome] = []

    def start(self, problem: Problem) -> None:
        """Pickle the problem; workers start with the first jobs.

        Raises:
            ConfigurationError: if the problem cannot be pickled.
        """
        try:
            self._payload = pickle.dumps(problem)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"worker processes need a problem that can be pickled, but: {error}; define evaluators and constraints "
                f"at the top of an importable module (no lambdas), or run in this process"
            ) from error

    def submit(self, job: Job) -> None:
        """Hand a job to a free worker, or to a new one."""
        for worker in [w for w in self._pool if w.job is None]:
            if self._send(worker, job):
                return
        worker = _Worker(self._payload, self._threads)
        self._pool.append(worker)
        if not self._send(worker, job):
            self._failed.append(
                Outcome(job.number, "failed", job.known, 0.0, "the worker process could not be started")
            )

    def _send(self, worker: _Worker, job: Job) -> bool:
        try:
            worker.pipe.send(job)
        except OSError:  # it died while idle
            self._drop(worker)
            return False
        worker.job = job
        return True

    def _drop(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.stop()

    def finished(self) -> Sequence[Outcome]:
        """Wait for a worker to finish or die.

        Raises:
            EvaluationError: if workers cannot start, which no other worker would do better.
        """
        done, self._failed = self._failed, []
        while not done:
            busy = {w.pipe: w for w in self._pool if w.job is not None}
            if not busy:
                raise EvaluationError("no job is under way in the process pool, so none can finish; submit one first")
            for pipe in wait(list(busy)):
                outcome = self._hear(busy[pipe])  # type: ignore[index]
                if outcome is not None:
                    done.append(outcome)
        return done

    def _hear(self, worker: _Worker) -> Outcome | None:
        """Take one message of a worker; an outcome if its job is over."""
        message, job = worker.receive(), worker.job
        if message == "ready":
            worker.ready = True
            return None
        if isinstance(message, Outcome):
            worker.job = None
            return message
        if isinstance(message, str):
            raise EvaluationError(f"a worker process cannot load the problem: {message}")
        worker.process.join(5.0)
        code = worker.process.exitcode
        self._drop(worker)
        if not worker.ready:
            raise EvaluationError(
                f"a worker process ended with exit code {code} before its first job; a script that uses workers needs "
                f'`if __name__ == "__main__":` around its start'
            )
        if job is None:
            return None  # it was idle: nothing is lost with it
        reason = f"signal {-code} ({signal.strsignal(-code)})" if code is not None and code < 0 else f"exit code {code}"
        return Outcome(job.number, "failed", job.known, 0.0, f"the worker process died with {reason}")

    def close(self) -> None:
        """Kill the workers."""
        for worker in list(self._pool):
            self._drop(worker)


@contextlib.contextmanager
def child_threads(count: int) -> Iterator[None]:
    """Let a child process start with so many numerical threads, unless the user has set the number."""
    names = [n for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if n not in os.environ]
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _serve(pipe: Connection, payload: bytes) -> None:
    """Life of a worker: load the problem, then measure jobs until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    try:
        chain = Chain(pickle.loads(payload))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(measure(chain, job))
