import os
import subprocess
import sys

import numpy as np
import pytest
import search_parts as parts

from archwright.errors import ConfigurationError, EvaluationError
from archwright.search.executor import InProcess, Simulated
from archwright.search.processes import ProcessPool
from archwright.search.run import run


@pytest.fixture
def two():
    pool = ProcessPool(2, threads=1)
    yield pool
    pool.close()


def test_two_processes_give_the_same_trials_as_none(two, tmp_path):
    problem = parts.problem(parts.Slow())
    alone = run(problem, "nsga2", "120 trials", tmp_path / "a", seed=1, batch=20)
    both = run(problem, "nsga2", "120 trials", tmp_path / "b", two, seed=1, batch=20)
    assert parts.trajectory(both) == parts.trajectory(alone)
    half = (tmp_path / "b" / "trials.jsonl").read_bytes()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "trials.jsonl").write_bytes(half[: len(half) // 2])
    resumed = run(problem, "nsga2", "120 trials", tmp_path / "c", two, seed=1, batch=20)
    assert parts.trajectory(resumed) == parts.trajectory(alone)


def test_workers_get_the_seed_of_their_trial(two):
    problem = parts.problem(parts.Noisy())
    alone = run(problem, "random", "12 trials", seed=5)
    assert parts.trajectory(run(problem, "random", "12 trials", executor=two, seed=5)) == parts.trajectory(alone)


def test_a_worker_that_dies_fails_its_trial_and_the_run_goes_on(two, tmp_path):
    tree = parts.space(8, 4).restrict({"d0": (0, 1, 3), "d1": (0, 1, 2)})
    result = run(parts.problem(parts.Deadly(), tree=tree), "random", "24 trials", tmp_path, two, seed=2)
    said = {(0, 0): "the worker process died with exit code 3",
            (0, 1): "the worker process died with signal 9 (Killed)"}  # fmt: skip
    assert len(result.trials) == 24
    for t in result.trials:
        first, second = t.candidate.architecture.code[:2].tolist()
        expected = "Deadly: RuntimeError: the loss exploded" if first == 1 else said.get((first, second))
        assert t.error == expected
    assert set(said.values()) <= {t.error for t in result.trials}
    assert any(t.state == "complete" for t in result.trials)


def test_an_asynchronous_pool_finishes_every_trial(tmp_path):
    pool = ProcessPool(2, threads=1, asynchronous=True)
    problem = parts.problem(parts.Slow(0.002))
    result = run(problem, "regularized_evolution", "40 trials", tmp_path, pool, seed=1)
    assert sorted(t.number for t in result.trials) == list(range(40))
    more = run(problem, "regularized_evolution", "50 trials", tmp_path, ProcessPool(1, asynchronous=True), seed=1)
    assert parts.trajectory(more)[:40] == parts.trajectory(result)


def test_a_problem_that_cannot_be_pickled_is_refused_at_once():
    problem = parts.problem(parts.Slow())
    problem.evaluators[0].hook = lambda: None
    with pytest.raises(ConfigurationError, match="can be pickled"):
        run(problem, "random", "2 trials", executor=ProcessPool(1))


def test_a_problem_that_workers_cannot_load_stops_the_run_with_the_reason(two):
    with pytest.raises(EvaluationError, match="no licence on this machine"):
        run(parts.problem(parts.Unloadable()), "random", "2 trials", executor=two)


def test_a_script_without_a_main_guard_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {os.path.dirname(parts.__file__)!r})\n"
        "import search_parts as parts\n"
        "from archwright.search.processes import ProcessPool\n"
        "from archwright.search.run import run\n"
        "run(parts.problem(parts.Slow()), 'random', '2 trials', executor=ProcessPool(1))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("make", [lambda: ProcessPool(0), lambda: Simulated(0)])
def test_no_workers_are_refused(make):
    with pytest.raises(ConfigurationError, match="at least 1 worker"):
        make()


def test_an_executor_that_was_not_started_says_so():
    executor = InProcess()
    with pytest.raises(ConfigurationError, match="start the executor"):
        executor.finished()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_trials_and_survives_dying_actors(tmp_path):
    pytest.importorskip("ray")
    from archwright.search.executor_ray import Ray

    problem = parts.problem(parts.Slow())
    alone = run(problem, "nsga2", "40 trials", seed=1, batch=10)
    os.environ["PYTHONPATH"] = os.path.dirname(parts.__file__)  # Ray's workers import the problem's module
    try:
        cluster = run(problem, "nsga2", "40 trials", tmp_path, Ray(2), seed=1, batch=10)
        tree = parts.space(8, 4).restrict({"d0": (0, 3), "d1": (0, 2)})
        deadly = run(parts.problem(parts.Deadly(), tree=tree), "random", "12 trials", executor=Ray(2), seed=2)
    finally:
        del os.environ["PYTHONPATH"]
    assert parts.trajectory(cluster) == parts.trajectory(alone)
    for t in deadly.trials:
        dies = (t.candidate.architecture.code[:2] == 0).all()
        assert (t.state == "failed") == dies
    assert 0 < np.sum([t.state == "failed" for t in deadly.trials]) < 12
