"""The stages of a job, each a method that does its work or takes what an earlier part of the job left."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archwright.analysis.hashing import FunctionalHash
from archwright.errors import ArchwrightError, EvaluationError
from archwright.evaluators.cached import CachedEvaluator
from archwright.evaluators.measured import MeasuredLatency
from archwright.evaluators.train import TrainEvaluator
from archwright.export.bundle import export_best
from archwright.job import gradient, supernet
from archwright.job.clock import ENDS, ENDS_GRADIENT, ENDS_TRAIN, ENDS_TRAIN_TWICE, Clock
from archwright.job.executors import executor_for
from archwright.job.finalists import Finalist, choose, finish
from archwright.job.progress import Progress
from archwright.job.run import JobResult
from archwright.job.setup import Setup
from archwright.job.spaces import fault_of
from archwright.job.sparse import random_masks
from archwright.job.training import length_for, twin
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import Protocol
from archwright.nets.build import build
from archwright.nets.recalibrate import recalibrate_
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.search.budget import Budget
from archwright.search.executor import Executor, InProcess
from archwright.search.log import replace_file
from archwright.search.problem import Problem
from archwright.search.result import SearchResult
from archwright.search.run import load_trials, run
from archwright.search.trial import Trial
from archwright.space import Architecture
from archwright.tasks.base import Task

FEWEST_TRIALS = 12  # that fit into a search whose trials are trained by themselves
FINALISTS, FINALISTS_OF_FRONT = 3, 8
LEAST_SEARCH = 0.04  # of the time, even if the stages before it took too long: without trials there is no front
FIRST_BY = 8.0  # seconds after the start at which the first network should be trained


@dataclass
class Stages:
    """Runs a job from its setup to its result."""

    setup: Setup
    folder: Path
    progress: Progress

    def __post_init__(self) -> None:
        self.config, self.task, self.space = self.setup.config, self.setup.task, self.setup.space
        self.kept = self.folder / "checkpoint"
        self.clock = Clock(self.kept / "clock.json", self.setup.budget, self.progress.start, self._ends())
        self.recipe = Recipe(epochs=self.config.epochs)
        self.epochs: gradient.EpochStrategy | None = None  # of a differentiable recipe
        self.training: str = self.config.training  # of the supernet; decided once it is timed

    def _ends(self) -> Mapping[str, float]:
        if self.setup.differentiable:
            return ENDS_GRADIENT
        return ENDS if self.uses_supernet else ENDS_TRAIN_TWICE if self.config.baseline else ENDS_TRAIN

    @property
    def uses_supernet(self) -> bool:
        """Whether accuracy comes from shared weights.

        By default it does, unless nothing can be shared or there is no time to train shared weights well.
        """
        if self.setup.differentiable:
            return True
        if self.config.evaluation != "auto":
            return self.config.evaluation == "supernet"
        return len(self.space.decisions) > 0 and not self.setup.faulty and not (self.kept / "alone").exists()

    def run(self) -> JobResult:
        """All stages in order."""
        task = self.task
        self.progress.say(
            f"{task.name}: {len(task.train)} + {len(task.valid)} + {len(task.test)} rows, input {task.input_shape}; "
            f"space of {_size(self.space.size())} networks, {len(self.space.decisions)} decisions"
        )
        for words, metrics in task.baselines().items():
            self.progress.say(f"  without training, {words}: {self._line(metrics)} on the test part")
        if self.setup.faulty:
            self.progress.say(f"  some networks cannot be built, so each is trained by itself: {self.setup.faulty}")
        self.first_network()
        latency = self.latency()
        quality = self.mixture(latency) if self.setup.differentiable else self.quality(latency)
        problem = self.setup.problem(*latency, quality)
        result = self.search(problem)
        baseline = self.baseline(problem, result)
        finalists = self.finalists(problem, result, quality)
        return self.hand_over(problem, result, baseline, finalists)

    # ---- a network at once -----------------------------------------------------------------------------------------

    def first_network(self) -> None:
        """Train one network of medium size from scratch and measure it, so that there is something early on."""
        path = self.kept / "first.json"
        if path.exists():
            return
        with self.progress.stage("a first network, trained from scratch"):
            try:
                self._first_network(path)
            except EvaluationError as error:  # as with any other trial
                replace_file(path, json.dumps({"error": str(error)}))
                self.progress.say(f"  it failed: {error}")
        self.clock.keep()

    def _first_network(self, path: Path) -> None:
        architecture = self._medium()
        net = build(architecture, self.task.input_shape, seed=self.config.seed).to(self.config.device)
        recipe = replace(self.recipe, epochs=min(self.config.epochs, 8))
        length = length_for(
            self.kept / "first_length.json", self.task, recipe, recipe.epochs, self._first_seconds(),
            lambda part: train(twin(net), replace(self.task, train=part), replace(recipe, epochs=1)),
        )  # fmt: skip
        part = length.split(self.task)
        task = self.task if part is None else replace(self.task, train=part)
        train(net, task, replace(recipe, epochs=length.epochs), seed=self.config.seed)
        recalibrate_(net, task.train.batches(128))  # after few steps the running statistics still lag behind
        metrics = evaluate(net, self.task, "valid") | self._counts(architecture)
        if self.setup.latency:
            metrics["latency_ms"] = self.meter(0.1).measure([net], self.task.input_shape)[0].median_ms
        columns = {m: np.array([v]) for m, v in metrics.items()}
        fits = float(self._limits().violation_of(columns, 1)[0]) == 0.0
        replace_file(path, json.dumps({"code": architecture.code.tolist(), "metrics": metrics, "feasible": fits}))
        self.progress.say(f"  first network: {self._line(metrics)}" + ("" if fits else " (over a limit)"))

    def _first_seconds(self) -> float | None:
        """A person waits for this network: its share of the time, but not beyond some seconds after the start."""
        left = self.clock.left("first", 1.0)
        return None if left is None else max(1.0, min(left, FIRST_BY - self.progress.seconds))

    def _medium(self) -> Architecture:
        """The feasible sample whose size is nearest to the lower third."""
        archs = self.space.sample(64 if self.setup.faulty else 512, np.random.default_rng([self.config.seed, 1]))
        if self.setup.faulty:
            shapes = self.task.input_shape, self.task.output_shape
            archs = archs[np.array([not fault_of(a, *shapes) for a in archs])]
        columns = self.setup.counts.evaluate(archs)
        fits = self._limits().violation_of(columns, len(archs)) == 0
        size = columns["macs_m"]
        pool = np.flatnonzero(fits) if fits.any() else np.array([int(size.argmin())])
        target = float(np.quantile(size[pool], 1 / 3))
        return archs[int(pool[np.abs(size[pool] - target).argmin()])]

    def _limits(self) -> Problem:
        return Problem(self.space, self.setup.objectives)

    def _counts(self, architecture: Architecture) -> dict[str, float]:
        return {m: float(v[0]) for m, v in self.setup.counts.evaluate(np.asarray(architecture.code)[None]).items()}

    def _line(self, metrics: Mapping[str, float]) -> str:
        """The metrics that the job is about, in words."""
        return ", ".join(f"{o.metric} {metrics[o.metric]:.4g}" for o in self.setup.objectives if o.metric in metrics)

    # ---- evaluators ------------------------------------------------------------------------------------------------

    def meter(self, seconds: float) -> LatencyMeter:
        """Measures networks as the configuration says."""
        c = self.config
        return LatencyMeter(
            c.backend, threads=c.threads, batch=c.batch, protocol=Protocol(seconds=seconds), device=c.device
        )

    def latency(self) -> Sequence[Any]:
        """The latency evaluator, if latency matters: a table of operators, or a measurement of each network."""
        if not self.setup.latency:
            return ()
        c = self.config
        if c.latency == "measured" or self.setup.faulty:
            return (MeasuredLatency(self.task.input_shape, backend=c.backend, threads=c.threads, batch=c.batch),)
        from archwright.costs.lut import LatencyTable

        path = self.kept / "latency.json"
        if path.exists():
            return (LatencyTable.load(path, self.space, self.task.input_shape),)
        with self.progress.stage(f"latency of every operator on this machine ({c.backend}, {c.threads} threads)"):
            table = LatencyTable.build(
                self.space, self.task.input_shape, backend=c.backend, threads=c.threads, batch=c.batch, seed=c.seed,
                seconds=self.clock.left("latency", 5.0) or 120.0, progress=self.progress.update, device=c.device,
            )  # fmt: skip
            table.save(path)
            self.progress.say(f"  {table.report}")
        self.clock.keep()
        return (table,)

    def quality(self, latency: Sequence[Any]) -> Any:
        """The evaluator of what is learned: inherited weights of a trained supernet, or training from scratch."""
        if self.uses_supernet:
            try:
                shared = supernet.shared_weights(self, latency)
            except EvaluationError as error:
                if self.config.evaluation != "auto":
                    raise
                self.progress.say(f"  the supernet failed, each trial is trained by itself instead: {error}")
                replace_file(self.kept / "alone", f"{error}\n")
                shared = None
            if shared is not None:
                return shared
            self.clock.ends = self._ends()
        task, recipe = self._for_trials()
        trained = TrainEvaluator(task, recipe, device=self.config.device, folder=self.kept / "trials", keep=True)
        if self.config.cache == "functional_hash":
            return CachedEvaluator(trained, FunctionalHash(self.task.input_shape))
        return trained

    def mixture(self, latency: Sequence[Any]) -> gradient.SharedWeights:
        """The evaluator that goes with a differentiable recipe: shared weights while they are trained."""
        with self.progress.stage(f"preparing {self.config.strategy}"):
            self.epochs, quality = gradient.start(self, latency)
            self.progress.say(f"  {self.epochs.plan()}")
        return quality

    def _for_trials(self) -> tuple[Task, Recipe]:
        """Data and recipe of trials that are trained alone: short enough that several fit into the search."""
        left = self.clock.left("search", 2.0)
        net = build(self._medium(), self.task.input_shape, seed=self.config.seed).to(self.config.device)
        length = length_for(
            self.kept / "trial_length.json", self.task, self.recipe, self.config.epochs,
            None if left is None else left / FEWEST_TRIALS,
            lambda part: train(twin(net), replace(self.task, train=part), replace(self.recipe, epochs=1)),
        )  # fmt: skip
        part = length.split(self.task)
        task = self.task if part is None else replace(self.task, train=part)
        return task, replace(self.recipe, epochs=length.epochs)

    # ---- searching -------------------------------------------------------------------------------------------------

    def search(self, problem: Problem) -> SearchResult:
        """Run the strategy until its share of the time, or the budget of trials, is spent."""
        name, done = self.strategy_name(), self.kept / "searched.json"
        if done.exists() and json.loads(done.read_text()).get("budget") == self.config.budget:
            return load_trials(problem, self.folder)
        if done.exists():  # the budget is new: what comes after the search is done again
            for path in self.kept.glob("finalist*"):
                path.unlink()
        whole = self.setup.budget.seconds
        seconds = None if whole is None else self.clock.left("search", max(2.0, LEAST_SEARCH * whole))
        budget = Budget(trials=self.setup.budget.trials, seconds=seconds)
        with self.progress.stage(f"search with {name}"):
            result = run(
                problem, self.epochs or name, budget, self.folder, self._executor(), (self._watch(problem),),
                seed=self.config.seed, options=None if self.epochs else self._strategy_options(),
                config=self.config.model_dump(),
            )  # fmt: skip
            if self.epochs is not None:
                self.progress.say(f"  {self.epochs.report()}")
            share = 100 * result.feasible_share
            self.progress.say(
                f"  {len(result.trials)} trials ({result.cache_hits} known already), {share:.0f} % feasible; "
                f"best {self._line(result.best.metrics)}"
            )
        replace_file(done, json.dumps({"strategy": name, "trials": len(result.trials), "budget": self.config.budget}))
        self.clock.keep()
        return result

    def _executor(self) -> Executor:
        return InProcess() if self.epochs is not None else executor_for(self.config)

    def _strategy_options(self) -> dict[str, Any]:
        """As configured; the search that goes with weights of networks near a front begins there."""
        if self.config.strategy == "auto" and self.uses_supernet and self.training == "front":
            return {"prior": True}
        return self.config.strategy_options

    def strategy_name(self) -> str:
        """The configured strategy; `auto` is nsga2 over shared weights, which answer in milliseconds."""
        return "nsga2" if self.config.strategy == "auto" and self.uses_supernet else self.config.strategy

    def _watch(self, problem: Problem) -> Any:
        goal = problem.goals[0]
        best = math.inf

        def show(trials: Sequence[Trial], state: Any) -> None:
            nonlocal best
            for trial, loss in zip(trials, problem.losses(trials)[:, 0], strict=True):
                if trial.state == "complete" and loss < best:
                    best = float(loss)
            shown = "none yet" if math.isinf(best) else f"{best if goal.goal == 'minimize' else -best:.4g}"
            feasible = 100 * state.feasible / max(1, len(state.trials))
            left = state.budget.seconds
            rest = f", {max(0.0, left - state.seconds):.0f} s left" if left is not None else ""
            of = f" of {state.budget.trials}" if state.budget.trials else ""
            self.progress.update(
                f"best {goal.metric} {shown}, {feasible:.0f} % feasible, {len(state.trials)} trials{of}{rest}"
            )

        return show

    def baseline(self, problem: Problem, result: SearchResult) -> SearchResult | None:
        """Random search with as many trials, or as many as there is time for, by the same evaluators."""
        if not (self.uses_supernet if self.config.baseline is None else self.config.baseline):
            return None
        folder = self.kept / "random"
        with self.progress.stage("random search beside it"):
            budget = Budget(trials=len(result.trials), seconds=self.clock.left("baseline", 2.0))
            found = run(problem, "random", budget, folder, self._executor(),
                        (self._watch(problem),), seed=self.config.seed + 1)  # fmt: skip
            self.progress.say(f"  {len(found.trials)} trials; best {self._line(found.best.metrics)}")
        self.clock.keep()
        return found

    # ---- handing over ----------------------------------------------------------------------------------------------

    def finalists(self, problem: Problem, result: SearchResult, quality: Any) -> list[Finalist]:
        """Fine-tune and re-measure the most promising networks."""
        with self.progress.stage("finalists: trained on, re-measured"):
            count = self._finalists(problem)
            chosen = self.epochs.finalists(result, count) if self.epochs else choose(problem, result, count)
            if isinstance(quality, TrainEvaluator):
                quality.forget(but=[t.candidate.architecture for t in (*chosen, *result.front)])
            done: list[Finalist] = []
            for i, trial in enumerate(chosen):
                try:
                    done.append(finish(self, problem, trial, quality, i, len(chosen)))
                except EvaluationError as error:
                    self.progress.say(f"  trial {trial.number} failed: {error}")
                    if i == len(chosen) - 1 and not done:
                        raise
            return done

    def _finalists(self, problem: Problem) -> int:
        """How many: as configured, or more for a front than for a single best network."""
        return self.config.finalists or (FINALISTS if len(problem.goals) == 1 else FINALISTS_OF_FRONT)

    def hand_over(
        self, problem: Problem, result: SearchResult, baseline: SearchResult | None, finalists: Sequence[Finalist]
    ) -> JobResult:
        """Export the best finalist, write the report, and say what was found."""
        from archwright.job.finalists import pick, remeasured
        from archwright.job.reporting import write_report

        finalists = remeasured(self, finalists)
        best = pick(problem, finalists)
        self.clock.keep()
        random_masks(self, best, finalists.index(best))
        with self.progress.stage("export and report"):
            exported = export_best(
                best.network, best.architecture, self.folder / "best", task=self.task, metrics=best.metrics,
                predicted=best.predicted, title=f"{self.task.name}: found by archwright",
            )  # fmt: skip
            replace_file(
                self.kept / "finalists.json",
                json.dumps([f.to_json(chosen=f.number == best.number) for f in finalists]),
            )
            try:
                report = write_report(self.folder, setup=self.setup, problem=problem, result=result, baseline=baseline)
            except ArchwrightError as error:  # the network is what counts
                report = None
                self.progress.say(f"  the report could not be written: {error}")
        self.clock.keep()
        feasible = best.violation == 0.0
        words = "every limit holds" if feasible else "NO finalist keeps every limit as measured; this one is nearest"
        self.progress.say(f"best network: {self._line(best.metrics)} (test); {words}", style="bold")
        for path in (self.folder / "best", report):
            if path is not None:
                self.progress.say(f"  {path}")
        return JobResult(
            self.folder, result, best.architecture, best.network, best.metrics, best.predicted, feasible, exported.notes
        )


def _size(size: int) -> str:
    return f"{size:,}" if size < 10**7 else f"{float(size):.2e}" if size < 10**300 else f"10^{len(str(size)) - 1}"
