"""Differentiable recipes in the main job: the search by gradients as a strategy whose trials are its epochs.

Each `ask` trains one epoch and proposes the architecture that the parameters stand for then; the last one proposes what
the method's selection ends with. So the log, the limits, resuming and the report are those of every other strategy.
Limits on costs become hard budgets of the search, cheap goals become expected costs in its loss.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archwright.costs.base import AdditiveCost
from archwright.errors import ConfigurationError, SpaceError
from archwright.gradient.calibrate import meet_target
from archwright.gradient.measure import batch_statistics, measure
from archwright.gradient.method import Method
from archwright.gradient.penalties.base import Penalty
from archwright.gradient.penalties.cost import Budget, ExpectedCost
from archwright.gradient.penalties.limit import Limit
from archwright.gradient.recipes import recipe
from archwright.gradient.search import MEASURED, GradientSearch
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.base import Selection
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.edges import edge_groups
from archwright.nets.build import build
from archwright.nets.recalibrate import recalibrate_
from archwright.nets.train import to_format
from archwright.search.log import replace_file
from archwright.search.result import SearchResult
from archwright.search.trial import Candidate, Trial
from archwright.space import Architecture, Architectures, Space
from archwright.tasks.base import Task
from archwright.tasks.forecasting import Forecasting

if TYPE_CHECKING:
    from archwright.job.setup import Setup
    from archwright.job.stages import Stages
    from archwright.nets.build import Network

Fit = Callable[[GradientSearch, Architecture], Architecture]
SAMPLES = 2000  # of the valid part, that a trial is measured on
FEW_STEPS = 100  # of a search, below which it is said that they are few
FEWEST_STEPS = 8  # of an epoch; with fewer the batch is made smaller
TIMED_STEPS, TIMED_S = 3, 3.0  # steps that are timed, fewer once so many seconds are over
LATENCY = "latency_ms"
SAFE = 0.98  # share of a limit that a measurement may reach; the next one will differ a little
REACH = 1.0  # of an architecture parameter in a search: a chance that is e times another's
LARGEST_RATE = 0.1
MEASURING = 0.25  # share of the training's time that measuring an epoch may take where time is short
FEWEST_MEASURED = 2  # batches of any measurement
FINISH = 0.4  # share of the search's time for a selection that works on after the last epoch


# ---- the method of a job ------------------------------------------------------------------------------------------


def method_of(setup: Setup, costs: Sequence[Any] = ()) -> Method:
    """The recipe with the job's settings, and the job's goals and limits as penalties.

    Forecasts learn the architecture on the validation part: windows of one part overlap, so that halves of it would
    know each other.

    Args:
        setup: of the job.
        costs: evaluators of which the additive ones can be expected.

    Raises:
        ConfigurationError: if the recipe does not fit the space or the options.
    """
    config = setup.config
    split = {"split": "valid"} if isinstance(setup.task, Forecasting) else {}
    method = recipe(config.strategy, **(split | config.strategy_options))
    method.mixing.search_space(setup.space)
    if isinstance(method.selection, DartsEdges) and not _has_edges(setup.space):
        method = method.with_(selection=Argmax())
    penalties = (*method.penalties, *_penalties(setup, costs, method.relaxation.learned))
    return method.with_(penalties=penalties, batch=_batch(method, setup))


def _has_edges(space: Space) -> bool:
    try:
        return bool(edge_groups(space))
    except ConfigurationError:
        return False


def _batch(method: Method, setup: Setup) -> int:
    """The recipe's batch, or less where an epoch would have hardly any steps."""
    if "batch" in setup.config.strategy_options:
        return method.batch
    rows = int(min(method.train_share, 1.0 - method.train_share) * len(setup.task.train))
    if method.split == "valid":
        rows = min(len(setup.task.train), len(setup.task.valid))
    return max(1, min(method.batch, max(8, rows // FEWEST_STEPS), rows))


def _penalties(setup: Setup, costs: Sequence[Any], learned: bool) -> list[Penalty]:
    found: list[Penalty] = []
    relative = setup.task.kind not in ("classification", "regression")  # whose losses are near one
    for o in setup.objectives:
        cost = next((c for c in costs if isinstance(c, AdditiveCost) and o.metric in c.metrics), None)
        if cost is None:
            continue
        smooth = learned and _is_expected(cost, setup.space)
        if o.at_most is not None and smooth:
            found.append(Budget(cost, o.metric, o.at_most, relative=relative))
        if o.at_least is not None or (o.at_most is not None and not smooth):
            found.append(Limit(cost, o.metric, o.at_most, o.at_least))
        if o.goal == "minimize" and smooth:
            typical = cost.evaluate(setup.space.sample(256, np.random.default_rng(0)))[o.metric]
            scale = float(np.median(typical)) or 1.0
            found.append(ExpectedCost(cost, o.metric, "linear", scale=scale, relative=relative))
    return found


def _is_expected(cost: AdditiveCost, space: Space) -> bool:
    """Whether the expectation of a cost can be computed: not where an operator depends on too many decisions."""
    try:
        cost.expected({d.path: torch.full((d.size,), 1.0 / d.size) for d in space.decisions})
    except SpaceError:
        return False
    return True


# ---- evaluators ---------------------------------------------------------------------------------------------------


class SharedWeights:
    """Evaluator: an architecture with the search's shared weights as they are now, and the statistics of each batch."""

    deterministic = True  # within an epoch; an epoch is a fidelity
    batched = True

    def __init__(self, search: GradientSearch, task: Task, samples: int = SAMPLES) -> None:
        self.search, self.metrics = search, task.metrics
        self.split = task.valid.take(min(len(task.valid), samples), np.random.default_rng([search.seed, 0x51]))

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
        """Measure n architectures, see `Evaluator.evaluate`; fidelity names the epoch."""
        rows = [self._one(a) for a in architectures]
        return {m: np.array([row[m] for row in rows], dtype=np.float64) for m in self.metrics}

    def _one(self, architecture: Architecture) -> Mapping[str, float]:
        s = self.search
        weights = s.core.one_hot(architecture.code.tolist())
        batches = (s.data.placed(b) for b in self.split.batches(s.method.batch))
        with batch_statistics(s.core.supernet):
            return measure(s.task, lambda x: s.core.outputs(x, weights), batches)


class SharedPaths(SharedWeights):
    """The same where single paths were trained: their weights are worth starting from."""

    def network(self, architecture: Architecture) -> Network:
        """The extracted network with fresh batch-norm statistics."""
        s = self.search
        net: Any = s.core.network(architecture)
        rng = np.random.default_rng([s.seed, 0xCA1])
        recalibrate_(net, (s.data.placed(b) for b in s.task.train.take(512, rng).batches(128)))
        to_format(net, torch.contiguous_format)
        return net


# ---- the strategy -------------------------------------------------------------------------------------------------


class EpochStrategy:
    """A search by gradients that proposes an architecture an epoch, and the one it ends with."""

    batch = 1

    def __init__(self, name: str, search: GradientSearch, fit: Fit | None = None) -> None:
        self.name, self.search, self.asked, self.fit = name, search, 0, fit

    def ask(self, n: int) -> Sequence[Candidate]:
        """The architecture of the next epoch, at last the one that was found, then nothing."""
        s, number = self.search, self.asked
        self.asked += 1
        if number > s.method.epochs:
            return ()
        if number == s.method.epochs:
            return (Candidate(self.found()),)
        while s.epoch <= number:
            s.advance()
        code = np.array([s.history[number]["code"]])
        return (Candidate(s.space.architectures(code)[0], fidelity=(number + 1) / (s.method.epochs + 1)),)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing to learn: the search measures by itself."""

    def found(self) -> Architecture:
        """What the selection ends with, fitted to measured limits; written down, as it may take long."""
        s = self.search
        if s.folder is None:
            raise ConfigurationError("a gradient job keeps what it found in a folder; give GradientSearch a folder=...")
        path = s.folder / "found.json"
        if not path.exists():
            architecture = s.result(0).architecture
            if self.fit is not None:
                architecture = self.fit(s, architecture)
            replace_file(path, json.dumps({"code": architecture.code.tolist()}))
        return s.space.architectures(np.array([json.loads(path.read_text())["code"]]))[0]

    def finalists(self, result: SearchResult, count: int) -> list[Trial]:
        """The architecture that was found, then those of the last epochs that differ; feasible ones first."""
        first: dict[bytes, Trial] = {}
        for trial in sorted(result.trials, key=lambda t: (t.state != "complete", -t.number)):
            first.setdefault(trial.candidate.architecture.key, trial)
        return list(first.values())[:count]

    def plan(self) -> str:
        """How long the search will be."""
        s = self.search
        words = f"{s.method.epochs} epochs of {s.data.steps} steps of {s.method.batch} + {s.method.batch} rows"
        few = s.method.epochs * s.data.steps < FEW_STEPS
        return words + ("; so few steps decide little: give more time, or a smaller space" if few else "")

    def report(self) -> str:
        """What the last epoch says about the search."""
        s = self.search
        last = s.history[-1]
        gap = "" if last["discretisation_gap"] is None else f", discretisation gap {last['discretisation_gap']:.3f}"
        words = f"{s.epoch} epochs, entropy {last['entropy']:.2f}{gap}, {100 * last['skip_share']:.0f} % skips"
        return words + (" (collapsed: more than half of the edges only skip)" if last["collapsed"] else "")


# ---- how long -----------------------------------------------------------------------------------------------------


def start(job: Stages, costs: Sequence[Any]) -> tuple[EpochStrategy, SharedWeights]:
    """The strategy of a job and the evaluator of its trials, as far as an earlier part of the job got.

    Args:
        job: whose recipe, data and time count.
        costs: evaluators of goals and limits.
    """
    method, task = method_of(job.setup, (job.setup.counts, *costs)), job.task
    path = job.kept / "gradient" / "length.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(_length(job, method)))
    fixed = json.loads(path.read_text())
    if fixed["rows"] < len(task.train):
        task = replace(task, train=task.train.take(fixed["rows"], np.random.default_rng(0)))
    warmup = method.warmup * fixed["epochs"] // method.epochs
    method = method.with_(epochs=fixed["epochs"], warmup=warmup)
    if "architecture" not in job.config.strategy_options:
        method = _for_few_steps(method, fixed["rows"])
    if fixed["finish_s"] is not None:
        rates = {"epoch_s": fixed["epoch_s"], "batch_s": fixed["batch_s"]}
        method = method.with_(selection=method.selection.within(job.space, fixed["finish_s"], **rates))
    search = GradientSearch(job.space, task, method, seed=job.config.seed, device=job.config.device, folder=path.parent)
    quality = SharedPaths if method.relaxation.one_path and job.config.evaluation != "train" else SharedWeights
    search.measured = fixed["measured"]
    return EpochStrategy(job.config.strategy, search, _fit(job, costs)), quality(search, job.task, fixed["samples"])


def _fit(job: Stages, costs: Sequence[Any]) -> Fit | None:
    """What brings a found network under the limit on its latency as measured; None without such a limit."""
    limits = [o.at_most for o in job.setup.objectives if o.metric == LATENCY and o.at_most is not None]
    table = next((c for c in costs if isinstance(c, AdditiveCost) and LATENCY in c.metrics), None)
    if not limits or table is None:
        return None
    target = min(limits)

    def measured(architecture: Architecture) -> float:
        net = build(architecture, job.task.input_shape, seed=job.config.seed).to(job.config.device)
        return job.meter(0.2).measure([net], job.task.input_shape)[0].median_ms

    def fit(search: GradientSearch, architecture: Architecture) -> Architecture:
        first = measured(architecture)
        if first <= SAFE * target or not search.method.relaxation.learned:
            return architecture
        try:
            found = meet_target(search, table, LATENCY, target, measured, below=True)
        except ConfigurationError:  # nothing is so cheap by the table
            return architecture
        job.progress.say(
            f"  measured {first:.4g} ms, limit {target:.4g} ms: selected again, {len(found.attempts)} measured, "
            f"{found.measured:.4g} ms"
        )
        return found.architecture if found.met or found.measured < first else architecture

    return fit


def _for_few_steps(method: Method, rows: int) -> Method:
    """The method with a rate at which a short search decides something; long ones keep the published rate.

    Adam moves a parameter by about its rate a step, whatever the gradient, so that 1e-3 over 20 steps leaves all
    options equally likely. The rate of the architecture parameters is raised until the steps of a stage can move them
    by `REACH`, at most to `LARGEST_RATE`.
    """
    share = min(method.train_share, 1.0 - method.train_share)
    steps = max(1, method.stage_span(0)[1] - method.warmup) * max(1, int(share * rows) // method.batch)
    rate = max(method.architecture.lr, min(LARGEST_RATE, REACH / steps))
    return method.with_(architecture=replace(method.architecture, lr=rate))


def _length(job: Stages, method: Method) -> dict[str, Any]:
    """Epochs and rows that the budget allows, the epochs of the recipe at most; and how much is measured in each."""
    rows, budget = len(job.task.train), job.setup.budget
    epochs = method.epochs if budget.trials is None else max(1, min(method.epochs, budget.trials - 1))
    seconds = job.clock.left("search", 2.0)
    if seconds is None:
        return {
            "epochs": epochs,
            "rows": rows,
            "epoch_s": 0.0,
            "batch_s": 0.0,
            "finish_s": None,
            **_measuring(job, method),
        }
    step_s, batch_s, steps = _timed(job, method)
    seconds = job.clock.left("search", 2.0) or 2.0
    works_on = type(method.selection).finish is not Selection.finish
    finish_s = FINISH * seconds if works_on else 0.0
    left, measuring = 0.9 * (seconds - finish_s), _measuring(job, method)
    if epochs * (steps * step_s + _batches(method, measuring) * batch_s) > left:  # weights come first
        measuring = _measuring(job, method, MEASURING * steps * step_s / batch_s)
    measured = _batches(method, measuring)
    epoch_s = steps * step_s + measured * batch_s
    if epoch_s > left:  # not even one: fewer rows
        share = max(0.0, left - measured * batch_s) / (steps * step_s)
        least = int(np.ceil(method.batch / min(method.train_share, 1.0 - method.train_share))) + 1
        rows = min(rows, max(least, int(share * rows)))
    epochs = int(min(epochs, max(1.0, left // epoch_s)))
    return {"epochs": epochs, "rows": rows, "epoch_s": epoch_s, "batch_s": batch_s, "finish_s": finish_s, **measuring}


def _measuring(job: Stages, method: Method, most: float = np.inf) -> dict[str, int]:
    """Batches of a measurement by the search and rows of a trial's, together at most so many batches an epoch."""
    full = {"measured": MEASURED, "samples": min(len(job.task.valid), SAMPLES)}
    share = min(1.0, most / _batches(method, full))
    least = min(full["samples"], FEWEST_MEASURED * method.batch)
    return {
        "measured": max(FEWEST_MEASURED, int(share * MEASURED)),
        "samples": max(least, int(share * full["samples"])),
    }


def _batches(method: Method, measuring: dict[str, int]) -> float:
    """Batches that are measured in an epoch: of the found architecture, of a mixture, of the trial."""
    times = 1 if method.relaxation.one_path else 2
    return times * measuring["measured"] + measuring["samples"] / method.batch


def _timed(job: Stages, method: Method) -> tuple[float, float, int]:
    """Seconds of a step and of measuring a batch, and steps of an epoch, on a search of its own."""
    search = GradientSearch(job.space, job.task, method.with_(warmup=0), seed=job.config.seed, device=job.config.device)
    stages = []
    for stage in range(len(method.selection.starts)):
        if stage:
            search.enter(stage)
        stages.append(_step_s(search))
    search.inherited(job.space.largest(), 1)  # the first call also plans and makes layers
    began = time.perf_counter()
    search.inherited(job.space.largest(), 2)
    return float(np.mean(stages)), (time.perf_counter() - began) / 2, search.data.steps


def _step_s(search: GradientSearch) -> float:
    """Seconds of a step of the search's present stage."""
    search.core.train()
    times: list[float] = []
    for i, (train, valid) in zip(range(1 + TIMED_STEPS), search.data.batches(0), strict=False):
        began = time.perf_counter()
        search.method.update.step(search.stepper, train, valid, i)
        times.append(time.perf_counter() - began)
        if i and sum(times) > TIMED_S:
            break
    return min(times[1:] or times)


__all__ = ["EpochStrategy", "SharedPaths", "SharedWeights", "method_of", "start"]
