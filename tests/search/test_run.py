import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import search_parts as parts

from archwright import registry
from archwright.errors import ConfigurationError, RunLogError
from archwright.search.budget import Budget
from archwright.search.executor import Simulated
from archwright.search.log import LoggedTrial, read_log
from archwright.search.problem import Objective, Problem
from archwright.search.run import load_trials, run
from archwright.search.trial import Candidate
from archwright.strategies.random import Random
from archwright.testing.strategies import Toy

BASE = ["random", "regularized_evolution", "nsga2", "local_search"]


@pytest.mark.parametrize("text, budget", [
    ("200 trials", Budget(trials=200)), ("90s", Budget(seconds=90.0)), ("2m", Budget(seconds=120.0)),
    ("1.5 h", Budget(seconds=5400.0)), ("3h simulated", Budget(simulated_seconds=10800.0)),
    ("50 trials, 10s", Budget(trials=50, seconds=10.0)),
])  # fmt: skip
def test_budget_reads_what_people_write(text, budget):
    assert Budget.parse(text) == budget
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize("text", ["", "200", "2 parsecs", "-5s", "0 trials", "2.5 trials", "m", "1h2m", "0s", "trials"])
def test_a_budget_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigurationError, match="budget"):
        Budget.parse(text)


@pytest.mark.parametrize("name", BASE)
def test_a_run_does_what_asking_and_telling_by_hand_does(name):
    problem = parts.problem(parts.Slow())
    result = run(problem, name, "60 trials", seed=2, batch=6)
    from archwright.testing.strategies import Loop

    by_hand = Loop(registry.get("strategies", name)(problem, seed=2), problem)
    by_hand.until(60, 6)
    assert parts.trajectory(result) == [
        (t.number, t.candidate.architecture.key, 1.0, t.state, repr(sorted(t.metrics.items())), t.error)
        for t in by_hand.trials
    ]


def test_batched_and_single_evaluation_give_the_same_trials():
    limit = Objective("params_m", "limit", at_most=14.0)
    goals = (Objective("error_percent"), limit)
    fast = run(parts.problem(Toy(), *goals), "nsga2", "300 trials")
    slow = run(parts.problem(parts.Slow(), *goals), "nsga2", "300 trials")
    assert parts.trajectory(fast) == parts.trajectory(slow)
    assert 0 < fast.feasible_share < 1


@pytest.mark.parametrize("name", BASE)
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.93])
def test_a_run_cut_anywhere_continues_to_the_same_trials(name, cut, tmp_path):
    problem = parts.problem(parts.Slow())
    whole = run(problem, name, "130 trials", tmp_path / "whole", seed=4, batch=9)
    data = (tmp_path / "whole" / "trials.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "trials.jsonl").write_bytes(data[: int(len(data) * cut)])
    problem.evaluators[0].calls = 0
    resumed = run(problem, name, "130 trials", tmp_path / "cut", seed=4, batch=9)
    assert parts.trajectory(resumed) == parts.trajectory(whole)
    done = data[: int(len(data) * cut)].rpartition(b"\n")[0].count(b'"trial"')  # whole lines
    assert problem.evaluators[0].calls == 130 - done  # nothing was evaluated twice
    assert len(read_log(tmp_path / "cut" / "trials.jsonl").events) == len(
        read_log(tmp_path / "whole" / "trials.jsonl").events
    )


def test_a_larger_budget_continues_a_finished_run(tmp_path):
    problem = parts.problem(Toy())
    first = run(problem, "random", "40 trials", tmp_path, seed=1)
    more = run(problem, "random", "100 trials", tmp_path, seed=1)
    again = run(problem, "random", "100 trials", tmp_path, seed=1)
    assert parts.trajectory(more)[:40] == parts.trajectory(first)
    assert len(more.trials) == len(again.trials) == 100
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len(manifest["resumed"]) == 2
    assert manifest["seed"] == 1
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["space"] == problem.space.digest


@pytest.mark.parametrize("change, told", [({"seed": 9}, "seed"), ({"strategy": "nsga2"}, "strategy")])
def test_a_folder_with_another_run_is_refused_and_left_alone(change, told, tmp_path):
    problem = parts.problem(Toy())
    run(problem, "random", "10 trials", tmp_path, seed=1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != "lock"}
    call = {"strategy": "random", "seed": 1, **change}
    with pytest.raises(RunLogError, match=f"holds another run: its {told}"):
        run(problem, call["strategy"], "10 trials", tmp_path, seed=call["seed"])
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != "lock"}
    other = parts.problem(Toy(), tree=parts.space(5, 3))
    with pytest.raises(RunLogError, match="another run: its space"):
        run(other, "random", "10 trials", tmp_path, seed=1)


class Fickle(Random):
    """Draws from the clock, so that no replay repeats it."""

    def ask(self, n):
        self._seed = time.perf_counter_ns()
        return super().ask(n)


class FickleAndSaysSo(Fickle):
    replayable = False


def test_a_strategy_that_does_not_repeat_its_log_is_an_error_unless_it_says_so(tmp_path):
    problem = parts.problem(Toy())
    run(problem, Fickle(problem), "20 trials", tmp_path / "a")
    with pytest.raises(RunLogError, match="does not repeat the logged run: at trial 0"):
        run(problem, Fickle(problem), "40 trials", tmp_path / "a")
    first = run(problem, FickleAndSaysSo(problem), "20 trials", tmp_path / "b")
    more = run(problem, FickleAndSaysSo(problem), "40 trials", tmp_path / "b")
    assert parts.trajectory(more)[:20] == parts.trajectory(first)
    assert len(more.trials) == 40


class Repeats:
    """Proposes one architecture again and again, at two fidelities."""

    def __init__(self, problem):
        self.arch, self.count = problem.space.smallest(), 0

    def ask(self, n):
        self.count += n
        return [Candidate(self.arch, 1.0 if (self.count + i) % 2 else 0.5) for i in range(n)]

    def tell(self, trials):
        pass


def test_deterministic_evaluators_run_once_an_architecture_and_fidelity():
    problem = parts.problem(parts.Slow())
    result = run(problem, Repeats(problem), "20 trials", batch=1)
    assert problem.evaluators[0].calls == 2
    assert result.cache_hits == 18
    assert len({t.metrics["error_percent"] for t in result.trials}) == 1
    noisy = parts.problem(parts.Noisy())
    assert len({t.metrics["error_percent"] for t in run(noisy, Repeats(noisy), "20 trials").trials}) == 20


class Continues(Repeats):
    """Every second trial continues the one before."""

    def ask(self, n):
        self.count += 1
        return [Candidate(self.arch, 1.0, self.count - 2 if self.count > 1 else None)]


def test_a_continued_trial_gets_the_seed_of_the_trial_that_it_continues():
    problem = parts.problem(parts.Noisy())
    seeds = [t.metrics["error_percent"] for t in run(problem, Continues(problem), "5 trials").trials]
    assert len(set(seeds)) == 1


class Counted:
    """Counts what reaches it."""

    def __init__(self, metric, value, **flags):
        self.metrics, self.value, self.seen, self.deterministic = (metric,), value, 0, True
        for name, flag in flags.items():
            setattr(self, name, flag)

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        self.seen += len(architectures)
        return {self.metrics[0]: np.array([self.value(c) for c in architectures.codes], dtype=float)}


def test_cheap_evaluators_come_first_and_a_broken_limit_ends_the_chain():
    dear = Counted("error_percent", lambda c: 1.0)
    fast = Counted("latency_ms", lambda c: c[1], batched=True)
    cheap = Counted("params_m", lambda c: c[0], batched=True)
    limits = Objective("params_m", "limit", at_most=1.0), Objective("latency_ms", "limit", at_least=1.0)
    problem = Problem(parts.space(6, 4), (Objective("error_percent"), *limits), (dear, cheap, fast))
    trials = run(problem, "random", "256 trials").trials
    fits = [t for t in trials if t.metrics["params_m"] <= 1.0]
    both = [t for t in fits if t.metrics["latency_ms"] >= 1.0]
    assert (cheap.seen, fast.seen, dear.seen) == (256, len(fits), len(both))
    assert 0 < len(both) < len(fits) < 256
    assert all((t.state == "complete") == ("error_percent" in t.metrics) for t in trials)
    assert {t.state for t in trials} == {"complete", "infeasible"}


def test_an_evaluator_that_raises_or_gives_nan_fails_its_trial_only():
    safe = parts.space(8, 4).restrict({"d0": (1, 2, 3)})
    trials = run(parts.problem(parts.Deadly(), tree=safe), "random", "90 trials").trials
    for t in trials:
        first, second = t.candidate.architecture.code[:2].tolist()
        said = {(1, second): "Deadly: RuntimeError: the loss exploded", (2, 0): "metric error_percent is NaN"}
        assert t.error == said.get((first, second))
        assert (t.state == "failed") == ((first, second) in said)
    assert {t.error for t in trials} > {"metric error_percent is NaN", None}


class FailsInBatches(Toy):
    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        if (architectures.codes[:, 0] == 1).any():
            raise ValueError("not this one")
        return super().evaluate(architectures)


def test_one_bad_architecture_does_not_take_its_batch_along():
    trials = run(parts.problem(FailsInBatches()), "random", "100 trials").trials
    for t in trials:
        assert (t.state == "failed") == (t.candidate.architecture.code[0] == 1)
    assert 5 < sum(t.state == "failed" for t in trials) < 60


class WrongShape(Toy):
    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        return {"error_percent": np.zeros((len(architectures), 2))}


def test_columns_of_the_wrong_shape_fail_with_what_was_expected():
    result = run(parts.problem(WrongShape()), "random", "5 trials")
    assert "one number an architecture" in result.trials[0].error
    with pytest.raises(ConfigurationError, match="all 5 failed"):
        _ = result.best


def test_a_run_ends_when_the_space_is_used_up(tmp_path):
    small = parts.problem(Toy(), tree=parts.space(2, 3))
    for name in BASE:
        result = run(small, name, "1000 trials", tmp_path / name)
        assert len(result.trials) == 9
        assert result.provenance["ended_by"] == "strategy"
        assert result.best.metrics["error_percent"] == 0.0


def test_a_budget_in_seconds_counts_across_resumes(tmp_path):
    problem = parts.problem(parts.Slow(0.02))
    began = time.perf_counter()
    result = run(problem, "random", Budget(seconds=0.4), tmp_path, batch=50)
    assert time.perf_counter() - began >= 0.4
    assert result.provenance["ended_by"] == "seconds"
    assert 2 <= len(result.trials) <= 20
    again = run(problem, "random", Budget(seconds=0.4), tmp_path, batch=50)
    assert len(again.trials) == len(result.trials) or again.trials[-1].at_s < 0.45
    more = run(problem, "random", "60 trials", tmp_path, batch=50)
    assert [t.number for t in sorted(more.trials, key=lambda t: t.number)] == list(range(60))


def test_callbacks_see_every_trial_after_it_is_in_the_log(tmp_path):
    seen = []

    def watch(trials, progress):
        logged = {e.number for e in read_log(tmp_path / "trials.jsonl").events if isinstance(e, LoggedTrial)}
        assert {t.number for t in trials} <= logged
        seen.extend(trials)
        assert progress.trials[-1] is trials[-1]
        assert 0.0 <= progress.left() <= 1.0

    result = run(parts.problem(Toy()), "nsga2", "250 trials", tmp_path, callbacks=[watch])
    assert tuple(seen) == tuple(result.trials)


def test_simulated_workers_finish_in_the_order_of_simulated_events():
    result = run(parts.problem(parts.Clocked()), "random", "40 trials", executor=Simulated(4), seed=1)
    free, clock = [0.0] * 4, []
    for t in sorted(result.trials, key=lambda t: t.number):  # the next candidate starts on the first free machine
        start = min(free)
        free[free.index(start)] = start + t.metrics["simulated_s"]
        clock.append((start + t.metrics["simulated_s"], t.number))
    assert [(t.simulated_at_s, t.number) for t in result.trials] == sorted(clock)
    alone = run(parts.problem(parts.Clocked()), "random", "40 trials", executor=Simulated(1), seed=1)
    assert alone.trials[-1].simulated_at_s == sum(t.metrics["simulated_s"] for t in alone.trials)


@pytest.mark.parametrize("name", BASE)
@pytest.mark.parametrize("cut", [0.2, 0.7])
def test_an_asynchronous_replay_resumes_exactly(name, cut, tmp_path):
    problem = parts.problem(parts.Clocked())
    budget = Budget(simulated_seconds=3600.0 * 100)
    whole = run(problem, name, budget, tmp_path / "whole", Simulated(8), seed=3)
    assert whole.trials[-1].simulated_at_s <= 3600.0 * 100
    assert whole.provenance["ended_by"] == "simulated seconds"
    data = (tmp_path / "whole" / "trials.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "trials.jsonl").write_bytes(data[: int(len(data) * cut)])
    resumed = run(problem, name, budget, tmp_path / "cut", Simulated(8), seed=3)
    assert parts.trajectory(resumed) == parts.trajectory(whole)
    assert [t.simulated_at_s for t in resumed.trials] == [t.simulated_at_s for t in whole.trials]


def test_a_finished_log_loads_without_running(tmp_path):
    problem = parts.problem(Toy())
    result = run(problem, "nsga2", "120 trials", tmp_path)
    assert parts.trajectory(load_trials(problem, tmp_path)) == parts.trajectory(result)
    with pytest.raises(RunLogError, match="another space"):
        load_trials(parts.problem(Toy(), tree=parts.space(3, 3)), tmp_path)


def kill_at_random_moments(folder, moments, strategy, trials, workers):
    """Start the run again and again, kill -9 after a random time; returns the trials reported before a kill."""
    script = [sys.executable, str(Path(parts.__file__)), str(folder), strategy, str(trials), str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    reported, kills, rng = set(), 0, random.Random(0)
    for _ in range(moments):
        process = subprocess.Popen(script, stdout=subprocess.PIPE, env=environment)
        first = process.stdout.readline()  # it is past its start
        time.sleep(rng.random() * 0.12)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.stdout.close()
        kills += process.wait() == -signal.SIGKILL
        reported |= {int(x) for x in (first + rest).split(b"\n")[:-1]}
        if process.returncode == 0:
            break
    return reported, kills


@pytest.mark.parametrize("moments, strategy, workers", [
    (5, "regularized_evolution", 0),
    pytest.param(50, "nsga2", 0, marks=pytest.mark.slow),
    pytest.param(50, "local_search", 0, marks=pytest.mark.slow),
    pytest.param(20, "nsga2", 2, marks=pytest.mark.slow),
])  # fmt: skip
def test_kill_9_at_random_moments_loses_no_finished_trial(moments, strategy, workers, tmp_path):
    trials = 120 * moments
    reported, kills = kill_at_random_moments(tmp_path / "killed", moments, strategy, trials, workers)
    events = read_log(tmp_path / "killed" / "trials.jsonl").events
    logged = {e.number for e in events if isinstance(e, LoggedTrial)}
    assert kills >= moments * 0.8
    assert reported <= logged
    parts.main(tmp_path / "killed", strategy, trials, workers)
    parts.main(tmp_path / "whole", strategy, trials, workers)
    problem = parts.problem(parts.Slow())
    killed, whole = load_trials(problem, tmp_path / "killed"), load_trials(problem, tmp_path / "whole")
    assert len(whole.trials) == trials
    assert parts.trajectory(killed) == parts.trajectory(whole)


@pytest.mark.slow
def test_a_long_run_leaves_the_garbage_collector_as_it_was(tmp_path):
    problem = parts.problem(Toy())
    seen = []

    def watch(trials, progress):
        seen.append(gc.get_freeze_count())

    assert gc.get_freeze_count() == 0
    for trials in (5200, 10_500):  # the second one starts with a replay
        seen.clear()
        run(problem, "random", f"{trials} trials", tmp_path, callbacks=[watch])
        assert max(seen) > 0
        assert gc.get_freeze_count() == 0
