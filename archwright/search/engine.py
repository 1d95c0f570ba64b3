"""The loop of a run: ask, measure, log, tell; and its replay from the log.

Synchronous runs tell the trials of an ask together, in the order of their numbers, so that nothing depends on timing.
Asynchronous executors (a simulated clock) are asked for one candidate a free worker and told of each trial as it ends.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from archwright.errors import RunLogError
from archwright.search.budget import Budget
from archwright.search.executor import Executor, Simulated
from archwright.search.log import Ask, LoggedTrial, RunLog, ask_line, trial_line
from archwright.search.measure import Bench, Job, Outcome, seed_of, simulated_seconds
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Strategy, Trial
from archwright.space.architecture import Architecture

FREEZE_EVERY = 5000  # trials


@dataclass
class Progress:
    """Where a run stands; handed to callbacks together with the new trials."""

    budget: Budget
    trials: list[Trial] = field(default_factory=list)
    feasible: int = 0  # complete trials
    failed: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    cache_hits: int = 0
    stopped_by: str = ""  # "trials", "seconds", "simulated seconds" or "strategy", once the run is over

    def left(self) -> float:
        """Share of the budget that is left, 0 to 1."""
        pairs = (
            (len(self.trials), self.budget.trials),
            (self.seconds, self.budget.seconds),
            (self.simulated_seconds, self.budget.simulated_seconds),
        )
        return max(0.0, min(1.0 - spent / limit for spent, limit in pairs if limit is not None))


Callback = Callable[[Sequence[Trial], Progress], None]


class Engine:
    """Drives one strategy on one problem until a budget is spent."""

    def __init__(
        self,
        problem: Problem,
        strategy: Strategy,
        budget: Budget,
        *,
        executor: Executor,
        seed: int = 0,
        log: RunLog | None = None,
        batch: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """Take the parts of a run; `replay` and `run` do the work.

        Args:
            problem: with at least one evaluator.
            strategy: fresh.
            budget: of the whole run.
            executor: not started yet.
            seed: of the evaluations.
            log: where trials go; without one nothing is written.
            batch: candidates an ask; by default what the strategy's `batch` says, at least one a worker.
            callbacks: called with the new trials after each of them is in the log.
        """
        self.problem, self.strategy, self.executor, self.seed, self.log = problem, strategy, executor, seed, log
        self.progress = Progress(budget)
        self.callbacks = callbacks
        self._batch = batch
        self._bench = Bench(problem)
        self._asked = 0
        self._open: dict[int, Candidate] = {}  # asked for and not finished
        self._told: list[Trial] = []  # finished and not told yet (synchronous)
        self._start: dict[int, float] = {}  # simulated second at which an open candidate began
        self._roots: dict[int, int] = {}  # trial -> the first trial whose state it continues
        self._queue: list[Job] = []
        self._waiting: list[Outcome] = []  # of candidates that a replay left open
        self._running = 0
        self._lines: list[str] = []
        self._freeze_at = FREEZE_EVERY
        self._running_loop = False
        self._over = False  # the strategy has nothing more to ask for
        self._began = time.perf_counter()
        self._before = 0.0  # seconds spent in earlier parts of the run

    # replay

    def replay(self, events: Sequence[Ask | LoggedTrial]) -> None:
        """Give a fresh strategy the asks and trials of the log.

        Raises:
            RunLogError: if the strategy does not propose what the log holds.
        """
        logged: dict[int, LoggedTrial] = {e.number: e for e in events if isinstance(e, LoggedTrial)}
        for event in events:
            if isinstance(event, Ask):
                self._open_candidates(self._asked_again(event, logged))
                # Screened now, not at the end: what is in the cache must be what was in it when the log was written.
                self._waiting += self._sorted_out([n for n in range(event.first, self._asked) if n not in logged])
                continue
            candidate = self._open.pop(event.number, None)
            if candidate is None:
                raise RunLogError(f"the log has trial {event.number} twice or before its ask; restore it from a copy")
            trial = Trial(
                event.number, candidate, event.state, event.metrics, event.seconds, event.error,
                event.at_s, event.simulated_at_s,
            )  # fmt: skip
            self._before = max(self._before, event.at_s)
            self.progress.simulated_seconds = event.simulated_at_s
            self._count([trial])
            self._tell([trial])
        self.progress.seconds = self._before

    def _asked_again(self, ask: Ask, logged: dict[int, LoggedTrial]) -> list[Candidate]:
        """The candidates of a logged ask."""
        if ask.first != self._asked:
            raise RunLogError(
                f"the log asks from trial {ask.first} where {self._asked} is next; restore it from a copy"
            )
        fresh = list(self.strategy.ask(ask.wanted))
        numbers = range(ask.first, ask.first + ask.count)
        if not getattr(self.strategy, "replayable", True):
            known = [n for n in numbers if n in logged]
            missing = [n for n in numbers if n not in logged]
            if missing and len(fresh) < len(missing):
                raise RunLogError(f"trials {missing} were never finished and {self._name()} cannot propose them again")
            spare = iter(fresh)
            return [self._candidate(logged[n]) if n in known else next(spare) for n in numbers]
        if len(fresh) != ask.count:
            raise self._diverged(ask.first, f"{ask.count} candidates", f"{len(fresh)}")
        for number, candidate in zip(numbers, fresh, strict=True):
            line = logged.get(number)
            if line is None:
                continue
            was = (line.code, line.fidelity, line.resume_from)
            now = (tuple(candidate.architecture.code.tolist()), candidate.fidelity, candidate.resume_from)
            if was != now:
                raise self._diverged(number, str(was), str(now))
        return fresh

    def _candidate(self, line: LoggedTrial) -> Candidate:
        code = np.array(line.code, np.int16)
        code.flags.writeable = False
        return Candidate(Architecture(self.problem.space, code), line.fidelity, line.resume_from)

    def _name(self) -> str:
        return type(self.strategy).__name__

    def _diverged(self, number: int, was: str, now: str) -> RunLogError:
        return RunLogError(
            f"the strategy {self._name()} does not repeat the logged run: at trial {number} the log has {was}, it "
            f"proposes {now}; resume with the version, options and seed in manifest.json, or start a new run folder"
        )

    # the loop

    def run(self) -> Progress:
        """Go on until the budget is spent or the strategy is finished."""
        frozen = gc.get_freeze_count()
        self._running_loop = True
        try:
            return self._run()
        finally:
            self._running_loop = False
            if not frozen:
                gc.unfreeze()

    def _run(self) -> Progress:
        self._began = time.perf_counter()
        waiting, self._waiting = self._waiting, []
        self._settle_now(waiting)
        while True:
            self._ask()
            self._flush()
            if not self._open or not self._advance():
                break
        self._flush()
        self.progress.seconds = self._elapsed()
        return self.progress

    def _elapsed(self) -> float:
        return self._before + time.perf_counter() - self._began

    def _spent(self) -> str:
        """Which limit of the budget is reached; empty if none is."""
        budget = self.progress.budget
        if budget.trials is not None and self._asked >= budget.trials:
            return "trials"
        if budget.seconds is not None and self._elapsed() >= budget.seconds:
            return "seconds"
        simulated = budget.simulated_seconds
        return "simulated seconds" if simulated is not None and self.progress.simulated_seconds >= simulated else ""

    def _wanted(self) -> int:
        """How many candidates may be asked for now."""
        workers = self.executor.workers
        if self.executor.asynchronous:
            wanted = workers - len(self._open)
        elif self._open:
            return 0
        else:
            wanted = self._batch or max(int(getattr(self.strategy, "batch", 1)), workers)
        trials = self.progress.budget.trials
        return wanted if trials is None else min(wanted, trials - self._asked)

    def _ask(self) -> None:
        """Ask as long as there is room; candidates that are settled at once make room in synchronous runs only."""
        while not self._over:
            self.progress.stopped_by = self._spent()
            wanted = self._wanted()
            if self.progress.stopped_by or wanted <= 0:
                return
            candidates = list(self.strategy.ask(wanted))
            if not candidates and not self._open:
                self._over, self.progress.stopped_by = True, "strategy"
                return
            first = self._asked
            if self.log is not None:
                self._lines.append(ask_line(Ask(wanted, first, len(candidates))))
            self._open_candidates(candidates)
            self._settle_now(self._sorted_out(range(first, self._asked)))
            if not candidates or self._open:
                return

    def _open_candidates(self, candidates: Sequence[Candidate]) -> None:
        for number, candidate in enumerate(candidates, start=self._asked):
            self._open[number] = candidate
            if self.executor.asynchronous:
                self._start[number] = self.progress.simulated_seconds
            if candidate.resume_from is not None:
                self._roots[number] = self._roots.get(candidate.resume_from, candidate.resume_from)
        self._asked += len(candidates)

    def _sorted_out(self, numbers: Sequence[int]) -> Sequence[Outcome]:
        """Outcomes of what is known or fast; the rest is queued."""
        if not numbers:
            return ()
        outcomes, jobs = self._bench.screen(numbers, [self._open[n] for n in numbers])
        self.progress.cache_hits = self._bench.hits
        for job in jobs:
            seed = seed_of(self.seed, self._roots.get(job.number, job.number))
            self._queue.append(Job(job.number, job.code, job.fidelity, seed, job.known))
        return outcomes

    def _settle_now(self, outcomes: Sequence[Outcome]) -> None:
        if not isinstance(self.executor, Simulated):
            self._record(outcomes)
            return
        for outcome in outcomes:
            self.executor.enter(outcome, self._start[outcome.number])

    def _advance(self) -> bool:
        """Start jobs and wait for outcomes; False if the run has to stop here."""
        if isinstance(self.executor, Simulated):
            return self._advance_clock(self.executor)
        late = self.progress.budget.seconds is not None and self._elapsed() >= self.progress.budget.seconds
        while self._queue and self._running < self.executor.workers and not late:
            self.executor.submit(self._queue.pop(0))
            self._running += 1
        if not self._running:
            self.progress.stopped_by = "seconds"
            return False
        outcomes = self.executor.finished()
        self._running -= len(outcomes)
        self._record(outcomes)
        return True

    def _advance_clock(self, executor: Simulated) -> bool:
        for job in self._queue:
            executor.enter(executor.run(job), self._start[job.number])
        self._queue.clear()
        limit = self.progress.budget.simulated_seconds
        if limit is not None and executor.next_s() > limit:
            self.progress.stopped_by = "simulated seconds"
            return False
        self.progress.simulated_seconds = executor.next_s()
        self._record(executor.finished())
        return True

    # results

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        """Make trials of outcomes, log them, then let the strategy and the callbacks know."""
        if not outcomes:
            return
        at, progress = self._elapsed(), self.progress
        asynchronous = self.executor.asynchronous
        trials = []
        for o in outcomes:
            if not asynchronous:
                progress.simulated_seconds += simulated_seconds(o)
            trial = Trial(
                o.number, self._open.pop(o.number), o.state, o.metrics, o.seconds, o.error, at,
                progress.simulated_seconds,
            )  # fmt: skip
            trials.append(trial)
        progress.seconds = at
        if self.log is not None:
            self._lines += [trial_line(t) for t in trials]
            self._flush()
        self._count(trials)
        self._tell(trials)
        for callback in self.callbacks:
            callback(trials, progress)

    def _count(self, trials: Sequence[Trial]) -> None:
        for t in trials:
            self._bench.remember(t.candidate, t.state, t.metrics)
            self.progress.feasible += t.state == "complete"
            self.progress.failed += t.state == "failed"
        self.progress.trials += trials
        if self._running_loop and len(self.progress.trials) >= self._freeze_at:
            # Trials live as long as the run. Without this every full garbage collection walks through all of them, and
            # the cost of a trial grows with their number.
            self._freeze_at = len(self.progress.trials) + FREEZE_EVERY
            if gc.isenabled():
                gc.collect()
                gc.freeze()

    def _tell(self, trials: Sequence[Trial]) -> None:
        if self.executor.asynchronous:
            for trial in trials:
                self.strategy.tell([trial])
            return
        self._told += trials
        if not self._open:  # the whole ask is there
            told, self._told = sorted(self._told, key=lambda t: t.number), []
            self.strategy.tell(told)

    def _flush(self) -> None:
        if self.log is not None and self._lines:
            self.log.write(self._lines)
        self._lines = []
